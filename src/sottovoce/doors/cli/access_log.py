"""access-log, facts: who did what with a person's data, and the privacy facts of one session."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.files import write_new
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside, Subject, World
from sottovoce.usecases.access_entries import AccessEntry
from sottovoce.usecases.access_pages import facts_page, log_page, source_words
from sottovoce.usecases.facts_card import FactsCard, Inference

Html = Annotated[Path | None, Parameter(help="Write it as a page to this new file.")]


def access_log(
    *,
    subject: Subject,
    session: Annotated[str | None, Parameter(help="Only this session.")] = None,
    html: Html = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Show who did what with a person's data.

    Every line comes from the audit log; looking adds one. It needs no consent.

    For example:
      sottovoce access-log --subject anna
      sottovoce access-log --subject anna --html anna.html
    """
    with world.open(common) as platform:
        entries = platform.access_log(subject=subject, session_id=session, caller=CALLER)
    _page(html, log_page(entries), world)
    world.answer(common, [plain(entry) for entry in entries], _lines(entries))
    return OK


def facts(
    session: Annotated[str, Parameter(help="The id of a session.")],
    /,
    *,
    html: Html = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Show the privacy facts of a session on one card.

    Where it was captured, who can open it, who did, when it dies, what was
    inferred: as this home stands now.

    For example:
      sottovoce facts ses_aaaaaaaaaaaaaaaaaaaaaaaa
      sottovoce facts ses_aaaaaaaaaaaaaaaaaaaaaaaa --html card.html
    """
    with world.open(common) as platform:
        card = platform.facts(session, caller=CALLER)
    _page(html, facts_page(card), world)
    world.answer(common, plain(card), _card(card))
    return OK


def _page(path: Path | None, page: str, world: World) -> None:
    """Write the page, where one was asked for, and say so."""
    if path is not None:
        write_new(path, page)
        world.console.message(f"the page is written to {printable(str(path))}")


def plain(value: object) -> dict[str, object]:
    """A value of the hall as a plain object: times in ISO 8601."""
    return {name: _plain(item) for name, item in asdict(value).items()}  # type: ignore[call-overload]


def _plain(value: object) -> object:
    match value:
        case datetime():
            return payloads.when(value)
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _lines(entries: tuple[AccessEntry, ...]) -> str:
    rows = [
        (
            render.moment(entry.at), entry.words, f"{entry.actor} ({entry.channel})", entry.purpose or "-",
            entry.outcome, entry.session_id or "-",
        )
        for entry in entries
    ]  # fmt: skip
    return render.table([("when", "what", "who", "purpose", "outcome", "session"), *rows], indent=0)


def _inferred(one: Inference) -> str:
    said = "" if one.said == "-" else f": {printable(one.said)}"
    return f"{printable(one.model)}{said}, for {one.purpose}, {render.moment(one.at)}"


def _card(card: FactsCard) -> str:
    rows = [
        ("session", card.session_id),
        ("captured", f"{render.moment(card.captured_at)} by {card.captured_by}, {card.shape}"),
        ("source", "-" if card.quality is None else printable(source_words(card.quality))),
        ("audio", card.audio),
        ("state", card.state),
    ]
    rows += [("can open", f"{o.purpose} ({o.legal_basis}): {', '.join(o.opens)}") for o in card.openers]
    rows += [
        ("handed to", f"{printable(d.recipient)} for {d.purpose}, {render.moment(d.at)}: {d.what}")
        for d in card.recipients
    ]
    rows += [("opened", f"{render.moment(e.at)} {e.words}, {e.actor} ({e.channel})") for e in card.accesses]
    rows += [("dies", f"{kind}: {render.moment(due)}") for kind, due in card.kept] or [("dies", "it is gone")]
    rows += [("stays", "beyond that until the restriction or hold is lifted")] if card.stays_on else []
    rows += [("copies", f"erased now, it opens from no copy of the key store after {card.key_copies}")]
    rows += [("inferred", _inferred(i)) for i in card.inferred]
    rows += [("mark", f"{m.kind}: {m.basis}, since {render.moment(m.placed_at)}") for m in card.marks]
    return render.table(rows, indent=0)
