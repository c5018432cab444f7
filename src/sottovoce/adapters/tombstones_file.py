"""The file of tombstones: lines that are only ever added, each of them on the disk before append() returns.

Rules upheld here:
- An entry is durable (file and, where the file is new, its folder fsynced) before anybody is told of it.
- A last line without its newline was never acknowledged (a power cut came first): readers do not see it, and the next
  writer cuts it off. Any other line that is not what was written is an error, never skipped.
- One writer at a time, over threads and processes (flock); a writer reads the tail anew under the lock.
- A write that fails leaves the file as it was. On a full disk (F10, I10) space that was kept aside beside the file is
  used for the entries of an erasure, never for signed heads.
- A file that is replaced is put aside under a name of its own (`.broken-1`, ...) and never deleted. The new one is
  durable under another name before it takes the place, in one step: a kill leaves the old file, or the new one.
- Mode 0600. The file is opened to append and may be append-only (`chattr +a`); links are not followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sottovoce.durable import sync_folder, write_all
from sottovoce.errors import IntegrityError, StorageError
from sottovoce.model.tombstones import (
    HEAD_PREFIX,
    SignedHead,
    TombstoneEntry,
    TombstoneHead,
    damaged,
    decode,
    decode_alone,
    encode,
    follow,
    hash_of,
    head_line,
    parse_head_line,
)

RESERVE_BYTES = 64 << 10
_TAIL_BYTES = 4 << 10  # read from the end to find the last entry; twice as much until it is found
_LONGEST_LINE_BYTES = 1 << 17  # no entry and no signed head comes near it
_ASIDE = ".broken-"
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FileTombstones:
    """Port `Tombstones` on a file, which is made by the first append. Its folder has to be there: one that is missing
    is not mounted."""

    def __init__(self, path: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._path = path.absolute()
        self._reserve = self._path.with_name(self._path.name + ".reserve")
        self._reserve_bytes = reserve_bytes
        self._mutex = threading.Lock()
        if self._path.exists():
            self._keep_reserve()  # it may have been used

    def append(self, entries: Sequence[TombstoneEntry]) -> TombstoneHead:
        with self._writing() as fd:
            head, end = _tail(fd)
            lines = []
            for entry in entries:
                lines.append(encode(entry, head))
                head = follow(lines[-1], head)
            self._add(fd, end, lines)
            return head

    def read(self, after: int = 0) -> Iterator[TombstoneEntry]:
        head = TombstoneHead()
        for line in self._lines():
            if line.startswith(HEAD_PREFIX):
                continue
            if head.count < after:
                head = follow(line, head)
                continue
            entry = decode(line, head)
            head = entry.head
            yield entry

    def legible(self) -> Iterator[TombstoneEntry]:
        for path in (*self._put_aside(), self._path):
            for line in _lines(path):
                with contextlib.suppress(IntegrityError):
                    yield decode_alone(line)

    def replace(self, entries: Sequence[TombstoneEntry]) -> TombstoneHead:
        head, lines = TombstoneHead(), []
        for entry in entries:
            lines.append(encode(entry, head))
            head = follow(lines[-1], head)
        with self._mutex, _as_our_errors():
            new = self._path.with_name(self._path.name + ".new")
            _write_new(new, b"".join(line + b"\n" for line in lines))
            if self._path.exists():
                _put_aside(self._path, self._path.with_name(f"{self._path.name}{_ASIDE}{self._next_aside()}"))
            new.replace(self._path)
            sync_folder(self._path.parent)
        self._keep_reserve()
        return head

    def chain(self) -> Iterator[TombstoneHead]:
        head = TombstoneHead()
        for line in self._lines():
            if not line.startswith(HEAD_PREFIX):
                head = follow(line, head)
                yield head

    def head(self) -> TombstoneHead:
        with _as_our_errors(), self._reading() as file:
            return TombstoneHead() if file is None else _tail(file.fileno())[0]

    def add_signed(self, signed: SignedHead) -> None:
        with self._writing() as fd:
            _, end = _tail(fd)
            _write(fd, end, head_line(signed) + b"\n")

    def signed(self) -> Iterator[SignedHead]:
        for line in self._lines():
            if line.startswith(HEAD_PREFIX):
                yield parse_head_line(line)

    def __repr__(self) -> str:
        return "FileTombstones(...)"  # the path may name a person

    # --- writing -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _writing(self) -> Iterator[int]:
        """The file, under the lock of its writers."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with self._mutex, _as_our_errors():
            fd = self._open_or_make_room(flags)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield fd
            finally:
                os.close(fd)

    def _open_or_make_room(self, flags: int) -> int:
        try:
            return os.open(self._path, flags, 0o600)
        except OSError as error:
            if error.errno not in _FULL or not self._give_reserve():
                raise
        return os.open(self._path, flags, 0o600)

    def _add(self, fd: int, end: int, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        data = b"".join(line + b"\n" for line in lines)
        try:
            self._add_durably(fd, end, data)
        except OSError as error:
            if error.errno not in _FULL or not self._give_reserve():
                raise
            self._add_durably(fd, end, data)
            return
        self._keep_reserve()

    def _add_durably(self, fd: int, end: int, data: bytes) -> None:
        try:
            _write(fd, end, data)
            os.fsync(fd)
            if end == 0:
                sync_folder(self._path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, end)
                os.fsync(fd)
            raise

    def _give_reserve(self) -> bool:
        """Whether its blocks are free now."""
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def _keep_reserve(self) -> None:
        """Blocks that are ours: freed, they hold the entry of an erasure on a full disk."""
        with contextlib.suppress(OSError):
            if self._reserve.stat().st_size >= self._reserve_bytes:
                return
        with contextlib.suppress(OSError):
            fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._reserve_bytes)
            finally:
                os.close(fd)

    # --- reading -----------------------------------------------------------------------------------------

    def _reading(self) -> contextlib.AbstractContextManager[BinaryIO | None]:
        return _reading(self._path)

    def _lines(self) -> Iterator[bytes]:
        return _lines(self._path)

    def _put_aside(self) -> list[Path]:
        """The files that were put aside, in the order in which they were."""
        with _as_our_errors():
            name = self._path.name + _ASIDE
            found = {
                int(path.name.removeprefix(name)): path
                for path in (self._path.parent.iterdir() if self._path.parent.is_dir() else ())
                if path.name.startswith(name) and path.name.removeprefix(name).isdecimal()
            }
        return [found[number] for number in sorted(found)]

    def _next_aside(self) -> int:
        numbers = (int(path.name.rpartition("-")[2]) for path in self._put_aside())
        return max(numbers, default=0) + 1


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[BinaryIO | None]:
    """The file while nobody writes; None where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    with os.fdopen(fd, "rb") as file:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield file


def _lines(path: Path) -> Iterator[bytes]:
    """Finished lines without their newlines, up to where the file ends now."""
    with _as_our_errors(), _reading(path) as file:
        if file is None:
            return
        left = _finished_bytes(file.fileno())
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)  # only ever added to: what stands there stays
        while left > 0:
            line = file.readline(_LONGEST_LINE_BYTES + 1)
            if len(line) > _LONGEST_LINE_BYTES or not line:  # none of ours; or cut off meanwhile
                raise damaged()
            left -= len(line)
            yield line[:-1]


def _write_new(path: Path, data: bytes) -> None:
    """A whole file, durable when this returns; one that a kill left there is written over."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.ftruncate(fd, 0)
        _write(fd, 0, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _put_aside(path: Path, aside: Path) -> None:
    """Under a second name first, so that there is a file at every moment; where a file has one name only, under another
    one."""
    try:
        os.link(path, aside, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        path.rename(aside)
    sync_folder(path.parent)


def _tail(fd: int) -> tuple[TombstoneHead, int]:
    """The head of the last entry, and how many bytes the finished lines take."""
    end = _finished_bytes(fd)
    size = _TAIL_BYTES
    while True:
        start = max(0, end - size)
        lines = os.pread(fd, end - start, start).split(b"\n")[:-1]
        for line in reversed(lines if start == 0 else lines[1:]):  # the first may be the end of one
            if not line.startswith(HEAD_PREFIX):
                return _head_of(line), end
        if start == 0:
            return TombstoneHead(), end
        size *= 2


def _head_of(line: bytes) -> TombstoneHead:
    try:
        number = json.loads(line)["number"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise damaged() from None
    if type(number) is not int or not 1 <= number < 1 << 53:
        raise damaged()
    return TombstoneHead(number, hash_of(line))


def _finished_bytes(fd: int) -> int:
    """Up to the last newline."""
    end = os.fstat(fd).st_size
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _write(fd: int, end: int, data: bytes) -> None:
    """After the finished lines; what a power cut or a failed write left there is cut off first."""
    if os.fstat(fd).st_size > end:
        os.ftruncate(fd, end)
    write_all(fd, data)


@contextlib.contextmanager
def _as_our_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                "There is no space left for the tombstones.", hint="Free some space.", reason="storage_full"
            ) from None
        raise StorageError(
            "The file of tombstones cannot be used.",
            hint="Check that its folder (setting `tombstones`) is there, mounted and writable.",
            reason="tombstones_unreachable",
        ) from None


if TYPE_CHECKING:
    from sottovoce import ports

    def _keeps_the_port(tombstones: FileTombstones) -> ports.Tombstones:
        return tombstones
