"""Receipts: verified against pinned keys only, and refused for one flipped bit."""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import IntegrityError, SottovoceError, UnknownSigner, UsageError
from sottovoce.sealing import receipt as receipts
from sottovoce.sealing.receipt import Identity

OURS, OTHER, NEXT = (Identity(bytes([n]) * 32) for n in (1, 2, 3))
TRUSTED = {OURS.key_id: OURS.public_key}
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = {"session": "ses_a", "state": "VERIFIED", "sizes": {"bytes": 480_000}, "purposes": ["voice_analysis"]}
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(max_size=8), values, max_size=4)


@given(st.sampled_from(receipts.RECEIPT_KINDS), bodies)
def test_what_was_signed_verifies_in_both_spellings(kind: str, body: dict) -> None:
    made = receipts.sign(kind, body, identity=OURS)
    for text in (made.to_json(), made.to_bytes(), made.to_json().encode()):
        read = receipts.verify(text, trusted=TRUSTED)
        assert (read.kind, read.body, read.key_id) == (kind, body, OURS.key_id)


def test_the_signature_covers_what_the_reference_says() -> None:
    data = json.loads(receipts.sign("recording", BODY, identity=OURS).to_json())
    signature = base64.b64decode(data.pop("signature"))
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    key = Ed25519PublicKey.from_public_bytes(OURS.public_key)
    key.verify(signature, b"sottovoce/receipt/1\x00" + canonical)
    assert set(data) == {"format", "kind", "body", "signer"}


@pytest.mark.parametrize("compact", [True, False])
def test_C4b_one_flipped_bit_fails(compact: bool) -> None:
    """A receipt with one flipped bit, anywhere in the file, does not verify."""
    made = receipts.sign("recording", BODY, identity=OURS)
    text = made.to_bytes() if compact else made.to_json().encode()
    for bit in range(8 * len(text)):
        broken = bytearray(text)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises((IntegrityError, UnknownSigner)):
            receipts.verify(bytes(broken), trusted=TRUSTED)


def test_C4b_another_homes_key_and_a_key_brought_along_are_never_enough() -> None:
    """A receipt is checked against a key that was pinned before, never against one that it brings along."""
    text = receipts.sign("recording", BODY, identity=OTHER).to_json()
    with pytest.raises(UnknownSigner):
        receipts.verify(text, trusted=TRUSTED)
    with pytest.raises(UnknownSigner):
        receipts.verify(text, trusted={})
    brought = json.loads(text)
    brought["signer"]["public_key"] = base64.b64encode(OTHER.public_key).decode()
    with pytest.raises(IntegrityError):
        receipts.verify(json.dumps(brought), trusted=TRUSTED)


def test_a_receipt_that_names_us_and_was_signed_by_another_is_refused() -> None:
    forged = json.loads(receipts.sign("recording", BODY, identity=OTHER).to_json())
    forged["signer"]["key_id"] = OURS.key_id
    with pytest.raises(IntegrityError) as refused:
        receipts.verify(json.dumps(forged), trusted=TRUSTED)
    assert refused.value.reason == "signature_broken"


def broken(**changes: object) -> str:
    data = json.loads(receipts.sign("recording", BODY, identity=OURS).to_json())
    return json.dumps({**data, **changes})


SIGNATURE = receipts.sign("recording", BODY, identity=OURS).to_dict()["signature"]


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", "nonsense", b"\xff\xfe", '"\\ud800"', "[" * 5000, "1" * 5000,
        broken(format="sottovoce-receipt/2"),
        broken(kind="praise"), broken(kind=1), broken(kind=[]), broken(body=[]), broken(body={"x": 0.5}),
        broken(body={"x": 2**53}), broken(signer=[]), broken(signer={}), broken(signer={"key_id": 1}),
        broken(signature=None), broken(signature="!"), broken(signature=""), broken(signature="ä"),
        broken(signature=str(SIGNATURE)[:-3] + "h=="), broken(signature=str(SIGNATURE)[:-4]),
        broken(extra=1), broken(body={"a": "\ud800"}),
        broken().replace('"kind"', '"format": "sottovoce-receipt/1", "kind"', 1),
        broken(body={"x": float("nan")}), " " * (1 << 20) + broken(),
    ],
)  # fmt: skip
def test_what_is_not_exactly_a_receipt_is_refused(text: str | bytes) -> None:
    with pytest.raises(IntegrityError):
        receipts.verify(text, trusted=TRUSTED)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_arbitrary_input_never_crashes_the_reader(text: bytes | str) -> None:
    with pytest.raises(IntegrityError):
        receipts.verify(text, trusted=TRUSTED)
    with pytest.raises(IntegrityError):
        receipts.trusted_keys(text)


@pytest.mark.parametrize("body", [{"x": 0.5}, {"x": 2**53}, {"x": [2**60]}, {"x": b"bytes"}, {"x": "\ud800"}])
def test_bodies_that_readers_could_read_differently_are_not_signed(body: dict) -> None:
    with pytest.raises(UsageError):
        receipts.sign("recording", body, identity=OURS)


