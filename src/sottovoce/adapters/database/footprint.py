"""How much is stored of each kind of thing: the bytes of what the rows hold, not of the pages they lie in."""

from __future__ import annotations

import sqlalchemy as sa

from sottovoce.adapters.database.schema import (
    cases,
    consent_events,
    decisions,
    disclosures,
    events,
    marks,
    notices,
    receipts,
    recipients,
    records,
    requests,
    subjects,
)
from sottovoce.model.corpus import FootprintRow

Column = sa.Column[bytes] | sa.Column[str]

# Kind -> what of its rows is content: what is sealed, the texts that were signed or shown, and the words of what people
# said. What only describes it (ids, times, states, hashes, the profile of a result) is not counted. A row counts where
# it holds any content: an entry of the log without details does not.
_CONTENT: dict[str, tuple[sa.Table, tuple[Column, ...]]] = {
    "decision": (decisions, (decisions.c.body,)),
    "receipt": (receipts, (receipts.c.text,)),
    "consent": (
        consent_events,
        (consent_events.c.purpose, consent_events.c.channel, consent_events.c.evidence),
    ),
    "notice": (notices, (notices.c.text,)),
    "person": (subjects, (subjects.c.sealed_name,)),
    "mark": (marks, (marks.c.reason, marks.c.detail)),
    "case": (cases, (cases.c.law, cases.c.identity, cases.c.receipt)),
    "erasure": (requests, (requests.c.receipt, requests.c.inventory)),
    "recipient": (recipients, (recipients.c.sealed_name,)),
    "disclosure": (disclosures, (disclosures.c.purpose, disclosures.c.what, disclosures.c.note)),
    "audit": (events, (events.c.details,)),
}


def footprint(connection: sa.Connection) -> tuple[FootprintRow, ...]:
    """Rows in order of their kind: sealed records by their own kind, then everything around them."""
    bytes_of = sa.func.coalesce(sa.func.sum(sa.func.length(records.c.body)), 0)
    query = sa.select(records.c.kind, sa.func.count(), bytes_of).group_by(records.c.kind)
    rows = [FootprintRow(*row) for row in connection.execute(query.order_by(records.c.kind))]
    for kind, (table, columns) in _CONTENT.items():
        sizes = [sa.func.coalesce(sa.func.sum(_octets(column, connection)), 0) for column in columns]
        held = sa.or_(*(column.is_not(None) for column in columns))
        found = connection.execute(sa.select(sa.func.count(), *sizes).select_from(table).where(held)).one()
        rows.append(FootprintRow(kind, found[0], sum(found[1:])))
    return tuple(rows)


def _octets(column: Column, connection: sa.Connection) -> sa.ColumnElement[int]:
    """Bytes, also of text: `length` counts its characters, and SQLite knows `octet_length` since 3.43 only."""
    if isinstance(column.type, sa.LargeBinary):
        return sa.func.length(column)
    if connection.dialect.name == "sqlite":
        return sa.func.length(sa.cast(column, sa.LargeBinary))
    return sa.func.octet_length(column)
