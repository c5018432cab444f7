"""The command line on the recordings beside the checkout: bad inputs get their answer, none stops the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.shared]

ANSWERS = {
    "zero_bytes.wav": "empty",
    "text_named.wav": "unknown_format",
    "truncated_header.wav": "header_invalid",
    "header_only.wav": "no_samples",
    "rate_768k.wav": "sample_rate",
    "channels_1000.wav": "channels",
    "flac_bomb_10h_silence.flac": "too_long",
    "ten_ms.wav": "too_short",
    "nan_inf_float.wav": "non_finite",
    "huge_float_values.wav": "amplitude",
    "truncated_data.wav": "truncated",
    "silence_3s.wav": None,
    "declares_4GB.wav": None,
}


def test_bad_files_get_their_named_answer_and_good_ones_their_features(cli: Any, shared_data: Path) -> None:
    """Every bad file is refused with the reason that was promised, and the good ones among them are analysed."""
    cli.grant("anna")
    folder = shared_data / "bad_inputs"
    names = [name for name in ANSWERS if (folder / name).exists()]
    assert len(names) >= 10
    done = cli("analyze", *(folder / name for name in names), "--subject", "anna", "--json", code=1)
    found = {Path(line["file"]).name: line.get("error", {}).get("code") for line in done.lines}
    assert found == {name: ANSWERS[name] for name in names}
    silence = next(line for line in done.lines if line["file"].endswith("silence_3s.wav"))
    assert "no_voice" in silence["quality"]["flags"]
    assert not any(item["available"] for item in silence["insights"] if item["name"].startswith("pitch"))


def test_several_refused_alike_share_their_exit_code(cli: Any, shared_data: Path) -> None:
    cli.grant("anna")
    bad = [shared_data / "bad_inputs" / name for name in ("zero_bytes.wav", "text_named.wav")]
    cli("analyze", *bad, "--subject", "anna", code=4)


def test_truncated_audio_is_taken_when_that_is_asked_for(cli: Any, shared_data: Path) -> None:
    cli.grant("anna")
    path = shared_data / "bad_inputs" / "truncated_data.wav"
    answer = cli("analyze", path, "--subject", "anna", "--accept-truncated", "--json").json
    assert "truncated" in answer["quality"]["flags"]


def test_people_in_other_folders(cli: Any, shared_data: Path) -> None:
    cli.grant("anna")
    some = [sorted((shared_data / name).rglob("*.flac"))[0] for name in ("emodb", "vctk", "ljspeech")]
    done = cli("analyze", *some, "--subject", "anna", "--json")
    assert [len(line["features"]) for line in done.lines] == [88, 88, 88]
