"""What an erasure says: the inventory written down with its promise, and the bodies of its signed answers.

Pure functions over values; `usecases/rights.py` signs what they return.

Rules upheld here, in order:
1. Internal ids, kinds, versions, counts and times only.
2. What there was to destroy is told as it was promised, whatever was interrupted since (C11c).
3. What remains is named, with the reason and until when; nothing is left out because it is awkward.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sottovoce.errors import UsageError
from sottovoce.model.canonical import JsonValue, canonical_json
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.mark import REASONS, Mark
from sottovoce.model.record import Decision, SealedRecord
from sottovoce.model.request import ErasureRequest
from sottovoce.model.times import iso_s

_MOST_OBJECTS = 2000  # named one by one in a receipt; of more, so many and how many there were
_GONE = "deleted, not found after deletion"
_COPIES_OPEN_UNTIL = "?"  # stands for the end of the key epoch, in the words of Keyring.destroyed_by()
_REMAINS: tuple[tuple[str, str, str], ...] = (  # what, why, until when
    (
        "the erasure request, a tombstone and the log of the person's requests, with internal ids only",
        "proof that the erasure took place; nothing erased comes back from a backup", "for good",
    ),
    (
        "backups of the database made before", "what they hold is sealed under keys that are destroyed here",
        "they are deleted; before one is served, the tombstones erase the person again",
    ),
    (
        "audit entries under a pseudonym whose key is destroyed",
        "the log has to verify; nothing links them to the person any more", "as long as the log is kept",
    ),
    (
        "backups of the key store made before", "they were made before; each is sealed under the key of an epoch",
        _COPIES_OPEN_UNTIL,
    ),
    ("copies of receipts and packages that were handed out", "they are the person's own", "not ours to say"),
    (
        "models that were trained before, named under `training`", "a model cannot be taken back from where it is used",
        "what is said there of each is done",
    ),
    ("statistics that were released before", "what was released cannot be taken back", "this version releases none"),
)  # fmt: skip


# --- the inventory ----------------------------------------------------------------------------------------


def objects_of(
    session_id: str, records: Sequence[SealedRecord], decisions: Sequence[Decision]
) -> list[dict[str, JsonValue]]:
    """What a session has, each by id, kind and version."""
    found: list[dict[str, JsonValue]] = [
        {"id": r.id, "kind": r.kind, "version": f"{r.profile} {r.version}", "session_id": session_id}
        for r in records
    ]
    found += [
        {"id": d.id, "kind": "decision", "version": d.model, "session_id": session_id} for d in decisions
    ]
    return found


def inventory_of(
    objects: Sequence[dict[str, JsonValue]], *, sessions: int, keys: int, bodies: int, rows: Mapping[str, int],
    training: list[JsonValue],
) -> str:  # fmt: skip
    """What there is to destroy, by store, as it is kept with the promise: canonical JSON."""
    found: dict[str, JsonValue] = {
        "sessions": sessions,
        "keys": keys,
        "bodies": bodies,
        "rows": dict(rows),
        "objects": list(objects[:_MOST_OBJECTS]),
        "objects_in_all": len(objects),
    }
    if training:
        found["training"] = training
    return canonical_json(found).decode()


def promised_ids(request: ErasureRequest) -> tuple[str, ...]:
    """Ids of the records and decisions that were there when the erasure was promised: also those of their keys, and
    known when the rows are gone already, and from its receipt when the erasure is complete."""
    found = json.loads(request.inventory) if request.inventory else {}
    if request.receipt is not None:
        found = json.loads(request.receipt)["body"].get("found", {})
    return tuple(str(one["id"]) for one in found.get("objects", []))


# --- the answers ------------------------------------------------------------------------------------------


def erased_body(
    request: ErasureRequest, counts: Mapping[str, int], *, destruction: str, copies: DestructionPromise,
    recipients: Sequence[JsonValue],
) -> dict[str, JsonValue]:  # fmt: skip
    """Of a complete erasure. `destruction`: how the provider destroys keys; `copies`: until when older copies of the
    key store open; `recipients`: who else was told. UsageError where it is not complete."""
    if request.completed_at is None:
        raise UsageError("An erasure that is not complete has no receipt.")
    found: dict[str, JsonValue] = json.loads(request.inventory) if request.inventory else {}
    training = found.pop("training", [])
    return {
        "result": "erased",
        "request_id": request.id,
        "tenant": request.tenant,
        "subject_id": request.subject_id,
        "session_id": request.session_id,
        "requested_at": iso_s(request.requested_at),
        "completed_at": iso_s(request.completed_at),
        "found": found,
        "stores": _stores(found),
        "destroyed": dict(sorted(counts.items())),
        "training": training,
        "key_destruction": destruction,
        "key_copies_open_until": None if copies.date is None else iso_s(copies.date),
        "remains": [
            {"what": what, "why": why, "until": copies.words if until == _COPIES_OPEN_UNTIL else until}
            for what, why, until in _REMAINS
        ],
        "recipients": list(recipients),
    }


def held_body(waiting: Mark, standing: Sequence[Mark]) -> dict[str, JsonValue]:
    """While a legal hold stands: what waits, for which hold, on what ground."""
    return {
        "result": "held",
        "request_id": waiting.request_id,
        "tenant": waiting.tenant,
        "subject_id": waiting.subject_id,
        "session_id": waiting.session_id,
        "requested_at": iso_s(waiting.placed_at),
        "holds": [
            {
                "id": hold.id,
                "basis": REASONS[hold.kind].get(hold.reason, hold.reason),
                "since": iso_s(hold.placed_at),
            }
            for hold in standing
        ],
        "remains": [
            {
                "what": "everything that is held of the person",
                "why": "a legal hold: kept, and used for nothing that the person has not agreed to",
                "until": "the hold is lifted; then the erasure runs by itself",
            }
        ],
    }


def nothing_held_body(tenant: str) -> dict[str, JsonValue]:
    """The same for everybody of whom nothing is held: no id, no time (F26)."""
    return {"result": "nothing_held", "tenant": tenant}


def _stores(found: Mapping[str, JsonValue]) -> list[JsonValue]:
    """What was in each store when the erasure was promised, and what became of it."""
    if not found:
        return []
    rows = found.get("rows")
    lines: list[JsonValue] = [
        {"store": "key store", "object": "keys", "count": found.get("keys"),
         "fate": "rows deleted, not found after deletion: what they seal cannot be opened any more"},
        {"store": "bodies", "object": "sealed audio", "count": found.get("bodies"), "fate": _GONE},
    ]  # fmt: skip
    for table, count in sorted(rows.items()) if isinstance(rows, dict) else ():
        lines.append({"store": "database", "object": table, "count": count, "fate": _GONE})
    return lines
