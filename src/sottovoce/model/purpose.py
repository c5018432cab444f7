"""The purpose register: every declared use of a voice, with its legal basis, data kinds and retention.

A consent purpose is allowed only by the person's own grant; a right of the person is never gated by consent
(house.md, law 6). Nothing is opened for a purpose that is not in this table (law 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sottovoce.errors import UsageError

NOTICE_VERSION = "2026-11"  # of the built-in notices that have no version of their own


@dataclass(frozen=True, slots=True)
class Purpose:
    id: str
    basis: Literal["consent", "right"]
    legal_basis: str  # as the notice and the receipts print it
    opens: tuple[str, ...]  # kinds of sealed records that may be opened for it
    biometric: bool
    title: str
    what: str  # plain language: what is done
    kept: str  # plain language: how long
    notice: str = NOTICE_VERSION  # version of the built-in notice: another one with any change of the words


VOICE_RECORDING = "voice_recording"
VOICE_ANALYSIS = "voice_analysis"
RETENTION = "data_retention_30_days"
RESEARCH_STATISTICS = "research_statistics"
MODEL_TRAINING = "model_training"
EMBEDDING = "embedding"
AUDIO_HOLD = "audio_hold"
SUBJECT_ACCESS = "subject_access"

_INFERENCE_NOTICE = "2026-11-21"
_CONSENT = "consent, GDPR 6(1)(a)"
_EXPLICIT = "explicit consent, GDPR 6(1)(a) and 9(2)(a)"
_ALIASES = {"anonymized_research": RESEARCH_STATISTICS}


def _inference(attribute: str, title: str) -> Purpose:
    return Purpose(
        id=f"infer_{attribute}", basis="consent", legal_basis=_EXPLICIT, opens=("features",), biometric=True,
        title=f"Inference of {title}",
        what=f"A model estimates {title} from the features of the recording, and may be wrong. What it said, with its "
        "own confidence or that nothing can be said, is told to you and written to a log that you can see; you can "
        "have a human look at it again. Unset, the model is not run.",
        kept="As long as the features it was made from; destroyed as soon as you take this consent back.",
        notice=_INFERENCE_NOTICE,
    )  # fmt: skip


_REGISTER = (
    Purpose(
        id=VOICE_RECORDING, basis="consent", legal_basis=_CONSENT, opens=(), biometric=False,
        title="Taking a voice recording",
        what="A recording of the voice is taken in, for as long as it takes to compute numbers from it.",
        kept="The audio is destroyed as soon as the numbers are computed, at the latest by the deadline that "
        "is promised before it is stored.",
    ),
    Purpose(
        id=VOICE_ANALYSIS, basis="consent", legal_basis=_CONSENT, opens=("features", "insight"),
        biometric=False,
        title="Analysing the voice",
        what="88 acoustic numbers (eGeMAPS) and a plain voice profile (pitch, loudness, steadiness) are "
        "computed from the recording. Nothing is inferred about the person.",
        kept="Returned once; kept only where the person also agrees to data_retention_30_days.",
    ),
    Purpose(
        id=RETENTION, basis="consent", legal_basis=_CONSENT, opens=(), biometric=False,
        title="Keeping the result for 30 days",
        what="The numbers and the voice profile are kept, sealed under keys of their own.",
        kept="30 days, then their keys are destroyed. A longer policy never extends this promise.",
    ),
    Purpose(
        id=AUDIO_HOLD, basis="consent", legal_basis=_CONSENT, opens=(), biometric=False,
        title="Keeping a recording that could not be analysed",
        what="Where the analysis of a recording fails, the recording itself is kept, sealed under a key of its own, "
        "so that it can be tried again. Without this consent it is destroyed at once.",
        kept="At most 30 days from when it was taken in, or less where the service says so; it is destroyed as soon "
        "as an attempt succeeds, and at once when you take this consent back.",
    ),
    Purpose(
        id=RESEARCH_STATISTICS, basis="consent", legal_basis=_CONSENT, opens=("features",), biometric=False,
        title="Statistics for research",
        what="The kept numbers may count in statistics over many people.",
        kept="As long as the result is kept; a statistic once released cannot be taken back.",
    ),
    Purpose(
        id=MODEL_TRAINING, basis="consent", legal_basis=_CONSENT, opens=("features",), biometric=False,
        title="Training of models",
        what="The kept numbers may be used to train models.",
        kept="As long as the result is kept; models already trained are named on withdrawal.",
    ),
    Purpose(
        id=EMBEDDING, basis="consent", legal_basis=_EXPLICIT, opens=("embedding",), biometric=True,
        title="Computing a voice embedding",
        what="768 numbers that characterise the voice, and can identify the speaker, are computed.",
        kept="As long as the result is kept.",
    ),
    _inference("apparent_sex", "the apparent sex of the voice"),
    _inference("age", "the age"),
    _inference("emotion", "the emotion"),
    _inference("health", "the state of health"),
    _inference("accent", "the accent"),
    Purpose(
        id=SUBJECT_ACCESS, basis="right", legal_basis="right of access, GDPR 15",
        opens=("features", "insight", "embedding"), biometric=False,
        title="The person's own access",
        what="The person sees what is held about them.",
        kept="Not kept: shown to the person.",
    ),
)  # fmt: skip

PURPOSES: dict[str, Purpose] = {purpose.id: purpose for purpose in _REGISTER}
CONSENT_PURPOSES: tuple[str, ...] = tuple(p.id for p in _REGISTER if p.basis == "consent")


def purpose_of(name: str) -> Purpose:
    """The purpose of that id (or input alias); UsageError where there is none: unknown means no."""
    found = PURPOSES.get(_ALIASES.get(name, name))
    if found is None:
        raise UsageError(
            f"There is no purpose {name!r}.",
            hint="Purposes are: " + ", ".join(PURPOSES),
            reason="unknown_purpose",
        )
    return found


def consent_purpose(name: str) -> Purpose:
    """Like purpose_of, for a purpose that can be consented to."""
    found = purpose_of(name)
    if found.basis != "consent":
        raise UsageError(
            f"{found.id} is a right of the person: it is neither granted nor withdrawn.",
            hint="Purposes to consent to are: " + ", ".join(CONSENT_PURPOSES),
            reason="not_a_consent_purpose",
        )
    return found


def notice_text(purpose: Purpose) -> bytes:
    """The built-in English notice of a purpose, generated from the register: what the person is told."""
    lines = [
        purpose.title, "", purpose.what, "", f"How long: {purpose.kept}", f"Legal basis: {purpose.legal_basis}.",
        "Who receives it: nobody outside the operator of this service.",
        "You can withdraw this consent at any time; withdrawing is as easy as granting.", "",
    ]  # fmt: skip
    return "\n".join(lines).encode()


@dataclass(frozen=True, slots=True)
class PurposeGrant:
    """The token without which no sealed record is opened (C5a): one purpose, one session.

    Made where consent (or the person's right) has been checked and the audit entry is committed, nowhere else.
    """

    purpose: str
    subject_id: str
    session_id: str

    def opens(self, kind: str) -> bool:
        return kind in purpose_of(self.purpose).opens
