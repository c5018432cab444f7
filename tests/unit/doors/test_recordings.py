"""analyze and its companions, over a platform of plain values: what is printed, in which order, with which code."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sottovoce.errors import AudioRejected, ConsentRequired, IntegrityError, UnknownSigner
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.model.outcome import Retention, WorkOutcome
from sottovoce.model.recording import RecordingState
from sottovoce.voice.gate import Finding

ANALYZE = ("analyze", "a.wav", "--subject", "anna")


def test_analyze_json_has_every_field_that_was_promised(run: Callable[..., Any]) -> None:
    answer = run(*ANALYZE, "--json").json
    assert answer["file"] == "a.wav"
    assert answer["subject"] == "anna"
    assert answer["session_id"].startswith("ses_")
    assert tuple(answer["features"]) == FEATURE_NAMES
    assert all(math.isfinite(value) for value in answer["features"].values())
    assert (answer["feature_profile"], answer["feature_version"]) == ("compat", "egemaps-88/1")
    assert answer["quality"]["snr_db"] == 21.4
    assert [set(item) for item in answer["insights"]] == [
        {"name", "title", "value", "unit", "meaning", "features", "available"}
    ] * 2
    assert answer["insights"][1]["value"] is None
    assert answer["insights"][1]["available"] is False
    audio = answer["audio"]
    assert (audio["state"], audio["shape"], audio["copies_made"]) == ("verified", "analyze", 0)
    assert audio["source"] == "left_in_place"
    assert audio["receipt"].endswith(audio["receipt_id"] + ".json")
    assert audio["discard_by"] == "2026-05-01T12:15:00+00:00"
    assert answer["retention"] == {
        "kept": True, "expires_at": "2026-05-31T12:00:00+00:00", "basis": "data_retention_30_days",
    }  # fmt: skip


def test_analyze_tells_a_person_what_was_found_and_what_became_of_the_audio(run: Callable[..., Any]) -> None:
    shown = run(*ANALYZE).out
    assert "Pitch level         142 Hz" in shown
    assert "Harmonics to noise  not available" in shown
    shown = " ".join(shown.split())  # however it is wrapped
    assert "11.0 s analysed, 6.1 s of it voiced, estimated signal-to-noise 21 dB" in shown
    assert "nothing unusual" in shown
    assert "no copy was ever made" in shown
    assert "your source file is left in place" in shown
    assert "until 2026-05-31 12:00:00 UTC" in shown
    assert "/home-of-tests/receipts/rct_" in shown


def test_a_result_that_is_not_kept_says_so(run: Callable[..., Any], platform: Any, analysis_of: Any) -> None:
    platform.answers["analyze"] = analysis_of(retention=Retention(False, None, "no consent to keep it"))
    assert "nothing: this answer is the only one" in run(*ANALYZE).out


def test_flags_are_told_in_words(run: Callable[..., Any], platform: Any, analysis_of: Any) -> None:
    flagged = replace(analysis_of().quality, flags=("cut", "truncated", "a_new_flag"), clipped_share=0.25)
    platform.answers["analyze"] = analysis_of(quality=flagged)
    shown = " ".join(run(*ANALYZE).out.split())
    assert "only the beginning was analysed; truncated: the end is missing; a_new_flag" in shown
    assert "25.0% clipped" in shown


def test_one_bad_file_never_stops_the_others(run: Callable[..., Any], platform: Any) -> None:
    platform.fails["bad.wav"] = AudioRejected("It is too short.", hint="Record longer.", reason="too_short")
    result = run("analyze", "a.wav", "bad.wav", "b.wav", "--subject", "anna", "--json")
    assert result.code == 1
    assert [line["file"] for line in result.lines] == ["a.wav", "bad.wav", "b.wav"]
    assert result.lines[1] == {
        "file": "bad.wav",
        "error": {
            "code": "too_short", "kind": "audio_rejected", "message": "It is too short.", "hint": "Record longer.",
        },
    }  # fmt: skip
    assert "bad.wav: It is too short. [too_short]" in result.err
    assert "try: Record longer." in result.err


def test_a_defect_in_one_file_does_not_stop_the_others_either(run: Callable[..., Any], platform: Any) -> None:
    platform.fails["bad.wav"] = RuntimeError("secret words")
    result = run("analyze", "bad.wav", "b.wav", "--subject", "anna", "--json")
    assert [("error" in line) for line in result.lines] == [True, False]
    assert "secret" not in result.out + result.err


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ({"a.wav": AudioRejected()}, 4),
        ({"a.wav": ConsentRequired(), "b.wav": ConsentRequired()}, 3),
        ({"a.wav": AudioRejected(), "b.wav": ConsentRequired()}, 1),
        ({"b.wav": AudioRejected(), "c.wav": AudioRejected()}, 1),
    ],
)
def test_one_file_has_its_own_code_several_the_one_they_share(
    failures: dict[str, Exception], code: int, run: Callable[..., Any], platform: Any
) -> None:
    platform.fails.update(failures)
    files = sorted({"a.wav", *failures})
    assert run("analyze", *files, "--subject", "anna").code == code


def test_the_options_reach_the_verb(run: Callable[..., Any], platform: Any) -> None:
    run(
        *ANALYZE,
        "--discard-source",
        "--channel",
        "mix",
        "--accept-truncated",
        "--embedding",
        "--idempotency-key",
        "k",
    )
    (verb, arguments, named) = platform.asked[0]
    caller = named.pop("caller")
    assert callable(named.pop("on_gate"))
    assert callable(named.pop("on_inference"))
    assert (verb, arguments) == ("analyze", ("a.wav",))
    assert named == {
        "subject": "anna", "discard_source": True, "channel": "mix", "accept_truncated": True, "embedding": True,
        "idempotency_key": "k",
    }  # fmt: skip
    assert (caller.actor, caller.channel) == ("operator", "operator-cli")


@pytest.mark.parametrize("verb", ["analyze", "submit"])
def test_a_dry_run_takes_nothing_in(
    verb: str, run: Callable[..., Any], platform: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    unlink = ("--discard-source",) if verb == "analyze" else ()
    line = (verb, str(tmp_path / "a.wav"), str(tmp_path), "--subject", "anna", *unlink, "--dry-run")
    result = run(*line, "--json")
    assert platform.verbs_asked() == ["consents"]
    assert result.code == 1
    assert result.lines[0]["source"] == ("would_be_unlinked" if unlink else "left_in_place")
    assert result.lines[0]["missing_consents"] == ["data_retention_30_days"]
    assert result.lines[1]["error"]["code"] == "input_unreadable"
    told = "would be unlinked once its result is safe" if unlink else "would be left in place"
    assert f"{told}; consent is missing" in run(*line).out
    assert (tmp_path / "a.wav").exists()


def test_submit_offers_no_way_to_unlink_the_source(run: Callable[..., Any]) -> None:
    """Until a worker has a result, the source may be the only copy: submit does not unlink it."""
    assert run("submit", "a.wav", "--subject", "anna", "--discard-source").code == 2


def test_the_worker_does_what_waits_and_ends(run: Callable[..., Any], platform: Any) -> None:
    failed = WorkOutcome("ses_" + "d" * 24, RecordingState.FAILED_SHREDDED, "truncated", 1, None)
    waiting = [failed, WorkOutcome("ses_" + "e" * 24, RecordingState.VERIFIED, None, 1, "rct_x")]
    platform.answers["work_next"] = lambda **_: waiting.pop(0) if waiting else None
    result = run("worker", "--once", "--json")
    assert [line["state"] for line in result.lines] == ["failed_shredded", "verified"]
    assert result.code == 1
    idle = run("worker", "--once")
    assert (idle.code, idle.out, idle.err.strip()) == (0, "", "nothing is waiting")


def test_sessions_json_is_a_list_even_when_there_are_none(run: Callable[..., Any], platform: Any) -> None:
    assert run("sessions", "--subject", "anna", "--json").json[0]["session_id"].startswith("ses_")
    platform.answers["sessions"] = ()
    assert run("sessions", "--subject", "anna", "--json").json == []
    assert "No sessions" in run("sessions", "--subject", "anna").out


def test_show_prints_only_what_the_purpose_opens(run: Callable[..., Any], platform: Any) -> None:
    session = "ses_" + "a" * 24
    everything = run("show", session, "--purpose", "subject_access", "--json").json
    assert len(everything["features"]) == 88
    platform.answers["show"] = replace(platform.answers["show"], features=None, quality=None)
    part = run("show", session, "--purpose", "voice_analysis", "--json").json
    assert "features" not in part
    assert "insights" in part


@pytest.mark.parametrize("form", [("a b",), ("a,b",), ("a", "b"), ("a,", " b")])
def test_purposes_are_named_in_any_of_three_ways(
    form: tuple[str, ...], run: Callable[..., Any], platform: Any
) -> None:
    long = {"a": "voice_recording", "b": "anonymized_research"}
    words: list[str] = []
    for part in form:
        named = "".join(long.get(c, c) for c in part)
        words += ["--purpose", *(named.split(" ") if form == ("a b",) else [named])]
    assert run("consent", "grant", "--subject", "anna", *words).code == 0
    assert platform.asked[0][2]["purposes"] == ("voice_recording", "research_statistics")


def test_a_notice_of_ones_own_is_passed_on_byte_by_byte(
    run: Callable[..., Any], platform: Any, tmp_path: Path
) -> None:
    (tmp_path / "notice.txt").write_bytes(b"Hallo \xff\r\n")
    result = run(
        "consent", "refuse", "--subject", "anna", "--purpose", "embedding", "--notice", str(tmp_path / "notice.txt"),
        "--notice-version", "7", "--locale", "de", "--editorial", "--evidence", "form 12",
        "--occurred-at", "2026-05-01T12:00:00+02:00",
    )  # fmt: skip
    assert result.code == 0
    named = platform.asked[0][2]
    assert named["notice"] == b"Hallo \xff\r\n"
    assert (named["notice_version"], named["locale"], named["material"]) == ("7", "de", False)
    assert named["occurred_at"].isoformat() == "2026-05-01T12:00:00+02:00"


def test_withdrawing_tells_what_was_stopped_and_what_remains(run: Callable[..., Any]) -> None:
    shown = run("consent", "withdraw", "--subject", "anna", "--purpose", "voice_analysis").out
    assert "stopped     ses_" in shown
    assert "remains     one receipt, for six years" in shown


@pytest.mark.parametrize(("error", "code"), [(IntegrityError(), 5), (UnknownSigner(), 8)])
def test_a_receipt_that_does_not_verify_has_a_code_of_its_own(
    error: Exception, code: int, run: Callable[..., Any], platform: Any, tmp_path: Path
) -> None:
    (tmp_path / "r.json").write_text("{}")
    assert run("verify", str(tmp_path / "r.json")).code == 0
    platform.fails["verify"] = error
    assert run("verify", str(tmp_path / "r.json")).code == code
    assert platform.opened_with == []


@pytest.mark.parametrize("kind", ["folder", "missing", "large", "fifo"])
def test_verify_reads_small_regular_files_only(
    kind: str, run: Callable[..., Any], platform: Any, tmp_path: Path
) -> None:
    import os

    path = tmp_path / "r.json"
    match kind:
        case "folder":
            path.mkdir()
        case "large":
            path.write_bytes(b"x" * ((1 << 20) + 1))
        case "fifo":
            os.mkfifo(path)
    assert run("verify", str(path)).code == 4
    assert platform.asked == []


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (("erase", "--subject", "anna"), ["erase"]),
        (("sweep",), ["sweep"]),
        (("keys", "rotate"), ["keys_status"]),
        (("keys", "identity", "--replace"), ["keys_status"]),
    ],
)
def test_destructive_verbs_try_without_doing(
    line: tuple[str, ...], asked: list[str], run: Callable[..., Any], platform: Any
) -> None:
    assert run(*line, "--dry-run", "--json").code == 0
    assert platform.verbs_asked() == asked
    if asked[0] in ("erase", "sweep"):
        assert platform.asked[0][2]["dry_run"] is True


def test_the_identity_is_written_to_a_new_file_only(
    run: Callable[..., Any], platform: Any, tmp_path: Path
) -> None:
    out = tmp_path / "identity.json"
    assert run("keys", "identity", "--out", str(out)).code == 0
    assert out.read_text() == platform.answers["identity"]
    assert run("keys", "identity", "--replace", "--out", str(out)).code == 2
    assert "replace_identity" not in platform.verbs_asked()


def test_a_broken_log_and_a_failed_check_end_with_their_code(run: Callable[..., Any], platform: Any) -> None:
    assert run("audit", "verify").code == 0
    assert run("doctor").code == 0
    broken = replace(
        platform.answers["verify_audit"], intact=False, first_bad=4, problem="entry 4 was changed"
    )
    platform.answers["verify_audit"] = broken
    result = run("audit", "verify")
    assert result.code == 5
    assert "broken at entry 4" in result.out
    platform.answers["doctor"] = (replace(platform.answers["doctor"][0], state="fail"),)
    assert run("doctor").code == 1


def test_a_sweep_that_could_not_finish_ends_with_1(run: Callable[..., Any], platform: Any) -> None:
    assert run("sweep").code == 0
    platform.answers["sweep"] = replace(platform.answers["sweep"], errors=("storage_busy",))
    assert run("sweep").code == 1


def gated(found: Any, analysis: Any) -> Callable[..., Any]:
    """An `analyze` whose gate finds this."""

    def analyze(*_: object, on_gate: Callable[..., None], **__: object) -> Any:
        on_gate(found)
        return analysis

    return analyze


def test_X22_what_the_gate_finds_is_told_and_can_end_it(
    run: Callable[..., Any], platform: Any, analysis_of: Callable[..., Any]
) -> None:
    """A poor recording is told with its measured value; with --refuse-poor nothing of it is kept."""
    found = (Finding("noise", 3.4, "noisy: the signal-to-noise ratio is about 3 dB"),)
    poor = analysis_of(quality=replace(analysis_of().quality, snr_db=3.4))
    platform.answers["analyze"] = gated(found, poor)
    done = run(*ANALYZE)
    assert done.code == 0
    assert "note: a.wav: noisy: the signal-to-noise ratio is about 3 dB" in done.err
    assert "about 3 dB" in done.out
    (line,) = run(*ANALYZE, "--json").lines
    assert [(one["name"], one["measured"]) for one in line["findings"]] == [("noise", 3.4)]
    refused = run(*ANALYZE, "--refuse-poor")
    assert (refused.code, refused.out) == (4, "")
    assert "[poor_quality]" in refused.err
    platform.answers["analyze"] = gated((), analysis_of())
    assert run(*ANALYZE, "--refuse-poor").code == 0
