"""The parent of the sealed children: a program of its own, one thread, no audio, no keys.

The service starts it with exec, so that nothing of the service's memory is in it; it imports and exercises
everything a child will need (a module imported under the call filter fails, a thread pool hangs a fork), then
forks children when it is told to, and reports how they ended.

Messages on the control socket (JSON, one packet each):
    service -> parent   {"fork": n}   {"kill": number}
    parent -> service   {"ready": level, "formats": bool}   {"failed": code, ...}
                        {"child": number} with its socket and the reading end of its result pipe
                        {"dead": number, "status": wait status}

Rules upheld here: it forks only while it has exactly one thread; it kills only children of its own that it has not
reaped (named by numbers that are never used twice, as process ids are); it ends with the service (parent-death
signal, end of file), and its children end with it.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import select
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from typing import NoReturn

from sottovoce.adapters.extractor import confinement
from sottovoce.adapters.extractor.child import Confinement, Pipeline, run
from sottovoce.errors import ConfigurationError, SottovoceError

MAX_CONTROL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ParentConfig:
    """How a parent is started; travels as JSON on its command line, so nothing secret belongs here."""

    control_fd: int
    service_pid: int
    memory_bytes: int
    cpu_s: int
    use_seccomp: bool
    probes: bool
    embedding_model: str | None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ParentConfig:
        return cls(**json.loads(text))


def main(text: str) -> NoReturn:
    """The program. Never returns; leaves without running exit handlers of anything it imported."""
    config = ParentConfig.from_json(text)
    confinement.die_with(config.service_pid)
    control = socket.socket(fileno=config.control_fd)
    try:
        _Parent(control, *_prepare(config)).serve()
    except SottovoceError as error:
        told = {"message": error.message, "hint": error.hint, "reason": error.reason}
        _say(control, {"failed": error.code, **told})
    except (OSError, ImportError):
        _say(control, {"failed": "start"})
    os._exit(0)


def _prepare(config: ParentConfig) -> tuple[Pipeline, Confinement, bool]:
    """Import and exercise everything, then build the filter."""
    from sottovoce.adapters.extractor.warmup import warm_pipeline

    pipeline, formats = warm_pipeline(embedding_model=config.embedding_model)
    _check_single_thread()
    call_filter = confinement.working_filter() if config.use_seccomp else None
    gc.collect()
    gc.disable()
    gc.freeze()  # children share these pages for as long as nobody walks them
    held = Confinement(
        call_filter, memory_bytes=config.memory_bytes, cpu_s=config.cpu_s, probes=config.probes
    )
    return pipeline, held, formats


def _check_single_thread() -> None:
    if confinement.thread_count() != 1:
        raise ConfigurationError(
            "The extractor has more than one thread and must not fork.", reason="threads"
        )


class _Parent:
    def __init__(self, control: socket.socket, pipeline: Pipeline, held: Confinement, formats: bool) -> None:
        self._control, self._pipeline, self._held, self._formats = control, pipeline, held, formats
        self._children: dict[int, int] = {}  # number -> process id
        self._numbers = itertools.count(1)
        self._wake_in, self._wake_out = os.pipe()
        for fd in (self._wake_in, self._wake_out):
            os.set_blocking(fd, False)

    def serve(self) -> None:
        """Until the service is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)
        _say(
            self._control,
            {"ready": "seccomp" if self._held.call_filter else "rlimits", "formats": self._formats},
        )
        while True:
            readable, _, _ = select.select([self._control.fileno(), self._wake_in], [], [])
            if self._wake_in in readable:
                self._reap()
            if self._control.fileno() in readable and not self._obey():
                break
        for pid in self._children.values():
            os.kill(pid, signal.SIGKILL)

    def _obey(self) -> bool:
        """One message of the service; False at the end of file."""
        try:
            message = self._control.recv(MAX_CONTROL_BYTES)
        except ConnectionError:
            return False
        if not message:
            return False
        order = json.loads(message)
        for _ in range(order.get("fork", 0)):
            self._fork()
        if pid := self._children.get(order.get("kill")):
            os.kill(pid, signal.SIGKILL)
        return True

    def _fork(self) -> None:
        _check_single_thread()
        # SEQPACKET: one message arrives whole or not at all, and its end is the end of the service.
        ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        result_read, result_write = os.pipe()
        parent_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            run(childs, result_write, parent_pid=parent_pid, held=self._held, pipeline=self._pipeline)
        number = next(self._numbers)
        self._children[number] = pid
        childs.close()
        os.close(result_write)
        _say(self._control, {"child": number}, [ours.fileno(), result_read])
        ours.close()
        os.close(result_read)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_in, 4096)
        for number, pid in list(self._children.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._children[number]
                _say(self._control, {"dead": number, "status": status})


def _say(control: socket.socket, fields: dict[str, object], fds: list[int] | None = None) -> None:
    """A service that is gone is noticed by the next read."""
    with contextlib.suppress(OSError):
        socket.send_fds(control, [json.dumps(fields).encode()], fds or [])


if __name__ == "__main__":
    main(sys.argv[1])
