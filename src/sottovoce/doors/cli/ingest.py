"""ingest: a whole corpus of recordings, each taken in exactly once; footprint: what is stored, by kind."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sottovoce.doors.cli import ingest_pool, payloads, render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK, SOME_FAILED, combined, exit_code, hint
from sottovoce.doors.cli.recordings import tell_models
from sottovoce.doors.cli.world import CALLER, COMMON, Common, DryRun, Outside, World
from sottovoce.errors import ConsentRequired, KeyUnavailable, SottovoceError, StorageError, UsageError
from sottovoce.model.corpus import Corpus, CorpusFile, FootprintRow, IngestOutcome
from sottovoce.model.sealed_file import OF_ONE_RECORDING

if TYPE_CHECKING:
    from sottovoce.app import Platform

_SHOWN = 5  # files named per reason; --report names all
_OF_THE_VOICE = ("features", "insight", "embedding", "decision")
_WORDS = {
    "taken": "taken in", "done_before": "here before", "refused_before": "refused before",
    "failed": "not taken in", "set_aside": "set aside",
}  # fmt: skip
_KIND_WORDS = {
    "features": "features, sealed", "insight": "voice profile, sealed", "embedding": "embedding, sealed",
    "decision": "decision log, sealed", "receipt": "signed receipts", "consent": "consents, their evidence sealed",
    "notice": "notices that people were shown", "person": "names, sealed", "mark": "marks on a person's data",
    "case": "requests of people", "erasure": "erasures and their receipts", "recipient": "names of recipients, sealed",
    "disclosure": "what was handed over to recipients", "audit": "audit details, sealed",
    "sealed_audio": "audio that waits, sealed", "key": "wrapped keys",
}  # fmt: skip


@dataclass
class Tally:
    """What became of the files, as far as it is known."""

    before_bytes: int = 0  # of the files whose result is here
    kept: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    reasons: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (status, code) -> files
    codes: list[int] = field(default_factory=list)

    def aside(self, path: str, code: str) -> None:
        self.counts["set_aside"] += 1
        self.reasons.setdefault(("set_aside", code), []).append(path)
        self.codes.append(SOME_FAILED)

    def failed(self, path: str, error: SottovoceError) -> None:
        self.counts["failed"] += 1
        self.reasons.setdefault(("failed", error.public_code), []).append(path)
        self.codes.append(exit_code(error))

    def add(self, path: str, outcome: IngestOutcome) -> None:
        self.counts[outcome.status] += 1
        self.sources[outcome.source] += 1
        if outcome.status in ("taken", "done_before"):
            self.before_bytes += outcome.source_bytes
            self.kept += 1
            self.codes.append(OK)
        else:
            self.reasons.setdefault((outcome.status, outcome.code), []).append(path)
            self.codes.append(SOME_FAILED)


def ingest(
    folder: Annotated[Path, Parameter(help="The folder of the recordings.")],
    /,
    *,
    subject_from: Annotated[
        str,
        Parameter(
            help="Who speaks: `name` (folder or first part of the file's name), `sealed`, or a manifest.csv."
        ),
    ],
    jobs: Annotated[int, Parameter(help="How many processes to use (default: one per processor).")] = 0,
    discard_source: Annotated[
        bool, Parameter(help="Unlink each source file once its result is safe.")
    ] = False,
    report: Annotated[Path | None, Parameter(help="Write a line per file into this CSV file.")] = None,
    channel: Annotated[str, Parameter(help="Which channel to use: 0 to 7, or mix.")] = "0",
    accept_truncated: Annotated[
        bool, Parameter(help="Analyse files whose end is missing, and flag them.")
    ] = False,
    dry_run: DryRun = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Take in a folder of recordings, each exactly once.

    Every file goes through the sealed child like with `analyze`. Recordings that
    were sealed to a key of this home (`keys recipient`) are taken in as they are:
    the child is the first to open them, and their own notes say who speaks; with
    --subject-from sealed nothing else in the folder is touched. Stop it or kill
    it when you like and run it again: what is done is not done twice, because a
    recording is known by its content and its person. Bad files never stop the
    rest; they are listed at the end. With --subject-from name the person is the
    first folder below FOLDER, or the file's name up to the first _ or -. A
    manifest has the columns file and subject. People have to have consented to
    voice_recording, voice_analysis and data_retention_30_days.

    For example:
      sottovoce ingest recordings/ --subject-from name --dry-run
      sottovoce ingest recordings/ --subject-from people.csv --jobs 2 --report outcome.csv
    """
    jobs = _jobs(jobs)
    corpus = world.read_corpus(folder, subject_from)
    tally = Tally()
    with _Report.to(report) as lines, world.open(common) as platform:
        if any(file.sealed for file in corpus.files):
            with world.console.progress("reading who speaks in the sealed recordings"):
                corpus = platform.name_sealed(folder, corpus)
        for aside in corpus.set_aside:
            tally.aside(aside.path, aside.code)
            lines.write(aside.path, "", "set_aside", aside.code)
        tell_models(str(folder), platform.models_to_run(), world)
        willing, unwilling = _consenting(platform, corpus, world)
        for file in unwilling:
            tally.failed(file.path, ConsentRequired())
            lines.write(file.path, file.subject, "failed", ConsentRequired.code)
        if dry_run:
            return _would(corpus, willing, tally, common=common, world=world)
        request = ingest_pool.Request(str(folder), CALLER, discard_source, channel, accept_truncated)
        stopped = _take_all(platform, willing, request, jobs, tally, lines, common=common, world=world)
        rows = platform.footprint()
    _tell(tally, rows, corpus, common=common, world=world)
    if stopped is not None:
        raise stopped
    return combined(tally.codes or [OK])


