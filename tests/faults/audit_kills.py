"""Kill a process that writes the audit log at a random moment; nothing that it acknowledged may be missing afterwards.

    python tests/faults/audit_kills.py [--kills 40] [--seed 1] [--record]

Each round a child opens the same home (real SQLite, key files and a witness file) and lets several threads read through
the group commit, several others make changes, each telling the id of its entry through a pipe only after its verb has
returned. It is killed with SIGKILL at a random moment, while numbering, signing and delivering go on. Then the home is
opened as a newcomer would: every acknowledged entry is there, has its number, and the log verifies against everything
that the witness ever took. Prints one JSON object. Forks only, from a single-threaded parent.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sottovoce import app
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings

CALLER = Caller(actor="kills", channel="test")
READERS, WRITERS = 6, 2


def opened(home: Path, witness: Path) -> app.Platform:
    settings = Settings(home=home, witnesses=(f"file:{witness}",), checkpoint_every_s=0.01)
    real = app.connect(settings)
    real.extractor.close()
    return app.assemble(replace(real, extractor=InlineExtractor()), settings)


def write_until_killed(home: Path, witness: Path, pipe: int) -> None:
    platform = opened(home, witness)
    scribe = platform._trail.of(None, caller=CALLER)

    def read() -> None:
        while True:
            event = platform._read(
                lambda: platform._disclosure.reads.run(
                    lambda tx: scribe.write(tx, "test.read", details={"a": 1})
                )
            )
            os.write(pipe, f"{event}\n".encode())

    def change() -> None:
        while True:
            event = platform._verb(lambda: _change(platform, scribe))
            os.write(pipe, f"{event}\n".encode())

    threads = [threading.Thread(target=read, daemon=True) for _ in range(READERS)]
    threads += [threading.Thread(target=change, daemon=True) for _ in range(WRITERS)]
    os.write(pipe, b"ready\n")
    for thread in threads:
        thread.start()
    threads[0].join()


def _change(platform: app.Platform, scribe: Any) -> str:
    with platform._adapters.database.begin() as tx:
        event: str = scribe.write(tx, "test.change", details={"a": 1})
        return event


def killed(home: Path, witness: Path, after_s: float) -> list[str]:
    """Run a child and kill it so long after it began to write; what it acknowledged."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            write_until_killed(home, witness, writing)
        finally:
            os._exit(70)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        pipe.readline()  # ready
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
        told = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise SystemExit("the child ended by itself")
    return told[: told.rfind("\n") + 1].split()


def look(home: Path, witness: Path, acknowledged: list[str]) -> dict[str, Any]:
    """What a newcomer finds."""
    with opened(home, witness) as platform:
        with platform._adapters.database.read() as tx:
            numbered = {row[0] for page in tx.events.pages() for row in page}
        report = platform.verify_audit(since=witness.read_text())
    lost = [event for event in acknowledged if event not in numbered]
    return {"lost": len(lost), "intact": report.intact, "problem": report.problem, "events": report.events,
            "compared": report.compared}  # fmt: skip


def campaign(kills: int, seed: int) -> dict[str, Any]:
    dice = random.Random(seed)
    acknowledged: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        home, witness = Path(temporary) / "home", Path(temporary) / "witness.txt"
        in_child(lambda: opened(home, witness).close())
        found: dict[str, Any] = {}
        bad: list[dict[str, Any]] = []
        for _ in range(kills):
            acknowledged += killed(home, witness, dice.uniform(0.0, 0.3))
            found = in_child(partial(look, home, witness, acknowledged))
            if found["lost"] or not found["intact"]:
                bad.append(found)
        return {"kills": kills, "acknowledged": len(acknowledged), "bad": bad, **found}


def in_child(work: Any) -> Any:
    """Run it in a fork, so that this process stays single-threaded and holds no open database."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.write(writing, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(answer or b"null")


def keep(found: dict[str, Any], seed: int) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
    from figures import record

    words = (
        f"{found['kills']} kills at random moments (seed {seed}) of a process with {READERS} reading and {WRITERS} "
        f"changing threads: {found['acknowledged']:,} acknowledged entries, {found['lost']} lost, {len(found['bad'])} "
        f"openings afterwards where anything was wrong; {found['events']:,} entries, the log "
        f"{'intact' if found['intact'] else 'NOT intact'} against what its witness took, which "
        f"covers {found['compared'] or 0:,} of them."
    )
    record("audit-kills", "Kills while the audit log is written", words)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="keep the figures in docs/reference/figures.md")
    given = parser.parse_args()
    found = campaign(given.kills, given.seed)
    print(json.dumps(found))
    if given.record:
        keep(found, given.seed)
    return 1 if found["bad"] else 0


if __name__ == "__main__":
    sys.exit(main())
