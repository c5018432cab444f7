"""`sottovoce fsck`: the invariants I1 to I10 of the reliability contract, checked on a live home.

Rules upheld here, in order:
1. Nothing is believed of a row because it is ours: what stands in the stores is listed and compared with the rows.
2. Rows are read after objects, and whatever looks wrong is looked at once more, so that work that goes on meanwhile
   is not taken for damage.
3. Each invariant says what was looked at, also where nothing was found; what cannot be checked is said, not skipped.
4. Only that is repaired which the platform would do by itself sooner or later; a file in clear, a damaged log or a
   lost record is never touched.
5. Linear in rows and bodies: every key is tried only on bodies whose own key row is missing.
No finding names a person, a file or a content: internal ids and counts only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from sottovoce.errors import KeyUnavailable, NotFound, SottovoceError
from sottovoce.model import consent as ledger
from sottovoce.model.consent import ConsentStatus
from sottovoce.model.event import AuditEvent
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import RETENTION
from sottovoce.model.record import Decision, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.subject import Caller
from sottovoce.ports import Blobs, Database, UnitOfWork
from sottovoce.sealing import envelope, pseudonym
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.discard import body_path
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.oversight import Oversight
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.retention import RetentionSweep
from sottovoce.usecases.trail import Trail

# What falls due while nothing runs goes with the next sweep: a worker sweeps once a minute.
SWEEP_INTERVAL = timedelta(seconds=60)
_NO_LEDGER = "no budget ledger in this version: nothing is spent yet"

TITLES = {
    "I1": "audio is nowhere in clear, and gone where a recording has ended",
    "I2": "every stored object has a row, or is younger than the grace",
    "I3": "no key is left of a recording that has ended",
    "I4": "results are there exactly once, and only where they may be",
    "I5": "what a person has withdrawn is due or gone",
    "I6": "the audit log verifies, and every recording has its entries",
    "I7": "nothing past its date is left",
    "I8": "no privacy budget is overspent",
    "I9": "what was acknowledged is there, and opens",
    "I10": "an erasure can always go on",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as promised."""

    code: str
    what: str
    ref: str = ""  # an internal id, where one thing is concerned
    safe: bool = False  # whether --repair does something about it


@dataclass(frozen=True, slots=True)
class Checked:
    """One invariant: what was looked at, and what was found."""

    id: str
    looked_at: str
    findings: tuple[Finding, ...] = ()
    applicable: bool = True

    @property
    def title(self) -> str:
        return TITLES[self.id]


@dataclass(frozen=True, slots=True)
class FsckReport:
    """The answer of `fsck`. After a repair `checked` is what is left, `repaired` what is not found any more."""

    checked: tuple[Checked, ...]
    repaired: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for one in self.checked for finding in one.findings)

    @property
    def sound(self) -> bool:
        return not self.findings


