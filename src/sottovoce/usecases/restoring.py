"""Bringing two halves of a backup to a home that may be served: what they do not share is put in order first.

Rules upheld here, in order:
1. Nothing that is only being tried may change the world: the provider is borrowed, its KEKs are neither made nor
   destroyed (a rotation is finished in the home that is served, never in one that may be thrown away).
2. The signer is the identity that the key store holds and the operator's own KEK opens; the manifests have to be its.
3. Data and keys of different days are the ordinary case: people and records whose keys are not there are unreadable,
   so their rows go, counted and reported; keys without data are destroyed at once.
4. Audio keys were in no backup. A recording that was in flight cannot be opened by anybody: it ends as FAILED_SHREDDED,
   with `audio_key_gone` for a reason. People who live get a new key for their audio.
   The same holds for the private halves of recipient keys, alive or retired: none of them comes back.
5. What was erased, withdrawn, restricted or (a model) taken out since is replayed from the tombstones before anything
   else (usecases of start()); that the home went on from a backup is written to the tombstones, which no restore takes
   back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import get_args

from sottovoce.audit.checkpoint import Checkpoint, parse_checkpoint
from sottovoce.errors import Conflict, IntegrityError, KeyUnavailable, NotFound, SottovoceError
from sottovoce.model.backup import Manifest, RestorePoint, Settled
from sottovoce.model.inference import is_inference
from sottovoce.model.keys import SUBJECT_KEY_CLASSES
from sottovoce.model.record import RecordKind, SealedRecord
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.subject import Caller, SubjectState
from sottovoce.model.tombstones import TombstoneEntry, TombstoneKind
from sottovoce.ports import Database, Keys, Models, Tombstones
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases.backup import RESTORED
from sottovoce.usecases.backup_check import other_home
from sottovoce.usecases.discard import Discard
from sottovoce.usecases.inference import Replay
from sottovoce.usecases.inspection import Inspection
from sottovoce.usecases.keyring import SHORT_LIVED_CLASS, Keyring, NewKey, subject_key_id
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.recipients import end_without_keys
from sottovoce.usecases.registry import Registry
from sottovoce.usecases.tombstone_heads import TombstoneHeads
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.vault import Vault

AUDIO_KEY_GONE = "audio_key_gone"
LOST = "record.lost"
_BATCH = 500
_DECISIONS = 100  # at most so many are tried until one can be replayed
OPENED = frozenset(get_args(RecordKind))
_LONG_LIVED = tuple(one for one in SUBJECT_KEY_CLASSES if one != SHORT_LIVED_CLASS)


@dataclass(frozen=True, slots=True)
class BorrowedKeys:
    """Port `Keys` on the provider of a home, for another home that is only being tried (rule 1)."""

    inner: Keys
    known: frozenset[int]  # the epochs of the copied key store

    def create(self, epoch: int) -> None:
        if epoch not in self.epochs():
            raise KeyUnavailable("A home that is only being tried makes no keys.", reason="borrowed_keys")

    def wrap(self, epoch: int, key: bytes, context: bytes) -> bytes:
        return self.inner.wrap(epoch, key, context)

    def unwrap(self, epoch: int, wrapped: bytes, context: bytes) -> bytes:
        try:
            return self.inner.unwrap(epoch, wrapped, context)
        except IntegrityError:
            raise KeyUnavailable(
                "The provider's key does not open this key store: it is of another home.",
                hint="Bring the key of the home that made the backup to where the setting keys points.",
                reason="kek_wrong",
            ) from None

    def destroy(self, epoch: int) -> None:  # noqa: ARG002
        return

    def epochs(self) -> tuple[int, ...]:
        return tuple(epoch for epoch in self.inner.epochs() if epoch in self.known)

    def describe(self) -> dict[str, str]:
        return self.inner.describe()

    def destruction_wait(self) -> timedelta:
        return self.inner.destruction_wait()


def trusted_by(keyring: Keyring, document: str, *, pinned: str | None) -> dict[str, bytes]:
    """The keys of an identity document that ends in the identity which the key store holds (rule 2). IntegrityError
    (reasons `identity_replaced`, `other_home`); errors of the provider."""
    trusted = receipts.trusted_keys(document)
    if list(trusted)[-1] != keyring.identity().key_id:
        raise IntegrityError(
            "The signing key of the home was replaced between the two halves of the backup.",
            hint="Use a key-store backup that was made after `sottovoce keys identity --replace`.",
            reason="identity_replaced",
        )
    if pinned is not None and next(iter(receipts.trusted_keys(pinned))) != next(iter(trusted)):
        raise other_home()
    return trusted


def restore_points(tombstones: Tombstones, heads: TombstoneHeads) -> tuple[RestorePoint, ...]:
    """What the tombstones say of restores, oldest first; `signed` where a head that this home signed covers it. A file
    that is damaged explains nothing; that it is damaged is said by doctor and fsck."""
    try:
        return _restore_points(tombstones, heads)
    except SottovoceError:
        return ()


def _restore_points(tombstones: Tombstones, heads: TombstoneHeads) -> tuple[RestorePoint, ...]:
    found = [entry for entry in tombstones.read() if entry.kind is TombstoneKind.RESTORED]
    if not found:
        return ()  # the signatures need not be checked
    covered = max((signed.head.count for signed in heads.verified()), default=0)
    return tuple(
        RestorePoint(
            entry.backup or "", entry.tree_size or 0, bytes.fromhex(entry.root or ""), entry.at,
            signed=entry.number <= covered, number=entry.number,
            follows=entry.number - 1 if entry.follows is None else entry.follows,
        )
        for entry in found
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settling:
    """What is done in a restored home before and after its tombstones are replayed. Nobody else is in it."""

    database: Database
    keyring: Keyring
    trail: Trail
    discard: Discard
    inspection: Inspection
    receipts: ReceiptBook
    tombstones: Tombstones
    tenant: str

    def log_of_the_backup(self) -> Checkpoint:
        """The audit log as far as the backup has it; to be asked before anything is written."""
        return parse_checkpoint(self.inspection.checkpoint().text)

    def before_replay(self, *, caller: Caller) -> Settled:
        """People without keys go; those with keys get one for their audio again."""
        with self.database.read() as tx:
            people = tx.subjects.ids()
        lost = 0
        for start in range(0, len(people), _BATCH):
            lost += self._settle_people(people[start : start + _BATCH], caller=caller)
        if lost:
            self.database.tidy()
        return Settled(lost_people=lost)

    def after_replay(self, settled: Settled, *, caller: Caller) -> Settled:
        """Recordings in flight, records and recipients without keys, keys without data."""
        in_flight = self._end_what_was_in_flight(caller=caller)
        records = self._drop_unreadable(caller=caller)
        recipients = end_without_keys(self.database, self.keyring, self.trail, caller=caller)
        keys = self._collect_keys()
        self._publish_receipts()
        self.database.tidy()
        return replace(
            settled,
            in_flight=in_flight,
            lost_records=records,
            keys_collected=keys,
            recipients_ended=recipients,
        )

    def write_down(
        self, data: Manifest, keys: Manifest, log: Checkpoint, settled: Settled, *, caller: Caller
    ) -> None:
        """To the tombstones and to the audit log: from which backup this home went on, and what that cost."""
        details = {
            "backup": data.pair, "keys_of": keys.pair, "made_at": data.created_at.isoformat(),
            "log_size": log.size, "log_root": log.root.hex(), "lost_people": settled.lost_people,
            "lost_records": settled.lost_records, "in_flight": settled.in_flight,
            "recipients_ended": settled.recipients_ended, "models": list(data.models or ()),
            "recipient_keys_left_out": data.recipient_keys,
        }  # fmt: skip
        with self.database.begin() as tx:
            self.trail.of(None, caller=caller).write(tx, RESTORED, details=details)
            entry = TombstoneEntry(
                kind=TombstoneKind.RESTORED, at=tx.now(), tenant=self.tenant, backup=data.pair,
                tree_size=log.size, root=log.root.hex(), follows=data.tombstones,
            )  # fmt: skip
            tx.requests.set_applied(self.tombstones.append([entry]))

    # --- people ----------------------------------------------------------------------------------------

    def _settle_people(self, people: Sequence[str], *, caller: Caller) -> int:
        """How many of them are lost."""
        ids = {subject_key_id(person, one): person for person in people for one in _LONG_LIVED}
        there = self.keyring.long_lived.get(list(ids))
        missing = {ids[key_id] for key_id in ids if key_id not in there}
        lost: list[str] = []
        living: list[str] = []
        with self.database.read() as tx:
            for person in people:
                subject = tx.subjects.get(person)
                if subject is None or subject.state is SubjectState.ERASING:
                    continue  # its erasure was promised, and goes on
                (lost if person in missing else living).append(person)
        audio = {subject_key_id(person, SHORT_LIVED_CLASS): person for person in living}
        has = self.keyring.short_lived.get(list(audio))
        self.keyring.new_keys(
            [
                NewKey("subject", SHORT_LIVED_CLASS, person, key_id)
                for key_id, person in audio.items()
                if key_id not in has
            ]
        )
        for person in lost:
            self._drop_person(person, caller=caller)
        return len(lost)

    def _drop_person(self, person: str, *, caller: Caller) -> None:
        """Rows that nobody can read, of a person whose keys are not in the half with the keys."""
        self.keyring.destroy_subject(person)
        with self.database.begin() as tx:
            rows = tx.erase_rows(person)
            details = {"subject": person, "rows": sum(rows.values())}
            self.trail.of(None, caller=caller).write(tx, "person.lost", outcome="no_keys", details=details)

    # --- recordings and records ------------------------------------------------------------------------

    def _end_what_was_in_flight(self, *, caller: Caller) -> int:
        with self.database.read() as tx:
            unfinished = tx.recordings.unfinished(limit=1_000_000)
        ended = 0
        for recording in unfinished:
            if _waits(recording) and self.discard.fail(recording.id, AUDIO_KEY_GONE, caller=caller):
                ended += 1
            self.discard.settle(recording.id, caller=caller)
        return ended

    def _drop_unreadable(self, *, caller: Caller) -> int:
        with self.database.read() as tx:
            people = tx.subjects.ids()
        return sum(self._drop_unreadable_of(person, caller=caller) for person in people)

    def _drop_unreadable_of(self, person: str, *, caller: Caller) -> int:
        with self.database.read() as tx:
            ids = tx.records.ids_of_subject(person)
        dropped = [one for batch in _batches(ids) for one in self._without_key(batch)]
        if not dropped:
            return 0
        with self.database.begin() as tx:
            tx.records.delete(dropped)
            scribe = self.trail.of(person, caller=caller)
            scribe.write(tx, LOST, outcome="no_keys", details={"records": dropped[:_BATCH]})
        return len(dropped)

    def _without_key(self, ids: Sequence[str]) -> list[str]:
        there = self.keyring.long_lived.get(ids)
        return [one for one in ids if one not in there]

    def _publish_receipts(self) -> None:
        """The copies for people, which are in no backup."""
        with self.database.read() as tx:
            people = tx.subjects.ids()
        for person in people:
            with self.database.read() as tx:
                found = tx.receipts.of_subject(person)
            for receipt in found:
                self.receipts.publish(receipt)

    # --- keys ------------------------------------------------------------------------------------------

    def _collect_keys(self) -> int:
        """Keys of records, recordings and people that the data do not have; nobody is at work, so nothing is young."""
        with self.database.read() as tx:
            people = frozenset(tx.subjects.ids())
            wanted = {recording.id for recording in tx.recordings.unfinished(limit=1_000_000)}
        lone, records = [], []
        for row in self.keyring.rows():
            if row.kind == "record":
                records.append(row.key_id)
            elif (row.kind == "recording" and row.key_id not in wanted) or (
                row.kind in ("subject", "details") and row.subject_id not in people
            ):
                lone.append(row.key_id)
        for batch in _batches(records):
            with self.database.read() as tx:
                existing = tx.records.existing(batch)
            lone += [key_id for key_id in batch if key_id not in existing]
        for batch in _batches(lone):
            self.keyring.destroy(batch)
        return len(lone)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Tries the keys on some of the records of a restored home."""

    database: Database
    vault: Vault

    def open_some(self, at_most: int) -> tuple[int, int, int]:
        """How many records there are, how many were tried (spread over all), and how many of these opened."""
        records = opened = tried = 0
        with self.database.read() as tx:
            total = sum(row.count for row in tx.footprint() if row.kind in OPENED)
        step = max(1, -(-total // at_most))
        for record in self._records():
            if records % step == 0:
                tried += 1
                opened += self.vault.opens(record)
            records += 1
        return records, tried, opened

    def _records(self) -> Iterator[SealedRecord]:
        with self.database.read() as tx:
            people = tx.subjects.ids()
        for person in people:
            with self.database.read() as tx:
                found = [
                    record
                    for one in tx.recordings.of_subject(person)
                    for record in tx.records.of_session(one.id)
                ]
            yield from found


@dataclass(frozen=True, kw_only=True)
class ModelTrial:
    """Tries the models of its own that a restored home has."""

    database: Database
    models: Models
    registry: Registry
    replay: Callable[[str], Replay]  # of a decision by its id, by the person's right

    def refused(self) -> tuple[str, ...]:
        """Codes of the models that do not verify with their cards."""
        return tuple(code for sha256 in self.models.hashes() if (code := self._problem(sha256)))

    def replay_one(self) -> str | None:
        """A decision that one of the models made, computed once more: the verdict, or the code of why there is none.
        None where there is no such decision whose features are kept."""
        sound = {sha256 for sha256 in self.models.hashes() if not self._problem(sha256)}
        for decision_id in islice(self._decisions(sound), _DECISIONS):
            try:
                found = self.replay(decision_id)
            except (NotFound, Conflict):
                continue  # past its date, or its person is being erased
            if found.reason != "features_gone":
                return found.reason
        return None

    def _problem(self, sha256: str) -> str:
        try:
            self.registry.by_hash(sha256)
        except SottovoceError as error:
            return error.public_code
        return ""

    def _decisions(self, hashes: Collection[str]) -> Iterator[str]:
        if not hashes:
            return
        with self.database.read() as tx:
            people = tx.subjects.ids()
        for person in people:
            with self.database.read() as tx:
                sessions = [one.id for one in tx.recordings.of_subject(person)]
                found = [one for session in sessions for one in tx.records.decisions_of_session(session)]
            yield from (one.id for one in found if is_inference(one.purpose) and one.model_sha256 in hashes)


def _waits(recording: Recording) -> bool:
    """Whether a body was stored, or was about to be, and no result is there."""
    waiting = recording.state in (RecordingState.RECEIVED, RecordingState.HELD)
    return waiting and recording.failure is None and recording.erase_request_id is None


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]
