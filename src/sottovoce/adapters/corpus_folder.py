"""A corpus of recordings in a folder: every regular file, and who speaks in it by its name or by a manifest.

Rules upheld here:
0. Of a sealed recording nobody is read from names, which say nothing: its own note tells, or the manifest.
1. Nothing outside the folder is reached: a manifest's path that is absolute, climbs out or goes through a symbolic
   link is set aside (CWE-22, CWE-59).
2. A file is named once: a second row for the same file is set aside, and where two rows name different people, both
   are: nobody's recording is filed under somebody else.
3. Nothing is opened here but the manifest; no message names a file.
"""

from __future__ import annotations

import csv
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sottovoce.errors import InputUnreadable, UsageError
from sottovoce.model.corpus import Corpus, CorpusFile, SetAside
from sottovoce.model.sealed_file import SUFFIX

BY_NAME, BY_NOTE = "name", "sealed"
_COLUMNS = ("file", "subject")
_MAXIMUM_MANIFEST_BYTES = 256 << 20
_SEPARATOR = re.compile(r"[_-]")

_WORDS = {
    "not_a_file": "This is not a regular file: links, folders, pipes and devices are not followed.",
    "file_missing": "The manifest names a file that is not there.",
    "manifest_path": "The manifest names a path outside the folder.",
    "manifest_duplicate": "The manifest names this file twice.",
    "manifest_two_people": "The manifest names this file for different people.",
    "manifest_subject": "The manifest names no person for this file.",
    "not_sealed": "This file is not a sealed recording.",
    "sealed_already": "This file is a sealed recording already.",
    "name_without_subject": "No person can be read from the name of this file.",
}


def read_corpus(folder: Path, subject_from: str) -> Corpus:
    """What is in the folder. `subject_from`: `name`, `sealed` (sealed recordings alone, whose notes say who speaks), or
    the path of a CSV file with the columns file and subject.

    By name, the person is the first folder below `folder`; for a file directly in it, its name up to the first `_`
    or `-`. Hidden files are left out. InputUnreadable (no such folder, no such manifest), UsageError (a manifest
    without the two columns, or not in UTF-8).
    """
    _check_folder(folder)
    if subject_from in (BY_NAME, BY_NOTE):
        return _by_name(folder, sealed_alone=subject_from == BY_NOTE)
    return _by_manifest(folder, Path(subject_from))


def read_to_seal(folder: Path, subject_from: str | None, contractor: str) -> Corpus:
    """What is in the folder to be sealed: everything of one contractor ("": nobody is named), or as read_corpus() has
    it. Recordings that are sealed already are set aside."""
    _check_folder(folder)
    if subject_from is not None:
        corpus = read_corpus(folder, subject_from)
        files, aside = corpus.files, list(corpus.set_aside)
    else:
        found = list(_walk(folder))
        files = tuple(CorpusFile(path, contractor, _is_sealed(path)) for path, regular in found if regular)
        aside = [_aside(path, "not_a_file") for path, regular in found if not regular]
    aside += [_aside(file.path, "sealed_already") for file in files if file.sealed]
    return Corpus(tuple(file for file in files if not file.sealed), tuple(aside))


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputUnreadable("There is no such folder.", hint="Name the folder of the recordings.")


def _is_sealed(path: str) -> bool:
    return path.endswith(SUFFIX)


def _by_name(folder: Path, *, sealed_alone: bool) -> Corpus:
    files: list[CorpusFile] = []
    aside: list[SetAside] = []
    for path, regular in _walk(folder):
        subject = _subject_of(path)
        if not regular:
            aside.append(_aside(path, "not_a_file"))
        elif _is_sealed(path):
            files.append(CorpusFile(path, "", sealed=True))
        elif sealed_alone:
            aside.append(_aside(path, "not_sealed"))
        elif not subject:
            aside.append(_aside(path, "name_without_subject"))
        else:
            files.append(CorpusFile(path, subject))
    return Corpus(tuple(files), tuple(aside))


