"""Rotation under load in the whole hall: people are recorded, shown and erased while the keys of their home rotate.

    python tests/faults/rotation_hall_load.py [--seconds 15] [--workers 2] [--threads 2] [--kills-per-s 0.7] [--seed 1]

As rotation_load.py, with platforms on one real home in place of keyrings: workers grant, analyse, submit and work off,
show what they kept, and erase sessions and whole people; a rotator opens the home, rotates again and again, and is
killed with SIGKILL at random moments. Then a newcomer opens the home, sweeps, shows everything that was kept, and asks
`fsck` and the audit log. The extractor is a stand-in that answers at once. Prints one JSON object; exit code 1 where
anything failed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sottovoce import app
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.errors import NotFound, SottovoceError, StorageError
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.settings import Settings
from sottovoce.usecases import epochs

PURPOSES = ("voice_recording", "voice_analysis", "data_retention_30_days")
FORK = multiprocessing.get_context("fork")
PATIENCE_S = 60.0  # until a recording that was submitted has its result
ROWS_AT_ONCE = 5  # few rows in a transaction: many moments to be killed at


class InstantExtractor(InlineExtractor):
    """Answers at once."""

    def level(self) -> Any:
        return "rlimits"

    def extract(self, _source: Any, _options: Any) -> Extraction:
        vector = FeatureVector(tuple(20.0 + i for i in range(88)), "compat", "load", 16_000)
        return Extraction(vector, Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16_000, 1, "0"))

    def close(self) -> None:
        return


def opened(home: Path) -> app.Platform:
    settings = Settings(home=home)
    adapters = app.connect(settings)
    adapters.extractor.close()
    return app.assemble(replace(adapters, extractor=InstantExtractor()), settings)


class Worker:
    """One thread: what it did, what it keeps, and what failed."""

    def __init__(self, name: str, platform: app.Platform, source: Path, seed: int) -> None:
        self.name, self.platform, self.source = name, platform, source
        self.rng, self.people = random.Random(f"{seed} {name}"), 0
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.kept: dict[str, str] = {}  # session -> person
        self.gone: list[str] = []

    def run(self, until_s: float) -> None:
        self._once("meet", self.meet)
        verbs = [self.analyze] * 3 + [self.submit] * 2 + [self.show] * 5 + [self.erase_session, self.erase]
        while time.monotonic() < until_s:
            verb = self.rng.choice(verbs)
            self._once(verb.__name__, verb)

    def _once(self, name: str, work: Any) -> None:
        try:
            work()
        except SottovoceError as error:
            self.failures[f"{name}: {error.public_code}"] += 1
        except Exception as error:  # anything else is a failure too, and must not end the thread unseen
            self.failures[f"{name}: {type(error).__name__}"] += 1
        self.counts[name] += 1

    @property
    def person(self) -> str:
        return f"{self.name}-{self.people}"

    def meet(self) -> None:
        self.people += 1
        self.platform.grant(subject=self.person, purposes=PURPOSES)

    def analyze(self) -> None:
        done = self.platform.analyze(self.source, subject=self.person)
        self.kept[done.session_id] = self.person

    def submit(self) -> None:
        session = self.platform.submit(self.source, subject=self.person).session_id
        until_s = time.monotonic() + PATIENCE_S
        while not self._has_ended(session):  # whoever works takes what is next: it may be in another's hands
            if self.platform.work_next() is None:
                time.sleep(0.01)
            if time.monotonic() > until_s:
                raise TimeoutError
        self.kept[session] = self.person

    def _has_ended(self, session: str) -> bool:
        views = self.platform.sessions(subject=self.person)
        return any(view.session_id == session and view.state == "verified" for view in views)

    def show(self) -> None:
        if self.kept:
            self.platform.show(self.rng.choice(sorted(self.kept)), purpose="subject_access")

    def erase_session(self) -> None:
        if self.kept:
            session = self.rng.choice(sorted(self.kept))
            person = self.kept.pop(session)
            self._erase(subject=person, session_id=session)
            self.gone.append(session)

    def _erase(self, **whom: Any) -> None:
        """Until it is done: a reader may keep the database's log from being cut for longer than an erasure waits."""
        while True:
            try:
                self.platform.erase(**whom)
                return
            except StorageError as error:
                if error.reason != "storage_busy":
                    raise
                self.counts["erasure resumed"] += 1

    def erase(self) -> None:
        person = self.person
        self._erase(subject=person)
        self.gone += [session for session, whose in self.kept.items() if whose == person]
        self.kept = {session: whose for session, whose in self.kept.items() if whose != person}
        self.meet()


