"""A witness that is a program of the operator's: the checkpoint on its standard input, exit code 0 for "taken".

It runs without a shell, with the rights of this process, and is ended when it takes too long. What it prints goes
nowhere: nothing of it may reach a log of ours.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence

from sottovoce.errors import StorageError

TIMEOUT_S = 5.0


class CommandWitness:
    """Port `Witness` on a program."""

    def __init__(self, command: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> None:
        self._command = list(command)
        self._timeout_s = timeout_s
        self.name = "command-" + hashlib.sha256(os.fsencode("\0".join(command))).hexdigest()[:8]

    def deliver(self, checkpoint: str) -> None:
        try:
            done = subprocess.run(
                self._command, input=checkpoint.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                timeout=self._timeout_s, check=False,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError, ValueError):
            raise _unreachable("could not be run, or took too long") from None
        if done.returncode != 0:
            raise _unreachable("did not take the checkpoint")


def _unreachable(what: str) -> StorageError:
    return StorageError(
        f"The witness program {what}.",
        hint="Run it by hand with a checkpoint on its standard input.",
        reason="witness_unreachable",
    )
