"""Model files in a folder: those of a home, by the hash of their content; and those that are shipped, read only.

    HOME/models/<sha256>.tflite          the model
    HOME/models/<sha256>.card.json       its signed card
    HOME/models/<sha256>.signer.json     the identity that was pinned with it; without it the home's own

Rules upheld here:
1. Nothing is believed: whoever takes a model from here verifies it.
2. The model file is made last and removed first, each file in one step and durably, so that never half of it is there.
3. Names are made of hashes only; folders 0700, files 0600. Nothing is unpickled, nothing is run.
"""

from __future__ import annotations

import hashlib
import os
import re
from importlib.resources.abc import Traversable
from pathlib import Path

from sottovoce.durable import sync_folder
from sottovoce.errors import Conflict, StorageError
from sottovoce.ports import StoredModel

_NAME = re.compile(r"[0-9a-f]{64}\.tflite")
_MODEL, _CARD, _SIGNER = ".tflite", ".card.json", ".signer.json"
_LIMIT_BYTES = 1 << 20  # of each file; more is never read
SIGNERS = "signers.json"


class FolderModels:
    """Port `Models` on a folder of a home; made when the first model is added."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hashes(self) -> tuple[str, ...]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return ()
        except OSError:
            raise _trouble() from None
        return tuple(sorted(name.removesuffix(_MODEL) for name in names if _NAME.fullmatch(name)))

    def get(self, sha256: str) -> StoredModel | None:
        if not _NAME.fullmatch(sha256 + _MODEL):
            return None
        data = self._read(sha256 + _MODEL)
        card = self._read(sha256 + _CARD)
        if data is None or card is None:
            return None
        signer = self._read(sha256 + _SIGNER)
        return StoredModel(sha256, data, _text(card), None if signer is None else _text(signer))

    def add(self, model: StoredModel) -> None:
        if model.sha256 in self.hashes():
            raise Conflict("This model is here already.", reason="model_exists")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._unlink(model.sha256 + _SIGNER)  # what an interrupted attempt may have left
            if model.signer is not None:
                self._write(model.sha256 + _SIGNER, model.signer.encode())
            self._write(model.sha256 + _CARD, model.card.encode())
            self._write(model.sha256 + _MODEL, model.data)
        except OSError:
            raise _trouble() from None

    def remove(self, sha256: str) -> bool:
        if sha256 not in self.hashes():
            return False
        try:
            for suffix in (_MODEL, _CARD, _SIGNER):
                self._unlink(sha256 + suffix)
            self._sync()
        except OSError:
            raise _trouble() from None
        return True

    def _read(self, name: str) -> bytes | None:
        try:
            with (self._folder / name).open("rb") as file:
                return file.read(_LIMIT_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError:
            raise _trouble() from None

    def _write(self, name: str, data: bytes) -> None:
        part = self._folder / (name + ".part")
        with os.fdopen(
            os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb"
        ) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / name)
        self._sync()

    def _unlink(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def _sync(self) -> None:
        sync_folder(self._folder)


class ShippedModels:
    """Port `Models` on the models of the package: named as people name them, found by the hash of their content, and
    pinned by the signers that are shipped beside them."""

    def __init__(self, folder: Traversable) -> None:
        self._folder = folder
        self._found: dict[str, str] | None = None  # hash -> name; a package does not change while it runs

    def hashes(self) -> tuple[str, ...]:
        return tuple(sorted(self._names()))

    def get(self, sha256: str) -> StoredModel | None:
        name = self._names().get(sha256)
        if name is None:
            return None
        card, signer = (self._folder / (name + _CARD)), (self._folder / SIGNERS)
        return StoredModel(
            sha256, _bytes(self._folder / name), _text(_bytes(card)), _text(_bytes(signer))
        )  # fmt: skip

    def add(self, model: StoredModel) -> None:  # noqa: ARG002
        raise Conflict("What is shipped with sottovoce is not added to.", reason="model_shipped")

    def remove(self, sha256: str) -> bool:  # noqa: ARG002
        raise Conflict("What is shipped with sottovoce is not removed.", reason="model_shipped")

    def _names(self) -> dict[str, str]:
        if self._found is None:
            files = (
                [one for one in self._folder.iterdir() if one.name.endswith(_MODEL)] if self._there() else []
            )
            self._found = {hashlib.sha256(_bytes(one)).hexdigest(): one.name for one in files}
        return self._found

    def _there(self) -> bool:
        return self._folder.is_dir()


def _bytes(file: Traversable) -> bytes:
    return file.read_bytes() if file.is_file() else b""


def _text(data: bytes) -> str:
    """Damage shows in the signature, not here."""
    return data.decode("utf-8", errors="replace")


def _trouble() -> StorageError:
    return StorageError(
        "The models of this home cannot be read or written.",
        hint="Check the folder `models` of the home and its permissions.",
        reason="models",
    )
