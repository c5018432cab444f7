"""Bugs planted on purpose, one at a time, in a copy of the source: the tests named have to fail on each.

    python tests/faults/planted_bugs.py [NAME ...]

The list is written by hand from the mistakes of the design; a bug that no test sees, and a patch that does not apply
any more, both make this script fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNIT = "tests/unit/usecases"
FSCK = "tests/unit/usecases/test_fsck.py"
ENVELOPE = "tests/unit/sealing/test_envelope.py"


@dataclass(frozen=True)
class Bug:
    name: str
    file: str
    before: str
    after: str
    tests: str


BUGS = (
    Bug(
        "the key of a recording is kept", "usecases/discard.py",
        "        self.keyring.destroy([session_id])\n", "", UNIT,
    ),
    Bug(
        "the body of a recording is kept", "usecases/discard.py",
        "        self.bodies.delete(body_path(session_id))\n", "", UNIT,
    ),
    Bug(
        "nobody looks again after deleting", "usecases/discard.py",
        "        if self.bodies.exists(body_path(session_id)) or self.keyring.exists(session_id):",
        "        if False:", UNIT,
    ),
    Bug(
        "a withdrawal leaves what is kept", "usecases/consent.py",
        "tx.records.expire_now(person.id, tx.now()) if RETENTION in purposes else 0", "0", UNIT,
    ),
    Bug(
        "an erasure keeps the keys", "usecases/rights.py",
        '{"keys": self.keyring.destroy_subject(request.subject_id)}', '{"keys": 0}', UNIT,
    ),
    Bug(
        "the context of a body is not bound", "sealing/envelope.py",
        "        return self.to_bytes() + context", "        return self.to_bytes()", ENVELOPE,
    ),
    Bug(
        "the sweep never discards at the deadline", "usecases/retention.py",
        '            return "deadline"\n', "            return None\n", UNIT,
    ),
    Bug(
        "fsck believes an ended recording", "usecases/fsck.py",
        "        if not recording.ended:\n            return\n", "        return\n", FSCK,
    ),
    Bug(
        "attempts are not counted", "usecases/record.py",
        "attempts=recording.attempts + 1", "attempts=recording.attempts", UNIT,
    ),
    Bug(
        "results are kept without the consent to keep", "usecases/record.py",
        "keep=consents.allow((RETENTION,))", "keep=True", UNIT,
    ),
)  # fmt: skip


def caught(bug: Bug, folder: Path) -> str:
    """ "caught", or what is wrong."""
    source = Path(shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__")))
    target = source / "sottovoce" / bug.file
    text = target.read_text(encoding="utf-8")
    if text.count(bug.before) != 1:
        return f"the patch applies {text.count(bug.before)} times"
    target.write_text(text.replace(bug.before, bug.after), encoding="utf-8")
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", str(ROOT / bug.tests),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, cwd=ROOT, env=environment, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return "caught (the tests do not end)"
    return "caught" if done.returncode == 1 else f"NOT caught (pytest ended with {done.returncode})"


def main() -> int:
    bad = 0
    for bug in BUGS:
        if sys.argv[1:] and bug.name not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            answer = caught(bug, Path(folder))
        bad += int(not answer.startswith("caught"))
        print(f"{answer:<32} {bug.name}", flush=True)
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
