"""`make faults`: every campaign of this folder in full; prints the table and keeps it in docs/reference/figures.md.

python tests/faults/report.py [--kills 500] [--step 4] [--record]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))

from figures import record  # noqa: E402

SCENARIOS = (
    "grant", "refuse", "withdraw", "analyze", "analyze-once", "analyze-unlink", "submit", "work", "hold", "retry",
    "expire", "erase", "erase-session", "rotate", "identity",
)  # fmt: skip


def run(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"failed": done.stderr[-2000:]}
    return found


def fault_rows() -> tuple[list[str], int]:
    lines, bad = (
        ["| scenario | points | killed | raised | dirty | outside any point |", "|---|---|---|---|---|---|"],
        0,
    )
    for scenario in SCENARIOS:
        found = run("campaign.py", scenario)
        if "failed" in found:
            lines.append(f"| {scenario} | did not run | | | | |")
            bad += 1
            continue
        modes = Counter(row["mode"] for row in found["rows"])
        dirty, astray = len(found["dirty"]), len(found["astray"])
        lines.append(
            f"| {scenario} | {found['points']} | {modes['kill']} | {modes['raise']} | {dirty} | {astray} |"
        )
        print(lines[-1], flush=True)
        bad += dirty + astray
    return lines, bad


def disk_rows(step: str) -> tuple[list[str], int]:
    lines, bad = ["| full disk during | tries | refused | dirty |", "|---|---|---|---|"], 0
    for verb in ("analyze", "submit", "work", "erase"):
        found = run("full_disk.py", verb, "--step", step)
        if "tries" not in found:
            lines.append(f"| {verb} | not run: {found.get('not_run', 'it failed')} | | |")
            bad += int("failed" in found)
        else:
            lines.append(f"| {verb} | {found['tries']} | {found['refused']} | {len(found['dirty'])} |")
            bad += len(found["dirty"])
        print(lines[-1], flush=True)
    return lines, bad


def kill_line(kills: str) -> tuple[str, int]:
    found = run("kills.py", "--kills", kills)
    if "failed" in found:
        return "Random kills did not run.", 1
    left = found["bodies_left"] + found["keys_of_recordings_left"] + found["findings"]
    text = (
        f"{found['kills']} kills of all processes at random moments (seed {found['seed']}): "
        f"{found['acknowledged']} acknowledgements, {len(found['dirty'])} dirty, {found['bodies_left']} bodies and "
        f"{found['keys_of_recordings_left']} keys of recordings left, {found['findings']} findings of `fsck`."
    )
    return text, len(found["dirty"]) + left


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", default="500")
    parser.add_argument("--step", default="4", help="blocks of 4 KiB between two tries on a full disk")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    faults, bad_faults = fault_rows()
    disks, bad_disks = disk_rows(given.step)
    kills, bad_kills = kill_line(given.kills)
    print(kills)
    body = "\n".join([*faults, "", *disks, "", kills, "", "EIO at each write: not run in this version."])
    if given.record:
        record("faults", "Faults", body, conditions=f"a try every {given.step} blocks of 4 KiB")
    return int(bool(bad_faults + bad_disks + bad_kills))


if __name__ == "__main__":
    raise SystemExit(main())
