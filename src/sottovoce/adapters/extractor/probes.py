"""Hostile acts for tests: what a taken-over child would try. Only a parent started with `probes` runs them."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import socket
import threading
from collections.abc import Callable

from sottovoce.adapters.extractor import confinement


def run_probe(name: str) -> dict[str, str]:
    """`escape`: the outcome of every attempt, `descriptors`: of those that need a new one; others may not come back."""
    if name in ("escape", "descriptors"):
        tried = _ATTEMPTS if name == "escape" else _NEEDS_A_DESCRIPTOR
        return {attempt: _outcome(act) for attempt, act in tried.items()}
    if name == "segfault":
        ctypes.string_at(0)
    if name == "spin":
        while True:
            pass
    if name == "sleep":
        _sleep_for_ever()
    if name == "allocate":
        return {"allocate": _outcome(lambda: bytearray(3 << 30))}
    if name == "flood":
        while True:
            os.write(confinement.RESULT_FD, b"x" * 65536)
    if name == "lie":
        os.write(confinement.RESULT_FD, b'\x08\0\0\0{"a": 1}')
        os._exit(0)
    if name == "memory":
        raise MemoryError
    return {}


def _sleep_for_ever() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def _outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "OSError")
    except MemoryError:
        return "MemoryError"
    except BaseException as error:
        return type(error).__name__
    return "done"


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _raise_limit() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    except ValueError:  # how the module spells EPERM
        raise PermissionError(errno.EPERM, "setrlimit") from None


def _map_executable() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)


_NEEDS_A_DESCRIPTOR: dict[str, Callable[[], object]] = {
    "open to read": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "open to write": lambda: os.open("/tmp/sottovoce-probe", os.O_WRONLY | os.O_CREAT, 0o600),  # noqa: S108
    "memory file": lambda: os.memfd_create("probe"),
    "pipe": os.pipe,
    "socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "list folder": lambda: os.listdir("/"),  # noqa: PTH208
    "duplicate": lambda: os.dup(confinement.RESULT_FD),
}
_ATTEMPTS = _NEEDS_A_DESCRIPTOR | {
    "exec": lambda: os.execv("/bin/true", ["/bin/true"]),  # noqa: S606
    "fork": _fork,
    "unlink": lambda: os.unlink("/tmp/sottovoce-probe"),  # noqa: PTH108, S108
    "rename": lambda: os.rename("/tmp/a", "/tmp/b"),  # noqa: PTH104, S108
    "kill parent": lambda: os.kill(os.getppid(), 0),
    "kill everyone": lambda: os.kill(-1, 0),
    "write stdout": lambda: os.write(1, b"x"),
    "write stderr": lambda: os.write(2, b"x"),
    "write source": lambda: os.write(confinement.FIRST_FREE_FD, b"x"),
    "write job socket": lambda: os.write(confinement.JOB_FD, b"x"),
    "executable memory": _map_executable,
    "stat": lambda: os.stat("/etc/passwd"),  # noqa: PTH116
    "raise a limit": _raise_limit,
}
