"""The models that a home has: those that are shipped with sottovoce and its own, and which of them it runs.

Rules upheld here, in order:
1. A model is verified with its card before it is taken in, and again when it is loaded: against the signers that are
   shipped (shipped ones), the identity that was pinned with it, or the home's own (M65).
2. It is loaded once, by the hash of its file with full float32 weights; a rounded one is not run here.
3. Run is what the setting `infer` names, and nothing else (BP4); a model for another profile or version of the
   features, or a demonstration without the explicit setting, is refused with its code before any recording is touched.
4. For each attribute and profile one model: the home's own stands before a shipped one.
5. That a model is taken out stands in the audit log and in the tombstones before it goes, so that no backup brings it
   back unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sottovoce.errors import (
    ConfigurationError,
    Conflict,
    IntegrityError,
    NotFound,
    SottovoceError,
    UsageError,
)
from sottovoce.model.canonical import JsonValue
from sottovoce.model.inference import ModelUse, purpose_for
from sottovoce.model.purpose import purpose_of
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, Models, StoredModel, UnitOfWork
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases.models import VerifiedModel, open_model
from sottovoce.usecases.promises import Promises, of_model_removed
from sottovoce.usecases.trail import Trail
from sottovoce.voice.egemaps.extract import PROFILES
from sottovoce.voice.models.card import NO_GUARANTEE, NOT_AVAILABLE, Card, learned_range

SHIPPED, OWN = "shipped", "own"
_SHORTEST = 8  # characters of a hash that name a model


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One line of `models list`."""

    sha256: str
    source: str  # "shipped" or "own"
    attribute: str
    purpose: str  # under which it would be run
    what_for: str  # in the card's words
    labels: tuple[str, ...]
    feature_profile: str
    feature_version: str
    signer: str  # key id
    demonstration: bool
    error: str  # on the card, in words
    size_bytes: int
    enabled: bool  # it is what this home runs, where the person agrees
    problem: str = ""  # code of why it cannot be run; empty: it can


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model that was verified, ready to be run."""

    found: VerifiedModel
    use: ModelUse


@dataclass(frozen=True, kw_only=True)
class Registry:
    database: Database
    trail: Trail
    promises: Promises
    own: Models
    shipped: Models
    identity: Callable[[], str]  # the identity that this home has pinned
    enabled: tuple[str, ...] = ()  # attributes
    profile: str = "compat"  # of the features that this home measures
    demonstrations: bool = False
    tenant: str = "default"
    _loaded: dict[tuple[str, str], _Loaded] = field(default_factory=dict, repr=False, compare=False)

    def uses(self, profile: str) -> tuple[ModelUse, ...]:
        """The models that this home runs on features of that profile; none where it is not the one that is set (a
        recording that was taken in before a change). ConfigurationError (reason `model_missing`, `model_profile`,
        `model_demonstration`); IntegrityError and UnknownSigner as of `open_model`."""
        if profile != self.profile:
            return ()
        return tuple(self._use(attribute, profile) for attribute in self.enabled)

    def by_hash(self, sha256: str) -> ModelUse | None:
        """The model of that hash, for a replay: whatever the settings say now. None where it is not here any more."""
        for source, models in self._sources():
            if sha256 in models.hashes():
                return self._load(source, models, sha256).use
        return None

    def list(self) -> tuple[RegisteredModel, ...]:
        """Every model, the home's own first."""
        chosen = {attribute: self._chosen_or_none(attribute) for attribute in self.enabled}
        lines = []
        for source, models in self._sources():
            for sha256 in models.hashes():
                lines.append(self._line(source, models, sha256, chosen))
        return tuple(lines)

    def add(
        self, data: bytes, card: str, *, signer: str | None, demonstration: bool, caller: Caller
    ) -> RegisteredModel:
        """Take a model in. `signer`: the identity document to pin with it; None: signed by this home. Errors of
        `open_model`; UsageError (reason `model_not_full`); Conflict (reason `model_exists`) where it, or another one of
        its attribute and profile, is here."""
        document = self.identity() if signer is None else signer
        found = open_model(data, card, trusted=receipts.trusted_keys(document), demonstration=demonstration)
        _check_full(found)
        about = found.model.network.about
        purpose_exists(about.attribute)
        if self._match(OWN, self.own, about.attribute, about.feature_profile) is not None:
            raise Conflict(
                "This home has a model of its own for that attribute and profile.",
                hint="Remove it first: `sottovoce models list`, `sottovoce models remove HASH`.",
                reason="model_exists",
            )
        self.own.add(StoredModel(found.model.sha256, data, card, signer))
        self._note("model.added", found.model.sha256, caller=caller)
        return self._line(OWN, self.own, found.model.sha256, {})

    def remove(self, sha256: str, *, caller: Caller) -> None:
        """Take a model of the home's own out; what it has said stays with whom it was said of. `sha256`: the hash,
        or so much of its beginning that no other one begins so. NotFound; errors of the tombstones."""
        found = [one for one in self.own.hashes() if len(sha256) >= _SHORTEST and one.startswith(sha256)]
        if len(found) != 1:
            raise NotFound(
                "This home has no model of its own of that hash.", hint="See `sottovoce models list`."
            )
        with self.promises.begin() as tx:
            self._tell(tx, "model.removed", found[0], caller=caller)
            self.promises.write(tx, [of_model_removed(found[0], tx.now(), tenant=self.tenant)])
        self.own.remove(found[0])
        self._loaded.pop((OWN, found[0]), None)

    # --- choosing --------------------------------------------------------------------------------------

    def _use(self, attribute: str, profile: str) -> ModelUse:
        found = self._chosen(attribute, profile)
        if found is None:
            other = self._chosen(attribute, None)
            raise _wrong_profile() if other is not None else _missing(attribute)
        source, models, sha256 = found
        use = self._load(source, models, sha256).use
        if use.demonstration and not self.demonstrations:
            raise ConfigurationError(
                f"The model of {attribute} is a demonstration: its data do not support a use.",
                hint="Set demonstration_models if a demonstration is what this is.",
                reason="model_demonstration",
            )
        return use

    def _chosen_or_none(self, attribute: str) -> tuple[str, Models, str] | None:
        try:
            return self._chosen(attribute, self.profile)
        except SottovoceError:
            return None  # its own line says what is wrong with it

    def _chosen(self, attribute: str, profile: str | None) -> tuple[str, Models, str] | None:
        """Where the model for that attribute stands; `profile` None: for any profile."""
        for source, models in self._sources():
            sha256 = self._match(source, models, attribute, profile)
            if sha256 is not None:
                return source, models, sha256
        return None

    def _match(self, source: str, models: Models, attribute: str, profile: str | None) -> str | None:
        broken: SottovoceError | None = None
        for sha256 in models.hashes():
            try:
                use = self._load(source, models, sha256).use
            except SottovoceError as error:
                broken = error
                continue
            if use.attribute == attribute and profile in (None, use.feature_profile):
                if profile is not None and use.feature_version != PROFILES[profile].version:
                    raise _wrong_profile()
                return sha256
        if broken is not None:
            raise broken  # it may be the one that is looked for: never pass over it in silence
        return None

    def _sources(self) -> Iterator[tuple[str, Models]]:
        yield OWN, self.own
        yield SHIPPED, self.shipped

    # --- loading ---------------------------------------------------------------------------------------

    def _load(self, source: str, models: Models, sha256: str) -> _Loaded:
        known = self._loaded.get((source, sha256))
        if known is None:
            known = self._loaded[source, sha256] = self._verified(models, sha256)
        return known

    def _verified(self, models: Models, sha256: str) -> _Loaded:
        stored = models.get(sha256)
        if stored is None:
            raise IntegrityError("The card of a model is missing.", reason="card_malformed")
        document = self.identity() if stored.signer is None else stored.signer
        found = open_model(
            stored.data, stored.card, trusted=receipts.trusted_keys(document), demonstration=True
        )
        if found.model.sha256 != sha256:
            raise IntegrityError("A model file is not what was taken in.", reason="model_malformed")
        _check_full(found)
        return _Loaded(found, _use_of(found, stored))

    def _line(
        self, source: str, models: Models, sha256: str, chosen: Mapping[str, tuple[str, Models, str] | None]
    ) -> RegisteredModel:
        try:
            found = self._load(source, models, sha256).found
        except SottovoceError as error:
            return RegisteredModel(
                sha256, source, "-", "-", "-", (), "-", "-", "-", False, "-", 0, False, error.public_code
            )
        about, body = found.model.network.about, found.card.body
        here = chosen.get(about.attribute)
        return RegisteredModel(
            sha256=sha256, source=source, attribute=about.attribute, purpose=purpose_for(about.attribute),
            what_for=str(body["purpose"]), labels=about.labels, feature_profile=about.feature_profile,
            feature_version=about.feature_version, signer=found.key_id, demonstration=found.card.demonstration,
            error=error_words(body["error"]), size_bytes=found.model.size_bytes,
            enabled=here is not None and here[0] == source and here[2] == sha256,
            problem=self._problem(found),
        )  # fmt: skip

    def _problem(self, found: VerifiedModel) -> str:
        about = found.model.network.about
        profile = PROFILES.get(about.feature_profile)
        if (
            about.feature_profile != self.profile
            or profile is None
            or about.feature_version != profile.version
        ):
            return "model_profile"
        return "model_demonstration" if found.card.demonstration and not self.demonstrations else ""

    def _note(self, kind: str, sha256: str, *, caller: Caller) -> None:
        with self.database.begin() as tx:
            self._tell(tx, kind, sha256, caller=caller)

    def _tell(self, tx: UnitOfWork, kind: str, sha256: str, *, caller: Caller) -> None:
        self.trail.of(None, caller=caller).write(tx, kind, details={"model_sha256": sha256})


