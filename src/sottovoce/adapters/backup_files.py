"""A folder of backups outside the home: each backup a sub-folder that appears whole or not at all.

Rules upheld here:
1. A backup is written aside, every file and folder fsynced, and renamed under its name in one step; a kill leaves a
   hidden folder that the next backup removes. Nothing is ever overwritten.
2. Folders 0700, files 0600, whatever the umask.
3. Links are not followed, and only regular files are read.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sottovoce.durable import create_private, sync_file, sync_folder
from sottovoce.errors import Conflict, InputUnreadable, SottovoceError, StorageError, UsageError
from sottovoce.model.backup import MANIFEST_NAME, BackupFile

MAXIMUM_MANIFEST_BYTES = 1 << 20
_PART = ".backup-"
_PIECE_BYTES = 1 << 20


class FolderWriter:
    """A backup while it is made: files under plain names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def copy(self, name: str, make: Callable[[Path], None]) -> BackupFile:
        """Let `make` fill a new, empty, private file; its size and hash when it is durable."""
        path = self._folder / name
        os.close(create_private(path))
        make(path)
        sync_file(path)
        return digest(path)

    def again(self, name: str) -> Path:
        """Take a file back that was made a moment ago; its path."""
        path = self._folder / name
        path.unlink(missing_ok=True)
        return path

    def path(self, name: str) -> Path:
        return self._folder / name

    def write(self, name: str, data: bytes) -> BackupFile:
        return self.copy(name, lambda path: _write(path, data))


class Shelf:
    """One folder of backups, named by the operator."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return "Shelf(...)"

    @contextmanager
    def writer(self, name: str) -> Iterator[FolderWriter]:
        """A new sub-folder. Leaving the block normally makes it durable and visible; an exception leaves nothing.
        Conflict (reason `backup_exists`); StorageError (`storage_full`, `backup_not_written`)."""
        with _our_errors():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._remove_leftovers()
            if (self._folder / name).exists():
                raise _exists()
            part = self._folder / f"{_PART}{secrets.token_hex(8)}"
            part.mkdir(mode=0o700)
        lock = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with _our_errors():
                yield FolderWriter(part)
                publish(part, self._folder / name)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        finally:
            os.close(lock)

    def _remove_leftovers(self) -> None:
        """Of backups that were killed while they were made: nobody holds their locks."""
        for part in self._folder.glob(f"{_PART}*"):
            with suppress(OSError):
                fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(part, ignore_errors=True)
                finally:
                    os.close(fd)


class HalfFolder:
    """One half of a backup as it lies there; nothing of it is believed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    def manifest(self) -> str:
        """The text of its manifest. InputUnreadable (reason `manifest_missing`)."""
        try:
            with _regular(self.folder / MANIFEST_NAME) as fd:
                return os.read(fd, MAXIMUM_MANIFEST_BYTES).decode("utf-8", "surrogateescape")
        except OSError:
            raise no_manifest() from None

    def digest(self, name: str) -> BackupFile | None:
        """Size and hash of a file as it is now; None where it is not there or cannot be read."""
        try:
            return digest(self.folder / name)
        except OSError:
            return None

    def path(self, name: str) -> Path:
        return self.folder / name


def halves(folder: Path) -> tuple[HalfFolder, ...]:
    """The backups in a folder by name, or the folder itself where it is one. InputUnreadable where it is no folder."""
    if not folder.is_dir():
        raise InputUnreadable("This is not a folder.", hint="Name the folder that backups were made in.")
    if (folder / MANIFEST_NAME).exists():
        return (HalfFolder(folder),)
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "lost+found")))
    except OSError:
        raise InputUnreadable("The folder may not be read.", hint="Check its permissions.") from None
    return tuple(HalfFolder(path) for path in inside if path.is_dir() and not path.is_symlink())


def no_manifest() -> InputUnreadable:
    return InputUnreadable(
        "There is no manifest of a backup in this folder.",
        hint="Name the folder of one backup, or of several, as `backup create` made it.",
        reason="manifest_missing",
    )


def check_apart(data: Path, keys: Path, *, private: Sequence[Path]) -> None:
    """UsageError where the two folders are one, or one lies within the other, or within (or around) a place of the
    home: whoever takes one of them along must not have the other as well."""
    try:
        both = [data.expanduser().resolve(), keys.expanduser().resolve()]
        own = [path.resolve() for path in private]
    except (OSError, RuntimeError):
        raise UsageError("The folders of the backup cannot be used.", hint="Check the paths.") from None
    if _nested(*both):
        raise UsageError(
            "The halves of a backup must lie apart: neither in one folder nor one within the other.",
            hint="Name two folders, best on two media that different people keep.",
            reason="backup_folders",
        )
    if any(_nested(folder, place) for folder in both for place in own):
        raise UsageError(
            "A backup cannot lie within the home, nor the home within the folder of its backups.",
            hint="Name folders elsewhere, best on other disks.",
            reason="backup_folders",
        )


def digest(path: Path) -> BackupFile:
    hasher, size_bytes = hashlib.sha256(), 0
    with _regular(path) as fd:
        while piece := os.read(fd, _PIECE_BYTES):
            hasher.update(piece)
            size_bytes += len(piece)
    return BackupFile(path.name, size_bytes, hasher.hexdigest())


def publish(part: Path, final: Path) -> None:
    """Everything in the folder is durable; give the folder its name, once."""
    sync_folder(part)
    if final.exists():  # a rename would replace an empty folder
        raise _exists()
    part.rename(final)
    sync_folder(final.parent)


@contextmanager
def _regular(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        yield fd
    finally:
        os.close(fd)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)


def _nested(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except SottovoceError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                "The disk of the backup is full; nothing was left there.",
                hint="Free some space, or name another folder.",
                reason="storage_full",
            ) from None
        raise StorageError(
            "The backup cannot be written there.",
            hint="Check the folders and their permissions.",
            reason="backup_not_written",
        ) from None


def _exists() -> Conflict:
    return Conflict("A backup of that name is there already.", hint="Try again.", reason="backup_exists")