def test_unknown_kinds_are_not_signed() -> None:
    with pytest.raises(UsageError):
        receipts.sign("praise", {}, identity=OURS)


def chain() -> list[receipts.Receipt]:
    return [
        receipts.replacement_statement(old=OURS, new_public_key=OTHER.public_key, at=AT),
        receipts.replacement_statement(old=OTHER, new_public_key=NEXT.public_key, at=AT),
    ]


def test_who_pinned_the_first_key_follows_the_chain_to_the_last() -> None:
    document = receipts.identity_document(OURS.public_key, created_at=AT, statements=chain())
    keys = receipts.trusted_keys(document)
    assert list(keys.items()) == [(one.key_id, one.public_key) for one in (OURS, OTHER, NEXT)]
    text = receipts.sign("erasure", BODY, identity=NEXT).to_json()
    assert receipts.verify(text, trusted=keys).key_id == NEXT.key_id
    alone = receipts.identity_document(OURS.public_key, created_at=AT)
    with pytest.raises(UnknownSigner):
        receipts.verify(text, trusted=receipts.trusted_keys(alone))


def test_statements_out_of_order_foreign_or_altered_are_refused() -> None:
    first, second = chain()
    foreign = receipts.replacement_statement(old=NEXT, new_public_key=OTHER.public_key, at=AT)
    ordinary = receipts.sign("recording", dict(first.body), identity=OURS)
    no_key = receipts.sign("identity", {"statement": "replaced_by"}, identity=OURS)
    other_words = receipts.sign("identity", {**first.body, "statement": "hello"}, identity=OURS)
    for statements in (
        [second],
        [second, first],
        [foreign],
        [ordinary],
        [no_key],
        [other_words],
        [first, first],
    ):
        document = receipts.identity_document(OURS.public_key, created_at=AT, statements=statements)
        with pytest.raises(IntegrityError):
            receipts.trusted_keys(document)
    altered = receipts.identity_document(OURS.public_key, created_at=AT, statements=[first])
    with pytest.raises(IntegrityError):
        receipts.trusted_keys(altered.replace("replaced_by", "replaced_bx"))


def test_identity_files_with_a_flipped_bit_never_give_another_key() -> None:
    document = receipts.identity_document(OURS.public_key, created_at=AT, statements=chain()).encode()
    rng = random.Random(3)
    good = receipts.trusted_keys(document)
    for bit in rng.sample(range(8 * len(document)), 1500):
        data = bytearray(document)
        data[bit // 8] ^= 1 << bit % 8
        try:
            assert (
                receipts.trusted_keys(bytes(data)) == good
            )  # the date of creation is for people, not signed
        except IntegrityError:
            continue


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"statements": {}},
        {"key_id": "x"},
        {"public_key": "x"},
        {"extra": 1},
        {"statements": [1]},
    ],
)
def test_what_is_not_exactly_an_identity_file_is_refused(change: dict) -> None:
    document = json.loads(receipts.identity_document(OURS.public_key, created_at=AT))
    with pytest.raises(IntegrityError):
        receipts.trusted_keys(json.dumps({**document, **change}))


def test_a_pinned_key_that_is_no_key_fails_as_an_error_of_ours() -> None:
    text = receipts.sign("recording", BODY, identity=OURS).to_json()
    with pytest.raises(SottovoceError):
        receipts.verify(text, trusted={OURS.key_id: b"short"})


def test_the_seed_has_no_repr_and_one_size() -> None:
    assert "seed" not in repr(OURS)
    with pytest.raises(UsageError):
        Identity(b"short")
    assert OURS.key_id == receipts.key_id_of(OURS.public_key)


def test_a_statement_is_added_once_and_only_where_it_follows() -> None:
    first, second = chain()
    alone = receipts.identity_document(OURS.public_key, created_at=AT)
    longer = receipts.with_statement(alone, first)
    assert receipts.with_statement(longer, first) == longer
    assert list(receipts.trusted_keys(receipts.with_statement(longer, second)))[-1] == NEXT.key_id
    with pytest.raises(IntegrityError):
        receipts.with_statement(alone, second)


@pytest.mark.parametrize("levels", [70, 500, 900, 100_000])
def test_M05_a_receipt_that_is_nested_without_end_is_refused(levels: int) -> None:
    """Endless nesting in a receipt is refused before anybody shows or stores it, whoever signed it."""
    text = receipts.sign("recording", {"deep": "here"}, identity=OURS).to_json()
    with pytest.raises(IntegrityError) as refused:
        receipts.parse_receipt(text.replace('"here"', "[" * levels + "]" * levels))
    assert refused.value.reason == "receipt_malformed"


def test_nobody_signs_what_nobody_would_read() -> None:
    deep: list = []
    for _ in range(70):
        deep = [deep]
    with pytest.raises(UsageError):
        receipts.sign("recording", {"deep": deep}, identity=OURS)
