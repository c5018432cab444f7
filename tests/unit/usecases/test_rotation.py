"""Key rotation by age, in the hall: by the sweep, at an opening, told of, and never in the way."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from sottovoce.app import assemble
from sottovoce.errors import SottovoceError
from sottovoce.usecases import rotation


def erased(hall: Any, subject: str = "anna") -> dict[str, Any]:
    """The body of the receipt of an erasure."""
    body: dict[str, Any] = json.loads(hall.platform.erase(subject=subject, caller=hall.caller).receipt)[
        "body"
    ]
    return body


def until_of_copies(body: dict[str, Any]) -> str:
    (until,) = [line["until"] for line in body["remains"] if "backups of the key store" in line["what"]]
    return str(until)


def details_of(hall: Any, kind: str) -> list[dict[str, object]]:
    hall.platform._number()
    with hall.database.read() as tx:
        events = [event for event in tx.events.iterate() if event.kind == kind]
    return [hall.platform._trail.open_details(event) or {} for event in events]


def restarted(hall: Any) -> Any:
    return assemble(hall.adapters, hall.platform.settings)


def test_M15_C11e_the_sweep_keeps_the_date_that_a_receipt_named(hall: Any) -> None:
    """A receipt names the day on which older key-store copies are dead, and a sweep a day keeps that day."""
    hall.grant()
    hall.analyze()
    body = erased(hall)
    began = hall.clock.now()
    assert body["key_copies_open_until"] == (began + timedelta(days=30)).isoformat(timespec="seconds")
    assert until_of_copies(body).startswith("2026-01-31 at the latest, when epoch 1 ends")
    ended = []
    for _ in range(29):
        hall.advance(days=1)
        ended.append(hall.platform.sweep().epochs_ended)
    assert ended == [0] * 28 + [1]
    assert hall.adapters.keys.epochs() == (2,)
    assert [one["why"] for one in details_of(hall, "keys.rotated")] == ["age"]
    assert [one["why"] for one in details_of(hall, "keys.rotation_started")] == ["age"]
    assert hall.platform.sweep().epochs_ended == 0


def test_M15_without_rotation_by_age_receipts_name_no_date(new_hall: Any) -> None:
    """Where rotation by age is off, the receipt says "until you rotate", and no sweep ends an epoch."""
    hall = new_hall(epoch_days=0)
    hall.grant()
    hall.analyze()
    body = erased(hall)
    assert body["key_copies_open_until"] is None
    assert until_of_copies(body).startswith("you rotate")
    hall.advance(days=400)
    assert hall.platform.sweep().epochs_ended == 0
    assert hall.adapters.keys.epochs() == (1,)
    (check,) = [check for check in hall.platform.doctor() if check.name == "key rotation"]
    assert check.state == "warn"
    assert hall.platform.keys_status().rotation_due_at is None


def test_M15_a_sweep_says_beforehand_that_it_would_end_the_epoch(hall: Any) -> None:
    """A dry run tells that the key epoch is due, and ends nothing."""
    assert hall.platform.sweep(dry_run=True).epochs_ended == 0
    hall.advance(days=29)
    assert hall.platform.sweep(dry_run=True).epochs_ended == 1
    assert hall.adapters.keys.epochs() == (1,)


def test_M15_opening_a_home_ends_a_due_epoch_where_few_rows_live(
    hall: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who only ever opens a home keeps the promise too; with many keys the opening leaves it to the sweep."""
    hall.grant()
    session = hall.analyze().session_id
    hall.advance(days=29)
    monkeypatch.setattr(rotation, "FEW_ROWS", 3)
    restarted(hall)
    assert hall.adapters.keys.epochs() == (1,)
    monkeypatch.undo()
    again = restarted(hall)
    assert hall.adapters.keys.epochs() == (2,)
    assert again.show(session, purpose="subject_access").features is not None


def test_M15_an_overdue_epoch_is_an_alarm_everywhere(hall: Any) -> None:
    """When an epoch outlives its promised end, doctor, fsck and the status of the keys say so; a repair ends it."""
    hall.advance(days=30)
    (check,) = [check for check in hall.platform.doctor() if check.name == "key rotation"]
    assert (check.state, check.hint) == ("fail", "Run `sottovoce keys rotate`.")
    status = hall.platform.keys_status()
    assert status.rotation_overdue
    assert status.copies.date is None
    assert "epoch_overdue" in [finding.code for finding in hall.platform.fsck().findings]
    report = hall.platform.fsck(repair=True)
    assert "epoch_overdue" in [finding.code for finding in report.repaired]
    assert not hall.platform.keys_status().rotation_overdue
    assert hall.platform.key_copies().date == hall.clock.now() + timedelta(days=30)


