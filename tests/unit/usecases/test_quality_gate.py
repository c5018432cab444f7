"""The gate on the sealed path: told before anything is sealed, and able to end it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sottovoce.errors import AudioRejected
from sottovoce.model.recording import RecordingState

POOR = {"snr_db": 3.4, "clipped_share": 0.05}


@pytest.fixture
def poor(hall: Any) -> Any:
    """A hall whose child finds noise and clipping in everything."""
    found = hall.extractor.extraction
    hall.extractor.extraction = replace(found, quality=replace(found.quality, **POOR))
    purposes = ["voice_recording", "voice_analysis", "data_retention_30_days"]
    hall.platform.grant(subject="anna", purposes=purposes)
    return hall


def records_of(hall: Any) -> int:
    with hall.database.read() as tx:
        return sum(
            len(tx.records.of_session(view.session_id)) for view in hall.platform.sessions(subject="anna")
        )


def test_X22_the_gate_is_told_before_anything_is_sealed(poor: Any, jfk_path: Path) -> None:
    """What is wrong with a recording is told, with the measured value, at a time when nothing of it is stored yet."""
    told: list[tuple[tuple[str, ...], int]] = []
    poor.platform.analyze(
        jfk_path,
        subject="anna",
        on_gate=lambda found: told.append((tuple(f.words for f in found), records_of(poor))),
    )
    ((words, stored),) = told
    assert any("5 %" in text for text in words)
    assert any("3 dB" in text for text in words)
    assert stored == 0
    assert records_of(poor) > 0


def test_X22_a_recording_can_be_refused_at_the_gate(poor: Any, jfk_path: Path) -> None:
    """Whoever refuses a poor recording at the gate keeps nothing of it: no numbers, no audio."""

    def refuse(found: tuple[Any, ...]) -> None:
        raise AudioRejected("Too poor.", reason="poor_quality")

    with pytest.raises(AudioRejected):
        poor.platform.analyze(jfk_path, subject="anna", on_gate=refuse)
    (view,) = poor.platform.sessions(subject="anna")
    assert (view.state, view.failure) == (RecordingState.FAILED_SHREDDED, "poor_quality")
    assert records_of(poor) == 0


def test_a_good_recording_passes_with_nothing_said(hall: Any, jfk_path: Path) -> None:
    hall.platform.grant(subject="anna", purposes=["voice_recording", "voice_analysis"])
    said: list[Any] = []
    hall.platform.analyze(jfk_path, subject="anna", on_gate=said.append)
    assert said == [()]
