"""Putting a restored home in its place: the lock of a home, a folder to prepare it in, and one step from old to new.

    prepare   HOME/restoring/home/...      a whole home, made and checked aside; nothing else is touched
    plan      HOME/restoring/plan.json     what is about to be laid beside its place
    lay       <file>.restored              beside each file, so that a rename is enough
    commit    plan.json -> swap.json       from here on the restore is carried out, whatever happens
    swap      <file> -> <file>.replaced, <file>.restored -> <file>
    destroy   every .replaced, then swap.json, then HOME/restoring

Rules upheld here:
1. All or nothing: before the commit a kill leaves the home as it was, after it the next to open the home finishes.
   Every step can be repeated.
2. Nobody opens the home meanwhile, and it is not begun while somebody has it open: a lock that the kernel lets go of
   with the process.
3. What is put aside is destroyed: overwritten, fsynced, unlinked. In the file; blocks that an SSD or a copy-on-write
   file system keeps are not covered. Copies of receipts are only unlinked.
4. A WAL or journal of the old file never stands beside the new one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sottovoce.durable import create_private, fill_with_zeros, sync_file, sync_folder, write_all
from sottovoce.errors import IntegrityError, SottovoceError, StorageError

STAGING = "restoring"
UNFINISHED = "restore_unfinished"
TRIAL = "drill-"  # folders of restore drills, each with a name of its own
_LOCK = "home.lock"
_PLAN, _SWAP = "plan.json", "swap.json"
_INCOMING, _ASIDE = ".restored", ".replaced"
_RECEIPTS = "receipts"
_BESIDE = ("-wal", "-shm", "-journal")
_PIECE_BYTES = 1 << 20
_TRIES, _PAUSE_S = 30, 0.05  # of who opens a home while another finishes an interrupted restore


class HomeLock:
    """Held shared by everybody who has the home open, alone by a restore."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._fd: int | None = None
        self._finalizer: weakref.finalize[..., HomeLock] | None = None  # of who forgets to close it

    def share(self) -> None:
        """Keep the home open, with others. First finishes or undoes a restore that was interrupted. StorageError
        (reason `home_restoring`) while it is being restored."""
        for _ in range(_TRIES):
            try:
                self._take(fcntl.LOCK_SH, "home_restoring")
                if not (self._home / STAGING).exists():
                    return
                self.alone()
            except StorageError as error:
                if error.reason not in ("home_restoring", "home_in_use"):
                    raise
                time.sleep(_PAUSE_S)  # several open it at once, and one of them finishes it
                continue
            recover(self._home)
        raise _busy("home_restoring")

    def alone(self) -> None:
        """StorageError (reason `home_in_use`) while anybody has the home open."""
        self._take(fcntl.LOCK_EX, "home_in_use")

    def close(self) -> None:
        """Idempotent."""
        self._fd = None
        if self._finalizer is not None:
            self._finalizer()  # once, whoever calls it

    def _take(self, kind: int, reason: str) -> None:
        with our_errors():
            if self._fd is None:
                folder = self._home / "run"
                self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.mkdir(mode=0o700, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._fd = os.open(folder / _LOCK, flags, 0o600)
                self._finalizer = weakref.finalize(self, os.close, self._fd)
            try:
                fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise _busy(reason) from None


@dataclass(frozen=True, slots=True)
class Move:
    """One file or folder that comes to its place."""

    incoming: Path
    target: Path
    aside: Path
    grows: bool = False  # only ever added to: extended where it stands, as far as it is the same


def recover(home: Path) -> None:
    """With the home locked alone: finish what was committed, destroy what was not."""
    with our_errors():
        staging = home / STAGING
        if (staging / _SWAP).exists():
            _swap(staging)
        elif staging.exists():
            for move in _read(staging / _PLAN):
                destroy(move.incoming)
            destroy(staging)
            sync_folder(home)


def reap_trials(home: Path) -> None:
    """Destroy what drills that were killed have left; the folder of one that runs is locked."""
    with suppress(OSError):
        for folder in (*home.glob(f"{TRIAL}*"), *home.glob(f".{TRIAL}*")):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                destroy(folder)
            except BlockingIOError:
                continue
            finally:
                os.close(fd)


@contextmanager
def prepared(home: Path) -> Iterator[Path]:
    """With the home locked alone: a new private folder to make a whole home in; destroyed unless it was committed."""
    staging = home / STAGING
    with our_errors():
        staging.mkdir(mode=0o700)
    try:
        yield staging / "home"
    except BaseException as error:
        if not (isinstance(error, StorageError) and error.reason == UNFINISHED):
            with suppress(StorageError):  # the first error is told; the next to open the home destroys it
                recover(home)
        raise
    if staging.exists():
        recover(home)


@contextmanager
def trial(home: Path, name: str) -> Iterator[Path]:
    """A new private folder for a drill, beside whatever else goes on; destroyed afterwards. It is locked before it
    has the name by which reap_trials() finds it."""
    hidden, folder = home / f".{TRIAL}{name}", home / f"{TRIAL}{name}"
    with our_errors():
        hidden.mkdir(mode=0o700)
        fd = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        hidden.rename(folder)
    try:
        yield folder / "home"
    finally:
        with our_errors():
            destroy(folder)
        os.close(fd)


def install(home: Path, files: Mapping[Path, Path], folders: Sequence[str], *, growing: Path) -> None:
    """Bring a prepared home to its place: `files` says which of its files becomes which. `folders`: names within the
    home; one that was not prepared stays as it is. `growing`: the target that is extended where it stands. Committed in
    one step; when it returns, the old ones are destroyed. StorageError: nothing was changed, or (reason
    `restore_unfinished`) the next to open it finishes."""
    staging = home / STAGING
    with our_errors():
        moves = [
            Move(_beside(target, _INCOMING), target, _beside(target, _ASIDE), grows=target == growing)
            for target in files.values()
        ]
        inside = [Move(staging / "home" / one, home / one, staging / f"{one}{_ASIDE}") for one in folders]
        _write(staging / _PLAN, [*moves, *inside])
        for move, source in zip(moves, files, strict=True):
            _lay(source, move.incoming)
        for move in inside:
            if move.incoming.is_dir():
                sync_folder(move.incoming)
        commit(staging)
    try:
        _swap(staging)  # from here on it is restored, whatever is left to do
    except OSError:
        raise StorageError(
            "The backup is restored, but the old files are not destroyed yet.",
            hint="See to the disk; the next command on this home finishes it.",
            reason=UNFINISHED,
        ) from None


def commit(staging: Path) -> None:
    (staging / _PLAN).rename(staging / _SWAP)


def copy_private(source: Path, target: Path) -> None:
    """A durable copy, 0600, of a file that is read once."""
    with our_errors():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy(source, target)


def destroy(path: Path, *, overwrite: bool = True) -> None:
    """Overwrite, fsync and unlink a file, or every file of a folder; nothing where there is none. Copies of receipts,
    which may be very many and hold what people were handed anyway, are only unlinked."""
    if path.is_dir() and not path.is_symlink():
        overwrite = overwrite and not path.name.startswith(_RECEIPTS)
        for inside in path.iterdir():
            destroy(inside, overwrite=overwrite)
        with suppress(FileNotFoundError):
            path.rmdir()
    else:
        with suppress(FileNotFoundError):
            if overwrite and path.is_file() and not path.is_symlink():
                fill_with_zeros(path)
            path.unlink()


def _swap(staging: Path) -> None:
    """From the commit to the end; every step can be repeated."""
    sync_folder(staging)  # the commit is durable before anything is moved
    moves = _read(staging / _SWAP)
    for move in moves:
        put_in_place(move)
    for move in moves:
        destroy(move.aside)
        sync_folder(move.target.parent)
    finish(staging)


def put_in_place(move: Move) -> None:
    if not move.incoming.exists():
        return  # done before
    if move.grows and _extend(move.target, move.incoming):
        move.incoming.unlink()
        sync_folder(move.target.parent)
        return
    if move.target.exists() and not move.aside.exists():
        move.target.rename(move.aside)
    for suffix in _BESIDE:
        destroy(_beside(move.target, suffix))
    sync_folder(move.target.parent)  # the old one and its WAL are gone before the new one appears
    move.incoming.rename(move.target)
    sync_folder(move.target.parent)


def _extend(target: Path, longer: Path) -> bool:
    """Add what `longer` has more, durably; False where the file is missing or is not the beginning of the other."""
    try:
        fd = os.open(target, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    with longer.open("rb") as whole:
        try:
            while piece := os.read(fd, _PIECE_BYTES):
                if whole.read(len(piece)) != piece:
                    return False
            while piece := whole.read(_PIECE_BYTES):
                write_all(fd, piece)
            os.fsync(fd)
        finally:
            os.close(fd)
    return True


def finish(staging: Path) -> None:
    (staging / _SWAP).unlink(missing_ok=True)
    sync_folder(staging)
    destroy(staging)
    sync_folder(staging.parent)


def _lay(source: Path, incoming: Path) -> None:
    """Beside its place, on the same file system as it."""
    incoming.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    destroy(incoming)
    try:
        source.rename(incoming)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, incoming)
    sync_file(incoming)
    sync_folder(incoming.parent)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, os.fdopen(create_private(target), "wb") as writing:
        shutil.copyfileobj(reading, writing, _PIECE_BYTES)
        writing.flush()
        os.fsync(writing.fileno())


def _write(path: Path, moves: Sequence[Move]) -> None:
    said = [[str(move.incoming), str(move.target), str(move.aside), move.grows] for move in moves]
    with os.fdopen(create_private(path), "w") as file:
        json.dump(said, file)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def _read(path: Path) -> list[Move]:
    """The moves of a plan; none where it was not written yet."""
    try:
        said = json.loads(path.read_text())
        return [
            Move(Path(incoming), Path(target), Path(aside), bool(grows))
            for incoming, target, aside, grows in said
        ]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, RecursionError):
        if path.name == _PLAN:
            return []  # cut short by a kill: nothing was laid yet
        raise IntegrityError(
            "The plan of an interrupted restore is damaged.",
            hint="Keep a copy of this home as it is, and restore into a new one.",
            reason="restore_damaged",
        ) from None


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextmanager
def our_errors() -> Iterator[None]:
    try:
        yield
    except SottovoceError:
        raise
    except FileExistsError:
        raise _busy("home_in_use") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                "The disk is full; the home is as it was.",
                hint="Free some space: a restore needs room for the home twice.",
                reason="storage_full",
            ) from None
        raise StorageError(
            "The files of the home cannot be put in place.",
            hint="Check the disk and the permissions of the home, then try again.",
            reason="restore",
        ) from None


def _busy(reason: str) -> StorageError:
    if reason == "home_restoring":
        return StorageError(
            "The home is being restored.", hint="Try again when that has ended.", reason=reason
        )
    return StorageError(
        "The home is in use by another process.",
        hint="End workers and other commands on this home, then try again.",
        reason=reason,
    )
