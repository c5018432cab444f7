"""Several processes on one home, and a great many things due at once: real SQLite, real processes.

    python tests/faults/crowds.py dead-workers
    python tests/faults/crowds.py two-workers [--count N]
    python tests/faults/crowds.py two-sweepers [--count N]
    python tests/faults/crowds.py expire [--count N]

Prints one JSON object of what was seen. The extractor is a stand-in that reads what it is given and writes down that it
was asked. Forks only, single-threaded.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sottovoce import app
from sottovoce.adapters.database import SqliteDatabase, schema
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.errors import SottovoceError
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.recording import RecordingState
from sottovoce.ports import Descriptor, SealedBody
from sottovoce.sealing import envelope
from sottovoce.settings import Settings
from sottovoce.usecases import retention
from sottovoce.usecases.keyring import NewKey

ALL = ("voice_recording", "voice_analysis", "data_retention_30_days")
AUDIO = b"RIFF" + bytes(range(256)) * 40
FOLDER: list[Path] = []


class Reading(InlineExtractor):
    """Opens what it is given, writes down that it was asked, and takes its time; `stuck` never answers."""

    def __init__(self, log: Path, *, takes_s: float = 0.0, stuck: bool = False) -> None:
        self.log, self.takes_s, self.stuck = log, takes_s, stuck

    def level(self) -> str:
        return "rlimits"

    def extract(self, source: Descriptor | SealedBody, options: Any) -> Extraction:
        if isinstance(source, SealedBody):
            opened = envelope.open_body(
                source.key, os.pread(source.fd, 1 << 20, source.body_offset), source.context
            )
            if opened != AUDIO:
                raise SottovoceError("The extractor was given something else.")
        fd = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, f"{os.getpid()}\n".encode())
        os.close(fd)
        while self.stuck:
            time.sleep(60)
        time.sleep(self.takes_s)
        vector = FeatureVector(tuple(20.0 + i for i in range(88)), "compat", "egemaps-88/1", 16000)
        return Extraction(vector, Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16000, 1, "0"))

    def close(self) -> None:
        return


class Fatal:
    """A port that ends the process at one of its calls, once it is armed."""

    armed = False

    def __init__(self, inner: Any, call: str) -> None:
        self._inner, self._call = inner, call

    def __getattr__(self, name: str) -> Any:
        if name == self._call and Fatal.armed:
            return lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        return getattr(self._inner, name)


def platform_of(
    home: Path, *, offset: timedelta = timedelta(0), start: bool = True, fatal: str = "", **how: Any
) -> app.Platform:
    settings = Settings(home=home, busy_timeout_s=30.0, retry_after_s=0.0)
    real = app.connect(settings)
    real.database.close()
    database = SqliteDatabase(settings.database_path, busy_timeout_s=30.0, offset=offset)
    adapters = replace(real, database=database, extractor=Reading(home.parent / "asked", **how))
    if fatal:
        adapters = replace(adapters, short_lived=Fatal(real.short_lived, fatal))
    adapters = replace(adapters, closing=(*real.closing, database.close))
    return app.assemble(adapters, settings) if start else app.Platform(adapters, settings)


def forked(work: Callable[[], Any]) -> Callable[[], tuple[int, Any]]:
    """Begin in a process of its own; call what is returned to wait for its exit code and answer."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.write(writing, json.dumps(work()).encode())
        os._exit(0)
    os.close(writing)

    def wait() -> tuple[int, Any]:
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), json.loads(answer or b"null")

    return wait


@contextmanager
def home_in_a_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "home"


def submit(platform: app.Platform, folder: Path, count: int, people: int = 1) -> list[str]:
    source = folder / "source.wav"
    source.write_bytes(AUDIO)
    for number in range(people):
        platform.grant(subject=f"person {number}", purposes=ALL)
    return [platform.submit(source, subject=f"person {n % people}").session_id for n in range(count)]


def audio_left(platform: app.Platform) -> dict[str, int]:
    keys = sum(row.kind == "recording" for row in platform.keyring.rows())
    return {"keys": keys, "bodies": len(list(platform._adapters.bodies.list()))}


def states(platform: app.Platform, sessions: list[str]) -> dict[str, str]:
    with platform._adapters.database.read() as tx:
        return {one: str(found.state) for one in sessions if (found := tx.recordings.get(one))}


