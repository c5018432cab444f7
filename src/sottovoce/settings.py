"""Settings: one frozen value from `SOTTOVOCE_*` variables, a TOML file in the home, or keyword arguments.

Order: keyword arguments, then environment, then `HOME/sottovoce.toml`, then the defaults below.
"""

from __future__ import annotations

import json
import os
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from sottovoce.errors import ConfigurationError
from sottovoce.model.inference import check_attributes
from sottovoce.model.policy import Policy
from sottovoce.model.retention import RetentionPolicy

CONFIG_NAME = "sottovoce.toml"


def default_home() -> Path:
    """`SOTTOVOCE_HOME`, else the XDG data folder."""
    named = os.environ.get("SOTTOVOCE_HOME")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "sottovoce"


class Settings(BaseSettings):
    """Everything that can be set. Durations in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="SOTTOVOCE_", env_ignore_empty=True, frozen=True, extra="forbid"
    )

    home: Path = Field(default_factory=default_home)
    tenant: str = Field("default", pattern=r"^[a-z0-9_-]{1,64}$")
    database: str | None = None  # sqlite:///PATH; default: HOME/sottovoce.db
    keys: str = "local:"  # local:[FOLDER]; default folder HOME/keys
    tombstones: Path | None = None  # the file of what must not come back; default: HOME/tombstones.log
    passphrase: SecretStr | None = None  # protects the local key file; without it OS permissions do
    passphrase_file: Path | None = None
    busy_timeout_s: float = Field(5.0, ge=0)

    discard_by_inline_s: int = Field(15 * 60, gt=0, le=24 * 3600)
    discard_by_queued_s: int = Field(24 * 3600, gt=0, le=30 * 86400)
    on_failure: Literal["shred", "hold"] = "shred"
    hold_ttl_s: int = Field(7 * 86400, gt=0, le=30 * 86400)
    max_attempts: int = Field(3, ge=1, le=20)
    retry_after_s: float = Field(5.0, ge=0)
    max_analysed_s: float = Field(30.0, ge=0.1, le=7200)
    wall_limit_s: float = Field(60.0, gt=0, le=3600)
    max_body_bytes: int = Field(1 << 30, gt=0)
    profile: Literal["compat", "corrected"] = "compat"
    sandbox: Literal["seccomp", "rlimits"] = "rlimits"  # the least confinement that is accepted
    idle_children: int = Field(1, ge=1, le=64)
    refuse_swap: bool = False
    embedding_model: Path | None = None
    infer: Annotated[
        tuple[str, ...], NoDecode
    ] = ()  # attributes that models are run for, where the person agrees
    demonstration_models: bool = False  # run models whose data do not support a use
    use_context: Literal["work", "education", "other"] | None = None  # EU AI Act 5(1)(f)
    orphan_grace_s: int = Field(3600, ge=0)
    witnesses: tuple[str, ...] = ()  # file:/PATH, syslog: or command:PROGRAM ARGUMENTS
    checkpoint_every_s: float = Field(10.0, ge=0, le=3600)
    witness_alarm_s: float = Field(3600.0, gt=0, le=30 * 86400)
    recipients_days: int = Field(7, ge=1, le=30)  # in which a recipient has to apply its deletion feed
    features_days: int = Field(30, ge=0, le=30)
    insight_days: int = Field(30, ge=0, le=30)
    epoch_days: int = Field(30, ge=0, le=365)  # a key epoch ends at this age; 0: only by `keys rotate`

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        home = init_settings().get("home") or default_home()
        toml = TomlConfigSettingsSource(settings_cls, Path(home) / CONFIG_NAME)
        return init_settings, env_settings, toml

    @field_validator("infer", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """`apparent_sex,age` or a JSON list, where the value is text (of an environment variable)."""
        if not isinstance(value, str):
            return value
        text = value.strip()
        if text.startswith("["):
            try:
                return json.loads(text)
            except RecursionError:
                raise ValueError("nested too deeply") from None
        return [word.strip() for word in text.split(",") if word.strip()]

    @property
    def attributes(self) -> tuple[str, ...]:
        """What models are run for; ConfigurationError where one may not be inferred, or not in this context (C35a)."""
        return check_attributes(self.infer, self.use_context)

    @property
    def database_path(self) -> Path:
        """The file behind the database URL; ConfigurationError for a scheme that is not offered."""
        if self.database is None:
            return self.home / "sottovoce.db"
        scheme, _, path = self.database.partition(":///")
        if scheme != "sqlite" or not path:
            raise ConfigurationError(
                "Only sqlite:///PATH databases are offered by this version.",
                hint="Unset the database, or name a file.",
            )
        return Path(path)

    @property
    def keys_folder(self) -> Path:
        scheme, _, folder = self.keys.partition(":")
        if scheme != "local":
            raise ConfigurationError(
                "Only local: keys are offered by this version.", hint="Use local:[FOLDER]."
            )
        return Path(folder) if folder else self.home / "keys"

    @property
    def tombstones_path(self) -> Path:
        return self.tombstones or self.home / "tombstones.log"

    @property
    def witness_parts(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(scheme, arguments) of each witness; ConfigurationError for one that cannot be used, without its text."""
        parts = []
        for number, url in enumerate(self.witnesses, start=1):
            part = _witness(url)
            if part is None:
                raise ConfigurationError(
                    f"Witness {number} of the setting witnesses cannot be used.",
                    hint="Use file:/ABSOLUTE/PATH, syslog: or command:PROGRAM ARGUMENTS.",
                    reason="witness",
                )
            parts.append(part)
        return tuple(parts)

    def read_passphrase(self) -> str | None:
        """The passphrase of the key file, where one is set."""
        if self.passphrase is not None:
            return self.passphrase.get_secret_value()
        if self.passphrase_file is None:
            return None
        try:
            return self.passphrase_file.read_text().rstrip("\r\n")
        except (OSError, ValueError):
            raise ConfigurationError(
                "The passphrase file cannot be read.",
                hint="Check the setting passphrase_file.",
                reason="passphrase_file",
            ) from None

    def to_policy(self) -> Policy:
        kept = {"features": self.features_days, "insight": self.insight_days}
        kept |= {"embedding": self.features_days, "decision": self.features_days}
        lease_s = max(120.0, 2 * self.wall_limit_s)
        return Policy(
            discard_by_inline=timedelta(seconds=self.discard_by_inline_s),
            discard_by_queued=timedelta(seconds=self.discard_by_queued_s),
            on_failure=self.on_failure, hold_ttl=timedelta(seconds=self.hold_ttl_s),
            max_attempts=self.max_attempts, retry_after=timedelta(seconds=self.retry_after_s),
            lease=timedelta(seconds=lease_s), max_analysed_s=self.max_analysed_s,
            wall_limit_s=self.wall_limit_s, max_body_bytes=self.max_body_bytes, profile=self.profile,
            sandbox=self.sandbox, refuse_swap=self.refuse_swap,
            embedding_model=str(self.embedding_model) if self.embedding_model else None,
            orphan_grace=timedelta(seconds=max(self.orphan_grace_s, lease_s + 60)),
            apply_within=timedelta(days=self.recipients_days), retention=RetentionPolicy(kept),
        )  # fmt: skip


def load(target: str | Settings | None = None, /, **given: Any) -> Settings:
    """Settings from a URL, a Settings or nothing, with overrides; ConfigurationError naming what is wrong."""
    if isinstance(target, Settings):
        return target
    given = {name: value for name, value in given.items() if value is not None}
    if target is not None:
        given["database"] = target
        scheme, _, path = target.partition(":///")
        if scheme == "sqlite" and path and "home" not in given:
            given["home"] = Path(path).resolve().parent
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, item["loc"])) for item in error.errors(include_input=False))
        raise ConfigurationError(
            f"These settings cannot be used: {wrong}.",
            hint="See docs/reference/settings.md for names and ranges.",
        ) from None
    except (OSError, ValueError, RecursionError):
        raise ConfigurationError(f"{CONFIG_NAME} cannot be read as TOML.") from None


def _witness(url: str) -> tuple[str, tuple[str, ...]] | None:
    scheme, _, rest = url.partition(":")
    match scheme:
        case "file" if rest.startswith("/"):
            return scheme, (rest,)
        case "syslog" if not rest:
            return scheme, ()
        case "command":
            try:
                words = shlex.split(rest)
            except ValueError:
                return None
            return (scheme, tuple(words)) if words else None
    return None
