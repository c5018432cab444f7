"""What a child may do: limits on resources and an allow-list of system calls, set before it reads a byte.

Rules upheld here:
- No file can be opened, made, named or removed; no socket; no program; no signal; no process or thread.
- The only descriptor that can be written is the result pipe (the first argument of write is compared).
- No page becomes executable.
- Nothing is written to disk even if a call slipped through: file size limit 0, core limit 0.
- A confinement that was announced and cannot be had ends the child; it never goes on with less.

The filter is built once by the parent (its compilation costs milliseconds) and loaded by each child.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, Final

RESULT_FD: Final = 3
JOB_FD: Final = 4
FIRST_FREE_FD: Final = 5
TAKEN: Final = b"\x01"  # the first thing on the result pipe: from here on the recording was with this child

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_PROT_EXEC = 4
_LINUX = sys.platform == "linux"

# Reading, memory, time and leaving. Names unknown on an architecture are passed over: absent calls cannot be made.
_ALLOWED = (
    "read", "readv", "pread64", "preadv", "preadv2", "lseek", "_llseek", "close",
    "mremap", "munmap", "madvise", "brk", "mlock",
    "clock_gettime", "clock_getres", "gettimeofday", "getrusage", "getpid", "gettid", "getrandom",
    "futex", "sched_yield", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    "restart_syscall", "exit", "exit_group",
)  # fmt: skip


def die_with(parent_pid: int) -> None:
    """End this process as soon as the thread that made it ends; at once where that has happened already."""
    if _LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(0)


def thread_count() -> int:
    """Threads of this process; 1 where the system does not tell."""
    if not _LINUX:
        return 1
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("Threads:"):
            return int(line.split()[1])
    return 1


def address_space_bytes() -> int:
    """Virtual memory that this process has mapped now; 0 where the system does not tell."""
    if not _LINUX:
        return 0
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def limit_resources(*, address_space: int, cpu_s: int) -> None:
    """Memory, CPU time and no files; none of it can be raised again."""
    limits = [
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_NOFILE, 0, 0),
    ]
    if _LINUX:
        limits.append((resource.RLIMIT_AS, address_space, address_space))
    for which, soft, hard in limits:
        ceiling = resource.getrlimit(which)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(which, (soft, hard))


def forbid_inspection() -> None:
    """No core image, no ptrace, no /proc/PID/mem for others of the same user; no privileges by exec."""
    if _LINUX:
        _prctl(_PR_SET_DUMPABLE, 0)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)


class CallFilter:
    """The seccomp allow-list; everything else answers EPERM."""

    def __init__(self) -> None:
        """OSError or ImportError where this system has no libseccomp."""
        import pyseccomp

        self._filter: Any = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
        for name in _ALLOWED:
            self._allow(pyseccomp, name)
        self._allow(pyseccomp, "write", pyseccomp.Arg(0, pyseccomp.EQ, RESULT_FD))
        for name in ("mmap", "mprotect"):
            self._allow(pyseccomp, name, pyseccomp.Arg(2, pyseccomp.MASKED_EQ, _PROT_EXEC, 0))

    def load(self) -> None:
        """From here on, for the rest of this process. OSError where the kernel refuses."""
        self._filter.load()

    def _allow(self, pyseccomp: Any, name: str, *arguments: Any) -> None:
        with contextlib.suppress(ValueError):
            number = pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)
            if number >= 0:
                self._filter.add_rule(pyseccomp.ALLOW, name, *arguments)


def working_filter() -> CallFilter | None:
    """The filter, once a process of its own has loaded it and was refused to open a file; None where it is not so.

    Forks: call it with one thread only.
    """
    if not _LINUX:
        return None
    try:
        found = CallFilter()
    except (ImportError, OSError, RuntimeError, AttributeError, TypeError):
        return None
    pid = os.fork()
    if pid == 0:
        os._exit(_try_filter(found))
    return found if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 else None


def _try_filter(found: CallFilter) -> int:
    try:
        forbid_inspection()
        found.load()
        os.open("/dev/null", os.O_RDONLY)
    except PermissionError:
        return 0
    except BaseException:  # in the forked probe: whatever it is, the filter is not known to work
        return 2
    return 1


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
