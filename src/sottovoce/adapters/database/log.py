"""Beside the audit log: nodes of its tree, signed checkpoints, marks of witnesses, cuts of archives."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from sottovoce.adapters.database.rows import DEFAULT_TENANT, fetch, fetch_one, insert, row_of
from sottovoce.adapters.database.schema import (
    archive_cuts,
    archived_leaves,
    checkpoints,
    events,
    tree_nodes,
    witness_marks,
)
from sottovoce.model.log import ArchiveCut, SignedCheckpoint, TreeNode, WitnessMark

_TENANT = {"tenant": DEFAULT_TENANT}  # one log for the whole home


class SqlLog:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def nodes(self, level: int, start: int, end: int) -> tuple[bytes, ...]:
        rows = self._connection.execute(_NODES, {"of_level": level, "start": start, "end": end})
        return tuple(row.hash for row in rows)

    def node_count(self, level: int) -> int:
        last = self._connection.execute(_LAST_NODE, {"of_level": level}).scalar_one_or_none()
        return 0 if last is None else int(last) + 1

    def all_nodes(self) -> tuple[TreeNode, ...]:
        return fetch(self._connection, TreeNode, tree_nodes, {}, order=("level", "number"))

    def add_nodes(self, nodes: Sequence[TreeNode]) -> None:
        for node in nodes:
            insert(self._connection, tree_nodes, row_of(node) | _TENANT, taken="node_exists")

    def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        insert(self._connection, checkpoints, row_of(checkpoint) | _TENANT, taken="checkpoint_exists")

    def newest_checkpoint(self) -> SignedCheckpoint | None:
        found = fetch(self._connection, SignedCheckpoint, checkpoints, {}, order=("-size",), limit=1)
        return found[0] if found else None

    def checkpoints(self, *, after: int = -1, limit: int) -> tuple[SignedCheckpoint, ...]:
        where = {"size >": after}
        return fetch(self._connection, SignedCheckpoint, checkpoints, where, order=("size",), limit=limit)

    def mark(self, witness: str) -> WitnessMark | None:
        return fetch_one(self._connection, WitnessMark, witness_marks, {"witness": witness})

    def set_mark(self, mark: WitnessMark) -> None:
        self._connection.execute(_FORGET, {"of_witness": mark.witness})
        insert(self._connection, witness_marks, row_of(mark) | _TENANT, taken="mark_exists")

    def archive(self, cut: ArchiveCut) -> int:
        insert(self._connection, archive_cuts, row_of(cut) | _TENANT, taken="cut_exists")
        self._connection.execute(_KEEP_LEAVES, {"up_to": cut.size})
        return self._connection.execute(_DROP_CONTENTS, {"up_to": cut.size}).rowcount

    def archived(self) -> int:
        return int(self._connection.execute(_ARCHIVED).scalar_one() or 0)

    def cuts(self) -> tuple[ArchiveCut, ...]:
        return fetch(self._connection, ArchiveCut, archive_cuts, {}, order=("size",))


_OF_LEVEL = tree_nodes.c.level == sa.bindparam("of_level")
_NODES = (
    sa.select(tree_nodes.c.hash)
    .where(_OF_LEVEL, tree_nodes.c.number >= sa.bindparam("start"), tree_nodes.c.number < sa.bindparam("end"))
    .order_by(tree_nodes.c.number)
)
_LAST_NODE = sa.select(sa.func.max(tree_nodes.c.number)).where(_OF_LEVEL)
_FORGET = witness_marks.delete().where(witness_marks.c.witness == sa.bindparam("of_witness"))
_UP_TO = events.c.sequence <= sa.bindparam("up_to")
_KEEP_LEAVES = sa.insert(archived_leaves).from_select(
    ["sequence", "tenant", "leaf"], sa.select(events.c.sequence, events.c.tenant, events.c.leaf).where(_UP_TO)
)
_DROP_CONTENTS = events.delete().where(_UP_TO)
_ARCHIVED = sa.select(sa.func.max(archived_leaves.c.sequence))
