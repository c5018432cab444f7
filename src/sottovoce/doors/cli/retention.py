"""retention show, plan, set, schedule: how long each kind of thing is kept."""

from __future__ import annotations

import os
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.errors import OK, SOME_FAILED
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside
from sottovoce.errors import UsageError
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.retention import PlannedChange, ScheduleRow

app = App(
    name="retention",
    help="Show, plan and change how long things are kept.",
    help_formatter="plain",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
)
Changes = Annotated[tuple[str, ...], Parameter(help="KIND=DAYS, e.g. features=20; several are allowed.")]


@app.command
def show(*, common: Common = COMMON, world: Outside) -> int:
    """Show the schedule that holds now, what stands under it and what is overdue.

    For example:
      sottovoce retention show
    """
    with world.open(common) as platform:
        rows, keys = platform.retention(), platform.keys_status()
    text = f"{_schedule(rows)}\nWhat is erased now opens from no copy of the key store after {keys.copies.words}."
    if keys.rotation_overdue:
        text += "\nThe end of the key epoch is overdue: run `sottovoce keys rotate`."
    payload = {
        "schedule": [_row(row) for row in rows],
        "key_copies": {**payloads.copies(keys.copies), "overdue": keys.rotation_overdue},
    }
    world.answer(common, payload, text)
    return SOME_FAILED if keys.rotation_overdue or any(row.overdue for row in rows) else OK


@app.command
def plan(changes: Changes, /, *, common: Common = COMMON, world: Outside) -> int:
    """Say what other days would delete at the next sweep; change nothing.

    For example:
      sottovoce retention plan features=20 insight=20
    """
    with world.open(common) as platform:
        planned = platform.plan_retention(**_days(changes))
    world.answer(common, {"changed": False, "changes": [_change(one) for one in planned]}, _planned(planned))
    return OK


@app.command(name="set")
def set_days(changes: Changes, /, *, common: Common = COMMON, world: Outside) -> int:
    """Set how many days some kinds are kept; it holds from the next sweep on.

    What is kept already goes earlier, never later: a longer policy extends no
    promise. `retention plan` says before what would go. The change is written to
    the audit log.

    For example:
      sottovoce retention set features=20
    """
    with world.open(common) as platform:
        done = platform.set_retention(caller=CALLER, **_days(changes))
    text = "\n".join(f"{one.kind}: {one.days} -> {one.new_days} days" for one in done)
    gone = sum(one.would_be_due for one in done)
    if gone:
        text += f"\n{gone} results go at the next sweep."
    world.answer(common, {"changed": True, "changes": [_change(one) for one in done]}, text)
    return OK


@app.command
def schedule(
    *,
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="The HTML file to write.")],
    name: Annotated[str, Parameter(help="The organisation, as the page names it.")] = "",
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Write the public schedule as an HTML page, from the policy that holds now.

    For example:
      sottovoce retention schedule -o schedule.html --name "Example Ltd"
    """
    with world.open(common) as platform:
        rows, now, copies = platform.retention(), platform.now(), platform.key_copies()
    try:
        out.write_text(page(rows, now, name, copies), encoding="utf-8")
    except OSError:
        raise UsageError(
            "The page cannot be written there.", hint="Check the folder and its permissions."
        ) from None
    world.answer(common, {"written": os.fspath(out)}, f"written to {out}")
    return OK


def _days(changes: tuple[str, ...]) -> dict[str, int]:
    if not changes:
        raise UsageError("Nothing is named to change.", hint="For example: features=20")
    days: dict[str, int] = {}
    for change in changes:
        kind, _, number = change.partition("=")
        if not number.isascii() or not number.isdigit() or len(number) > 5 or kind in days:
            raise UsageError(
                "A change has the form KIND=DAYS, once per kind.", hint="For example: features=20"
            )
        days[kind] = int(number)
    return days


def kept(row: ScheduleRow) -> str:
    """How long, in words."""
    match row.kind.ends:
        case "erasure":
            return "until the person is erased"
        case "not_stored":
            return f"at most {row.days} days; not stored by this version"
    if row.days == 0:
        return "not kept: destroyed at once" if row.kind.id == "audio" else "not kept"
    return f"at most {row.days} days"


def _schedule(rows: tuple[ScheduleRow, ...]) -> str:
    lines = [
        (
            row.kind.title, kept(row), str(row.count) if row.kind.ends != "not_stored" else "-",
            f"{row.overdue} overdue" if row.overdue else row.kind.basis,
        )
        for row in rows
    ]  # fmt: skip
    return render.table([("what", "kept", "now", "for"), *lines], indent=0)


def _planned(changes: tuple[PlannedChange, ...]) -> str:
    head = ("kind", "days", "planned", "stored", "would go at the next sweep")
    rows = [
        (one.kind, str(one.days), str(one.new_days), str(one.records), str(one.would_be_due))
        for one in changes
    ]
    return render.table([head, *rows]) + "\nNothing was changed."


def _row(row: ScheduleRow) -> dict[str, object]:
    return {
        "kind": row.kind.id, "title": row.kind.title, "basis": row.kind.basis, "ends": row.kind.ends,
        "days": row.days, "ceiling": row.kind.ceiling, "count": row.count, "overdue": row.overdue,
    }  # fmt: skip


def _change(one: PlannedChange) -> dict[str, object]:
    return {
        "kind": one.kind, "days": one.days, "new_days": one.new_days, "records": one.records,
        "due_now": one.due_now, "would_be_due": one.would_be_due,
    }  # fmt: skip


def page(rows: tuple[ScheduleRow, ...], now: datetime, name: str, copies: DestructionPromise) -> str:
    """The public page: no number of a person, no script, nothing fetched."""
    lines = "".join(
        f"<tr><th scope=row>{escape(row.kind.title)}</th><td>{escape(kept(row))}</td>"
        f"<td>{escape(row.kind.basis)}</td></tr>"
        for row in rows
        if row.kind.ends != "not_stored"
    )
    whose = f" of {escape(name)}" if name else ""
    return _PAGE.format(
        title=f"How long voice data{whose} is kept", lines=lines, day=f"{now:%Y-%m-%d}",
        copies=escape(copies.words),
    )  # fmt: skip


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0;
  border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }}
th[scope=row] {{ font-weight: 600; }}
footer {{ margin-top: 2rem; opacity: .75; }}
</style>
<h1>{title}</h1>
<p>A recording is turned into numbers and destroyed at once. What is kept is sealed, and goes by itself, at the latest
on the day that was promised when it was stored. A longer policy extends no promise; a person may have everything erased
earlier.</p>
<table>
<thead><tr><th scope=col>What</th><th scope=col>How long</th><th scope=col>What for</th></tr></thead>
<tbody>{lines}</tbody>
</table>
<p>What is erased cannot be opened here from that moment on. Copies of the key store that were made before, as backups:
what is erased on {day} opens from none of them after {copies}.</p>
<footer>Made from the policy in force on {day}.</footer>
</html>
"""
