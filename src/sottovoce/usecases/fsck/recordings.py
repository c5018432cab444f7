"""One recording against its stores: I1, I3, I4, I5, I7 and I9."""

from __future__ import annotations

from dataclasses import dataclass

from sottovoce.model.policy import Policy
from sottovoce.model.recording import RecordingState
from sottovoce.ports import Blobs, Database
from sottovoce.usecases.discard import body_path
from sottovoce.usecases.fsck.report import SWEEP_INTERVAL
from sottovoce.usecases.fsck.seen import Seen, Session, changed, still_there
from sottovoce.usecases.keyring import Keyring


@dataclass(frozen=True, kw_only=True)
class Recordings:
    database: Database
    keyring: Keyring
    bodies: Blobs
    policy: Policy

    def check(
        self, seen: Seen, session: Session, *, stopped: bool, expired_some: bool, kept: bool, may_hold: bool
    ) -> None:
        """`stopped`: the consent to keep is gone. `may_hold`: the person agrees that failed audio is held.
        `expired_some`: records of the person have expired, or may have.
        `kept`: a restriction or a legal hold stands."""
        self._ended(seen, session)
        self._results(seen, session, expired_some=expired_some)
        self._withdrawn(seen, session, stopped=stopped)
        self._held(seen, session, may_hold=may_hold)
        self._due(seen, session, kept=kept)
        self._acknowledged(seen, session)

    def _ended(self, seen: Seen, session: Session) -> None:
        """I1, I3: of an ended recording neither body nor key is left (looked up now, not from the list)."""
        recording = session.recording
        if not recording.ended:
            return
        if self.bodies.exists(body_path(recording.id)):
            seen.add(
                "I1", "body_of_ended", "a body is left of a recording that has ended", recording.id, safe=True
            )
        if recording.id in seen.recording_keys and self.keyring.exists(recording.id):
            seen.add(
                "I3", "key_of_ended", "a key is left of a recording that has ended", recording.id, safe=True
            )

    def _results(self, seen: Seen, session: Session, *, expired_some: bool) -> None:
        """I4: at most once each, none where there must be none, and there where they are kept."""
        recording, kinds = session.recording, [record.kind for record in session.records]
        versions = [(record.kind, record.profile, record.version) for record in session.records]
        if len(set(versions)) < len(versions):
            seen.add("I4", "result_twice", "a result is there twice", recording.id)
        has_result = recording.state in (RecordingState.COMMITTED, RecordingState.VERIFIED)
        if kinds and not (has_result and recording.keep):
            seen.add(
                "I4", "result_unwanted", f"a recording that is {recording.state} has a result", recording.id
            )
        judged = has_result and recording.keep and recording.erase_request_id is None and not expired_some
        if judged and "features" not in kinds and not changed(self.database, recording):
            seen.add("I4", "result_missing", "a recording that was committed has no features", recording.id)

    def _withdrawn(self, seen: Seen, session: Session, *, stopped: bool) -> None:
        """I5: with the consent to keep gone, every record is due."""
        for record in session.sealed if stopped else ():
            if record.expires_at > seen.now and still_there(self.database, record.id):
                seen.add(
                    "I5",
                    "kept_after_withdrawal",
                    "a record outlives the withdrawal",
                    record.subject_id,
                    safe=True,
                )

    def _held(self, seen: Seen, session: Session, *, may_hold: bool) -> None:
        """I5: audio is held for another attempt by the person's consent to that, and not otherwise (M36)."""
        recording = session.recording
        waits = recording.hold_until is not None and not recording.ended and recording.failure is None
        if waits and not may_hold and not changed(self.database, recording):
            what = "a recording is held without the person's consent to that"
            seen.add("I5", "held_without_consent", what, recording.id, safe=True)

    def _due(self, seen: Seen, session: Session, *, kept: bool) -> None:
        """I7: due = min(promise at insert, policy now), for records (but restricted or held ones) and for audio."""
        late = seen.now - SWEEP_INTERVAL
        recording, promise = session.recording, self.policy.retention.due
        due = [promise(one.kind, one.created_at, one.expires_at) for one in session.records]
        due += [promise("decision", one.at, one.expires_at) for one in session.decisions]
        ids = [one.id for one in session.sealed]
        for record_id, due_at in zip(ids, due, strict=True):
            if due_at < late and not kept and still_there(self.database, record_id):
                seen.add("I7", "record_overdue", "a record is past its date", record_id, safe=True)
        gone_by = recording.discard_by
        if recording.hold_until is not None:
            held_until = self.policy.held_until(recording.received_at, recording.hold_until)
            gone_by = min(gone_by, held_until or recording.discard_by)
        if not recording.ended and gone_by < late and not changed(self.database, recording):
            seen.add(
                "I7",
                "audio_overdue",
                "a recording is past the deadline of its audio",
                recording.id,
                safe=True,
            )

    def _acknowledged(self, seen: Seen, session: Session) -> None:
        """I9: what was accepted has a body with its key, a result that opens, or the word that it failed."""
        recording = session.recording
        waits = recording.body_stored_at is not None and recording.state in (
            RecordingState.RECEIVED, RecordingState.HELD,
        )  # fmt: skip
        if waits and recording.failure is None and recording.erase_request_id is None:
            there = self.bodies.exists(body_path(recording.id)) and self.keyring.exists(recording.id)
            if not there and not changed(self.database, recording):
                seen.add("I9", "body_lost", "an accepted recording has no body or no key", recording.id)
        for record in session.sealed:
            missing = record.id not in seen.record_keys and not self.keyring.exists(record.id)
            kept = recording.erase_request_id is None and record.expires_at > seen.now
            if missing and kept and still_there(self.database, record.id):
                seen.add("I9", "record_without_key", "a record has no key: nobody can open it", record.id)
        has_receipt = any(receipt.id == recording.receipt_id for receipt in session.receipts)
        if recording.ended and not has_receipt and not changed(self.database, recording):
            seen.add("I9", "receipt_missing", "an ended recording has no receipt", recording.id)
