"""The page of a package, as the person reads it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS

Hall = Any


def _export(hall: Hall, out: Path, subject: str = "anna") -> zipfile.ZipFile:
    hall.platform.export_person(subject=subject, out=out, caller=hall.caller)
    return zipfile.ZipFile(out)


def test_C13a_the_page_has_no_script_and_escapes_every_word(hall: Hall, tmp_path: Path) -> None:
    """A name or text with markup in it stays text on the page that the person reads."""
    evil = '<script>alert("1")</script><img src=x onerror=y>'
    hall.platform.grant(subject=evil, purposes=[VOICE_ANALYSIS], evidence=evil, caller=hall.caller)
    page = _export(hall, tmp_path / "evil.zip", evil).read("index.html").decode()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page


def test_the_page_says_what_is_kept_of_a_session_and_when_nothing_is(hall: Hall, tmp_path: Path) -> None:
    hall.grant()
    session = hall.analyze().session_id
    page = _export(hall, tmp_path / "a.zip").read("index.html").decode()
    assert f"Session {session}, verified. The audio: no copy was ever made of it." in page
    assert "88 numbers that describe the sound of the voice" in page
    assert "Nothing of you was handed to anybody" in page
    hall.platform.withdraw(subject="anna", purposes=[RETENTION], caller=hall.caller)
    hall.platform.sweep(caller=hall.caller)
    page = _export(hall, tmp_path / "b.zip").read("index.html").decode()
    assert "No result is kept of it." in page
