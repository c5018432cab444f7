"""Writing tombstones: what is promised to a person stands in the file before the database commits it.

Rules upheld here, in order:
1. An entry is written while the write lock of the database is held, after every check, and is durable before the
   transaction commits. So the file is never behind the database: only a commit that failed leaves it ahead.
2. The database notes in the same transaction how far it has followed the file. Where the file is ahead, what is missing
   is made up for before anything else is promised; where it is behind, or another one, nothing is promised at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sottovoce.errors import Conflict, UsageError
from sottovoce.model.consent import ConsentAction, ConsentEvent
from sottovoce.model.ids import check_id
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.model.request import ErasureRequest
from sottovoce.model.tombstones import TombstoneEntry, TombstoneHead, TombstoneKind, cut, damaged, missing
from sottovoce.ports import Database, Tombstones, UnitOfWork

_ATTEMPTS = 3
_KIND_OF_MARK = {
    MarkKind.RESTRICTION: TombstoneKind.RESTRICTED,
    MarkKind.OBJECTION: TombstoneKind.OBJECTED,
    MarkKind.HOLD: TombstoneKind.HELD,
    MarkKind.ERASURE_WAITING: TombstoneKind.ERASURE_WAITS,
}
MARK_OF_KIND = {kind: mark for mark, kind in _KIND_OF_MARK.items()}
_KIND_OF_NO = {
    ConsentAction.WITHDRAW: TombstoneKind.WITHDRAWN,
    ConsentAction.REFUSE: TombstoneKind.REFUSED,
}
NO_OF_KIND = {kind: action for action, kind in _KIND_OF_NO.items()}


@dataclass(frozen=True, kw_only=True)
class Promises:
    database: Database
    tombstones: Tombstones
    catch_up: Callable[[], object]  # has the database follow the file (usecases/tombstones.py)
    # set: a head waits for its signature
    news: threading.Event = field(default_factory=threading.Event, repr=False)

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """A writing transaction of a database that has followed the file to its end. Errors as of `check_level`, and of
        Database.begin."""
        for _ in range(_ATTEMPTS):
            with self.database.begin() as tx:
                if is_level(tx, self.tombstones.head()):
                    yield tx
                    return
            self.catch_up()
        raise Conflict(
            "The tombstones change faster than they can be followed.",
            hint="Try again.",
            reason="tombstones_busy",
        )

    def write(self, tx: UnitOfWork, entries: Sequence[TombstoneEntry]) -> None:
        """The last thing of a transaction of begin(): from here on it is promised, whatever becomes of the commit."""
        if entries:
            tx.requests.set_applied(self.tombstones.append(entries))
            self.news.set()


def of_model_removed(sha256: str, at: datetime, *, tenant: str) -> TombstoneEntry:
    return TombstoneEntry(kind=TombstoneKind.MODEL_REMOVED, at=at, tenant=tenant, model_sha256=sha256)


def is_level(tx: UnitOfWork, head: TombstoneHead) -> bool:
    """Whether the database has followed the file to this head; False where the file is ahead. IntegrityError (reasons
    `tombstones_missing`, `tombstones_cut`, `tombstones_damaged`) where the file is behind or another one."""
    applied = tx.requests.applied() or TombstoneHead()
    if applied.count > head.count:
        raise cut() if head.count else missing()
    if applied.count == head.count and applied.hash != head.hash:
        raise damaged()
    return applied == head


def of_erasure(request: ErasureRequest) -> TombstoneEntry:
    whole = request.session_id is None
    return TombstoneEntry(
        kind=TombstoneKind.SUBJECT_ERASED if whole else TombstoneKind.SESSION_ERASED, at=request.requested_at,
        tenant=request.tenant, subject_id=request.subject_id, session_id=request.session_id, request_id=request.id,
    )  # fmt: skip


def of_no(event: ConsentEvent) -> tuple[TombstoneEntry, ...]:
    """The entry of a withdrawal or refusal; none of a grant."""
    if event.action not in _KIND_OF_NO:
        return ()
    return (
        TombstoneEntry(
            kind=_KIND_OF_NO[event.action], at=event.recorded_at, tenant=event.tenant, subject_id=event.subject_id,
            event_id=_own_id(event.id), purpose=event.purpose, occurred_at=event.occurred_at,
        ),
    )  # fmt: skip


def of_mark(mark: Mark) -> tuple[TombstoneEntry, ...]:
    """The entry of a mark, without its sealed note; none of a correction."""
    if mark.kind not in _KIND_OF_MARK:
        return ()
    return (
        TombstoneEntry(
            kind=_KIND_OF_MARK[mark.kind], at=mark.placed_at, tenant=mark.tenant, subject_id=mark.subject_id,
            session_id=mark.session_id, purpose=mark.purpose, mark_id=mark.id, reason=mark.reason,
            asked_by=mark.asked_by, request_id=mark.request_id,
        ),
    )  # fmt: skip


def of_lift(mark: Mark, at: datetime) -> tuple[TombstoneEntry, ...]:
    """The entry of a lifted legal hold; none of anything else: what forbids a use may stand again."""
    if mark.kind is not MarkKind.HOLD:
        return ()
    return (
        TombstoneEntry(
            kind=TombstoneKind.HOLD_LIFTED,
            at=at,
            tenant=mark.tenant,
            subject_id=mark.subject_id,
            mark_id=mark.id,
        ),
    )


def _own_id(event_id: str) -> str | None:
    """An id that a caller gave may be of any form: one that is not ours stays out of the file."""
    try:
        return check_id(event_id, "consent")
    except UsageError:
        return None
