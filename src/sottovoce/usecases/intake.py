"""Taking a recording in: what is asked of it, which purposes that needs, its first row, and the retry of a request.

Rules upheld here, in order:
1. What would leave nothing behind if its result could not be kept needs the consent to keep it.
2. A recording's row has its deadline from the first moment; nothing of the caller's file is in it, not even its name.
3. One idempotency key is one recording: its retry takes up what was left, or is refused, and makes no second (F13).
   The key is stored as a keyed hash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sottovoce.errors import Conflict, UsageError
from sottovoce.model.findings import Findings
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.inference import ModelUse
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import EMBEDDING, RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import Recording, RecordingState, Shape
from sottovoce.ports import ExtractOptions, UnitOfWork
from sottovoce.sealing.pseudonym import idempotency_hash
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.leases import Leases
from sottovoce.voice import gate as quality_gate

OnGate = Callable[[tuple[quality_gate.Finding, ...]], None]
OnInference = Callable[[tuple[ModelUse, ...]], None]

NEEDED: tuple[str, ...] = (VOICE_RECORDING, VOICE_ANALYSIS)  # by every recording


@dataclass(frozen=True, kw_only=True)
class Ask:
    """How a recording is to be treated; everything that is not the audio itself."""

    subject: str  # the operator's own id of the person
    discard_source: bool = False
    idempotency_key: str | None = None
    channel: str = "0"
    accept_truncated: bool = False
    embedding: bool = False
    must_keep: bool = False  # refused where the person has not agreed that the result is kept
    on_gate: OnGate | None = None  # of analyze: told what the gate found, before anything is sealed
    # of analyze: told which models will be run, before the audio is read
    on_inference: OnInference | None = None


def purposes_of(shape: Shape, ask: Ask) -> tuple[str, ...]:
    """What the person has to have agreed to before a recording of them is taken in."""
    purposes: tuple[str, ...] = NEEDED
    if shape == "submit" or ask.discard_source or ask.must_keep:
        purposes = (*purposes, RETENTION)  # nothing else would be left if the result could not be kept
    return (*purposes, EMBEDDING) if ask.embedding else purposes


def needed_at_commit(leased: Recording, findings: Findings) -> tuple[str, ...]:
    """What they have to agree to still when its result is stored."""
    needed = NEEDED
    if leased.shape == "submit" or leased.discard_source:
        needed = (*needed, RETENTION)
    return (*needed, EMBEDDING) if findings.embedding_sha256 is not None else needed


def extract_options(recording: Recording, policy: Policy, *, embedding: bool = False) -> ExtractOptions:
    """How the sealed child treats it. UsageError where an embedding is asked for and no model is set."""
    if embedding and policy.embedding_model is None:
        raise UsageError(
            "No embedding model is set.",
            hint="Name the folder of a wav2vec2 model in the setting `embedding_model`.",
            reason="embedding_model",
        )
    return ExtractOptions(
        profile=recording.profile, max_analysed_s=policy.max_analysed_s, channel=recording.channel,
        accept_truncated=recording.accept_truncated, max_body_bytes=policy.max_body_bytes,
        embedding_model=policy.embedding_model if embedding else None,
        wall_limit_s=policy.wall_limit_s,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Intake:
    keyring: Keyring
    leases: Leases
    policy: Policy
    random_bytes: RandomBytes
    tenant: str

    def new_recording(
        self, tx: UnitOfWork, shape: Shape, ask: Ask, subject_id: str, *, keep: bool
    ) -> Recording:
        """The first row of a recording, held by this process."""
        now = tx.now()
        inline = shape == "analyze"
        lifetime = self.policy.discard_by_inline if inline else self.policy.discard_by_queued
        made = Recording(
            id=new_id("session", self.random_bytes), tenant=self.tenant, subject_id=subject_id, shape=shape,
            state=RecordingState.RECEIVED, received_at=now, discard_by=now + lifetime,
            keep=keep, discard_source=ask.discard_source,
            profile=self.policy.profile, channel=ask.channel, accept_truncated=ask.accept_truncated,
            idempotency=self._idempotency(ask), attempts=1 if inline else 0,
        )  # fmt: skip
        return self.leases.taken(made, now)

    def taken_up(self, tx: UnitOfWork, shape: Shape, ask: Ask, subject_id: str) -> Recording | None:
        """The recording that the same idempotency key has made already: taken up where it was left, or refused by a
        Conflict. None: a new one is to be made."""
        before = self.same_request(tx, ask, subject_id)
        if before is None:
            return None
        if before.shape != shape:
            raise Conflict("This idempotency key belongs to another kind of request.", reason="idempotency")
        if before.state is RecordingState.FAILED_SHREDDED and tx.recordings.swap(
            replace(before, idempotency=None), expected=before
        ):
            return None  # it ended without a result: the key is given to a new attempt
        if shape == "submit" and before.failure is None:
            if before.body_stored_at is not None or before.state is not RecordingState.RECEIVED:
                return before
            if self.leases.ended(before, tx.now()):
                mine = self.leases.taken(before, tx.now())
                if tx.recordings.swap(mine, expected=before):
                    return mine
        raise _refused(before)

    def same_request(self, tx: UnitOfWork, ask: Ask, subject_id: str) -> Recording | None:
        """The recording that was made under the same idempotency key, if any."""
        hashed = self._idempotency(ask)
        return tx.recordings.by_idempotency(self.tenant, subject_id, hashed) if hashed else None

    def _idempotency(self, ask: Ask) -> str | None:
        if ask.idempotency_key is None:
            return None
        return idempotency_hash(
            self.keyring.tenant_key("blind_index"), scope=ask.subject, idempotency_key=ask.idempotency_key
        )


def _refused(before: Recording) -> Conflict:
    """The answer to a request whose first attempt cannot be taken up."""
    if before.state in (RecordingState.VERIFIED, RecordingState.COMMITTED):
        return Conflict(
            "This request was answered already.",
            hint=f"Its session is {before.id}: see `sottovoce sessions` and `sottovoce show`.",
            reason="already_answered",
        )
    return Conflict("The same request is being worked on.", hint="Try again shortly.", reason="in_progress")
