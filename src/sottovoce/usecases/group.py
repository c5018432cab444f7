"""Reads that are committed together: many callers, one durable commit, and nobody gets data before it.

Rules upheld here:
1. What `run` returns has been committed durably (law 2, X37). Where the commit fails, nobody gets anything.
2. Each piece of work happens wholly or not at all, whatever the others in the same transaction do: where one raises,
   the transaction is rolled back and each is done in one of its own.
3. The entries are numbered in the same transaction, so that a read costs one commit.
4. Nobody waits for more than the commit under way and the next: whoever leads serves one group and hands over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sottovoce.errors import SottovoceError, StorageError
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.sequencer import Sequencer

Answer = TypeVar("Answer")
_PATIENCE, _PAUSE_S = 5, 0.0001
_MOST = 256  # pieces of work in one transaction


class _Turn(Generic[Answer]):
    """One piece of work on its way: until it is called, done, failed or made the leader."""

    def __init__(self, work: Callable[[UnitOfWork], Answer]) -> None:
        self.work = work
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.leads = False
        self._called = threading.Lock()
        self._called.acquire()

    def wait(self) -> None:
        self._called.acquire()

    def call(self) -> None:
        self._called.release()

    def result(self) -> Answer:
        if self.error is not None:
            raise self.error
        return self.answer  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class GroupCommit:
    """Work of several threads in one transaction. `work` must not call `run` again."""

    database: Database
    sequencer: Sequencer
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _waiting: list[_Turn[Any]] = field(default_factory=list, init=False, repr=False)
    _last: list[int] = field(default_factory=lambda: [1], init=False, repr=False)
    _led: list[bool] = field(default_factory=lambda: [False], init=False, repr=False)

    def run(self, work: Callable[[UnitOfWork], Answer]) -> Answer:
        """What `work` returns, after the transaction in which it ran has been committed durably."""
        turn = _Turn(work)
        with self._lock:
            self._waiting.append(turn)
            leads = not self._led[0]
            self._led[0] = True
        if not leads:
            turn.wait()
            leads = turn.leads
        if leads:
            self._lead()
        return turn.result()

    def _lead(self) -> None:
        """Serve one group, which this thread's own turn belongs to, then hand over."""
        self._gather()
        with self._lock:
            group = self._waiting[:_MOST]
            del self._waiting[:_MOST]
            self._last[0] = len(group)
        try:
            self._commit(group)
        except BaseException as interruption:  # the leader is told to end: the others must hear of it
            for turn in group:
                turn.error = _interrupted()
            group[0].error = interruption
        finally:
            self._hand_over()
            for turn in group[1:]:
                turn.call()

    def _gather(self) -> None:
        """Those whom the last group answered are about to ask again: let them come along, for half a millisecond."""
        for _ in range(_PATIENCE):
            if len(self._waiting) >= self._last[0]:
                return
            time.sleep(_PAUSE_S)

    def _hand_over(self) -> None:
        with self._lock:
            self._led[0] = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].call()

    def _commit(self, group: list[_Turn[Any]]) -> None:
        """All in one transaction; where one of them is refused, each in one of its own."""
        try:
            self._try(group)
        except _Refused as refused:
            if len(group) == 1:
                group[0].error = refused.error
                return
            for turn in group:
                self._commit([turn])
        except Exception as error:
            for turn in group:
                turn.error = error

    def _try(self, group: list[_Turn[Any]], *, numbered: bool = True) -> None:
        numbering = self.sequencer.beside() if numbered else nullcontext(None)
        try:
            with numbering as number, self.database.begin() as tx:
                with tx.events.together():
                    for turn in group:
                        _attempt(turn, tx)
                if number is not None:
                    _number(number, tx)
        except _NotNumbered:  # rolled back; the entries are numbered by the next verb or start
            self._try(group, numbered=False)


class _Refused(Exception):
    """One piece of work raised `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _NotNumbered(Exception):
    """The work is done, and could be committed without the numbering."""


def _attempt(turn: _Turn[Any], tx: UnitOfWork) -> None:
    try:
        turn.answer = turn.work(tx)
    except Exception as error:
        raise _Refused(error) from error


def _number(number: Callable[[UnitOfWork], None], tx: UnitOfWork) -> None:
    try:
        number(tx)
    except SottovoceError:
        raise _NotNumbered from None


def _interrupted() -> StorageError:
    return StorageError(
        "The audit entry could not be committed, so nothing was read.",
        reason="commit_interrupted",
        hint="Try again.",
    )
