"""recipients add, list, show, end, disclose: who receives data, and what each has received of whom."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import render
from sottovoce.doors.cli.access_log import plain
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.feed import RecipientId
from sottovoce.doors.cli.requests import utc
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside, Subject
from sottovoce.usecases.handover import DisclosureView
from sottovoce.usecases.recipients import RecipientView

app = App(name="recipients", help="Keep track of who receives data, and what each has of whom.")

KeyOut = Annotated[
    Path | None, Parameter(help="New file for what the recipient needs to read its feed; it is secret.")
]


@app.command
def add(
    name: Annotated[str, Parameter(help="Its name: an organisation or a team.")],
    /,
    *,
    kind: Annotated[str, Parameter(help="team, processor or outside.")],
    key_out: KeyOut = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Make somebody known who may receive data.

    A team is one of your own; a processor works for you by contract; everybody
    else is outside. Each gets a key of its own, and knows people by names made
    with it. Give it the file of --key-out: with that it reads its deletion feed.

    For example:
      sottovoce recipients add "Lab of voices" --kind processor --key-out lab.json
    """
    with world.open(common) as platform:
        made = platform.add_recipient(name, kind=kind, caller=CALLER)
        if key_out is not None:
            platform.write_feed_key(made.id, key_out)
    world.answer(common, plain(made), _one(made))
    return OK


@app.command(name="list")
def list_recipients(
    *,
    subject: Annotated[str | None, Parameter(help="What was handed over of this person.")] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """List who receives data, or who has received something of a person.

    For example:
      sottovoce recipients list
      sottovoce recipients list --subject anna
    """
    with world.open(common) as platform:
        if subject is not None:
            rows = platform.disclosures(subject=subject)
            world.answer(common, [plain(row) for row in rows], _disclosures(rows))
            return OK
        found = platform.recipients()
    world.answer(common, [plain(one) for one in found], _list(found))
    return OK


@app.command
def show(
    recipient: RecipientId,
    /,
    *,
    key_out: KeyOut = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Show a recipient, and of how many people it has something.

    For example:
      sottovoce recipients show rcp_aaaaaaaaaaaaaaaaaaaaaaaa
      sottovoce recipients show rcp_aaaaaaaaaaaaaaaaaaaaaaaa --key-out lab.json
    """
    with world.open(common) as platform:
        found = platform.recipient(recipient)
        if key_out is not None:
            platform.write_feed_key(recipient, key_out)
    world.answer(common, plain(found), _one(found))
    return OK


@app.command
def end(
    recipient: RecipientId,
    /,
    *,
    destroyed: Annotated[
        bool, Parameter(help="It has stated that nothing is left there: it is told nothing more.")
    ] = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Hand nothing more to a recipient.

    What it has stays known, and it is still told what to undo, unless it has
    stated that nothing is left there.

    For example:
      sottovoce recipients end rcp_aaaaaaaaaaaaaaaaaaaaaaaa
      sottovoce recipients end rcp_aaaaaaaaaaaaaaaaaaaaaaaa --destroyed
    """
    with world.open(common) as platform:
        ended = platform.end_recipient(recipient, destroyed=destroyed, caller=CALLER)
    world.answer(common, plain(ended), _one(ended))
    return OK


@app.command
def disclose(
    *,
    subject: Subject,
    recipient: Annotated[str, Parameter(help="Who received it (recipients list gives the id).")],
    purpose: Annotated[str, Parameter(help="What for, e.g. model_training.")],
    what: Annotated[str, Parameter(help="Which kinds of data, e.g. features.")],
    session: Annotated[str | None, Parameter(help="The session it was about (else all of them).")] = None,
    at: Annotated[datetime | None, Parameter(help="When it was handed over (UTC; else now).")] = None,
    note: Annotated[
        str | None, Parameter(help="In your own words; stored sealed, shown to the person.")
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Write down what was handed over outside of this service.

    The answer is the name under which the recipient's deletion feed will speak
    of the person: give it to the recipient with the data. `show --recipient`
    and `export --recipient` write it down by themselves.

    For example:
      sottovoce recipients disclose --subject anna --recipient rcp_aaaaaaaaaaaaaaaaaaaaaaaa --purpose model_training
        --what features --at 2026-03-01 --note "by courier"
    """
    with world.open(common) as platform:
        known_as = platform.disclose(
            subject=subject, recipient=recipient, purpose=purpose, what=what, session_id=session, at=utc(at),
            note=note, caller=CALLER,
        )  # fmt: skip
    rows = [("known there as", known_as.subject), *known_as.sessions.items()]
    world.answer(common, plain(known_as), "Written down.\n" + render.table(rows))
    return OK


def _one(view: RecipientView) -> str:
    rows = [
        ("recipient", view.id),
        ("name", printable(view.name)),
        ("kind", view.kind),
        ("since", render.moment(view.created_at)),
        (
            "has something of",
            f"{render.people(view.people)} ({render.counted(view.disclosures, 'time')})",
        ),
    ]
    if view.ended_at is not None:
        left = ", and states that nothing is left there" if view.destroyed else ", told on of what it has"
        rows.append(("ended", render.moment(view.ended_at) + left))
    return render.table(rows, indent=0)


def _list(found: tuple[RecipientView, ...]) -> str:
    if not found:
        return "Nobody receives data from this home."
    rows = [
        (one.id, printable(one.name), one.kind, render.people(one.people), "ended" if one.ended_at else "receives")
        for one in found
    ]  # fmt: skip
    return render.table([("id", "name", "kind", "has something of", "state"), *rows], indent=0)


def _disclosures(rows: tuple[DisclosureView, ...]) -> str:
    if not rows:
        return "Nothing was handed over of this person, as far as is written down here."
    lines = [
        (
            render.moment(row.at), printable(row.recipient), row.purpose, row.what, row.form.replace("_", " "),
            row.session_id or "-", row.known_as[:16], printable(row.note or ""),
        )
        for row in rows
    ]  # fmt: skip
    return render.table(
        [("when", "who", "purpose", "what", "how", "session", "known as", ""), *lines], indent=0
    )
