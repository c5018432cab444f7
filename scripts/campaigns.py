"""`make campaigns`: every campaign in turn, bounded in time; what ran, what could not run here and why, and how long.

    python scripts/campaigns.py [--record] [--quick] [NAME ...]

Each campaign prints its own tables and keeps its own figures; this keeps the list of them in docs/reference/figures.md.
A campaign that is over its time is ended with all its processes and counts as failed. `--quick`: a small part of each,
to see that they run; nothing is kept of it.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from figures import record

ROOT = Path(__file__).resolve().parents[1]
NOT_RUN = re.compile(r"not run: ([^|\n]+)|SKIPPED \[\d+\] [^:]+(?::\d+)?: ([^\n]+)")
PYTEST = ("-m", "pytest", "-q", "-n", "0")


@dataclass(frozen=True)
class Campaign:
    name: str
    about: str
    command: tuple[str, ...]  # arguments of this Python
    longest_s: int
    quick: tuple[str, ...]
    own_figures: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    campaign: Campaign
    code: int | None  # None: over its time
    took_s: float
    last: str
    not_run: tuple[str, ...]

    @property
    def words(self) -> str:
        if self.code is None:
            return "FAILED: over its time"
        return "passed" if self.code == 0 else f"FAILED ({self.code})"


CAMPAIGNS = (
    Campaign(
        "audit-kills", "kills while the audit log is written", ("tests/faults/audit_kills.py",), 600,
        ("--kills", "3"), ("--record",),
    ),
    Campaign(
        "faults", "a kill and an error at every boundary, a failing and a full disk, 500 random kills",
        ("tests/faults/report.py",), 5400, ("--only", "disk", "--step", "60"), ("--record",),
    ),
    Campaign(
        "fuzz", "10,000 damaged files through the sealed child, bombs, readers of bytes from outside",
        ("tests/fuzz/report.py",), 2400, ("--cases", "90", "--examples", "5"), ("--record",),
    ),
    Campaign(
        "residue", "pieces of marked recordings in files and memory", (*PYTEST, "-rs", "tests/residue",
        "tests/unit/adapters/test_extractor_residue.py"), 1200, ("--co",),
    ),
    Campaign(
        "simulation", "interleavings of verbs, kills and time against a naive model",
        (*PYTEST, "-rs", "tests/simulation"), 1800, ("--co",),
        environment={"STEPS": "60", "EXAMPLES": "200", "HYPOTHESIS_PROFILE": "dev"},
    ),
    Campaign(
        "planted-bugs", "bugs planted in a copy of the source: the tests have to fail on each",
        ("tests/faults/planted_bugs.py",), 3600, ("the key of a recording",),
    ),
)  # fmt: skip


def run(campaign: Campaign, *, quick: bool, keep: bool) -> Outcome:
    more = campaign.quick if quick else campaign.own_figures if keep else ()
    command = [sys.executable, *campaign.command, *more]
    environment = {**os.environ, **campaign.environment, "OPENBLAS_NUM_THREADS": "1"}
    began, last, not_run = time.monotonic(), "", list[str]()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    alarm = _Alarm(process.pid, campaign.longest_s)
    for line in _lines(process):
        print(line, end="", flush=True)
        last = line.strip() or last
        not_run += ["".join(found).strip() for found in NOT_RUN.findall(line)]
    code = process.wait()
    over = alarm.end()
    return Outcome(
        campaign, None if over else code, time.monotonic() - began, last, tuple(dict.fromkeys(not_run))
    )


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from process.stdout


class _Alarm:
    """Kills a session of processes when its time is over. By SIGALRM: this program has one thread."""

    def __init__(self, session: int, seconds: int) -> None:
        self._session, self._over = session, False
        signal.signal(signal.SIGALRM, self._ring)
        signal.alarm(seconds)

    def _ring(self, *_: object) -> None:
        self._over = True
        os.killpg(self._session, signal.SIGKILL)

    def end(self) -> bool:
        signal.alarm(0)
        return self._over


def table(outcomes: list[Outcome]) -> str:
    lines = ["| campaign | what it does | outcome | s | could not run here |", "|---|---|---|---:|---|"]
    for each in outcomes:
        missing = "; ".join(each.not_run) or ""
        lines.append(
            f"| {each.campaign.name} | {each.campaign.about} | {each.words} | {each.took_s:.0f} | {missing} |"
        )
    return "\n".join(lines)


def versions() -> str:
    names = ("cryptography", "numpy", "scipy", "soundfile", "sqlalchemy", "hypothesis", "pytest", "av")
    found = [f"SQLite {sqlite3.sqlite_version}", f"Linux {os.uname().release.partition('-')[0]}"]
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    keep = given.record and not given.quick
    chosen = [each for each in CAMPAIGNS if not given.names or each.name in given.names]
    if len(chosen) < len(given.names):
        parser.error(f"choose from {', '.join(each.name for each in CAMPAIGNS)}")
    outcomes = []
    for campaign in chosen:
        print(f"== {campaign.name}: {campaign.about}", flush=True)
        outcomes.append(run(campaign, quick=given.quick, keep=keep))
    print(table(outcomes))
    if keep and not given.names:
        record("campaigns", "Campaigns", table(outcomes), conditions=versions())
    return int(any(each.code != 0 for each in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