def events(platform: app.Platform, kind: str) -> Counter[str]:
    """How often each recording (or record) is told of in entries of a kind."""
    platform._number()
    counted: Counter[str] = Counter()
    with platform._adapters.database.read() as tx:
        for event in tx.events.iterate():
            if event.kind == kind:
                details = platform._trail.open_details(event) or {}
                counted.update(
                    [str(details["session"])] if "session" in details else details.get("records", [])
                )
    return counted


# --- F9: nobody works any more ------------------------------------------------------------------------------


def dead_workers() -> dict[str, Any]:
    """Some never claimed, some whose worker was killed in the middle, one killed between result and destruction."""
    with home_in_a_folder() as home:

        def prepare() -> list[str]:
            with platform_of(home) as platform:
                return submit(platform, home.parent, 6)

        _, sessions = forked(prepare)()
        for _ in range(2):
            killed_while_extracting(home)
        code, _ = forked(lambda: killed_after_the_result(home))()
        forked(lambda: killed_while_storing(home))()
        _, parts = forked(
            lambda: sum(not one.finished for one in app.connect(Settings(home=home)).bodies.list())
        )()
        asked = (home.parent / "asked").read_text().count("\n")

        def before() -> dict[str, Any]:
            with platform_of(home, offset=timedelta(hours=23), stuck=True) as platform:
                with platform._adapters.database.begin() as tx:  # the queue is lost
                    tx._connection.execute(schema.jobs.delete())  # type: ignore[attr-defined]
                platform.sweep()
                return {"states": states(platform, sessions), **audio_left(platform)}

        def after() -> dict[str, Any]:
            with platform_of(home, offset=timedelta(hours=25), stuck=True) as platform:
                at_open = audio_left(platform)
                report = platform.sweep()
                found = {finding.code for finding in platform.fsck(repair=True).findings}
                return {"states": states(platform, sessions), "at_open": at_open, "errors": list(report.errors),
                        "fsck": sorted(found), **audio_left(platform)}  # fmt: skip

        seen = {
            "killed": code,
            "half_stored": parts,
            "before": forked(before)()[1],
            "after": forked(after)()[1],
        }
        seen["asked_again"] = (home.parent / "asked").read_text().count("\n") - asked
        return seen


def killed_after_the_result(home: Path) -> None:
    """The result is committed; the key of the audio is not destroyed yet."""
    platform = platform_of(home, fatal="delete")
    Fatal.armed = True
    platform.work_next()


def killed_while_storing(home: Path) -> None:
    """Half of a body is written, in a file of its own beside it where the file system has no other way."""
    bodies = app.connect(Settings(home=home)).bodies
    with bodies.writer("ses_" + "p" * 24) as writer:
        writer.write(AUDIO)
        (home / "bodies" / ("ses_" + "q" * 24 + ".part")).write_bytes(b"left by another file system")
        os.kill(os.getpid(), signal.SIGKILL)


def killed_while_extracting(home: Path) -> None:
    log = home.parent / "asked"
    size = log.stat().st_size if log.exists() else 0
    pid = os.fork()
    if pid == 0:
        platform_of(home, stuck=True).work_next()
        os._exit(1)
    while not log.exists() or log.stat().st_size == size:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


# --- F32: more than one of each -----------------------------------------------------------------------------


def two_workers(count: int) -> dict[str, Any]:
    with home_in_a_folder() as home:

        def prepare() -> list[str]:
            with platform_of(home) as platform:
                return submit(platform, home.parent, count, people=3)

        def work() -> int:
            done = 0
            with platform_of(home, takes_s=0.005) as platform:
                while platform.work_next() is not None:
                    done += 1
            return done

        _, sessions = forked(prepare)()
        running = [forked(work) for _ in range(3)]
        done = [wait()[1] for wait in running]

        def look() -> dict[str, Any]:
            with platform_of(home) as platform:
                found = states(platform, sessions)
                with platform._adapters.database.read() as tx:
                    kinds = [sorted(r.kind for r in tx.records.of_session(one)) for one in sessions]
                    receipts = [len(tx.receipts.of_session(one)) for one in sessions]
                    attempts = [tx.recordings.get(one).attempts for one in sessions]  # type: ignore[union-attr]
                return {
                    "states": sorted(set(found.values())), "kinds": [list(k) for k in {tuple(k) for k in kinds}],
                    "receipts": sorted(set(receipts)), "attempts": sorted(set(attempts)),
                    "committed": sorted(events(platform, "recording.committed").values()), **audio_left(platform),
                }  # fmt: skip

        asked = Counter((home.parent / "asked").read_text().split())
        return {"sessions": len(sessions), "done": done, "asked": sum(asked.values()), "busy": len(asked),
                **forked(look)()[1]}  # fmt: skip


