"""Port `Blobs` in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sottovoce.durable import write_all
from sottovoce.errors import Conflict, NotFound
from sottovoce.model.paths import PART, check_new_path, check_path
from sottovoce.ports import (
    BlobInfo,
)


class MemoryBlobs:
    """Bodies in a dictionary; descriptors by memfd, so that even these never touch a disk."""

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bodies: dict[str, tuple[bytes, datetime]] = {}
        self._unfinished: dict[str, bytearray] = {}

    @contextmanager
    def writer(self, path: str) -> Iterator[_MemoryBody]:
        buffer = bytearray()
        with self._lock:
            if check_new_path(path) in self._bodies or path in self._unfinished:
                raise _blob_exists()
            self._unfinished[path] = buffer
        try:
            yield _MemoryBody(buffer)
            self._finish(path, buffer)
        finally:
            with self._lock:
                if self._unfinished.get(path) is buffer:
                    del self._unfinished[path]

    @contextmanager
    def reader(self, path: str) -> Iterator[int]:
        with self._lock:
            body = self._bodies.get(check_path(path))
        if body is None:
            raise NotFound("There is no body of that path.")
        fd = _memory_descriptor(body[0])
        try:
            yield fd
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        with self._lock:
            return check_path(path) in self._bodies

    def delete(self, path: str) -> bool:
        with self._lock:
            self._unfinished.pop(check_path(path), None)
            return self._bodies.pop(path, None) is not None

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        with self._lock:
            found = [BlobInfo(path, len(body), at) for path, (body, at) in self._bodies.items()]
            found += [
                BlobInfo(path + PART, len(buffer), self._clock(), finished=False)
                for path, buffer in self._unfinished.items()
            ]
        return iter(sorted((i for i in found if i.path.startswith(prefix)), key=lambda info: info.path))

    def _finish(self, path: str, buffer: bytearray) -> None:
        with self._lock:
            if self._unfinished.get(path) is not buffer:
                raise Conflict("The body was deleted while it was written.", reason="blob_deleted")
            self._bodies[path] = (bytes(buffer), self._clock())


class _MemoryBody:
    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        self._buffer += data


def _memory_descriptor(body: bytes) -> int:
    """A read-only descriptor of anonymous memory that holds the body."""
    writable = os.memfd_create("body", os.MFD_CLOEXEC)
    try:
        write_all(writable, body)
        return os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writable)


def _blob_exists() -> Conflict:
    return Conflict("There is a body of that path already, or one is being written.", reason="blob_exists")
