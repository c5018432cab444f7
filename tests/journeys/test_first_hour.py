"""A stranger's first hour: consent, one recording, its receipt, what is held, and gone again."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def anna(cli_at: Callable[..., Any]) -> Any:
    """A home in which Anna has agreed to everything an analysis needs."""
    cli = cli_at()
    cli.grant("anna")
    return cli


@pytest.fixture(scope="module")
def answer(anna: Any, jfk_path: Path) -> Any:
    """Her one recording, analysed."""
    return anna("analyze", jfk_path, "--subject", "anna", "--json").json


def test_C9e_one_recording_becomes_88_features_and_its_audio_is_gone(answer: Any, jfk_path: Path) -> None:
    """Analysing a file gives 88 numbers, and a receipt that says how the audio was read and what became of it."""
    assert answer["file"] == str(jfk_path)
    assert answer["subject"] == "anna"
    assert len(answer["features"]) == 88
    assert all(math.isfinite(value) for value in answer["features"].values())
    assert (answer["feature_profile"], answer["quality"]["source_rate_hz"]) == ("compat", 16000)
    assert 10.9 < answer["quality"]["duration_s"] < 11.1
    assert any(item["available"] for item in answer["insights"])
    assert all(
        item["unit"] is not None and item["meaning"] and item["features"] for item in answer["insights"]
    )
    audio = answer["audio"]
    assert (audio["state"], audio["shape"], audio["copies_made"]) == ("verified", "analyze", 0)
    assert audio["source"] == "left_in_place"
    assert jfk_path.exists()
    assert answer["retention"]["kept"] is True
    receipt = json.loads(Path(audio["receipt"]).read_text())
    assert receipt["kind"] == "recording"
    body = json.dumps(receipt["body"])
    assert answer["session_id"] in body
    assert "anna" not in body


def test_C4b_the_receipt_verifies_offline_and_only_as_it_was_signed(
    anna: Any, answer: Any, tmp_path: Path
) -> None:
    """A receipt is checked without the database, and one flipped bit is enough for it to fail."""
    receipt = Path(answer["audio"]["receipt"])
    shutil.copy(
        anna.home / "identity.json", tmp_path / "identity.json"
    )  # the pin, and nothing else of the home
    elsewhere = anna("verify", receipt, "--home", tmp_path, "--json").json
    assert (elsewhere["verified"], elsewhere["kind"]) == (True, "recording")
    data = bytearray(receipt.read_bytes())
    flipped = tmp_path / "flipped.json"
    for place in range(data.index(b'"body"'), len(data) - 10, len(data) // 4):
        changed = bytes([*data[:place], data[place] ^ 1, *data[place + 1 :]])
        flipped.write_bytes(changed)
        assert anna("verify", flipped, code=None).code in (5, 8), f"bit 0 of byte {place}"
    flipped.write_bytes(bytes(data).replace(b'"verified"', b'"werified"', 1))
    assert "signature_broken" in anna("verify", flipped, code=5).err


def test_C4b_a_receipt_of_another_home_is_of_an_unknown_signer(
    anna: Any, answer: Any, cli_at: Callable[..., Any], tmp_path: Path
) -> None:
    """A receipt is trusted against a key that was pinned before; another home's key, or none, is not enough."""
    receipt = answer["audio"]["receipt"]
    stranger = cli_at()
    assert "unknown_signer" in stranger("verify", receipt, code=8).err
    assert not stranger.home.exists(), "verifying makes no home"
    stranger("keys", "status")
    stranger("verify", receipt, code=8)
    stranger("keys", "identity", "--out", tmp_path / "stranger.json")
    anna("verify", receipt, "--key", tmp_path / "stranger.json", code=8)
    anna("keys", "identity", "--out", tmp_path / "anna.json")
    stranger("verify", receipt, "--key", tmp_path / "anna.json")


def test_what_is_held_is_listed_and_opened_for_a_purpose_only(anna: Any, answer: Any) -> None:
    sessions = anna("sessions", "--subject", "anna", "--json").json
    assert [session["session_id"] for session in sessions] == [answer["session_id"]]
    assert sessions[0]["state"] == "verified"
    shown = anna("show", answer["session_id"], "--purpose", "subject_access", "--json").json
    assert shown["features"] == pytest.approx(answer["features"], rel=1e-6)
    assert [i["value"] for i in shown["insights"]] == pytest.approx(
        [i["value"] for i in answer["insights"]], rel=1e-6
    )
    assert "consent_required" in anna("show", answer["session_id"], "--purpose", "model_training", code=3).err
    anna("show", answer["session_id"], "--purpose", "curiosity", code=2)
    anna("show", "ses_" + "a" * 24, "--purpose", "subject_access", code=4)
    assert anna("sessions", "--subject", "nobody", "--json").json == []


