"""A kill and a raise at every boundary of a scenario, then restart, sweep and look.

    python tests/faults/campaign.py SCENARIO [--mode kill|raise|both]

Every call of a port that changes something outside is a boundary with a point before and one after it. For each
point a child runs the scenario on a copy of a prepared home (real SQLite, key files and folders; the extractor is a
stand-in that reads what it is given) and ends there, by `os._exit(137)` or by an error. A second child opens the
home as a newcomer would, lets a worker finish, moves the clock past every deadline, sweeps, looks for itself and asks
`fsck`. Prints one JSON object: the table of points and what was found dirty. Single-threaded, forks only.

While the points are counted, an audit hook and SQLite's own trace watch for commits, checkpoints, fsyncs, renames,
links, unlinks and truncations: one that happens outside every pair of points is "astray" and fails the test, so that
a new boundary cannot be forgotten here.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import campaign_backup
import campaign_recipients
import campaign_sealed
import numpy as np

from sottovoce import app
from sottovoce.adapters import export_file, source_file
from sottovoce.adapters.database import SqliteDatabase
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.app import identity
from sottovoce.errors import AudioRejected, SottovoceError, StorageError
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.lineage import RoundState
from sottovoce.model.mark import REASONS, MarkKind
from sottovoce.model.recording import RecordingState
from sottovoce.model.request import CaseKind, CaseState
from sottovoce.ports import Descriptor, SealedBody
from sottovoce.sealing import envelope
from sottovoce.settings import Settings
from sottovoce.usecases import epochs
from sottovoce.usecases.models import file_entries
from sottovoce.voice.models.card import FORMAT
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.write_tflite import write_tflite

ALL = ("voice_recording", "voice_analysis", "data_retention_30_days")
ONCE = ALL[:2]
TRAINABLE = (*ALL, "model_training")
HOLDABLE = (*ALL, "audio_hold")
INFERABLE = (*ALL, "infer_apparent_sex")
SETTINGS: dict[str, Any] = {"busy_timeout_s": 2.0, "retry_after_s": 0.0}
AUDIO = b"RIFF" + hashlib.shake_256(b"a voice that nobody has").digest(40_000)
WINDOWS = [AUDIO[i : i + 64] for i in range(64, len(AUDIO) - 64, 4_000)]


class Points:
    """Counts boundaries and ends the process, or raises, at one of them. Nothing counts before it is armed."""

    def __init__(self, stop_at: int = 0, mode: str = "") -> None:
        self.stop_at, self.mode, self.names = stop_at, mode, list[str]()
        self.armed, self.inside = False, 0
        self.effects, self.astray = 0, set[str]()

    def hit(self, name: str) -> None:
        if not self.armed:
            return
        self.names.append(name)
        if len(self.names) != self.stop_at:
            return
        if self.mode == "kill":
            os._exit(137)
        raise StorageError("An injected fault.", reason="injected")

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        """A point before and one after; what happens between lies inside them."""
        self.hit(f"before {name}")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
        self.hit(f"after {name}")

    def effect(self, name: str) -> None:
        """Something became durable, visible or gone."""
        if self.armed:
            self.effects += 1
            if not self.inside:
                self.astray.add(name)


def watch_effects(points: Points) -> None:
    """Tell the points of every commit, fsync, rename, link, unlink and truncation of this process, from now on."""
    in_python = {"os.rename", "os.link", "os.remove", "os.truncate"}
    fsync = os.fsync

    def counted_fsync(fd: int) -> None:
        points.effect("os.fsync")
        fsync(fd)

    def trace_of() -> Callable[[str], None]:
        writing = False  # a reading transaction ends with COMMIT as well

        def statement(text: str) -> None:
            nonlocal writing
            words = text.upper()
            if words.startswith("BEGIN"):
                writing = "IMMEDIATE" in words or "EXCLUSIVE" in words
            elif (words.startswith("COMMIT") and writing) or "WAL_CHECKPOINT" in words:
                points.effect(text)

        return statement

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in in_python:
            points.effect(event)

    connect = sqlite3.connect

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.set_trace_callback(trace_of())
        return connection

    os.fsync = counted_fsync
    sqlite3.connect = sqlite3.dbapi2.connect = traced
    sys.addaudithook(hook)


class Watched:
    """Any port, with a point before and after each call named in `calls`."""

    def __init__(self, inner: Any, label: str, points: Points, calls: tuple[str, ...]) -> None:
        self._inner, self._label, self._points, self._calls = inner, label, points, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._calls:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._points.around(f"{self._label}.{name}"):
                return found(*args, **kwargs)

        return call


class WatchedDatabase(Watched):
    @contextmanager
    def begin(self, **how: Any) -> Iterator[Any]:
        self._points.hit("before begin")
        transaction = self._inner.begin(**how)
        tx = transaction.__enter__()
        try:
            yield tx
            self._points.hit("before commit")
        except BaseException as error:
            transaction.__exit__(type(error), error, error.__traceback__)
            raise
        self._points.inside += 1
        try:
            transaction.__exit__(None, None, None)
        finally:
            self._points.inside -= 1
        self._points.hit("after commit")


class WatchedBlobs(Watched):
    @contextmanager
    def writer(self, path: str) -> Iterator[Any]:
        with self._points.around(f"{self._label} put"), self._inner.writer(path) as writer:
            yield writer
            self._points.hit(f"before {self._label} rename")


class ReadingExtractor(InlineExtractor):
    """Reads what it is given, as the sealed child does, and answers with numbers, or refuses."""

    refuses = False

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
        if self.refuses:
            raise AudioRejected(reason="header_invalid")
        vector = FeatureVector(
            values=tuple(20.0 + i for i in range(88)),
            profile="compat",
            version="egemaps-88/1",
            sample_rate_hz=16000,
        )
        return Extraction(vector, Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16000, 1, "0"))

    def close(self) -> None:
        return


def opened(
    home: Path, points: Points, *, offset: timedelta = timedelta(0), refuses: bool = False, **more: Any
) -> app.Platform:  # fmt: skip
    settings = Settings(home=home, **{**SETTINGS, **more})
    real = app.connect(settings)
    database = SqliteDatabase(settings.database_path, busy_timeout_s=2.0, offset=offset)
    extractor = ReadingExtractor()
    extractor.refuses = refuses
    adapters = replace(
        watched(real, database, points),
        extractor=Watched(extractor, "extractor", points, ("extract",)),
        closing=(*real.closing, database.close),
    )
    if FORGOTTEN:
        adapters = replace(adapters, **{name: getattr(real, name) for name in FORGOTTEN})
    watch_files_of_ours(points)
    return app.assemble(adapters, settings)


def watched(real: app.Adapters, database: Any, points: Points) -> app.Adapters:
    """Every port that changes something outside, with its points."""
    return replace(
        real,
        database=WatchedDatabase(database, "database", points, ("tidy", "free_reserve")),
        long_lived=Watched(real.long_lived, "keys", points, CHANGES),
        short_lived=Watched(real.short_lived, "audio keys", points, CHANGES),
        keys=Watched(real.keys, "provider", points, ("create", "wrap", "destroy")),
        bodies=WatchedBlobs(real.bodies, "body", points, ("delete",)),
        tombstones=Watched(real.tombstones, "tombstones", points, ("append", "add_signed")),
        receipt_copies=WatchedBlobs(real.receipt_copies, "receipt copy", points, ("delete",)),
        recipients=WatchedBlobs(real.recipients, "recipient key", points, ("delete",)),
        models=Watched(real.models, "models", points, ("add", "remove")),
    )


def watch_files_of_ours(points: Points) -> None:
    """What is written beside the ports: the pinned identity, and the caller's source that is unlinked."""

    def around(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with points.around(name):
                return function(*args, **kwargs)

        return call

    plain = (
        ORIGINALS.setdefault("write", identity._write_private),
        ORIGINALS.setdefault("discard", source_file.SourceFile.discard),
    )
    identity._write_private = around(plain[0], "home file replace")
    written = ORIGINALS.setdefault("package", export_file.write_new)
    export_file.write_new = around(written, "package link")
    source_file.SourceFile.discard = around(plain[1], "source unlink")  # type: ignore[method-assign]
    campaign_backup.watch(points, lambda real, thinned: watched(real, real.database, thinned))


FORGOTTEN: list[str] = []  # ports left unwatched, to see that this is noticed
ORIGINALS: dict[str, Callable[..., Any]] = {}
CHANGES = ("insert", "delete", "delete_subject", "begin_epoch", "rewrap", "drop_epoch", "set_followed")


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


def _small_batches(platform: app.Platform) -> Any:
    """A rotation of many transactions, two rows in each."""
    epochs.REWRAP_BATCH = 2
    return platform.rotate_keys()


def _mark(platform: app.Platform, kind: MarkKind) -> Any:
    return platform.mark(subject="anna", kind=kind, reason=next(iter(REASONS[kind])))


def _hold(platform: app.Platform, source: Path) -> Any:
    return _mark(platform, MarkKind.HOLD)


def _ask(platform: app.Platform) -> Any:
    return platform.open_request(subject="anna", kind=CaseKind.ERASURE, proof="seen")


def _train(platform: app.Platform) -> Any:
    return platform.begin_training(model="tone", out=platform.home.parent / f"{os.getpid()}.csv")


def _rounds(platform: app.Platform) -> list[str]:
    """A table is there only of a round that says so, with its hash; who has left is among the rows to drop."""
    dirty = []
    rounds = [view.round for view in platform.training_rounds()]
    tables = {one.dataset_sha256 for one in rounds if one.state is RoundState.OPEN}
    for path in platform.home.parent.glob("*.csv"):
        if hashlib.sha256(path.read_bytes()).hexdigest() not in tables:
            dirty.append("a table of no round is left")
    agrees = any(
        s.purpose == "model_training" and s.status == "granted" for s in platform.consents(subject="anna")
    )
    for one in rounds:
        left = len(platform.training_round(one.id)[1])
        if one.state is RoundState.OPEN and left != (0 if agrees else one.records):
            dirty.append(f"{left} of {one.records} rows are to be dropped")
    return dirty


def _model(platform: app.Platform, source: Path, attribute: str = "apparent_sex") -> Any:
    """A model of the home's own."""
    network = make_network(
        mean=[0.0] * 88, scale=[1.0] * 88, layers=[([[0.01] * 88], [0.1])], output="sigmoid",
        about=About(attribute, ("female", "male"), "compat", "egemaps-88/1"),
    )  # fmt: skip
    about, data = network.about, write_tflite(network)
    body: dict[str, Any] = {
        "format": FORMAT, "purpose": "a test", "attribute": about.attribute, "labels": list(about.labels),
        "output": "sigmoid", "feature_profile": about.feature_profile, "feature_version": about.feature_version,
        "training_data": {"description": "none", "sha256": "not available", "speakers": 0, "recordings": 0},
        "error": "not available", "groups": [], "conformal": "not available", "privacy": "none",
        "not_for": ["any use"], "demonstration": False, "files": file_entries(network, np.zeros((1, 88))),
    }  # fmt: skip
    return platform.add_model(data, platform.sign_model_card(body, model=data))


def _inferences(platform: app.Platform) -> list[str]:
    """What a model said is there with its consent, and gone without it."""
    agrees = any(
        s.purpose == INFERABLE[-1] and s.status == "granted" for s in platform.consents(subject="anna")
    )
    with platform._adapters.database.read() as tx:
        said = [one.purpose for person in _people(tx) for s in tx.recordings.of_subject(person)
                for one in tx.records.decisions_of_session(s.id)]  # fmt: skip
    return ["what a model said outlives its consent"] if INFERABLE[-1] in said and not agrees else []


def _package(source: Path) -> None:
    """A person's package, made by another home beside this one."""
    with opened(source.with_name("other"), Points()) as other:
        other.grant(subject="anna", purposes=ALL)
        other.analyze(source, subject="anna")
        other.export_person(subject="anna", out=source.with_name("moved.zip"))


def _moved_key() -> str:
    return (SOURCE[0].with_name("other") / app.IDENTITY_NAME).read_text()


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
    "rotate-due": (_prepared(_grant(*ALL), _analyze), _done(lambda p: p.sweep())),
    "rotate-batches": (_prepared(_grant(*ALL), _analyze, _submit), _done(lambda p: _small_batches(p))),
    "refuse": (
        _prepared(_grant(*ALL), _submit),
        _done(lambda p: p.refuse(subject="anna", purposes=["data_retention_30_days"])),
    ),
    "expire": (_prepared(_grant(*ALL), _analyze, _submit, _work), _done(lambda p: p.sweep())),
    "hold": (_prepared(_grant(*HOLDABLE), _submit), _done(lambda p: p.work_next())),
    "hold-refused": (_prepared(_grant(*ALL), _submit), _done(lambda p: p.work_next())),
    "hold-withdrawn": (
        _prepared(_grant(*HOLDABLE), _submit, _work),
        _done(lambda p: p.withdraw(subject="anna", purposes=["audio_hold"])),
    ),
    "retry": (
        _prepared(_grant(*HOLDABLE), _submit, _work),
        _done(lambda p: p.retry(p.sessions(subject="anna")[0].session_id)),
    ),
    "erase-session": (
        _prepared(_grant(*ALL), _analyze, _submit),
        _done(lambda p: p.erase(subject="anna", session_id=p.sessions(subject="anna")[0].session_id)),
    ),
    "identity": (_prepared(_grant(*ALL), _analyze), _done(lambda p: p.replace_identity())),
    "restrict": (_prepared(_grant(*ALL), _analyze, _submit), _done(lambda p: _mark(p, MarkKind.RESTRICTION))),
    "lift": (
        _prepared(_grant(*ALL), _analyze, _hold, lambda p, s: p.erase(subject="anna")),
        _done(lambda p: p.lift(p.marks(subject="anna")[0].id)),
    ),
    "case": (
        _prepared(_grant(*ALL), _analyze, lambda p, s: _ask(p)),
        _done(lambda p: p.close_request(p.requests()[0].id)),
    ),
    "ask": (_prepared(_grant(*ALL), _analyze), _done(lambda p: _ask(p))),
    "rectify": (
        _prepared(_grant(*ALL), _analyze), _done(lambda p: p.rectify(subject="anna", new_id="anna-2")),
    ),
    "export": (
        _prepared(_grant(*ALL), _analyze),
        _done(lambda p: p.export_person(subject="anna", out=p.home.parent / f"{os.getpid()}.zip")),
    ),
    "train": (_prepared(_grant(*TRAINABLE), _analyze), _done(lambda p: _train(p))),
    "train-withdraw": (
        _prepared(_grant(*TRAINABLE), _analyze, lambda p, s: _train(p)),
        _done(lambda p: p.withdraw(subject="anna", purposes=["model_training"])),
    ),
    "train-erase": (
        _prepared(_grant(*TRAINABLE), _analyze, lambda p, s: _train(p)), _done(lambda p: p.erase(subject="anna")),
    ),
    "infer": (_prepared(_model, _grant(*INFERABLE)), _analyze),
    "infer-work": (_prepared(_model, _grant(*INFERABLE), _submit), _work),
    "infer-withdraw": (
        _prepared(_model, _grant(*INFERABLE), _analyze),
        _done(lambda p: p.withdraw(subject="anna", purposes=["infer_apparent_sex"])),
    ),
    "recipient-add": (_prepared(), _done(lambda p: campaign_recipients.introduce(p, SOURCE[0]) or p)),
    "hand-over": (
        _prepared(_grant(*TRAINABLE), _analyze, campaign_recipients.introduce),
        _done(lambda p: campaign_recipients.hand_over(p, SOURCE[0]) or p),
    ),
    "hand-over-by-hand": (
        _prepared(_grant(*TRAINABLE), _analyze, campaign_recipients.introduce),
        _done(lambda p: campaign_recipients.by_hand(p)),
    ),
    "hand-over-package": (
        _prepared(_grant(*ALL), _analyze, campaign_recipients.introduce),
        _done(lambda p: campaign_recipients.package(p, p.home.parent / f"{os.getpid()}.zip")),
    ),
    "tell-erased": (
        _prepared(_grant(*TRAINABLE), _analyze, campaign_recipients.introduce, campaign_recipients.hand_over),
        _done(lambda p: p.erase(subject="anna")),
    ),
    "tell-session-erased": (
        _prepared(_grant(*TRAINABLE), _analyze, campaign_recipients.introduce, campaign_recipients.hand_over),
        _done(lambda p: p.erase(subject="anna", session_id=p.sessions(subject="anna")[0].session_id)),
    ),
    "tell-withdrawn": (
        _prepared(_grant(*TRAINABLE), _analyze, campaign_recipients.introduce, campaign_recipients.hand_over),
        _done(lambda p: p.withdraw(subject="anna", purposes=["model_training"])),
    ),
    "acknowledge": (
        _prepared(
            _grant(*TRAINABLE), _analyze, campaign_recipients.introduce, campaign_recipients.hand_over,
            lambda p, s: p.erase(subject="anna"),
        ),
        _done(lambda p: campaign_recipients.acknowledge(p)),
    ),
    "sealed": (_prepared(_grant(*ALL), campaign_sealed.prepare), campaign_sealed.take),
    "recipient-key": (_prepared(), _done(lambda p: campaign_sealed.key(p, SOURCE[0]) or p)),
    "recipient-key-retire": (_prepared(campaign_sealed.key), _done(lambda p: campaign_sealed.retire(p))),
    "model-remove": (_prepared(_model), _done(lambda p: campaign_backup.remove_model(p))),
    "backup": (
        _prepared(_grant(*ALL), _analyze, _model, campaign_sealed.key),
        _done(lambda p: campaign_backup.create(p, SOURCE[0])),
    ),
    "restore": (
        _prepared(
            _grant(*ALL), _analyze, _model, lambda p, s: _model(p, s, "accent"), campaign_backup.prepare,
            lambda p, s: _model(p, s, "health"),
        ),
        _done(lambda p: campaign_backup.restore(p, SOURCE[0])),
    ),
    "import": (
        lambda p, s: _package(s),
        _done(lambda p: p.import_person(SOURCE[0].with_name("moved.zip"), key=_moved_key(), subject="anna")),
    ),
}  # fmt: skip
# How a scenario differs from the ordinary: while it is prepared, while it runs, when it is looked at.
HOLDING = {"on_failure": "hold", "refuses": True}
INFERRING = {"infer": ("apparent_sex",)}
PREPARED_WITH: dict[str, dict[str, Any]] = {
    "retry": HOLDING, "hold-withdrawn": HOLDING, "infer": INFERRING, "infer-work": INFERRING,
    "infer-withdraw": INFERRING,
}  # fmt: skip
RUN_WITH: dict[str, dict[str, Any]] = {
    "expire": {"offset": timedelta(days=31)},
    "rotate-due": {"epoch_days": 2, "offset": timedelta(days=2)},
    "hold": HOLDING,
    "hold-refused": HOLDING,
    "hold-withdrawn": {"on_failure": "hold"},
    "retry": {"on_failure": "hold"},
    "infer": INFERRING,
    "infer-work": INFERRING,
    "infer-withdraw": INFERRING,
}
FROM_THE_OPENING = {"expire", "rotate-due"}  # opening the home does it
LOOKED_AT_AFTER = {"expire": timedelta(days=32)}
PAST_EVERY_DEADLINE = timedelta(days=8)  # of audio, held audio included; kept results stay
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


