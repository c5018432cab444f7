"""A kill and a raise at every boundary of a scenario, then restart, sweep and look.

    python tests/faults/campaign.py SCENARIO [--mode kill|raise|both]

Every call of a port that changes something outside is a boundary with a point before and one after it. For each
point a child runs the scenario on a copy of a prepared home (real SQLite, key files and folders; the extractor is a
stand-in that reads what it is given) and ends there, by `os._exit(137)` or by an error. A second child opens the
home as a newcomer would, lets a worker finish, moves the clock past every deadline, sweeps, and checks the
invariants. Prints one JSON object: the table of points and what was found dirty. Single-threaded, forks only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sottovoce import app
from sottovoce.adapters.database import SqliteDatabase
from sottovoce.errors import SottovoceError, StorageError
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.recording import RecordingState
from sottovoce.ports import Descriptor, SealedBody
from sottovoce.sealing import envelope
from sottovoce.settings import Settings

ALL = ("voice_recording", "voice_analysis", "data_retention_30_days")
ONCE = ALL[:2]
SETTINGS: dict[str, Any] = {"busy_timeout_s": 2.0, "retry_after_s": 0.0}
AUDIO = b"RIFF" + hashlib.shake_256(b"a voice that nobody has").digest(40_000)
WINDOWS = [AUDIO[i : i + 64] for i in range(64, len(AUDIO) - 64, 4_000)]


class Points:
    """Counts boundaries and ends the process, or raises, at one of them."""

    def __init__(self, stop_at: int = 0, mode: str = "") -> None:
        self.stop_at, self.mode, self.names = stop_at, mode, list[str]()

    def hit(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) != self.stop_at:
            return
        if self.mode == "kill":
            os._exit(137)
        raise StorageError("An injected fault.", reason="injected")


class Watched:
    """Any port, with a point before and after each call named in `calls`."""

    def __init__(self, inner: Any, label: str, points: Points, calls: tuple[str, ...]) -> None:
        self._inner, self._label, self._points, self._calls = inner, label, points, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._calls:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._points.hit(f"before {self._label}.{name}")
            result = found(*args, **kwargs)
            self._points.hit(f"after {self._label}.{name}")
            return result

        return call


class WatchedDatabase(Watched):
    @contextmanager
    def begin(self) -> Iterator[Any]:
        self._points.hit("before begin")
        with self._inner.begin() as tx:
            yield tx
            self._points.hit("before commit")
        self._points.hit("after commit")


class WatchedBlobs(Watched):
    @contextmanager
    def writer(self, path: str) -> Iterator[Any]:
        self._points.hit("before body put")
        with self._inner.writer(path) as writer:
            yield writer
            self._points.hit("before body rename")
        self._points.hit("after body put")


class ReadingExtractor:
    """Reads what it is given, as the sealed child does, and answers with numbers."""

    def level(self) -> str:
        return "rlimits"

    def extract(self, source: Descriptor | SealedBody, options: Any) -> Extraction:
        if isinstance(source, SealedBody):
            body = os.pread(source.fd, 1 << 20, source.body_offset)
            opened = envelope.open_body(source.key, body, source.context)
        else:
            opened = os.pread(source.fd, 1 << 20, 0)
        if opened != AUDIO:
            raise SottovoceError("The extractor was given something else.")
        vector = FeatureVector(
            values=tuple(20.0 + i for i in range(88)), profile="compat", version="x", sample_rate_hz=16000
        )
        return Extraction(vector, Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16000, 1, "0"))

    def close(self) -> None:
        return


def opened(home: Path, points: Points, *, offset: timedelta = timedelta(0)) -> app.Platform:
    settings = Settings(home=home, **SETTINGS)
    real = app.connect(settings)
    database = SqliteDatabase(settings.database_path, busy_timeout_s=2.0, offset=offset)
    adapters = replace(
        real,
        database=WatchedDatabase(database, "database", points, ("tidy",)),
        long_lived=Watched(real.long_lived, "keys", points, CHANGES),
        short_lived=Watched(real.short_lived, "audio keys", points, CHANGES),
        keys=Watched(real.keys, "provider", points, ("create", "wrap", "destroy")),
        bodies=WatchedBlobs(real.bodies, "bodies", points, ("delete",)),
        extractor=Watched(ReadingExtractor(), "extractor", points, ("extract",)),
        closing=(*real.closing, database.close),
    )  # fmt: skip
    return app.assemble(adapters, settings)


CHANGES = ("insert", "delete", "delete_subject", "begin_epoch", "rewrap", "drop_epoch")


# --- scenarios: prepare a home, run under faults, say what was acknowledged ---------------------------------

Scenario = tuple[Callable[[app.Platform, Path], None], Callable[[app.Platform, Path], str]]


def _grant(*purposes: str) -> Callable[[app.Platform, Path], None]:
    return lambda platform, source: platform.grant(subject="anna", purposes=purposes) and None


def _prepared(*steps: Callable[[app.Platform, Path], Any]) -> Callable[[app.Platform, Path], None]:
    def prepare(platform: app.Platform, source: Path) -> None:
        for step in steps:
            step(platform, source)

    return prepare


def _analyze(platform: app.Platform, source: Path) -> str:
    return platform.analyze(source, subject="anna").session_id


def _submit(platform: app.Platform, source: Path) -> str:
    return platform.submit(source, subject="anna", idempotency_key="k").session_id


def _work(platform: app.Platform, source: Path) -> str:
    outcome = platform.work_next()
    return outcome.session_id if outcome else ""


def _done(verb: Callable[[app.Platform], Any]) -> Callable[[app.Platform, Path], str]:
    return lambda platform, source: verb(platform) and ""


SCENARIOS: dict[str, Scenario] = {
    "analyze": (_grant(*ALL), _analyze),
    "analyze-once": (_grant(*ONCE), _done(lambda p: p.analyze(SOURCE[0], subject="anna"))),
    "analyze-unlink": (
        _grant(*ALL),
        lambda p, s: p.analyze(s, subject="anna", discard_source=True).session_id,
    ),
    "submit": (_grant(*ALL), _submit),
    "work": (_prepared(_grant(*ALL), _submit), _work),
    "withdraw": (
        _prepared(_grant(*ALL), _submit),
        _done(lambda p: p.withdraw(subject="anna", purposes=["voice_analysis"])),
    ),
    "grant": (_prepared(), _done(lambda p: p.grant(subject="anna", purposes=ALL))),
    "erase": (_prepared(_grant(*ALL), _analyze, _submit), _done(lambda p: p.erase(subject="anna"))),
    "rotate": (_prepared(_grant(*ALL), _analyze, _submit), _done(lambda p: p.rotate_keys())),
}
SOURCE: list[Path] = []


# --- one point ---------------------------------------------------------------------------------------------


def in_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """Run in a forked child; its exit code and what it returned (through a pipe)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        code = 0
        try:
            answer = json.dumps(work())
        except BaseException:
            answer, code = json.dumps(traceback.format_exc()), 70
        os.write(writing, answer.encode())
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), json.loads(answer or b"null")


