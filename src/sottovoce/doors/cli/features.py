"""features: the 88 numbers of people's own files, as simple as a feature extractor can be.

Nothing is stored and no home is opened. The files are decoded in this process (or in `--jobs` processes), not in the
sealed child: this verb is for recordings that you trust. They are read block by block: memory does not grow with the
number of files, and little with their length.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import Console, printable
from sottovoce.doors.cli.errors import OK, combined, exit_code, hint
from sottovoce.doors.cli.features_measure import Request, Table, measure, size_of
from sottovoce.doors.cli.features_progress import Progress, progress
from sottovoce.doors.cli.features_write import SUFFIXES, Writer, open_writer
from sottovoce.doors.cli.world import COMMON, Common, Outside, World
from sottovoce.errors import ExtractionFailed, SottovoceError, UsageError

LOOK_AGAIN_S = 0.25  # how often the bar is moved while other processes work
Files = Annotated[tuple[str, ...], Parameter(help="Recordings: wav, flac, ogg, mp3, ...")]
Out = Annotated[Path | None, Parameter(name=("--output", "--out", "-o"), help="FILE.csv, .json or .parquet.")]

_read_bytes: Any = None  # in a helper process: what all of them have read so far


def features(
    files: Files = (),
    /,
    *,
    output: Out = None,
    profile: Annotated[
        Literal["compat", "corrected"], Parameter(help="Definition of the features.")
    ] = "compat",
    channel: Annotated[str, Parameter(help="Which channel to use: 0 to 7, or mix.")] = "0",
    lld: Annotated[bool, Parameter(help="The 25 contours, one row per 10 ms, instead.")] = False,
    per: Annotated[float | None, Parameter(help="One row for every so many seconds.")] = None,
    jobs: Annotated[int, Parameter(help="How many processes to use.")] = 1,
    explain: Annotated[str | None, Parameter(help="Say what this feature is, and measure nothing.")] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Compute 88 features of your own files; nothing is stored.

    Columns: file, start, end and the 88 eGeMAPS features under the names and in
    the order that openSMILE uses. Without --output they go to standard output as
    CSV, with --json as one JSON object per row. The files are decoded in this
    process, not in the sealed child: use `analyze` for recordings of others.
    They are read block by block: up to four hours each, in bounded memory.

    For example:
      sottovoce features interview.wav -o features.csv
      sottovoce features *.flac --per 3 --profile corrected --jobs 4 -o features.csv
      sottovoce features --explain jitterLocal_sma3nz_amean
    """
    if explain is not None:
        _explain(explain, files, common, world.console)
        return OK
    _check(files, output, lld, per, jobs)
    single_threaded()
    request = Request(profile, channel, lld, per)
    writer = open_writer(output, as_json=common.json, console=world.console)
    try:
        failed, rows, codes = _run(files, request, jobs, writer, output=output, common=common, world=world)
        if rows or OK in codes:
            writer.finish()
        else:
            writer.abandon()
    except BaseException:
        writer.abandon()
        raise
    _tell_failed(failed, len(files), world)
    if output is not None and OK in codes:
        world.console.message(f"{rows} rows written")
    return combined(codes)


