"""Signed heads of tombstones: only a pinned key counts, and no note of another kind or home is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.audit import checkpoint, tombstones
from sottovoce.audit.checkpoint import Checkpoint
from sottovoce.errors import IntegrityError, SottovoceError, UnknownSigner
from sottovoce.model.tombstones import TombstoneHead
from sottovoce.sealing.receipt import Identity

ME, OTHER = Identity(b"m" * 32), Identity(b"o" * 32)
ORIGIN = checkpoint.origin_of(ME.key_id)
NAME = tombstones.name_of(ORIGIN)
HEAD = TombstoneHead(17, bytes(range(32)))


def signed(head: TombstoneHead = HEAD, *, by: Identity = ME, name: str = NAME) -> str:
    return tombstones.sign(head, name=name, public_key=by.public_key, sign_bytes=by.sign_bytes).note


def test_a_signed_head_says_what_was_signed() -> None:
    assert tombstones.verify(signed(), name=NAME, trusted=[OTHER.public_key, ME.public_key]) == HEAD
    assert "sottovoce.tombstones/" + ME.key_id[:32] == NAME


def test_a_strangers_head_and_one_of_another_home_do_not_count() -> None:
    with pytest.raises(UnknownSigner):
        tombstones.verify(signed(by=OTHER), name=NAME, trusted=[ME.public_key])
    with pytest.raises(IntegrityError) as other:
        tombstones.verify(signed(name="sottovoce.tombstones/" + "0" * 32), name=NAME, trusted=[ME.public_key])
    assert other.value.reason == "other_tombstones"


def test_a_note_of_the_audit_log_is_none_of_tombstones_and_the_other_way_round() -> None:
    said = Checkpoint(ORIGIN, 17, bytes(range(32)))
    log = checkpoint.sign(said, public_key=ME.public_key, sign_bytes=ME.sign_bytes)
    with pytest.raises(IntegrityError):
        tombstones.verify(log, name=NAME, trusted=[ME.public_key])
    with pytest.raises(IntegrityError):
        checkpoint.verify(signed(), origin=NAME, trusted=[ME.public_key])


@given(at=st.integers(0, 10_000), bit=st.integers(0, 6))
def test_one_flipped_bit_fails(at: int, bit: int) -> None:
    text = bytearray(signed(), "utf-8")
    text[at % len(text)] ^= 1 << bit
    try:
        changed = text.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(SottovoceError):
        tombstones.verify(changed, name=NAME, trusted=[ME.public_key])


def test_heads_and_checkpoints_are_found_apart_in_the_file_of_a_witness() -> None:
    said = Checkpoint(ORIGIN, 17, bytes(32))
    log = checkpoint.sign(said, public_key=ME.public_key, sign_bytes=ME.sign_bytes)
    notes = [signed(), signed(TombstoneHead(18, bytes(32)))]
    file = "\n".join([log, notes[0], log, notes[1]])
    lines = "".join(f"Mar  1 host app: {checkpoint.to_line(note)}\n" for note in (log, notes[0], notes[1]))
    for text in (file, lines):
        assert list(tombstones.find_notes(text)) == notes
        assert set(checkpoint.find_checkpoints(text)) == {log}
