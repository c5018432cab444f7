"""The verb fsck: ten lines, what was looked at, and exit code 5 where something is not as promised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sottovoce.usecases.fsck import TITLES, Checked, Finding, FsckReport

SOUND = tuple(Checked(one, "3 things", applicable=one != "I8") for one in TITLES)
BODY = Finding("body_of_ended", "a body is left", "ses_" + "a" * 24, safe=True)
CLEAR = Finding("audio_in_clear", "1 files hold audio")


def broken(*findings: Finding) -> FsckReport:
    return FsckReport((Checked("I1", "3 files", findings), *SOUND[1:]))


def test_a_sound_home_is_ten_lines_and_exit_0(run: Callable[..., Any], platform: Any) -> None:
    platform.answers["fsck"] = FsckReport(SOUND)
    result = run("fsck")
    assert result.code == 0
    assert all(f"{one:<4}{title}" in result.out for one, title in TITLES.items())
    assert result.out.count("looked at: 3 things") == 10
    assert "n/a   I8" in result.out


def test_a_finding_is_exit_5_and_a_repair_is_offered_where_it_helps(
    run: Callable[..., Any], platform: Any
) -> None:
    platform.answers["fsck"] = broken(BODY)
    result = run("fsck")
    assert result.code == 5
    assert f"a body is left [body_of_ended] {BODY.ref}" in result.out
    assert "--repair" in result.err
    platform.answers["fsck"] = broken(CLEAR)
    assert "--repair" not in run("fsck").err


def test_many_findings_are_counted_not_listed(run: Callable[..., Any], platform: Any) -> None:
    platform.answers["fsck"] = broken(*[BODY] * 9)
    assert "... and 4 more" in run("fsck").out


def test_json_has_every_invariant_and_every_finding(run: Callable[..., Any], platform: Any) -> None:
    platform.answers["fsck"] = FsckReport(broken(CLEAR).checked, repaired=(BODY,))
    result = run("fsck", "--repair", "--json")
    assert result.code == 5
    answer = result.lines[0]
    assert answer["sound"] is False
    assert [one["id"] for one in answer["invariants"]] == list(TITLES)
    assert answer["invariants"][0]["findings"] == [
        {"code": "audio_in_clear", "what": "1 files hold audio", "ref": "", "repairable": False}
    ]
    assert [one["code"] for one in answer["repaired"]] == ["body_of_ended"]
    assert platform.asked[-1][2]["repair"] is True
