"""The audit log in memory: its entries, and what stands beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from operator import attrgetter

from sottovoce.adapters.memory.tables import Tables, already_there
from sottovoce.audit.rows import event_row
from sottovoce.model.event import AuditEvent
from sottovoce.model.log import ArchiveCut, ArchivedLeaf, EventRow, SignedCheckpoint, TreeNode, WitnessMark


class MemoryEvents:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, event: AuditEvent) -> None:
        unnumbered = replace(event, sequence=None, link=None)
        self._tables.events.insert(event.id, unnumbered, taken="duplicate_event")

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()  # an exception ends the transaction here, and nothing of it stays

    def get(self, event_id: str) -> AuditEvent | None:
        return self._tables.events.rows.get(event_id)

    def waiting(self, *, limit: int) -> tuple[EventRow, ...]:
        waiting = self._tables.events.where(lambda event: event.sequence is None)
        return tuple(event_row(event) for event in waiting[:limit])

    def head(self) -> tuple[int, bytes] | None:
        last = max(self._numbered(), key=lambda pair: pair[0], default=None)
        return None if last is None else (last[0], last[1].link or b"")

    def number(self, numbers: Sequence[tuple[str, int, bytes]]) -> None:
        stored = [self._tables.events.rows.get(id_) for id_, _, _ in numbers]
        given = [number for _, number, _ in numbers]
        taken = {number for number, _ in self._numbered()}
        unnumbered = [row for row in stored if row is not None and row.sequence is None]
        if len(unnumbered) < len(numbers) or len(set(given)) < len(given) or taken.intersection(given):
            raise already_there("sequence_taken")
        for row, (_, number, link) in zip(unnumbered, numbers, strict=True):
            self._tables.events.put(row.id, replace(row, sequence=number, link=link))

    def iterate(self, *, after: int = 0) -> Iterator[AuditEvent]:
        for number, event in sorted(self._numbered(), key=lambda pair: pair[0]):
            if number > after:
                yield event

    def pages(self, *, after: int = 0) -> Iterator[Sequence[EventRow]]:
        rows = [event_row(event) for event in self.iterate(after=after)]
        return iter([rows] if rows else [])

    def leaves(self, start: int, end: int) -> tuple[bytes, ...]:
        stored = {leaf.sequence: leaf.leaf for leaf in self._tables.archived_leaves.rows.values()}
        stored |= {number: event.leaf for number, event in self._numbered()}
        return tuple(stored[number] for number in range(start + 1, end + 1) if number in stored)

    def latest(
        self, *, limit: int, pseudonym: str | None = None, kind: str | None = None,
        since: datetime | None = None, until: datetime | None = None,
    ) -> tuple[AuditEvent, ...]:  # fmt: skip
        found = [
            event
            for event in self._within(since, until)
            if pseudonym in (None, event.pseudonym)
            and (kind in (None, event.kind) or event.kind.startswith(f"{kind}."))
        ]
        return tuple(found[max(len(found) - limit, 0) :])

    def counts(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[date, str, int], ...]:
        counted = Counter((e.at.astimezone(UTC).date(), e.kind) for e in self._within(since, until))
        return tuple((day, kind, count) for (day, kind), count in sorted(counted.items()))

    def of_pseudonym(self, pseudonym: str) -> tuple[AuditEvent, ...]:
        return tuple(self._tables.events.where(lambda event: event.pseudonym == pseudonym))

    def _within(self, since: datetime | None, until: datetime | None) -> list[AuditEvent]:
        return self._tables.events.where(
            lambda event: (since is None or event.at >= since) and (until is None or event.at < until)
        )

    def _numbered(self) -> list[tuple[int, AuditEvent]]:
        return [(e.sequence, e) for e in self._tables.events.rows.values() if e.sequence is not None]


class MemoryLog:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def archive(self, cut: ArchiveCut) -> int:
        self._tables.archive_cuts.insert(cut.size, cut, taken="cut_exists")
        gone = self._tables.events.where(lambda event: (event.sequence or cut.size + 1) <= cut.size)
        for event in gone:
            number = event.sequence or 0
            self._tables.archived_leaves.put(number, ArchivedLeaf(number, event.leaf))
        return self._tables.events.drop(event.id for event in gone)

    def archived(self) -> int:
        return max(self._tables.archived_leaves.rows, default=0)

    def cuts(self) -> tuple[ArchiveCut, ...]:
        return tuple(sorted(self._tables.archive_cuts.rows.values(), key=attrgetter("size")))

    def nodes(self, level: int, start: int, end: int) -> tuple[bytes, ...]:
        stored = self._tables.tree_nodes.rows
        return tuple(stored[level, n].hash for n in range(start, end) if (level, n) in stored)

    def node_count(self, level: int) -> int:
        of_level = self._tables.tree_nodes.where(lambda node: node.level == level)
        return max((node.number for node in of_level), default=-1) + 1

    def all_nodes(self) -> tuple[TreeNode, ...]:
        return tuple(sorted(self._tables.tree_nodes.rows.values(), key=attrgetter("level", "number")))

    def add_nodes(self, nodes: Sequence[TreeNode]) -> None:
        for node in nodes:
            self._tables.tree_nodes.insert((node.level, node.number), node, taken="node_exists")

    def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        self._tables.checkpoints.insert(checkpoint.size, checkpoint, taken="checkpoint_exists")

    def newest_checkpoint(self) -> SignedCheckpoint | None:
        return max(self._tables.checkpoints.rows.values(), key=attrgetter("size"), default=None)

    def checkpoints(self, *, after: int = -1, limit: int) -> tuple[SignedCheckpoint, ...]:
        found = self._tables.checkpoints.where(lambda checkpoint: checkpoint.size > after)
        return tuple(sorted(found, key=attrgetter("size"))[:limit])

    def mark(self, witness: str) -> WitnessMark | None:
        return self._tables.witness_marks.rows.get(witness)

    def set_mark(self, mark: WitnessMark) -> None:
        self._tables.witness_marks.put(mark.witness, mark)
