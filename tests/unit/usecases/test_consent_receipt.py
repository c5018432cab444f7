"""What the receipt of a statement says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sottovoce.app import verify_receipt
from sottovoce.model.consent import ConsentAction, ConsentEvent
from sottovoce.model.purpose import VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.record import Decision
from sottovoce.usecases.consent_receipt import Kept, receipt_body, receipt_kind, remains_after

if TYPE_CHECKING:
    from conftest import Hall

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SESSION = "ses_" + "a" * 24


def _event(action: ConsentAction) -> ConsentEvent:
    return ConsentEvent(
        id="con_" + "a" * 24, tenant="default", subject_id="sub_" + "a" * 24, sequence=1, batch_id="bat_" + "a" * 24,
        purpose=VOICE_ANALYSIS, action=action, notice_id=None, notice_ordinal=0, channel="paper", evidence=b"sealed",
        occurred_at=NOW - timedelta(days=1), recorded_at=NOW,
    )  # fmt: skip


def _said(purpose: str, *, days: int) -> Decision:
    return Decision(
        id="dec_" + "a" * 24, tenant="default", subject_id="sub_" + "a" * 24, session_id=SESSION, purpose=purpose,
        model="m", model_sha256="0" * 64, body=b"", at=NOW, expires_at=NOW + timedelta(days=days),
    )  # fmt: skip


def test_C4b_a_withdrawal_is_answered_by_a_receipt_that_names_what_remains(hall: Hall) -> None:
    """A withdrawal gives a signed receipt that says what is still kept, why, and until when."""
    hall.grant()
    session = hall.analyze().session_id
    outcome = hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS])
    receipt = verify_receipt(outcome.receipt, key=hall.platform.identity())
    assert receipt.kind == "termination"
    assert any(session in line and "until" in line for line in receipt.body["remains"])  # type: ignore[union-attr]


def test_M21_the_receipt_of_a_grant_names_purposes_and_legal_basis(hall: Hall) -> None:
    """The person's copy of a consent names each purpose with its legal basis and is signed."""
    outcome = hall.platform.grant(subject="anna", purposes=[VOICE_RECORDING, VOICE_ANALYSIS])
    receipt = verify_receipt(outcome.receipt, key=hall.platform.identity())
    assert receipt.kind == "consent"
    assert [line["purpose"] for line in receipt.body["purposes"]] == [VOICE_RECORDING, VOICE_ANALYSIS]  # type: ignore[union-attr,index,call-overload]


def test_a_receipt_without_a_notice_or_evidence_says_so_and_names_nothing_else() -> None:
    """A statement that was written down again from a tombstone has no notice; its evidence is in no receipt."""
    body = receipt_body("rcp_" + "a" * 24, [_event(ConsentAction.WITHDRAW)], (), remains=("x",), trained=())
    assert receipt_kind(ConsentAction.WITHDRAW) == receipt_kind(ConsentAction.REFUSE) == "termination"
    assert (body["occurred_at"], body["recorded_at"]) == (
        "2026-02-28T12:00:00.000000+00:00", "2026-03-01T12:00:00.000000+00:00",
    )  # fmt: skip
    (line,) = body["purposes"]  # type: ignore[misc]
    assert line["notice_sha256"] is None  # type: ignore[index,call-overload]
    assert "training" not in body
    assert "sealed" not in str(body)


def test_C4b_what_a_model_said_remains_until_its_date_and_what_is_past_it_is_not_named() -> None:
    """The receipt of a withdrawal names what models said as long as it is kept, with the date when that ends."""
    said = (_said("infer_age_band", days=1), _said("infer_age_band", days=0), _said(VOICE_ANALYSIS, days=1))
    inferred, *rest = remains_after([Kept(SESSION, (), said)], NOW)
    assert "2026-03-02 12:00:00 UTC" in inferred
    assert not [line for line in rest if "inferred" in line]
    assert len(rest) == 2  # this receipt itself, and the log
