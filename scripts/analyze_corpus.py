"""Analyse every real recording of the shared data set, through the product, and print the outcome per set.

    python scripts/analyze_corpus.py [--sets fsdd,emodb] [--record]

A throw-away home, one person per speaker (unknown speakers: one per set), consents granted, `analyze` for every
bona fide recording, spoof and noise clip: the sealed child, real keys, real receipts. Prints a table: files, kept
results, with voice, refused by reason, seconds per file. `--record` writes it to docs/reference/figures.md.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import figures  # scripts/figures.py, beside this file

import sottovoce
from sottovoce.errors import SottovoceError

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
PURPOSES = ("voice_recording", "voice_analysis", "data_retention_30_days")
LABELS = ("bonafide", "spoof", "noise")


@dataclass
class Outcome:
    """What became of one set."""

    files: int = 0
    verified: int = 0
    with_voice: int = 0
    seconds: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)


def recordings(sets: set[str]) -> list[tuple[str, str, Path]]:
    """(set, speaker, path) of every audio file that is speech, spoof or noise."""
    with (DATA / "MANIFEST.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in LABELS]
    found = []
    for row in rows:
        name = row["file"].split("/")[0]
        if not sets or name in sets:
            found.append((name, row["speaker"] or f"unknown-{name}", DATA / row["file"]))
    return found


def analyse(platform: Any, outcome: Outcome, speaker: str, path: Path) -> None:
    started = time.perf_counter()
    outcome.files += 1
    try:
        answer = platform.analyze(path, subject=speaker)
        outcome.verified += int(answer.audio.state == "verified")
        outcome.with_voice += int(answer.quality.has_voice)
        outcome.flags.update(answer.quality.flags)
    except SottovoceError as error:
        outcome.refused[error.public_code] += 1
    outcome.seconds += time.perf_counter() - started


def table(outcomes: dict[str, Outcome]) -> list[str]:
    lines = [
        "| set | files | verified | with voice | refused | flags | s per file |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, outcome in sorted(outcomes.items()):
        refused = ", ".join(f"{code} {count}" for code, count in sorted(outcome.refused.items())) or "-"
        flags = ", ".join(f"{flag} {count}" for flag, count in sorted(outcome.flags.items())) or "-"
        lines.append(
            f"| {name} | {outcome.files} | {outcome.verified} | {outcome.with_voice} | {refused} | {flags} "
            f"| {outcome.seconds / max(outcome.files, 1):.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", default="")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    if not DATA.is_dir():
        sys.exit("not run: the shared recordings (../shared/data) are not beside this checkout")
    wanted = recordings({name for name in given.sets.split(",") if name})
    outcomes: dict[str, Outcome] = defaultdict(Outcome)
    with tempfile.TemporaryDirectory() as home, sottovoce.open(home=Path(home)) as platform:
        for speaker in sorted({speaker for _, speaker, _ in wanted}):
            platform.grant(subject=speaker, purposes=PURPOSES)
        for number, (name, speaker, path) in enumerate(wanted, start=1):
            analyse(platform, outcomes[name], speaker, path)
            if sys.stderr.isatty():
                print(f"\r{number} of {len(wanted)}", end="", file=sys.stderr)
        left = len(list((Path(home) / "bodies").iterdir()))
        intact = platform.verify_audit()
    lines = table(outcomes)
    print("\n".join(lines))
    total = sum(outcome.files for outcome in outcomes.values())
    extra = "with" if importlib.util.find_spec("av") else "without"
    note = (
        f"{total} files, {extra} the extra [formats]; bodies left in the home: {left}; audit log: "
        f"{intact.events} entries, {'intact' if intact.intact else intact.problem}"
    )
    print(note)
    if given.record:
        figures.record("corpus", "Real recordings", "\n".join(lines), conditions=note)
    if left or not intact.intact:
        sys.exit(1)


if __name__ == "__main__":
    main()
