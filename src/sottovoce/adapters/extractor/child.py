"""The child: takes one recording, confines itself, opens it, writes numbers, ends. Or it takes such numbers from
another child and keys, and writes them sealed (handover.py).

Rules upheld here, in order:
1. It dies with its parent, and ends where the service is gone (end of file on its socket).
2. It takes exactly one descriptor and closes its socket; nothing can reach it any more.
3. Limits, no inspection, call filter: all in force before the first byte is read.
4. A sealed body is authenticated to its end before a decoder sees any of it.
5. Only numbers, flags, ciphertext or a reason of a closed list leave, by the result pipe, and it ends by `_exit`.
"""

from __future__ import annotations

import fcntl
import math
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from sottovoce.adapters.extractor import confinement, handover, wire
from sottovoce.adapters.extractor.probes import run_probe
from sottovoce.adapters.extractor.sources import FileSource, SealedSource
from sottovoce.model.features import Extraction
from sottovoce.ports import ExtractOptions
from sottovoce.voice.containers import Source
from sottovoce.voice.models.read_tflite import MAXIMUM_BYTES
from sottovoce.voice.rejections import rejected

EXIT_MEMORY = 71

Pipeline = Callable[[Source, ExtractOptions], Extraction]


@dataclass(frozen=True, slots=True)
class Confinement:
    """What every child of a parent is held to."""

    call_filter: confinement.CallFilter | None  # None: level `rlimits`
    memory_bytes: int  # on top of what the parent has mapped
    cpu_s: int
    probes: bool = False  # answer to hostile test requests


def run(
    job_socket: socket.socket, result_fd: int, *, parent_pid: int, held: Confinement, pipeline: Pipeline
) -> NoReturn:
    """The whole life of a child, right after the fork. Never returns, never raises."""
    try:
        confinement.die_with(parent_pid)
        _arrange_descriptors(job_socket, result_fd)
        message, fds = _take_job()
        if handover.is_job(message):
            answer = _seal(handover.unpack_job(message), fds, held)
        else:
            answer = _measure(wire.unpack_job(message), fds[0], held, pipeline)
        os.write(confinement.RESULT_FD, answer)
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except BaseException:  # of what went wrong nothing leaves the child but its exit code
        os._exit(1)
    os._exit(0)


def _arrange_descriptors(job_socket: socket.socket, result_fd: int) -> None:
    """Keep the result pipe, the socket and /dev/null three times; close everything else that was inherited."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    high = confinement.FIRST_FREE_FD
    # Both may sit on each other's place: lift them first.
    lifted_socket, lifted_result = _lift(job_socket.detach(), high), _lift(result_fd, high)
    os.dup2(lifted_result, confinement.RESULT_FD, inheritable=False)
    os.dup2(lifted_socket, confinement.JOB_FD, inheritable=False)
    os.closerange(high, os.sysconf("SC_OPEN_MAX"))


def _lift(fd: int, lowest: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)


def _take_job() -> tuple[bytes, list[int]]:
    """The one message this child will ever get, with the descriptor of the recording, or those of the models."""
    link = socket.socket(fileno=confinement.JOB_FD)
    message, fds, _, _ = socket.recv_fds(link, wire.MAX_MESSAGE_BYTES, handover.MAX_MODELS)
    link.close()
    if not message or (len(fds) != 1 and not handover.is_job(message)):
        os._exit(0)
    os.write(confinement.RESULT_FD, confinement.TAKEN)
    return message, fds


def _seal(job: handover.SealJob, fds: list[int], held: Confinement) -> bytes:
    """Numbers of another child, checked and sealed, with what the models say of them."""
    _confine(held, job.options)
    try:
        models = [os.pread(fd, MAXIMUM_BYTES, 0) for fd in fds]
        return handover.pack_sealed(handover.seal(handover.with_models(job, models)))
    except BaseException as error:
        return wire.pack_error(error)


def _measure(job: wire.Job, fd: int, held: Confinement, pipeline: Pipeline) -> bytes:
    source = _source(job, fd)
    _confine(held, job.options)
    return _answer(job, source, held, pipeline)


def _source(job: wire.Job, fd: int) -> FileSource | SealedSource:
    if not job.sealed:
        return FileSource(fd)
    return SealedSource(fd, key=job.key, context=job.context, body_offset=job.body_offset, suite=job.suite)


def _confine(held: Confinement, options: ExtractOptions) -> None:
    cpu_s = max(1, min(held.cpu_s, math.ceil(options.wall_limit_s)))
    space = confinement.address_space_bytes() + held.memory_bytes
    confinement.limit_resources(address_space=space, cpu_s=cpu_s)
    confinement.forbid_inspection()
    if held.call_filter is not None:
        held.call_filter.load()


def _answer(job: wire.Job, source: FileSource | SealedSource, held: Confinement, pipeline: Pipeline) -> bytes:
    try:
        if job.probe and held.probes:
            return wire.pack_probe(run_probe(job.probe))
        if isinstance(source, SealedSource):
            _authenticate(source, job.options)
        return wire.pack_result(pipeline(source, job.options))
    except BaseException as error:
        return wire.pack_error(error)
    finally:
        if isinstance(source, SealedSource):
            source.clear()


def _authenticate(source: SealedSource, options: ExtractOptions) -> None:
    if source.plain_bytes() > options.max_body_bytes:
        raise rejected("too_large")
    source.authenticate()
