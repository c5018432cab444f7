"""The processes that `sottovoce residue` starts and watches: told one command at a time, ended or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sottovoce.errors import SottovoceError

HANDLER = (sys.executable, "-m", "sottovoce.doors.cli.residue_handler")


def start(handler: Sequence[str], home: Path, *, temporary: Path, name: str) -> Process:
    """One more, once it is ready; its log and its temporary files go to that folder."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with (temporary / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            [*handler, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            cwd=temporary, env=environment, text=True,
        )  # fmt: skip
    started = Process(child)
    started.hear()
    return started


@dataclass
class Process:
    """One of the processes that do the work."""

    child: subprocess.Popen[str]

    def tell(self, *command: str) -> str:
        self.send(*command)
        return self.hear()

    def send(self, *command: str) -> None:
        with suppress(OSError):
            (self.child.stdin or sys.stdout).write(json.dumps(command) + "\n")
            (self.child.stdin or sys.stdout).flush()

    def hear(self) -> str:
        line = self.child.stdout.readline() if self.child.stdout else ""
        if not line:
            raise SottovoceError(
                "A process that handles the marked recordings has ended by itself.",
                hint="`sottovoce doctor` checks this home and machine.",
            )
        return line.strip()

    def family(self) -> tuple[int, ...]:
        from sottovoce.doors.cli.residue_search import family

        return family(self.child.pid)

    def kill(self) -> None:
        """SIGKILL for it and everything it has started."""
        for pid in self.family():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._close()

    def end(self) -> None:
        self._close()

    def _close(self) -> None:
        for stream in (self.child.stdin, self.child.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        self.child.wait(timeout=60)
