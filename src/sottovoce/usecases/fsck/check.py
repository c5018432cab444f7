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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sottovoce.model import consent as ledger
from sottovoce.model.consent import ConsentStatus
from sottovoce.model.mark import keeps
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import AUDIO_HOLD, RETENTION
from sottovoce.model.subject import Caller
from sottovoce.model.times import words_of
from sottovoce.ports import Blobs, Database
from sottovoce.usecases.fsck.decisions import check_inferences
from sottovoce.usecases.fsck.log import Log
from sottovoce.usecases.fsck.recipients import Recipients
from sottovoce.usecases.fsck.recordings import Recordings
from sottovoce.usecases.fsck.repair import Repair
from sottovoce.usecases.fsck.report import Checked, FsckReport
from sottovoce.usecases.fsck.seen import FilesSeen, Seen, read_session
from sottovoce.usecases.fsck.stores import Stores, check_files
from sottovoce.usecases.fsck.tombstones import Stones
from sottovoce.usecases.fsck.training import check_uses
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.oversight import Oversight
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.retention import RetentionSweep
from sottovoce.usecases.tombstones import Replay
from sottovoce.usecases.trail import Trail

_NO_LEDGER = "no budget ledger in this version: nothing is spent yet"


@dataclass(frozen=True, kw_only=True)
class Fsck:
    database: Database
    keyring: Keyring
    bodies: Blobs
    trail: Trail
    receipts: ReceiptBook
    oversight: Oversight
    sweep: RetentionSweep
    replay: Replay
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
        self._repair.repair(before, caller=caller)
        after = self._look()
        left = {(finding.code, finding.ref) for finding in after.findings}
        gone = tuple(one for one in before.findings if (one.code, one.ref) not in left)
        return replace(after, repaired=gone)

    def _look(self) -> FsckReport:
        seen = self._stores.listed()
        for subject_id in self._people():
            seen.people += 1
            self._person(seen, subject_id)
            self._recipients.check_person(seen, subject_id)
        self._stores.check_bodies(seen)
        self._stores.check_keys(seen)
        entries = self._log.whole(seen)
        files = self.files()
        check_files(files, seen)
        self._stores.check_erasures(seen)
        stones = Stones(database=self.database, keyring=self.keyring, replay=self.replay).check(seen)
        self._recipients.check(seen)
        self._stores.check_epochs(seen)
        looked_at = {
            "I1": f"{files.files} files of the home ({files.looked_at_bytes} bytes), {len(seen.bodies)} bodies",
            "I2": f"{len(seen.bodies)} bodies, {len(seen.parts)} unfinished ones, {seen.key_rows} keys, "
            f"{seen.sessions} recordings",
            "I3": f"{len(seen.recording_keys)} keys of recordings, {seen.sessions} recordings",
            "I4": f"{seen.records} records of {seen.sessions} recordings",
            "I5": f"the consents of {seen.people} people, {seen.records} records",
            "I6": f"{entries} entries; {seen.joined} recordings joined with theirs, "
            f"{seen.sealed_entries} entries whose details no key opens any more; {seen.feed_entries} entries of the "
            f"feeds of {seen.recipients} recipients",
            "I7": f"{seen.sessions} recordings, {seen.records} records, at {words_of(seen.now)}",
            "I8": _NO_LEDGER,
            "I9": f"{seen.sessions} recordings, {seen.receipts} receipts and their copies, {seen.disclosures} things "
            "that were handed to recipients",
            "I10": f"space kept aside for erasing, erasures under way, {stones} entries of the file of tombstones",
        }
        return FsckReport(
            tuple(
                Checked(invariant, words, tuple(seen.found.get(invariant, ())), applicable=invariant != "I8")
                for invariant, words in looked_at.items()
            )
        )

    def _people(self) -> Iterator[str]:
        with self.database.read() as tx:
            yield from tx.subjects.ids()

    def _person(self, seen: Seen, subject_id: str) -> None:
        with self.database.read() as tx:
            if tx.subjects.get(subject_id) is None:
                return  # erased meanwhile
            sessions = [read_session(tx, recording) for recording in tx.recordings.of_subject(subject_id)]
            said = tx.consents.of_subject(subject_id)
            states = ledger.fold(said)
            material = tx.consents.material(self.tenant)
            receipts = tx.receipts.of_subject(subject_id)
            uses = tx.lineage.uses_of_subject(subject_id)
            kept = keeps(tx.marks.of_subject(subject_id))  # neither swept nor shredded (C10b)
            events, opened = self._log.entries(tx, subject_id)
        keeping = states.get(RETENTION)
        may_hold = ledger.decide(states, (AUDIO_HOLD,), material=material).allowed
        stopped = keeping is not None and keeping.status is not ConsentStatus.GRANTED
        expired_some = any(event.kind in ("record.expired", "record.lost") for event in events)
        for session in sessions:
            seen.sessions += 1
            seen.records += len(session.records)
            seen.known.add(session.recording.id)
            self._recordings.check(
                seen, session, stopped=stopped, kept=kept, may_hold=may_hold,
                expired_some=expired_some or seen.archived(session.recording.received_at),
            )  # fmt: skip
            check_inferences(self.database, seen, session, said)
            if opened is not None:
                self._log.joined(seen, session.recording, opened)
        check_uses(seen, self.database, uses, states)
        for receipt in receipts:
            seen.receipts += 1
            if not self.receipts.has_copy(receipt.id):
                seen.add("I9", "receipt_copy_missing", "a receipt has no copy", receipt.id, safe=True)

    @property
    def _recipients(self) -> Recipients:
        return Recipients(
            database=self.database, keyring=self.keyring, tenant=self.tenant, grace=self.policy.orphan_grace
        )

    @property
    def _recordings(self) -> Recordings:
        return Recordings(
            database=self.database, keyring=self.keyring, bodies=self.bodies, policy=self.policy
        )

    @property
    def _log(self) -> Log:
        return Log(database=self.database, keyring=self.keyring, trail=self.trail, oversight=self.oversight)

    @property
    def _stores(self) -> Stores:
        return Stores(
            database=self.database, keyring=self.keyring, bodies=self.bodies, policy=self.policy,
            tenant=self.tenant, broken_reserves=self.broken_reserves,
        )  # fmt: skip

    @property
    def _repair(self) -> Repair:
        return Repair(
            database=self.database, keyring=self.keyring, bodies=self.bodies, trail=self.trail,
            receipts=self.receipts, sweep=self.sweep, replay=self.replay, number=self.number,
        )  # fmt: skip
