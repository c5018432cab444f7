"""Numbering the audit log: number, chain link, tree node and signed checkpoint for entries that are committed.

Rules upheld here, in order:
1. Entries are numbered in the order in which they were written. Doing it again after a power cut gives the same
   numbers, links and tree: so the transaction need not be durable, and a checkpoint of it may be handed out.
2. A checkpoint is signed only where the tree continues the one of the last checkpoint: this home never contradicts
   itself. It is signed by the identity of the home, at most every `checkpoint_every_s`, at once when it is asked for.
3. What cannot be signed (no key, or a tree that does not continue) is numbered nonetheless.
4. Numbering costs O(log n) for each entry and reads nothing old but at the first time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from sottovoce.audit import chain, checkpoint, tree
from sottovoce.audit.checkpoint import Checkpoint
from sottovoce.audit.tree import Frontier
from sottovoce.errors import IntegrityError, SottovoceError
from sottovoce.model.log import SignedCheckpoint
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.keyring import Keyring

_BATCH = 1000


@dataclass
class _Memo:
    """What this process knows of the log; `link` says whether it still holds."""

    link: bytes
    frontier: Frontier | None  # None: the stored tree cannot be read
    newest: SignedCheckpoint | None


@dataclass(frozen=True, kw_only=True)
class Sequencer:
    """Numbers entries and signs checkpoints. Safe from several threads and processes."""

    database: Database
    keyring: Keyring
    origin: Callable[[], str]  # of the log; known once the identity is pinned
    checkpoint_every_s: float = 10.0
    _busy: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _wanted: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _memo: list[_Memo] = field(default_factory=list, init=False, repr=False)

    def sequence(self) -> None:
        """Number every entry that has none yet. Where another thread is at it, that one does it."""
        self._wanted.set()
        while self._wanted.is_set():
            if not self._busy.acquire(blocking=False):
                return
            try:
                self._wanted.clear()
                self._number_all(at_once=False)
            finally:
                self._busy.release()

    @contextmanager
    def beside(self) -> Iterator[Callable[[UnitOfWork], None]]:
        """Numbering inside a transaction of somebody else, which begins and commits within this block: call what is
        yielded last. Where another thread is numbering, that one does it. Conflict or StorageError where it cannot be
        done: the transaction has to be left by that error, and tried again without."""
        if not self._busy.acquire(blocking=False):
            self._wanted.set()
            yield lambda tx: None  # noqa: ARG005
            return
        known: list[_Memo] = []
        try:
            yield lambda tx: self._number_beside(tx, known)
            self._memo[:] = known or self._memo  # it has been committed
        finally:
            self._busy.release()
        if self._wanted.is_set():
            self.sequence()

    def checkpoint(self) -> SignedCheckpoint:
        """The signed checkpoint of the log as it is now. KeyUnavailable; IntegrityError where the log does not
        continue the last checkpoint."""
        with self._busy:
            self._number_all(at_once=True)
            newest = self._memo[0].newest if self._memo else None
        if newest is None:
            raise _contradiction()
        return newest

    def newest(self) -> SignedCheckpoint | None:
        """The newest checkpoint that is known without signing one."""
        if self._memo:
            return self._memo[0].newest
        with self.database.read() as tx:
            return tx.log.newest_checkpoint()

    def _number_all(self, *, at_once: bool) -> None:
        numbered = _BATCH
        while numbered == _BATCH:
            with self.database.begin(durable=False) as tx:
                memo, numbered = self._number(tx)
                if numbered < _BATCH:
                    self._sign_if_due(tx, memo, at_once=at_once)
            self._memo[:] = [memo]

    def _number_beside(self, tx: UnitOfWork, known: list[_Memo]) -> None:
        self._wanted.clear()
        memo, numbered = self._number(tx)
        if numbered == _BATCH:
            self._wanted.set()
        else:
            self._sign_if_due(tx, memo, at_once=False)
        known.append(memo)

    def _number(self, tx: UnitOfWork) -> tuple[_Memo, int]:
        """One batch; what is known after it, and how many there were."""
        waiting = tx.events.waiting(limit=_BATCH)
        size, link = tx.events.head() or (0, chain.GENESIS)
        memo = self._remembered(tx, size, link)
        if waiting:
            leaves = [row[11] for row in waiting]
            numbers = chain.linked(leaves, last_sequence=size, last_link=link)
            tx.events.number(
                [(row[0], number, link) for row, (number, link) in zip(waiting, numbers, strict=True)]
            )
            memo.link = numbers[-1][1]
            if memo.frontier is not None:
                tx.log.add_nodes(memo.frontier.extend(leaves))
        return memo, len(waiting)

    def _remembered(self, tx: UnitOfWork, size: int, link: bytes) -> _Memo:
        """A copy of what is known, read anew where another process has gone on."""
        if self._memo and self._memo[0].link == link and self._memo[0].frontier is not None:
            known = self._memo[0]
            return _Memo(link, known.frontier.copy() if known.frontier else None, known.newest)
        newest = tx.log.newest_checkpoint()
        frontier = None
        # The stored tree is damaged: numbering goes on, signing does not, and `verify` says what is wrong.
        with suppress(IntegrityError):
            frontier = self._load(tx, size, newest)
        return _Memo(link, frontier, newest)

    def _load(self, tx: UnitOfWork, size: int, newest: SignedCheckpoint | None) -> Frontier:
        """The frontier from what is stored; nodes that are missing at the end are made (a home of an older version)."""
        read = stored_nodes(tx)
        level = tree.LEVEL_STEP
        while size >> level:
            for number in range(tx.log.node_count(level), size >> level):
                tx.log.add_nodes([tree.stored_node(level, number, read)])
            level += tree.LEVEL_STEP
        if newest is not None:
            _check_continues(newest, size, read)
        return tree.load_frontier(size, read)

    def _sign_if_due(self, tx: UnitOfWork, memo: _Memo, *, at_once: bool) -> None:
        if memo.frontier is None:
            if at_once:
                raise _contradiction()
            return
        if not self._is_due(memo, memo.frontier.size, tx.now(), at_once=at_once):
            return
        memo.newest = tx.log.newest_checkpoint() or memo.newest  # another process may have signed meanwhile
        if not self._is_due(memo, memo.frontier.size, tx.now(), at_once=at_once):
            return
        try:
            memo.newest = self._signed(memo.frontier, tx.now())
        except SottovoceError:
            if at_once:
                raise
            return  # rule 3; the next one is signed when the key is back
        tx.log.add_checkpoint(memo.newest)

    def _is_due(self, memo: _Memo, size: int, now: datetime, *, at_once: bool) -> bool:
        newest = memo.newest
        if newest is None or at_once:
            return newest is None or newest.size < size
        return newest.size < size and not 0 <= (now - newest.at).total_seconds() < self.checkpoint_every_s

    def _signed(self, frontier: Frontier, at: datetime) -> SignedCheckpoint:
        identity = self.keyring.identity()
        said = Checkpoint(self.origin(), frontier.size, frontier.root())
        text = checkpoint.sign(said, public_key=identity.public_key, sign_bytes=identity.sign_bytes)
        return SignedCheckpoint(frontier.size, at, text)


def stored_nodes(tx: UnitOfWork) -> tree.Reader:
    """What is stored of the tree. IntegrityError where a node is missing."""

    def read(level: int, start: int, end: int) -> tuple[bytes, ...]:
        found = tx.log.nodes(level, start, end) if level else tx.events.leaves(start, end)
        if len(found) != end - start:
            raise IntegrityError("A part of the tree over the audit log is missing.", reason="log_damaged")
        return found

    return read


def _check_continues(newest: SignedCheckpoint, size: int, read: tree.Reader) -> None:
    """Rule 2. Cheap: the root at an older size is made from the stored nodes."""
    said = checkpoint.parse_checkpoint(newest.text)
    if said.size > size or tree.load_frontier(said.size, read).root() != said.root:
        raise _contradiction()


def _contradiction() -> IntegrityError:
    return IntegrityError(
        "The audit log does not continue its last checkpoint, so no new one is signed.",
        hint="`sottovoce audit verify` says what is wrong; keep a copy of this home as it is.",
        reason="log_contradicts",
    )
