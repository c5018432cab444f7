"""keys status, rotate, identity: the keys of this home. No key is ever printed, only what it is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.files import write_new
from sottovoce.doors.cli.world import CALLER, COMMON, Common, DryRun, Outside
from sottovoce.errors import UsageError
from sottovoce.model.outcome import KeysStatus, RotationReport

if TYPE_CHECKING:
    from sottovoce.app import Platform

app = App(name="keys", help="Look after the keys of this home.")
app.command(
    "sottovoce.doors.cli.recipient_keys:app",
    name="recipient",
    help="Make and retire the keys that others seal recordings to.",
)


@app.command
def status(*, common: Common = COMMON, world: Outside) -> int:
    """Show provider, epoch, live keys, and until when copies of them open.

    Copies are backups of the key store: they open what is erased until their
    epoch ends.

    For example:
      sottovoce keys status
    """
    with world.open(common) as platform:
        found = platform.keys_status()
    world.answer(common, payloads.keys_status(found), _status(found))
    return OK


@app.command
def rotate(*, dry_run: DryRun = False, common: Common = COMMON, world: Outside) -> int:
    """Begin a new key epoch and destroy the old one's key.

    Every live key row is wrapped anew; afterwards older copies of the key store
    open nothing: make a new one. A sweep does this by itself when the epoch has
    the age of the setting `epoch_days`. The key that signs receipts stays the same.

    For example:
      sottovoce keys rotate --dry-run
      sottovoce keys rotate
    """
    with world.open(common) as platform:
        if dry_run:
            return _would_rotate(platform.keys_status(), common=common, world=world)
        with world.console.progress("wrapping every live key anew"):
            report = platform.rotate_keys(caller=CALLER)
    world.answer(common, payloads.rotation(report), _rotation(report))
    return OK


@app.command
def identity(
    *,
    out: Annotated[Path | None, Parameter(name=("--out", "-o"), help="Write it to this new file.")] = None,
    replace: Annotated[bool, Parameter(help="Make a new signing key; the old one signs the change.")] = False,
    dry_run: DryRun = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Print the public identity that signs this home's receipts.

    Give the file to whoever is to check receipts: `sottovoce verify RECEIPT
    --key FILE`.

    For example:
      sottovoce keys identity --out clinic.identity.json
    """
    if dry_run and not replace:
        raise UsageError("There is nothing to try here.", hint="--dry-run goes with --replace.")
    if out is not None and out.exists():
        raise UsageError("The file exists already.", hint="Name another one, or remove it first.")
    with world.open(common) as platform:
        if replace and dry_run:
            return _would_replace(platform, common=common, world=world)
        document = platform.replace_identity(caller=CALLER) if replace else platform.identity()
    if out is None:
        world.answer(common, json.loads(document), document.rstrip("\n"))
        return OK
    write_new(out, document)
    payload: payloads.Json = {"written": str(out), "key_id": json.loads(document).get("key_id")}
    world.answer(common, payload, f"written to {printable(str(out))}")
    return OK


def _would_rotate(found: KeysStatus, *, common: Common, world: Outside) -> int:
    rows = sum(found.rows.values())
    payload: payloads.Json = {
        "dry_run": True, "from_epoch": found.epoch, "to_epoch": found.epoch + 1, "rows_to_rewrap": rows,
    }  # fmt: skip
    text = f"Epoch {found.epoch} would end: {rows} key rows wrapped anew, then its key destroyed."
    world.answer(common, payload, text)
    return OK


def _would_replace(platform: Platform, *, common: Common, world: Outside) -> int:
    signer = platform.keys_status().identity_key_id
    payload: payloads.Json = {"dry_run": True, "replaces": signer}
    text = f"The signing key {signer} would sign a statement that names a new one, which signs from then on."
    world.answer(common, payload, text)
    return OK


def _status(found: KeysStatus) -> str:
    rows = [(key, value) for key, value in found.provider.items()]
    rows += [("epoch", f"{found.epoch}, since {render.moment(found.epoch_since)}")]
    rows += [("live keys", ", ".join(f"{number} {kind}" for kind, number in found.rows.items()) or "none")]
    rows += [("rotation", _rotation_state(found))]
    rows += [("what is erased now", f"opens from no copy of the key store after {found.copies.words}")]
    rows += [("signs receipts", found.identity_key_id)]
    return render.table(rows, indent=0)


def _rotation_state(found: KeysStatus) -> str:
    if found.rotation_pending:
        return "pending: run `sottovoce keys rotate`"
    if found.rotation_overdue:
        return "overdue: run `sottovoce keys rotate`"
    due = found.rotation_due_at
    return f"complete; the next by a sweep on {due:%Y-%m-%d}" if due else "complete; the next by hand"


def _rotation(report: RotationReport) -> str:
    return (
        f"Epoch {report.to_epoch} has begun: {report.rows_rewrapped} key rows wrapped anew in "
        f"{report.took.total_seconds():.2f} s.\nKey of epoch {report.from_epoch}: {report.destroyed}\n"
        "Copies of the key store that were made before open nothing any more: make a new one."
    )
