"""Signed receipts: the person's own proof, stored in the database and copied to the home's `receipts` folder.

The database has the truth; the copy is for people and is written anew whenever it is missing. A receipt carries the
newest checkpoint of the audit log: each person who keeps one is a witness of everything that the log said before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sottovoce.errors import Conflict, StorageError
from sottovoce.model.canonical import JsonValue
from sottovoce.model.record import StoredReceipt
from sottovoce.ports import Blobs
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases.keyring import Keyring


@dataclass(frozen=True, kw_only=True)
class ReceiptBook:
    keyring: Keyring
    copies: Blobs
    checkpoint: Callable[[], str | None] = lambda: None  # the newest signed one
    folder: Path | None  # where the copies stand, to be told to people; None: nowhere a person can look

    def signer(self) -> ReceiptSigner:
        """The signer of one operation. Opened before a transaction begins, so that a missing key fails early."""
        return ReceiptSigner(identity=self.keyring.identity(), checkpoint=self.checkpoint())

    def plain_signer(self) -> ReceiptSigner:
        """For an answer that has to be the same for everybody, whenever it is given: without a checkpoint."""
        return ReceiptSigner(identity=self.keyring.identity())

    def publish(self, receipt: StoredReceipt) -> None:
        self.publish_text(receipt.id, receipt.text)

    def publish_text(self, receipt_id: str, text: str) -> None:
        """Write the copy where it is missing. A copy that cannot be written now is written when it is asked for."""
        # Conflict: it is there, and a receipt never changes.
        with suppress(Conflict, StorageError), self.copies.writer(_copy_path(receipt_id)) as writer:
            writer.write(text.encode())

    def has_copy(self, receipt_id: str) -> bool:
        return self.copies.exists(_copy_path(receipt_id))

    def remove(self, receipt_id: str) -> bool:
        return self.copies.delete(_copy_path(receipt_id))

    def path(self, receipt: StoredReceipt | None) -> str | None:
        """Where a person finds the copy; written anew where it is missing, None where that is not possible."""
        return None if receipt is None else self.path_of_text(receipt.id, receipt.text)

    def path_of_text(self, receipt_id: str, text: str) -> str | None:
        if self.folder is None:
            return None
        if not self.copies.exists(_copy_path(receipt_id)):
            self.publish_text(receipt_id, text)
        return (
            str(self.folder / _copy_path(receipt_id)) if self.copies.exists(_copy_path(receipt_id)) else None
        )


@dataclass(frozen=True, kw_only=True)
class ReceiptSigner:
    identity: receipts.Identity
    checkpoint: str | None = None

    def sign(self, kind: str, body: dict[str, JsonValue]) -> str:
        """The signed receipt text."""
        if self.checkpoint is not None:
            body = {**body, "checkpoint": self.checkpoint}
        return receipts.sign(kind, body, identity=self.identity).to_json()


def _copy_path(receipt_id: str) -> str:
    return f"{receipt_id}.json"
