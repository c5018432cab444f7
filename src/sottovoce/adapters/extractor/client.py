"""The extractor as the service sees it: a descriptor in, numbers out, every answer checked.

    with open("clip.wav", "rb") as file:
        extraction = SealedExtractor().extract(Descriptor(file.fileno()), ExtractOptions())

Rules upheld here:
- Only regular files opened for reading are handed over; a fifo, device or folder is refused without a read.
- The message with a key is zeroed as soon as it is sent; the parent never sees it.
- An answer of a child stands in one buffer, which is zeroed before it is left. `extract_sealed` hands it to a second
  child, which checks and seals it; here nothing is made of it (I1).
- What comes back is bounded in size and time and parsed as hostile (wire.py).
- A policy that demands `seccomp` gets it or ConfigurationError, before any recording is handed over.
- A child that crashed, hung or ran out of memory costs its own recording and nothing else (F8, X21).
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from sottovoce.adapters.extractor import handover, wire
from sottovoce.adapters.extractor.child import EXIT_MEMORY
from sottovoce.adapters.extractor.confinement import TAKEN
from sottovoce.adapters.extractor.supervisor import Child, ParentSettings, Supervisor
from sottovoce.durable import write_all
from sottovoce.errors import (
    ConfigurationError,
    ExtractionFailed,
    InputUnreadable,
    SottovoceError,
    UsageError,
)
from sottovoce.model.features import Extraction, SandboxLevel
from sottovoce.ports import Descriptor, ExtractOptions, Place, SealedBody, SealedExtraction

MEMORY_LIMIT_BYTES = 512 << 20  # above what the parent has mapped
_ATTEMPTS = 3
_STATUS_WAIT_S = 2.0

Message = Callable[[], list[bytearray | memoryview]]  # parts of one message, packed anew for each attempt


class SealedExtractor:
    """ports.Extractor over sealed child processes; thread-safe.

    `required_level` "seccomp" refuses to work where only limits on resources can be had. `idle_children` are kept
    ready; more are made when more threads call. `memory_limit_bytes` is what one child may map on top of its
    parent, `cpu_limit_s` the processor time of one recording. `use_seccomp=False` does without the call filter,
    `probes=True` lets children run hostile test requests; both are for tests.
    """

    def __init__(
        self,
        *,
        required_level: SandboxLevel = "rlimits",
        idle_children: int = 1,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
        cpu_limit_s: int = 60,
        python: str = sys.executable,
        use_seccomp: bool = True,
        probes: bool = False,
    ) -> None:
        self._required, self._idle_children = required_level, idle_children
        self._settings = ParentSettings(
            python=python,
            memory_bytes=memory_limit_bytes,
            cpu_s=cpu_limit_s,
            use_seccomp=use_seccomp,
            probes=probes,
        )
        self._lock = threading.Lock()
        self._supervisors: dict[str | None, Supervisor] = {}
        self._owner_pid = os.getpid()

    def start(self) -> None:
        """Begin to start the parent in the background, so that the first recording waits less. Idempotent."""
        self._supervisor(None).start()

    def level(self) -> SandboxLevel:
        """The confinement in force: "seccomp" only where a process was seen to be held by it."""
        return self._supervisor(None).level()

    def has_formats(self) -> bool:
        """Whether the optional decoders (extra `[formats]`) are there."""
        return self._supervisor(None).has_formats()

    def extract(self, source: Descriptor | SealedBody, options: ExtractOptions) -> Extraction:
        """See ports.Extractor. AudioRejected, InputUnreadable, IntegrityError, ConfigurationError or
        ExtractionFailed (reason `child_crashed`, `child_timeout`, `child_memory`, `child_result`, `parent_failed`)."""
        supervisor, job = self._checked(source, options)
        with _Answer() as answer:
            self._run(supervisor, _recording_message(job), [source.fd], options.wall_limit_s, answer)
            return wire.unpack_result(answer.message, options)

    def extract_sealed(
        self,
        source: Descriptor | SealedBody,
        options: ExtractOptions,
        places: Callable[[], Sequence[Place]],
    ) -> SealedExtraction:
        """See ports.Extractor: one child measures, another one checks and seals, this process does not look."""
        supervisor, job = self._checked(source, options)
        with _Answer() as numbers, _Answer() as sealed:
            self._run(supervisor, _recording_message(job), [source.fd], options.wall_limit_s, numbers)
            if not handover.holds_numbers(numbers.message):
                wire.unpack_result(numbers.message, options)  # raises what the child refused or failed by
                raise wire.malformed()
            given = places()

            def message() -> list[bytearray | memoryview]:
                return [handover.pack_job(options, given), numbers.message]

            with _model_files(given) as files:
                self._run(supervisor, message, files, options.wall_limit_s, sealed)
            return handover.unpack_sealed(sealed.message, options, given)

    def probe(self, name: str, fd: int, options: ExtractOptions | None = None) -> dict[str, str]:
        """Have a child try something forbidden (see probes.py); only where `probes=True` was asked for."""
        if not self._settings.probes:
            raise UsageError("This extractor was not started for probes.")
        job = wire.Job(options=options or ExtractOptions(), probe=name)
        with _Answer() as answer:
            self._run(self._supervisor(None), _recording_message(job), [fd], job.options.wall_limit_s, answer)
            return wire.unpack_probe(answer.message)

    def close(self) -> None:
        """End all children; idempotent. The next call starts anew."""
        with self._lock:
            supervisors, self._supervisors = list(self._supervisors.values()), {}
        if self._owner_pid == os.getpid():
            for supervisor in supervisors:
                supervisor.close()

    def __enter__(self) -> SealedExtractor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _supervisor(self, embedding_model: str | None) -> Supervisor:
        with self._lock:
            if self._owner_pid != os.getpid():  # the service was forked: its parent process is not ours
                self._owner_pid, self._supervisors = os.getpid(), {}
            if embedding_model not in self._supervisors:
                settings = replace(self._settings, embedding_model=embedding_model)
                self._supervisors[embedding_model] = Supervisor(settings, idle_children=self._idle_children)
            return self._supervisors[embedding_model]

    def _checked(
        self, source: Descriptor | SealedBody, options: ExtractOptions
    ) -> tuple[Supervisor, wire.Job]:
        """The children for this recording and what one is told; nothing is handed over yet."""
        _check_source(source.fd)
        supervisor = self._supervisor(options.embedding_model)
        self._check_level(supervisor)
        job = wire.Job(options=options)
        if isinstance(source, SealedBody):
            job = replace(
                job, sealed=True, key=source.key, context=source.context, body_offset=source.body_offset,
                suite=source.suite,
            )  # fmt: skip
        return supervisor, job

    def _check_level(self, supervisor: Supervisor) -> None:
        if self._required == "seccomp" and supervisor.level() != "seccomp":
            raise ConfigurationError(
                "The policy demands the sandbox level seccomp, and this system gives rlimits only.",
                hint="Install libseccomp (libseccomp.so.2) on a Linux kernel with seccomp, or change the policy.",
                reason="sandbox_level",
            )

    def _run(
        self, supervisor: Supervisor, message: Message, fds: list[int], wall_limit_s: float, answer: _Answer
    ) -> None:
        """The whole answer of one child; ExtractionFailed where it gave none.

        A child that ended before it took the job (killed while it waited) never had the recording: the next one
        gets it.
        """
        for _ in range(_ATTEMPTS):
            child = supervisor.take()
            try:
                if not _hand_over(child, message(), fds):
                    continue
                answer.read(child.result_fd, deadline=time.monotonic() + wall_limit_s)
                if answer.is_empty:
                    continue
                if wire.is_whole(answer.message):
                    return
                raise _how_it_ended(supervisor.wait_status(child, timeout_s=_STATUS_WAIT_S))
            finally:
                supervisor.finish(child)
        raise _how_it_ended(None)


class _Answer:
    """What a child wrote, in one buffer that is zeroed when the block is left."""

    def __init__(self) -> None:
        self._buffer = bytearray(len(TAKEN) + wire.MAX_RESULT_BYTES + 1)  # one more shows that it is too long
        self._filled = 0

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._buffer[:] = bytes(len(self._buffer))

    @property
    def is_empty(self) -> bool:
        return self._filled == 0

    @property
    def message(self) -> memoryview:
        """Behind the first byte, by which the child said that it has the job."""
        return memoryview(self._buffer)[len(TAKEN) : self._filled]

    def read(self, fd: int, *, deadline: float) -> None:
        """What the child writes until it ends, bounded in size and time. Straight into the buffer: `os.read` would
        make objects that nobody can overwrite."""
        self._filled = 0
        poller = select.poll()
        poller.register(fd, select.POLLIN | select.POLLHUP)
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not poller.poll(left_s * 1000):
                raise _timeout()
            got = os.readv(fd, [memoryview(self._buffer)[self._filled :]])
            if got == 0:
                return
            self._filled += got
            if self._filled == len(self._buffer):
                raise wire.malformed()


def _check_source(fd: int) -> None:
    try:
        mode = os.fstat(fd).st_mode
        access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError:
        raise InputUnreadable(
            "The descriptor of the recording is not open.", reason="file_unreadable"
        ) from None
    if not stat.S_ISREG(mode):
        raise InputUnreadable(
            "The recording is not a regular file.",
            hint="Pipes, devices and folders are not read; save the recording to a file first.",
            reason="not_a_file",
        )
    if access != os.O_RDONLY:
        raise UsageError("The descriptor of a recording has to be opened for reading only.")


@contextmanager
def _model_files(places: Sequence[Place]) -> Iterator[list[int]]:
    """The models of the places as open files in memory: nothing of a person is in them, and a message would be too
    short."""
    with ExitStack() as stack:
        files = []
        for place in places:
            if place.model is not None:
                fd = os.memfd_create("model", os.MFD_CLOEXEC)
                stack.callback(os.close, fd)
                write_all(fd, place.model.data)
                files.append(fd)
        yield files


def _recording_message(job: wire.Job) -> Message:
    return lambda: [wire.pack_job(job)]


def _hand_over(child: Child, message: list[bytearray | memoryview], fds: list[int]) -> bool:
    """Send the job, and the descriptor if any; False where the child is gone already. Zeroes what was packed."""
    try:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        child.job_socket.sendmsg(message, ancillary)
    except OSError:
        return False
    finally:
        for part in message:
            if isinstance(part, bytearray):
                part[:] = bytes(len(part))
    child.job_socket.close()
    return True


def _how_it_ended(status: int | None) -> SottovoceError:
    if status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return _timeout()
    if status is not None and os.WIFEXITED(status) and os.WEXITSTATUS(status) == EXIT_MEMORY:
        return wire.failure("memory")
    return ExtractionFailed(
        "The sealed child crashed on this recording; nothing else was touched.",
        hint="The recording may be damaged on purpose; try another export of it.",
        reason="child_crashed",
    )


def _timeout() -> ExtractionFailed:
    return ExtractionFailed(
        "The sealed child did not finish in time.",
        hint="Raise the time limit, or send a shorter recording.",
        reason="child_timeout",
    )
