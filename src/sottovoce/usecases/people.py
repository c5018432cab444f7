"""Who is who: the operator's own ids outside, random internal ids inside (C5c).

The outside id is stored twice, never in clear: as an HMAC blind index under a tenant key, to find the subject, and
sealed under the subject's evidence key, to show it again. Erasing the subject destroys both.
"""

from __future__ import annotations

from dataclasses import dataclass

from sottovoce.errors import Conflict, UsageError
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.subject import Subject, SubjectState
from sottovoce.ports import UnitOfWork
from sottovoce.sealing import envelope, pseudonym
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.keyring import Keyring

_MAXIMUM_ID_CHARACTERS = 512


@dataclass(frozen=True, kw_only=True)
class People:
    keyring: Keyring
    random_bytes: RandomBytes
    tenant: str

    def blind_index(self, outside_id: str) -> str:
        """The index under which an outside id is found; UsageError where it is empty or too long."""
        if not outside_id.strip() or len(outside_id) > _MAXIMUM_ID_CHARACTERS:
            raise UsageError(
                f"A subject's id has 1 to {_MAXIMUM_ID_CHARACTERS} characters.",
                hint="Give your own id of the person with --subject.",
                reason="subject_id",
            )
        return pseudonym.blind_index(self.keyring.tenant_key("blind_index"), outside_id, tenant=self.tenant)

    def find(self, tx: UnitOfWork, outside_id: str) -> Subject | None:
        """The subject of that outside id, or None: unknown and erased look the same."""
        return tx.subjects.find(self.tenant, self.blind_index(outside_id))

    def prepare(self, outside_id: str) -> str:
        """Make the keys of a new subject (key rows before data rows); the internal id."""
        self.blind_index(outside_id)
        subject_id = new_id("subject", self.random_bytes)
        self.keyring.make_subject(subject_id)
        return subject_id

    def introduce(self, tx: UnitOfWork, subject_id: str, outside_id: str) -> Subject:
        """Write the row of a subject whose keys are prepared."""
        sealed = envelope.seal(
            self.keyring.subject_key(subject_id, "evidence"),
            outside_id.encode(),
            self._context(subject_id),
            subject_id,
        )
        subject = Subject(
            id=subject_id, tenant=self.tenant, blind_index=self.blind_index(outside_id), sealed_name=sealed,
            state=SubjectState.ACTIVE, created_at=tx.now(),
        )  # fmt: skip
        tx.subjects.add(subject)
        return subject

    def rename(self, tx: UnitOfWork, subject: Subject, outside_id: str) -> None:
        """Another outside id for the same person. Conflict (reason `subject_exists`) where it is taken."""
        sealed = envelope.seal(
            self.keyring.subject_key(subject.id, "evidence"),
            outside_id.encode(),
            self._context(subject.id),
            subject.id,
        )
        tx.subjects.rename(subject.id, blind_index=self.blind_index(outside_id), sealed_name=sealed)

    def name_of(self, subject: Subject) -> str:
        """The operator's own id of the subject, opened."""
        key = self.keyring.subject_key(subject.id, "evidence")
        return envelope.open(key, subject.sealed_name, self._context(subject.id)).decode()

    def _context(self, subject_id: str) -> bytes:
        return encode_context(
            tenant=self.tenant, subject=subject_id, record=subject_id, kind="name", version="1"
        )


def locked(tx: UnitOfWork, subject_id: str) -> Subject:
    """Lock the subject's row; Conflict where an erasure has begun or ended (it wins)."""
    subject = tx.subjects.lock(subject_id)
    if subject is None or subject.state is SubjectState.ERASING:
        raise Conflict("The person is being erased; nothing else is done for them.", reason="subject_erasing")
    return subject
