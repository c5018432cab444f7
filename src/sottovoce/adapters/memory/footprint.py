"""How much is stored of each kind of thing, in memory: the same kinds and the same counts as a database gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sottovoce.adapters.memory.tables import Tables
from sottovoce.model.corpus import FootprintRow

# Kind -> its table, and what of its rows is content.
_CONTENT: dict[str, tuple[str, tuple[str, ...]]] = {
    "decision": ("decisions", ("body",)),
    "receipt": ("receipts", ("text",)),
    "consent": ("consent_events", ("purpose", "channel", "evidence")),
    "notice": ("notices", ("text",)),
    "person": ("subjects", ("sealed_name",)),
    "mark": ("marks", ("reason", "detail")),
    "case": ("cases", ("law", "identity", "receipt")),
    "erasure": ("requests", ("receipt", "inventory")),
    "recipient": ("recipients", ("sealed_name",)),
    "disclosure": ("disclosures", ("purpose", "what", "note")),
    "audit": ("events", ("details",)),
}


def footprint(tables: Tables) -> tuple[FootprintRow, ...]:
    """Rows in order of their kind: sealed records by their own kind, then everything around them."""
    records = tables.records.where(lambda _: True)
    kinds = sorted({record.kind for record in records})
    return (
        *(_row(kind, [one for one in records if one.kind == kind], ("body",)) for kind in kinds),
        *(
            _row(kind, tables.by_name[table].where(lambda _: True), names)
            for kind, (table, names) in _CONTENT.items()
        ),
    )


def _row(kind: str, rows: Iterable[Any], names: Sequence[str]) -> FootprintRow:
    held = [
        [value.encode() if isinstance(value, str) else value for value in values if value is not None]
        for values in ([getattr(row, name) for name in names] for row in rows)
    ]
    sizes = [sum(map(len, values)) for values in held if values]
    return FootprintRow(kind, len(sizes), sum(sizes))
