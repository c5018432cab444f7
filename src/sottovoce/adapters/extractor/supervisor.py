"""Keeps one parent process and its idle children, from a thread that lives as long as the service.

The kernel sends the parent-death signal when the *thread* that made a process ends, not when its program does:
a parent started from a short-lived request thread would die with the request. So one thread starts it, listens
to it, and lives until `close()`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sottovoce.adapters.extractor.parent import MAX_CONTROL_BYTES, ParentConfig
from sottovoce.errors import ConfigurationError, ExtractionFailed, ExtraMissing, SottovoceError
from sottovoce.model.features import SandboxLevel

_START_LIMIT_S = 120.0  # a cold disk and a busy machine; usual is about a second
# One thread each: a pool would forbid the fork, and a child may not make threads.
_POOLS = ("OPENBLAS", "OMP", "MKL", "NUMBA", "NUMEXPR", "BLIS")
_SINGLE_THREAD = {f"{pool}_NUM_THREADS": "1" for pool in _POOLS}
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "HOME", "NUMBA_CACHE_DIR", "SYSTEMROOT")
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from sottovoce.adapters.extractor.parent import main; main(sys.argv[2])"
)


@dataclass(frozen=True, slots=True)
class ParentSettings:
    """What a parent is started with; see SealedExtractor."""

    python: str
    memory_bytes: int
    cpu_s: int
    use_seccomp: bool
    probes: bool
    embedding_model: str | None = None


@dataclass(slots=True)
class Child:
    """An idle child, ready for one job."""

    number: int  # by which the parent knows it
    job_socket: socket.socket
    result_fd: int

    def close(self) -> None:
        self.job_socket.close()
        if self.result_fd >= 0:
            os.close(self.result_fd)
            self.result_fd = -1


class Supervisor:
    """Starts the parent at first use, hands out children, restarts a parent that died. Thread-safe."""

    def __init__(self, settings: ParentSettings, *, idle_children: int) -> None:
        self._settings, self._idle_wanted = settings, max(1, idle_children)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wanted = self._closing = False
        self._control: socket.socket | None = None
        self._level: SandboxLevel | None = None
        self._formats = self._told = False
        self._failure: SottovoceError | None = None
        self._idle: deque[Child] = deque()
        self._forking = self._waiting = 0
        self._ended: dict[int, int | None] = {}  # of children with a job: wait status once it is known

    def start(self) -> None:
        """Begin to start the parent, if none runs; does not wait."""
        with self._changed:
            if self._closing:
                raise ExtractionFailed("The extractor is closed.", reason="closed")
            self._wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="sottovoce-extractor", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def level(self) -> SandboxLevel:
        """The confinement in force; waits for the parent."""
        with self._changed:
            self._await_ready()
            if self._level is None:
                raise _not_started()
            return self._level

    def has_formats(self) -> bool:
        """Whether the optional decoders are there; waits for the parent."""
        with self._changed:
            self._await_ready()
            return self._formats

    def take(self) -> Child:
        """An idle child, now the caller's: give it back to `finish`."""
        with self._changed:
            self._waiting += 1
            try:
                while True:
                    self._await_ready()
                    if self._idle:
                        child = self._idle.popleft()
                        self._ended[child.number] = None
                        return child
                    self._order_children(self._waiting)
                    self._changed.wait(timeout=1.0)
            finally:
                self._waiting -= 1

    def finish(self, child: Child) -> None:
        """End a child whatever it does, and have the next one made."""
        child.close()
        with self._changed:
            self._ended.pop(child.number, None)
            self._send({"kill": child.number})
            self._order_children(max(self._waiting, self._idle_wanted))

    def kill(self, child: Child) -> None:
        with self._changed:
            self._send({"kill": child.number})

    def wait_status(self, child: Child, *, timeout_s: float) -> int | None:
        """The wait status of a child that ended; None where it is not known in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended.get(child.number) is not None, timeout=timeout_s)
            return self._ended.get(child.number)

    def close(self) -> None:
        """End the parent and all children; idempotent."""
        with self._changed:
            self._closing = True
            thread = self._thread
            if self._control is not None:
                with contextlib.suppress(OSError):
                    self._control.shutdown(socket.SHUT_RDWR)
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10.0)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while self._level is None:
            self.start()
            if self._failure is not None:
                failure, self._failure = self._failure, None
                self._wanted = False
                raise failure
            if not self._changed.wait(timeout=max(0.0, deadline - time.monotonic())):
                raise _not_started()

    def _order_children(self, wanted: int) -> None:
        missing = wanted - len(self._idle) - self._forking
        if missing > 0 and self._send({"fork": missing}):
            self._forking += missing

    def _send(self, order: dict[str, int]) -> bool:
        if self._control is None or self._level is None:
            return False
        try:
            self._control.send(json.dumps(order).encode())
        except OSError:
            return False
        return True

    # Below: the supervisor's own thread.

    def _live(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or (self._wanted and self._failure is None))
                if self._closing:
                    return
            self._one_parent()

    def _one_parent(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process: subprocess.Popen[bytes] | None = None
        try:
            process = _spawn(self._settings, theirs.fileno())
            theirs.close()
            with self._changed:
                self._control, self._told = ours, False
                if self._closing:
                    return
            self._listen(ours)
        except OSError:  # no such Python, no more processes: told by what follows
            pass
        finally:
            theirs.close()
            self._forget_parent(ours)
            if process is not None:
                _end(process)

    def _listen(self, control: socket.socket) -> None:
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(control, MAX_CONTROL_BYTES, 2)
            except OSError:
                return
            if not message:
                return
            self._note(json.loads(message), fds)

    def _note(self, said: dict[str, Any], fds: list[int]) -> None:
        with self._changed:
            if "ready" in said:
                self._level = "seccomp" if said["ready"] == "seccomp" else "rlimits"
                self._formats = bool(said["formats"])
                self._told = True
                self._order_children(max(self._idle_wanted, self._waiting))
            elif "failed" in said:
                self._failure = _start_failure(said)
                self._told = True
            elif "child" in said:
                self._forking = max(0, self._forking - 1)
                self._idle.append(Child(said["child"], socket.socket(fileno=fds[0]), fds[1]))
            elif "dead" in said:
                self._note_dead(said["dead"], said["status"])
            self._changed.notify_all()

    def _note_dead(self, number: int, status: int) -> None:
        if number in self._ended:
            self._ended[number] = status
            return
        for child in [child for child in self._idle if child.number == number]:
            self._idle.remove(child)
            child.close()
            self._order_children(self._idle_wanted)

    def _forget_parent(self, control: socket.socket) -> None:
        with self._changed:
            control.close()
            if not self._told and not self._closing:  # it ended without a word
                self._failure = _not_started()
            self._control, self._level, self._forking = None, None, 0
            self._wanted = self._waiting > 0
            while self._idle:
                self._idle.popleft().close()
            for number in [number for number, status in self._ended.items() if status is None]:
                self._ended[number] = signal.SIGKILL  # its parent is gone, and it with it
            self._changed.notify_all()


def _spawn(settings: ParentSettings, control_fd: int) -> subprocess.Popen[bytes]:
    """The parent, in a session of its own: a Ctrl-C at the terminal is the service's to handle."""
    config = ParentConfig(
        control_fd=control_fd,
        service_pid=os.getpid(),
        memory_bytes=settings.memory_bytes,
        cpu_s=settings.cpu_s,
        use_seccomp=settings.use_seccomp,
        probes=settings.probes,
        embedding_model=settings.embedding_model,
    )
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _SINGLE_THREAD
    return subprocess.Popen(
        [settings.python, "-I", "-c", _BOOT, json.dumps(_import_path()), config.to_json()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        pass_fds=(control_fd,),
        start_new_session=True,
    )


def _import_path() -> list[str]:
    """Where the service imports from: absolute entries only, our own package first to be found."""
    root = str(Path(__file__).resolve().parents[3])
    known = [entry for entry in sys.path if os.path.isabs(entry)]  # noqa: PTH117 - strings, often zip files
    return known if root in known else [root, *known]


def _end(process: subprocess.Popen[bytes]) -> None:
    """It leaves by itself at the end of file; a stuck one is killed."""
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _start_failure(said: dict[str, Any]) -> SottovoceError:
    """What the parent could not be started for; it sees no recording, so its words may be shown."""
    for kind in (ExtraMissing, ConfigurationError):
        if said["failed"] == kind.code:
            return kind(said["message"], hint=said["hint"], reason=said["reason"])
    return _not_started()


def _not_started() -> ExtractionFailed:
    return ExtractionFailed(
        "The extractor process could not be started.",
        hint="Run `sottovoce doctor`; the Python of this installation may be incomplete.",
        reason="parent_failed",
    )
