"""seal: recordings sealed to a public key before anything is written; open: in clear, for who has to hear them."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK, SOME_FAILED, as_ours, combined, exit_code
from sottovoce.doors.cli.files import read_text
from sottovoce.doors.cli.world import CALLER, COMMON, Common, DryRun, Outside, World
from sottovoce.errors import InputUnreadable, SottovoceError, StorageError, UsageError
from sottovoce.model.corpus import Corpus, CorpusFile, SetAside
from sottovoce.model.sealed_file import OpenedFile, SealOutcome

if TYPE_CHECKING:
    from sottovoce.app import Desk

_SHOWN = 5  # files named per reason
_AHEAD = 4  # files handed to each thread before the first has ended
_WORDS = {
    "sealed": "sealed",
    "sealed_before": "sealed before",
    "failed": "not sealed",
    "set_aside": "set aside",
}
_IN_CLEAR = "warning: this writes recordings in clear; remove them as soon as they have been heard"


@dataclass(frozen=True, slots=True)
class _Job:
    """One recording and how it is told about."""

    path: Path = field(repr=False)
    shown: str = field(repr=False)
    contractor: str | None = field(repr=False)


@dataclass
class _Tally:
    counts: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    reasons: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    source_bytes: int = 0
    sealed_bytes: int = 0

    def aside(self, status: str, path: str, code: str, exit_: int = SOME_FAILED) -> None:
        self.counts[status] += 1
        self.reasons.setdefault((status, code), []).append(path)
        self.codes.append(exit_)

    def add(self, outcome: SealOutcome) -> None:
        self.counts[outcome.status] += 1
        self.sources[outcome.source] += 1
        self.source_bytes += outcome.source_bytes
        self.sealed_bytes += outcome.sealed_bytes
        self.codes.append(OK)


def seal(
    paths: Annotated[list[Path], Parameter(help="Folders of recordings, or single ones.")],
    /,
    *,
    to: Annotated[Path, Parameter(help="The recipient's public key file.")],
    out: Annotated[
        Path, Parameter(name=("--out", "-o"), help="The folder for the sealed files: what is uploaded.")
    ],
    contractor: Annotated[
        str | None, Parameter(help="The recipient's id of who speaks; it is sealed inside.")
    ] = None,
    subject_from: Annotated[
        str | None,
        Parameter(help="In place of --contractor: name, or a CSV file with columns file and subject."),
    ] = None,
    jobs: Annotated[int, Parameter(help="How many files at a time (default: one per processor).")] = 0,
    discard_source: Annotated[
        bool, Parameter(help="Unlink each source file once its sealed file was read back whole.")
    ] = False,
    dry_run: DryRun = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Seal recordings to a recipient's public key before anything is written.

    It runs where the recordings are: without a home, a network or any key but the
    public one. Nothing is written in clear. Sealed files are named by random-looking
    ids, in a folder per contractor that does not say who it is; who speaks, size and
    kind of file are sealed inside. Stop it or kill it and run it again: a file that
    did not change is not sealed twice. Links, pipes and devices are set aside; a
    file that changes while it is read gives no sealed file.

    For example:
      sottovoce seal recordings/ --to clinic.recipient.json --out upload --contractor c-17
      sottovoce seal take1.wav --to clinic.recipient.json --out upload --discard-source
    """
    if contractor is not None and subject_from is not None:
        raise UsageError(
            "Name either one contractor or where to read them from.", hint="Leave one of them out."
        )
    if contractor is not None and not contractor.strip():
        raise UsageError("The contractor's id is empty.", hint="Give an id, or leave --contractor out.")
    from sottovoce import app as house

    threads, tally = _threads(jobs), _Tally()
    work, aside = _collected(paths, out, contractor, subject_from, house.read_to_seal)
    for one in aside:
        tally.aside("set_aside", one.path, one.code)
    key = read_text(to)
    unnamed = sum(job.contractor is None for job in work)
    if unnamed:
        world.console.message(
            f"nobody says who speaks in {render.counted(unnamed, 'file')}: the recipient needs a manifest for that "
            "(--contractor or --subject-from seals it inside)"
        )
    if dry_run:
        return _would(work, tally, house.contractor_prefix, key, common=common, world=world)
    with house.sealing_desk(out, to=key) as desk, world.console.bar("sealing", len(work)) as advance:
        stopped = _seal_all(desk, work, tally, advance, threads, discard_source, common=common, world=world)
        prefixes = _prefixes(work, desk.prefix)
    _tell(tally, prefixes, common=common, world=world)
    if stopped is not None:
        raise stopped
    return combined(tally.codes or [OK])


