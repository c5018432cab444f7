"""audit verify, show, checkpoint, prove, report, archive: the log of what was done, and how anybody checks it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import Style, printable
from sottovoce.doors.cli.errors import INTEGRITY, OK, SOME_FAILED
from sottovoce.doors.cli.files import read_log, read_text, write_new
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside
from sottovoce.errors import UsageError
from sottovoce.model.outcome import (
    ArchiveOutcome,
    AuditLine,
    AuditReport,
    AuditSummary,
    RolledBack,
    WitnessState,
)

app = App(name="audit", help="Check and read the audit log.")

_OUTSIDE = "A checkpoint kept elsewhere: a checkpoint, a witness's file, or a receipt."
From = Annotated[datetime | None, Parameter(name="--from", help="Entries from this time on (UTC).")]
To = Annotated[datetime | None, Parameter(name="--to", help="Entries before this time (UTC).")]
Since = Annotated[Path | None, Parameter(help=_OUTSIDE)]
Archive = Annotated[
    Path | None, Parameter(help="Check this archive instead, also entry by entry against the log.")
]
Key = Annotated[Path | None, Parameter(help="With --archive: the signer's identity file; no home is opened.")]
Out = Annotated[Path | None, Parameter(help="Write it to this new file.")]


@app.command
def verify(
    *, since: Since = None, archive: Archive = None, key: Key = None, common: Common = COMMON, world: Outside
) -> int:
    """Check every entry, link and checkpoint of the log.

    With --since the log is compared with checkpoints that were kept outside this
    home. Only that finds a log that was cut short, written anew as a whole, or
    put back to an older state.

    With --archive an old part of the log is checked that `audit archive` has moved
    to a file; with --key as well that needs no home, only the signer's identity.

    For example:
      sottovoce audit verify
      sottovoce audit verify --since /mnt/elsewhere/checkpoints.txt
      sottovoce audit verify --since rct_aaaaaaaaaaaaaaaaaaaaaaaa.json
      sottovoce audit verify --archive log-of-2024.archive --key clinic.identity.json
    """
    if archive is not None:
        return _verify_archive(archive, since, key, common=common, world=world)
    if key is not None:
        raise UsageError("--key is for checking an archive.", hint="Give the archive with --archive.")
    outside = None if since is None else read_log(since)
    with world.open(common) as platform, world.console.progress("checking the log"):
        report = platform.verify_audit(since=outside)
    world.answer(common, payloads.audit_report(report), _report(report))
    if not report.intact:
        return _broken(report, world)
    return OK if report.rolled_back is None else _rolled_back(report.rolled_back, world)


@app.command
def show(
    *,
    subject: Annotated[str | None, Parameter(help="Only entries about this person.")] = None,
    kind: Annotated[str | None, Parameter(help="Only this kind (record.read) or family (record).")] = None,
    after: From = None,
    before: To = None,
    limit: Annotated[int, Parameter(help="The latest so many entries.")] = 50,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Show the latest entries of the log.

    Details are shown where the person's own key still opens them; erasing the
    person closes them for good.

    For example:
      sottovoce audit show --subject anna
      sottovoce audit show --kind record.read --from 2026-01-01 --to 2026-02-01
    """
    with world.open(common) as platform:
        lines = platform.show_audit(
            subject=subject, kind=kind, since=_utc(after), until=_utc(before), limit=limit, caller=CALLER
        )
    world.answer(common, payloads.audit_lines(lines), _lines(lines))
    return OK


@app.command
def checkpoint(*, out: Out = None, common: Common = COMMON, world: Outside) -> int:
    """Sign the log as it is now: a few lines to keep elsewhere.

    Whoever keeps a checkpoint outside this home is a witness: nothing that it
    covers can change unseen.

    For example:
      sottovoce audit checkpoint --out 2026-03-01.checkpoint
    """
    with world.open(common) as platform:
        text = platform.checkpoint_audit()
    _hand_out(text, out)
    origin, size = text.split("\n")[:2]
    where = None if out is None else str(out)
    payload = {"origin": origin, "entries": int(size), "checkpoint": text, "file": where}
    world.answer(common, payload, text.rstrip("\n") if out is None else f"{size} entries, signed: {out}")
    return OK