def run(scenario: str, home: Path, source: Path, points: Points) -> dict[str, Any]:
    """The scenario under faults; what it acknowledged."""
    SOURCE[:] = [source]
    with opened(home, quiet := Points()) as platform:
        quiet_before = len(quiet.names)
        for part in (platform._adapters.database, platform._adapters.long_lived, platform._adapters.short_lived,
                     platform._adapters.keys, platform._adapters.bodies, platform._adapters.extractor):  # fmt: skip
            part._points = points
        try:
            return {
                "acknowledged": SCENARIOS[scenario][1](platform, source),
                "points": points.names,
                "open": quiet_before,
            }
        except SottovoceError as error:
            return {"refused": error.public_code, "points": points.names}


def look(scenario: str, home: Path, source: Path, acknowledged: str | None) -> list[str]:
    """What is dirty after restart, worker and sweep; nothing in a sound build."""
    SOURCE[:] = [source]
    dirty: list[str] = []
    quiet = Points()
    with opened(home, quiet) as platform:
        while platform.work_next() is not None:
            pass
        dirty += _windows(home)
    with opened(home, quiet, offset=timedelta(hours=26)) as platform:
        report = platform.sweep()
        dirty += [f"sweep could not finish: {code}" for code in report.errors]
        dirty += _records(
            platform, acknowledged, erased=scenario == "erase", withdrawn=scenario == "withdraw"
        )
        dirty += _stores(platform)
        if not platform.verify_audit().intact:
            dirty.append("the audit log does not verify")
        if platform.keyring.status().rotation_pending:
            dirty.append("a rotation is still pending")
    return dirty + _windows(home)


def _windows(home: Path) -> list[str]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return [
        f"audio in clear in {path.name}" for path in files if any(w in path.read_bytes() for w in WINDOWS)
    ]