def open_(
    files: Annotated[list[Path], Parameter(help="Sealed recordings.")],
    /,
    *,
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="The folder for the recordings in clear.")],
    key: Annotated[Path | None, Parameter(help="The private key file (else this home's own keys).")] = None,
    subject: Annotated[
        str | None, Parameter(help="Who speaks, where the sealed file does not say (with a home).")
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Open sealed recordings in clear, for who has to hear them.

    A file gets its name only after all of it was found to be what was sealed, is
    readable by you alone, and never replaces another. With the keys of this home
    the person has to be known here and to agree to voice_recording, and each
    opening is written to the audit log first; with --key no home is needed.

    For example:
      sottovoce open upload/*/*.sealed --key clinic.private.json --out listen
    """
    if key is not None and subject is not None:
        raise UsageError("--subject goes with the keys of a home.", hint="Leave --subject or --key out.")
    world.console.message(_IN_CLEAR)
    if key is not None:
        from sottovoce import app as house

        private = read_text(key)
        return _open_each(
            files, lambda file: house.open_sealed_file(file, key=private, out=out), common=common, world=world
        )
    with world.open(common) as platform:
        return _open_each(
            files, lambda file: platform.open_sealed_file(file, out=out, subject=subject, caller=CALLER),
            common=common, world=world,
        )  # fmt: skip


# --- sealing ------------------------------------------------------------------------------------------------


def _collected(
    paths: list[Path], out: Path, contractor: str | None, subject_from: str | None,
    read: Callable[[Path, str | None, str], Corpus],
) -> tuple[list[_Job], list[SetAside]]:  # fmt: skip
    """Every recording that is to be sealed, and what is set aside before it is opened."""
    work: list[_Job] = []
    aside: list[SetAside] = []
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            if out.resolve().is_relative_to(path.resolve()):
                raise UsageError(
                    "The folder for sealed files lies in the folder of the recordings.",
                    hint="Name a folder outside of it with --out.",
                )
            corpus = read(path, subject_from, contractor or "")
            work += [_Job(path / file.path, file.path, _contractor(file)) for file in corpus.files]
            aside += corpus.set_aside
        elif subject_from is not None:
            raise UsageError("--subject-from goes with folders.", hint="Use --contractor for single files.")
        elif _is_regular(path):
            work.append(_Job(path, str(path), contractor))
        else:
            aside.append(SetAside(str(path), "not_a_file", ""))
    return work, aside


def _contractor(file: CorpusFile) -> str | None:
    return file.subject or None


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        raise InputUnreadable(
            "There is no such file.", hint="Check the path.", reason="file_missing"
        ) from None


def _seal_all(
    desk: Desk, work: list[_Job], tally: _Tally, advance: Callable[[], None], threads: int, discard_source: bool,
    *, common: Common, world: World,
) -> SottovoceError | None:  # fmt: skip
    """Every recording; the error that stops all of them, if one does."""

    def one(job: _Job) -> SealOutcome:
        return desk.seal(job.path, contractor=job.contractor, discard_source=discard_source)

    for job, ended in _side_by_side(work, one, threads):
        advance()
        try:
            outcome = ended.result()
        except Exception as problem:
            error = as_ours(problem)
            tally.aside("failed", job.shown, error.public_code, exit_code(error))
            if common.json:
                world.console.json(payloads.file_error(job.shown, error))
            world.debug(error)
            if isinstance(error, StorageError):  # so would every other one
                return error
            continue
        tally.add(outcome)
        if common.json:
            world.console.json(_outcome(job, outcome))
    return None


def _side_by_side(
    work: list[_Job], one: Callable[[_Job], SealOutcome], threads: int
) -> Iterator[tuple[_Job, Future[SealOutcome]]]:
    """In the order in which they end. Closing the iterator leaves out what was not begun."""
    waiting = iter(work)
    with ThreadPoolExecutor(threads) as pool:
        running: dict[Future[SealOutcome], _Job] = {}
        try:
            while True:
                while len(running) < threads * _AHEAD and (job := next(waiting, None)) is not None:
                    running[pool.submit(one, job)] = job
                if not running:
                    return
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield running.pop(future), future
        finally:
            pool.shutdown(cancel_futures=True)


def _threads(jobs: int) -> int:
    if not 0 <= jobs <= 64:
        raise UsageError("The number of jobs is 1 to 64.", hint="One per processor is enough.")
    return jobs or len(os.sched_getaffinity(0))


def _prefixes(work: list[_Job], prefix: Callable[[str | None], str]) -> dict[str, str]:
    """Folder of each contractor, "-" where nobody is named."""
    return {
        contractor or "-": prefix(contractor) for contractor in dict.fromkeys(job.contractor for job in work)
    }


def _would(
    work: list[_Job], tally: _Tally, prefix_of: Callable[[str, str | None], str], key: str, *, common: Common,
    world: World,
) -> int:  # fmt: skip
    prefixes = _prefixes(work, lambda contractor: prefix_of(key, contractor))
    payload = {
        "dry_run": True, "would_be_sealed": len(work), "folders": prefixes, "not_sealed": _reasons(tally),
    }  # fmt: skip
    head = f"{render.counted(len(work), 'file')} would be sealed."
    text = "\n\n".join(part for part in (head, _folder_table(prefixes), _reason_table(tally)) if part)
    world.answer(common, payload, text)
    return combined([*tally.codes, *([OK] if work else [])])


def _tell(tally: _Tally, prefixes: dict[str, str], *, common: Common, world: World) -> None:
    payload = {
        "summary": dict(tally.counts), "not_sealed": _reasons(tally), "sources": dict(tally.sources),
        "folders": prefixes, "source_bytes": tally.source_bytes, "sealed_bytes": tally.sealed_bytes,
    }  # fmt: skip
    counts = [(str(tally.counts[key]), words) for key, words in _WORDS.items() if tally.counts[key]]
    if tally.sources["unlinked"]:
        counts.append((str(tally.sources["unlinked"]), "source files unlinked, blocks not proven"))
    if tally.sources["unlink_not_confirmed"]:
        counts.append((str(tally.sources["unlink_not_confirmed"]), "source files not unlinked: check them"))
    parts = [render.table(counts), _reason_table(tally), _folder_table(prefixes)]
    world.answer(common, payload, "\n\n".join(part for part in parts if part))


def _folder_table(prefixes: dict[str, str]) -> str:
    rows = [(prefix, printable(contractor)) for contractor, prefix in list(prefixes.items())[:10]]
    if len(prefixes) > len(rows):
        rows.append(("...", f"{len(prefixes) - len(rows)} more contractors"))
    return render.table([("folder", "contractor"), *rows]) if rows else ""


def _reasons(tally: _Tally) -> list[dict[str, object]]:
    return [
        {"status": status, "code": code, "count": len(files), "files": files}
        for (status, code), files in tally.reasons.items()
    ]


def _reason_table(tally: _Tally) -> str:
    lines = []
    for (status, code), files in sorted(tally.reasons.items(), key=lambda item: -len(item[1])):
        named = ", ".join(printable(file) for file in files[:_SHOWN])
        lines.append((str(len(files)), _WORDS[status], code, named + (" ..." if len(files) > _SHOWN else "")))
    return render.table(lines)


def _outcome(job: _Job, outcome: SealOutcome) -> dict[str, object]:
    return {
        "file": job.shown, "status": outcome.status, "envelope_id": outcome.envelope_id, "sealed": outcome.place,
        "source": outcome.source, "source_bytes": outcome.source_bytes, "sealed_bytes": outcome.sealed_bytes,
    }  # fmt: skip


# --- opening ------------------------------------------------------------------------------------------------


def _open_each(files: list[Path], one: Callable[[Path], OpenedFile], *, common: Common, world: World) -> int:
    codes = []
    for file in files:
        try:
            opened = one(file)
        except Exception as problem:
            error = as_ours(problem)
            codes.append(exit_code(error))
            if common.json:
                world.console.json(payloads.file_error(str(file), error))
            world.console.error(what=error.message, code=error.public_code, hint=error.hint, about=str(file))
            world.debug(error)
            continue
        codes.append(OK)
        payload = {
            "file": str(file), "opened": opened.path, "size_bytes": opened.size_bytes, "subject": opened.subject,
        }  # fmt: skip
        who = f"  {printable(opened.subject)}" if opened.subject else ""
        world.answer(common, payload, f"{printable(opened.path)}  {opened.size_bytes} bytes{who}")
    return combined(codes or [OK])
