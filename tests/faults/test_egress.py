"""The counter of `make offline` counts: what it says of a program that tries to leave, and of one that does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OFFLINE = Path(__file__).resolve().parents[2] / "scripts" / "offline.py"
LEAVING = "import contextlib, socket\nwith contextlib.suppress(OSError): socket.create_connection(('192.0.2.7', 80))"
IN_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', {LEAVING!r}])"
STAYING = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); s.getsockname()"


def offline(program: str) -> tuple[int, str]:
    command = [sys.executable, str(OFFLINE), "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    for why in ("not run:", "not counted:"):
        if why in done.stdout:
            pytest.skip(done.stdout.strip().splitlines()[-1])
    return done.returncode, done.stdout


@pytest.mark.parametrize("program", [LEAVING, IN_A_CHILD], ids=["itself", "in a child"])
def test_X43_a_connection_attempt_of_any_process_is_counted(program: str) -> None:
    """Should any process of a run reach for another machine, even one that swallows the refusal, the count says so."""
    code, said = offline(program)
    assert code == 1
    assert "all processes: 1 seen by the kernel" in said


def test_X43_who_stays_inside_is_counted_zero() -> None:
    """A run that talks to its own machine alone is counted with zero attempts to leave."""
    code, said = offline(STAYING)
    assert code == 0
    assert "all processes: 0 seen by the kernel, 0 refused before it in Python" in said
