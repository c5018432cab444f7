"""tombstones show, rebuild: the file of what must not come back, also where it keeps the home closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import INTEGRITY, OK, hint
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside
from sottovoce.errors import UsageError

if TYPE_CHECKING:
    from sottovoce.app import TombstoneDesk
    from sottovoce.usecases.tombstone_rebuild import RebuiltTombstones, TombstonesView

app = App(name="tombstones", help="Show the file of what must not come back, or begin a new one.")

FOLLOWS = """\
What follows from a new file of tombstones:
  - Every backup made before cannot be restored any more (tombstones_rebuilt), into this home or another one.
    Make a new pair with `sottovoce backup create`, and destroy the older ones: beside an old copy of the
    lost file they would still open, as of that day.
  - It has what the database knows, and what can still be read of the broken file. What only the lost part
    knew is forgotten: where the database is an old copy too, a withdrawal or a restriction of since then.
  - The broken file is put aside beside it and never deleted.
  - Heads of the lost file that a witness keeps are of another file from now on.
Look first whether the disk of the file is mounted, and whether there is a newer copy of it."""


@app.command
def show(*, common: Common = COMMON, world: Outside) -> int:
    """Show head, entries by kind, how far it is signed, and where it stands.

    Works also where the file keeps the home from being opened, and says why;
    exit code 5 then. Nothing is changed.

    For example:
      sottovoce tombstones show
    """
    from sottovoce import app as house

    with house.tombstone_desk(home=common.folder) as desk:
        view = desk.view()
        world.answer(common, _view_payload(desk, view), _view(desk, view))
    if view.problem is None:
        return OK
    world.console.error(what=view.problem.message, code=view.problem.public_code, hint=hint(view.problem))
    return INTEGRITY


@app.command
def rebuild(
    *,
    yes: Annotated[
        bool, Parameter(help="Yes, the file is lost for good, and what follows is known.")
    ] = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Begin a new file where the old one is lost for good; it costs every older backup.

    Without --yes it says what follows, and does nothing. The broken file is put
    aside, never deleted. The new one has all that the database knows, and what
    can still be read of the broken one. Refused where the file is whole.

    For example:
      sottovoce tombstones rebuild
      sottovoce tombstones rebuild --yes
    """
    from sottovoce import app as house

    with house.tombstone_desk(alone=yes, home=common.folder) as desk:
        if not yes:
            return _would_rebuild(desk, common=common, world=world)
        world.console.message(FOLLOWS)
        with world.console.progress("writing a new file of tombstones"):
            rebuilt = desk.rebuild(caller=CALLER)
    world.answer(common, _rebuilt_payload(rebuilt), _rebuilt(rebuilt))
    return OK


def _would_rebuild(desk: TombstoneDesk, *, common: Common, world: Outside) -> int:
    view = desk.view()
    if view.problem is None:
        world.answer(
            common, _view_payload(desk, view), "The tombstones are whole: there is nothing to rebuild."
        )
        return OK
    world.console.message(FOLLOWS)
    raise UsageError(
        "A new file of tombstones was not begun: nobody said --yes.",
        hint="Say --yes where the file is lost for good.",
        reason="not_confirmed",
    )


# --- as JSON, and for people -------------------------------------------------------------------------------


def _view_payload(desk: TombstoneDesk, view: TombstonesView) -> payloads.Json:
    return {
        "file": str(desk.path),
        "whole": view.problem is None,
        "problem": None if view.problem is None else view.problem.public_code,
        "entries": view.head.count,
        "hash": view.head.hash.hex(),
        "signed": view.signed,
        "followed": view.followed.count,
        "kinds": dict(sorted(view.kinds.items())),
    }


def _view(desk: TombstoneDesk, view: TombstonesView) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(view.kinds.items()))
    rows = [
        ("file", printable(str(desk.path))),
        ("head", f"{view.head.count} entries, {view.head.hash.hex()}"),
        ("kinds", kinds or "none"),
        ("signed", "cannot be said" if view.signed is None else f"the first {view.signed} entries"),
        ("followed", f"the database has followed {view.followed.count}"),
        ("state", "whole" if view.problem is None else f"NOT whole: {view.problem.public_code}"),
    ]
    return render.table(rows, indent=0)


def _rebuilt_payload(rebuilt: RebuiltTombstones) -> payloads.Json:
    return {
        "rebuilt": True,
        "reason": rebuilt.reason,
        "lost_entries": rebuilt.lost,
        "known": rebuilt.known,
        "found": rebuilt.found,
        "changed": rebuilt.changed,
        "entries": rebuilt.head.count,
        "hash": rebuilt.head.hash.hex(),
    }


def _rebuilt(rebuilt: RebuiltTombstones) -> str:
    return render.table(
        [
            ("rebuilt", f"{rebuilt.head.count} entries, because of {rebuilt.reason}"),
            ("known", f"{rebuilt.known} of them from what the database knows"),
            (
                "found",
                f"{rebuilt.found} more in what can be read of broken files; {rebuilt.changed} changed something",
            ),
            ("backups", "those made before cannot be restored any more: make a new pair now"),
        ],
        indent=0,
    )
