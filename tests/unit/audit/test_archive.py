"""An archive of an old part of the log: it verifies by itself, and every change of it is found."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.audit import archive, chain, checkpoint
from sottovoce.audit.archive import Place
from sottovoce.audit.rows import event_row
from sottovoce.errors import IntegrityError, SottovoceError, UnknownSigner
from sottovoce.model.event import AuditEvent
from sottovoce.model.log import EventRow

ORIGIN = "sottovoce.audit/" + "a" * 32
KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
START = datetime(2026, 1, 1, tzinfo=UTC)


def entries(count: int) -> list[EventRow]:
    events = [
        AuditEvent(
            id=f"evt_{n}", tenant="default", at=START + timedelta(hours=n), kind="record.read", actor="a",
            channel="c", pseudonym="p", purpose=None, outcome="ok", details_key_id="k", details=bytes([n % 256]),
        )
        for n in range(1, count + 1)
    ]  # fmt: skip
    return [event_row(chain.with_leaf(event)) for event in events]


def signed(rows: list[EventRow], start: int, end: int) -> str:
    before = Place().after(row[11] for row in rows[:start])
    after = before.after(row[11] for row in rows[start:end])
    return archive.sign_cut(ORIGIN, before, after, public_key=PUBLIC, sign_bytes=KEY.sign)


def lines_of(rows: list[EventRow], start: int, end: int) -> list[bytes]:
    return list(archive.archive_lines(signed(rows, start, end), [rows[start:end]]))


def check(lines: list[bytes], **given: object) -> archive.Archive:
    return archive.verify_archive(lines, origin=ORIGIN, trusted=[PUBLIC], **given)  # type: ignore[arg-type]


def definition_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word: an implementation of its own."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    joined = definition_root(leaves[:k]) + definition_root(leaves[k:])
    return hashlib.sha256(b"\x01" + joined).digest()


@given(st.integers(1, 40), st.data())
def test_C29a_an_archive_leads_from_one_root_of_the_definition_to_the_next(
    count: int, data: st.DataObject
) -> None:
    """The statement of an archive names the very tree that the entries make, whichever part it holds."""
    rows = entries(count)
    start = data.draw(st.integers(0, count - 1))
    end = data.draw(st.integers(start + 1, count))
    found = check(lines_of(rows, start, end))
    assert (found.cut.start.size, found.cut.end.size) == (start, end)
    assert found.cut.end.root() == definition_root([row[11] for row in rows[:end]])
    link = bytes(32)
    for row in rows[:end]:
        link = hashlib.sha256(b"\x02" + link + row[11]).digest()
    assert found.cut.end.link == link
    assert found.first_at == START + timedelta(hours=start + 1)
    assert found.last_at == START + timedelta(hours=end)
    said = checkpoint.verify(found.cut.checkpoint, origin=ORIGIN, trusted=[PUBLIC])
    assert (said.size, said.root) == (end, found.cut.end.root())


def _flip(lines: list[bytes], rng: random.Random) -> list[bytes]:
    text = bytearray(b"".join(lines))
    text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)
    return bytes(text).splitlines(keepends=True)


def _drop(lines: list[bytes], rng: random.Random) -> list[bytes]:
    gone = rng.randrange(len(lines))
    return lines[:gone] + lines[gone + 1 :]


def _swap(lines: list[bytes], rng: random.Random) -> list[bytes]:
    first, second = rng.sample(range(2, len(lines)), 2)
    lines = list(lines)
    lines[first], lines[second] = lines[second], lines[first]
    return lines


def _double(lines: list[bytes], rng: random.Random) -> list[bytes]:
    place = rng.randrange(2, len(lines))
    return [*lines[:place], lines[place], *lines[place:]]


def _cut(lines: list[bytes], rng: random.Random) -> list[bytes]:
    text = b"".join(lines)
    return text[: rng.randrange(len(text))].splitlines(keepends=True)


def _other_statement(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """The statement of another part of the same log."""
    other = signed(entries(20), 0, rng.choice([5, 13, 19]))
    return [lines[0], base64.b64encode(other.encode()) + b"\n", *lines[2:]]


@pytest.mark.parametrize("change", [_flip, _drop, _swap, _double, _cut, _other_statement])
def test_F34_a_tampered_archive_is_found(change: Callable[..., list[bytes]]) -> None:
    """An archive in which anything was changed, left out, added or moved is refused."""
    rng, lines = random.Random(5), lines_of(entries(20), 4, 20)
    check(lines)
    for _ in range(60):
        changed = change(lines, rng)
        if changed == lines:
            continue
        with pytest.raises((IntegrityError, UnknownSigner)):
            check(changed)


def test_F34_an_archive_that_somebody_made_anew_is_not_of_this_log() -> None:
    """Entries signed with another key make no archive, and the same entries edited and signed anew by the same key
    differ from the log, which names the first of them."""
    rows, other = entries(9), Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
    end = Place().after(row[11] for row in rows)
    forged = archive.sign_cut(
        ORIGIN, Place(), end, public_key=other.public_key().public_bytes_raw(), sign_bytes=other.sign
    )
    with pytest.raises(UnknownSigner):
        check(list(archive.archive_lines(forged, [rows])))
    edited = list(rows)
    event = list(rows[4])
    event[3] = "record.red"
    edited[4] = tuple(event)  # type: ignore[call-overload]
    leaves = [chain.leaf_of(line[:-1]) for line in lines_of(edited, 0, 9)[2:]]
    renewed = archive.sign_cut(ORIGIN, Place(), Place().after(leaves), public_key=PUBLIC, sign_bytes=KEY.sign)
    lines = list(archive.archive_lines(renewed, [edited]))
    check(lines)
    with pytest.raises(IntegrityError, match="entry 5 is not the one"):
        check(lines, log=lambda start, end: [row[11] for row in rows[start:end]])


def test_a_statement_is_no_checkpoint_and_a_checkpoint_no_statement() -> None:
    statement = signed(entries(3), 0, 3)
    with pytest.raises(IntegrityError):
        checkpoint.verify(statement, origin=ORIGIN, trusted=[PUBLIC])
    cut = archive.verify_cut(statement, origin=ORIGIN, trusted=[PUBLIC])
    with pytest.raises(IntegrityError):
        archive.verify_cut(cut.checkpoint, origin=ORIGIN, trusted=[PUBLIC])


@pytest.mark.parametrize(
    "said",
    [
        '{"checkpoint":"","end":{},"format":1,"start":{}}',
        "[]",
        "{",
        '{"checkpoint":"","end":{"link":"zz","nodes":[],"size":0},"format":1,"start":{}}',
        '{"checkpoint":"","end":{"link":"","nodes":[],"size":true},"format":1,"start":{}}',
        "[" * 5000,
    ],
)
def test_a_signed_note_that_says_something_else_is_refused(said: str) -> None:
    note = checkpoint.sign_note(
        f"{ORIGIN}\narchive\n{said}\n", name=ORIGIN, public_key=PUBLIC, sign_bytes=KEY.sign
    )
    with pytest.raises(IntegrityError):
        archive.verify_cut(note, origin=ORIGIN, trusted=[PUBLIC])


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_junk_gives_only_declared_errors(lines: list[bytes]) -> None:
    for made in (lines, [archive.HEADER + b"\n", *lines]):
        with pytest.raises(SottovoceError):
            check([line + b"\n" for line in made] if made is lines else made)
