"""Sealed bodies in a folder.

Rules upheld here:
1. Create-if-absent: a body is written as `<path>.part` and linked under its path when it is complete; an
   existing body is never replaced.
2. With `durable` (the default) file and folder are on disk before the writer's block is left, and a deletion is
   on disk before delete() returns.
3. Deleting a path deletes its unfinished part too: after a kill between link and unlink both names hold the body,
   and a writer still at work is cut off (erasure wins).
4. No name outside the folder: paths are checked, links are not followed. Files 0600, folders 0700.
5. Nothing is written anywhere else: no temporary folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from sottovoce.durable import create_private, give_name, sync_folder, write_all
from sottovoce.errors import Conflict, NotFound, StorageError
from sottovoce.model.paths import PART, check_new_path, check_path, is_part
from sottovoce.ports import BlobInfo


class FileBlobs:
    """Port `Blobs` on a folder. `durable=False` leaves out fsync: for copies whose original is elsewhere."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder = folder
        self._durable = durable

    @contextmanager
    def writer(self, path: str) -> Iterator[_Body]:
        final = self._folder / check_new_path(path)
        part = final.with_name(final.name + PART)
        with _storage_errors():
            self._make_folder(final.parent)
            if final.exists():
                raise _exists()
            fd = _create(part)
        try:
            yield _Body(fd)
            with _storage_errors():
                self._publish(fd, part, final)
        except BaseException:
            with suppress(OSError):  # the first error is told; a part file that stays is collected later
                _unlink_own(fd, part)
            raise
        finally:
            os.close(fd)

    @contextmanager
    def reader(self, path: str) -> Iterator[int]:
        fd = self._open(check_path(path))
        try:
            yield fd
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        with _storage_errors():
            return (self._folder / check_path(path)).is_file()

    def delete(self, path: str) -> bool:
        final = self._folder / check_path(path)
        with _storage_errors():
            there = _unlink(final)
            part_there = not is_part(path) and _unlink(final.with_name(final.name + PART))
            if there or part_there:
                self._sync_folder(final.parent)
        return there

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        with _storage_errors():
            for path in sorted(self._folder.rglob("*")):
                name = path.relative_to(self._folder).as_posix()
                info = _info(path, name) if name.startswith(prefix) else None
                if info is not None:
                    yield info

    def __repr__(self) -> str:
        return "FileBlobs(...)"  # the folder may name a person

    def _open(self, path: str) -> int:
        try:
            return os.open(self._folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("There is no body of that path.") from None
        except OSError as error:
            raise _storage(error) from None

    def _publish(self, fd: int, part: Path, final: Path) -> None:
        if self._durable:
            os.fsync(fd)
        try:
            give_name(fd, final)  # by descriptor: it is our file, whoever holds the name of the part now
        except FileExistsError:
            raise _exists() from None
        except FileNotFoundError:
            raise Conflict("The body was deleted while it was written.", reason="blob_deleted") from None
        _unlink_own(fd, part)
        self._sync_folder(final.parent)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._sync_folder(folder.parent)

    def _sync_folder(self, folder: Path) -> None:
        if self._durable:
            sync_folder(folder)


class _Body:
    """Writes to one descriptor, all of it or an error."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        with _storage_errors():
            write_all(self._fd, data)


def _create(part: Path) -> int:
    """The new part file, locked while it is written. What a killed writer left behind is replaced."""
    while True:
        try:
            fd = create_private(part)
        except FileExistsError:
            _remove_abandoned(part)
            continue
        fcntl.flock(fd, fcntl.LOCK_EX)
        if _is_own(fd, part):
            return fd
        os.close(fd)  # somebody took it for abandoned between open and flock


def _remove_abandoned(part: Path) -> None:
    """Remove a part file that nobody holds; Conflict where somebody is writing it."""
    try:
        fd = os.open(part, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _unlink_own(fd, part)
    except BlockingIOError:
        raise _exists() from None
    finally:
        os.close(fd)


def _unlink_own(fd: int, part: Path) -> None:
    """Unlink the part file, unless the name belongs to another writer by now."""
    if _is_own(fd, part):
        part.unlink(missing_ok=True)


def _is_own(fd: int, part: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), part.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _info(path: Path, name: str) -> BlobInfo | None:
    try:
        there = path.stat(follow_symlinks=False)
    except FileNotFoundError:  # deleted meanwhile
        return None
    if not path.is_file():
        return None
    modified_at = datetime.fromtimestamp(there.st_mtime, UTC)
    return BlobInfo(name, there.st_size, modified_at, finished=not is_part(name))


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _storage(error) from None


def _exists() -> Conflict:
    return Conflict("There is a body of that path already, or one is being written.", reason="blob_exists")


def _storage(error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            "The disk is full; nothing was stored.",
            reason="storage_full",
            hint="Free some space, then try again.",
        )
    name = errno.errorcode.get(error.errno or 0, "?")
    return StorageError(f"The folder of bodies cannot be used ({name}).")
