"""The discard of audio: the one way in which every recording ends, whatever happened before.

Rules upheld here, in order:
1. The recording's key row is destroyed first, then its body is deleted: the key is what matters (law 7).
2. Then we look again, by the body's path and the key's id, never by asking our own row; what is found is an error.
3. Only after that the state says VERIFIED or FAILED_SHREDDED, in one transaction with the signed receipt and the
   audit entry.
4. Everything is idempotent: whoever is interrupted is followed by the sweeper or the next open().
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sottovoce.errors import NotFound, StorageError
from sottovoce.model.canonical import JsonValue
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.job import Job
from sottovoce.model.outcome import AudioFate
from sottovoce.model.record import StoredReceipt
from sottovoce.model.recording import LifecycleEvent, Recording, RecordingState, SourceFate
from sottovoce.model.subject import Caller
from sottovoce.model.times import iso_s
from sottovoce.ports import Blobs, Database, UnitOfWork
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.trail import Scribe, Trail
from sottovoce.voice.rejections import REASONS


@dataclass(frozen=True)
class Ended:
    """A recording as a discard left it, with the receipt that it made."""

    recording: Recording | None
    receipt: StoredReceipt | None = None
    source: SourceFate | None = None


@dataclass(frozen=True, kw_only=True)
class Discard:
    database: Database
    keyring: Keyring
    bodies: Blobs
    trail: Trail
    receipts: ReceiptBook
    random_bytes: RandomBytes
    tenant: str

    def fail(self, session_id: str, code: str, *, caller: Caller) -> bool:
        """Write down that a recording will give no result, so that nobody claims it again; whether it was still
        to be decided. The audio goes next, by `settle`."""
        with self.database.begin() as tx:
            recording = tx.recordings.get(session_id)
            if recording is None or not mark_failed(tx, recording, code):
                return False
            self.trail.of(recording.subject_id, caller=caller).write(
                tx, "recording.failed", outcome=code, details={"session": session_id}
            )
        return True

    def settle(
        self,
        session_id: str,
        *,
        caller: Caller,
        source: SourceFate | None = None,
        scribe: Scribe | None = None,
    ) -> Ended:
        """Destroy, delete, look again, say so. What is not to be discarded is returned as it stands."""
        with self.database.read() as tx:
            recording = tx.recordings.get(session_id)
        if recording is None or not _to_be_discarded(recording):
            return Ended(recording)
        self.destroy(recording.id)  # before anything that asks the key provider, which may be down (F16)
        return self._end(recording, scribe or self.trail.of(recording.subject_id, caller=caller), source)

    def end(self, recording: Recording, scribe: Scribe, *, source: SourceFate | None = None) -> Ended:
        """`settle` for who knows that the recording is to be discarded now."""
        self.destroy(recording.id)
        return self._end(recording, scribe, source)

    def audio_fate(self, ended: Ended) -> AudioFate:
        """What became of a recording's audio, with its receipt."""
        recording, receipt = ended.recording, ended.receipt
        if recording is None:
            raise NotFound("There is no recording of this id.")
        return AudioFate(
            state=recording.state, shape=recording.shape,
            copies_made=0 if recording.body_stored_at is None else 1,
            source=source_fate(recording, ended.source), discard_by=recording.discard_by,
            ended_at=recording.ended_at, receipt_id=recording.receipt_id,
            receipt=receipt.text if receipt else None, receipt_path=self.receipts.path(receipt),
        )  # fmt: skip

    def destroy(self, session_id: str) -> None:
        """Key row, then body, then the look again (rules 1 and 2)."""
        self.keyring.destroy([session_id])
        self.bodies.delete(body_path(session_id))
        if self.bodies.exists(body_path(session_id)) or self.keyring.exists(session_id):
            raise StorageError(
                "The audio is still there after it was deleted; it will be tried again.",
                hint="Check that the home is writable, then run `sottovoce sweep`.",
                reason="audio_remains",
            )

    def _end(self, recording: Recording, scribe: Scribe, source: SourceFate | None) -> Ended:
        """tx3: final state, receipt and audit entry together."""
        signer = self.receipts.signer()
        with self.database.begin() as tx:
            current = tx.recordings.get(recording.id)
            if current is None or not _to_be_discarded(current):
                return Ended(current)
            event = (
                LifecycleEvent.VERIFY if current.state is RecordingState.COMMITTED else LifecycleEvent.SHRED
            )
            ended = replace(
                current.to(event),
                ended_at=tx.now(),
                receipt_id=new_id("receipt", self.random_bytes),
            )
            if not tx.recordings.swap(ended, expected=current):
                return Ended(tx.recordings.get(recording.id))
            text = signer.sign("recording", _receipt_body(tx, ended, source))
            receipt = StoredReceipt(
                id=ended.receipt_id or "", tenant=self.tenant, subject_id=ended.subject_id,
                session_id=ended.id, kind="recording", text=text, at=tx.now(),
            )  # fmt: skip
            tx.receipts.add(receipt)
            tx.jobs.drop(ended.id)
            scribe.write(
                tx, f"recording.{ended.state}", outcome=ended.failure or "ok",
                details={"session": ended.id, "receipt": receipt.id},
            )  # fmt: skip
        self.receipts.publish(receipt)
        return Ended(ended, receipt, source)


