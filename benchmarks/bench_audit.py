"""What the audit log costs and what it can take.

    python benchmarks/bench_audit.py [--events 1000000] [--seconds 4] [--record]

Durable read events: the entry of a read, details sealed, committed by the group commit before anything is released, on
a real home (SQLite, WAL, synchronous=FULL) on the disk of the temporary folder, with numbering, tree and checkpoints
running beside as they do in a process that serves. Bars: >= 5,000 events/s with 16 callers, p99 < 50 ms; 1,000,000
events verified in < 10 s of CPU; an inclusion proof checked in <= 20 us at 2^17; analysing costs <= 3 % more than with
a log that does nothing. Absolute figures depend on the machine; the disk's own price is printed beside.
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from figures import record

from sottovoce import app
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.audit import chain, tree
from sottovoce.audit.rows import canonical_row, event_row
from sottovoce.errors import SottovoceError
from sottovoce.model.event import AuditEvent
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.log import EventRow
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings

PURPOSES = ("voice_recording", "voice_analysis", "data_retention_30_days")
CALLER = Caller(actor="bench", channel="bench")
CALLERS = (1, 16)


class InstantExtractor(InlineExtractor):
    """Answers at once."""

    def level(self) -> str:
        return "rlimits"

    def extract(self, _source: Any, _options: Any) -> Extraction:
        vector = FeatureVector(
            values=tuple(20.0 + i for i in range(88)),
            profile="compat",
            version="bench",
            sample_rate_hz=16_000,
        )
        return Extraction(vector, Quality(30.0, 2000, 0.0, 30.0, "wav/pcm_16", 16_000, 1, "0"))

    def close(self) -> None:
        return


def opened(home: Path) -> app.Platform:
    settings = Settings(home=home)
    adapters = app.connect(settings)
    adapters.extractor.close()
    return app.assemble(replace(adapters, extractor=InstantExtractor()), settings)


def p99_ms(values: list[float]) -> float:
    return 1e3 * sorted(values)[int(0.99 * (len(values) - 1))]


# --- durable read events -----------------------------------------------------------------------------------


def hammered(work: Callable[[], object], callers: int, seconds: float) -> tuple[float, list[float]]:
    """Calls per second and the time of each call, `callers` threads calling as fast as they are answered."""
    times: list[list[float]] = [[] for _ in range(callers)]
    end = time.perf_counter() + seconds

    def call(mine: list[float]) -> None:
        while (before := time.perf_counter()) < end:
            work()
            mine.append(time.perf_counter() - before)

    threads = [threading.Thread(target=call, args=(mine,)) for mine in times]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [one for mine in times for one in mine]
    return len(every) / (time.perf_counter() - started), every


def read_events(folder: Path, seconds: float) -> list[tuple[str, int, float, float]]:
    """(what, callers, per second, p99 ms): the entry of a read alone, and the whole verb `show`."""
    rows = []
    with opened(folder / "home") as platform:
        platform.grant(subject="anna", purposes=PURPOSES)
        source = folder / "clip.wav"
        source.write_bytes(b"RIFF")
        session = platform.analyze(source, subject="anna").session_id
        with platform._adapters.database.read() as tx:
            person = platform._trail.of(tx.recordings.get(session).subject_id, caller=CALLER).warm(tx.now())
        reads = platform._disclosure.reads

        def entry() -> None:
            reads.run(
                lambda tx: person.write(tx, "record.read", purpose="bench", details={"session": session})
            )

        for callers in CALLERS:
            rate, times = hammered(entry, callers, seconds)
            rows.append(("durable read event", callers, rate, p99_ms(times)))
        for callers in CALLERS:
            rate, times = hammered(lambda: platform.show(session, purpose="subject_access"), callers, seconds)
            rows.append(("whole `show`, opened and returned", callers, rate, p99_ms(times)))
        if not platform.verify_audit().intact:
            raise SystemExit("the log does not verify")
    return rows


def durable_commits(folder: Path, seconds: float) -> float:
    """The disk's own price: one row, one durable commit, as often as it goes."""
    db = sqlite3.connect(folder / "probe.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("CREATE TABLE t (x)")
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        db.execute("INSERT INTO t VALUES (1)")
        count += 1
    return count / seconds


# --- verification and proofs -------------------------------------------------------------------------------


COLUMNS = (
    "id, tenant, at, kind, actor, channel, pseudonym, purpose, outcome, "
    "details_key_id, details, leaf, sequence, link"
)
PAGE = 5000


def entries(first: int, count: int, link: bytes) -> list[EventRow]:
    """Plain rows of a numbered log, as they are stored: entries `first` to `first + count - 1`, after `link`."""
    start, rows = datetime(2026, 3, 1, tzinfo=UTC), []
    for n in range(first, first + count):
        event = AuditEvent(
            id=f"evt_{n:024d}", tenant="default", at=start + timedelta(milliseconds=n), kind="record.read",
            actor="operator", channel="library", pseudonym=f"{n % 977:064x}", purpose="voice_analysis",
            outcome="ok", details_key_id=f"aud:{n % 977:032x}", details=b"\x01" * 120,
        )  # fmt: skip
        row = event_row(event)
        leaf = chain.leaf_of(canonical_row(row))
        link = chain.chain_link(link, leaf)
        rows.append((*row[:11], leaf, n, link))
    return rows


def verification(folder: Path, count: int) -> tuple[float, float, float]:
    """CPU seconds of `audit verify` on a home with so many entries, those of hashing alone, bytes an event."""
    home = folder / "big"
    opened(home).close()
    path = home / "sottovoce.db"
    before = path.stat().st_size
    db = sqlite3.connect(path)
    marks = ",".join("?" * 14)
    link, hashing_s = chain.GENESIS, 0.0
    for first in range(1, count + 1, PAGE):
        rows = entries(first, min(PAGE, count + 1 - first), link)
        link = rows[-1][13] or b""
        db.executemany(f"INSERT INTO events ({COLUMNS}) VALUES ({marks})", rows)
        started = time.process_time()
        for row in rows:
            chain.chain_link(link, chain.leaf_of(canonical_row(row)))
        hashing_s += time.process_time() - started
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    size = (path.stat().st_size - before) / count
    with opened(home) as platform:  # makes the tree of a home that has none
        started = time.process_time()
        report = platform.verify_audit()
        whole_s = time.process_time() - started
    if not report.intact or report.events < count:
        raise SystemExit("the log does not verify")
    return whole_s, hashing_s, size


def proofs(size: int = 1 << 17) -> tuple[float, float]:
    """Microseconds to check and to build an inclusion proof (nodes in memory)."""
    leaves = [hashlib.sha256(b"%d" % n).digest() for n in range(size)]
    levels: dict[int, list[bytes]] = {0: leaves}
    frontier = tree.Frontier()
    for node in frontier.extend(leaves):
        levels.setdefault(node.level, []).append(node.hash)
    root = frontier.root()
    indexes = [i * 7919 % size for i in range(400)]

    def read(level: int, start: int, end: int) -> list[bytes]:
        return levels[level][start:end]

    started = time.perf_counter()
    made = [tree.prove_inclusion(i, size, read) for i in indexes]
    build_us = 1e6 * (time.perf_counter() - started) / len(indexes)
    best = min(_check_us(leaves, indexes, made, size, root) for _ in range(5))
    return best, build_us


def _check_us(
    leaves: list[bytes], indexes: list[int], made: list[list[bytes]], size: int, root: bytes
) -> float:
    started = time.perf_counter()
    for i, proof in zip(indexes, made, strict=True):
        if not tree.verify_inclusion(leaves[i], i, size, proof, root):
            raise SystemExit("a proof does not verify")
    return 1e6 * (time.perf_counter() - started) / len(indexes)


# --- the cost of the log in `analyze` ----------------------------------------------------------------------


def analyze_cost(folder: Path, runs: int, *, seconds: int) -> tuple[float, float]:
    """Median ms of `analyze` (real sealed child, the bundled recording, repeated) with the log and with one that does
    nothing. Taken in turns, so that whatever else the machine does meets both."""
    source = _clip(folder, seconds)
    times: dict[bool, list[float]] = {True: [], False: []}
    platforms = {}
    for logged in (True, False):
        settings = Settings(home=folder / f"log-{logged}-{seconds}")
        platforms[logged] = app.assemble(app.connect(settings), settings)
        platforms[logged].grant(subject="anna", purposes=PURPOSES)
        if not logged:
            _silence(platforms[logged])
        platforms[logged].analyze(source, subject="anna")
    for _ in range(runs):
        for logged, platform in platforms.items():
            started = time.perf_counter()
            platform.analyze(source, subject="anna")
            times[logged].append(1e3 * (time.perf_counter() - started))
    for platform in platforms.values():
        try:
            platform.close()
        except SottovoceError as error:
            raise SystemExit(str(error)) from None
    return statistics.median(times[True]), statistics.median(times[False])


def _clip(folder: Path, seconds: int) -> Path:
    samples, rate = soundfile.read(Path(str(files("sottovoce"))) / "data" / "jfk.flac", dtype="int16")
    path = folder / f"{seconds}.wav"
    soundfile.write(path, np.tile(samples, 1 + seconds * rate // len(samples))[: seconds * rate], rate)
    return path


def _silence(platform: app.Platform) -> None:
    """A log that does nothing: no entry is made, sealed, written or numbered."""

    class Mute:
        subject_id = pseudonym = None

        def write(self, *_: object, **__: object) -> str:
            return ""

        def warm(self, _at: object) -> Mute:
            return self

    trail = platform._trail
    object.__setattr__(trail, "of", lambda *_, **__: Mute())
    object.__setattr__(platform, "_number", lambda: None)


# --- the table ---------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--only", choices=["rate", "verify", "proof", "analyze"])
    parser.add_argument("--record", action="store_true", help="write the table to docs/reference/figures.md")
    given = parser.parse_args()
    lines = ["| what | figure | bar |", "|---|---|---|"]
    kept: list[bool] = []

    def say(what: str, figure: str, bar: str = "", ok: bool = True) -> None:
        lines.append(f"| {what} | {figure} | {bar}{'' if ok else ' MISSED'} |")
        print(lines[-1], flush=True)
        kept.append(ok)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.only in (None, "rate"):
            for what, callers, rate, p99 in read_events(folder, given.seconds):
                bar = what.startswith("durable") and callers == 16
                figure = f"{rate:,.0f}/s, p99 {p99:.1f} ms"
                say(f"{what}, {callers} callers", figure, ">= 5,000/s, p99 < 50 ms" if bar else "",
                    not bar or (rate >= 5000 and p99 < 50))  # fmt: skip
            say(
                "for comparison: durable commits of one row",
                f"{durable_commits(folder, given.seconds / 2):,.0f}/s",
            )
        if given.only in (None, "verify"):
            whole_s, hashing_s, size = verification(folder, given.events)
            bar_s = 10.0 * given.events / 1e6
            say(
                f"verifying {given.events:,} events",
                f"{whole_s:.2f} s of CPU",
                f"< {bar_s:g} s",
                whole_s < bar_s,
            )
            say("of that, leaves and links alone", f"{hashing_s:.2f} s of CPU")
            say("bytes of an event in the database", f"{size:.0f}")
        if given.only in (None, "proof"):
            check_us, build_us = proofs()
            say("checking an inclusion proof at 2^17", f"{check_us:.1f} us", "<= 20 us", check_us <= 20)
            say("building it, nodes in memory", f"{build_us:.0f} us")
        if given.only in (None, "analyze"):
            for seconds in (11, 30):
                logged, mute = analyze_cost(folder, given.runs, seconds=seconds)
                cost = 100 * (logged - mute) / mute
                what = f"`analyze` of {seconds} s with the log / without"
                judged = seconds == 30  # the design's unit of a recording
                figure = f"{logged:.1f} ms / {mute:.1f} ms: {cost:+.1f} %"
                say(what, figure, "<= 3 %" if judged else "", cost <= 3 or not judged)
    if given.record:
        record(
            "bench-audit", "The audit log", "\n".join(lines),
            conditions=f"{given.seconds:g} s per rate, {given.runs} runs of analyze, SQLite {sqlite3.sqlite_version}",
        )  # fmt: skip
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