def warm(modules: list[str]) -> None:
    """Import what a child needed once, so that the next ones find it there."""
    for name in modules:
        if name.startswith(("sottovoce.", "cryptography.", "sqlalchemy.", "alembic.")):
            with suppress(ImportError):
                importlib.import_module(name)


def run(scenario: str, home: Path, source: Path, points: Points) -> dict[str, Any]:
    """The scenario under faults; what it acknowledged."""
    SOURCE[:] = [source]
    watch_effects(points)
    points.armed = scenario in FROM_THE_OPENING
    try:
        with opened(home, points, **RUN_WITH.get(scenario, {})) as platform:
            points.armed = True
            try:
                acknowledged = SCENARIOS[scenario][1](platform, source)
            finally:
                points.armed = False
    except SottovoceError as error:
        return {"refused": error.public_code, "points": points.names}
    return {
        "acknowledged": acknowledged, "points": points.names, "effects": points.effects,
        "astray": sorted(points.astray),
    }  # fmt: skip


def look(scenario: str, home: Path, source: Path, acknowledged: str | None) -> list[str]:
    """What is dirty after restart, worker and sweep; nothing in a sound build."""
    SOURCE[:] = [source]
    dirty: list[str] = []
    quiet = Points()
    when = RUN_WITH.get(scenario, {}).get("offset", timedelta(0))
    with opened(home, quiet, offset=when) as platform:
        while platform.work_next() is not None:
            pass
        dirty += _windows(home)
        dirty += _fsck(platform, "after the restart")
    with opened(home, quiet, offset=LOOKED_AT_AFTER.get(scenario, PAST_EVERY_DEADLINE)) as platform:
        report = platform.sweep()
        dirty += [f"sweep could not finish: {code}" for code in report.errors]
        left = LEFT.get(scenario)
        dirty += _records(platform, acknowledged, left=left, dropped=scenario in DROPPING)
        dirty += _stores(platform)
        dirty += campaign_recipients.feeds(platform)
        dirty += campaign_sealed.keys(platform)
        dirty += _rounds(platform)
        dirty += _inferences(platform)
        if not platform.verify_audit().intact:
            dirty.append("the audit log does not verify")
        if platform.keyring.status().rotation_pending:
            dirty.append("a rotation is still pending")
        dirty += _fsck(platform, "past every deadline")
        dirty += _receipts(platform, home)
        if scenario in campaign_backup.SCENARIOS:
            dirty += campaign_backup.look(scenario, platform, source, acknowledged)
    return dirty + _windows(home)


