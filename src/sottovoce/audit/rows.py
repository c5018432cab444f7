"""Entries as plain rows, and their canonical form put together from one: for who hashes many of them.

The bytes are those of `canonical_json(event.to_canonical())` in model/event.py, which says what they are; a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring

from sottovoce.model.event import EVENT_FORMAT, AuditEvent
from sottovoce.model.log import EventRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def rows_of(events: Iterable[AuditEvent]) -> Iterator[EventRow]:
    return (event_row(event) for event in events)


def event_row(event: AuditEvent) -> EventRow:
    """The entry as a plain row."""
    at_us = (event.at - _EPOCH) // _MICROSECOND
    return (
        event.id, event.tenant, at_us, event.kind, event.actor, event.channel, event.pseudonym, event.purpose,
        event.outcome, event.details_key_id, event.details, event.leaf, event.sequence, event.link,
    )  # fmt: skip


def canonical_row(row: EventRow) -> bytes:
    """The canonical form. TypeError, AttributeError, ValueError or OverflowError for a row that holds no entry."""
    id_, tenant, at_us, kind, actor, channel, pseudonym, purpose, outcome, key_id, details, *_ = row
    at = (_EPOCH + timedelta(0, 0, at_us)).isoformat(timespec="microseconds")
    sealed = "null" if details is None else f'"{details.hex()}"'
    return (
        f'{{"actor":{_common(actor)},"at":"{at}","channel":{_common(channel)},"details":{sealed},'
        f'"details_key_id":{_text(key_id)},"format":{EVENT_FORMAT},"id":{encode_basestring(id_)},'
        f'"kind":{_common(kind)},"outcome":{_common(outcome)},"pseudonym":{_text(pseudonym)},'
        f'"purpose":{_common(purpose)},"tenant":{_common(tenant)}}}'
    ).encode()


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring(value)


_common = lru_cache(maxsize=1024)(_text)  # kinds, actors, purposes: few, and again and again
