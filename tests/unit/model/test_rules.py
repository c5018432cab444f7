"""Small rules of the model: purposes and their notices, retention, policy, audit entries, plain values."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ConfigurationError, UsageError
from sottovoce.model import (
    consent,
    event,
    features,
    job,
    keys,
    outcome,
    policy,
    purpose,
    record,
    recording,
    request,
    subject,
)
from sottovoce.model.canonical import canonical_json
from sottovoce.model.consent import PurposeConsent
from sottovoce.model.event import AuditEvent
from sottovoce.model.keys import KEY_BYTES, SUBJECT_KEY_CLASSES, EpochRow, KeyRow
from sottovoce.model.policy import MAXIMUM_HOLD, Policy
from sottovoce.model.purpose import (
    CONSENT_PURPOSES,
    PURPOSES,
    PurposeGrant,
    consent_purpose,
    notice_text,
    purpose_of,
)
from sottovoce.model.record import RECORD_KEY_CLASS
from sottovoce.model.retention import RetentionPolicy

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


# --- purposes ----------------------------------------------------------------------------------------


def test_the_purposes_of_the_issue_are_all_there() -> None:
    asked = {
        "voice_recording", "voice_analysis", "data_retention_30_days", "research_statistics", "model_training",
        "embedding", "audio_hold",
    }  # fmt: skip
    assert asked < set(CONSENT_PURPOSES)
    inferred = {name for name in CONSENT_PURPOSES if name.startswith("infer_")}
    assert set(CONSENT_PURPOSES) == asked | inferred
    assert inferred
    assert set(PURPOSES) - set(CONSENT_PURPOSES) == {"subject_access"}


def test_C2d_research_has_one_name_and_an_alias() -> None:
    """Research is one purpose, also when it is asked for under its older name; the embedding is one of its own."""
    assert purpose_of("anonymized_research") is purpose_of("research_statistics")
    assert "anonymized_research" not in PURPOSES
    assert [p.id for p in PURPOSES.values() if "embedding" in p.opens and p.basis == "consent"] == [
        "embedding"
    ]


@pytest.mark.parametrize("name", ["", "marketing", "VOICE_ANALYSIS", "voice_analysis "])
def test_C5a_an_unknown_purpose_means_no(name: str) -> None:
    """A purpose that is not in the register opens nothing."""
    with pytest.raises(UsageError) as caught:
        purpose_of(name)
    assert caught.value.reason == "unknown_purpose"
    assert "voice_analysis" in caught.value.hint
    with pytest.raises(UsageError):
        PurposeGrant(purpose=name, subject_id="sub_1", session_id="ses_1").opens("features")


def test_C5a_a_grant_opens_what_its_purpose_declares_and_nothing_else() -> None:
    """A purpose opens the kinds of records that it declares, and no other."""
    kinds = ("features", "insight", "embedding", "audio", "")
    opened = {
        name: {kind for kind in kinds if PurposeGrant(name, "sub_1", "ses_1").opens(kind)}
        for name in PURPOSES
    }
    assert opened["voice_recording"] == opened["data_retention_30_days"] == set()
    assert opened["voice_analysis"] == {"features", "insight"}
    assert opened["embedding"] == {"embedding"}
    assert opened["research_statistics"] == opened["model_training"] == {"features"}
    assert opened["subject_access"] == {"features", "insight", "embedding"}
    assert all(opened[name] == {"features"} for name in PURPOSES if name.startswith("infer_"))


def test_X03_a_right_is_neither_granted_nor_withdrawn() -> None:
    """A person's rights do not hang on consent, so there is no consent to them to withdraw."""
    with pytest.raises(UsageError) as caught:
        consent_purpose("subject_access")
    assert caught.value.reason == "not_a_consent_purpose"
    for name in CONSENT_PURPOSES:
        assert consent_purpose(name).id == name


def test_what_infers_or_identifies_is_biometric_and_needs_explicit_consent() -> None:
    for name, each in PURPOSES.items():
        if name == "embedding" or name.startswith("infer_"):
            assert each.biometric
            assert "9(2)(a)" in each.legal_basis


@pytest.mark.parametrize("name", PURPOSES)
def test_a_notice_says_what_how_long_on_which_basis_and_how_to_withdraw(name: str) -> None:
    text = notice_text(PURPOSES[name]).decode()
    for part in (
        PURPOSES[name].title,
        PURPOSES[name].what,
        PURPOSES[name].kept,
        PURPOSES[name].legal_basis,
        "withdraw",
    ):
        assert part in text
    assert notice_text(PURPOSES[name]) == notice_text(PURPOSES[name])


# --- retention and policy --------------------------------------------------------------------------------


