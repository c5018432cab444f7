"""submit and worker, and how commands end when they are told to: no half work, no traceback, no process left."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_M04_a_submitted_recording_is_sealed_then_worked_on_then_gone(cli: Any, jfk_path: Path) -> None:
    """A submitted recording lies sealed on disk until a worker has taken its numbers; then it is gone."""
    cli.grant("anna")
    waiting = cli("submit", jfk_path, "--subject", "anna", "--json").json
    bodies = [path for path in (cli.home / "bodies").rglob("*") if path.is_file()]
    clip = jfk_path.read_bytes()
    assert [path.stat().st_size > len(clip) for path in bodies] == [True]
    sealed = bodies[0].read_bytes()
    assert not any(clip[i : i + 16] in sealed for i in range(4096, len(clip) - 16, 997))
    worked = cli("worker", "--once", "--json").lines
    assert [(line["session_id"], line["state"]) for line in worked] == [(waiting["session_id"], "verified")]
    assert not bodies[0].exists()
    view = cli("sessions", "--subject", "anna", "--json").json[0]
    assert "submit" in Path(view["receipt"]).read_text()
    cli("verify", view["receipt"])
    assert (
        len(cli("show", waiting["session_id"], "--purpose", "voice_analysis", "--json").json["features"])
        == 88
    )
    assert cli("worker", "--once").out == ""


def test_a_submitted_file_that_is_no_audio_ends_shredded(cli: Any, tmp_path: Path) -> None:
    cli.grant("bert")
    (tmp_path / "words.wav").write_text("only words" * 100)
    cli("submit", tmp_path / "words.wav", "--subject", "bert")
    worked = cli("worker", "--once", "--json", code=1).json
    assert (worked["state"], worked["failure"]) == ("failed_shredded", "unknown_format")
    assert [path for path in (cli.home / "bodies").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_F38_the_worker_waits_works_and_ends_when_told(
    number: int, code: int, cli: Any, jfk_path: Path, no_leftover_children: None
) -> None:
    """A worker that is told to end finishes what it has in hand, leaves no process behind, and says it is done."""
    cli.grant("cleo")
    worker = cli.start("worker", "--json")
    try:
        assert "waiting for recordings" in worker.stderr.readline()
        cli("submit", jfk_path, "--subject", "cleo")
        assert json.loads(worker.stdout.readline())["state"] == "verified"
        worker.send_signal(number)
        out, err = worker.communicate(timeout=20)
    finally:
        worker.kill()
        worker.wait()
    assert worker.returncode == code, err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_analysis_ends_cleanly(
    number: int, code: int, cli: Any, jfk_path: Path, no_leftover_children: None
) -> None:
    """Interrupted at any moment: what was printed stands, nothing hangs, and the next opening finds all ended."""
    cli.grant("dora")
    running = cli.start("analyze", *[jfk_path] * 40, "--subject", "dora", "--json")
    try:
        first = json.loads(running.stdout.readline())
        time.sleep(0.1)
        running.send_signal(number)
        out, err = running.communicate(timeout=30)
    finally:
        running.kill()
        running.wait()
    assert first["audio"]["state"] == "verified"
    assert running.returncode == code, err
    assert err.strip() == "stopped"
    assert all(json.loads(line)["audio"]["state"] == "verified" for line in out.splitlines())
    views = cli("sessions", "--subject", "dora", "--json").json
    assert {view["state"] for view in views} <= {"verified", "failed_shredded"}
    cli("audit", "verify")


def test_a_reader_who_leaves_ends_it_quietly(cli: Any) -> None:
    cli("doctor")
    running = cli.start("audit", "show", "--json")
    running.stdout.close()
    assert running.wait(timeout=30) == 1
    assert running.stderr.read() == ""
    running.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_output_that_is_full_ends_it_quietly(cli: Any) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            cli.command("--help"), env=cli.environ, stdout=full, stderr=subprocess.PIPE, check=False
        )
        assert (done.returncode, done.stderr) == (1, b"")
        line = cli.command("doctor")
        done = subprocess.run(
            line, env=cli.environ, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def on_a_terminal(cli: Any, *arguments: str) -> str:
    """What a person sees who runs it in a terminal."""
    leader, follower = pty.openpty()
    done = subprocess.Popen(
        cli.command(*arguments), env=cli.environ, stdout=follower, stderr=follower, close_fds=True
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not piece:
            break
        seen += piece
    os.close(leader)
    assert done.wait(timeout=60) == 0
    return seen.decode()


def test_NO_COLOR_is_honoured(cli: Any) -> None:
    assert "\x1b[32m" in on_a_terminal(cli.having(TERM="xterm"), "doctor")
    plain = on_a_terminal(cli.having(TERM="xterm", NO_COLOR="1"), "doctor")
    assert "\x1b[3" not in plain  # no colour; a spinner may still move the cursor
    assert "\x1b" not in on_a_terminal(cli.having(TERM="dumb"), "doctor")


def test_home_is_named_before_or_after_the_verb_or_by_the_environment(
    cli: Any, cli_at: Callable[..., Any]
) -> None:
    cli.grant("anna")
    other = cli_at()
    for line in (
        ("--home", cli.home, "consent", "show", "--subject", "anna"),
        ("consent", "--home", cli.home, "show", "--subject", "anna"),
        ("consent", "show", "--subject", "anna", f"--home={cli.home}"),
    ):
        states = other(*line, "--json").json
        assert {state["purpose"] for state in states if state["status"] == "granted"} >= {"voice_analysis"}
    assert not other.home.exists()
    here = replace(other, named=False).having(XDG_DATA_HOME=str(other.folder / "data"))
    here("keys", "status")
    assert (other.folder / "data" / "sottovoce" / "identity.json").exists()


def test_demo_is_true_and_leaves_nothing_behind(cli: Any, tmp_path: Path) -> None:
    quiet = cli.having(TMPDIR=str(tmp_path))
    told = quiet("demo", "--json").json
    assert told["held"] is True
    assert told["submit"]["found"] == 0
    assert told["submit"]["found_in_recording"] > 1000
    assert told["gone"]["body_exists"] is False
    assert told["receipt"]["flipped_bit"] == "signature_broken"
    assert len(told["insight"]["features"]) == 88
    assert told["erase"]["result"] == "erased"
    assert list(tmp_path.iterdir()) == []
    assert not cli.home.exists()


def test_demo_reads_as_a_story_and_keeps_its_home_on_request(cli: Any, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shown = cli("demo", "--keep", kept)
    assert shown.out.startswith("One recording (jfk.flac:")
    for words in (
        "seccomp" if "seccomp" in shown.out else "rlimits",
        "Hz",
        "not there any more",
        "refused",
        "intact",
    ):
        assert words in shown.out
    assert (
        cli("--home", kept, "sessions", "--subject", "demo-person", "--json").json[0]["state"] == "verified"
    )
    cli("demo", "--keep", kept, code=2)
    shutil.rmtree(kept)
