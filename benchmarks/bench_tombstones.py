"""What the tombstones cost: an entry, a whole withdrawal and erasure beside it, and the walk over the file at opening.

    python benchmarks/bench_tombstones.py [--entries 20000] [--record]

On the disk of the temporary folder. The price of one fsync of a small append is measured in the same run: an entry is
that, and a little computing. No bars.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from bench_path import PURPOSES, clip, opened
from figures import record

from sottovoce.adapters.tombstones_file import FileTombstones
from sottovoce.model.ids import new_id
from sottovoce.model.tombstones import TombstoneEntry, TombstoneKind

ROUNDS, PEOPLE, WALKS, BATCH = 300, 40, 5, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=20_000, help="in the file that is walked")
    parser.add_argument("--record", action="store_true", help="write the table to docs/reference/figures.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [*entries(folder), *promises(folder), *walking(folder, given.entries)]
    table = "\n".join(
        ["| what | wall, median | wall, fastest | processor, median |", "|---|---:|---:|---:|", *rows]
    )
    print(table)
    if given.record:
        conditions = (
            f"{ROUNDS} entries, {PEOPLE} people, {WALKS} walks; load {os.getloadavg()[0]:.0f} at the end"
        )
        record("tombstones", "What the tombstones cost", table, conditions=conditions)


def entries(folder: Path) -> list[str]:
    file = FileTombstones(folder / "tombstones.log")
    plain = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def fsynced() -> None:
        os.write(plain, bytes(270))
        os.fsync(plain)

    return [
        row("one fsync of 270 appended bytes", [timed(fsynced) for _ in range(ROUNDS)]),
        row("one entry", [timed(lambda: file.append([entry()])) for _ in range(ROUNDS)]),
    ]


def promises(folder: Path) -> list[str]:
    """Whole verbs of a home, with everything that they do beside."""
    platform, source = opened(folder / "home"), clip(folder)
    withdrawn, erased = [], []
    for number in range(PEOPLE):
        subject = f"person {number}"
        platform.grant(subject=subject, purposes=PURPOSES)
        platform.analyze(source, subject=subject)
        withdrawn.append(timed(lambda: platform.withdraw(subject=subject, purposes=PURPOSES[1:2])))  # noqa: B023
        erased.append(timed(lambda: platform.erase(subject=subject)))  # noqa: B023
    platform.close()
    return [row("a whole withdrawal", withdrawn), row("a whole erasure", erased)]


def walking(folder: Path, count: int) -> list[str]:
    file = FileTombstones(folder / "long.log")
    for start in range(0, count, BATCH):
        file.append([entry() for _ in range(min(BATCH, count - start))])
    walked = [timed(lambda: sum(1 for _ in file.chain())) for _ in range(WALKS)]
    return [row(f"the walk over {count:,} entries, as at every opening", walked)]


def entry() -> TombstoneEntry:
    return TombstoneEntry(
        kind=TombstoneKind.SUBJECT_ERASED, at=datetime.now(UTC), subject_id=new_id("subject", os.urandom),
        request_id=new_id("request", os.urandom),
    )  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds of wall and of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def row(what: str, times: list[tuple[float, float]]) -> str:
    walls, cpus = zip(*times, strict=True)
    return f"| {what} | {statistics.median(walls):.2f} ms | {min(walls):.2f} ms | {statistics.median(cpus):.2f} ms |"


if __name__ == "__main__":
    main()