LEFT = {
    "tell-erased": 0,
    "tell-session-erased": 0,
    "erase": 0,
    "train-erase": 0,
    "erase-session": 1,
    "lift": 0,
    "case": 0,
}  # recordings that may still be listed afterwards
DROPPING = {"withdraw", "refuse", "expire"}  # what is kept may, or must, be gone afterwards


def _fsck(platform: app.Platform, when: str) -> list[str]:
    """The copy of a receipt may be missing after a kill and is written anew; nothing else may be found."""
    report = platform.fsck(repair=True)
    found = {finding.code for finding in (*report.findings, *report.repaired)} - {"receipt_copy_missing"}
    found |= {finding.code for finding in report.findings}
    return [f"fsck {when}: {code}" for code in sorted(found)]


def _receipts(platform: app.Platform, home: Path) -> list[str]:
    """Every receipt verifies against the identity that the home has pinned."""
    with platform._adapters.database.read() as tx:
        receipts = [r for person in _people(tx) for r in tx.receipts.of_subject(person)]
    dirty = []
    for receipt in receipts:
        try:
            app.verify_receipt(receipt.text, home=home)
        except SottovoceError as error:
            dirty.append(f"a receipt does not verify: {error.public_code}")
    return dirty


def _windows(home: Path) -> list[str]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return [
        f"audio in clear in {path.name}" for path in files if any(w in path.read_bytes() for w in WINDOWS)
    ]


