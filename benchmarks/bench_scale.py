"""Whether what a person may ask for gets slower as others are stored: erasure, sweep, export, re-wrapping of keys.

    python benchmarks/bench_scale.py [--quick] [--record]

Homes of two sizes are filled with copies of real rows, then the same thing is done in each, turn about in one run.
Bars: erasing one person among 100,000 sessions <= 1.2x of among 1,000; the sweep that open() does, with 100 records
due among 400,000, <= 1.5x of among 10,000; export linear in the person's own sessions; 100,000 subject keys
re-wrapped in < 3 s. `--quick` uses a tenth of everything and has no bars.
"""

from __future__ import annotations

import argparse
import sqlite3
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

from sottovoce.adapters.clock_system import OsEntropy
from sottovoce.model.ids import new_id
from sottovoce.model.subject import Caller
from sottovoce.usecases.keyring import NewKey

ROUNDS = 25
DUE = 100
KEYS_AT_ONCE = 5_000
PER_PERSON = 30  # sessions of each person that fills a home
COPIED = ("recordings", "records", "decisions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    part = 10 if arguments.quick else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            *erasing(folder, 1_000 // part, 100_000 // part),
            *sweeping(folder, 10_000 // part, 400_000 // part),
            *exporting(folder, 40, 400),
            rewrapping(folder, 100_000 // part),
        ]
    table = "\n".join(["| what | figure | bar |", "|---|---|---|", *rows])
    print(table)
    if arguments.record:
        record("bench-scale", "A person among many", table, conditions=f"medians of {ROUNDS}, turn about")


def row(what: str, figure: str, bar: str = "", *, met: bool | None = None) -> str:
    verdict = "" if met is None else ("met " if met else "MISSED ")
    return f"| {what} | {figure} | {verdict}{bar} |"


def erasing(folder: Path, few: int, many: int) -> list[str]:
    """One person, erased among few and among many sessions."""
    homes = {size: filled(folder / f"erase-{size}", sessions=size) for size in (few, many)}
    source = clip(folder)
    times: dict[int, list[float]] = {few: [], many: []}
    for number in range(ROUNDS):
        for size, platform in homes.items():
            platform.grant(subject=f"anna-{number}", purposes=PURPOSES)
            platform.analyze(source, subject=f"anna-{number}")
            times[size].append(seconds(platform.erase, subject=f"anna-{number}"))
    for platform in homes.values():
        platform.close()
    one, two = statistics.median(times[few]), statistics.median(times[many])
    return [
        row(f"erasing a person among {few:,} sessions", f"{one * 1e3:.1f} ms"),
        row(
            f"erasing a person among {many:,} sessions", f"{two * 1e3:.1f} ms, {two / one:.2f}x", "(<= 1.2x)",
            met=two / one <= 1.2,
        ),
    ]  # fmt: skip


def sweeping(folder: Path, few: int, many: int) -> list[str]:
    """The sweep that open() does, with as many records due in both."""
    homes = {size: filled(folder / f"sweep-{size}", sessions=size // 3) for size in (few, many)}
    times: dict[int, list[float]] = {few: [], many: []}
    for _ in range(ROUNDS):
        for size, platform in homes.items():
            make_due(platform.home / "sottovoce.db", DUE)
            times[size].append(seconds(platform._sweep.overdue, caller=caller()))
    for platform in homes.values():
        platform.close()
    one, two = statistics.median(times[few]), statistics.median(times[many])
    return [
        row(f"sweep, {DUE} due among {few:,} records", f"{one * 1e3:.1f} ms"),
        row(
            f"sweep, {DUE} due among {many:,} records", f"{two * 1e3:.1f} ms, {two / one:.2f}x", "(<= 1.5x)",
            met=two / one <= 1.5,
        ),
    ]  # fmt: skip


def exporting(folder: Path, few: int, many: int) -> list[str]:
    """Everything of a person with few sessions, and of one with many."""
    platform, source = opened(folder / "export"), clip(folder)
    for name, count in (("few", few), ("many", many)):
        platform.grant(subject=name, purposes=PURPOSES)
        for _ in range(count):
            platform.analyze(source, subject=name)
    times: dict[str, list[float]] = {"few": [], "many": []}
    for number in range(3):
        for name, found in times.items():
            out = folder / f"{name}-{number}.zip"
            found.append(seconds(platform.export_person, subject=name, out=out))
    platform.close()
    one, two = statistics.median(times["few"]) / few, statistics.median(times["many"]) / many
    return [
        row(f"export of a person with {few} sessions", f"{one * 1e3:.2f} ms a session"),
        row(
            f"export of a person with {many} sessions", f"{two * 1e3:.2f} ms a session, {two / one:.2f}x",
            "(linear: <= 1.2x)", met=two / one <= 1.2,
        ),
    ]  # fmt: skip


def rewrapping(folder: Path, count: int) -> str:
    """A rotation of a home with many keys, from beginning to end."""
    platform = opened(folder / "rotate")
    fill_keys(platform, count)
    taken = seconds(platform.rotate_keys)
    platform.close()
    return row(f"{count:,} keys re-wrapped", f"{taken:.2f} s", "(< 3 s)", met=taken < 3)


def seconds(work: Callable[..., Any], *arguments: Any, **named: Any) -> float:
    started = time.perf_counter()
    work(*arguments, **named)
    return time.perf_counter() - started


def caller() -> Caller:
    return Caller(actor="bench", channel="bench")


# --- filling ------------------------------------------------------------------------------------------------


def filled(home: Path, *, sessions: int) -> Any:
    """A home with one real session, copied until there are so many, each copy with keys of its own."""
    home.parent.mkdir(exist_ok=True)
    platform = opened(home)
    platform.grant(subject="template", purposes=PURPOSES)
    source = clip(home.parent)
    platform.analyze(source, subject="template")
    copy_rows(home / "sottovoce.db", sessions)
    fill_keys(platform, 3 * sessions)
    return platform


def copy_rows(path: Path, sessions: int) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        people = max(1, sessions // PER_PERSON)
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        columns = names(db, "subjects")
        new = {"id": "'sub_' || i", "blind_index": "'blind' || i"}
        db.execute(numbers + select_into("subjects", columns, new), (people,))
        for table in COPIED:
            columns = names(db, table)
            new = {
                "id": f"'{table}_' || i || '_' || t.id", "subject_id": f"'sub_' || (1 + i % {people})",
                "session_id": "'recordings_' || i || '_' || t.session_id", "idempotency": "NULL",
            }  # fmt: skip
            db.execute(numbers + select_into(table, columns, new), (sessions,))


def names(db: sqlite3.Connection, table: str) -> list[str]:
    return [str(info[1]) for info in db.execute(f"PRAGMA table_info({table})")]


def select_into(table: str, columns: list[str], new: dict[str, str]) -> str:
    chosen = ", ".join(new.get(column, f"t.{column}") for column in columns)
    listed = ", ".join(columns)
    return f"INSERT INTO {table} ({listed}) SELECT {chosen} FROM n, (SELECT * FROM {table}) t"


def make_due(path: Path, count: int) -> None:
    """The features of one session each of so many people are past their promise."""
    past = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    with sqlite3.connect(path) as db:
        query = """
            SELECT max(id) FROM records WHERE kind = 'features' AND expires_at > ? AND id LIKE 'records%'
            GROUP BY subject_id LIMIT ?
        """
        ids = db.execute(query, (past, count)).fetchall()
        db.executemany(f"UPDATE records SET expires_at = {past} WHERE id = ?", ids)


def fill_keys(platform: Any, count: int) -> None:
    """Real keys of records that nobody has, in batches."""
    random_bytes = OsEntropy()
    subject = new_id("subject", random_bytes)
    platform.keyring.make_subject(subject)
    for start in range(0, count, KEYS_AT_ONCE):
        platform.keyring.new_keys(
            [
                NewKey(
                    key_id=new_id("record", random_bytes),
                    kind="record",
                    key_class="features",
                    subject_id=subject,
                )
                for _ in range(min(KEYS_AT_ONCE, count - start))
            ]
        )


if __name__ == "__main__":
    main()
