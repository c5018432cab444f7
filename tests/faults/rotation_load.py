"""Rotation under load: processes and threads that read, write and erase, while others rotate and are killed.

    python tests/faults/rotation_load.py [--seconds 20] [--rows 12000] [--workers 2] [--threads 2] [--rotators 2]
                                         [--kills-per-s 3] [--seed 1]

Real key files and key stores. Workers make keys, open them again and compare, destroy some, and make and erase whole
people; every call that raises, and every key that is not what it was, is a failure. Rotators resume and rotate without
a pause, and the parent kills them with SIGKILL at random moments and starts new ones. At the end a newcomer finishes
what is left, and every key is looked for again: those that were kept, those that were destroyed, and those of a copy
of the key store that was made before. Prints one JSON object; exit code 1 where anything failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sottovoce.adapters.clock_system import SystemClock
from sottovoce.adapters.keys_local import LocalKeys
from sottovoce.adapters.keystore_sqlite import SqliteKeyStore
from sottovoce.errors import KeyUnavailable, SottovoceError
from sottovoce.usecases.keyring import Keyring, NewKey

BUSY_TIMEOUT_S = 5.0  # the default of the settings
FILL_BATCH = 2_000
FORK = multiprocessing.get_context("fork")


class Home:
    """A keyring over the files of a folder; closes its stores."""

    def __init__(self, folder: Path, *, kek: Path | None = None, ek_cache_s: float = 300.0) -> None:
        self.stores = [
            SqliteKeyStore(folder / name, busy_timeout_s=BUSY_TIMEOUT_S)
            for name in ("keys.db", "audio-keys.db")
        ]
        self.ring = Keyring(
            provider=LocalKeys(kek or folder / "kek"), long_lived=self.stores[0], short_lived=self.stores[1],
            random_bytes=os.urandom, clock=SystemClock(), epoch_days=30, ek_cache_s=ek_cache_s,
        )  # fmt: skip

    def __enter__(self) -> Keyring:
        return self.ring

    def __exit__(self, *_: object) -> None:
        for store in self.stores:
            store.close()


def digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


class Worker:
    """One thread: what it did, what it knows of its keys, and what failed."""

    def __init__(self, name: str, ring: Keyring, seed: int) -> None:
        self.name, self.ring, self.rng = name, ring, random.Random(f"{seed} {name}")
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.kept: dict[str, str] = {}
        self.gone: list[str] = []
        self.slowest_s = 0.0
        self.subject = f"sub_{name}"

    def run(self, until_s: float) -> None:
        self._once("make_subject", lambda: self.ring.make_subject(self.subject))
        verbs = [self.write] * 4 + [self.audio] * 2 + [self.read] * 6 + [self.erase] * 2 + [self.person]
        while time.monotonic() < until_s:
            verb = self.rng.choice(verbs)
            self._once(verb.__name__, verb)

    def _once(self, name: str, work: Any) -> None:
        began_s = time.monotonic()
        try:
            work()
        except SottovoceError as error:
            self.failures[f"{name}: {error.public_code}"] += 1
        except Exception as error:  # anything else is a failure too, and must not end the thread unseen
            self.failures[f"{name}: {type(error).__name__}"] += 1
        self.counts[name] += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)

    def write(self) -> None:
        self._make("record", "features")

    def audio(self) -> None:
        self._make("recording", "audio")

    def _make(self, kind: Any, key_class: str) -> None:
        key_id = f"{self.name}-{self.rng.getrandbits(64):016x}"
        self.kept[key_id] = digest(self.ring.new_key(NewKey(kind, key_class, self.subject, key_id)))

    def read(self) -> None:
        wanted = self.rng.sample(sorted(self.kept), min(3, len(self.kept)))
        for key_id, key in self.ring.open_keys(wanted).items():
            if digest(key) != self.kept[key_id]:
                raise ValueError("another key")

    def erase(self) -> None:
        if not self.kept:
            return
        key_id = self.rng.choice(sorted(self.kept))
        if self.ring.destroy([key_id]) != 1 or self.ring.exists(key_id):
            raise ValueError("not destroyed")
        del self.kept[key_id]
        self.gone.append(key_id)

    def person(self) -> None:
        subject = f"sub_{self.name}-{self.rng.getrandbits(64):016x}"
        self.ring.make_subject(subject)
        self.ring.new_key(NewKey("record", "insights", subject, f"{subject}-1"))
        if self.ring.destroy_subject(subject) != 6 or self.ring.holds_anything_of(subject):
            raise ValueError("not erased")
        self.gone.append(f"{subject}-1")


def work(folder: Path, number: int, threads: int, seconds: float, seed: int, out: Connection) -> None:
    """A worker process; odd ones ask the provider anew each time."""
    with Home(folder, ek_cache_s=0.0 if number % 2 else 300.0) as ring:
        workers = [Worker(f"w{number}t{thread}", ring, seed) for thread in range(threads)]
        until_s = time.monotonic() + seconds
        running = [threading.Thread(target=worker.run, args=(until_s,)) for worker in workers]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    out.send([
        (dict(w.counts), dict(w.failures), w.kept, w.gone, w.slowest_s) for w in workers
    ])  # fmt: skip


def rotate_for_ever(folder: Path) -> None:
    """A rotator process: it resumes, rotates, and begins again, until it is killed."""
    with Home(folder) as ring:
        while True:
            with suppress(SottovoceError):  # another rotator may hold a lock for longer than we wait
                ring.resume_rotation()
                ring.rotate()


def start(target: Any, *arguments: Any) -> Any:
    process = FORK.Process(target=target, args=arguments)
    process.start()
    return process


def prepare(folder: Path, rows: int) -> None:
    with Home(folder) as ring:
        ring.set_up()
        ring.make_subject("sub_ballast")
        for begin in range(0, rows, FILL_BATCH):
            ids = range(begin, min(rows, begin + FILL_BATCH))
            ring.new_keys([NewKey("record", "features", "sub_ballast", f"ballast-{n}") for n in ids])


def copy_keys(folder: Path, to: Path) -> None:
    """What a backup of the key store has: its file, and no KEK."""
    to.mkdir()
    for name in ("keys.db", "audio-keys.db"):
        shutil.copyfile(folder / name, to / name)


def opened_by_the_copy(copy: Path, kek: Path) -> int:
    """How many rows of the copy open with the KEKs that are left."""
    opened = 0
    with Home(copy, kek=kek) as ring:
        for row in list(ring.rows()):
            with suppress(KeyUnavailable):
                ring.open_key(row.key_id)
                opened += 1
    return opened


def load(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    home, rng = folder / "keys", random.Random(given.seed)
    home.mkdir()
    prepare(home, given.rows)
    copy_keys(home, folder / "before")
    before = opened_by_the_copy(folder / "before", home / "kek")
    pipes = [FORK.Pipe(duplex=False) for _ in range(given.workers)]
    workers = [
        start(work, home, number, given.threads, given.seconds, given.seed, pipe[1])
        for number, pipe in enumerate(pipes)
    ]
    rotators = [start(rotate_for_ever, home) for _ in range(given.rotators)]
    kills, until_s = 0, time.monotonic() + given.seconds
    while time.monotonic() < until_s:
        time.sleep(rng.expovariate(given.kills_per_s) if given.kills_per_s else given.seconds)
        if given.kills_per_s:
            number = rng.randrange(len(rotators))
            os.kill(rotators[number].pid, signal.SIGKILL)
            rotators[number].join()
            rotators[number] = start(rotate_for_ever, home)
            kills += 1
    answers = [answer for pipe in pipes for answer in pipe[0].recv()]
    for process in workers:
        process.join()
    for process in rotators:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
    return {
        "copy_opened_before": before,
        "kills": kills,
        **judged(home, folder / "before", answers, given.rows),
    }


def judged(home: Path, copy: Path, answers: list[Any], rows: int) -> dict[str, Any]:
    operations: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    with Home(home) as ring:
        ring.set_up()
        ring.resume_rotation()
        for counts, failed, kept, gone, _ in answers:
            operations.update(counts)
            failures.update(failed)
            keys = ring.open_keys(sorted(kept))
            failures["a key is not what it was"] += sum(digest(keys[one]) != kept[one] for one in kept)
            failures["a destroyed key is back"] += sum(map(ring.exists, gone))
        failures["a key was lost"] += rows - sum(row.key_id.startswith("ballast-") for row in ring.rows())
        epochs = {row.epoch for row in ring.rows()}
        failures["a row of an older epoch"] += len(epochs) - 1
        failures["a key of an older epoch at the provider"] += len(ring.provider.epochs()) - 1
        failures["a rotation is pending"] += ring.is_rotation_pending()
        ended = max(epochs) - 1
    return {
        "operations": sum(operations.values()), "by_kind": dict(sorted(operations.items())),
        "failures": {name: count for name, count in failures.items() if count}, "epochs_ended": ended,
        "slowest_s": round(max(answer[4] for answer in answers), 3),
        "copy_opened_after": opened_by_the_copy(copy, home / "kek"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rotators", type=int, default=2)
    parser.add_argument("--kills-per-s", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = load(given, Path(folder))
    json.dump(result, sys.stdout)
    sys.exit(1 if result["failures"] or result["copy_opened_after"] else 0)


if __name__ == "__main__":
    main()