def footprint(*, common: Common = COMMON, world: Outside) -> int:
    """Show how much is stored, by kind.

    Counted from the stores themselves: the bytes of what the rows hold.

    For example:
      sottovoce footprint
    """
    with world.open(common) as platform:
        rows = platform.footprint()
    payload = {"kinds": [_row(row) for row in rows], "bytes": sum(row.size_bytes for row in rows)}
    world.answer(common, payload, render.table(_table(rows)))
    return OK


def _take_all(
    platform: Platform, files: list[CorpusFile], request: ingest_pool.Request, jobs: int, tally: Tally,
    lines: _Report, *, common: Common, world: World,
) -> SottovoceError | None:  # fmt: skip
    """Every file; what is being worked on elsewhere is asked for again at the end. The error that stopped it."""
    for again in (False, True):
        busy: list[CorpusFile] = []
        with world.console.bar("taking in", len(files)) as advance:
            taken = (
                ingest_pool.side_by_side(platform.settings, files, request, jobs=min(jobs, len(files)))
                if jobs > 1 and len(files) > 1
                else ingest_pool.here(platform, files, request)
            )
            for file, answer in taken:
                advance()
                if isinstance(answer, SottovoceError):
                    if answer.reason == "in_progress" and not again:
                        busy.append(file)
                        continue
                    tally.failed(file.path, answer)
                    lines.write(file.path, file.subject, "failed", answer.public_code)
                    if common.json:
                        world.console.json(payloads.file_error(file.path, answer))
                    world.debug(answer)
                    if _hopeless(answer):
                        taken.close()
                        return answer
                    continue
                tally.add(file.path, answer)
                lines.write(file.path, file.subject, answer.status, answer.code, answer.session_id or "")
                if common.json:
                    world.console.json(_outcome(file, answer))
        if not busy:
            break
        files = busy
    return None


def _hopeless(error: SottovoceError) -> bool:
    """Whether every other file would fail the same way."""
    full = isinstance(error, StorageError) and error.reason != "storage_locked"
    return full or (isinstance(error, KeyUnavailable) and error.reason not in OF_ONE_RECORDING)


def _consenting(
    platform: Platform, corpus: Corpus, world: World
) -> tuple[list[CorpusFile], list[CorpusFile]]:
    """The files of people who have consented, and the others; said before anything is begun."""
    subjects = corpus.subjects()
    with world.console.progress(f"looking up the consents of {render.people(len(subjects))}"):
        unwilling = platform.unwilling(subjects)
    if unwilling:
        some = ", ".join(printable(subject) for subject in sorted(unwilling)[:_SHOWN])
        world.console.message(
            f"{len(unwilling)} of {render.people(len(subjects))} have not consented to all that is needed: {some}"
            + (" ..." if len(unwilling) > _SHOWN else "")
        )
    files = corpus.files
    return (
        [file for file in files if file.subject not in unwilling],
        [file for file in files if file.subject in unwilling],
    )


# --- what is told -------------------------------------------------------------------------------------------


