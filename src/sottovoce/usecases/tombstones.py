"""Replaying tombstones: what an old database brings back goes again before anything is served (C11b, F30).

Rules upheld here, in order:
1. A home whose file of tombstones is missing, cut, damaged or of another home is not opened: nothing could say what
   must not come back. A home from before there was such a file gets one, with all that its database knows.
2. What the file has and the database has not done is done, in order, each entry once: an erasure becomes an erasure
   again under its own request id, with its receipt; a withdrawal a withdrawal; a restriction stands; a model that was
   taken out is taken out.
3. Signed heads are checked; entries after the last one count as well: they take away and restrict, nothing else.
4. Repeating it changes nothing.
5. The key store notes how far it has followed the file. Where an old copy of it was put back, what was erased since is
   destroyed in it before anything is served: only the entries since are looked at, no row of the key store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from sottovoce.errors import StorageError
from sottovoce.model.consent import ConsentStatus, fold
from sottovoce.model.subject import Caller
from sottovoce.model.tombstones import (
    TombstoneEntry,
    TombstoneHead,
    TombstoneKind,
    begun,
    cut,
    damaged,
    missing,
)
from sottovoce.ports import Database, Models, Tombstones, UnitOfWork
from sottovoce.usecases import promises
from sottovoce.usecases.consent import Consent
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.marks import Marks
from sottovoce.usecases.rights import Rights, promised_ids
from sottovoce.usecases.tombstone_heads import TombstoneHeads
from sottovoce.usecases.trail import Trail

_BATCH = 500
_ERASED = (TombstoneKind.SUBJECT_ERASED, TombstoneKind.SESSION_ERASED)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found and did."""

    entries: int = 0  # that the database had not followed yet
    unsigned: int = 0  # of all entries: those after the last signed head
    done: dict[str, int] = field(default_factory=dict)  # kind -> entries that changed something
    keys: int = 0  # destroyed once more, because an old key store had brought them back

    @property
    def erased(self) -> int:
        return self.done.get(TombstoneKind.SUBJECT_ERASED, 0) + self.done.get(TombstoneKind.SESSION_ERASED, 0)