def _records(platform: app.Platform, acknowledged: str | None, *, erased: bool, withdrawn: bool) -> list[str]:
    dirty = []
    with platform._adapters.database.read() as tx:
        person = platform._record.people.find(tx, "anna")
        recordings = tx.recordings.of_subject(person.id) if person else ()
        records = {recording.id: tx.records.of_session(recording.id) for recording in recordings}
    for recording in recordings:
        kinds = sorted(record.kind for record in records[recording.id])
        if recording.state not in (RecordingState.VERIFIED, RecordingState.FAILED_SHREDDED):
            dirty.append(f"a recording stays {recording.state}")
        wanted = (
            ["features", "insight"] if recording.state is RecordingState.VERIFIED and recording.keep else []
        )
        if kinds != wanted:
            dirty.append(f"{recording.state} with records {kinds}")
        if recording.receipt_id is None:
            dirty.append("an ended recording has no receipt")
        if kinds and platform.show(recording.id, purpose="subject_access").features is None:
            dirty.append("features do not open")
    if acknowledged and not withdrawn and not records.get(acknowledged):
        dirty.append("an acknowledged recording was lost")
    if erased and recordings and acknowledged is not None:
        dirty.append("erased recordings are still listed")
    return dirty


def _stores(platform: app.Platform) -> list[str]:
    dirty = [f"a body is left: finished={info.finished}" for info in platform._adapters.bodies.list()]
    with platform._adapters.database.read() as tx:
        kept = {row.id for person in _people(tx, platform) for s in tx.recordings.of_subject(person)
                for row in (*tx.records.of_session(s.id), *tx.records.decisions_of_session(s.id))}  # fmt: skip
    for row in platform.keyring.rows():
        if row.kind == "recording":
            dirty.append("a recording's key is left")
        if row.kind == "record" and row.key_id not in kept:
            dirty.append("a record's key without its record is left")
    return dirty


def _people(tx: Any, platform: app.Platform) -> list[str]:
    person = platform._record.people.find(tx, "anna")
    return [person.id] if person else []


# --- the campaign ------------------------------------------------------------------------------------------


def campaign(scenario: str, modes: list[str], folder: Path) -> dict[str, Any]:
    base, source = folder / "base", folder / "source.wav"
    source.write_bytes(AUDIO)

    def prepare() -> None:
        with opened(base, Points()) as platform:
            SCENARIOS[scenario][0](platform, source)

    code, problem = in_child(prepare)
    if code:
        sys.exit(f"the home could not be prepared: {problem}")
    _, dry = in_child(lambda: run(scenario, fresh(base, folder), source, Points()))
    if not isinstance(dry, dict) or "acknowledged" not in dry:
        sys.exit(f"the scenario does not run without faults: {dry}")
    rows = []
    for number, name in enumerate(dry["points"], start=1):
        for mode in modes:
            rows.append(one_point(scenario, base, folder, source, number, name, mode))
    return {
        "scenario": scenario, "points": len(dry["points"]), "faults": len(rows),
        "dirty": [row for row in rows if row["dirty"]], "rows": rows,
    }  # fmt: skip


def one_point(
    scenario: str, base: Path, folder: Path, source: Path, number: int, name: str, mode: str
) -> dict[str, Any]:
    source.write_bytes(AUDIO)
    home = fresh(base, folder)
    code, answer = in_child(lambda: run(scenario, home, source, Points(number, mode)))
    acknowledged = answer.get("acknowledged") if isinstance(answer, dict) else None
    dirty = [] if code in (0, 137) else [f"ended with {code}: {answer}"]
    if mode == "kill" and code != 137:
        dirty.append(f"the point was not reached (exit {code})")
    looked, found = in_child(lambda: look(scenario, home, source, acknowledged))
    dirty += found if looked == 0 else [f"the home could not be opened again: {found}"]
    shutil.rmtree(home)
    return {"point": number, "name": name, "mode": mode, "exit": code, "dirty": dirty}


def fresh(base: Path, folder: Path) -> Path:
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    return Path(shutil.copytree(base, home))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("--mode", choices=["kill", "raise", "both"], default="both")
    given = parser.parse_args()
    modes = ["kill", "raise"] if given.mode == "both" else [given.mode]
    with tempfile.TemporaryDirectory() as folder:
        result = campaign(given.scenario, modes, Path(folder))
    json.dump(result, sys.stdout)
    sys.exit(1 if result["dirty"] else 0)


if __name__ == "__main__":
    main()
