"""The key provider of an embedded home: a folder with one small file per KEK.

Rules upheld here:
- The folder has mode 0700, each file 0600; a file that group or others may read is refused, not used.
- A file appears whole or not at all: written aside, fsynced, linked under its name (create-if-absent), folder
  fsynced. An existing KEK is never replaced.
- With a passphrase the KEK in the file is wrapped by AES-256-GCM-SIV under Argon2id (RFC 9106) of the passphrase,
  64 MiB, 3 passes, 1 lane. The derivation is paid once per process; its parameters stand in the file.
- Destroying overwrites the file, fsyncs, unlinks, fsyncs the folder. That holds for the file; blocks that an SSD or
  a copy-on-write file system kept are not covered, and describe() says so.
- A wrong passphrase, a missing, damaged or readable file are told apart by `reason`; no message holds a path.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import threading
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from sottovoce.durable import create_private, fill_with_zeros, sync_folder
from sottovoce.errors import IntegrityError, KeyUnavailable, StorageError
from sottovoce.sealing.context import encode_fields
from sottovoce.sealing.keytree import unwrap_key, wrap_key

KEK_FORMAT = "sottovoce-kek/1"
ARGON2_MEMORY_KIB = 64 * 1024
ARGON2_PASSES = 3
ARGON2_LANES = 1

_KEK_BYTES = 32
# What a key file may ask of Argon2id: a file that asks for more is not ours, and would hold up whoever opens it.
_MOST_MEMORY_KIB, _MOST_PASSES, _MOST_LANES = 4 << 20, 64, 64
_SALT_BYTES = 16
_MAX_FILE_BYTES = 4096
_NAME = re.compile(r"kek-(\d{1,9})\.json")
_FILE_LABEL = "sottovoce/local-kek/file/1"
_WRAP_LABEL = "sottovoce/local-kek/wrap/1"


@dataclass(frozen=True, slots=True)
class _KekFile:
    """What a KEK file says."""

    epoch: int
    key: bytes = field(repr=False)  # the KEK itself, or its wrapped form where there is a salt
    salt: bytes | None
    memory_kib: int = 0
    passes: int = 0
    lanes: int = 0

    @property
    def kdf(self) -> tuple[bytes, int, int, int]:
        return (self.salt or b"", self.memory_kib, self.passes, self.lanes)


class LocalKeys:
    """Keys over a folder. With `passphrase` new KEKs are protected by it, without by OS permissions alone."""

    def __init__(
        self,
        folder: Path,
        *,
        passphrase: str | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
        memory_kib: int = ARGON2_MEMORY_KIB,
    ) -> None:
        self._folder = folder
        self._passphrase = passphrase
        self._random_bytes = random_bytes
        self._memory_kib = memory_kib
        self._derived: dict[tuple[bytes, int, int, int], bytes] = {}
        self._lock = threading.Lock()

    def create(self, epoch: int) -> None:
        with _as_key_error():
            self._make_folder()
            existing = self.epochs()
            if epoch in existing:
                return
            salt = self._check_newest(existing)
            self._publish(epoch, self._new_file(epoch, salt))

    def wrap(self, epoch: int, key: bytes, context: bytes) -> bytes:
        return wrap_key(self._kek(epoch), key, _wrap_context(epoch, context), random_bytes=self._random_bytes)

    def unwrap(self, epoch: int, wrapped: bytes, context: bytes) -> bytes:
        return unwrap_key(self._kek(epoch), wrapped, _wrap_context(epoch, context))

    def destroy(self, epoch: int) -> None:
        """Idempotent; a KEK of a removed folder counts as destroyed."""
        with _as_key_error():
            for path in (*self._folder.glob(f".kek-{epoch}.*.tmp"), self._path(epoch)):
                _overwrite_and_unlink(path)
            if self._folder.exists():
                sync_folder(self._folder)

    def epochs(self) -> tuple[int, ...]:
        if not self._folder.exists():
            return ()
        with _as_key_error():
            names = [_NAME.fullmatch(path.name) for path in self._folder.iterdir()]
            return tuple(sorted(int(name[1]) for name in names if name))

    def describe(self) -> dict[str, str]:
        return {
            "provider": "local",
            "protection": "passphrase (Argon2id) and file permissions"
            if self._passphrase
            else "file permissions",
            "destruction": "at once, in the file; SSD and copy-on-write blocks are not covered",
        }

    def destruction_wait(self) -> timedelta:
        return timedelta(0)

    def _kek(self, epoch: int) -> bytes:
        with _as_key_error():
            file = self._read(epoch)
        if file.salt is None:
            return file.key
        try:
            return unwrap_key(self._derive(file), file.key, _file_context(epoch))
        except IntegrityError:
            raise KeyUnavailable(
                "The passphrase does not open the key file.",
                hint="Give the passphrase that this home was made with.",
                reason="passphrase_wrong",
            ) from None

    def _check_newest(self, existing: tuple[int, ...]) -> bytes | None:
        """The newest KEK has to open before another is made, so that a mistyped passphrase protects nothing.

        Returns its salt, if any: one salt for the folder, and a process derives once and not once per epoch.
        """
        if not existing:
            return None
        self._kek(existing[-1])
        return self._read(existing[-1]).salt

    def _new_file(self, epoch: int, salt: bytes | None) -> _KekFile:
        kek = self._random_bytes(_KEK_BYTES)
        if self._passphrase is None:
            return _KekFile(epoch=epoch, key=kek, salt=None)
        salt = salt or self._random_bytes(_SALT_BYTES)
        file = _KekFile(epoch, b"", salt, self._memory_kib, ARGON2_PASSES, ARGON2_LANES)
        wrapped = wrap_key(self._derive(file), kek, _file_context(epoch), random_bytes=self._random_bytes)
        return replace(file, key=wrapped)

    def _derive(self, file: _KekFile) -> bytes:
        if not self._passphrase:
            raise KeyUnavailable(
                "The key file is protected by a passphrase, and none was given.",
                hint="Give the passphrase that this home was made with.",
                reason="passphrase_needed",
            )
        with self._lock:
            if file.kdf not in self._derived:
                self._derived[file.kdf] = _argon2id(self._passphrase, *file.kdf)
            return self._derived[file.kdf]

    def _path(self, epoch: int) -> Path:
        return self._folder / f"kek-{epoch}.json"

    def _make_folder(self) -> None:
        if not self._folder.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self._folder.parent)

    def _read(self, epoch: int) -> _KekFile:
        try:
            fd = os.open(self._path(epoch), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise KeyUnavailable(
                f"The key file of epoch {epoch} is missing.",
                hint="Put the key file back where it was; without it nothing of that epoch opens.",
                reason="key_file_missing",
            ) from None
        with os.fdopen(fd, "rb") as file:
            _check_permissions(os.fstat(fd))
            return _parse(file.read(_MAX_FILE_BYTES + 1), epoch)

    def _publish(self, epoch: int, file: _KekFile) -> None:
        """Write aside, then link: of two processes that create one epoch, the first wins and both go on."""
        aside = self._folder / f".kek-{epoch}.{self._random_bytes(8).hex()}.tmp"
        fd = create_private(aside)
        try:
            with os.fdopen(fd, "wb") as handle:
                handle.write(_serialise(file))
                handle.flush()
                os.fsync(handle.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(aside, self._path(epoch))
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(self._folder)


def _serialise(file: _KekFile) -> bytes:
    data: dict[str, Any] = {
        "format": KEK_FORMAT,
        "epoch": file.epoch,
        "key": base64.b64encode(file.key).decode("ascii"),
        "protection": "permissions",
    }
    if file.salt is not None:
        data |= {
            "protection": "passphrase",
            "kdf": "argon2id",
            "salt": base64.b64encode(file.salt).decode("ascii"),
            "memory_kib": file.memory_kib,
            "passes": file.passes,
            "lanes": file.lanes,
        }
    data["sha256"] = _checksum(data)
    return json.dumps(data, indent=2, sort_keys=True).encode() + b"\n"


def _parse(content: bytes, epoch: int) -> _KekFile:
    """The checksum tells a damaged file from a wrong passphrase; it protects nothing else."""
    try:
        data = json.loads(content)
        checksum = data.pop("sha256")
        if checksum != _checksum(data) or data["format"] != KEK_FORMAT or data["epoch"] != epoch:
            raise _damaged()
        key = base64.b64decode(data["key"], validate=True)
        if data["protection"] == "permissions" and len(key) == _KEK_BYTES:
            return _KekFile(epoch=epoch, key=key, salt=None)
        salt = base64.b64decode(data["salt"], validate=True)
        memory_kib, passes, lanes = data["memory_kib"], data["passes"], data["lanes"]
        for value, largest in ((memory_kib, _MOST_MEMORY_KIB), (passes, _MOST_PASSES), (lanes, _MOST_LANES)):
            if type(value) is not int or not 1 <= value <= largest:
                raise _damaged()
        return _KekFile(epoch, key, salt, memory_kib, passes, lanes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged() from None


def _checksum(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _argon2id(passphrase: str, salt: bytes, memory_kib: int, passes: int, lanes: int) -> bytes:
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
    try:
        kdf = Argon2id(salt=salt, length=_KEK_BYTES, iterations=passes, lanes=lanes, memory_cost=memory_kib)
        return kdf.derive(secret)
    except ValueError:
        raise _damaged() from None
    except MemoryError:
        raise KeyUnavailable(
            f"Opening the key file takes {memory_kib // 1024} MiB of memory, and they are not there.",
            reason="memory_short",
        ) from None


def _check_permissions(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _damaged()
    if status.st_mode & 0o077:
        raise KeyUnavailable(
            "The key file can be read by other users of this machine.",
            hint="Run `chmod 600` on the key file, and think about who may have read it.",
            reason="key_file_open_permissions",
        )


def _overwrite_and_unlink(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        fill_with_zeros(path)
        path.unlink()


@contextlib.contextmanager
def _as_key_error() -> Iterator[None]:
    """What the file system refuses becomes an error of ours, without the path."""
    try:
        yield
    except PermissionError:
        raise KeyUnavailable(
            "The key file or its folder may not be used by this user.",
            hint="Run as the user who owns the home.",
            reason="key_file_not_permitted",
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError("There is no space left for a key file.", reason="storage_full") from None
        raise KeyUnavailable("The key folder cannot be used.", reason="key_file_unreadable") from None


def _wrap_context(epoch: int, context: bytes) -> bytes:
    return encode_fields(_WRAP_LABEL, epoch, context)


def _file_context(epoch: int) -> bytes:
    return encode_fields(_FILE_LABEL, epoch)


def _damaged() -> KeyUnavailable:
    return KeyUnavailable(
        "The key file is damaged.",
        hint="Put back a copy of the key file; without it nothing of that epoch opens.",
        reason="key_file_damaged",
    )
