"""A result before it is stored: which models may speak of it, its keys, its ciphertexts, and their end where it is not.

Rules upheld here, in order:
1. A model is run only where the person has agreed to its purpose when it is about to be run (BP4).
2. Keys are made before what they seal; where the person was erased meanwhile none is, and the erasure is what is told.
3. Keys of a result that is not stored are destroyed at once; where that fails, the collector takes them later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sottovoce.errors import KeyUnavailable, SottovoceError
from sottovoce.model.features import Extraction, Insight
from sottovoce.model.inference import Inference, ModelUse
from sottovoce.model.recording import Recording
from sottovoce.ports import Database, Place
from sottovoce.usecases.failures import what_came_first
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.permission import consents_of
from sottovoce.usecases.vault import Sealed, Vault

_Made = TypeVar("_Made")


@dataclass(frozen=True, kw_only=True)
class Results:
    database: Database
    keyring: Keyring
    vault: Vault
    models: Callable[[str], tuple[ModelUse, ...]]  # what this home runs on features of a profile
    tenant: str

    def agreed_models(self, recording: Recording) -> tuple[ModelUse, ...]:
        """The models that may be run on this recording now: set here, and agreed to by the person."""
        enabled = self.models(recording.profile)
        if not enabled:
            return ()
        with self.database.read() as tx:
            return consents_of(tx, recording.subject_id, tenant=self.tenant).agreed(enabled)

    def seal(
        self, leased: Recording, extraction: Extraction, insight: Insight, said: Mapping[ModelUse, Inference]
    ) -> Sealed:
        """Of a result that this process holds. The promise counts from when the recording was received: never later
        than from now."""
        return self._before_erasure(
            leased,
            lambda: self.vault.seal(
                extraction, insight, subject_id=leased.subject_id, session_id=leased.id, at=leased.received_at,
                said=said,
            ),
        )  # fmt: skip

    def places(self, leased: Recording) -> tuple[Place, ...]:
        """The keys of a result that a child seals, and where: made when there is something to seal."""
        uses = self.agreed_models(leased)
        return self._before_erasure(leased, lambda: self.vault.places(leased.subject_id, uses=uses))

    def forget(self, leased: Recording, key_ids: Sequence[str]) -> None:
        """Destroy the keys of a result unless it has been committed after all."""
        if not key_ids:
            return
        try:
            with self.database.read() as tx:
                committed = bool(tx.records.of_session(leased.id))  # the commit's answer may have been lost
            if not committed:
                self.keyring.destroy(list(key_ids))
        except SottovoceError:
            return

    def _before_erasure(self, leased: Recording, make: Callable[[], _Made]) -> _Made:
        """What needs keys of the person; a Conflict that says so where the person was erased meanwhile."""
        try:
            return make()
        except KeyUnavailable as error:
            if error.reason != "key_destroyed":
                raise
            raise what_came_first(self.database, leased) from None
