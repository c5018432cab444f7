"""features: the 88 numbers of people's own files, as simple as a feature extractor can be.

Nothing is stored and no home is opened. The files are decoded in this process (or in `--jobs` processes), not in the
sealed child: this verb is for recordings that you trust.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sottovoce.doors.cli import payloads
from sottovoce.doors.cli.console import Console, printable
from sottovoce.doors.cli.errors import OK, as_ours, combined, exit_code, hint
from sottovoce.doors.cli.world import COMMON, Common, Outside
from sottovoce.errors import ExtraMissing, InputUnreadable, SottovoceError, UsageError

SUFFIXES = (".csv", ".json", ".parquet")
LONGEST_S = 4 * 3600.0
Files = Annotated[tuple[str, ...], Parameter(help="Recordings: wav, flac, ogg, mp3, ...")]
Out = Annotated[Path | None, Parameter(name=("--output", "-o"), help="FILE.csv, .json or .parquet.")]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be done with each file."""

    profile: str
    channel: str
    lld: bool
    per_s: float | None


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one file, or its error."""

    file: str
    names: tuple[str, ...]
    rows: list[tuple[float, float, list[float]]]  # start and end in seconds, values
    remarks: tuple[str, ...]
    error: SottovoceError | None = None


def features(
    files: Files,
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
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Compute 88 features of your own files; nothing is stored.

    Columns: file, start, end and the 88 eGeMAPS features under the names and in
    the order that openSMILE uses. Without --output they go to standard output as
    CSV, with --json as one JSON object per row. The files are decoded in this
    process, not in the sealed child: use `analyze` for recordings of others.

    For example:
      sottovoce features interview.wav -o features.csv
      sottovoce features *.flac --per 3 --profile corrected --jobs 4 -o features.csv
    """
    _check(files, output, lld, per, jobs)
    request = Request(profile, channel, lld, per)
    tables, codes = [], []
    with world.console.progress(f"measuring {len(files)} files"):
        for table in _all(files, request, jobs):
            codes.append(OK if table.error is None else exit_code(table.error))
            _tell(table, common, world.console)
            if table.error is None:
                tables.append(table)
    _write(tables, output, common, world.console)
    return combined(codes)


def measure(file: str, request: Request) -> Table:
    """One file; never raises."""
    try:
        return _measured(file, request)
    except Exception as problem:
        error = as_ours(problem)
        error.__cause__ = error.__context__ = None  # it may have to cross to another process
        return Table(file, (), [], (), error)


def single_threaded() -> None:
    """One thread for linear algebra: the matrices are small, more only cost. Before numpy is loaded."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _all(files: tuple[str, ...], request: Request, jobs: int) -> Iterator[Table]:
    single_threaded()
    if jobs == 1 or len(files) == 1:
        yield from (measure(file, request) for file in files)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(files)), context, single_threaded) as pool:
        yield from pool.map(measure, files, [request] * len(files))


def _measured(file: str, request: Request) -> Table:
    from sottovoce.model.features import FEATURE_NAMES
    from sottovoce.voice.audio import Limits, decode
    from sottovoce.voice.features import LLD_NAMES, egemaps, egemaps_per, lld

    limits = Limits(max_analysed_s=LONGEST_S, max_declared_s=LONGEST_S)
    with _FileSource(file) as source:
        decoded = decode(source, limits=limits, channel=request.channel)
    samples, rate = decoded.samples, decoded.sample_rate_hz
    if request.lld:
        table = lld(samples, rate, request.profile)
        starts = table.times_s.tolist()
        rows = [(s, s + 0.06, values) for s, values in zip(starts, table.values.tolist(), strict=True)]
        return Table(file, LLD_NAMES, rows, ())
    if request.per_s is not None:
        windows = list(egemaps_per(samples, rate, request.per_s, profile=request.profile))
    else:
        windows = [(0.0, decoded.duration_s, egemaps(samples, rate, request.profile))]
    remarks = tuple(dict.fromkeys(finding.words for *_, found in windows for finding in found.findings))
    return Table(file, FEATURE_NAMES, [(s, e, list(found.values)) for s, e, found in windows], remarks)


class _FileSource:
    """A regular file, read piece by piece; InputUnreadable where it is none."""

    def __init__(self, file: str) -> None:
        try:
            self._fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            raise InputUnreadable(
                "The file does not exist or may not be read.", hint="Check the path and its permissions."
            ) from None
        status = os.fstat(self._fd)
        self._size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise InputUnreadable("This is not a regular file.", hint="Name a recording, not a folder.")

    def __enter__(self) -> _FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    @property
    def size_bytes(self) -> int:
        return self._size

    def read_at(self, offset: int, buffer: memoryview, /) -> int:
        return os.preadv(self._fd, [buffer], offset) if offset < self._size else 0


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


def _tell(table: Table, common: Common, console: Console) -> None:
    if table.error is not None:
        if common.json:
            console.json(payloads.file_error(table.file, table.error))
        console.error(
            what=table.error.message, code=table.error.public_code, hint=hint(table.error), about=table.file
        )
    for remark in table.remarks:
        console.message(f"note: {printable(table.file)}: {remark}")


def _write(tables: list[Table], output: Path | None, common: Common, console: Console) -> None:
    if not tables:
        return
    if output is None:
        if common.json:
            for row in _objects(tables):
                console.json(row)
        else:
            console.data(_csv(tables).removesuffix("\n"))
        return
    try:
        if output.suffix == ".parquet":
            _parquet(tables, output)
        else:
            text = _csv(tables) if output.suffix == ".csv" else json.dumps(list(_objects(tables))) + "\n"
            output.write_text(text, encoding="utf-8", errors="surrogateescape")
    except OSError:
        raise UsageError(
            "The output cannot be written there.", hint="Check the folder and its permissions."
        ) from None
    console.message(f"{sum(len(table.rows) for table in tables)} rows written")


def _objects(tables: Iterable[Table]) -> Iterator[dict[str, object]]:
    for table in tables:
        for start, end, values in table.rows:
            yield {
                "file": table.file,
                "start": start,
                "end": end,
                **dict(zip(table.names, values, strict=True)),
            }


def _csv(tables: list[Table]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "start", "end", *tables[0].names))
    for table in tables:
        for start, end, values in table.rows:
            writer.writerow((table.file, timedelta(start), timedelta(end), *values))
    return text.getvalue()


def timedelta(seconds: float) -> str:
    """As pandas writes one: `0 days 00:00:01.500000`."""
    microseconds = round(seconds * 1_000_000)
    days, rest = divmod(microseconds, 86_400_000_000)
    hours, rest = divmod(rest, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    return f"{days} days {hours:02}:{minutes:02}:{rest // 1_000_000:02}.{rest % 1_000_000:06}"


def _parquet(tables: list[Table], output: Path) -> None:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise ExtraMissing("Parquet needs pyarrow.", hint="Install pyarrow, or write a .csv file.") from None
    parquet.write_table(pyarrow.Table.from_pylist(list(_objects(tables))), output)