def work(home: Path, source: Path, number: int, given: argparse.Namespace, out: Connection) -> None:
    with opened(home) as platform:
        workers = [
            Worker(f"w{number}t{thread}", platform, source, given.seed) for thread in range(given.threads)
        ]
        until_s = time.monotonic() + given.seconds
        running = [threading.Thread(target=worker.run, args=(until_s,)) for worker in workers]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    out.send([(dict(w.counts), dict(w.failures), list(w.kept), w.gone) for w in workers])


def rotate_for_ever(home: Path) -> None:
    epochs.REWRAP_BATCH = ROWS_AT_ONCE
    with opened(home) as platform:
        while True:
            with suppress(SottovoceError):
                platform.rotate_keys()


def start(target: Any, *arguments: Any) -> Any:
    process = FORK.Process(target=target, args=arguments)
    process.start()
    return process


def load(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    home, source, rng = folder / "home", folder / "clip.wav", random.Random(given.seed)
    source.write_bytes(b"RIFF" + bytes(2_000))
    opened(home).close()
    pipes = [FORK.Pipe(duplex=False) for _ in range(given.workers)]
    workers = [start(work, home, source, number, given, pipe[1]) for number, pipe in enumerate(pipes)]
    rotator, kills, until_s = start(rotate_for_ever, home), 0, time.monotonic() + given.seconds
    while time.monotonic() < until_s:
        time.sleep(rng.expovariate(given.kills_per_s))
        os.kill(rotator.pid, signal.SIGKILL)
        rotator.join()
        rotator, kills = start(rotate_for_ever, home), kills + 1
    answers = [answer for pipe in pipes for answer in pipe[0].recv()]
    for process in workers:
        process.join()
    os.kill(rotator.pid, signal.SIGKILL)
    rotator.join()
    return {"kills": kills + 1, **judged(home, answers)}


def judged(home: Path, answers: list[Any]) -> dict[str, Any]:
    operations: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    with opened(home) as platform:
        while platform.work_next() is not None:
            pass
        failures.update(f"sweep: {code}" for code in platform.sweep().errors)
        for counts, failed, kept, gone in answers:
            operations.update(counts)
            failures.update(failed)
            for session in kept:
                shown = platform.show(session, purpose="subject_access")
                failures["what was kept does not open"] += shown.features is None
            for session in gone:
                with suppress(NotFound):
                    platform.show(session, purpose="subject_access")
                    failures["what was erased is back"] += 1
        report = platform.fsck()
        failures.update(f"fsck: {finding.code}" for finding in report.findings)
        failures["the audit log does not verify"] += not platform.verify_audit().intact
        status = platform.keys_status()
        failures["a rotation is pending"] += status.rotation_pending
    return {
        "operations": sum(operations.values()), "by_kind": dict(sorted(operations.items())),
        "kept": sum(len(answer[2]) for answer in answers), "epochs_ended": status.epoch - 1,
        "failures": {name: count for name, count in failures.items() if count},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kills-per-s", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = load(given, Path(folder))
    json.dump(result, sys.stdout)
    sys.exit(1 if result["failures"] else 0)


if __name__ == "__main__":
    main()
