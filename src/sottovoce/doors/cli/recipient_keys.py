"""keys recipient create, list, show, retire: the keys of this home that others seal recordings to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.files import write_new
from sottovoce.doors.cli.world import CALLER, COMMON, Common, DryRun, Outside
from sottovoce.errors import NotFound, UsageError

if TYPE_CHECKING:
    from sottovoce.usecases.recipient_keys import RecipientKey

app = App(name="recipient", help="Make and retire the keys that others seal recordings to.")

KeyId = Annotated[str, Parameter(help="The id of the key, or its beginning.")]
_SUITE_NAMES = {1: "rsa", 2: "x25519", 3: "xwing"}


@app.command
def create(
    *,
    name: Annotated[str | None, Parameter(help="What you call it, e.g. an agency; stored sealed.")] = None,
    suite: Annotated[
        Literal["xwing", "x25519", "rsa"],
        Parameter(help="Which kind of key (xwing resists quantum computers)."),
    ] = "xwing",
    out: Annotated[
        Path | None, Parameter(name=("--out", "-o"), help="Write the public file to this new file.")
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Make a key that recordings can be sealed to.

    It prints the public file: hand it out, and have it pinned. The private half
    stays in this home, sealed, in no backup. Make one per agency or contractor, so
    that retiring one concerns nobody else.

    For example:
      sottovoce keys recipient create --name agency-3 --out agency-3.recipient.json
    """
    if out is not None and out.exists():
        raise UsageError("The file exists already.", hint="Name another one, or remove it first.")
    with world.open(common) as platform:
        made = platform.create_recipient_key(name=name, suite=suite, caller=CALLER)
    return _hand_out(made, out, common=common, world=world)


@app.command(name="list")
def list_(*, common: Common = COMMON, world: Outside) -> int:
    """List the recipient keys of this home, retired ones too.

    For example:
      sottovoce keys recipient list
    """
    with world.open(common) as platform:
        found = platform.recipient_keys()
    rows = [
        (one.key_id[:16], one.state, _SUITE_NAMES.get(one.suite or 0, "-"), printable(one.name or "-"),
         render.moment(one.created_at), _end(one))
        for one in found
    ]  # fmt: skip
    text = (
        render.table([("key", "state", "suite", "name", "made", ""), *rows], indent=0)
        if rows
        else "There are no recipient keys; `sottovoce keys recipient create` makes one."
    )
    world.answer(common, [_payload(one) for one in found], text)
    return OK


@app.command
def show(
    key: KeyId,
    /,
    *,
    contractor: Annotated[
        str | None, Parameter(help="Print the folder that this contractor's sealed files go to.")
    ] = None,
    out: Annotated[
        Path | None, Parameter(name=("--out", "-o"), help="Write the public file to this new file.")
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Print the public file of a recipient key, or a contractor's folder.

    For example:
      sottovoce keys recipient show 3f2a --out agency-3.recipient.json
      sottovoce keys recipient show 3f2a --contractor c-17
    """
    with world.open(common) as platform:
        found = platform.recipient_key(key)
    if contractor is None:
        return _hand_out(found, out, common=common, world=world)
    from sottovoce import app as house

    prefix = house.contractor_prefix(_document(found), contractor)
    world.answer(common, {"key_id": found.key_id, "contractor": contractor, "folder": prefix}, prefix)
    return OK


@app.command
def retire(
    key: KeyId,
    /,
    *,
    grace_days: Annotated[int, Parameter(help="After how many days it is destroyed; 0: now.")] = 7,
    dry_run: DryRun = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Destroy the private half of a recipient key, after a grace.

    Until then what was sealed to it is still taken in. Afterwards whatever was
    sealed to it and not taken in is lost: no copy of it can be opened by anybody.

    For example:
      sottovoce keys recipient retire 3f2a --grace-days 14
    """
    with world.open(common) as platform:
        if dry_run:
            found = platform.recipient_key(key)
            text = f"{found.key_id[:16]} would be destroyed in {grace_days} days; what is not taken in by then is lost."
            world.answer(common, {"dry_run": True, "key_id": found.key_id, "grace_days": grace_days}, text)
            return OK
        found = platform.retire_recipient_key(key, grace_days=grace_days, caller=CALLER)
    if found.state == "destroyed":
        text = f"{found.key_id[:16]} is destroyed: what was sealed to it and not taken in is lost."
    else:
        text = (
            f"{found.key_id[:16]} is destroyed on {render.moment(found.destroyed_at)}, in {grace_days} days at most. "
            "Until then what was sealed to it is taken in; what is not taken in by then is lost."
        )
    world.answer(common, _payload(found), text)
    return OK


def _hand_out(found: RecipientKey, out: Path | None, *, common: Common, world: Outside) -> int:
    document = _document(found)
    if out is None:
        world.answer(common, json.loads(document), document.rstrip("\n"))
        return OK
    write_new(out, document)
    payload: payloads.Json = {"written": str(out), "key_id": found.key_id}
    world.answer(common, payload, f"key {found.key_id}, written to {printable(str(out))}")
    return OK


def _end(one: RecipientKey) -> str:
    return f"opens nothing from {render.moment(one.destroyed_at)}" if one.destroyed_at else ""


def _document(found: RecipientKey) -> str:
    if found.document is None:
        raise NotFound(
            "The private half of this recipient key is gone; nothing is to be sealed to it.",
            hint="`sottovoce keys recipient list` shows those that live.",
        )
    return found.document


def _payload(one: RecipientKey) -> dict[str, object]:
    return {
        "key_id": one.key_id, "state": one.state, "suite": _SUITE_NAMES.get(one.suite or 0), "name": one.name,
        "created_at": payloads.when(one.created_at), "destroyed_at": payloads.when(one.destroyed_at),
    }  # fmt: skip