def purpose_exists(attribute: str) -> None:
    """UsageError (reason `unknown_purpose`) for an attribute that nobody could agree to."""
    purpose_of(purpose_for(attribute))


def error_words(error: JsonValue) -> str:
    """The error on a card as one line."""
    if not isinstance(error, Mapping):
        return NOT_AVAILABLE
    interval = f"{error['confidence_percent']} % interval {error['low']} to {error['high']}"
    if NOT_AVAILABLE in (error["low"], error["high"]):
        interval = "no interval: too few people"
    return f"{error['measure']} {error['value']} ({interval}, {error['speakers']} speakers)"


def guarantee_words(privacy: JsonValue) -> str:
    """The privacy guarantee on a card as one line; "none" where there is none."""
    if not isinstance(privacy, Mapping):
        return NO_GUARANTEE
    return f"epsilon {privacy['epsilon']}, delta {privacy['delta']}, per {privacy['unit']}"


def _use_of(found: VerifiedModel, stored: StoredModel) -> ModelUse:
    about, body = found.model.network.about, found.card.body
    conformal = body["conformal"]
    quantity = body.get("quantity")
    unit = ""
    values: tuple[float, ...] = ()
    if isinstance(quantity, Mapping):
        unit, values = str(quantity["unit"]), _numbers(quantity["values"])
        if len(values) != len(about.labels):
            raise IntegrityError("A quantity has one value for each label.", reason="card_malformed")
    threshold = percent = None
    if isinstance(conformal, Mapping) and conformal["kind"] == "set":
        threshold, percent = float(str(conformal["threshold"])), int(str(conformal["percent"]))
    inputs, bound = learned_range(found.card) or ((), None)
    return ModelUse(
        attribute=about.attribute, sha256=found.model.sha256,
        card_sha256=hashlib.sha256(stored.card.encode()).hexdigest(),
        feature_profile=about.feature_profile, feature_version=about.feature_version,
        threshold=threshold, percent=percent,
        guarantee=guarantee_words(body["privacy"]), not_for=not_for_words(found.card),
        demonstration=found.card.demonstration, data=stored.data, unit=unit, values=values,
        range_inputs=inputs, range_bound=bound,
    )  # fmt: skip


def _numbers(value: JsonValue) -> tuple[float, ...]:
    return tuple(float(str(one)) for one in value) if isinstance(value, list | tuple) else ()


def not_for_words(card: Card) -> str:
    """What the model must not be used for, on one line."""
    said = card.body["not_for"]
    return "; ".join(str(one) for one in said) if isinstance(said, list | tuple) else str(said)


def _check_full(found: VerifiedModel) -> None:
    if found.model.precision != "none":
        raise UsageError(
            "This file holds rounded weights; a home runs the file with full float32 weights.",
            hint="Take the file that smaller ones were exported from.",
            reason="model_not_full",
        )


def _missing(attribute: str) -> ConfigurationError:
    return ConfigurationError(
        f"The setting infer names {attribute}, and there is no model for it here.",
        hint="`sottovoce models list` shows what there is; `sottovoce models add` takes one in.",
        reason="model_missing",
    )


def _wrong_profile() -> ConfigurationError:
    return ConfigurationError(
        "The model was made for features of another profile or version.",
        hint="Use a model for the features that this home measures (setting profile).",
        reason="model_profile",
    )