def test_every_reading_verb_speaks_json_and_plain_words(anna: Any, answer: Any) -> None:
    for line in (
        ("consent", "show", "--subject", "anna"), ("sessions", "--subject", "anna"), ("keys", "status"),
        ("keys", "identity"), ("audit", "verify"), ("audit", "show"), ("doctor",), ("sweep",),
        ("show", answer["session_id"], "--purpose", "voice_analysis"), ("verify", answer["audio"]["receipt"]),
        ("erase", "--subject", "anna", "--dry-run"), ("keys", "rotate", "--dry-run"),
    ):  # fmt: skip
        assert anna(*line, "--json").json
    for line in (("doctor",), ("audit", "show")):
        shown = anna(*line)
        assert shown.out.strip()
        assert "\x1b[" not in shown.out + shown.err


def test_C5d_the_operator_is_the_caller_and_the_person_is_named(anna: Any, answer: Any) -> None:
    """What is done at the command line is logged as the operator's doing, by that channel, for that person."""
    lines = anna("audit", "show", "--subject", "anna", "--json").json
    assert {line["kind"] for line in lines} >= {"consent.grant", "recording.received"}
    received = next(line for line in lines if line["kind"] == "recording.received")
    assert (received["actor"], received["channel"]) == ("operator", "operator-cli")
    assert received["pseudonym"] != "anna"


@pytest.mark.parametrize("missing", ["nothing", "voice_analysis", "voice_recording"])
def test_C2c_without_the_consents_nothing_is_stored(missing: str, cli: Any, jfk_path: Path) -> None:
    """Without the person's consent a recording is refused before anything of it is stored."""
    if missing != "nothing":
        cli.grant("bert", *({"voice_analysis", "voice_recording"} - {missing}))
    else:
        cli("doctor")
    before = rows(cli.home)
    refused = cli("analyze", jfk_path, "--subject", "bert", "--json", code=3)
    assert refused.json["error"]["code"] == "consent_required"
    assert refused.json["error"]["hint"]
    after = rows(cli.home)
    assert {table: count for table, count in after.items() if table != "events"} == {
        table: count for table, count in before.items() if table != "events"
    }
    assert after["recordings"] == 0
    assert not list((cli.home / "bodies").iterdir())
    assert cli("sessions", "--subject", "bert", "--json").json == []


def test_C2c_without_leave_to_keep_it_the_result_is_returned_once(
    cli: Any, jfk_path: Path, tmp_path: Path
) -> None:
    """Who agrees to the analysis but not to keeping the result gets it once; the receipt stays, no record does."""
    cli.grant("cleo", "voice_recording", "voice_analysis")
    answer = cli("analyze", jfk_path, "--subject", "cleo", "--json").json
    assert answer["retention"]["kept"] is False
    assert rows(cli.home)["records"] == 0
    cli("verify", answer["audio"]["receipt"])
    source = shutil.copy(jfk_path, tmp_path / "own.flac")
    cli("analyze", source, "--subject", "cleo", "--discard-source", code=3)
    cli("submit", source, "--subject", "cleo", code=3)
    assert source.exists()


def test_C9e_a_source_file_goes_only_when_that_was_asked_for(
    cli: Any, jfk_path: Path, tmp_path: Path
) -> None:
    """With --discard-source the file is unlinked once its result is safe; a dry run and a failure leave it."""
    cli.grant("dora")
    source, bad = Path(shutil.copy(jfk_path, tmp_path / "own.flac")), tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF????WAVE")
    cli("analyze", source, "--subject", "dora", "--discard-source", "--dry-run")
    cli("analyze", bad, "--subject", "dora", "--discard-source", code=4)
    assert source.exists()
    assert bad.exists()
    answer = cli("analyze", source, "--subject", "dora", "--discard-source", "--json").json
    assert not source.exists()
    assert answer["audio"]["source"] == "unlinked"
    assert "unlinked" in Path(answer["audio"]["receipt"]).read_text()


def test_one_bad_file_among_several_never_stops_the_others(cli: Any, jfk_path: Path, tmp_path: Path) -> None:
    cli.grant("emil")
    (tmp_path / "words.wav").write_text("these are only words")
    (tmp_path / "empty.wav").touch()
    names = [
        tmp_path / "words.wav",
        jfk_path,
        tmp_path / "empty.wav",
        tmp_path,
        tmp_path / "missing.wav",
        jfk_path,
    ]
    done = cli("analyze", *names, "--subject", "emil", "--json", code=1)
    assert [line["file"] for line in done.lines] == [str(name) for name in names]
    codes = [line.get("error", {}).get("code") for line in done.lines]
    assert codes == ["unknown_format", None, "empty", "not_a_file", "file_missing", None]
    kinds = {line["error"]["kind"] for line in done.lines if "error" in line}
    assert kinds <= {"audio_rejected", "input_unreadable"}
    assert len(cli("sessions", "--subject", "emil", "--json").json) >= 2


