"""Ways to damage a file: bits, lengths, cuts, spliced headers, blocks that are doubled, moved or missing. Pure."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

HEADER_BYTES = 512
BLOCK_BYTES = (1, 4, 64, 512, 4096)
Dice = random.Random


def flip_bits(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    for _ in range(dice.randint(1, 24)):
        data[_place(data, dice)] ^= 1 << dice.randrange(8)


def change_bytes(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    for _ in range(dice.randint(1, 20)):
        data[_place(data, dice)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))


def change_length(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    """A field of 2, 4 or 8 bytes somewhere in the header says something extreme, or nearly the truth."""
    width, order = dice.choice((2, 4, 8)), dice.choice(("little", "big"))
    extremes = (0, 1, 2, 7, 8, 1 << 15, 1 << 16, 1 << 30, 1 << 31, 1 << 32, 1 << 62, 1 << 63)
    near = len(data) + dice.randint(-9, 9)
    value = dice.choice((near, near - 8, *extremes, *(-1 - each for each in extremes)))
    at = dice.randrange(min(len(data), HEADER_BYTES))
    data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]


def cut(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    del data[_place(data, dice) :]


def splice(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    """The beginning of this one, the rest of another (of the same format or of any)."""
    other = dice.choice(others)
    at = _place(data, dice)
    data[at:] = other[min(at, len(other)) if dice.random() < 0.5 else 0 :]


def double_block(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    at, size = _place(data, dice), dice.choice(BLOCK_BYTES)
    data[at:at] = bytes(data[at : at + size]) * dice.choice((1, 1, 2, 50))


def delete_block(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    at = _place(data, dice)
    del data[at : at + dice.choice(BLOCK_BYTES)]


def move_block(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    at, size = _place(data, dice), dice.choice(BLOCK_BYTES)
    block = bytes(data[at : at + size])
    del data[at : at + size]
    to = dice.randrange(len(data) + 1)
    data[to:to] = block


def insert(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    filling = dice.choice((b"\0", b"\xff", dice.randbytes(16)))
    at = _place(data, dice)
    data[at:at] = filling * dice.choice((1, 3, 64))


def prepend_tag(data: bytearray, dice: Dice, others: Sequence[bytes]) -> None:
    """An ID3v2 tag whose size is true, or not."""
    size = dice.choice((0, 10, 300, (1 << 28) - 1))
    told = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    data[:0] = b"ID3\x04\0\0" + told + bytes(min(size, 300))


WAYS: tuple[Callable[[bytearray, Dice, Sequence[bytes]], None], ...] = (
    flip_bits, change_bytes, change_length, change_length, cut, splice, double_block, delete_block, move_block,
    insert, prepend_tag,
)  # fmt: skip


def mutated(data: bytes, dice: Dice, others: Sequence[bytes] = ()) -> bytes:
    """One to three kinds of damage, one after another; what comes out may be empty, and may be the same."""
    damaged = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 3))):
        if damaged:
            dice.choice(WAYS)(damaged, dice, others or (data,))
    return bytes(damaged)


def _place(data: bytearray, dice: Dice) -> int:
    """Half of the time in the header, where a byte says most."""
    reach = len(data) if dice.random() < 0.5 else min(len(data), HEADER_BYTES)
    return dice.randrange(max(1, reach))


# What stands in the place of a value, as text: some of it no JSON at all, some JSON that breaks what comes after.
HOSTILE = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e308", "1.5", "-1", "0", "true", "false", "null", '""', "[]",
    "{}", "9" * 17, "9" * 30, "9" * 400, "9" * 5000, "[" * 90 + "]" * 90, "[" * 5000 + "]" * 5000,
    '{"a":' * 300 + "1" + "}" * 300, r'"\ud800"', r'"a\u0000b"', r'"\u001b[2J"', f'"{"a" * 3000}"', '"../../etc"',
    "[null]", '[[1,2,3,4]]', '{"a":1,"a":2}', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"',
    '"2026-01-01T00:00:00"', '"8999-01-01T00:00:00+00:00"', '"\u0661"',
)  # fmt: skip
_HERE = "\ue000here\ue000"


def hostile_json(data: bytes, dice: Dice) -> bytes:
    """The same document with something hostile in the place of one of its values, or beside it under the same key."""
    value = json.loads(data)
    parents = [each for each in _containers(value) if each]
    if not parents:
        return dice.choice(HOSTILE).encode()
    parent = dice.choice(parents)
    key = dice.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    before, parent[key] = parent[key], _HERE
    hostile = dice.choice(HOSTILE)
    if isinstance(parent, dict) and dice.random() < 0.1:
        hostile = f"{json.dumps(before)},{json.dumps(key)}:{hostile}"
    return json.dumps(value).replace(json.dumps(_HERE), hostile).encode()


def _containers(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict | list) else []
    return own + [each for one in inner for each in _containers(one)]
