"""The table of a round of training as bytes of a file: CSV, or Parquet where the extra is there.

Columns: `row` and `speaker` (labels of this round alone), `profile`, `version`, then the 88 features; where it is for a
recipient, also `person` and `session`, the names of its deletion feed, before the features.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sottovoce.errors import ExtraMissing, UsageError
from sottovoce.model.features import FEATURE_NAMES, FeatureVector

_WORDS = ("row", "speaker", "profile", "version")  # columns of text, before the numbers
_NAMES = ("person", "session")


class Row(Protocol):
    """A row of the table."""

    @property
    def label(self) -> str: ...
    @property
    def speaker(self) -> str: ...
    @property
    def features(self) -> FeatureVector: ...
    @property
    def person(self) -> str: ...
    @property
    def session(self) -> str: ...


def renderer(path: Path) -> Callable[[Sequence[Row]], bytes]:
    """How the rows become bytes, by the name of the file. UsageError for another ending, ExtraMissing."""
    if path.suffix == ".csv":
        return to_csv
    if path.suffix == ".parquet":
        _arrow()
        return to_parquet
    raise UsageError(
        "The table is written as .csv or .parquet.", hint="For example: round.csv", reason="suffix"
    )


def to_csv(rows: Sequence[Row]) -> bytes:
    """UTF-8, a header, one line a row; numbers as the shortest text that gives the same number again."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    words = _words(rows)
    writer.writerow((*words, *FEATURE_NAMES))
    writer.writerows(_values(row, words) for row in rows)
    return text.getvalue().encode()


def to_parquet(rows: Sequence[Row]) -> bytes:
    arrow, parquet = _arrow()
    words = _words(rows)
    kinds = [arrow.string()] * len(words) + [arrow.float64()] * len(FEATURE_NAMES)
    schema = arrow.schema(list(zip((*words, *FEATURE_NAMES), kinds, strict=True)))
    columns = [list(column) for column in zip(*(_values(row, words) for row in rows), strict=True)]
    sink = io.BytesIO()
    parquet.write_table(arrow.table(columns, schema=schema), sink)
    return sink.getvalue()


def take_back(path: Path, data: bytes) -> None:
    """Remove a file that was written a moment ago, and none that holds anything else."""
    with suppress(OSError):
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            path.unlink()


def _words(rows: Sequence[Row]) -> tuple[str, ...]:
    return (*_WORDS, *_NAMES) if any(row.person for row in rows) else _WORDS


def _values(row: Row, words: Sequence[str]) -> tuple[Any, ...]:
    features = row.features
    names = (row.label, row.speaker, features.profile, features.version, row.person, row.session)
    return (*names[: len(words)], *features.values)


def _arrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise ExtraMissing(
            "Parquet needs pyarrow.",
            hint='Install it with: pip install "sottovoce[dataframes]", or write a .csv file.',
        ) from None
