"""What proves a statement: sealed for the person, bound to the statement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sottovoce.errors import IntegrityError, KeyUnavailable
from sottovoce.model.consent import ConsentEvent
from sottovoce.model.purpose import VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.usecases.consent_evidence import open_evidence, seal_evidence

if TYPE_CHECKING:
    from conftest import Hall


def _events(hall: Hall, subject: str, evidence: str | None) -> tuple[ConsentEvent, ...]:
    hall.platform.grant(subject=subject, purposes=[VOICE_RECORDING, VOICE_ANALYSIS], evidence=evidence)
    with hall.database.read() as tx:
        person = hall.platform._record.people.find(tx, subject)
        assert person is not None
        return tx.consents.of_subject(person.id)


def test_X25_evidence_moved_to_another_statement_or_person_does_not_open(hall: Hall) -> None:
    """What proves one consent of a person can be passed off as the proof of no other, and of nobody else's."""
    keyring = hall.platform.keyring
    first, second = _events(hall, "anna", "paper 12")
    other = _events(hall, "berta", None)[0]
    assert open_evidence(keyring, first) == open_evidence(keyring, second) == "paper 12"
    for moved in (replace(second, evidence=first.evidence), replace(other, evidence=first.evidence)):
        with pytest.raises(IntegrityError):
            open_evidence(keyring, moved)


def test_nothing_is_sealed_where_there_is_nothing_and_under_no_key_of_who_is_gone(hall: Hall) -> None:
    keyring = hall.platform.keyring
    event = _events(hall, "anna", None)[0]
    assert event.evidence is None
    assert open_evidence(keyring, event) is None
    hall.platform.erase(subject="anna")
    assert seal_evidence(keyring, "default", event.subject_id, event.id, None) is None
    with pytest.raises(KeyUnavailable):
        seal_evidence(keyring, "default", event.subject_id, event.id, "late")