def _records(
    platform: app.Platform, acknowledged: str | None, *, left: int | None, dropped: bool
) -> list[str]:
    dirty = []
    with platform._adapters.database.read() as tx:
        person = platform._record.people.find(tx, "anna")
        recordings = tx.recordings.of_subject(person.id) if person else ()
        records = {recording.id: tx.records.of_session(recording.id) for recording in recordings}
    for recording in recordings:
        kinds = sorted(record.kind for record in records[recording.id])
        if recording.state not in (RecordingState.VERIFIED, RecordingState.FAILED_SHREDDED):
            dirty.append(f"a recording stays {recording.state}")
        kept = recording.state is RecordingState.VERIFIED and recording.keep
        allowed = [["features", "insight"]] if kept and not dropped else [[]]
        if kinds not in ([*allowed, [], ["features", "insight"]] if kept and dropped else allowed):
            dirty.append(f"{recording.state} with records {kinds}")
        if recording.receipt_id is None:
            dirty.append("an ended recording has no receipt")
        if kinds and platform.show(recording.id, purpose="subject_access").features is None:
            dirty.append("features do not open")
    if acknowledged and not dropped and not records.get(acknowledged):
        dirty.append("an acknowledged recording was lost")
    if left is not None and acknowledged is not None and len(recordings) > left:
        dirty.append("erased recordings are still listed")
    return dirty


