"""What proves that a person said something: sealed under their own evidence key, opened for nobody but them.

Rules upheld here:
1. Bound to the person and to the one statement that it proves: moved to another it does not open (X25).
2. It dies with the person's keys; where their evidence key is gone nothing is sealed (I10).
"""

from __future__ import annotations

from sottovoce.model.consent import ConsentEvent
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.keyring import Keyring


def seal_evidence(
    keyring: Keyring, tenant: str, subject_id: str, event_id: str, evidence: str | None
) -> bytes | None:
    """What proves a statement, sealed under the subject's evidence key; None where there is nothing."""
    if evidence is None:
        return None
    key = keyring.subject_key(subject_id, "evidence")
    return envelope.seal(key, evidence.encode(), _evidence_context(tenant, subject_id, event_id), event_id)


def open_evidence(keyring: Keyring, event: ConsentEvent) -> str | None:
    """The evidence of a statement, opened for the person themselves; None where there is none."""
    if event.evidence is None:
        return None
    key = keyring.subject_key(event.subject_id, "evidence")
    context = _evidence_context(event.tenant, event.subject_id, event.id)
    return envelope.open(key, event.evidence, context).decode()


def _evidence_context(tenant: str, subject_id: str, event_id: str) -> bytes:
    return encode_context(
        tenant=tenant, subject=subject_id, record=event_id, kind="consent-evidence", version="1"
    )
