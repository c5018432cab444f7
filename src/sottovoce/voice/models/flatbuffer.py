"""The wire format of FlatBuffers, as far as a model file needs it: a writer, and a reader that trusts nothing.

Source: "FlatBuffers internals" (flatbuffers.dev). All numbers are little-endian. A table begins with the distance
back to its vtable, which lists where each field stands; vectors and strings begin with their length; references
are distances forward.

Rules upheld here:
1. Every read is checked against the file's bounds first; a reference leads forward and inside the file.
2. Nothing is allocated by a number that the file states: vectors are looked at where they lie.
3. A field that the caller does not know is refused, never skipped: no other runtime sees more in a file than we do.
4. IntegrityError (reason `model_malformed`) is the only way to fail.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sottovoce.errors import IntegrityError

HEAD_BYTES = 8  # reference to the root, file identifier


@dataclass(frozen=True, slots=True)
class Number:
    """A field held in the table itself; `code` is that of `struct`, 1 or 4 bytes."""

    code: str
    value: float


@dataclass(frozen=True, slots=True)
class Block:
    """A vector of numbers (or a string, with a zero byte behind it), as bytes."""

    data: bytes = field(repr=False)
    count: int
    align_bytes: int = 4
    terminated: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Field number -> content; what is absent has its default."""

    fields: Mapping[int, Content]


Content = Number | Block | Table | Sequence[Table]


def numbers(code: str, values: Sequence[float], *, align_bytes: int = 4) -> Block:
    return Block(struct.pack(f"<{len(values)}{code}", *values), len(values), align_bytes)


def text(words: str) -> Block:
    data = words.encode()
    return Block(data, len(data), 4, terminated=True)


def write(root: Table, *, identifier: bytes) -> bytes:
    """The bytes of a whole buffer; the same content gives the same bytes."""
    return _Writer(identifier).write(root)


class _Writer:
    """Front to back: what refers comes before what is referred to."""

    def __init__(self, identifier: bytes) -> None:
        self._out = bytearray(4) + identifier
        self._vtables: dict[bytes, int] = {}
        self._open: deque[tuple[int, Content]] = deque()  # where a reference stands, what it is to lead to

    def write(self, root: Table) -> bytes:
        self._open.append((0, root))
        while self._open:
            place, content = self._open.popleft()
            target = self._place(content)
            struct.pack_into("<I", self._out, place, target - place)
        self._pad(4)
        return bytes(self._out)

    def _place(self, content: Content) -> int:
        match content:
            case Table():
                return self._table(content)
            case Block():
                return self._block(content)
            case Number():
                raise TypeError("a number stands in its table")
            case _:
                return self._tables(content)

    def _table(self, table: Table) -> int:
        order = sorted(table.fields, key=lambda index: (-_size(table.fields[index]), index))
        offsets, end = {}, 4
        for index in order:
            offsets[index] = end
            end += _size(table.fields[index])
        vtable = self._vtable([offsets.get(index, 0) for index in range(max(order, default=-1) + 1)], end)
        self._pad(4)
        start = len(self._out)
        self._out += struct.pack("<i", start - vtable) + bytes(end - 4)
        for index in order:
            self._fill(start + offsets[index], table.fields[index])
        return start

    def _vtable(self, offsets: list[int], table_bytes: int) -> int:
        data = struct.pack(f"<{2 + len(offsets)}H", 4 + 2 * len(offsets), table_bytes, *offsets)
        if data not in self._vtables:
            self._pad(2)
            self._vtables[data] = len(self._out)
            self._out += data
        return self._vtables[data]

    def _fill(self, place: int, content: Content) -> None:
        if isinstance(content, Number):
            struct.pack_into(f"<{content.code}", self._out, place, content.value)
        else:
            self._open.append((place, content))

    def _block(self, block: Block) -> int:
        self._pad(4)
        while (len(self._out) + 4) % block.align_bytes:
            self._out += bytes(4)
        start = len(self._out)
        self._out += struct.pack("<I", block.count) + block.data + bytes(block.terminated)
        return start

    def _tables(self, tables: Sequence[Table]) -> int:
        self._pad(4)
        start = len(self._out)
        self._out += struct.pack("<I", len(tables)) + bytes(4 * len(tables))
        for index, table in enumerate(tables):
            self._open.append((start + 4 + 4 * index, table))
        return start

    def _pad(self, align_bytes: int) -> None:
        self._out += bytes(-len(self._out) % align_bytes)


