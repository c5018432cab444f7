"""What a model says of a person: an inferred attribute, each a purpose of its own (BP4), and where it may be asked.

Rules upheld here:
1. An attribute that is no purpose of the register cannot be inferred.
2. Emotion is never inferred at work or in education, and not at all where nobody has declared the context (EU AI
   Act 5(1)(f), C35a).
3. A confidence is the model's own number for exactly this recording, or there is none.
4. Of a recording unlike those that a model has learned from nothing is determined, however sure the model is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sottovoce.errors import ConfigurationError
from sottovoce.model.purpose import PURPOSES

NOT_DETERMINED = "not determined"
NOT_AVAILABLE = "not available"
UNLIKE = "unlike what was learned"  # why nothing is determined of a recording outside of the model's range
CONTEXTS = ("work", "education", "other")
_PREFIX = "infer_"
_FORBIDDEN_CONTEXTS: dict[str, tuple[str, ...]] = {"emotion": ("work", "education")}
ATTRIBUTES: tuple[str, ...] = tuple(
    name.removeprefix(_PREFIX) for name in PURPOSES if name.startswith(_PREFIX)
)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A verified model as it is handed to whoever runs it: its file, and what its card says. Nothing of a person."""

    attribute: str
    sha256: str  # of the file with full float32 weights
    card_sha256: str  # of the signed card
    feature_profile: str
    feature_version: str
    threshold: float | None  # a label is in the set where 1 - its probability is at most this; None: no sets
    percent: int | None  # how often such a set holds the true label
    guarantee: str  # the privacy guarantee of the training, in the card's words
    not_for: str  # what the model must not be used for, on one line
    demonstration: bool
    data: bytes = field(repr=False)
    unit: str = ""  # of a quantity ("years"); empty: the outputs are probabilities of labels
    values: tuple[float, ...] = ()  # of a quantity: what each output stands for
    range_inputs: tuple[int, ...] = ()  # places of the features that are compared with what was learned from
    range_bound: float | None = None  # how far they may lie from it; None: the card states no range


@dataclass(frozen=True, slots=True)
class Inference:
    """What one model said of one recording. Personal data: no repr shows it."""

    attribute: str
    model_sha256: str
    card_sha256: str
    feature_sha256: str  # of the stored float32 form of what the model saw
    labels: tuple[str, ...]
    probabilities: tuple[float, ...] | None = field(repr=False)  # one for each label; None: not available
    label_set: tuple[str, ...] | None = field(repr=False)  # of `percent` confidence; None: not available
    percent: int | None
    guarantee: str
    not_for: str
    demonstration: bool
    unit: str = ""  # of a quantity; empty: one of the labels
    number: float | None = field(default=None, repr=False)  # of a quantity; None: not available, or a label
    unlike: bool = field(default=False, repr=False)  # outside of the card's range

    @property
    def value(self) -> str:
        """The one label that is left, "not determined" where that is none or several, or "not available"; of a
        quantity the number with its unit."""
        if self.probabilities is None:
            return NOT_AVAILABLE
        if self.number is not None:
            return f"{self.number:.0f} {self.unit}"
        if self.label_set is None:
            return self.labels[self.probabilities.index(max(self.probabilities))]
        return self.label_set[0] if len(self.label_set) == 1 else NOT_DETERMINED

    @property
    def reason(self) -> str:
        """Why the value is not determined, where the recording itself is the reason; empty else."""
        return UNLIKE if self.unlike else ""

    @property
    def confidence(self) -> float | None:
        """The model's own probability of `value`, 0..1; None where there is no such value."""
        if self.probabilities is None or self.value not in self.labels:
            return None
        return self.probabilities[self.labels.index(self.value)]


@dataclass(frozen=True, slots=True)
class InferenceView:
    """An inference as it is answered: with the decision that holds it, and when that ends."""

    decision_id: str | None  # None: returned once, nothing is kept
    purpose: str
    inference: Inference
    at: datetime | None
    expires_at: datetime | None


def purpose_for(attribute: str) -> str:
    """The purpose under which that attribute is inferred."""
    return _PREFIX + attribute


def is_inference(purpose: str) -> bool:
    return purpose.startswith(_PREFIX)


def check_attributes(attributes: Iterable[str], context: str | None) -> tuple[str, ...]:
    """The attributes that are to be inferred, each once. ConfigurationError (reason `infer_unknown`,
    `use_context_missing` or `use_context_forbidden`) where one may not be, here."""
    named = tuple(dict.fromkeys(attributes))
    for attribute in named:
        if attribute not in ATTRIBUTES:
            raise ConfigurationError(
                "The setting infer names an attribute that is no purpose of this register.",
                hint="Attributes are: " + ", ".join(ATTRIBUTES),
                reason="infer_unknown",
            )
        _check_context(attribute, context)
    return named


def _check_context(attribute: str, context: str | None) -> None:
    forbidden = _FORBIDDEN_CONTEXTS.get(attribute, ())
    if not forbidden:
        return
    if context is None:
        raise ConfigurationError(
            f"Where {attribute} is to be inferred, the context of use has to be declared.",
            hint="Set use_context to one of: " + ", ".join(CONTEXTS),
            reason="use_context_missing",
        )
    if context in forbidden:
        raise ConfigurationError(
            f"Models of {attribute} are not run in the context {context} (EU AI Act 5(1)(f)).",
            hint=f"Take {attribute} out of the setting infer.",
            reason="use_context_forbidden",
        )
