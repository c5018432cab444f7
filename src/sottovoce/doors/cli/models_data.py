"""What `models evaluate` is given: a CSV of features with labels, or a folder of recordings with a manifest.

Rules upheld here:
1. Features whose profile nobody states are refused: a CSV names it in a column `profile`, or --profile does.
2. A manifest reaches nothing outside its folder, by name or by link.
3. What does not fit is refused with its row; no value, name or label of a person stands in a message.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sottovoce.doors.cli.features import single_threaded
from sottovoce.doors.cli.features_measure import Request, measure
from sottovoce.doors.cli.files import read_small
from sottovoce.errors import InputUnreadable, UsageError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.usecases.evaluation import LabelledRow, LabelledTable

MANIFESTS = ("MANIFEST.csv", "manifest.csv")
PROFILES = ("compat", "corrected")
_MAXIMUM_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a table says who speaks, what is true, and which groups to tell apart."""

    speaker: str
    label: str
    groups: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (self.speaker, self.label, *self.groups)


@dataclass(frozen=True, slots=True)
class Data:
    """The table, and how many files could not be measured, by error code."""

    table: LabelledTable
    failed: Counter[str]


def read_data(data: Path, columns: Columns, *, profile: str | None, model_profile: str) -> Data:
    """`profile`: what the operator says of a CSV; a folder is measured in `model_profile`.

    InputUnreadable; UsageError (`data_columns`, `data_malformed`, `profile_unknown`, `manifest_path`).
    """
    if data.is_dir():
        return _folder(data, columns, model_profile)
    rows = _table(data, (*FEATURE_NAMES, *columns.all))
    stated = _profile(rows, profile)
    found = tuple(_row(row, columns, _values(row, number)) for number, row in enumerate(rows, start=2))
    return Data(LabelledTable(found, stated, columns.groups), Counter())


def _folder(folder: Path, columns: Columns, profile: str) -> Data:
    manifest = next((folder / name for name in MANIFESTS if (folder / name).is_file()), None)
    if manifest is None:
        raise InputUnreadable(
            "The folder has no manifest.", hint="It needs a manifest.csv with file, speaker and label."
        )
    single_threaded()
    found, failed = [], Counter[str]()
    request = Request(profile, "0", lld=False, per_s=None)
    for row in _table(manifest, ("file", *columns.all)):
        if not (row[columns.speaker] and row[columns.label]):
            continue  # also the rows of a manifest that are no speech
        measured = measure(str(_inside(folder, row["file"])), request)
        if measured.error is not None:
            failed[measured.error.public_code] += 1
        else:
            found += [_row(row, columns, values) for _, _, values in measured.rows()]
    return Data(LabelledTable(tuple(found), profile, columns.groups), failed)


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UsageError("The manifest names a path outside the folder.", reason="manifest_path")
    return path


def _table(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    text = io.StringIO(_decoded(read_small(path, maximum_bytes=_MAXIMUM_BYTES)), newline="")
    reader = csv.DictReader(text, restkey="", restval="")
    try:
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        rows = list(reader) if not missing else []
    except csv.Error:
        raise UsageError("The table is not CSV that can be read.", reason="data_malformed") from None
    if missing:
        few = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise UsageError(
            f"The table has no column {few}.",
            hint="Name columns with --speaker, --label, --group; features are as `sottovoce features` writes them.",
            reason="data_columns",
        )
    return rows


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("The table is not in UTF-8.", reason="data_malformed") from None


def _profile(rows: Sequence[dict[str, str]], given: str | None) -> str:
    stated = {row["profile"] for row in rows if "profile" in row} | ({given} if given else set())
    if len(stated) != 1 or not stated <= set(PROFILES):
        raise UsageError(
            "Nothing says of which profile these features are, or it is said in two ways.",
            hint="Name it with --profile compat or --profile corrected, as they were extracted.",
            reason="profile_unknown",
        )
    return stated.pop()


def _row(row: dict[str, str], columns: Columns, values: Sequence[float]) -> LabelledRow:
    groups = tuple(row[name].strip() for name in columns.groups)
    return LabelledRow(tuple(values), row[columns.speaker].strip(), row[columns.label].strip(), groups)


def _values(row: dict[str, str], number: int) -> tuple[float, ...]:
    try:
        values = tuple(_numbers(row))
    except ValueError:
        raise UsageError(
            f"A feature in row {number} of the table is no finite number.", reason="data_malformed"
        ) from None
    return values


def _numbers(row: dict[str, str]) -> Iterator[float]:
    for name in FEATURE_NAMES:
        value = float(row[name])
        if not abs(value) < float("inf"):  # also false for NaN
            raise ValueError(name)
        yield value
