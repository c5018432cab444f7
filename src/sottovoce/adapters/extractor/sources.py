"""The bytes of a recording as the child reads them: from a descriptor, or out of a sealed body.

Neither holds a whole recording: a descriptor is read in place, of a sealed body only the beginning is kept and
what lies behind is opened again when it is asked for.
"""

from __future__ import annotations

import mmap
import os

from sottovoce.errors import IntegrityError
from sottovoce.sealing.client_body import body_opener, plain_body_bytes
from sottovoce.sealing.envelope import CHUNK_BYTES, PIECE_BYTES, Opener

HEAD_BYTES = 32 << 20  # 30 s of 8 channels, 24 bits and 44.1 kHz; more is opened a second time


class FileSource:
    """A regular file by its descriptor. Its offset is never used or moved."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size  # before the call filter, which knows no fstat

    @property
    def size_bytes(self) -> int:
        return self._size

    def read_at(self, offset: int, buffer: memoryview, /) -> int:
        return _read_at(self._fd, offset, buffer, self._size)


class SealedSource:
    """A sealed body, authenticated to its end by `authenticate()` before a decoder sees the first byte.

    Plaintext is kept up to `head_bytes`; a piece behind them is opened again from the start of the body (the
    whole is authenticated, and each chunk is once more).
    """

    def __init__(
        self, fd: int, *, key: bytes, context: bytes, body_offset: int, suite: int = 0, head_bytes: int = HEAD_BYTES
    ) -> None:  # fmt: skip
        self._fd, self._key, self._context, self._offset = fd, key, context, body_offset
        self._suite = suite
        self._sealed_size = os.fstat(fd).st_size
        self._head = mmap.mmap(-1, max(1, min(head_bytes, self.plain_bytes())))
        self._sealed = bytearray(PIECE_BYTES)
        self._plain = bytearray(PIECE_BYTES + CHUNK_BYTES)
        self._authentic = False
        self._restart()

    @property
    def size_bytes(self) -> int:
        """Plaintext bytes. IntegrityError before `authenticate()`."""
        if not self._authentic:
            raise IntegrityError("A sealed body was read before it was authenticated.")
        return self.plain_bytes()

    def plain_bytes(self) -> int:
        """Plaintext bytes that a body of this size has; 0 where it is too short to be one."""
        return plain_body_bytes(self._suite, self._sealed_size - self._offset)

    def authenticate(self) -> None:
        """Open the whole body once. IntegrityError where key, context or bytes are not those of the sealing."""
        while self._advance():
            kept = min(len(self._head) - self._piece_start, self._piece_bytes)
            if kept > 0:
                self._head[self._piece_start : self._piece_start + kept] = self._plain[:kept]
        self._authentic = True
        self._restart()

    def read_at(self, offset: int, buffer: memoryview, /) -> int:
        wanted = max(0, min(len(buffer), self.size_bytes - offset))
        done = 0
        while done < wanted:
            done += self._copy(offset + done, buffer[done:wanted])
        return done

    def clear(self) -> None:
        """Zero what was opened."""
        self._plain[:] = bytes(len(self._plain))
        self._head.seek(0)
        self._head.write(bytes(len(self._head)))

    def _copy(self, offset: int, buffer: memoryview) -> int:
        """At least one byte from `offset` on, out of the head or of the piece that stands there."""
        kept = min(len(self._head), self.size_bytes)
        if offset < kept:
            count = min(len(buffer), kept - offset)
            buffer[:count] = memoryview(self._head)[offset : offset + count]
            return count
        if offset < self._piece_start:
            self._restart()
        while offset >= self._piece_start + self._piece_bytes:
            if not self._advance():
                raise IntegrityError("A sealed body changed while it was read.", reason="envelope_damaged")
        start = offset - self._piece_start
        count = min(len(buffer), self._piece_bytes - start)
        buffer[:count] = memoryview(self._plain)[start : start + count]
        return count

    def _restart(self) -> None:
        self._opener: Opener | None = body_opener(self._suite, self._key, self._context)
        self._at = self._offset
        self._piece_start = self._piece_bytes = 0

    def _advance(self) -> bool:
        """Open the next piece; False behind the last."""
        if self._opener is None:
            return False
        count = 0
        start = self._piece_start + self._piece_bytes
        view = memoryview(self._sealed)
        while count == 0:
            got = _read_at(self._fd, self._at, view, self._sealed_size)
            if got == 0:
                last = self._opener.finalize()
                count = len(last)
                self._plain[:count] = last
                self._opener = None
                break
            self._at += got
            count = self._opener.update_into(view[:got], self._plain)
        if count == 0:
            return False
        self._piece_start, self._piece_bytes = start, count
        return True


def _read_at(fd: int, offset: int, buffer: memoryview, size: int) -> int:
    done = 0
    wanted = max(0, min(len(buffer), size - offset))
    while done < wanted:
        got = os.preadv(fd, [buffer[done:wanted]], offset + done)
        if got == 0:
            break
        done += got
    return done