def _would(corpus: Corpus, willing: list[CorpusFile], tally: Tally, *, common: Common, world: World) -> int:
    people = Counter(file.subject for file in corpus.files)
    payload = {
        "dry_run": True, "files": len(corpus.files), "people": len(people), "would_be_taken": len(willing),
        "not_taken": _reasons(tally), "unlisted": corpus.unlisted,
    }  # fmt: skip
    counted = [(printable(name), render.counted(count, "file")) for name, count in people.most_common(10)]
    if len(people) > len(counted):
        counted.append(("...", f"{len(people) - len(counted)} more people"))
    files, persons = (
        render.counted(len(corpus.files), "file"),
        render.people(len(people)),
    )
    head = f"{len(willing)} of {files} of {persons} would be taken in."
    text = "\n\n".join(part for part in (head, render.table(counted), _reason_table(tally)) if part)
    world.answer(common, payload, text)
    return combined([*tally.codes, *([OK] if willing else [])])


def _tell(
    tally: Tally, rows: tuple[FootprintRow, ...], corpus: Corpus, *, common: Common, world: World
) -> None:
    voice = sum(row.size_bytes for row in rows if row.kind in _OF_THE_VOICE)
    payload = {
        "summary": dict(tally.counts), "not_taken": _reasons(tally), "sources": dict(tally.sources),
        "unlisted": corpus.unlisted, "source_bytes": tally.before_bytes,
        "stored": [_row(row) for row in rows], "stored_bytes": sum(row.size_bytes for row in rows),
    }  # fmt: skip
    counts = [(str(tally.counts[key]), words) for key, words in _WORDS.items() if tally.counts[key]]
    unlinked = tally.sources["unlinked"]
    if unlinked:
        counts.append(
            (str(unlinked), "source files unlinked (their blocks on the medium are not proven gone)")
        )
    if corpus.unlisted:
        counts.append((str(corpus.unlisted), "files in the folder that the manifest does not name"))
    before = f"{amount(tally.before_bytes)} of recordings in {render.counted(tally.kept, 'file')}"
    after = f"{amount(voice)} of results in this home, and around them:"
    sizes = f"  {before} -> {after}" if tally.kept else "  In this home:"
    parts = [render.table(counts), _reason_table(tally), sizes, render.table(_table(rows))]
    world.answer(common, payload, "\n\n".join(part for part in parts if part))
    for (_, code), _files in tally.reasons.items():
        if code == ConsentRequired.code:
            world.console.message(f"  try: {hint(ConsentRequired())}")


def _reasons(tally: Tally) -> list[dict[str, object]]:
    return [
        {"status": status, "code": code, "count": len(files), "files": files}
        for (status, code), files in tally.reasons.items()
    ]


def _reason_table(tally: Tally) -> str:
    lines = []
    for (status, code), files in sorted(tally.reasons.items(), key=lambda item: -len(item[1])):
        named = ", ".join(printable(file) for file in files[:_SHOWN])
        lines.append((str(len(files)), _WORDS[status], code, named + (" ..." if len(files) > _SHOWN else "")))
    return render.table(lines)


def _table(rows: tuple[FootprintRow, ...]) -> list[tuple[str, str, str]]:
    return [
        (_KIND_WORDS.get(row.kind, row.kind), str(row.count), amount(row.size_bytes))
        for row in rows
        if row.count
    ]


def _row(row: FootprintRow) -> dict[str, object]:
    return {"kind": row.kind, "count": row.count, "bytes": row.size_bytes}


def _outcome(file: CorpusFile, outcome: IngestOutcome) -> dict[str, object]:
    answer: dict[str, object] = {
        "file": file.path, "status": outcome.status, "session_id": outcome.session_id,
        "source": outcome.source, "source_bytes": outcome.source_bytes,
    }  # fmt: skip
    return answer | ({"code": outcome.code} if outcome.code else {})


def amount(size_bytes: float) -> str:
    """A size for people: 1.2 MB."""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size_bytes /= 1000
        if size_bytes < 1000:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1000:.1f} TB"


def _jobs(jobs: int) -> int:
    if not 0 <= jobs <= 64:
        raise UsageError("The number of jobs is 1 to 64.", hint="One per processor is enough.")
    return jobs or len(os.sched_getaffinity(0))


class _Report:
    """A CSV file with a line per recording, readable by its owner only; or nothing."""

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer

    @classmethod
    @contextmanager
    def to(cls, path: Path | None) -> Iterator[_Report]:
        if path is None:
            yield cls()
            return
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError:
            raise UsageError(
                "The report cannot be written there.", hint="Check the folder and its permissions."
            ) from None
        with os.fdopen(descriptor, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "subject", "outcome", "code", "session"))
            yield cls(writer)

    def write(self, *cells: str) -> None:
        if self._writer is not None:
            self._writer.writerow((*cells, "")[:5])
