"""A witness that is the system log: one line for each checkpoint, which a log host outside may collect.

`sottovoce audit verify --since FILE` finds the checkpoints again in an excerpt of that log. The system log gives no
receipt: "taken" means that the local daemon's socket was there.
"""

from __future__ import annotations

import stat
import syslog
from collections.abc import Callable
from pathlib import Path

from sottovoce.audit.checkpoint import to_line
from sottovoce.errors import StorageError

SOCKET = Path("/dev/log")


def _send(line: str) -> None:
    syslog.syslog(syslog.LOG_NOTICE | syslog.LOG_AUTH, line)


class SyslogWitness:
    """Port `Witness` on the system log. `send` and `socket` are for tests."""

    name = "syslog"

    def __init__(self, *, send: Callable[[str], None] = _send, socket: Path = SOCKET) -> None:
        self._send = send
        self._socket = socket

    def deliver(self, checkpoint: str) -> None:
        try:
            listening = stat.S_ISSOCK(self._socket.stat().st_mode)
        except OSError:
            listening = False
        if not listening:
            raise StorageError(
                "There is no system log to write to.",
                hint="Start the system's log daemon, or name another witness.",
                reason="witness_unreachable",
            )
        self._send(to_line(checkpoint))
