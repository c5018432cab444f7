"""Sealed recordings on a machine that has no home and only a public key; and recordings opened again by who has to
hear them.

    OUT/<prefix>/<envelope id>.sealed      what is uploaded
    OUT/.seal-state                        32 random bytes of this folder, mode 0600

Rules upheld here:
1. No name before its file is complete and durable: an anonymous file (O_TMPFILE) is linked into the folder; where the
   file system has none, a hidden one beside it, removed at the end and by the next run. Mode 0600 from the first byte.
2. A sealed file gives way only to a whole, durable successor of the same envelope id; a file in clear replaces nothing.
3. One process at a time seals into a folder (flock on the state).
4. Ids are drawn from the state: the same file gives the same id in this folder, and nobody without the state can test
   a guess. The state opens nothing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sottovoce.durable import create_anonymous, create_private, give_name, sync_folder, write_all
from sottovoce.errors import Conflict, SottovoceError, StorageError, UsageError
from sottovoce.model.sealed_file import SUFFIX

STATE_NAME = ".seal-state"
_STATE_BYTES = 32
_ID_BYTES = 16
_PART = ".part"


@dataclass(frozen=True)
class SealedFolder:
    """The folder while it is held by this process; see open_folder()."""

    folder: Path = field(repr=False)
    state: bytes = field(repr=False)

    def envelope_id(self, words: bytes) -> bytes:
        """16 bytes that only this folder gives to these words."""
        return hmac.new(self.state, b"sottovoce/envelope-id/1" + words, hashlib.sha256).digest()[:_ID_BYTES]

    def size_of(self, place: str) -> int | None:
        """Bytes of a sealed file that is there under its name; None where none is."""
        try:
            there = (self.folder / place).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _storage(error) from None
        return there.st_size if stat.S_ISREG(there.st_mode) else None

    @contextmanager
    def writer(self, place: str) -> Iterator[FileWriter]:
        """A new sealed file. Leaving the block normally makes it durable and gives it its name in one step; leaving it
        by an exception leaves nothing."""
        final = self.folder / place
        with _storage_errors():
            self._make_prefix(final.parent)
            writer = _new_writer(final, replaces=True)
        with writer.named_at_the_end():
            yield writer

    def _make_prefix(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        sync_folder(folder.parent)


@dataclass
class FileWriter:
    """One file that has no name yet."""

    final: Path = field(repr=False)
    fd: int
    replaces: bool
    hidden: Path | None = field(default=None, repr=False)  # where there are no anonymous files
    _read_at: int = 0

    def write(self, data: memoryview, /) -> None:
        with _storage_errors():
            write_all(self.fd, data)

    def settle(self) -> None:
        """On the medium now; what is read next is read from there, as far as the system can be asked for that."""
        with _storage_errors():
            os.fsync(self.fd)
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self._read_at = 0

    def read_into(self, buffer: memoryview, /) -> int:
        with _storage_errors():
            count = os.preadv(self.fd, [buffer], self._read_at)
        self._read_at += count
        return count

    @contextmanager
    def named_at_the_end(self) -> Iterator[None]:
        """Leaving the block normally gives the file its name; leaving it by an exception leaves nothing."""
        try:
            yield
            with _storage_errors():
                self._publish()
        finally:
            self._close()

    def _publish(self) -> None:
        os.fsync(self.fd)
        if self.replaces:  # by a rename, so that an older file of the same id gives way in one step
            if self.hidden is None:
                self.hidden = _hidden_name(self.final)
                give_name(self.fd, self.hidden)
            self.hidden.rename(self.final)
            self.hidden = None
        else:
            try:
                give_name(self.fd, self.final)
            except FileExistsError:
                raise _exists() from None
        sync_folder(self.final.parent)

    def _close(self) -> None:
        with suppress(OSError):
            os.close(self.fd)
        if self.hidden is not None:
            with suppress(OSError):
                self.hidden.unlink(missing_ok=True)


@contextmanager
def clear_writer(path: Path) -> Iterator[FileWriter]:
    """A new file in clear, in a folder that exists. UsageError (reason `file_exists`), StorageError."""
    if os.path.lexists(path):
        raise _exists()
    with _storage_errors():
        writer = _new_writer(path, replaces=False)
    with writer.named_at_the_end():
        yield writer


def make_folder(folder: Path) -> None:
    """A folder for files in clear, for its owner alone where it is new."""
    with _storage_errors():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def open_folder(folder: Path) -> Iterator[SealedFolder]:
    """The folder, made where it is not there, held until the block is left. UsageError (not a folder), Conflict (reason
    `seal_in_progress`), StorageError."""
    if folder.exists() and not folder.is_dir():
        raise UsageError("The place for sealed files is not a folder.", hint="Name a folder with --out.")
    with _storage_errors():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(
            folder / STATE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600
        )
    try:
        _hold(fd)
        with _storage_errors():
            held = SealedFolder(folder, _state(fd, folder))
            _remove_parts(folder)
        yield held
    finally:
        os.close(fd)


def _hold(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Conflict(
            "Another process seals into this folder.",
            hint="Wait until it has ended, or name another folder.",
            reason="seal_in_progress",
        ) from None


def _state(fd: int, folder: Path) -> bytes:
    """The random bytes of the folder, drawn when it is new. A kill between the two leaves a short one, drawn anew: no
    file was named by it."""
    state = os.pread(fd, _STATE_BYTES, 0)
    if len(state) == _STATE_BYTES:
        return state
    state = os.urandom(_STATE_BYTES)
    os.pwrite(fd, state, 0)
    os.fsync(fd)
    sync_folder(folder)
    return state


def _remove_parts(folder: Path) -> None:
    """What a killed run left without a name; the folder is held, so nobody else writes one."""
    for part in folder.glob(f"*/.*{SUFFIX}{_PART}"):
        part.unlink(missing_ok=True)


def _new_writer(final: Path, *, replaces: bool) -> FileWriter:
    fd = create_anonymous(final.parent)
    if fd is not None:
        return FileWriter(final, fd, replaces)
    hidden = _hidden_name(final)
    return FileWriter(final, create_private(hidden), replaces, hidden)


def _hidden_name(final: Path) -> Path:
    return final.with_name(f".{secrets.token_hex(8)}{SUFFIX}{_PART}")


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _storage(error) from None


def _exists() -> UsageError:
    return UsageError(
        "A file of that name exists already.", hint="Name another folder with --out.", reason="file_exists"
    )


def _storage(error: OSError) -> SottovoceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(
            "The disk is full; nothing half-written was left.",
            hint="Free some space, then run it again: what is sealed is not sealed twice.",
            reason="storage_full",
        )
    return StorageError(
        "The folder for the files cannot be used.",
        hint="Check the folder and its permissions.",
        reason="sealed_folder",
    )