def _subject_of(path: str) -> str:
    first, *rest = path.split("/")
    return first if rest else _SEPARATOR.split(Path(first).stem)[0].strip()


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """(path below the folder, whether it is a regular file), in order of name; links are not followed."""
    waiting = [""]
    while waiting:
        base = waiting.pop()
        try:
            entries = sorted(os.scandir(folder / base), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue  # the folder changes while it is read
        except OSError:
            raise InputUnreadable(
                "A folder of the corpus cannot be read.", hint="Check its permissions.", reason="folder"
            ) from None
        below = []
        for entry in entries:
            path = f"{base}/{entry.name}" if base else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(path)
            else:
                yield path, entry.is_file(follow_symlinks=False)
        waiting += reversed(below)


@dataclass
class _Manifest:
    """Rows of a manifest, sorted into what is taken and what is not."""

    folder: Path
    subjects: dict[str, str] = field(default_factory=dict)
    aside: list[SetAside] = field(default_factory=list)
    disputed: set[str] = field(default_factory=set)

    def add(self, named: str, subject: str) -> None:
        path = os.path.normpath(named.strip().replace("\\", "/")) if named.strip() else ""
        code = self._problem(path, subject)
        if code is None:
            self.subjects[path] = subject
            return
        if code == "manifest_two_people":
            self.disputed.add(path)
        self.aside.append(_aside(named, code))

    def _problem(self, path: str, subject: str) -> str | None:
        if not path or path.startswith(("/", "..")) or "\0" in path:
            return "manifest_path"
        if not subject:
            return "manifest_subject"
        if path in self.subjects:
            return "manifest_duplicate" if self.subjects[path] == subject else "manifest_two_people"
        return self._unusable(path)

    def _unusable(self, path: str) -> str | None:
        """Every part of the path is looked at without following it."""
        parts = path.split("/")
        try:
            for depth in range(1, len(parts)):
                if not stat.S_ISDIR((self.folder / "/".join(parts[:depth])).lstat().st_mode):
                    return "manifest_path"
            mode = (self.folder / path).lstat().st_mode
        except (OSError, ValueError):
            return "file_missing"
        return None if stat.S_ISREG(mode) else "not_a_file"


def _by_manifest(folder: Path, manifest: Path) -> Corpus:
    rows = _Manifest(folder)
    for named, subject in _rows(manifest):
        rows.add(named, subject)
    for path in sorted(rows.disputed):
        rows.aside.append(_aside(path, "manifest_two_people"))
    files = tuple(
        CorpusFile(path, subject, _is_sealed(path))
        for path, subject in rows.subjects.items()
        if path not in rows.disputed
    )
    own = _inside(folder, manifest)
    listed = rows.subjects.keys() | ({own} if own else set())
    unlisted = sum(regular and path not in listed for path, regular in _walk(folder))
    return Corpus(files, tuple(rows.aside), unlisted)


def _rows(manifest: Path) -> Iterator[tuple[str, str]]:
    try:
        if manifest.stat().st_size > _MAXIMUM_MANIFEST_BYTES:
            raise UsageError("The manifest is larger than 256 MiB.", hint="Split it.")
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if any(column not in (reader.fieldnames or ()) for column in _COLUMNS):
                raise UsageError(
                    "The manifest has no columns named file and subject.",
                    hint="Its first line names the columns: file,subject",
                    reason="manifest_columns",
                )
            for row in reader:
                yield row["file"] or "", (row["subject"] or "").strip()
    except OSError:
        raise InputUnreadable("The manifest cannot be read.", hint="Check the path.") from None
    except (UnicodeDecodeError, csv.Error):
        raise UsageError(
            "The manifest is not a CSV file in UTF-8.", hint="Save it as CSV in UTF-8.", reason="manifest"
        ) from None


def _inside(folder: Path, manifest: Path) -> str | None:
    try:
        return manifest.resolve().relative_to(folder.resolve()).as_posix()
    except (OSError, ValueError):
        return None


def _aside(path: str, code: str) -> SetAside:
    return SetAside(path, code, _WORDS[code])