@given(promised_days=st.integers(0, 400), policy_days=st.integers(0, 400))
def test_C10a_due_is_the_earlier_of_promise_and_policy(promised_days: int, policy_days: int) -> None:
    """What was promised when a record was made can be shortened by the policy, never lengthened."""
    promised = T0 + promised_days * DAY
    due = RetentionPolicy({"features": policy_days}).due("features", T0, promised)
    assert due == T0 + min(promised_days, policy_days) * DAY
    assert due <= promised


def test_X11_the_promise_is_thirty_days_unless_the_policy_is_shorter() -> None:
    """A new record is promised to go after thirty days, or after the days that the operator has set."""
    for kind in ("features", "insight", "embedding", "decision"):
        assert RetentionPolicy().promise(kind, T0) == T0 + 30 * DAY
    assert RetentionPolicy({"features": 7}).promise("features", T0) == T0 + 7 * DAY


def test_C9d_audio_has_a_deadline_of_15_minutes_inline_and_24_hours_queued() -> None:
    """Unless told otherwise, audio goes within 15 minutes inline and within 24 hours in the queue."""
    assert Policy().discard_by_inline == timedelta(minutes=15)
    assert Policy().discard_by_queued == timedelta(hours=24)
    assert Policy().on_failure == "shred"
    assert Policy().max_analysed_s == 30.0


@pytest.mark.parametrize(
    "changes",
    [
        {"hold_ttl": timedelta(0)},
        {"hold_ttl": MAXIMUM_HOLD + timedelta(seconds=1)},
        {"lease": timedelta(seconds=60), "wall_limit_s": 60.0},
        {"orphan_grace": timedelta(seconds=120), "lease": timedelta(seconds=120)},
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Policy(**changes)
    assert Policy(hold_ttl=MAXIMUM_HOLD, lease=timedelta(seconds=61), orphan_grace=timedelta(seconds=62))


def test_every_kind_of_record_has_a_key_class_of_the_key_tree() -> None:
    assert set(RECORD_KEY_CLASS.values()) <= set(SUBJECT_KEY_CLASSES)
    assert set(SUBJECT_KEY_CLASSES) == {"audio", "features", "insights", "evidence", "audit"}
    assert KEY_BYTES == 32


# --- audit entries -------------------------------------------------------------------------------------------


def entry(**changes: Any) -> AuditEvent:
    made = AuditEvent(
        id="evt_1", tenant="default", at=datetime(2026, 3, 1, 12, tzinfo=UTC), kind="record.read", actor="operator",
        channel="library", pseudonym="psn", purpose="voice_analysis", outcome="ok", details_key_id="key_1",
        details=b"\x00\xff",
    )  # fmt: skip
    return replace(made, **changes)


def test_the_canonical_form_of_an_entry_is_plain_and_complete() -> None:
    said = entry().to_canonical()
    assert said == {
        "format": 1, "id": "evt_1", "tenant": "default", "at": "2026-03-01T12:00:00.000000+00:00",
        "kind": "record.read", "actor": "operator", "channel": "library", "pseudonym": "psn",
        "purpose": "voice_analysis", "outcome": "ok", "details_key_id": "key_1", "details": "00ff",
    }  # fmt: skip
    covered = {field.name for field in fields(AuditEvent)} - {"leaf", "sequence", "link"}
    assert covered == set(said) - {"format"}
    assert json.loads(canonical_json(said)) == said
    assert entry(details=None).to_canonical()["details"] is None


# --- plain values ----------------------------------------------------------------------------------------------


MODULES = (consent, event, features, job, keys, outcome, policy, purpose, record, recording, request, subject)
VALUES = [
    value
    for module in MODULES
    for value in vars(module).values()
    if is_dataclass(value) and value.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_values_are_frozen(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


def test_a_value_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PurposeConsent("p").status = consent.ConsentStatus.GRANTED  # type: ignore[misc]


def test_X17_no_secret_is_in_the_repr_of_a_value() -> None:
    """Keys, sealed bodies, receipts and a person's outside name never appear in a log by way of a printed value."""
    secret, at = b"canary", T0
    shown = [
        KeyRow("k", "default", "record", "features", "sub_1", 1, secret, at),
        EpochRow(1, secret, True, at),
        subject.Subject("sub_1", "default", "canary", secret, subject.SubjectState.ACTIVE, at),
        record.SealedRecord("r", "d", "s", "s", "features", "compat", "1", secret, at, at),
        record.Decision("d", "d", "s", "s", "p", "m", "00", secret, at, at),
        record.StoredReceipt("r", "d", "s", None, "consent", "canary", at),
        request.ErasureRequest("r", "d", "s", None, "psn", at, at, "canary"),
        entry(details=secret),
    ]
    assert "canary" not in repr(shown)