def test_F16_I10_with_the_provider_down_a_home_opens_and_overdue_audio_goes(hall: Any) -> None:
    """A key provider that is down stops neither the opening of a home nor the destruction of overdue audio."""
    hall.grant()
    hall.submit()
    assert hall.audio_left() == (1, 1)
    hall.adapters.keys.available = False
    hall.advance(days=30)
    platform = restarted(hall)
    assert hall.audio_left() == (0, 0)
    report = platform.sweep()
    assert "key_unavailable" in report.errors or "provider_down" in report.errors
    assert report.epochs_ended == 0
    states = {check.name: check.state for check in platform.doctor()}
    assert (states["keys"], states["key rotation"]) == ("fail", "fail")
    hall.adapters.keys.available = True
    report = platform.sweep()
    assert report.errors == ()
    assert report.epochs_ended == 1
    assert hall.recordings()[0].ended
    assert hall.platform.verify_audit().intact


def test_F16_audio_that_failed_is_destroyed_before_the_provider_is_asked_for_anything(hall: Any) -> None:
    """A recording that failed is destroyed at once, also while the key provider is down; it is told of later."""
    hall.grant()
    session = hall.submit().session_id
    hall.platform._discard.fail(session, "decode_failed", caller=hall.caller)
    hall.adapters.keys.available = False
    hall.advance(minutes=10)
    assert restarted(hall).sweep().errors
    assert hall.audio_left() == (0, 0)
    assert not hall.recording(session).ended
    hall.adapters.keys.available = True
    assert restarted(hall).sweep().errors == ()
    assert hall.recording(session).ended


def test_F29_an_interrupted_rotation_that_cannot_go_on_stops_no_opening(hall: Any) -> None:
    """A rotation that was interrupted, with the provider down since, does not keep a home from being opened; it is
    finished when the provider is back, and the log says so."""
    hall.grant()
    session = hall.analyze().session_id

    def stop(step: str) -> None:
        if step.startswith("rewrapped"):
            raise SottovoceError("stop")

    with pytest.raises(SottovoceError):
        hall.platform.keyring.rotate(step=stop)
    hall.adapters.keys.available = False
    platform = restarted(hall)
    assert len(hall.adapters.long_lived.epochs()) == 2
    hall.adapters.keys.available = True
    (check,) = [check for check in platform.doctor() if check.name == "key rotation"]
    assert (check.state, check.found) == ("warn", "interrupted")
    platform.sweep()
    assert hall.adapters.keys.epochs() == (2,)
    assert [one["why"] for one in details_of(hall, "keys.rotated")] == ["interrupted before"]
    assert platform.show(session, purpose="subject_access").features is not None


def test_M14_a_rotation_is_in_the_log_before_and_after(hall: Any) -> None:
    """Each rotation is in the audit log: that it begins, and what it did."""
    report = hall.platform.rotate_keys()
    assert details_of(hall, "keys.rotation_started") == [{"why": "by hand"}]
    assert details_of(hall, "keys.rotated") == [
        {"from": 1, "to": 2, "rows": report.rows_rewrapped, "why": "by hand"}
    ]
    assert report.copies.date == hall.clock.now() + timedelta(days=30)


def test_M15_a_clock_that_is_set_does_not_put_the_end_of_an_epoch_off(hall: Any) -> None:
    """A clock set years ahead ends the epoch early, and no key is lost; once it is right, no date is years away."""
    hall.clock.jump(timedelta(days=4000))
    assert hall.platform.sweep().epochs_ended == 1
    hall.clock.jump(-timedelta(days=4000))
    assert hall.platform.sweep().epochs_ended == 1
    assert hall.platform.key_copies().date == hall.clock.now() + timedelta(days=30)


def test_M33_the_facts_of_a_session_say_until_when_copies_of_its_keys_open_it(hall: Any) -> None:
    """The privacy facts of a session name the day after which no older copy of its keys opens what was erased."""
    hall.grant()
    card = hall.platform.facts(hall.analyze().session_id)
    assert card.key_copies.startswith("2026-01-31 at the latest")
