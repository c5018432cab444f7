"""What the verbs answer: plain values that every door renders in its own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import Literal

from sottovoce.model.consent import PurposeConsent
from sottovoce.model.features import FeatureVector, Insight, Quality
from sottovoce.model.inference import InferenceView
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.recipient import KnownAs
from sottovoce.model.recording import RecordingState, Shape, SourceFate


@dataclass(frozen=True, slots=True)
class AudioFate:
    """What became of the audio, as the receipt says it."""

    state: RecordingState
    shape: Shape
    copies_made: int  # 0 for analyze; 1 sealed body for submit
    source: SourceFate
    discard_by: datetime
    ended_at: datetime | None
    receipt_id: str | None
    receipt: str | None = field(repr=False)  # the signed text
    receipt_path: str | None = None  # the copy in the home, where there is one


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of the result, and until when."""

    kept: bool
    expires_at: datetime | None
    basis: str  # plain words


@dataclass(frozen=True, slots=True)
class Analysis:
    """The answer of `analyze`: the numbers, what they mean, and what became of the audio."""

    session_id: str
    subject: str = field(repr=False)  # the operator's own id, as given
    features: FeatureVector
    quality: Quality
    insight: Insight
    audio: AudioFate
    retention: Retention
    has_embedding: bool = False
    inferences: tuple[InferenceView, ...] = ()  # what models said, each for a purpose of its own

    def _repr_html_(self) -> str:
        """How a notebook shows it: the voice profile, and what became of the audio.

        Personal data: shown because somebody displays this very value, and by nothing else.
        """
        rows = [(item.title, item.shown, item.meaning) for item in self.insight.items]
        said = [view.inference for view in self.inferences]
        rows += [(one.attribute.replace("_", " "), one.value, f"Not for: {one.not_for}") for one in said]
        kept = f"until {self.retention.expires_at:%Y-%m-%d}" if self.retention.expires_at else "not kept"
        rows += [
            (
                "Features",
                f"{len(self.features.values)}, profile {self.features.profile}",
                "features.as_dict()",
            ),
            ("Audio", str(self.audio.state), f"source {self.audio.source.replace('_', ' ')}"),
            ("Result", kept, self.retention.basis),
            ("Session", self.session_id, f"receipt {self.audio.receipt_id or 'none'}"),
        ]
        cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer of `submit`: accepted, sealed, waiting for a worker."""

    session_id: str
    subject: str = field(repr=False)
    state: RecordingState
    body_bytes: int  # of ciphertext
    discard_by: datetime
    source: SourceFate


@dataclass(frozen=True, slots=True)
class WorkOutcome:
    """What a worker did with one recording."""

    session_id: str
    state: RecordingState
    failure: str | None
    attempts: int
    receipt_id: str | None


@dataclass(frozen=True, slots=True)
class SessionView:
    """One line of a person's sessions: states and times, no content."""

    session_id: str
    shape: Shape
    state: RecordingState
    received_at: datetime
    ended_at: datetime | None
    failure: str | None
    kept: bool
    expires_at: datetime | None
    record_kinds: tuple[str, ...]
    receipt_id: str | None
    receipt_path: str | None
    inferred: tuple[str, ...] = ()  # attributes of which something is kept


@dataclass(frozen=True, slots=True)
class SessionContent:
    """What was opened of a session for one purpose. Parts that the purpose does not open are None."""

    session_id: str
    purpose: str
    features: FeatureVector | None
    quality: Quality | None
    insight: Insight | None
    has_embedding: bool
    expires_at: datetime | None
    inferences: tuple[InferenceView, ...] = ()
    handed: KnownAs | None = None  # under which names a recipient received it


@dataclass(frozen=True, slots=True)
class ConsentOutcome:
    """The answer of grant, refuse and withdraw: what holds now, and the person's signed receipt."""

    subject: str = field(repr=False)
    action: str
    states: tuple[PurposeConsent, ...]  # of the purposes of this call
    receipt_id: str
    receipt: str = field(repr=False)
    receipt_path: str | None
    stopped_sessions: tuple[str, ...] = ()  # recordings that a withdrawal or refusal stopped
    remains: tuple[str, ...] = ()  # plain words: what is still kept, why, until when


