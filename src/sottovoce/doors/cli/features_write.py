"""Where the rows of `sottovoce features` go: standard output, or a .csv, .json or .parquet file.

Each table is written as soon as it is there. A file grows under the name FILE.part and gets its own name at the end,
so that nobody takes a broken run for a whole one.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TextIO

from sottovoce.doors.cli.console import Console
from sottovoce.doors.cli.features_measure import Row, Table
from sottovoce.errors import ExtraMissing, UsageError

SUFFIXES = (".csv", ".json", ".parquet")


class Writer(Protocol):
    """Takes tables of one kind, in order."""

    def write(self, table: Table) -> None: ...

    def finish(self) -> None:
        """Everything that was written stays."""
        ...

    def abandon(self) -> None:
        """Nothing was written, or the run broke: leave nothing behind."""
        ...


def open_writer(output: Path | None, *, as_json: bool, console: Console) -> Writer:
    """UsageError where the file cannot be made, ExtraMissing where it needs what is not installed."""
    if output is None:
        return _Lines(console) if as_json else _Text(_Csv(console.data))
    if output.suffix == ".parquet":
        return _Parquet(output)
    return _TextFile(output, _Csv if output.suffix == ".csv" else _JsonList)


def timedelta(seconds: float) -> str:
    """As pandas writes one: `0 days 00:00:01.500000`."""
    microseconds = round(seconds * 1_000_000)
    days, rest = divmod(microseconds, 86_400_000_000)
    hours, rest = divmod(rest, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    return f"{days} days {hours:02}:{minutes:02}:{rest // 1_000_000:02}.{rest % 1_000_000:06}"


def as_object(table: Table, row: Row) -> dict[str, object]:
    start, end, values = row
    return {"file": table.file, "start": start, "end": end, **dict(zip(table.names, values, strict=True))}


class _Csv:
    """Rows as CSV text, the header once; `say` gets whole lines without the last line end."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._begun = say, False

    def write(self, table: Table) -> None:
        for chunk in table.chunks():
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if not self._begun:
                writer.writerow(("file", "start", "end", *table.names))
                self._begun = True
            writer.writerows(
                (table.file, timedelta(start), timedelta(end), *values) for start, end, values in chunk
            )
            self._say(text.getvalue().removesuffix("\n"))

    def finish(self) -> None:
        """The last line is a row like the others."""


class _JsonList:
    """Rows as one JSON array, a line each."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._before = say, "["

    def write(self, table: Table) -> None:
        for row in table.rows():
            self._say(self._before + json.dumps(as_object(table, row), allow_nan=False))
            self._before = ","

    def finish(self) -> None:
        self._say("]")


class _Text:
    """A format on standard output."""

    def __init__(self, form: _Csv) -> None:
        self._form = form

    def write(self, table: Table) -> None:
        self._form.write(table)

    def finish(self) -> None:
        self._form.finish()

    def abandon(self) -> None:
        """What was printed was printed."""


class _Lines:
    """One JSON object per row on standard output."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, table: Table) -> None:
        for row in table.rows():
            self._console.json(as_object(table, row))

    def finish(self) -> None:
        """Each line stands for itself."""

    def abandon(self) -> None:
        """What was printed was printed."""


class _TextFile:
    """A format in a file."""

    def __init__(self, output: Path, form: Callable[[Callable[[str], None]], _Csv | _JsonList]) -> None:
        self._output, self._part = output, _part(output)
        self._file: TextIO = _guarded(
            lambda: self._part.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        )
        self._form = form(lambda text: _guarded(lambda: self._file.write(text + "\n")))

    def write(self, table: Table) -> None:
        self._form.write(table)

    def finish(self) -> None:
        self._form.finish()
        _guarded(self._file.close)
        _guarded(lambda: self._part.replace(self._output))

    def abandon(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


class _Parquet:
    """A Parquet file, a row group for every few thousand rows."""

    def __init__(self, output: Path) -> None:
        try:
            self._arrow, self._parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        except ImportError:
            raise ExtraMissing(
                "Parquet needs pyarrow.",
                hint='Install it with: pip install "sottovoce[dataframes]", or write a .csv file.',
            ) from None
        self._output, self._part = output, _part(output)
        _guarded(lambda: self._part.open("wb").close())
        self._writer: Any = None

    def write(self, table: Table) -> None:
        if self._writer is None:
            self._writer = _guarded(lambda: self._parquet.ParquetWriter(self._part, self._schema(table)))
        _guarded(lambda: self._write_groups(table))

    def _write_groups(self, table: Table) -> None:
        for group in self._groups(table):
            self._writer.write_table(group)

    def finish(self) -> None:
        if self._writer is not None:
            _guarded(self._writer.close)
        _guarded(lambda: self._part.replace(self._output))

    def abandon(self) -> None:
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
        self._part.unlink(missing_ok=True)

    def _schema(self, table: Table) -> Any:
        text, number = self._arrow.string(), self._arrow.float64()
        names = [
            ("file", text),
            ("start", number),
            ("end", number),
            *((name, number) for name in table.names),
        ]
        return self._arrow.schema(names)

    def _groups(self, table: Table) -> Iterator[Any]:
        file = os.fsencode(table.file).decode("utf-8", errors="replace")
        for chunk in table.chunks():
            starts, ends, values = zip(*chunk, strict=True)
            columns = [[file] * len(chunk), starts, ends, *zip(*values, strict=True)]
            yield self._arrow.table(columns, schema=self._schema(table))


def _part(output: Path) -> Path:
    return output.with_name(output.name + ".part")


def _guarded(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except OSError:
        raise UsageError(
            "The output cannot be written there.", hint="Check the folder, its permissions and its space."
        ) from None