def _size(content: Content) -> int:
    return struct.calcsize(f"<{content.code}") if isinstance(content, Number) else 4


# --- reading ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """A table of a file that nobody vouches for."""

    data: bytes = field(repr=False)
    fields: Mapping[int, int]  # field number -> where it stands

    def only(self, *known: int) -> View:
        """This table; refused where it has any other field."""
        if not set(self.fields) <= set(known):
            raise malformed()
        return self

    def number(self, index: int, code: str, default: int = 0) -> int:
        place = self.fields.get(index)
        return default if place is None else int(_unpack(self.data, place, code))

    def real(self, index: int, default: float = 0.0) -> float:
        place = self.fields.get(index)
        return default if place is None else _unpack(self.data, place, "f")

    def table(self, index: int) -> View:
        return _view(self.data, _target(self.data, self._place(index)))

    def tables(self, index: int, *, most: int) -> list[View]:
        start, count = self._vector(index, 4)
        if count > most:
            raise malformed()
        return [_view(self.data, _target(self.data, start + 4 * i)) for i in range(count)]

    def block(self, index: int, item_bytes: int = 1) -> bytes:
        """The bytes of a vector of items of that size."""
        start, count = self._vector(index, item_bytes)
        return self.data[start : start + count * item_bytes]

    def integers(self, index: int, *, code: str = "i", most: int) -> tuple[int, ...]:
        block = self.block(index, struct.calcsize(f"<{code}"))
        count = len(block) // struct.calcsize(f"<{code}")
        if count > most:
            raise malformed()
        return struct.unpack(f"<{count}{code}", block)

    def text(self, index: int, *, most_bytes: int = 64) -> str:
        block = self.block(index)
        if len(block) > most_bytes:
            raise malformed()
        return _decoded(block)

    def _place(self, index: int) -> int:
        if index not in self.fields:
            raise malformed()
        return self.fields[index]

    def _vector(self, index: int, item_bytes: int) -> tuple[int, int]:
        place = _target(self.data, self._place(index))
        count = int(_unpack(self.data, place, "I"))
        if count * item_bytes > len(self.data) - place - 4:
            raise malformed()
        return place + 4, count


def read(data: bytes, *, identifier: bytes) -> View:
    """The root table. IntegrityError where this is no such file."""
    if len(data) < HEAD_BYTES or data[4:8] != identifier:
        raise malformed()
    return _view(data, _target(data, 0))


def malformed() -> IntegrityError:
    return IntegrityError(
        "This is not a model file that sottovoce can read.",
        hint="Get the file again from where it came, or export it anew with `sottovoce models export`.",
        reason="model_malformed",
    )


def _view(data: bytes, place: int) -> View:
    vtable = place - int(_unpack(data, place, "i"))
    vtable_bytes = int(_unpack(data, vtable, "H"))
    table_bytes = int(_unpack(data, vtable + 2, "H"))
    if vtable_bytes < 4 or vtable_bytes % 2 or vtable_bytes > 4 + 2 * 64 or place + table_bytes > len(data):
        raise malformed()
    fields = {}
    for index in range((vtable_bytes - 4) // 2):
        offset = int(_unpack(data, vtable + 4 + 2 * index, "H"))
        if offset:
            if not 4 <= offset < table_bytes:
                raise malformed()
            fields[index] = place + offset
    return View(data, fields)


def _target(data: bytes, place: int) -> int:
    distance = int(_unpack(data, place, "I"))
    if distance < 4 or place + distance > len(data) - 4:
        raise malformed()
    return place + distance


def _unpack(data: bytes, place: int, code: str) -> float:
    if place < 0 or place + struct.calcsize(f"<{code}") > len(data):
        raise malformed()
    value: float = struct.unpack_from(f"<{code}", data, place)[0]
    return value


def _decoded(block: bytes) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError:
        raise malformed() from None
