"""The consent ledger as the hall keeps it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sottovoce.app import verify_receipt
from sottovoce.errors import ConfigurationError, Conflict, ConsentRequired, ReconsentRequired, UsageError
from sottovoce.model.consent import ConsentStatus
from sottovoce.model.purpose import CONSENT_PURPOSES, RETENTION, VOICE_ANALYSIS, VOICE_RECORDING

if TYPE_CHECKING:
    from conftest import Hall


def status(hall: Hall, purpose: str, subject: str = "anna") -> ConsentStatus:
    return {state.purpose: state.status for state in hall.platform.consents(subject=subject)}[purpose]


def test_C1a_one_call_writes_all_purposes_or_none(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Consent to several purposes is recorded whole or not at all."""
    hall.grant(purposes=[VOICE_RECORDING])
    with pytest.raises(UsageError):
        hall.grant(purposes=[VOICE_ANALYSIS, "no_such_purpose", RETENTION])
    assert status(hall, VOICE_ANALYSIS) is ConsentStatus.NEVER_ASKED
    with monkeypatch.context() as patch:
        patch.setattr(type(hall.platform._trail), "of", _broken)
        with pytest.raises(RuntimeError):
            hall.grant(purposes=[VOICE_ANALYSIS, RETENTION])
    assert status(hall, VOICE_ANALYSIS) is ConsentStatus.NEVER_ASKED
    assert status(hall, RETENTION) is ConsentStatus.NEVER_ASKED


def _broken(*_: object, **__: object) -> object:
    raise RuntimeError("the third write fails")


def test_C1a_a_refusal_is_a_row_too(hall: Hall) -> None:
    """Saying no is recorded as carefully as saying yes."""
    hall.platform.refuse(subject="anna", purposes=[VOICE_ANALYSIS])
    assert status(hall, VOICE_ANALYSIS) is ConsentStatus.REFUSED


def test_C1b_a_row_is_bound_to_the_notice_bytes_locale_and_channel(hall: Hall) -> None:
    """Every consent names the hash of the exact text that was shown, its language and the channel."""
    import hashlib

    text = b"Wir nehmen Ihre Stimme auf."
    outcome = hall.platform.grant(
        subject="anna", purposes=[VOICE_RECORDING], notice=text, notice_version="v1", locale="de",
        consent_channel="web", evidence="sha256:1234",
    )  # fmt: skip
    body = verify_receipt(outcome.receipt, key=hall.platform.identity()).body
    (line,) = body["purposes"]  # type: ignore[misc]
    assert line["notice_sha256"] == hashlib.sha256(text).hexdigest()
    assert (line["notice_locale"], body["channel"]) == ("de", "web")
    with hall.database.read() as tx:
        person = hall.platform._record.people.find(tx, "anna")
        assert person is not None
        (event,) = tx.consents.of_subject(person.id)
    assert event.evidence is not None
    assert b"1234" not in event.evidence


def test_C1d_a_repeated_event_id_changes_nothing(hall: Hall) -> None:
    """A consent event that arrives twice is refused the second time and changes nothing."""
    event_id = "con_" + "a" * 24
    hall.platform.grant(subject="anna", purposes=[VOICE_RECORDING], event_ids=[event_id])
    with pytest.raises(Conflict):
        hall.platform.withdraw(subject="anna", purposes=[VOICE_RECORDING], event_ids=[event_id])
    assert status(hall, VOICE_RECORDING) is ConsentStatus.GRANTED


def test_X01_grant_then_withdraw_means_no(hall: Hall) -> None:
    """After a withdrawal the older grant counts no more."""
    hall.grant()
    hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS])
    assert status(hall, VOICE_ANALYSIS) is ConsentStatus.WITHDRAWN
    with pytest.raises(ConsentRequired):
        hall.analyze()


def test_C2b_a_late_grant_revives_nothing(hall: Hall) -> None:
    """A grant that happened before the last withdrawal, but arrives after it, revives nothing."""
    hall.grant()
    before = hall.clock.now()
    hall.advance(minutes=5)
    hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS])
    hall.advance(minutes=5)
    hall.platform.grant(subject="anna", purposes=[VOICE_ANALYSIS], occurred_at=before + timedelta(minutes=1))
    assert status(hall, VOICE_ANALYSIS) is ConsentStatus.WITHDRAWN
    hall.grant(purposes=[VOICE_ANALYSIS])
    assert status(hall, VOICE_ANALYSIS) is ConsentStatus.GRANTED


