"""Keyed names: stable under one key, unrelated under another key or for another use."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import UsageError
from sottovoce.sealing.pseudonym import audit_pseudonym, blind_index, idempotency_hash

KEY, OTHER = bytes(range(32)), bytes(32)


def hmac_sha256(key: bytes, message: bytes) -> str:
    """RFC 2104, written out."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in padded) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in padded) + inner).hexdigest()


def fields(*words: str) -> bytes:
    return b"".join(b"s" + len(word.encode()).to_bytes(4, "big") + word.encode() for word in words)


@given(st.binary(min_size=32, max_size=32), st.from_regex(r"[a-z0-9@._-]{1,30}", fullmatch=True))
def test_X25_the_outside_id_is_kept_as_a_blind_index_only(key: bytes, outside_id: str) -> None:
    """The operator's own id of a person is stored as a keyed hash, which nobody without the key can recompute."""
    index = blind_index(key, outside_id, tenant="default")
    assert index == hmac_sha256(key, fields("sottovoce/blind-index/1", "default", outside_id))
    assert index != blind_index(bytes(b ^ 1 for b in key), outside_id, tenant="default")


def test_composed_and_decomposed_names_are_one_person() -> None:
    assert blind_index(KEY, "Zo\u00eb") == blind_index(KEY, "Zoe\u0308")
    assert blind_index(KEY, "zoe") != blind_index(KEY, "Zoe")


def test_every_use_has_a_label_of_its_own() -> None:
    names = {
        blind_index(KEY, "x"),
        blind_index(KEY, "x", tenant="other"),
        audit_pseudonym(KEY, "x"),
        idempotency_hash(KEY, scope="x", idempotency_key="x"),
        idempotency_hash(KEY, scope="", idempotency_key="xx"),
    }
    assert len(names) == 5


def test_oracle_of_audit_pseudonym_and_idempotency_hash() -> None:
    assert audit_pseudonym(KEY, "sub_1") == hmac_sha256(KEY, fields("sottovoce/audit-pseudonym/1", "sub_1"))
    expected = hmac_sha256(KEY, fields("sottovoce/idempotency-key/1", "submit", "k1"))
    assert idempotency_hash(KEY, scope="submit", idempotency_key="k1") == expected


def test_refusals() -> None:
    with pytest.raises(UsageError):
        blind_index(KEY, "")
    with pytest.raises(UsageError):
        blind_index(b"short", "x")
    with pytest.raises(UsageError):
        audit_pseudonym(KEY, "\ud800")


def test_vectors(repo_root: Path) -> None:
    cases = json.loads((repo_root / "vectors/pseudonym/pseudonym_v1.json").read_text())["cases"]
    makers = {
        "blind_index": lambda key, i: blind_index(key, i["outside_id"], tenant=i["tenant"]),
        "audit_pseudonym": lambda key, i: audit_pseudonym(key, i["subject_id"]),
        "idempotency_hash": lambda key, i: idempotency_hash(key, **i),
    }
    assert {case["use"] for case in cases} == set(makers)
    for case in cases:
        assert makers[case["use"]](bytes.fromhex(case["key"]), case["input"]) == case["output"], case["id"]
