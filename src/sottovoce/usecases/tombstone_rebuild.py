"""Looking at the file of tombstones of a home that may be closed, and beginning a new one where it is lost for good.

Rules upheld here, in order:
1. A file that is whole is never replaced: where the home opens, there is nothing to rebuild.
2. The new file has everything the database knows, and after that whatever can still be read of the broken file and
   of those put aside before: erasures, withdrawals and marks of people of whom something is here. The database then
   follows those, so that nothing comes back that any line speaks of. They take away and restrict, whoever wrote them.
3. Where the home went on from a backup is taken from its audit log, never from a broken file: it explains what the log
   has lost.
4. The new file has a name of its own and says what it replaces. Backups made before are refused (`tombstones_rebuilt`),
   and heads that were signed before are of another file.
5. The file is replaced last in a transaction that also notes it, with an audit entry. Killed in between, the home is as
   closed as before, and it is done once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sottovoce.audit import tombstones as notes
from sottovoce.errors import Conflict, IntegrityError
from sottovoce.model.subject import Caller
from sottovoce.model.tombstones import (
    TombstoneEntry,
    TombstoneHead,
    TombstoneKind,
    begun,
    head_after,
)
from sottovoce.ports import Database, Tombstones, UnitOfWork
from sottovoce.usecases.backup import RESTORED
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.tombstone_heads import TombstoneHeads
from sottovoce.usecases.tombstones import Replay, known
from sottovoce.usecases.trail import Trail

REBUILT = "tombstones.rebuilt"
CAN_BE_REBUILT = frozenset({"tombstones_missing", "tombstones_cut", "tombstones_damaged"})
_MOST_RESTORES = 10_000
_OF_FILES = frozenset({TombstoneKind.BEGUN, TombstoneKind.RESTORED, TombstoneKind.REBUILT})


@dataclass(frozen=True, slots=True)
class TombstonesView:
    """The file of tombstones as it is shown. `problem`: why the home is not opened; None where the file is whole."""

    problem: IntegrityError | None
    head: TombstoneHead  # as far as the file can be read
    followed: TombstoneHead  # by the database
    signed: int | None  # entries that the newest signed head covers; None where that cannot be said
    kinds: dict[str, int]  # entries by kind, as far as the file can be read


@dataclass(frozen=True, slots=True)
class RebuiltTombstones:
    """The answer of a rebuilding."""

    reason: str  # why the file had to be replaced
    known: int  # entries that the database knew
    found: int  # that only a broken file spoke of
    changed: int  # of these: that changed something
    lost: int  # how many entries of the lost file the database had followed
    head: TombstoneHead


@dataclass(frozen=True, kw_only=True)
class Rebuilding:
    database: Database
    tombstones: Tombstones
    heads: TombstoneHeads
    replay: Replay
    keyring: Keyring
    trail: Trail
    tenant: str

    def view(self) -> TombstonesView:
        """Changes nothing. StorageError; SchemaNewer."""
        with self.database.read() as tx:
            applied = tx.requests.applied()
        kinds, head = Counter[str](), TombstoneHead()
        problem = self._problem(applied)
        try:
            for entry in self.tombstones.read():
                kinds[entry.kind], head = kinds[entry.kind] + 1, entry.head
        except IntegrityError as error:
            problem = problem or error
        return TombstonesView(problem, head, applied or TombstoneHead(), self._signed(), dict(kinds))

    def rebuild(self, *, caller: Caller) -> RebuiltTombstones:
        """Put the broken file aside, begin a new one, and have the database follow what only the broken one spoke of.
        Conflict (reason `tombstones_whole`) where nothing is broken; StorageError; KeyUnavailable."""
        scribe = self.trail.of(None, caller=caller)
        with self.database.begin() as tx:
            applied = tx.requests.applied()
            problem = self._problem(applied)
            if problem is None:
                raise Conflict(
                    "The tombstones of this home are whole: there is nothing to rebuild.",
                    hint="`sottovoce tombstones show` shows them.",
                    reason="tombstones_whole",
                )
            lost = applied or TombstoneHead()
            entries = [*self._first(tx, lost), *self._restores(tx), *known(tx)]
            found = self._found(tx, entries)
            details = {
                "lost": lost.count,
                "lost_hash": lost.hash.hex(),
                "known": len(entries),
                "found": len(found),
            }
            scribe.write(tx, REBUILT, outcome=problem.reason, details=details)
            head = self.tombstones.replace([*entries, *found])
            tx.requests.set_applied(head_after(entries))
        replayed = self.replay.run(caller=caller)
        return RebuiltTombstones(
            problem.reason, len(entries), len(found), sum(replayed.done.values()), lost.count, head
        )

    # --- helpers ---------------------------------------------------------------------------------------

    def _problem(self, applied: TombstoneHead | None) -> IntegrityError | None:
        """Why the home is not opened."""
        try:
            if applied is None and not self.tombstones.head().count:
                return None  # a home that never had a file gets one by being opened
            self.replay.check(applied)
        except IntegrityError as error:
            if error.reason not in CAN_BE_REBUILT:
                raise
            return error
        return None

    def _signed(self) -> int | None:
        try:
            newest = self.heads.newest()
        except IntegrityError:
            return None
        return 0 if newest is None else newest.head.count

    def _first(self, tx: UnitOfWork, lost: TombstoneHead) -> tuple[TombstoneEntry, TombstoneEntry]:
        """Which home the file is of, and what it is in the place of."""
        rebuilt = TombstoneEntry(
            kind=TombstoneKind.REBUILT, at=tx.now(), tenant=self.tenant, replaced=lost.count,
            replaced_hash=lost.hash.hex(),
        )  # fmt: skip
        name = notes.name_after_rebuilding(self.heads.name_of_home, rebuilt)
        return begun(name, tx.now(), tenant=self.tenant), rebuilt

    def _restores(self, tx: UnitOfWork) -> Iterator[TombstoneEntry]:
        """Rule 3. What this log knows of are the restores that it comes from, each after the one before (`follows`)."""
        for event in tx.events.latest(limit=_MOST_RESTORES, kind=RESTORED):
            said = self.trail.open_details(event) or {}
            backup, size, root = (said.get(name) for name in ("backup", "log_size", "log_root"))
            if isinstance(backup, str) and isinstance(size, int) and isinstance(root, str):
                yield TombstoneEntry(
                    kind=TombstoneKind.RESTORED, at=event.at, tenant=self.tenant, backup=backup, tree_size=size,
                    root=root,
                )  # fmt: skip

    def _found(self, tx: UnitOfWork, entries: list[TombstoneEntry]) -> list[TombstoneEntry]:
        """What broken files speak of and the database does not, of people of whom something is here, each once."""
        has = {replace(entry, number=0, hash=b"") for entry in entries}
        here: dict[str, bool] = {}
        found: dict[TombstoneEntry, None] = {}
        for entry in self.tombstones.legible():
            plain = replace(entry, number=0, hash=b"")
            if entry.kind in _OF_FILES or plain in has or _is_done(tx, entry):
                continue
            subject_id = entry.subject_id or ""
            if subject_id not in here:
                here[subject_id] = tx.subjects.get(subject_id) is not None or self.keyring.holds_anything_of(
                    subject_id
                )
            if here[subject_id]:
                found[plain] = None
        return list(found)


def _is_done(tx: UnitOfWork, entry: TombstoneEntry) -> bool:
    """Whether the database knows what the entry speaks of."""
    if entry.kind in (TombstoneKind.SUBJECT_ERASED, TombstoneKind.SESSION_ERASED):
        return tx.requests.get(entry.request_id or "") is not None
    mark = tx.marks.get(entry.mark_id) if entry.mark_id is not None else None
    if entry.kind is TombstoneKind.HOLD_LIFTED:
        return mark is not None and mark.lifted_at is not None
    return mark is not None