def _stores(platform: app.Platform) -> list[str]:
    dirty = [f"a body is left: finished={info.finished}" for info in platform._adapters.bodies.list()]
    with platform._adapters.database.read() as tx:
        kept = {row.id for person in _people(tx) for s in tx.recordings.of_subject(person)
                for row in (*tx.records.of_session(s.id), *tx.records.decisions_of_session(s.id))}  # fmt: skip
        kept |= {case.identity_key_id for case in tx.cases.unfinished()}
        dirty += ["a request stays decided and not carried out" for case in tx.cases.unfinished()
                  if case.state is CaseState.CLOSING]  # fmt: skip
    for row in platform.keyring.rows():
        if row.kind == "recording":
            dirty.append("a recording's key is left")
        if row.kind == "record" and row.key_id not in kept:
            dirty.append("a record's key without its record is left")
    return dirty


def _people(tx: Any) -> list[str]:
    return list(tx.subjects.ids())


# --- the campaign ------------------------------------------------------------------------------------------


def campaign(scenario: str, modes: list[str], folder: Path) -> dict[str, Any]:
    base, source = folder / "base", folder / "source.wav"
    source.write_bytes(AUDIO)

    def prepare() -> list[str]:
        with opened(base, Points(), **PREPARED_WITH.get(scenario, {})) as platform:
            SCENARIOS[scenario][0](platform, source)
        return sorted(sys.modules)

    code, used = in_child(prepare)
    if code:
        sys.exit(f"the home could not be prepared: {used}")
    warm(used)
    _, dry = in_child(lambda: run(scenario, fresh(base, folder), source, Points()))
    if not isinstance(dry, dict) or "acknowledged" not in dry:
        sys.exit(f"the scenario does not run without faults: {dry}")
    rows = []
    for number, name in enumerate(dry["points"], start=1):
        for mode in modes if modes != ["turns"] else [turn(number)]:
            rows.append(one_point(scenario, base, folder, source, number, name, mode))
    return {
        "scenario": scenario, "points": len(dry["points"]), "faults": len(rows),
        "effects": dry["effects"], "astray": dry["astray"],
        "dirty": [row for row in rows if row["dirty"]], "rows": rows,
    }  # fmt: skip


def turn(number: int) -> str:
    """One of both for a point, so that every second one before a step, and every second one after it, is a kill."""
    return "raise" if number // 2 % 2 else "kill"


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
    for table in folder.glob("*.csv"):  # of a run before
        table.unlink()
    return Path(shutil.copytree(base, home))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("--mode", choices=["kill", "raise", "both", "turns", "none"], default="both")
    parser.add_argument("--forget", action="append", default=[], help="leave a port unwatched")
    given = parser.parse_args()
    FORGOTTEN[:] = given.forget
    modes = {"both": ["kill", "raise"], "none": []}.get(given.mode, [given.mode])
    with tempfile.TemporaryDirectory() as folder:
        result = campaign(given.scenario, modes, Path(folder))
    json.dump(result, sys.stdout)
    sys.exit(1 if result["dirty"] or result["astray"] else 0)


if __name__ == "__main__":
    main()