@dataclass(frozen=True, slots=True)
class ErasureOutcome:
    """The answer of erase."""

    result: Literal["erased", "nothing_held", "would_erase", "held"]
    request_id: str | None
    counts: dict[str, int]  # store or table -> rows, keys, bodies, receipts
    receipt: str | None = field(repr=False)
    receipt_path: str | None = None


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """The answer of `export`: where the package is, and what is in it by count."""

    path: str
    size_bytes: int
    sha256: str
    made_at: datetime
    counts: dict[str, int]
    sealed_to: str | None = None  # id of the recipient key, hex
    handed: KnownAs | None = None  # under which names a recipient received it


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep did (or, dry, would do)."""

    audio_discarded: int = 0
    interrupted_finished: int = 0
    records_expired: int = 0
    erasures_resumed: int = 0
    orphan_bodies: int = 0
    orphan_keys: int = 0
    details_expired: int = 0  # keys of audit details past their time
    epochs_ended: int = 0  # key epochs whose age was due
    overdue: int = 0  # audio found past its deadline: an alarm
    clock_moved: bool = False  # results were not expired: the clock of this machine was set
    dry_run: bool = False
    errors: tuple[str, ...] = ()  # codes of what could not be finished


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A checkpoint held outside is of a time that a restore has taken back: it fits up to the backup, not beyond."""

    covered: int  # entries that the checkpoint covers
    kept: int  # entries of then that the backup had
    at: datetime  # of the restore
    backup: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The answer of `audit verify`."""

    intact: bool
    events: int
    unsequenced: int
    first_bad: int | None
    problem: str
    head: str
    evidence: str  # "no evidence" for an empty log, else plain words on what was checked
    between: tuple[int, int] | None = None  # after which entry, up to which, where only checkpoints disagree
    root: str = ""  # hex, of the tree over the verified entries
    checkpoints: int = 0  # signed ones, stored here, that were compared
    compared: int | None = None  # entries that the outside checkpoint covers, where one was given
    waiting_since: datetime | None = None  # of the oldest entry without a number
    unwitnessed_from: int | None = None  # number of the first entry that no witness is known to cover
    unwitnessed_since: datetime | None = None
    archived: int = 0  # entries from the first on whose contents are in archives; their hashes are here
    rolled_back: RolledBack | None = None  # a restore that was signed explains why a checkpoint goes further


@dataclass(frozen=True, slots=True)
class ArchiveOutcome:
    """The answer of `audit archive`, and of verifying an archive."""

    first: int  # number of its first entry
    last: int
    until: datetime | None  # when the last of them was written
    root: str  # hex, of the tree over everything up to the last


@dataclass(frozen=True, slots=True)
class WitnessState:
    """How far one witness has kept up."""

    witness: str
    size: int  # entries covered by the newest checkpoint that it took
    at: datetime | None  # when it took that one
    waiting_since: datetime | None  # of the oldest checkpoint that it has not taken
    lags: bool  # longer than the set delay: an alarm


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """The answer of `audit report`."""

    verification: AuditReport
    counts: dict[str, dict[str, int]]  # month ("2026-01") -> kind -> entries
    entries: int
    since: datetime | None
    until: datetime | None
    quiet_days: int  # days without any entry between the first and the last
    witnesses: tuple[WitnessState, ...]
    witnessed_at: datetime | None  # when the newest checkpoint that a witness has was taken
    witnessed_age: timedelta | None
    alarms: tuple[str, ...]  # what a person has to see to, in plain words


@dataclass(frozen=True, slots=True)
class AuditProof:
    """The answer of `audit prove`: a C2SP tlog-proof, and what it proves."""

    event_id: str
    sequence: int
    size: int  # entries of the log that the checkpoint covers
    text: str


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A checkpoint, or a proof of one entry, that was checked offline."""

    origin: str  # the name of the log
    size: int  # entries that the checkpoint covers
    root: str  # hex
    sequence: int | None  # number of the entry; None for a checkpoint alone
    entry: dict[str, object] | None = field(repr=False)  # its canonical form: pseudonymous, details sealed


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One entry as `audit show` prints it; details only where the subject's key still opens them."""

    sequence: int | None
    at: datetime
    kind: str
    actor: str
    channel: str
    purpose: str | None
    outcome: str
    pseudonym: str | None
    details: dict[str, object] | None
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `doctor`: an executed check with what was found."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RotationReport:
    """The answer of `keys rotate`."""

    from_epoch: int
    to_epoch: int
    rows_rewrapped: int
    took: timedelta
    destroyed: str  # what destroying the old KEK guarantees, in the provider's words
    copies: DestructionPromise  # until when a copy of the key store opens what is erased from now on


@dataclass(frozen=True, slots=True)
class KeysStatus:
    """The answer of `keys status`."""

    provider: dict[str, str]
    epoch: int
    epoch_since: datetime | None
    rows: dict[str, int]  # kind -> live rows
    rotation_pending: bool
    identity_key_id: str
    copies: DestructionPromise  # until when a copy of the key store opens what is erased now
    rotation_due_at: datetime | None  # when a sweep ends the epoch by its age; None: by hand only
    rotation_overdue: bool  # the promised end of the epoch has passed, and it stands: an alarm