class FilesSeen(Protocol):
    """What the outside says of the files of the home (`adapters/home_scan.py`)."""

    @property
    def files(self) -> int: ...
    @property
    def looked_at_bytes(self) -> int: ...
    @property
    def audio(self) -> int: ...
    @property
    def unreadable(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Session:
    recording: Recording
    records: tuple[SealedRecord, ...]
    decisions: tuple[Decision, ...]
    receipts: tuple[StoredReceipt, ...]

    @property
    def sealed(self) -> tuple[SealedRecord | Decision, ...]:
        return (*self.records, *self.decisions)


@dataclass(slots=True)
class _Seen:
    """Everything read in one go over the rows, so that each check is a look at plain values."""

    now: datetime
    bodies: dict[str, datetime] = field(default_factory=dict)  # finished ones
    parts: dict[str, datetime] = field(default_factory=dict)
    recording_keys: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # id -> subject id, made at
    record_keys: dict[str, datetime] = field(default_factory=dict)
    key_rows: int = 0
    people: int = 0
    sessions: int = 0
    records: int = 0
    receipts: int = 0
    known: set[str] = field(default_factory=set)  # ids of recordings
    found: dict[str, list[Finding]] = field(default_factory=dict)
    joined: int = 0
    sealed_entries: int = 0  # entries whose details no key opens any more

    def add(self, invariant: str, code: str, what: str, ref: str = "", *, safe: bool = False) -> None:
        self.found.setdefault(invariant, []).append(Finding(code, what, ref, safe))


@dataclass(frozen=True, kw_only=True)
class Fsck:
    database: Database
    keyring: Keyring
    bodies: Blobs
    trail: Trail
    receipts: ReceiptBook
    oversight: Oversight
    sweep: RetentionSweep
    policy: Policy
    tenant: str
    number: Callable[[], object]  # numbers the audit entries that wait
    files: Callable[[], FilesSeen]
    broken_reserves: Callable[[], Sequence[str]]

    def check(self, *, repair: bool = False, caller: Caller) -> FsckReport:
        """Look at everything; with `repair` do what is safe, then look again."""
        before = self._look()
        if not repair or before.sound:
            return before
        self._repair(before, caller=caller)
        after = self._look()
        left = {(finding.code, finding.ref) for finding in after.findings}
        gone = tuple(one for one in before.findings if (one.code, one.ref) not in left)
        return replace(after, repaired=gone)

    # --- looking ---------------------------------------------------------------------------------------

    def _look(self) -> FsckReport:
        seen = self._objects()
        for subject_id in self._people():
            seen.people += 1
            self._person(seen, subject_id)
        self._bodies(seen)
        self._keys(seen)
        entries = self._log(seen)
        files = self._files(seen)
        self._erasures(seen)
        looked_at = {
            "I1": f"{files.files} files of the home ({files.looked_at_bytes} bytes), {len(seen.bodies)} bodies",
            "I2": f"{len(seen.bodies)} bodies, {len(seen.parts)} unfinished ones, {seen.key_rows} keys, "
            f"{seen.sessions} recordings",
            "I3": f"{len(seen.recording_keys)} keys of recordings, {seen.sessions} recordings",
            "I4": f"{seen.records} records of {seen.sessions} recordings",
            "I5": f"the consents of {seen.people} people, {seen.records} records",
            "I6": f"{entries} entries; {seen.joined} recordings joined with theirs, "
            f"{seen.sealed_entries} entries whose details no key opens any more",
            "I7": f"{seen.sessions} recordings, {seen.records} records, at {seen.now.isoformat(timespec='seconds')}",
            "I8": _NO_LEDGER,
            "I9": f"{seen.sessions} recordings, {seen.receipts} receipts and their copies",
            "I10": "space kept aside for erasing, erasures under way",
        }
        return FsckReport(
            tuple(
                Checked(invariant, words, tuple(seen.found.get(invariant, ())), applicable=invariant != "I8")
                for invariant, words in looked_at.items()
            )
        )

    def _objects(self) -> _Seen:
        """Bodies and keys first: what is made while the rows are read is then not taken for an orphan."""
        with self.database.read() as tx:
            seen = _Seen(now=tx.now())
        for info in self.bodies.list():
            (seen.bodies if info.finished else seen.parts)[info.path] = info.modified_at
        for row in self.keyring.rows():
            seen.key_rows += 1
            if row.kind == "recording":
                seen.recording_keys[row.key_id] = (row.subject_id or "", row.created_at)
            elif row.kind == "record":
                seen.record_keys[row.key_id] = row.created_at
        return seen

    def _people(self) -> Iterator[str]:
        with self.database.read() as tx:
            yield from tx.subjects.ids()

    def _person(self, seen: _Seen, subject_id: str) -> None:
        with self.database.read() as tx:
            if tx.subjects.get(subject_id) is None:
                return  # erased meanwhile
            sessions = [_session(tx, recording) for recording in tx.recordings.of_subject(subject_id)]
            keeping = ledger.fold(tx.consents.of_subject(subject_id)).get(RETENTION)
            receipts = tx.receipts.of_subject(subject_id)
            events, opened = self._entries(tx, subject_id)
        stopped = keeping is not None and keeping.status is not ConsentStatus.GRANTED
        expired_some = any(event.kind == "record.expired" for event in events)
        for session in sessions:
            seen.sessions += 1
            seen.records += len(session.records)
            seen.known.add(session.recording.id)
            self._ended(seen, session)
            self._results(seen, session, expired_some=expired_some)
            self._withdrawn(seen, session, stopped=stopped)
            self._due(seen, session)
            self._acknowledged(seen, session)
            if opened is not None:
                self._joined(seen, session.recording, opened)
        for receipt in receipts:
            seen.receipts += 1
            if not self.receipts.has_copy(receipt.id):
                seen.add("I9", "receipt_copy_missing", "a receipt has no copy", receipt.id, safe=True)

    # --- one recording ---------------------------------------------------------------------------------

    def _ended(self, seen: _Seen, session: _Session) -> None:
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

    def _results(self, seen: _Seen, session: _Session, *, expired_some: bool) -> None:
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
        if judged and "features" not in kinds and not self._changed(recording):
            seen.add("I4", "result_missing", "a recording that was committed has no features", recording.id)

    def _withdrawn(self, seen: _Seen, session: _Session, *, stopped: bool) -> None:
        """I5: with the consent to keep gone, every record is due."""
        for record in session.sealed if stopped else ():
            if record.expires_at > seen.now and self._still_there(record.id):
                seen.add(
                    "I5",
                    "kept_after_withdrawal",
                    "a record outlives the withdrawal",
                    record.subject_id,
                    safe=True,
                )

    def _due(self, seen: _Seen, session: _Session) -> None:
        """I7: due = min(promise at insert, policy now), for records and for audio."""
        late = seen.now - SWEEP_INTERVAL
        recording, promise = session.recording, self.policy.retention.due
        due = [promise(one.kind, one.created_at, one.expires_at) for one in session.records]
        due += [promise("decision", one.at, one.expires_at) for one in session.decisions]
        ids = [one.id for one in session.sealed]
        for record_id, due_at in zip(ids, due, strict=True):
            if due_at < late and self._still_there(record_id):
                seen.add("I7", "record_overdue", "a record is past its date", record_id, safe=True)
        if not recording.ended and recording.discard_by < late and not self._changed(recording):
            seen.add(
                "I7",
                "audio_overdue",
                "a recording is past the deadline of its audio",
                recording.id,
                safe=True,
            )

    def _acknowledged(self, seen: _Seen, session: _Session) -> None:
        """I9: what was accepted has a body with its key, a result that opens, or the word that it failed."""
        recording = session.recording
        waits = recording.body_stored_at is not None and recording.state in (
            RecordingState.RECEIVED, RecordingState.HELD,
        )  # fmt: skip
        if waits and recording.failure is None and recording.erase_request_id is None:
            there = self.bodies.exists(body_path(recording.id)) and self.keyring.exists(recording.id)
            if not there and not self._changed(recording):
                seen.add("I9", "body_lost", "an accepted recording has no body or no key", recording.id)
        for record in session.sealed:
            missing = record.id not in seen.record_keys and not self.keyring.exists(record.id)
            kept = recording.erase_request_id is None and record.expires_at > seen.now
            if missing and kept and self._still_there(record.id):
                seen.add("I9", "record_without_key", "a record has no key: nobody can open it", record.id)
        has_receipt = any(receipt.id == recording.receipt_id for receipt in session.receipts)
        if recording.ended and not has_receipt and not self._changed(recording):
            seen.add("I9", "receipt_missing", "an ended recording has no receipt", recording.id)

    def _still_there(self, record_id: str) -> bool:
        with self.database.read() as tx:
            return bool(tx.records.existing([record_id]))

    def _changed(self, recording: Recording) -> bool:
        """Whether somebody has worked on the recording since it was read."""
        with self.database.read() as tx:
            return tx.recordings.get(recording.id) != recording

    # --- the log ---------------------------------------------------------------------------------------

    def _entries(
        self, tx: UnitOfWork, subject_id: str
    ) -> tuple[tuple[AuditEvent, ...], dict[tuple[str, str], int] | None]:
        """The person's entries, and how many of each kind each session has; None where the key is gone."""
        try:
            key = self.keyring.subject_key(subject_id, "audit")
        except KeyUnavailable:
            return (), None
        events = tx.events.of_pseudonym(pseudonym.audit_pseudonym(key, subject_id))
        counted: dict[tuple[str, str], int] = {}
        for event in events:
            if not event.kind.startswith("recording."):
                continue
            details = self.trail.open_details(event)
            if details is None:
                counted["", event.kind] = counted.get(("", event.kind), 0) + 1
            else:
                place = (str(details.get("session")), event.kind)
                counted[place] = counted.get(place, 0) + 1
        return events, counted

    def _joined(self, seen: _Seen, recording: Recording, counted: dict[tuple[str, str], int]) -> None:
        """I6: the entry of the recording's beginning, of its result and of its end."""
        wanted = ["recording.received"]
        if recording.state in (RecordingState.COMMITTED, RecordingState.VERIFIED):
            wanted.append("recording.committed")
        if recording.ended:
            wanted.append(f"recording.{recording.state}")
        seen.joined += 1
        for kind in wanted:
            if counted.get((recording.id, kind)):
                continue
            if counted.get(("", kind)):
                seen.sealed_entries += 1
            elif not self._changed(recording):
                seen.add("I6", "entry_missing", f"a recording has no entry {kind}", recording.id)

    def _log(self, seen: _Seen) -> int:
        report = self.oversight.verify_audit()
        if not report.intact:
            seen.add("I6", "log_broken", f"the log is not what was written: {report.problem}")
        if report.unsequenced:
            what = f"{report.unsequenced} entries have no number yet"
            seen.add("I6", "entries_unnumbered", what, safe=True)
        return report.events

    # --- objects and files -----------------------------------------------------------------------------

    def _bodies(self, seen: _Seen) -> None:
        """I2: a body without a row, or never finished, past the grace. I3: no live key opens one without its own."""
        for path, at in seen.bodies.items():
            if path not in seen.known and self._orphan(seen, path, at):
                seen.add("I2", "body_without_row", "a body belongs to no recording", path, safe=True)
            if path not in seen.recording_keys and not self.keyring.exists(path):
                self._try_every_key(seen, path)
        for path, at in seen.parts.items():
            if self._orphan(seen, path, at):
                seen.add("I2", "body_unfinished", "a body was never finished", path, safe=True)

    def _orphan(self, seen: _Seen, path: str, at: datetime) -> bool:
        return seen.now - at > self.policy.orphan_grace and self.bodies.exists(path)

    def _try_every_key(self, seen: _Seen, path: str) -> None:
        """The commitment alone tells whether a key fits; 56 bytes are read and nothing is decrypted."""
        try:
            with self.bodies.reader(path) as fd:
                head = os.pread(fd, envelope.HEADER_MAX_BYTES + envelope.PREFIX_BYTES, 0)
            header = envelope.parse_header(head)
        except (NotFound, SottovoceError):
            return  # gone meanwhile, or no body of ours: nothing opens it
        prefix = head[header.body_offset :][: envelope.PREFIX_BYTES]
        for key_id, (subject_id, _) in seen.recording_keys.items():
            context = header.body_context(
                encode_context(tenant=self.tenant, subject=subject_id, record=path, kind="audio", version="1")
            )
            try:
                fits = envelope.key_fits(self.keyring.open_key(key_id), prefix, context)
            except SottovoceError:
                continue  # destroyed meanwhile
            if fits:
                seen.add("I3", "key_elsewhere", "a body opens with a key of another recording", path)

    def _keys(self, seen: _Seen) -> None:
        """I2 for keys: a key without the data it was made for, past the grace."""
        old = seen.now - self.policy.orphan_grace
        lone = [
            key_id for key_id, (_, at) in seen.recording_keys.items() if at < old and key_id not in seen.known
        ]
        aged = [key_id for key_id, at in seen.record_keys.items() if at < old]
        for start in range(0, len(aged), 500):
            with self.database.read() as tx:
                existing = tx.records.existing(aged[start : start + 500])
            lone += [key_id for key_id in aged[start : start + 500] if key_id not in existing]
        for key_id in lone:
            if self.keyring.exists(key_id):
                seen.add("I2", "key_without_data", "a key belongs to nothing", key_id, safe=True)

    def _files(self, seen: _Seen) -> FilesSeen:
        files = self.files()
        if files.audio:
            seen.add("I1", "audio_in_clear", f"{files.audio} files of the home hold audio in clear")
        if files.unreadable:
            seen.add("I1", "files_unreadable", f"{files.unreadable} files of the home could not be read")
        return files

    def _erasures(self, seen: _Seen) -> None:
        for name in self.broken_reserves():
            seen.add("I10", "reserve_missing", "the space kept aside for erasing is not whole", name)
        with self.database.read() as tx:
            unfinished = [
                one for one in tx.requests.unfinished() if one.requested_at < seen.now - SWEEP_INTERVAL
            ]
        for request in unfinished:
            seen.add(
                "I10",
                "erasure_unfinished",
                "an erasure was promised and is not finished",
                request.id,
                safe=True,
            )

    # --- repairing -------------------------------------------------------------------------------------

    def _repair(self, report: FsckReport, *, caller: Caller) -> None:
        """What the platform would do by itself; the sweep does most of it."""
        for finding in report.findings:
            if finding.code in ("body_of_ended", "key_of_ended"):
                self.keyring.destroy([finding.ref])
                self.bodies.delete(body_path(finding.ref))
            elif finding.code == "receipt_copy_missing":
                self._publish(finding.ref)
        for subject_id in {one.ref for one in report.findings if one.code == "kept_after_withdrawal"}:
            with self.database.begin() as tx:
                if tx.subjects.lock(subject_id) is not None:
                    tx.records.expire_now(subject_id, tx.now())
        self.sweep.sweep(caller=caller)
        with self.database.begin() as tx:
            done = {"found": len(report.findings)}
            self.trail.of(None, caller=caller).write(tx, "home.repaired", details=done)
        self.number()

    def _publish(self, receipt_id: str) -> None:
        with self.database.read() as tx:
            receipt = tx.receipts.get(receipt_id)
        if receipt is not None:
            self.receipts.publish(receipt)


def _session(tx: UnitOfWork, recording: Recording) -> _Session:
    return _Session(
        recording, tx.records.of_session(recording.id), tx.records.decisions_of_session(recording.id),
        tx.receipts.of_session(recording.id),
    )  # fmt: skip