def two_sweepers(count: int) -> dict[str, Any]:
    """Results past their date and audio past its deadline, and two who sweep at the same moment."""
    offset = timedelta(days=31)
    with home_in_a_folder() as home:

        def prepare() -> list[str]:
            with platform_of(home) as platform:
                sessions = submit(platform, home.parent, count, people=7)
                while platform.work_next() is not None:
                    pass
                return submit(platform, home.parent, 12, people=7) + sessions

        _, sessions = forked(prepare)()
        gate = home.parent / "go"

        def sweep() -> dict[str, Any]:
            retention._BATCH = 5  # many batches: they meet often
            platform = platform_of(home, offset=offset, start=False)
            while not gate.exists():
                time.sleep(0.001)
            report = platform._sweep.sweep(caller=app.SWEEPER)
            platform.close()
            return {
                "records": report.records_expired,
                "audio": report.audio_discarded,
                "errors": list(report.errors),
            }

        running = [forked(sweep) for _ in range(3)]
        time.sleep(1.0)
        gate.touch()
        reports = [wait()[1] for wait in running]

        def look() -> dict[str, Any]:
            with platform_of(home, offset=offset) as platform:
                expired, shredded = (
                    events(platform, "record.expired"),
                    events(platform, "recording.failed_shredded"),
                )
                with platform._adapters.database.read() as tx:
                    left = sum(len(tx.records.of_session(one)) for one in sessions)
                    receipts = Counter(len(tx.receipts.of_session(one)) for one in sessions)
                return {
                    "expired": len(expired), "expired_twice": sum(n > 1 for n in expired.values()),
                    "shredded": len(shredded), "shredded_twice": sum(n > 1 for n in shredded.values()),
                    "records_left": left, "receipts": {str(k): v for k, v in receipts.items()},
                    "states": dict(Counter(states(platform, sessions).values())), **audio_left(platform),
                    "fsck": sorted({finding.code for finding in platform.fsck(repair=True).findings}),
                }  # fmt: skip

        return {"count": count, "reports": reports, **forked(look)()[1]}


# --- F33: a great many at once ------------------------------------------------------------------------------

_BLOCK = 3000  # records made at a time
_AT_A_TIME = 50  # recordings of one person that follow each other, as when a corpus is taken in
_BODY = bytes(400)


