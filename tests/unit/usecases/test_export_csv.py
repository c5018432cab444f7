"""The tables of a package: the same numbers as everywhere, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sottovoce.model.features import FEATURE_NAMES
from sottovoce.model.purpose import VOICE_ANALYSIS
from sottovoce.usecases.export_csv import _cell

Hall = Any


def _export(hall: Hall, out: Path, subject: str = "anna") -> zipfile.ZipFile:
    hall.platform.export_person(subject=subject, out=out, caller=hall.caller)
    return zipfile.ZipFile(out)


def test_M32_csv_and_json_say_the_same(hall: Hall, tmp_path: Path) -> None:
    """The tables and the data for programs in a package agree, number by number."""
    hall.grant()
    for _ in range(3):
        hall.analyze()
    archive = _export(hall, tmp_path / "anna.zip")
    data = json.loads(archive.read("data.json"))

    def rows(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(archive.read(name).decode())))

    features = {row["session_id"]: row for row in rows("features.csv")}
    for session in data["sessions"]:
        told = {name: float(features[session["id"]][name]) for name in FEATURE_NAMES}
        assert told == session["features"]["values"]
    assert len(rows("consents.csv")) == len(data["consents"])
    assert len(rows("access_log.csv")) == len(data["access_log"])
    assert len(rows("insights.csv")) == sum(len(one["insight"]["items"]) for one in data["sessions"])


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_is_disarmed(hall: Hall, tmp_path: Path, first: str) -> None:
    hall.platform.grant(
        subject="anna",
        purposes=[VOICE_ANALYSIS],
        evidence=first + 'HYPERLINK("x")',
        consent_channel="@paper",
        caller=hall.caller,
    )
    archive = _export(hall, tmp_path / "anna.zip")
    row = next(csv.DictReader(io.StringIO(archive.read("consents.csv").decode(), newline="")))
    assert row["evidence"] == f'\'{first}HYPERLINK("x")'
    assert row["channel"].startswith("'@")


def test_a_number_below_nothing_stays_a_number_and_its_text_does_not() -> None:
    assert _cell(-1.5) == -1.5
    assert _cell("-1.5") == "'-1.5"
    assert _cell(None) == ""
