"""feed export, status, acknowledge: what each recipient is told to undo, and whether it has done so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import render
from sottovoce.doors.cli.access_log import plain
from sottovoce.doors.cli.console import Style, printable
from sottovoce.doors.cli.errors import OK, SOME_FAILED
from sottovoce.doors.cli.files import make_folder, read_text, write_new
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside
from sottovoce.usecases.feed import FeedStatus

app = App(name="feed", help="Tell recipients what to undo, and see who has not done it.")

RecipientId = Annotated[str, Parameter(help="The id of a recipient (recipients list gives it).")]
_PAGE = 500


@app.command
def export(
    *,
    recipient: Annotated[str, Parameter(help="Whose feed (recipients list gives the id).")],
    after: Annotated[int, Parameter(help="Number of the last entry that it has.")] = 0,
    limit: Annotated[int, Parameter(help="Entries on a page, at most 1000.")] = _PAGE,
    folder: Annotated[
        Path | None,
        Parameter(help="Write every page from there on to new files in this folder (made if need be)."),
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Print a signed page of a recipient's deletion feed.

    A page holds opaque names that this recipient alone can place, and nothing
    about anybody else. The last page says so. What comes in meanwhile moves no
    page.

    For example:
      sottovoce feed export --recipient rcp_aaaaaaaaaaaaaaaaaaaaaaaa > page.json
      sottovoce feed export --recipient rcp_aaaaaaaaaaaaaaaaaaaaaaaa --after 500 --folder pages
    """
    with world.open(common) as platform:
        page = platform.feed_page(recipient, after=after, limit=limit, caller=CALLER)
        if folder is None:
            world.console.data(page.text.rstrip("\n"))
            return OK
        written, entries = [_write(folder, page.after, page.text)], page.entries
        while not page.last:
            page = platform.feed_page(recipient, after=page.through, limit=limit, caller=CALLER)
            written.append(_write(folder, page.after, page.text))
            entries += page.entries
    payload = {"pages": [str(path) for path in written], "entries": entries, "through": page.through}
    words = (
        f"{render.counted(len(written), 'page')}, {render.counted(entries, 'entry', 'entries')}, "
        f"up to number {page.through}"
    )
    world.answer(common, payload, words)
    return OK


@app.command
def status(
    *,
    recipient: Annotated[str | None, Parameter(help="Only this one.")] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Show how far each recipient has come; exit code 1 if one is overdue.

    For example:
      sottovoce feed status
    """
    with world.open(common) as platform:
        found = platform.feed_status(recipient)
    world.answer(common, [plain(one) for one in found], _states(found, world.console.style))
    return SOME_FAILED if any(one.overdue for one in found) else OK


@app.command
def acknowledge(
    file: Annotated[Path, Parameter(help="What the recipient gave back.")],
    /,
    *,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Take in a recipient's word that it has applied its feed.

    It has to be made with the recipient's own key and to name the hash of the
    entry up to which it goes. The same one again changes nothing.

    For example:
      sottovoce feed acknowledge acknowledgement.json
    """
    text = read_text(file)
    with world.open(common) as platform:
        found = platform.acknowledge_feed(text, caller=CALLER)
    world.answer(common, plain(found), _states((found,), world.console.style))
    return OK


def _write(folder: Path, after: int, text: str) -> Path:
    make_folder(folder)
    path = folder / f"feed-{after:08d}.json"
    write_new(path, text)
    return path


def _states(found: tuple[FeedStatus, ...], style: Style) -> str:
    if not found:
        return "Nobody receives data from this home."
    rows = [
        (
            one.recipient_id, printable(one.name), f"{one.through} of {one.entries}",
            render.moment(one.acknowledged_at), _due(one),
        )
        for one in found
    ]  # fmt: skip
    text = render.table([("id", "name", "applied", "last heard of", "due"), *rows], indent=0)
    late = sum(one.overdue for one in found)
    return f"{text}\n{style.bad(f'{late} overdue')}" if late else text


def _due(one: FeedStatus) -> str:
    if one.destroyed:
        return "ended: states that nothing is left there"
    if one.due_at is None:
        return "-"
    return render.moment(one.due_at) + (" OVERDUE" if one.overdue else "")