@pytest.mark.parametrize("name", [b"\xff\xfe.flac", b"a\nb\x1b[31m.flac", b"-dash.flac"])
def test_the_name_of_a_file_may_be_anything(name: bytes, cli: Any, jfk_path: Path, tmp_path: Path) -> None:
    import os

    cli.grant("fay")
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    shutil.copy(jfk_path, path)
    assert cli("analyze", "--subject", "fay", "--json", "--", path).json["file"] == path
    shown = cli("analyze", "--subject", "fay", "--", path)
    assert "\x1b[31m" not in shown.out


def test_C11d_erasing_is_answered_alike_for_the_erased_and_the_unknown(
    cli: Any, jfk_path: Path, tmp_path: Path
) -> None:
    """After an erasure nothing opens; asked again, an erased person and an unknown one get the same answer."""
    cli.grant("gina")
    session = cli("analyze", jfk_path, "--subject", "gina", "--json").json["session_id"]
    would = cli("erase", "--subject", "gina", "--dry-run", "--json").json
    assert would["result"] == "would_erase"
    assert len(cli("sessions", "--subject", "gina", "--json").json) == 1
    erased = cli("erase", "--subject", "gina", "--json").json
    assert erased["result"] == "erased"
    cli("verify", erased["receipt"])
    assert cli("sessions", "--subject", "gina", "--json").json == []
    cli("show", session, "--purpose", "subject_access", code=4)
    again = cli("erase", "--subject", "gina", "--request-id", erased["request_id"], "--json").json
    assert Path(again["receipt"]).read_text() == Path(erased["receipt"]).read_text()
    answers = [cli("erase", "--subject", name, "--json").json for name in ("gina", "nobody")]
    assert [answer["result"] for answer in answers] == ["nothing_held", "nothing_held"]
    assert answers[0]["signed"] == answers[1]["signed"]  # the erased and the unknown get the same receipt
    (tmp_path / "nothing.json").write_text(json.dumps(answers[0]["signed"]))
    cli("verify", tmp_path / "nothing.json")
    cli("audit", "verify")


def test_one_session_is_erased_and_the_person_stays(cli: Any, jfk_path: Path) -> None:
    cli.grant("hans")
    first = cli("analyze", jfk_path, "--subject", "hans", "--json").json["session_id"]
    second = cli("analyze", jfk_path, "--subject", "hans", "--json").json["session_id"]
    assert cli("erase", "--subject", "hans", "--session", first, "--json").json["result"] == "erased"
    left = [s["session_id"] for s in cli("sessions", "--subject", "hans", "--json").json if s["kept"]]
    assert left == [second]
    cli("show", second, "--purpose", "voice_analysis")


def test_a_withdrawal_stops_the_next_analysis(cli: Any, jfk_path: Path) -> None:
    cli.grant("ida")
    told = cli("consent", "withdraw", "--subject", "ida", "--purpose", "voice_analysis", "--json").json
    assert told["consents"][0]["status"] == "withdrawn"
    assert json.loads(Path(told["receipt"]).read_text())["kind"] == "termination"
    cli("verify", told["receipt"])
    cli("analyze", jfk_path, "--subject", "ida", code=3)


def test_keys_rotate_and_the_identity_stays(cli: Any, jfk_path: Path) -> None:
    cli.grant("jana")
    answer = cli("analyze", jfk_path, "--subject", "jana", "--json").json
    before = cli("keys", "status", "--json").json
    report = cli("keys", "rotate", "--json").json
    assert (report["from_epoch"], report["to_epoch"]) == (before["epoch"], before["epoch"] + 1)
    assert report["rows_rewrapped"] > 0
    assert cli("keys", "status", "--json").json["identity_key_id"] == before["identity_key_id"]
    cli("show", answer["session_id"], "--purpose", "voice_analysis")
    cli("verify", answer["audio"]["receipt"])


def test_a_replaced_identity_is_introduced_by_the_old_one(cli: Any, tmp_path: Path) -> None:
    told = cli("consent", "grant", "--subject", "kim", "--purpose", "voice_recording", "--json").json
    cli("keys", "identity", "--out", tmp_path / "old.json")
    cli("keys", "identity", "--replace", "--out", tmp_path / "new.json")
    later = cli("consent", "refuse", "--subject", "kim", "--purpose", "embedding", "--json").json
    cli("verify", told["receipt"])
    cli("verify", later["receipt"])
    cli("verify", told["receipt"], "--key", tmp_path / "new.json")
    cli("verify", later["receipt"], "--key", tmp_path / "old.json", code=8)


def rows(home: Path) -> dict[str, int]:
    """How many rows each table of the home's database has."""
    with sqlite3.connect(f"file:{home / 'sottovoce.db'}?mode=ro", uri=True) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
