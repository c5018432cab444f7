"""`make fuzz`: damaged files, bombs and parsers in full; prints the tables and keeps them in docs/reference/figures.md.

python tests/fuzz/report.py [--cases 10000] [--workers 2] [--examples 2000] [--longest-s 1200] [--record]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import soundfile

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))

from figures import record  # noqa: E402

PARSERS = ("test_parsers.py", "test_signed_documents.py", "test_files_handed_in.py")
FAILED = ("child_crashed", "child_memory", "child_timeout")


def files(cases: int, workers: int, longest_s: float) -> tuple[str, int]:
    command = [sys.executable, str(HERE / "files.py"), "--cases", str(cases), "--workers", str(workers)]
    done = subprocess.run(
        [*command, "--longest-s", str(longest_s)], capture_output=True, text=True, check=False
    )
    if not done.stdout:
        print(done.stderr[-2000:], file=sys.stderr)
        return "Damaged files did not run.", 1
    found = json.loads(done.stdout)
    bad = (
        found["undeclared"] + len(found["hurt"]) + len(found["left"]) + int(found["cases"] < found["wanted"])
    )
    return "\n".join([*table(found["outcomes"]), "", *words(found)]), bad


def table(outcomes: dict[str, dict[str, int]]) -> list[str]:
    head = [
        "format",
        "cases",
        "accepted",
        "refused",
        *(code.removeprefix("child_") for code in FAILED),
        "undeclared",
    ]
    lines = ["| " + " | ".join(head) + " | reasons |", "|---|" + "---:|" * (len(head) - 1) + "---|"]
    for kind, counts in outcomes.items():
        special = {"accepted", *FAILED}
        undeclared = sum(n for code, n in counts.items() if code.startswith("undeclared"))
        refused = sum(n for code, n in counts.items() if code not in special) - undeclared
        cells = [kind, sum(counts.values()), counts.get("accepted", 0), refused]
        cells += [counts.get(code, 0) for code in FAILED] + [undeclared]
        reasons = ", ".join(f"{code} {n}" for code, n in counts.items() if code not in special)
        lines.append("| " + " | ".join(map(str, cells)) + f" | {reasons} |")
    return lines


def words(found: dict[str, Any]) -> list[str]:
    hurt = ", ".join(found["hurt"]) or "nothing"
    left = json.dumps(found["left"]) if found["left"] else "nothing"
    return [
        f"{found['cases']:,} of {found['wanted']:,} files (seed {found['seed']}) in {found['wall_s']:.0f} s, the "
        f"slowest answer after {found['slowest_s']} s. A quarter went the whole way through a home. Of bodies, keys of "
        f"recordings, files and findings of `fsck` was left: {left}. Changed in the serving process: {hurt}."
    ]


def bombs() -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, str(HERE / "bombs.py")], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr[-2000:], int(done.returncode != 0)


def parsers(examples: int) -> tuple[str, int]:
    environment = {**os.environ, "FUZZ_EXAMPLES": str(examples), "HYPOTHESIS_PROFILE": "dev"}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *(str(HERE / name) for name in PARSERS)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    last = (done.stdout.strip().splitlines() or ["did not run"])[-1]
    passed = int(found[1]) if (found := re.search(r"(\d+) passed", last)) else 0
    if done.returncode:
        print(done.stdout[-4000:], file=sys.stderr)
    words = (
        f"Readers of envelopes, client headers, receipts, identities, checkpoints, proofs, key rows, children's "
        f"answers and ids; of packages and what is in them, manifests of backups, models, cards, feeds, archives and "
        f"acknowledgements; of key files, notes, sealed recordings, tombstones, tables, settings, plans of a restore: "
        f"{passed} tests, each property with {examples:,} examples, in {time.monotonic() - began:.0f} s; "
        f"{'only declared errors, nothing damaged verified' if done.returncode == 0 else last}. Tokens: not run, there "
        f"are none yet."
    )
    return words, int(done.returncode != 0)


def versions() -> str:
    try:
        av = f"PyAV {metadata.version('av')}"
    except metadata.PackageNotFoundError:
        av = "without the extra [formats]"
    return f"libsndfile {soundfile.__libsndfile_version__}, {av}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--examples", type=int, default=2_000)
    parser.add_argument("--longest-s", type=float, default=1_200.0)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    parts, bad = [], 0
    for part in (
        lambda: files(given.cases, given.workers, given.longest_s),
        bombs,
        lambda: parsers(given.examples),
    ):
        text, wrong = part()
        print(text, "\n", flush=True)
        parts.append(text)
        bad += wrong
    if given.record:
        record("fuzz", "Damaged and hostile files", "\n\n".join(parts), conditions=versions())
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
