"""The command line as a stranger uses it: real processes, homes of their own, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sottovoce import app as house
from sottovoce.usecases.models import file_entries
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.write_tflite import write_tflite

CONSENTS = ("voice_recording", "voice_analysis", "data_retention_30_days")


@dataclass(frozen=True)
class Done:
    """What one command printed and ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Cli:
    """`sottovoce` on one home, in an environment that holds nothing of the caller's."""

    home: Path
    folder: Path
    named: bool = True  # whether the environment names the home
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("SOTTOVOCE_")}
        plain.pop("NO_COLOR", None)
        home = {"SOTTOVOCE_HOME": str(self.home)} if self.named else {}
        return {**plain, "HOME": str(self.folder), **home, **self.extra}

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "sottovoce", *map(str, arguments)]

    def __call__(self, *arguments: str | Path, code: int | None = 0) -> Done:
        """Run it; the exit code must be `code` (None: any), and no traceback may be seen."""
        done = subprocess.run(
            self.command(*arguments), env=self.environ, cwd=self.folder, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        no_traceback(done.stderr + done.stdout)
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        given: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            # A shell that runs this suite in the background has SIGINT ignored, and children inherit that.
            "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **options,
        }
        return subprocess.Popen(self.command(*arguments), env=self.environ, cwd=self.folder, **given)

    def having(self, **extra: str) -> Cli:
        """The same with some more environment variables."""
        return replace(self, extra={**self.extra, **extra})

    def grant(self, subject: str, *purposes: str) -> None:
        self("consent", "grant", "--subject", subject, "--purpose", *(purposes or CONSENTS))


def no_traceback(text: str) -> None:
    assert "Traceback" not in text
    assert 'File "' not in text
    assert "[internal]" not in text


@pytest.fixture(scope="session")
def cli_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Cli]:
    """A command line on a home that nobody has used yet."""

    def make(home: Path | None = None) -> Cli:
        folder = tmp_path_factory.mktemp("journey")
        return Cli(home or folder / "home", folder)

    return make


@pytest.fixture
def cli(cli_at: Callable[..., Cli]) -> Cli:
    return cli_at()


@pytest.fixture(scope="session")
def take_in_a_model() -> Callable[[Cli], tuple[Path, str]]:
    """Gives a home a model of its own, signed by that home: (file with its card beside it, hash)."""
    dice = np.random.default_rng(11)
    network = make_network(
        mean=dice.normal(size=88), scale=dice.uniform(1, 90, 88), output="sigmoid",
        layers=[(dice.normal(size=(16, 88)) / 88, dice.normal(size=16)), (dice.normal(size=(1, 16)), [0.1])],
        about=About("apparent_sex", ("female", "male"), "compat", "egemaps-88/1"),
    )  # fmt: skip
    card: dict[str, Any] = {
        "format": "sottovoce-model-card/1", "purpose": "a test", "attribute": "apparent_sex",
        "labels": ["female", "male"], "output": "sigmoid", "feature_profile": "compat",
        "feature_version": "egemaps-88/1",
        "training_data": {"description": "none", "sha256": "not available", "speakers": 0, "recordings": 0},
        "error": "not available", "groups": [], "conformal": {"kind": "set", "percent": 90, "threshold": "0.5"},
        "privacy": "none", "not_for": ["any decision about a person"], "demonstration": False,
        "files": file_entries(network, np.zeros((1, 88))),
    }  # fmt: skip

    def take_in(cli: Cli) -> tuple[Path, str]:
        file = cli.folder / "model.tflite"
        file.write_bytes(write_tflite(network))
        with house.open(home=cli.home) as platform:
            signed = platform.sign_model_card(card, model=file.read_bytes())
        file.with_name("model.tflite.card.json").write_text(signed)
        return file, str(cli("models", "add", file, "--json").json["sha256"])

    return take_in
