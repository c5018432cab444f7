"""A platform of plain values, and the command line run over streams of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce.app import read_corpus
from sottovoce.doors.cli.app import main
from sottovoce.doors.cli.console import Console
from sottovoce.doors.cli.world import World
from sottovoce.doors.worker import Stop
from sottovoce.doors.worker import run as run_worker
from sottovoce.model.consent import ConsentStatus, PurposeConsent
from sottovoce.model.features import FEATURE_COUNT, FeatureVector, Insight, InsightItem, Quality
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.outcome import (
    Analysis,
    ArchiveOutcome,
    AudioFate,
    AuditLine,
    AuditProof,
    AuditReport,
    AuditSummary,
    Check,
    ConsentOutcome,
    ErasureOutcome,
    KeysStatus,
    Retention,
    RotationReport,
    SessionContent,
    SessionView,
    Submission,
    SweepReport,
    VerifiedProof,
    WitnessState,
    WorkOutcome,
)
from sottovoce.model.purpose import CONSENT_PURPOSES
from sottovoce.model.recording import RecordingState
from sottovoce.sealing.receipt import Receipt

COPIES = DestructionPromise(None, "you rotate; then at once")
NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SESSION = "ses_" + "a" * 24
RECEIPT = "rct_" + "b" * 24
CHECKPOINT = f"log-of-tests\n9\n{'A' * 43}=\n\n— log-of-tests AAAAAAA=\n"


def an_analysis(**changes: Any) -> Analysis:
    """What `analyze` answers for an ordinary recording whose result is kept."""
    analysis = Analysis(
        session_id=SESSION,
        subject="anna",
        features=FeatureVector(
            values=tuple(float(i) for i in range(FEATURE_COUNT)), profile="compat", version="egemaps-88/1",
            sample_rate_hz=16000,
        ),
        quality=Quality(11.0, 612, 0.0, 21.4, "flac/pcm_16", 44100, 2, "0"),
        insight=Insight(
            "voice_profile", "1", "0" * 64,
            (
                InsightItem("pitch_level", "Pitch level", 142.3, "Hz", "How high the voice is.", ("F0",)),
                InsightItem("hnr", "Harmonics to noise", None, "dB", "How clear the tone is.", ("HNR",)),
            ),
        ),
        audio=AudioFate(
            RecordingState.VERIFIED, "analyze", 0, "left_in_place", NOON + timedelta(minutes=15), NOON, RECEIPT,
            "{}", f"/home-of-tests/receipts/{RECEIPT}.json",
        ),
        retention=Retention(True, NOON + timedelta(days=30), "data_retention_30_days"),
    )  # fmt: skip
    return replace(analysis, **changes)


def consents_of(*granted: str) -> tuple[PurposeConsent, ...]:
    return tuple(
        PurposeConsent(p, ConsentStatus.GRANTED if p in granted else ConsentStatus.NEVER_ASKED, since=NOON)
        for p in CONSENT_PURPOSES
    )


@dataclass
class FakePlatform:
    """Answers every verb with a plain value, or raises what `fails` says; keeps what it was asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    fails: dict[str, BaseException] = field(default_factory=dict)  # verb, or path of a file -> what is raised
    asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    opened_with: list[Path | None] = field(default_factory=list)
    closed: int = 0

    def __enter__(self) -> FakePlatform:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def models_to_run(self) -> tuple[object, ...]:
        """No models: telling of them before a recording is read is tested where they are run."""
        return ()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if verb not in self.answers:
            raise AttributeError(verb)

        def call(*arguments: Any, **named: Any) -> Any:
            self.asked.append((verb, arguments, named))
            for key in (verb, *map(str, arguments)):
                if key in self.fails:
                    raise self.fails[key]
            answer = self.answers[verb]
            return answer(*arguments, **named) if callable(answer) else answer

        return call

    def verbs_asked(self) -> list[str]:
        return [verb for verb, _, _ in self.asked]