@dataclass(frozen=True, kw_only=True)
class Replay:
    database: Database
    tombstones: Tombstones
    heads: TombstoneHeads
    keyring: Keyring
    rights: Rights
    consent: Consent
    marks: Marks
    models: Models  # of the home's own
    trail: Trail
    tenant: str

    def run(self, *, caller: Caller) -> Replayed:
        """Check the file, and have the database follow it to its end; all of it is done when this returns.

        IntegrityError (reasons `tombstones_missing`, `tombstones_cut`, `tombstones_damaged`); StorageError.
        """
        unsigned = self._check()
        replayed = self.catch_up(caller=caller)
        if replayed.entries:
            self.rights.resume(caller=caller)
        if unsigned:
            self.heads.news.set()
        return Replayed(replayed.entries, unsigned, replayed.done, self._follow_in_keys(caller=caller))

    def catch_up(self, *, caller: Caller) -> Replayed:
        """Only the promises: what is to be destroyed by them is destroyed by run(), or by whoever sweeps next."""
        entries, done = 0, Counter[str]()
        while waiting := self._waiting():
            for entry in waiting:
                with self.database.begin() as tx:
                    if (tx.requests.applied() or TombstoneHead()).count != entry.number - 1:
                        continue  # another process was faster
                    entries += 1
                    done[entry.kind] += self._repeat(tx, entry, caller=caller)
                    tx.requests.set_applied(entry.head)
        done = +done
        if done:
            with self.database.begin() as tx:
                scribe = self.trail.of(None, caller=caller)
                scribe.write(tx, "tombstones.replayed", details={kind: done[kind] for kind in sorted(done)})
        return Replayed(entries, 0, dict(done))

    def _follow_in_keys(self, *, caller: Caller) -> int:
        """Rule 5; how many keys were destroyed."""
        store = self.keyring.long_lived
        since = list(self._since(store.followed()))
        erased = [entry for entry in since if entry.kind in _ERASED]
        destroyed = sum(map(self._destroy_keys_of, erased))
        if destroyed:
            with self.database.begin() as tx:
                scribe = self.trail.of(None, caller=caller)
                scribe.write(tx, "tombstones.replayed", outcome="old_keys", details={"keys": destroyed})
        if erased or len(since) >= _BATCH:
            with suppress(StorageError):  # a full disk: they are looked at once more by the next start
                store.set_followed(since[-1].head)
        return destroyed

    def _since(self, followed: TombstoneHead | None) -> Iterator[TombstoneEntry]:
        """The entries after one that the key store has followed; all of them where it is of another file."""
        head = followed or TombstoneHead()
        if head == self.tombstones.head():
            return
        entries = self.tombstones.read(max(0, head.count - 1))
        if head.count and getattr(next(entries, None), "head", None) != head:
            entries = self.tombstones.read()
        yield from entries

    def _destroy_keys_of(self, entry: TombstoneEntry) -> int:
        if entry.session_id is None:
            return self.keyring.destroy_subject(entry.subject_id or "")
        with self.database.read() as tx:
            request = tx.requests.get(entry.request_id or "")
        return self.keyring.destroy([entry.session_id, *(promised_ids(request) if request else ())])

    def destroy_keys(self) -> int:
        """Destroy every key of whom or what the file says is erased, where an old key store brought it back; how many.
        Reads every key row and every entry."""
        people, sessions = self.erased_ids()
        back = [
            row.key_id for row in self.keyring.rows() if row.subject_id in people or row.key_id in sessions
        ]
        return sum(
            self.keyring.destroy(back[start : start + _BATCH]) for start in range(0, len(back), _BATCH)
        )

    def erased_ids(self) -> tuple[frozenset[str], frozenset[str]]:
        """Ids of the people and of the sessions that the file says were erased."""
        people, sessions = set(), set()
        for entry in self.tombstones.read():
            if entry.kind is TombstoneKind.SUBJECT_ERASED:
                people.add(entry.subject_id or "")
            elif entry.kind is TombstoneKind.SESSION_ERASED:
                sessions.add(entry.session_id or "")
        return frozenset(people), frozenset(sessions)

    # --- checking the file -----------------------------------------------------------------------------

    def _check(self) -> int:
        """Rule 1; how many entries no signed head covers. What the database has followed is read before the file, which
        only grows."""
        with self.database.read() as tx:
            applied = tx.requests.applied()
        if applied is None and self._begin():
            return self.tombstones.head().count
        return self.check(applied)

    def check(self, applied: TombstoneHead | None) -> int:
        """The file against what the database has followed of it; how many entries no signed head covers. Changes
        nothing. IntegrityError, as run()."""
        self._check_home()
        newest = self.heads.newest()
        signed = newest.head if newest is not None else TombstoneHead()
        last = self.walk((applied or TombstoneHead(), signed))
        if applied is not None and last.count < applied.count:
            raise cut() if last.count else missing()
        if last.count < signed.count:
            raise damaged()
        return last.count - signed.count

    def walk(self, known: tuple[TombstoneHead, ...]) -> TombstoneHead:
        """The head of the file, after comparing its whole chain with heads that are known. `tombstones_damaged`."""
        wanted: dict[int, set[bytes]] = {}
        for head in known:
            wanted.setdefault(head.count, set()).add(head.hash)
        last = TombstoneHead()
        for last in self.tombstones.chain():
            if wanted.get(last.count, {last.hash}) != {last.hash}:
                raise damaged()
        return last

    def _check_home(self) -> None:
        """The first entry says which home the file is of."""
        first = next(self.tombstones.read(), None)
        if first is not None and (first.kind is not TombstoneKind.BEGUN or first.home != self.heads.name):
            raise damaged()

    def _begin(self) -> bool:
        """Make the file of a home that never had one; False where there is one."""
        with self.database.begin() as tx:
            if tx.requests.applied() is not None or self.tombstones.head().count:
                return False
            entries = [begun(self.heads.name, tx.now(), tenant=self.tenant), *known(tx)]
            tx.requests.set_applied(self.tombstones.append(entries))
        return True

    # --- following it ----------------------------------------------------------------------------------

    def _waiting(self) -> list[TombstoneEntry]:
        """The entries that the database has not followed yet. `tombstones_damaged` where they do not follow on what it
        has."""
        with self.database.read() as tx:
            applied = tx.requests.applied() or TombstoneHead()
        if self.tombstones.head() == applied:
            return []
        found = list(self.tombstones.read(max(0, applied.count - 1)))
        if applied.count == 0:
            return found
        if not found or found[0].head != applied:
            raise damaged()
        return found[1:]

    def _repeat(self, tx: UnitOfWork, entry: TombstoneEntry, *, caller: Caller) -> bool:
        """Do once more what an entry says; whether there was anything to do."""
        match entry.kind:
            case TombstoneKind.SUBJECT_ERASED | TombstoneKind.SESSION_ERASED:
                return self.rights.repeat(tx, entry, caller=caller)
            case TombstoneKind.WITHDRAWN | TombstoneKind.REFUSED:
                return self.consent.repeat(tx, entry, caller=caller)
            case TombstoneKind.MODEL_REMOVED:
                # Before the commit: it is done again where that fails.
                return self.models.remove(entry.model_sha256 or "")
            case TombstoneKind.BEGUN | TombstoneKind.RESTORED | TombstoneKind.REBUILT:
                return False
        return self.marks.repeat(tx, entry, caller=caller)


def known(tx: UnitOfWork) -> Iterator[TombstoneEntry]:
    """What a database knows that would need a tombstone: of a home from before there was a file of them, or whose file
    is lost."""
    for stone in tx.requests.tombstones():
        request = tx.requests.get(stone.request_id)
        if request is not None:
            yield promises.of_erasure(request)
    for subject_id in tx.subjects.ids():
        said = {event.id: event for event in tx.consents.of_subject(subject_id)}
        for state in fold(said.values()).values():
            if state.event_id in said and state.status is not ConsentStatus.GRANTED:
                yield from promises.of_no(said[state.event_id])
        for mark in tx.marks.of_subject(subject_id):
            if mark.lifted_at is None:
                yield from promises.of_mark(mark)
