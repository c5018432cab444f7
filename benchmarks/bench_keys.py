"""Keys over time: the wall time of a rotation, its cost per key beside the bare primitive, and who waits meanwhile.

    python benchmarks/bench_keys.py [--rows 100000] [--rounds 3] [--record]

Bars: 100,000 subject keys re-wrapped in < 3 s wall (the median of the rounds); linear: a key costs at most 1.3x of
what it costs with a tenth of the rows. The store is the shipped one: synchronous FULL, secure_delete, journal
TRUNCATE. "Bare" is one AES-256-GCM-SIV decryption and one encryption of the same bytes, in the same run. A second
process writes keys while a rotation runs, and the time of each of its writes is told beside that without one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import cryptography
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from figures import record

from sottovoce.adapters.clock_system import SystemClock
from sottovoce.adapters.keys_local import LocalKeys
from sottovoce.adapters.keystore_sqlite import SqliteKeyStore
from sottovoce.model.keys import SUBJECT_KEY_CLASSES
from sottovoce.usecases.epochs import REWRAP_BATCH
from sottovoce.usecases.keyring import Keyring, NewKey, subject_key_id

BAR_S, BAR_LINEAR = 3.0, 1.3
KEYS_AT_ONCE = 5_000
WRAPPED_BYTES, AAD_BYTES = 60, 120  # of a subject key, and of where it stands
PAUSE_S = 0.002  # between two writes of the second process
FORK = multiprocessing.get_context("fork")


@contextmanager
def opened(folder: Path) -> Iterator[Keyring]:
    """The keyring of a folder, on the shipped adapters."""
    stores = [SqliteKeyStore(folder / name) for name in ("keys.db", "audio-keys.db")]
    try:
        yield Keyring(
            provider=LocalKeys(folder / "kek"), long_lived=stores[0], short_lived=stores[1],
            random_bytes=os.urandom, clock=SystemClock(),
        )  # fmt: skip
    finally:
        for store in stores:
            store.close()


def fill(keyring: Keyring, rows: int) -> None:
    """So many subject keys of the long-lived store."""
    classes = [name for name in SUBJECT_KEY_CLASSES if name != "audio"]
    for start in range(0, rows, KEYS_AT_ONCE):
        people = [
            f"sub_{number:024}"
            for number in range(start // len(classes), (start + KEYS_AT_ONCE) // len(classes))
        ]
        wanted = [(person, name) for person in people for name in classes][: rows - start]
        keyring.new_keys(
            [NewKey("subject", name, person, subject_key_id(person, name)) for person, name in wanted]
        )


def rotations(rows: int, rounds: int) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of each rotation over so many rows."""
    walls, cpus = [], []
    with tempfile.TemporaryDirectory() as name, opened(Path(name)) as keyring:
        keyring.set_up()
        fill(keyring, rows)
        for _ in range(rounds):
            os.sync()  # what filling left to be written is not the rotation's
            cpu_s = time.process_time()
            walls.append(timed(keyring.rotate))
            cpus.append(time.process_time() - cpu_s)
    return walls, cpus


def bare_s() -> float:
    """Seconds of CPU time of one decryption and one encryption, the best of five turns."""
    old, new, aad = AESGCMSIV(os.urandom(32)), AESGCMSIV(os.urandom(32)), os.urandom(AAD_BYTES)
    nonce = os.urandom(12)
    wrapped = old.encrypt(nonce, os.urandom(WRAPPED_BYTES - 28), aad)
    best, count = float("inf"), 20_000
    for _ in range(5):
        cpu_s = time.process_time()
        for _ in range(count):
            new.encrypt(nonce, old.decrypt(nonce, wrapped, aad), aad)
        best = min(best, (time.process_time() - cpu_s) / count)
    return best


def writes(folder: Path, begun: Event, end: Event, out: Connection) -> None:
    """A second process: one key after the other, and how long each took."""
    took: list[float] = []
    with opened(folder) as keyring:
        keyring.make_subject("sub_writer")
        begun.set()
        while not end.is_set():
            key = NewKey("record", "features", "sub_writer", f"w{len(took)}")
            took.append(timed(lambda key=key: keyring.new_key(key)))  # type: ignore[misc]
            time.sleep(PAUSE_S)
    out.send(took)


def writes_beside(rows: int, work: Callable[[Keyring], object]) -> list[float]:
    """Milliseconds of each write of a second process while `work` runs here, ascending."""
    with tempfile.TemporaryDirectory() as name, opened(Path(name)) as keyring:
        keyring.set_up()
        fill(keyring, rows)
        begun, end, (receiving, sending) = FORK.Event(), FORK.Event(), FORK.Pipe(duplex=False)
        other = FORK.Process(target=writes, args=(Path(name), begun, end, sending))
        other.start()
        begun.wait()
        work(keyring)
        end.set()
        took: list[float] = receiving.recv()
        other.join()
    return sorted(1e3 * seconds for seconds in took)


def timed(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def spread(took_ms: list[float]) -> str:
    """Median, 99 of 100, and the slowest."""
    slow = took_ms[min(len(took_ms) - 1, int(0.99 * len(took_ms)))]
    return f"{statistics.median(took_ms):.1f} / {slow:.0f} / {took_ms[-1]:.0f} ms of {len(took_ms)} writes"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="write docs/reference/figures.md")
    given = parser.parse_args()
    before = os.getloadavg()[0]
    walls, cpus = rotations(given.rows, given.rounds)
    tenth, _ = rotations(given.rows // 10, given.rounds)
    bare, wall_s = bare_s(), statistics.median(walls)
    linear = (wall_s / given.rows) / (statistics.median(tenth) / (given.rows // 10))
    alone = writes_beside(given.rows // 2, lambda _: time.sleep(3))
    beside = writes_beside(given.rows // 2, lambda keyring: (keyring.rotate(), keyring.rotate()))
    after = os.getloadavg()[0]
    met = wall_s < BAR_S and linear <= BAR_LINEAR
    each = ", ".join(f"{seconds:.2f}" for seconds in walls)
    table = "\n".join(
        [
            "| what | figure |",
            "|---|---|",
            f"| rotation over {given.rows:,} live subject keys, median of {given.rounds} | {wall_s:.2f} s wall"
            f" (bar: < {BAR_S:.0f} s{' for 100,000' if given.rows != 100_000 else ''}; each: {each}) |",
            f"| of it CPU time | {statistics.median(cpus):.2f} s |",
            f"| a key, beside one bare decryption and encryption | {1e6 * statistics.median(cpus) / given.rows:.1f} us"
            f" of CPU time, {statistics.median(cpus) / given.rows / bare:.1f}x |",
            f"| a key, beside a tenth of the rows | {linear:.2f}x wall (bar: <= {BAR_LINEAR}x) |",
            f"| writes of a second process, no rotation: median / 99 % / slowest | {spread(alone)} |",
            f"| the same while two rotations over {given.rows // 2:,} keys run | {spread(beside)} |",
        ]
    )
    words = (
        f"load average {before:.2f} before and {after:.2f} after; cryptography {cryptography.__version__}, "
        f"SQLite {sqlite3.sqlite_version}, at most {REWRAP_BATCH:,} rows in one transaction"
    )
    print(table, f"\nConditions: {words}.", "" if met else "\nA bar was missed.")
    if given.record:
        record("keys", "Keys over time", table, conditions=words)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