def single_threaded() -> None:
    """One thread for linear algebra: the matrices are small, more only cost. Before numpy is loaded."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _run(
    files: tuple[str, ...], request: Request, jobs: int, writer: Writer, *, output: Path | None, common: Common,
    world: World,
) -> tuple[list[tuple[str, SottovoceError]], int, list[int]]:  # fmt: skip
    """Every file in order: its rows to the writer, or its error; how many rows, and an exit code for each file."""
    failed, rows, codes = [], 0, []
    shown = output is not None or not world.console.stdout.isatty()
    size_bytes = sum(map(size_of, files))
    with progress(world.console, size_bytes=size_bytes, files=len(files), shown=shown) as bar:
        for table in _all(files, request, jobs, bar):
            bar.done()
            for remark in table.remarks:
                bar.say(f"note: {printable(table.file)}: {remark}")
            if table.error is None:
                writer.write(table)
                rows += len(table)
            else:
                failed.append((table.file, table.error))
                if common.json:
                    world.console.json(payloads.file_error(table.file, table.error))
            codes.append(OK if table.error is None else exit_code(table.error))
    return failed, rows, codes


def _all(files: tuple[str, ...], request: Request, jobs: int, bar: Progress) -> Iterator[Table]:
    if jobs > 1 and len(files) > 1:
        yield from _in_processes(files, request, min(jobs, len(files)), bar)
        return
    for file in files:
        bar.begin(file)
        yield measure(file, request, bar.advance)


def _in_processes(files: tuple[str, ...], request: Request, jobs: int, bar: Progress) -> Iterator[Table]:
    """As many files at once; at most twice as many wait for their turn or to be written."""
    context = get_context("spawn")
    read_bytes, seen = context.Value("q", 0), 0
    with ProcessPoolExecutor(jobs, context, _prepare, (read_bytes,)) as pool:
        waiting: list[tuple[str, Future[Table]]] = []
        rest = iter(files)
        while True:
            while len(waiting) < 2 * jobs and (file := next(rest, None)) is not None:
                waiting.append((file, _submitted(pool, file, request)))
            if not waiting:
                return
            file, future = waiting.pop(0)
            bar.begin(file)
            while wait([future], timeout=LOOK_AGAIN_S).not_done:
                bar.advance(read_bytes.value - seen)
                seen = read_bytes.value
            yield _table_of(file, future)


def _submitted(pool: ProcessPoolExecutor, file: str, request: Request) -> Future[Table]:
    try:
        return pool.submit(_measure_there, file, request)
    except BrokenProcessPool as problem:
        future: Future[Table] = Future()
        future.set_exception(problem)
        return future


def _table_of(file: str, future: Future[Table]) -> Table:
    try:
        return future.result()
    except BrokenProcessPool:
        error = ExtractionFailed(
            "A helper process ended without a result.", hint="Try it with fewer --jobs: memory may be short."
        )
        return Table(file, error=error)


def _prepare(read_bytes: Any) -> None:
    """In a helper process, before its first file."""
    global _read_bytes
    single_threaded()
    _read_bytes = read_bytes


def _measure_there(file: str, request: Request) -> Table:
    return measure(file, request, _advance_there)


def _advance_there(size_bytes: int) -> None:
    with _read_bytes.get_lock():
        _read_bytes.value += size_bytes


def _explain(name: str, files: tuple[str, ...], common: Common, console: Console) -> None:
    """What a feature is, from the catalog; nothing is measured."""
    from sottovoce.voice.egemaps.catalog import entry, explained

    if files:
        raise UsageError("--explain measures nothing: name no file with it.", hint="Leave the files out.")
    found = entry(name)
    if common.json:
        console.json(asdict(found))
    else:
        console.data(explained(found))


def _check(files: tuple[str, ...], output: Path | None, lld: bool, per: float | None, jobs: int) -> None:
    if not files:
        raise UsageError("No file is named.", hint="For example: sottovoce features interview.wav")
    if output is not None and output.suffix not in SUFFIXES:
        raise UsageError("The output is a .csv, .json or .parquet file.", hint="For example -o features.csv")
    if lld and per is not None:
        raise UsageError(
            "--lld has a row for every 10 ms, so --per means nothing there.", hint="Name one of them."
        )
    if per is not None and not 0.1 <= per < float("inf"):
        raise UsageError("A window has at least 0.1 seconds.", hint="For example --per 3.")
    if not 1 <= jobs <= 64:
        raise UsageError("The number of jobs is 1 to 64.", hint="One per processor is enough.")


def _tell_failed(failed: list[tuple[str, SottovoceError]], total: int, world: World) -> None:
    """One failure as an error; of several files a table at the end, with what to try for each kind."""
    console = world.console
    if total == 1:
        for file, error in failed:
            console.error(what=error.message, code=error.public_code, hint=hint(error), about=file)
    elif failed:
        console.message(f"{len(failed)} of {total} files could not be measured:")
        console.message(
            render.table([(printable(file), error.public_code, error.message) for file, error in failed])
        )
        for text in dict.fromkeys(hint(error) for _, error in failed):
            console.message(f"  try: {printable(text)}")
    for _, error in failed:
        world.debug(error)
