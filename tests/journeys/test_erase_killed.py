"""A process that is killed while it erases: the request it named before it began leads to the receipt."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LINE = re.compile(r"request ID: (req_[a-z2-7]{24}); repeat with --request-id \1 if interrupted\n")
PATIENCE_S = 60.0


@contextmanager
def erasing(cli: Any, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An erasure of gina that has named its request; killed at the end of the block."""
    running = cli.start("erase", "--subject", "gina", *more)
    try:
        line = running.stderr.readline()
        named = LINE.fullmatch(line)
        assert named, line
        yield running, named[1]
    finally:
        running.kill()
        running.communicate(timeout=20)
    assert running.returncode == -9


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Nobody else can write to this database: who wants to waits."""
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def wait_for(text: str, file: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while text not in file.read_text(encoding="utf-8"):
        assert time.monotonic() < end, "nothing was promised"
        time.sleep(0.02)


@pytest.fixture
def gina(cli: Any, jfk_path: Path) -> Any:
    cli.grant("gina")
    cli("analyze", jfk_path, "--subject", "gina")
    return cli.having(SOTTOVOCE_BUSY_TIMEOUT_S=str(PATIENCE_S))


@pytest.mark.parametrize("mode", [(), ("--json",)], ids=["text", "json"])
def test_C11d_F26_an_erasure_killed_midway_gives_its_receipt_to_who_names_its_request(
    gina: Any, mode: tuple[str, ...]
) -> None:
    """An erasure that is killed midway has named its request before: asked with it, the receipt comes, the same one
    each time."""
    with held(gina.home / "keys" / "keys.db"), erasing(gina, *mode) as (running, request):
        wait_for(request, gina.home / "tombstones.log")
        assert running.poll() is None
    gina("sweep")  # whoever opens the home next finishes it
    assert gina("erase", "--subject", "gina", "--json").json["result"] == "nothing_held"
    answers = [gina("erase", "--subject", "gina", "--request-id", request, "--json").json for _ in range(2)]
    assert [(answer["result"], answer["request_id"]) for answer in answers] == [("erased", request)] * 2
    assert answers[0]["receipt"] == answers[1]["receipt"]
    receipt = json.loads(Path(answers[0]["receipt"]).read_text(encoding="utf-8"))
    assert (receipt["body"]["request_id"], receipt["body"]["found"]["keys"] > 0) == (request, True)
    gina("verify", answers[0]["receipt"])


def test_an_erasure_killed_as_soon_as_it_has_named_its_request_is_done_by_repeating_it(gina: Any) -> None:
    with erasing(gina) as (_, request):
        pass
    answer = gina("erase", "--subject", "gina", "--request-id", request, "--json")
    assert (answer.json["result"], answer.json["request_id"]) == ("erased", request)
    assert answer.err == ""  # who names the request knows it
