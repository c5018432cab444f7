"""What an erasure says, from values alone: its inventory and the bodies of its answers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import UsageError
from sottovoce.model.canonical import canonical_json
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.model.record import Decision, SealedRecord
from sottovoce.model.request import ErasureRequest
from sottovoce.usecases.erasure_receipt import (
    erased_body,
    held_body,
    inventory_of,
    nothing_held_body,
    objects_of,
    promised_ids,
)

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
COPIES = DestructionPromise(NOW + timedelta(days=30), "the end of the key epoch")
REQUEST = ErasureRequest("req_a", "default", "sub_a", None, "pseudonym", NOW)
names = st.text("abcdefgh0123456789_", min_size=1, max_size=8)


def record(name: str) -> SealedRecord:
    body = b"sealed words"
    return SealedRecord(name, "default", "sub_a", "ses_a", "features", "compat", "1", body, NOW, NOW)


def decision(name: str) -> Decision:
    return Decision(
        name, "default", "sub_a", "ses_a", "voice_analysis", "m/1", "00" * 32, b"sealed words", NOW, NOW
    )


def inventory(ids: list[str], *, training: bool = False, **counts: int) -> str:
    objects = objects_of("ses_a", [record(name) for name in ids], [])
    return inventory_of(
        objects, sessions=1, keys=counts.pop("keys", 7), bodies=2, rows={"recordings": 1, "consents": 3},
        training=[{"round_id": "trn_a"}] if training else [],
    )  # fmt: skip


def answer(request: ErasureRequest, **counts: int) -> dict:  # type: ignore[type-arg]
    return erased_body(
        replace(request, completed_at=NOW + timedelta(hours=1)), counts, destruction="overwritten", copies=COPIES,
        recipients=[{"recipient": "rcp_a"}],
    )  # fmt: skip


# --- the inventory ----------------------------------------------------------------------------------------


@given(st.lists(names, unique=True, max_size=20))
def test_C11c_what_was_promised_is_known_before_and_after_it_is_done(ids: list[str]) -> None:
    """The ids of what an erasure covers are read from its promise, and from its receipt when it is complete."""
    promised = replace(REQUEST, inventory=inventory(ids))
    assert promised_ids(promised) == tuple(ids)
    receipt = json.dumps({"body": answer(promised)})
    assert promised_ids(replace(REQUEST, receipt=receipt)) == tuple(ids)
    assert promised_ids(REQUEST) == ()  # of a promise that a backup brought back without its inventory


def test_C11c_records_and_decisions_are_named_by_kind_and_version_and_by_nothing_of_what_they_hold() -> None:
    """An inventory names what is kept by internal id, kind and version; no word of it is in it."""
    objects = objects_of("ses_a", [record("rec_a")], [decision("dec_a")])
    assert objects == [
        {"id": "rec_a", "kind": "features", "version": "compat 1", "session_id": "ses_a"},
        {"id": "dec_a", "kind": "decision", "version": "m/1", "session_id": "ses_a"},
    ]


@pytest.mark.parametrize(("count", "named"), [(0, 0), (2000, 2000), (2001, 2000)])
def test_of_very_many_objects_so_many_are_named_and_all_are_counted(count: int, named: int) -> None:
    found = json.loads(inventory([f"rec_{i}" for i in range(count)]))
    assert (len(found["objects"]), found["objects_in_all"]) == (named, count)


def test_training_is_in_an_inventory_where_there_was_any() -> None:
    assert "training" not in json.loads(inventory(["rec_a"]))
    told = answer(replace(REQUEST, inventory=inventory(["rec_a"], training=True)))
    assert told["training"] == [{"round_id": "trn_a"}]
    assert "training" not in told["found"]
    assert answer(REQUEST)["training"] == []


# --- the answers ------------------------------------------------------------------------------------------


@given(st.dictionaries(names, st.integers(0, 10**6)), st.integers(0, 10**6))
def test_C11c_each_store_is_told_with_what_was_in_it(counts: dict[str, int], keys: int) -> None:
    """A receipt names each store with what was there when the erasure was promised, and what was destroyed now."""
    told = answer(replace(REQUEST, inventory=inventory(["rec_a"], keys=keys)), **counts)
    lines = {(line["store"], line["object"]): line["count"] for line in told["stores"]}
    assert lines == {
        ("key store", "keys"): keys, ("bodies", "sealed audio"): 2,
        ("database", "recordings"): 1, ("database", "consents"): 3,
    }  # fmt: skip
    assert told["destroyed"] == counts
    assert canonical_json(told)


def test_C11e_a_receipt_says_until_when_older_copies_of_the_key_store_open() -> None:
    """A receipt names the date after which no copy of the key store opens what was erased, or says in words that no
    date is enforced."""
    told = answer(REQUEST)
    assert told["key_copies_open_until"] == "2026-02-01T03:04:00+00:00"
    assert COPIES.words in [line["until"] for line in told["remains"]]
    assert all(line["what"] and line["why"] and line["until"] != "?" for line in told["remains"])
    undated = erased_body(
        replace(REQUEST, completed_at=NOW), {}, destruction="x", copies=DestructionPromise(None, "nobody knows"),
        recipients=[],
    )  # fmt: skip
    assert undated["key_copies_open_until"] is None
    assert "nobody knows" in [line["until"] for line in undated["remains"]]  # type: ignore[index,union-attr,call-overload]


def test_C11a_what_is_not_complete_has_no_receipt() -> None:
    """No receipt is made of an erasure that has not ended."""
    with pytest.raises(UsageError):
        erased_body(REQUEST, {}, destruction="x", copies=COPIES, recipients=[])


def test_C12a_the_answer_under_a_hold_names_the_hold_its_ground_and_what_comes_after() -> None:
    """Who asks to be erased while a legal hold stands is told which, on what ground, and that it runs by itself."""
    hold = Mark(
        id="mrk_h", tenant="default", subject_id="sub_a", session_id=None, kind=MarkKind.HOLD, purpose=None,
        reason="legal_obligation", asked_by="authority", request_id=None, detail=b"sealed words", placed_at=NOW,
    )  # fmt: skip
    waiting = replace(
        hold,
        id="mrk_w",
        kind=MarkKind.ERASURE_WAITING,
        reason="legal_hold",
        request_id="req_a",
        session_id="ses_a",
    )
    told = held_body(waiting, [hold])
    assert (told["result"], told["request_id"], told["session_id"]) == ("held", "req_a", "ses_a")
    (named,) = told["holds"]  # type: ignore[misc]
    assert named == {
        "id": "mrk_h", "basis": "a law demands that it is kept (GDPR 17(3)(b))", "since": "2026-01-02T03:04:00+00:00",
    }  # fmt: skip
    assert b"sealed words" not in canonical_json(told)


def test_F26_the_answer_where_nothing_is_held_has_neither_id_nor_time() -> None:
    """The answer about somebody of whom nothing is held is the same for everybody and at any time."""
    assert nothing_held_body("default") == {"result": "nothing_held", "tenant": "default"}
