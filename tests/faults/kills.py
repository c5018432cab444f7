"""Random kills: a worker and the command line at work on one home, all of them killed at a random moment.

    python tests/faults/kills.py [--kills 10] [--seed 1] [--longest-s 3000]

Each round starts, in a session of their own, a worker loop and one process that submits, analyses and erases by the
command line's own `main`; what that process was told (an acknowledgement) it writes to a pipe. At a random time the
whole family gets SIGKILL, the children of the sealed extractor too. Then a newcomer opens the home and asks `fsck`,
and everything that was acknowledged has to be there. After the last round everything is worked off. Prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sottovoce import app
from sottovoce.doors import worker
from sottovoce.doors.cli.app import main as command_line
from sottovoce.model.recording import RecordingState
from sottovoce.settings import Settings

ALL = ("voice_recording", "voice_analysis", "data_retention_30_days")
RATE = 16_000
LONGEST_S = 2.5  # a round: long enough for a submission, its work and an erasure
SETTINGS: dict[str, Any] = {"retry_after_s": 0.0, "max_attempts": 20}


def open_home(home: Path) -> app.Platform:
    return app.open(Settings(home=home, **SETTINGS))


def family(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def fork(work: Any) -> int:
    """A child in a session of its own; it never returns here."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        work()
    except BaseException:
        os._exit(70)
    os._exit(0)


def work_loop(home: Path) -> None:
    with open_home(home) as platform:
        worker.run(platform, once=False, report=lambda outcome: None, poll_s=0.02, sweep_every_s=0.5)


def customer(home: Path, clip: Path, seed: int, told: int) -> None:
    """Uses the command line without end; what it is told goes into the pipe, one line each."""
    dice = random.Random(seed)
    while True:
        verb = dice.choice(["submit", "submit", "analyze", "erase", "grant"])
        who = f"p{dice.randrange(3)}"
        said = io.StringIO()
        arguments = {
            "submit": ["submit", str(clip), "--subject", who, "--json"],
            "analyze": ["analyze", str(clip), "--subject", who, "--json"],
            "erase": ["erase", "--subject", who, "--json"],
            "grant": ["consent", "grant", "--subject", who, "--purpose", *ALL, "--json"],
        }[verb]
        os.write(told, json.dumps({"begins": verb, "who": who}).encode() + b"\n")
        with contextlib.redirect_stdout(said):
            code = command_line(["--home", str(home), *arguments])
        answer = json.loads(said.getvalue().splitlines()[0]) if said.getvalue().strip() else {}
        line = {"verb": verb, "who": who, "code": code, "session": answer.get("session_id")}
        os.write(told, json.dumps(line).encode() + b"\n")


def one_round(home: Path, clip: Path, dice: random.Random) -> list[dict[str, Any]]:
    """Start, wait, kill; what the customer was told."""
    reading, writing = os.pipe()
    seed = dice.randrange(1 << 30)
    started = [fork(lambda: work_loop(home)), fork(lambda: customer(home, clip, seed, writing))]
    os.close(writing)
    time.sleep(dice.uniform(0.05, LONGEST_S))
    everyone = [pid for parent in started for pid in family(parent)]
    for pid in everyone:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in started:
        os.waitpid(pid, 0)
    lines = b""
    while select.select([reading], [], [], 5.0)[0] and (piece := os.read(reading, 65536)):
        lines += piece
    os.close(reading)
    return [json.loads(line) for line in lines.split(b"\n") if line.startswith(b"{") and line.endswith(b"}")]


def remember(kept: dict[str, set[str]], told: list[dict[str, Any]]) -> None:
    """Which sessions of whom must be there now; an erasure that had begun takes what it had found."""
    for line in told:
        if line.get("begins") == "erase":
            kept[line["who"]] = set()
        elif line.get("session") and line.get("code") == 0:
            kept.setdefault(line["who"], set()).add(line["session"])


def look(home: Path, kept: dict[str, set[str]]) -> list[str]:
    dirty = []
    with open_home(home) as platform:
        report = platform.fsck(repair=True)
        dirty += [f"fsck: {finding.code}" for finding in report.findings]
        dirty += [f"fsck, repaired: {f.code}" for f in report.repaired if f.code != "receipt_copy_missing"]
        for who, wanted in kept.items():
            there = {view.session_id: view for view in platform.sessions(subject=who)}
            dirty += ["an acknowledged session was lost"] * len(wanted - set(there))
            failed = {s for s in wanted & set(there) if there[s].state is RecordingState.FAILED_SHREDDED}
            dirty += [f"an acknowledged session failed: {there[session].failure}" for session in failed]
    return dirty


def finish(home: Path) -> dict[str, int]:
    """Work everything off; what is left of audio then."""
    with open_home(home) as platform:
        worker.run(platform, once=True, report=lambda outcome: None)
        platform.sweep()
        left = len(list(platform._adapters.bodies.list()))
        keys = sum(row.kind == "recording" for row in platform.keyring.rows())
        findings = len(platform.fsck().findings)
    return {"bodies_left": left, "keys_of_recordings_left": keys, "findings": findings}


def campaign(kills: int, seed: int, longest_s: float, folder: Path) -> dict[str, Any]:
    began, done = time.monotonic(), 0
    dice = random.Random(seed)
    clip, home = folder / "clip.wav", folder / "home"
    noise = np.random.default_rng(seed).integers(-9_000, 9_000, RATE // 2).astype(np.int16)
    soundfile.write(clip, noise, RATE, subtype="PCM_16")
    with open_home(home) as platform:
        for number in range(3):
            platform.grant(subject=f"p{number}", purposes=ALL)
    windows = [noise[i : i + 32].tobytes() for i in range(200, len(noise) - 64, 64)]
    kept: dict[str, set[str]] = {}
    dirty: list[str] = []
    acknowledged = 0
    for number in range(kills):
        if time.monotonic() - began > longest_s:
            break
        done += 1
        told = one_round(home, clip, dice)
        acknowledged += sum(bool(line.get("session")) for line in told)
        remember(kept, told)
        dirty += [f"kill {number + 1}: {what}" for what in look(home, kept)]
        if any(w in path.read_bytes() for path in home.rglob("*") if path.is_file() for w in windows[::40]):
            dirty.append(f"kill {number + 1}: audio in clear")
    ended = finish(home)
    return {
        "kills": done, "wanted": kills, "seed": seed, "acknowledged": acknowledged, **ended, "dirty": dirty,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=int(os.environ.get("KILLS", "10")))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-s", type=float, default=3000.0, help="end after the kill of that moment")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        result = campaign(given.kills, given.seed, given.longest_s, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    json.dump(result, sys.stdout)
    sys.exit(
        1
        if result["dirty"] or any(result[k] for k in ("bodies_left", "keys_of_recordings_left", "findings"))
        else 0
    )


if __name__ == "__main__":
    main()
