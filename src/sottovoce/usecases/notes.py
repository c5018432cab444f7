"""Words in free text that belong to a person (a case number, a statement): sealed under the subject's evidence key.

They die with the person's keys; what they belong to is bound: a row moved elsewhere does not open.
"""

from __future__ import annotations

from dataclasses import dataclass

from sottovoce.errors import IntegrityError, KeyUnavailable, UsageError
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.keyring import Keyring

MAXIMUM_CHARACTERS = 4000


@dataclass(frozen=True, kw_only=True)
class Notes:
    keyring: Keyring
    tenant: str

    def seal(self, subject_id: str, ref: str, kind: str, text: str, *, key: bytes | None = None) -> bytes:
        """The sealed text that belongs to `ref`; UsageError where it is too long. `key`: another than the subject's."""
        if len(text) > MAXIMUM_CHARACTERS:
            raise UsageError(f"A note has at most {MAXIMUM_CHARACTERS} characters.", reason="note")
        key = key or self.keyring.subject_key(subject_id, "evidence")
        try:
            return envelope.seal(key, text.encode(), self._context(subject_id, ref, kind), ref)
        except UnicodeEncodeError:
            raise UsageError("A note holds whole characters only.", reason="note") from None

    def open(
        self, subject_id: str, ref: str, kind: str, sealed: bytes | None, *, key: bytes | None = None
    ) -> str | None:
        """The text; None where there is none, or its key is gone."""
        if sealed is None:
            return None
        try:
            key = key or self.keyring.subject_key(subject_id, "evidence")
            return envelope.open(key, sealed, self._context(subject_id, ref, kind)).decode()
        except (KeyUnavailable, IntegrityError):
            return None

    def _context(self, subject_id: str, ref: str, kind: str) -> bytes:
        return encode_context(tenant=self.tenant, subject=subject_id, record=ref, kind=kind, version="1")