@app.command
def prove(
    event: Annotated[str, Parameter(help="The id of an entry (audit show --json gives it).")],
    /,
    *,
    out: Out = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Prove that an entry is in the log, to anybody, offline.

    The proof holds this one entry, pseudonymous and with its details sealed, and
    the path from it to a signed checkpoint. `sottovoce verify` checks it.

    For example:
      sottovoce audit prove evt_aaaaaaaaaaaaaaaaaaaaaaaa --out entry.tlog-proof
    """
    with world.open(common) as platform:
        proof = platform.prove_audit(event, caller=CALLER)
    _hand_out(proof.text, out)
    payload = payloads.audit_proof(proof) | {"file": None if out is None else str(out)}
    said = f"entry {proof.sequence} of {proof.size}: {out}"
    world.answer(common, payload, proof.text.rstrip("\n") if out is None else said)
    return OK


@app.command
def report(
    *, after: From = None, before: To = None, since: Since = None, common: Common = COMMON, world: Outside
) -> int:
    """Sum up the log: entries by month, verification, witnesses, alarms.

    Exit code 5 where the log is not what was written, 1 where a witness lags.

    For example:
      sottovoce audit report
      sottovoce audit report --from 2026-01-01 --since witness.txt --json
    """
    outside = None if since is None else read_log(since)
    with world.open(common) as platform, world.console.progress("checking the log"):
        found = platform.report_audit(since=_utc(after), until=_utc(before), checkpoint=outside)
    world.answer(common, payloads.audit_summary(found), _summary(found, world.console.style))
    if not found.verification.intact:
        return _broken(found.verification, world)
    return SOME_FAILED if found.alarms else OK


@app.command
def archive(
    *,
    before: Annotated[datetime, Parameter(help="Entries written before this day or time go (UTC).")],
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="The new file that takes them.")],
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Move the oldest entries of the log to a signed file.

    The file is written, read back and verified before anything leaves the log. The
    hashes of the entries stay: checkpoints and proofs go on verifying. Whoever has
    the file and the identity of this home can check it without the home.

    For example:
      sottovoce audit archive --before 2026-01-01 --out log-until-2025.archive
    """
    with world.open(common) as platform, world.console.progress("archiving the log"):
        found = platform.archive_audit(out, before=_at(before), caller=CALLER)
    said = (
        f"{_archived(found)}: {out}\nKeep this file as long as the log: nothing else has these entries now."
    )
    world.answer(common, payloads.archive(found, file=str(out)), said)
    return OK


def _verify_archive(
    file: Path, since: Path | None, key: Path | None, *, common: Common, world: Outside
) -> int:
    """Offline against a pinned key, or in the home against its log."""
    if since is not None:
        raise UsageError(
            "--since and --archive do not go together.", hint="Check the log and the archive one by one."
        )
    if key is not None:
        found = world.verify_archive(file, key=read_text(key), home=common.folder)
        against = "the signature and the hashes in it"
    else:
        with world.open(common) as platform, world.console.progress("checking the archive"):
            found = platform.verify_archive(file)
        against = "the log of this home"
    world.answer(
        common,
        payloads.archive(found, file=str(file)),
        f"intact: {_archived(found)}, checked against {against}",
    )
    return OK


def _archived(found: ArchiveOutcome) -> str:
    return f"entries {found.first} to {found.last}, until {render.moment(found.until)}"


def _at(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _broken(report: AuditReport, world: Outside) -> int:
    world.console.error(
        what=f"The audit log is not what was written: {report.problem}",
        code="integrity",
        hint="Keep a copy of this home as it is, and compare with checkpoints that were kept elsewhere.",
    )
    return INTEGRITY


def _rolled_back(found: RolledBack, world: Outside) -> int:
    """Neither green nor an attack: a restore that this home signed is why the log is older than the checkpoint."""
    world.console.error(
        what=f"The log was put back by a restore: a checkpoint held outside covers {found.covered} entries, and the "
        f"backup {found.backup} had {found.kept}.",
        code="log_restored",
        hint="See whether that restore was yours; what was written between is in no log any more.",
    )
    return SOME_FAILED


def _hand_out(text: str, out: Path | None) -> None:
    if out is not None:
        write_new(out, text)


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else _at(at)


def _report(report: AuditReport) -> str:
    rows = [
        ("log", _state(report)),
        ("entries", f"{report.events}, and {_waiting(report)}"),
        *([("archived", f"the first {report.archived}: their hashes are here")] if report.archived else []),
        ("checkpoints", _compared(report)),
        ("witnessed", _witnessed(report)),
        ("head", report.head or "-"),
        ("root", report.root or "-"),
        ("evidence", report.evidence),
    ]
    return render.table(rows, indent=0)


def _state(report: AuditReport) -> str:
    if report.intact and report.rolled_back is not None:
        return (
            f"intact, and put back by the restore of {render.moment(report.rolled_back.at)}: "
            f"{report.rolled_back.kept} of {report.rolled_back.covered} entries of then are here"
        )
    if report.intact:
        return "intact"
    if report.first_bad is not None:
        return f"broken at entry {report.first_bad}"
    if report.between is not None:
        return f"broken after entry {report.between[0]} and up to entry {report.between[1]}"
    return "broken"


def _waiting(report: AuditReport) -> str:
    since = f" (since {render.moment(report.waiting_since)})" if report.waiting_since else ""
    return f"{report.unsequenced} without a number yet{since}"


def _compared(report: AuditReport) -> str:
    outside = (
        "none from outside" if report.compared is None else f"one from outside over {report.compared} entries"
    )
    return f"{report.checkpoints} of this home, {outside}"


def _witnessed(report: AuditReport) -> str:
    if report.unwitnessed_from is None:
        return "every entry" if report.events else "-"
    since = render.moment(report.unwitnessed_since)
    return f"not from entry {report.unwitnessed_from} on ({since}), as far as this home knows"


def _lines(lines: tuple[AuditLine, ...]) -> str:
    if not lines:
        return "The log holds no such entries."
    rows = [
        (
            "-" if line.sequence is None else str(line.sequence),
            render.moment(line.at),
            line.kind,
            f"{line.actor} ({line.channel})",
            line.purpose or "-",
            line.outcome,
            "" if line.details is None else printable(json.dumps(line.details, ensure_ascii=False)),
        )
        for line in lines
    ]
    return render.table([("no", "when", "what", "who", "purpose", "outcome", "details"), *rows], indent=0)


def _summary(found: AuditSummary, style: Style) -> str:
    parts = [_report(found.verification), "", f"{found.entries} entries, {found.quiet_days} days without any"]
    parts += [
        render.table([(month, kind, str(count)) for kind, count in sorted(kinds.items())])
        for month, kinds in found.counts.items()
    ]
    parts += ["", "witnesses"]
    parts += [render.table([_witness(state) for state in found.witnesses]) or "  none is set up"]
    parts += ["", *(style.bad("alarm") + f"  {printable(alarm)}" for alarm in found.alarms)]
    return "\n".join(parts).rstrip("\n")


def _witness(state: WitnessState) -> tuple[str, ...]:
    waits = f"waits since {render.moment(state.waiting_since)}" if state.waiting_since else "up to date"
    return (
        state.witness,
        f"{state.size} entries",
        render.moment(state.at),
        "LAGS, " + waits if state.lags else waits,
    )