def test_C3a_a_material_change_asks_again_an_editorial_one_does_not(hall: Hall) -> None:
    """When the text changes in substance everybody is asked again; a corrected typo asks nobody."""
    hall.grant()
    hall.grant("berta")

    def publish(version: str, *, material: bool) -> None:
        hall.platform.grant(
            subject="berta", purposes=[VOICE_ANALYSIS], notice=version.encode(), notice_version=version,
            material=material,
        )  # fmt: skip

    publish("typo", material=False)
    assert hall.analyze().retention.kept
    publish("new use", material=True)
    with pytest.raises(ReconsentRequired) as raised:
        hall.analyze()
    assert raised.value.public_code == "reconsent_required"
    hall.platform.grant(
        subject="anna", purposes=[VOICE_ANALYSIS], notice=b"new use", notice_version="new use"
    )
    assert hall.analyze().retention.kept


def test_C2d_anonymized_research_is_an_alias_of_research_statistics(hall: Hall) -> None:
    """The old name of the research purpose is understood, and never written."""
    outcome = hall.platform.grant(subject="anna", purposes=["anonymized_research"])
    assert [state.purpose for state in outcome.states] == ["research_statistics"]
    assert "anonymized" not in outcome.receipt


def test_C2b_time_to_effect_is_nothing_withdrawn_consent_stops_reading_at_once(hall: Hall) -> None:
    """What a person has withdrawn is not read any more, from the moment the withdrawal returns."""
    hall.grant()
    session = hall.analyze().session_id
    hall.platform.show(session, purpose=VOICE_ANALYSIS)
    hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS])
    with pytest.raises(ConsentRequired):
        hall.platform.show(session, purpose=VOICE_ANALYSIS)


def test_M26_withdrawn_retention_makes_the_records_due_now(hall: Hall) -> None:
    """Consent to keep, withdrawn: what was kept is due at once and gone with the next sweep."""
    hall.grant()
    session = hall.analyze().session_id
    hall.platform.withdraw(subject="anna", purposes=[RETENTION])
    assert hall.platform.sweep().records_expired == 3
    with hall.database.read() as tx:
        assert tx.records.of_session(session) == ()
    assert [row for row in hall.platform.keyring.rows() if row.kind == "record"] == []


def test_M21_an_unknown_person_was_never_asked(hall: Hall) -> None:
    """Of a person nobody knows, every consent reads as never asked, and asking writes nothing."""
    assert {s.status for s in hall.platform.consents(subject="nobody")} == {ConsentStatus.NEVER_ASKED}
    assert len(hall.platform.consents(subject="nobody")) == len(CONSENT_PURPOSES)
    with hall.database.read() as tx:
        assert hall.platform._record.people.find(tx, "nobody") is None


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"purposes": []}, UsageError),
        ({"purposes": ["subject_access"]}, UsageError),
        ({"purposes": [VOICE_ANALYSIS], "subject": "  "}, UsageError),
        ({"purposes": [VOICE_ANALYSIS], "subject": "x" * 513}, UsageError),
        ({"purposes": [VOICE_ANALYSIS], "notice": b"x"}, ConfigurationError),
        ({"purposes": [VOICE_ANALYSIS], "notice": b"", "notice_version": "v"}, UsageError),
        ({"purposes": [VOICE_ANALYSIS], "event_ids": ["a", "b"]}, UsageError),
    ],
)
def test_what_cannot_be_recorded_is_refused_and_leaves_nothing(
    hall: Hall, kwargs: dict, error: type[Exception]
) -> None:
    with pytest.raises(error):
        hall.platform.grant(**{"subject": "new person", **kwargs})
    with hall.database.read() as tx:
        assert hall.platform._record.people.find(tx, "new person") is None
    assert [row for row in hall.platform.keyring.rows() if row.kind == "subject"] == []


def test_consent_in_the_future_is_refused(hall: Hall) -> None:
    with pytest.raises(UsageError):
        hall.platform.grant(
            subject="anna", purposes=[VOICE_ANALYSIS], occurred_at=hall.clock.now() + timedelta(hours=1)
        )


def test_X25_the_outside_id_is_nowhere_in_clear(hall: Hall) -> None:
    """The operator's own id of a person is stored only as a keyed index and sealed."""
    hall.grant("anna@example.org")
    with hall.database.read() as tx:
        person = hall.platform._record.people.find(tx, "anna@example.org")
        assert person is not None
        assert hall.platform._record.people.name_of(person) == "anna@example.org"
    assert "anna" not in person.blind_index
    assert b"anna" not in person.sealed_name
    assert "anna" not in repr(person)