def answers() -> dict[str, Any]:
    waiting = [WorkOutcome(SESSION, RecordingState.VERIFIED, None, 1, RECEIPT)]
    states = consents_of("voice_recording", "voice_analysis")
    outcome = ConsentOutcome("anna", "grant", states[:2], RECEIPT, "{}", f"/home-of-tests/{RECEIPT}.json")
    analysis = an_analysis()
    return {
        "analyze": analysis,
        "submit": Submission(
            SESSION, "anna", RecordingState.RECEIVED, 196_700, NOON + timedelta(hours=24), "left_in_place"
        ),
        "work_next": lambda **_: waiting.pop() if waiting else None,
        "retry": None,
        "grant": outcome,
        "refuse": outcome,
        "withdraw": replace(outcome, stopped_sessions=(SESSION,), remains=("one receipt, for six years",)),
        "consents": states,
        "sessions": (
            SessionView(
                SESSION, "submit", RecordingState.VERIFIED, NOON, NOON, None, True, NOON, ("features",), RECEIPT, None
            ),
        ),
        "show": SessionContent(
            SESSION, "subject_access", analysis.features, analysis.quality, analysis.insight, False, NOON
        ),
        "erase": ErasureOutcome("erased", "req_" + "c" * 24, {"keys": 7, "rows": 12}, "{}", "/home-of-tests/r.json"),
        "new_request_id": "req_" + "e" * 24,
        "sweep": SweepReport(audio_discarded=2, overdue=1),
        "key_copies": COPIES,
        "rotate_keys": RotationReport(1, 2, 40, timedelta(seconds=0.5), "the file is gone", COPIES),
        "keys_status": KeysStatus(
            {"provider": "local"}, 1, NOON, {"subject": 5, "recording": 1}, False, "f" * 64, COPIES, NOON, False,
        ),
        "identity": '{"format": "sottovoce-identity/1", "key_id": "ff"}\n',
        "replace_identity": '{"format": "sottovoce-identity/1", "key_id": "ee"}\n',
        "verify_audit": AuditReport(True, 9, 0, None, "", "ab" * 32, "nine entries hashed and linked"),
        "show_audit": (
            AuditLine(1, NOON, "consent.grant", "operator", "operator-cli", None, "ok", "p1", {"purposes": ["x"]}),
        ),
        "archive_audit": ArchiveOutcome(1, 7, NOON, "ab" * 32),
        "verify_archive": ArchiveOutcome(1, 7, NOON, "ab" * 32),
        "checkpoint_audit": CHECKPOINT,
        "prove_audit": AuditProof("evt_" + "d" * 24, 3, 9, f"c2sp.org/tlog-proof@v1\nindex 2\n\n{CHECKPOINT}"),
        "report_audit": AuditSummary(
            AuditReport(True, 9, 0, None, "", "ab" * 32, "nine entries hashed and linked"),
            {"2026-01": {"consent.grant": 4, "record.read": 5}}, 9, None, None, 2,
            (WitnessState("file-1a2b3c4d", 7, NOON, None, False),), NOON, timedelta(hours=1), (),
        ),
        "doctor": (Check("sealed child", "ok", "seccomp"), Check("swap", "warn", "active", "Turn it off.")),
    }  # fmt: skip


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform(answers())


@pytest.fixture
def analysis_of() -> Callable[..., Analysis]:
    return an_analysis


@pytest.fixture
def granted() -> Callable[..., tuple[PurposeConsent, ...]]:
    return consents_of


@pytest.fixture
def run(platform: FakePlatform) -> Callable[..., Result]:
    """Run one command line over the platform of plain values."""

    def go(*arguments: str, environ: Mapping[str, str] | None = None, stdout: Any = None) -> Result:
        out, err = stdout or io.StringIO(), io.StringIO()
        stop = Stop()

        def open_platform(home: Path | None, /, **_: str) -> Any:
            platform.opened_with.append(home)
            if "open" in platform.fails:
                raise platform.fails["open"]
            return platform

        def loop(opened: Any, *, once: bool, report: Any) -> list[WorkOutcome]:
            return run_worker(opened, once=once, report=report, stop=stop, poll_s=0.01)

        def verify(text: str, /, *, key: str | None, home: Path | None) -> Receipt:
            platform.asked.append(("verify", (text,), {"key": key, "home": home}))
            if "verify" in platform.fails:
                raise platform.fails["verify"]
            return Receipt("recording", {"state": "verified", "at": "now"}, "f" * 64, b"\0" * 64)

        def verify_proof(text: str, /, *, key: str | None, home: Path | None) -> VerifiedProof:
            platform.asked.append(("verify_proof", (text,), {"key": key, "home": home}))
            number = 3 if text.startswith("c2sp.org/") else None
            return VerifiedProof(
                "log-of-tests", 9, "ab" * 32, number, {"kind": "record.read"} if number else None
            )

        def verify_archive(path: Path, /, *, key: str | None, home: Path | None) -> ArchiveOutcome:
            platform.asked.append(("verify_archive offline", (path,), {"key": key, "home": home}))
            return ArchiveOutcome(1, 7, NOON, "ab" * 32)

        world = World(
            console=Console(out, err, environ or {}),
            open_platform=open_platform,
            verify_receipt=verify,
            verify_proof=verify_proof,
            verify_archive=verify_archive,
            run_worker=loop,
            read_corpus=read_corpus,
        )
        try:
            code = main(arguments, world=world)
        finally:
            stop.close()
        return Result(code, out.getvalue() if isinstance(out, io.StringIO) else "", err.getvalue())

    return go
