"""What a package says to programs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from sottovoce.model.features import FEATURE_NAMES

Hall = Any


def _export(hall: Hall, out: Path, subject: str = "anna") -> zipfile.ZipFile:
    hall.platform.export_person(subject=subject, out=out, caller=hall.caller)
    return zipfile.ZipFile(out)


def test_C13a_the_package_explains_features_recipients_retention_and_model_use(
    hall: Hall, tmp_path: Path
) -> None:
    """The package of a person says in plain words what each number is, who receives it, how long it stays."""
    hall.grant()
    analysis = hall.analyze()
    archive = _export(hall, tmp_path / "anna.zip")
    data = json.loads(archive.read("data.json"))
    session = data["sessions"][0]
    assert session["id"] == analysis.session_id
    assert session["features"]["values"] == hall.stored(analysis.features).as_dict()
    assert set(data["features_explained"]) == set(FEATURE_NAMES)
    assert data["recipients"] == []
    assert data["recipients_in_words"].startswith("Nothing of you was handed to anybody")
    assert data["retention_days"]["features"] == 30
    assert session["decisions"][0]["model_sha256"] == analysis.insight.model_sha256
    assert session["decisions"][0]["content"]["feature_sha256"] == analysis.features.sha256()
    assert [item["name"] for item in session["insight"]["items"]] == [i.name for i in analysis.insight.items]
    assert "anna" in archive.read("index.html").decode()
