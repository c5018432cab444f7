"""Several processes that take in recordings side by side, each with a platform of its own on the same home.

The process that asks keeps no audio and waits on pipes. A process that dies loses one recording's work at most: its
lease ends with it, the next open() discards what it left, and the recording is given to another process once more.
When the asker itself is killed, the others see the end of their pipes, finish the recording in hand and end.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sottovoce.doors.cli.errors import as_ours
from sottovoce.errors import ExtractionFailed, SottovoceError
from sottovoce.model.corpus import CorpusFile, IngestOutcome
from sottovoce.model.subject import Caller

if TYPE_CHECKING:
    from sottovoce.app import Platform
    from sottovoce.settings import Settings

Answer = IngestOutcome | SottovoceError
Answers = Generator[tuple[CorpusFile, Answer], None, None]
_ATTEMPTS = 2  # of one recording, where the process that has it dies
_END_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """How every recording is to be treated."""

    folder: str
    caller: Caller
    discard_source: bool = False
    channel: str = "0"
    accept_truncated: bool = False


def here(platform: Platform, files: Iterable[CorpusFile], request: Request) -> Answers:
    """Every file in turn, in this process."""
    for file in files:
        yield file, _take(platform, file, request)


def side_by_side(settings: Settings, files: Iterable[CorpusFile], request: Request, *, jobs: int) -> Answers:
    """Every file, in `jobs` processes, in the order in which they end. Closing the iterator ends the processes after
    the recording in hand."""
    pool = _Pool(settings, request)
    try:
        yield from pool.run(iter(files), jobs)
    finally:
        pool.close()


def _take(platform: Platform, file: CorpusFile, request: Request) -> Answer:
    try:
        return platform.ingest_file(
            Path(request.folder, file.path), subject=file.subject,
            discard_source=request.discard_source, channel=request.channel,
            accept_truncated=request.accept_truncated, caller=request.caller,
        )  # fmt: skip
    except Exception as problem:
        error = as_ours(problem)
        error.__cause__ = error.__context__ = None  # it may have to cross to another process
        return error


@dataclass
class _Worker:
    pipe: Connection
    process: Any
    file: CorpusFile | None = None
    attempt: int = 0


@dataclass
class _Pool:
    settings: Settings
    request: Request
    workers: list[_Worker] = field(default_factory=list)

    def run(self, files: Iterator[CorpusFile], jobs: int) -> Iterator[tuple[CorpusFile, Answer]]:
        for file in files:
            self._give(self._start(), file, attempt=1)
            if len(self.workers) == jobs:
                break
        while busy := [worker.pipe for worker in self.workers if worker.file is not None]:
            for pipe in wait(busy):
                worker = next(worker for worker in self.workers if worker.pipe is pipe)
                done = self._receive(worker)
                if done is None:
                    continue
                yield done
                following = next(files, None)
                if following is not None:
                    self._give(worker, following, attempt=1)

    def close(self) -> None:
        for worker in self.workers:
            with suppress(OSError):
                worker.pipe.close()
        for worker in self.workers:
            worker.process.join(_END_WITHIN_S)
            if worker.process.is_alive():
                worker.process.kill()  # what it leaves is discarded by the next open()
                worker.process.join()

    def _start(self) -> _Worker:
        worker = _Worker(*self._spawn())
        self.workers.append(worker)
        return worker

    def _spawn(self) -> tuple[Connection, Any]:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.settings, self.request), daemon=True)
        process.start()
        theirs.close()
        return ours, process

    def _give(self, worker: _Worker, file: CorpusFile, *, attempt: int) -> None:
        worker.file, worker.attempt = file, attempt
        with suppress(OSError):  # it has died: noticed when its answer is read
            worker.pipe.send(file)

    def _receive(self, worker: _Worker) -> tuple[CorpusFile, Answer] | None:
        """The answer of a process; None where it died and another was started with the same file."""
        file = worker.file
        if file is None:
            return None
        try:
            answer: Answer = worker.pipe.recv()
        except (EOFError, OSError):
            return self._replaced(worker, file)
        worker.file = None
        return file, answer

    def _replaced(self, worker: _Worker, file: CorpusFile) -> tuple[CorpusFile, Answer] | None:
        worker.pipe.close()
        worker.process.join()
        worker.pipe, worker.process = self._spawn()
        if worker.attempt < _ATTEMPTS:
            self._give(worker, file, attempt=worker.attempt + 1)
            return None
        worker.file = None
        return file, ExtractionFailed(
            "The process that analysed the recording ended twice.", hint="See `sottovoce doctor`.",
            reason="process_died",
        )  # fmt: skip


def _serve(pipe: Connection, settings: Settings, request: Request) -> None:
    """The life of a process of the pool: it ends with its pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the asker decides when it is over
    from sottovoce import app as house

    try:
        platform = house.open(settings)
    except Exception as problem:
        _refuse_all(pipe, as_ours(problem))
        return
    with platform, suppress(EOFError, OSError):
        while True:
            pipe.send(_take(platform, pipe.recv(), request))


def _refuse_all(pipe: Connection, error: SottovoceError) -> None:
    """The home does not open: that is the answer to everything."""
    error.__cause__ = error.__context__ = None
    with suppress(EOFError, OSError):
        while pipe.recv() is not None:
            pipe.send(error)
