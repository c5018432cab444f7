"""Archiving on a real home, ended by a real exit at each of its steps: nothing is lost, and it can be done again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sottovoce import app
from sottovoce.adapters.archive_file import LocalArchiveFile
from sottovoce.errors import IntegrityError
from sottovoce.settings import Settings

STEPS = ("begun", "half written", "written", "taken out", "committed")
ENTRIES = 700
CHILD = """
import os, sys
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from sottovoce import app
from sottovoce.adapters.archive_file import LocalArchiveFile
from sottovoce.settings import Settings

home, out, step = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
platform = app.open(Settings(home=home))

def die():
    os._exit(137)

class File(LocalArchiveFile):
    def write(self, lines):
        if step == "begun":
            die()
        def some():
            for n, line in enumerate(lines):
                yield line
                if step == "half written" and n == 300:
                    die()
        super().write(some())
        if step == "written":
            die()

class Database:
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)
    @contextmanager
    def begin(self, **given):
        with self.inner.begin(**given) as tx:
            yield tx
            if step == "taken out":
                die()
        die()

archiving = replace(platform._archiving, database=Database(platform._archiving.database))
with platform._archiving.database.read() as tx:
    now = tx.now()
archiving.archive(File(out), before=now, caller=app.LIBRARY)
"""


@pytest.mark.parametrize("step", STEPS)
def test_I9_C29a_a_kill_while_old_entries_are_archived_loses_none(step: str, tmp_path: Path) -> None:
    """However the archiving of old entries is killed, each of them is in the log or in a file that verifies."""
    home, out = tmp_path / "home", tmp_path / "old.archive"
    with app.open(Settings(home=home)) as platform:
        platform.grant(subject="anna", purposes=["voice_recording"])
        with platform._adapters.database.begin() as tx:
            scribe = platform._trail.of(None, caller=app.LIBRARY)
            for n in range(ENTRIES):
                scribe.write(tx, "test.entry", details={"n": n})
        kept = platform.checkpoint_audit()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(home), str(out), step],
        capture_output=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 137, done.stderr.decode()[-500:]
    with app.open(Settings(home=home)) as platform:
        report = platform.verify_audit(since=kept)
        assert report.intact, report.problem
        assert report.events > ENTRIES
        if step == "committed":
            assert platform.verify_archive(out).last == report.archived >= ENTRIES
            return
        assert report.archived == 0
        if step == "half written":
            with pytest.raises(IntegrityError):
                platform.verify_archive(out)
        again = LocalArchiveFile(tmp_path / "again.archive")
        with platform._adapters.database.read() as tx:
            now = tx.now()
        platform._archiving.archive(again, before=now, caller=app.LIBRARY)
        assert platform.verify_audit(since=kept).intact
