"""The identity that is pinned in a home: what its receipts, checkpoints and model cards are verified against.

Rules upheld here:
1. The pin is written once, when the home is made, and only a statement of the old key replaces it.
2. It is replaced in one step and durably: a reader finds the old document or the new one, never half of one.
3. Where there is a pin and no key store, nothing goes on under new keys.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sottovoce import durable
from sottovoce.app.offline import IDENTITY_NAME
from sottovoce.audit import checkpoint
from sottovoce.errors import KeyUnavailable, StorageError
from sottovoce.model.subject import Caller
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases.inspection import Pinned
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.oversight import Oversight


@dataclass(frozen=True)
class PinnedIdentity:
    """The public identity document of one home, in its file."""

    home: Path

    @property
    def path(self) -> Path:
        return self.home / IDENTITY_NAME

    def exists(self) -> bool:
        """Whether this home has been used."""
        return self.path.exists()

    def read(self) -> str:
        """The document, as it was written; bytes that are no text are replaced, for the verifier to refuse."""
        return self.path.read_text(encoding="utf-8", errors="replace")

    def for_log(self) -> Pinned:
        """Origin of the log and keys that its checkpoints may be signed with. IntegrityError."""
        keys = receipts.trusted_keys(self.read())
        return Pinned(checkpoint.origin_of(next(iter(keys))), tuple(keys.values()))

    def check_key_store(self, keyring: Keyring) -> None:
        """A home that has been used and has no keys must not go on under new ones. KeyUnavailable."""
        if self.exists() and not keyring.is_set_up():
            raise KeyUnavailable(
                "The key store of this home is missing or empty; what is sealed here does not open without it.",
                hint="Bring back the folder of the keys from its own backup; a new key store opens nothing old.",
                reason="key_store_missing",
            )

    def pin(self, oversight: Oversight) -> None:
        """Write the document of a new home; one that stands stays. StorageError, KeyUnavailable."""
        if not self.exists():
            _write_private(self.path, oversight.identity_document())

    def replace(self, oversight: Oversight, *, caller: Caller) -> str:
        """The document of a new signing key, introduced by the old one, which is destroyed only when the new document
        is durable. StorageError, KeyUnavailable, IntegrityError."""
        document = oversight.next_identity(self.read())
        _write_private(self.path, document)
        oversight.retire_identity(caller=caller)
        return document


def _write_private(path: Path, text: str) -> None:
    """Replace a small file in one step, durably."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.unlink(missing_ok=True)  # of a try that was cut short
        fd = durable.create_private(temporary)
        try:
            durable.write_all(fd, text.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(path)
        durable.sync_folder(path.parent)
    except OSError:
        raise StorageError(
            "A file of the home cannot be written.", hint="Check its disk.", reason="home"
        ) from None
