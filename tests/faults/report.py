"""`make faults`: every campaign of this folder in full; prints the tables and keeps them in docs/reference/figures.md.

python tests/faults/report.py [--kills 500] [--step 4] [--every 1] [--only points|around|errors|disk|kills] [--record]

Printed is every point of every scenario, killed and raised; kept is a line for each scenario, and a section of the
page for each campaign, so that one can be run and recorded by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))

from figures import record  # noqa: E402

SHAPES = {  # scenario -> in which shape the audio of that home came
    "grant": "none yet", "refuse": "sealed body", "withdraw": "sealed body", "analyze": "inline",
    "analyze-once": "inline", "analyze-unlink": "inline", "submit": "sealed body", "work": "sealed body",
    "hold": "sealed body", "retry": "sealed body", "expire": "both", "erase": "both", "erase-session": "both",
    "rotate": "both", "rotate-batches": "both", "rotate-due": "inline", "identity": "inline",
    "ask": "inline", "case": "inline", "lift": "inline", "restrict": "both",
    "rectify": "inline", "export": "inline", "import": "none yet",
    "hold-refused": "sealed body", "hold-withdrawn": "sealed body", "recipient-add": "none yet", "hand-over": "inline",
    "hand-over-by-hand": "inline", "hand-over-package": "inline", "tell-erased": "inline",
    "tell-session-erased": "inline", "tell-withdrawn": "inline", "acknowledge": "inline",
}  # fmt: skip
AROUND = {  # the same of what stands around the path: models, training, sealed recordings, backups
    "infer": "inline", "infer-work": "sealed body", "infer-withdraw": "inline", "train": "inline",
    "train-withdraw": "inline", "train-erase": "inline", "sealed": "sealed body", "recipient-key": "none yet",
    "recipient-key-retire": "none yet", "backup": "both", "restore": "both",
    "model-remove": "none yet",
}  # fmt: skip
EVERY_CALL = (
    "analyze",
    "submit",
    "work",
    "erase",
)  # where the disk fails at each call; elsewhere at every fourth
SOME_CALLS = ("analyze-once", "analyze-unlink", "withdraw", "expire", "erase-session", "rotate")
LOST = ("an acknowledged",)
AUDIO = ("audio in clear", "a body is left", "a recording's key is left")
Part = tuple[str, int]  # Markdown, and how much of it is bad


def run(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"failed": done.stderr[-2000:]}
    if "failed" in found:
        print(found["failed"], file=sys.stderr)
    return found


def of_kind(rows: list[dict[str, Any]], words: tuple[str, ...]) -> int:
    """How many rows have something of that kind among what was dirty."""
    return sum(any(word in what for what in row["dirty"] for word in words) for row in rows)


def points(_: argparse.Namespace) -> Part:
    return each_point(SHAPES)


def around(_: argparse.Namespace) -> Part:
    return each_point(AROUND)


def each_point(shapes: dict[str, str]) -> Part:
    """Killed and raised at every point of these scenarios."""
    head = [
        "scenario",
        "audio came",
        "points",
        "killed",
        "raised",
        "dirty",
        "acknowledged lost",
        "audio left",
    ]
    lines = ["| " + " | ".join([*head, "outside any point"]) + " |", "|---|---|" + "---:|" * 7]
    bad = 0
    for scenario, shape in shapes.items():
        found = run("campaign.py", scenario)
        if "failed" in found:
            lines.append(f"| {scenario} | {shape} | did not run | | | | | | |")
            bad += 1
            continue
        for number in range(0, len(found["rows"]), 2):
            print(point_line(scenario, shape, *found["rows"][number : number + 2]))
        rows, modes = found["dirty"], Counter(row["mode"] for row in found["rows"])
        cells = [scenario, shape, found["points"], modes["kill"], modes["raise"], len(rows)]
        cells += [of_kind(rows, LOST), of_kind(rows, AUDIO), len(found["astray"])]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        bad += len(rows) + len(found["astray"])
    return "\n".join(lines), bad


def point_line(scenario: str, shape: str, killed: dict[str, Any], raised: dict[str, Any]) -> str:
    said = ["; ".join(row["dirty"]) or "clean" for row in (killed, raised)]
    return f"| {scenario} | {shape} | {killed['point']} {killed['name']} | killed: {said[0]} | raised: {said[1]} |"


def errors(given: argparse.Namespace) -> Part:
    """The disk answers EIO once, EIO or ENOSPC from there on, or takes half a write."""
    lines = [
        "| disk error during | calls | tried: each | tries | refused | dirty | acknowledged lost | audio left |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    bad = 0
    for scenario in (*EVERY_CALL, *SOME_CALLS):
        step = given.every if scenario in EVERY_CALL else str(4 * int(given.every))
        found = run("io_errors.py", scenario, "--step", step)
        if "tries" not in found:
            lines.append(f"| {scenario} | not run: {found.get('not_run', 'it failed')} | | | | | | |")
            bad += int("failed" in found)
            continue
        rows = found["dirty"]
        for row in rows:
            print(f"{scenario}, call {row['call']}, {row['how']}: {'; '.join(row['dirty'])}")
        calls = sum(found["calls"].values())
        cells = [scenario, calls, ordinal(int(step)), found["tries"], found["refused"], len(rows)]
        lines.append("| " + " | ".join(map(str, [*cells, of_kind(rows, LOST), of_kind(rows, AUDIO)])) + " |")
        bad += len(rows)
    return "\n".join(lines), bad


def ordinal(step: int) -> str:
    return {1: "call", 2: "2nd call", 3: "3rd call"}.get(step, f"{step}th call")


def disk(given: argparse.Namespace) -> Part:
    lines, bad = ["| full disk during | tries | refused | dirty |", "|---|---:|---:|---:|"], 0
    for verb in (*EVERY_CALL, "rotate"):
        found = run("full_disk.py", verb, "--step", given.step)
        if "tries" not in found:
            lines.append(f"| {verb} | not run: {found.get('not_run', 'it failed')} | | |")
            bad += int("failed" in found)
        else:
            lines.append(f"| {verb} | {found['tries']} | {found['refused']} | {len(found['dirty'])} |")
            bad += len(found["dirty"])
    return "\n".join(lines), bad


def kills(given: argparse.Namespace) -> Part:
    found = run("kills.py", "--kills", given.kills)
    if "failed" in found:
        return "Random kills did not run.", 1
    left = found["bodies_left"] + found["keys_of_recordings_left"] + found["findings"]
    text = (
        f"{found['kills']} of {found['wanted']} kills of all processes at random moments (seed {found['seed']}): "
        f"{found['acknowledged']} acknowledgements, {len(found['dirty'])} dirty, {found['bodies_left']} bodies and "
        f"{found['keys_of_recordings_left']} keys of recordings left, {found['findings']} findings of `fsck`."
    )
    for what in found["dirty"]:
        print(what)
    return text, len(found["dirty"]) + left + int(found["kills"] < found["wanted"])


PARTS: dict[str, tuple[str, Callable[[argparse.Namespace], Part]]] = {
    "points": ("Faults: a kill and a raise at each boundary", points),
    "around": ("Faults: the same of models, training, sealed recordings and backups", around),
    "errors": ("Faults: a disk that fails at a call", errors),
    "disk": ("Faults: a full disk", disk),
    "kills": ("Faults: kills at random moments", kills),
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", default="500")
    parser.add_argument("--step", default="4", help="blocks of 4 KiB between two tries on a full disk")
    parser.add_argument(
        "--every", default="1", help="which calls fail: each, every second, ...; four times rarer in some"
    )
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    bad = 0
    for name, (title, part) in PARTS.items():
        if given.only and name not in given.only:
            continue
        text, wrong = part(given)
        print(text, "\n", flush=True)
        bad += wrong
        if given.record:
            record(f"faults-{name}", title, text, conditions=conditions(name, given))
    return int(bool(bad))


def conditions(name: str, given: argparse.Namespace) -> str:
    common = f"SQLite {sqlite3.sqlite_version}, {' '.join(platform.libc_ver())}"
    common += f", load {os.getloadavg()[0]:.0f} at the end"
    more = {
        "errors": "; calls: writes, truncations, allocations, fsyncs, renames, links and unlinks below the home",
        "disk": f"; a try every {given.step} blocks of 4 KiB",
    }
    return common + more.get(name, "")


if __name__ == "__main__":
    raise SystemExit(main())