def expire(count: int) -> dict[str, Any]:
    """So many records due at once; one process sweeps, another goes on working and measures how long it waits."""
    offset = timedelta(days=31)
    with home_in_a_folder() as home:
        _, made = forked(lambda: _fill(home, count))()
        gate, end = home.parent / "go", home.parent / "end"

        def sweep() -> dict[str, Any]:
            platform = platform_of(home, offset=offset, start=False)
            commits = _Counting(platform._adapters.database)
            object.__setattr__(platform._sweep, "database", commits)
            gate.touch()
            begun, cpu = time.monotonic(), time.process_time()
            report = platform._sweep.sweep(caller=app.SWEEPER)
            seen = {
                "seconds": round(time.monotonic() - begun, 2), "cpu_s": round(time.process_time() - cpu, 2),
                "records": report.records_expired, "errors": list(report.errors), "transactions": commits.count,
                "longest_lock_s": round(commits.longest_s, 4),
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            }  # fmt: skip
            end.touch()
            platform.close()
            return seen

        def serve() -> dict[str, Any]:
            reads, writes = [], []
            platform = platform_of(home, offset=offset, start=False)
            session = made["live"]
            while not gate.exists():
                time.sleep(0.001)
            while not end.exists():
                time.sleep(0.02)  # some 30 requests a second
                at = time.monotonic()
                platform.show(session, purpose="subject_access")
                reads.append(time.monotonic() - at)
                at = time.monotonic()
                platform.grant(subject=f"somebody {len(writes) % 500}", purposes=ALL)
                writes.append(time.monotonic() - at)
            platform.close()
            return {
                "answers": len(reads) + len(writes), "longest_read_s": round(max(reads, default=0.0), 4),
                "longest_write_s": round(max(writes, default=0.0), 4),
                "median_write_s": round(sorted(writes)[len(writes) // 2], 4) if writes else 0.0,
            }  # fmt: skip

        running = [forked(serve), forked(sweep)]
        served, swept = [wait()[1] for wait in running]

        def look() -> dict[str, Any]:
            platform = platform_of(home, offset=offset, start=False)
            with platform._adapters.database.read() as tx:
                connection = tx._connection  # type: ignore[attr-defined]
                left = {
                    table.name: connection.exec_driver_sql(f"SELECT count(*) FROM {table.name}").scalar_one()
                    for table in (schema.records, schema.decisions)
                }
            keys = sum(row.kind == "record" for row in platform.keyring.rows())
            intact = platform.verify_audit().intact
            platform.close()
            return {"left": left, "keys_left": keys, "log_intact": intact}

        return {"count": count, "people": made["people"], "made_in_s": made["seconds"], "sweep": swept,
                "meanwhile": served, **forked(look)()[1]}  # fmt: skip


class _Counting:
    """A database that counts its writing transactions and measures how long each holds the lock."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.count, self.longest_s = inner, 0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextmanager
    def begin(self, **how: Any) -> Iterator[Any]:
        with self._inner.begin(**how) as tx:
            held = time.monotonic()
            yield tx
        self.count += 1
        self.longest_s = max(self.longest_s, time.monotonic() - held)


def _fill(home: Path, count: int) -> dict[str, Any]:
    """Rows and keys of results of many people, all due in 30 days; and one result that stays, made 20 days later."""
    begun = time.monotonic()
    people = max(5, min(200, count // 100))
    with platform_of(home) as platform:
        for number in range(people):
            platform.grant(subject=f"person {number}", purposes=ALL)
        with platform._adapters.database.read() as tx:
            ids, now = tx.subjects.ids(), tx.now()
        for start in range(0, count, _BLOCK):
            _fill_block(platform, ids, start, min(_BLOCK, count - start), now)
    source = home.parent / "source.wav"
    source.write_bytes(AUDIO)
    with_later_clock = platform_of(home, offset=timedelta(days=20), start=False)
    live = with_later_clock.analyze(source, subject="person 0").session_id
    with_later_clock.close()
    return {"people": people, "live": live, "seconds": round(time.monotonic() - begun, 1)}


def _fill_block(platform: app.Platform, people: tuple[str, ...], start: int, count: int, now: Any) -> None:
    """Three records of each session: features, insight, decision."""
    sessions, records, decisions, keys = [], [], [], []
    for number in range(start // 3, (start + count + 2) // 3):
        person, session = people[number // _AT_A_TIME % len(people)], f"ses_{number:024d}"
        at = now + timedelta(microseconds=number)
        common = {"tenant": "default", "subject_id": person, "session_id": session}
        ends = {"expires_at": at + timedelta(days=30)}
        sessions.append(
            {"id": session, "tenant": "default", "subject_id": person, "shape": "analyze",
             "state": RecordingState.VERIFIED, "received_at": at, "discard_by": at, "keep": True,
             "discard_source": False, "profile": "compat", "channel": "0", "accept_truncated": False,
             "body_bytes": 0, "attempts": 1}
        )  # fmt: skip
        for kind in ("features", "insight"):
            row_id = f"rec_{kind[0]}{number:023d}"
            records.append({"id": row_id, **common, "kind": kind, "profile": "compat", "version": "1",
                            "body": _BODY, "created_at": at, **ends})  # fmt: skip
            keys.append(NewKey("record", "features" if kind == "features" else "insights", person, row_id))
        row_id = f"dec_{number:024d}"
        decisions.append({"id": row_id, **common, "purpose": "voice_analysis", "model": "m", "model_sha256": "0",
                          "body": _BODY, "at": at, **ends})  # fmt: skip
        keys.append(NewKey("record", "insights", person, row_id))
    platform.keyring.new_keys(keys)
    with platform._adapters.database.begin() as tx:
        connection = tx._connection  # type: ignore[attr-defined]
        connection.execute(schema.recordings.insert(), sessions)
        connection.execute(schema.records.insert(), records)
        connection.execute(schema.decisions.insert(), decisions)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["dead-workers", "two-workers", "two-sweepers", "expire"])
    parser.add_argument("--count", type=int, default=0)
    given = parser.parse_args()
    run: dict[str, Callable[[], dict[str, Any]]] = {
        "dead-workers": dead_workers, "two-workers": lambda: two_workers(given.count or 30),
        "two-sweepers": lambda: two_sweepers(given.count or 60), "expire": lambda: expire(given.count or 3000),
    }  # fmt: skip
    json.dump(run[given.what](), sys.stdout)


if __name__ == "__main__":
    main()