def body_path(session_id: str) -> str:
    """Where the sealed body of a recording stands: derivable from its id alone, so that it is found without a row."""
    return session_id


def mark_failed(tx: UnitOfWork, recording: Recording, code: str) -> bool:
    """In a transaction: no result will come of this recording, its discard is due now. False where that is decided
    already, or where it has been committed, ended or taken over by an erasure."""
    undecided = (
        recording.state in (RecordingState.RECEIVED, RecordingState.HELD) and recording.failure is None
    )
    if not undecided or recording.erase_request_id is not None:
        return False
    # The caller's key is free for another attempt, but a corpus remembers what was refused for what it is.
    kept = recording.idempotency if code in REASONS else None
    failed = replace(recording, failure=code, lease_owner=None, lease_until=None, idempotency=kept)
    if not tx.recordings.swap(failed, expected=recording):
        return False
    discard_now(tx, recording.id)
    return True


def discard_now(tx: UnitOfWork, session_id: str) -> None:
    tx.jobs.done("extract", session_id)
    tx.jobs.put(Job("discard", session_id, tx.now()))


def _to_be_discarded(recording: Recording) -> bool:
    if recording.erase_request_id is not None or recording.ended:
        return False
    return recording.state is RecordingState.COMMITTED or recording.failure is not None


def _receipt_body(tx: UnitOfWork, recording: Recording, source: SourceFate | None) -> dict[str, JsonValue]:
    kept = tx.records.of_session(recording.id)
    return {
        "receipt_id": recording.receipt_id,
        "tenant": recording.tenant,
        "subject_id": recording.subject_id,
        "session_id": recording.id,
        "shape": recording.shape,
        "state": recording.state.value,
        "failure": recording.failure,
        "received_at": iso_s(recording.received_at),
        "discard_by": iso_s(recording.discard_by),
        "ended_at": iso_s(recording.ended_at),
        "audio": {
            "copies_made": 0 if recording.body_stored_at is None else 1,
            "sealed_body_bytes": recording.body_bytes,
            "key": "no key was made"
            if recording.shape == "analyze"
            else "destroyed, not found after deletion",
            "body": "none was stored"
            if recording.shape == "analyze"
            else "deleted, not found after deletion",
            "source": _source_words(recording, source),
        },
        "result": {
            "kept": bool(kept),
            "records": sorted(record.kind for record in kept),
            "expires_at": iso_s(min((record.expires_at for record in kept), default=None)),
        },
    }


def source_fate(recording: Recording, source: SourceFate | None) -> SourceFate:
    """What is known of the caller's file: an interrupted unlink cannot be confirmed afterwards."""
    if source is not None:
        return source
    return "unlink_not_confirmed" if recording.discard_source else "left_in_place"


def _source_words(recording: Recording, source: SourceFate | None) -> str:
    fate = source_fate(recording, source)
    words = {
        "left_in_place": "left in place",
        "unlinked": "unlinked, blocks not proven",
        "unlink_not_confirmed": "unlink not confirmed, check the source",
    }
    return words[fate]
