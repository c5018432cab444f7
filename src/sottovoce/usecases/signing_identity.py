"""The key of a home that signs its receipts and checkpoints: who signs now, and how the next one is introduced.

Rules upheld here:
- Rotation changes nothing of it: the identity is a key like others, under whichever epoch is current.
- The next one signs only when the one before is destroyed; until then it is introduced by its statement, which has to
  be durable first.
- A lost identity is never made anew: KeyUnavailable, and the receipts of before stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sottovoce.ports import KeyStore
from sottovoce.sealing.receipt import Identity, Receipt, replacement_statement
from sottovoce.usecases.key_rows import KeyRows, NewKey, key_destroyed, new_tenant_key, tenant_key_id

_WINDOW = 16  # numbers of identities looked up at once


@dataclass(frozen=True, kw_only=True)
class SigningIdentity:
    rows: KeyRows
    long_lived: KeyStore  # where identities stand
    tenant: str

    def make_first(self) -> None:
        """The first identity of a home that has none. Idempotent."""
        if not self._numbers():
            self.rows.make_missing((self._new(1),))

    def current(self) -> Identity:
        """Who signs; after replace() still the old one, until it is retired. KeyUnavailable."""
        numbers = self._numbers()
        if not numbers:
            raise key_destroyed()
        return self._open(numbers[0])

    def replace(self) -> Receipt:
        """Make the next identity and the statement by which the old one hands over. Idempotent until retired."""
        old, *following = self._numbers() or [0]
        if not old:
            raise key_destroyed()
        if not following:
            self.rows.make_missing((self._new(old + 1),))
        new_id = self._key_id(old + 1)
        return replacement_statement(
            old=self._open(old),
            new_public_key=self._open(old + 1).public_key,
            at=self.long_lived.get((new_id,))[new_id].created_at,
        )

    def retire(self) -> Identity:
        """Destroy the old identity after a replacement; the new one signs from now on. Idempotent."""
        numbers = self._numbers()
        self.rows.delete([self._key_id(number) for number in numbers[:-1]])
        return self.current()

    def _key_id(self, number: int) -> str:
        return tenant_key_id(self.tenant, f"identity-{number}")

    def _new(self, number: int) -> NewKey:
        return new_tenant_key(self._key_id(number))

    def _open(self, number: int) -> Identity:
        key_id = self._key_id(number)
        return Identity(self.rows.open((key_id,))[key_id])

    def _numbers(self) -> list[int]:
        """Numbers of the identities that exist: one, or two in a row between a replacement and the retirement."""
        for start in range(1, 64 * _WINDOW, _WINDOW):
            if found := self._existing(range(start, start + _WINDOW)):
                return self._existing((found[0], found[0] + 1))
        return []

    def _existing(self, numbers: Iterable[int]) -> list[int]:
        ids = {self._key_id(number): number for number in numbers}
        return sorted(ids[key_id] for key_id in self.long_lived.get(list(ids)))
