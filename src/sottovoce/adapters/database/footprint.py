"""How much is stored of each kind of thing: the bytes of what the rows hold, not of the pages they lie in."""

from __future__ import annotations

import sqlalchemy as sa

from sottovoce.adapters.database.schema import consent_events, decisions, events, receipts, records, subjects
from sottovoce.model.corpus import FootprintRow

# Kind of row -> what of it has a length that varies; what has a fixed one (ids, times, states) is not counted.
_CONTENT: dict[str, tuple[sa.Table, sa.Column[bytes] | sa.Column[str]]] = {
    "decision": (decisions, decisions.c.body),
    "receipt": (receipts, receipts.c.text),
    "consent": (consent_events, consent_events.c.evidence),
    "person": (subjects, subjects.c.sealed_name),
    "audit": (events, events.c.details),
}


def footprint(connection: sa.Connection) -> tuple[FootprintRow, ...]:
    """Rows in order of their kind: sealed records by their own kind, then everything around them."""
    bytes_of = sa.func.coalesce(sa.func.sum(sa.func.length(records.c.body)), 0)
    query = sa.select(records.c.kind, sa.func.count(), bytes_of).group_by(records.c.kind)
    rows = [FootprintRow(*row) for row in connection.execute(query.order_by(records.c.kind))]
    for kind, (table, content) in _CONTENT.items():
        size = sa.func.coalesce(sa.func.sum(sa.func.length(content)), 0)
        count, size_bytes = connection.execute(sa.select(sa.func.count(), size).select_from(table)).one()
        rows.append(FootprintRow(kind, count, size_bytes))
    return tuple(rows)
