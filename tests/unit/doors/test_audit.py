"""The verbs of the audit log: what they ask for, what they print, how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

EVENT = "evt_" + "d" * 24


def asked(platform: Any, verb: str) -> dict[str, Any]:
    return next(named for name, _, named in platform.asked if name == verb)


def test_verify_hands_over_what_was_kept_outside(
    run: Callable[..., Any], platform: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.write_text("a checkpoint\n")
    assert run("audit", "verify", "--since", str(kept)).code == 0
    assert asked(platform, "verify_audit") == {"since": "a checkpoint\n"}
    assert run("audit", "verify", "--since", str(tmp_path / "missing")).code == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first_bad": 7}, "broken at entry 7"),
        ({"between": (3, 9)}, "broken after entry 3 and up to entry 9"),
        ({}, "broken"),
    ],
)
def test_F34_a_log_that_was_changed_ends_with_5(
    changes: dict[str, Any], words: str, run: Callable[..., Any], platform: Any
) -> None:
    """A log that is not what was written ends the command with exit code 5, and says where."""
    report = replace(platform.answers["verify_audit"], intact=False, problem="something differs", **changes)
    platform.answers["verify_audit"] = report
    platform.answers["report_audit"] = replace(platform.answers["report_audit"], verification=report)
    for verb in ("verify", "report"):
        result = run("audit", verb)
        assert result.code == 5
        assert words in result.out
        assert "something differs" in result.err
    assert run("audit", "verify", "--json").json["intact"] is False


def test_verify_says_what_is_unwitnessed_and_waits(run: Callable[..., Any], platform: Any) -> None:
    at = datetime(2026, 5, 1, 11, 0, tzinfo=UTC)
    platform.answers["verify_audit"] = replace(
        platform.answers["verify_audit"], unsequenced=2, waiting_since=at, unwitnessed_from=8, unwitnessed_since=at,
        checkpoints=3, compared=7,
    )  # fmt: skip
    out = run("audit", "verify").out
    assert "2 without a number yet (since 2026-05-01 11:00:00 UTC)" in out
    assert "not from entry 8 on (2026-05-01 11:00:00 UTC)" in out
    assert "3 of this home, one from outside over 7 entries" in out


def test_show_passes_its_filters_on(run: Callable[..., Any], platform: Any) -> None:
    line = ("audit", "show", "--subject", "anna", "--kind", "record", "--limit", "3")
    assert run(*line, "--from", "2026-01-01", "--to", "2026-02-01T10:00:00").code == 0
    given = asked(platform, "show_audit")
    assert (given["subject"], given["kind"], given["limit"]) == ("anna", "record", 3)
    assert (given["since"], given["until"]) == (
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, 10, tzinfo=UTC),
    )  # fmt: skip
    assert run("audit", "show", "--from", "yesterday").code == 2


def test_checkpoint_and_proof_go_to_a_new_file(
    run: Callable[..., Any], platform: Any, tmp_path: Path
) -> None:
    for verb, name in ((("audit", "checkpoint"), "c"), (("audit", "prove", EVENT), "p")):
        text = run(*verb).out
        assert "— log-of-tests" in text
        file = tmp_path / name
        done = run(*verb, "--out", str(file), "--json")
        assert done.code == 0
        assert done.json["file"] == str(file)
        assert file.read_text() == text
        assert run(*verb, "--out", str(file)).code == 2  # it is there already
        verified = run("verify", str(file), "--json")
        assert verified.json["kind"] == ("checkpoint" if name == "c" else "audit entry")
        assert "9 entries" in run("verify", str(file)).out
    assert run("audit", "checkpoint", "--json").json["entries"] == 9


def test_F36_a_lagging_witness_ends_the_report_with_1(run: Callable[..., Any], platform: Any) -> None:
    """A witness that lags is an alarm: the report names it and ends with exit code 1."""
    summary = platform.answers["report_audit"]
    late = replace(summary.witnesses[0], lags=True, waiting_since=datetime(2026, 4, 30, tzinfo=UTC))
    platform.answers["report_audit"] = replace(summary, witnesses=(late,), alarms=("file-1a2b3c4d lags",))
    result = run("audit", "report")
    assert result.code == 1
    assert "LAGS, waits since 2026-04-30" in result.out
    assert "alarm  file-1a2b3c4d lags" in result.out
    assert run("audit", "report", "--json").json["alarms"] == ["file-1a2b3c4d lags"]


def test_the_report_prints_counts_and_witnesses(run: Callable[..., Any], platform: Any) -> None:
    result = run("audit", "report")
    assert result.code == 0
    assert "9 entries, 2 days without any" in result.out
    assert "2026-01  record.read    5" in result.out
    assert "file-1a2b3c4d  7 entries  2026-05-01 12:00:00 UTC  up to date" in result.out
    data = run("audit", "report", "--json").json
    assert data["counts"] == {"2026-01": {"consent.grant": 4, "record.read": 5}}
    assert data["witnessed_age_s"] == 3600.0
    platform.answers["report_audit"] = replace(platform.answers["report_audit"], witnesses=())
    assert "none is set up" in run("audit", "report").out


def test_a_receipt_shows_which_log_it_is_a_witness_of(run: Callable[..., Any], tmp_path: Path) -> None:
    from sottovoce.doors.cli import render
    from sottovoce.doors.cli.console import Style
    from sottovoce.sealing.receipt import Receipt

    body = {"state": "verified", "checkpoint": "log-of-tests\n12\nroot\n\n— x y\n"}
    page = render.Page(width=100, style=Style())
    assert "12 entries of log-of-tests" in render.receipt(Receipt("recording", body, "f" * 64, b""), page)
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps({"body": body}))
    assert run("verify", str(receipt)).code == 0


def test_archive_takes_a_day_and_a_new_file(run: Callable[..., Any], platform: Any, tmp_path: Path) -> None:
    out = tmp_path / "old.archive"
    result = run("audit", "archive", "--before", "2026-01-01", "--out", str(out))
    assert result.code == 0
    assert "entries 1 to 7" in result.out
    name, arguments, named = platform.asked[-1]
    assert (name, arguments) == ("archive_audit", (out,))
    assert named["before"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert run("audit", "archive", "--before", "2026-01-01", "--out", str(out), "--json").json["last"] == 7
    assert run("audit", "archive", "--out", str(out)).code == 2


def test_an_archive_is_verified_in_the_home_or_offline(
    run: Callable[..., Any], platform: Any, tmp_path: Path
) -> None:
    file, key = tmp_path / "old.archive", tmp_path / "identity.json"
    key.write_text("an identity")
    assert "against the log" in run("audit", "verify", "--archive", str(file)).out
    assert platform.asked[-1][:2] == ("verify_archive", (file,))
    platform.opened_with.clear()
    assert run("audit", "verify", "--archive", str(file), "--key", str(key)).code == 0
    assert platform.asked[-1] == ("verify_archive offline", (file,), {"key": "an identity", "home": None})
    assert platform.opened_with == []
    assert run("audit", "verify", "--key", str(key)).code == 2
    assert run("audit", "verify", "--archive", str(file), "--since", str(key)).code == 2
