"""The access log and the facts card as pages for a person to read, and the tables that their package has too.

Pure functions over values; every word goes through `usecases/pages.py`, which escapes it.
"""

from __future__ import annotations

from datetime import datetime

from sottovoce.model.features import Quality
from sottovoce.model.times import words_of
from sottovoce.usecases import pages
from sottovoce.usecases.access_entries import AccessEntry, MarkView
from sottovoce.usecases.facts_card import FactsCard
from sottovoce.usecases.handover import DisclosureView


def log_page(entries: tuple[AccessEntry, ...]) -> str:
    """The log as one HTML page."""
    return pages.page("Who did what with your data", [entries_table(entries)])


def entries_table(entries: tuple[AccessEntry, ...]) -> str:
    rows = [
        (moment(e.at), e.words, f"{e.actor} ({e.channel})", e.purpose or "-", e.outcome, e.session_id or "-")
        for e in entries
    ]
    return pages.table(("When", "What", "Who", "Purpose", "Outcome", "Session"), rows, empty="No entries.")


def marks_table(marks: tuple[MarkView, ...]) -> str:
    rows = [
        (
            mark.kind.replace("_", " "), mark.basis, mark.asked_by, mark.purpose or "all", mark.detail or "-",
            moment(mark.placed_at), moment(mark.lifted_at),
        )
        for mark in marks
    ]  # fmt: skip
    heads = ("What", "Basis", "Asked by", "Purpose", "Note", "Since", "Lifted")
    return pages.table(heads, rows, empty="No restriction, objection, legal hold or correction is recorded.")


def recipients_table(rows: tuple[DisclosureView, ...]) -> str:
    """Who has received something, as part of a page."""
    lines = [
        (moment(d.at), d.recipient, d.recipient_kind, d.purpose, d.what, d.form.replace("_", " "), d.known_as)
        for d in rows
    ]  # fmt: skip
    heads = ("When", "Who", "Of which kind", "Purpose", "What", "How", "Known there as")
    return pages.table(heads, lines, empty="Nobody, as far as is written down here.")


def facts_page(card: FactsCard) -> str:
    """The privacy facts of a session as one HTML page."""
    facts: list[tuple[str, object]] = [
        ("Session", card.session_id),
        ("Captured", moment(card.captured_at)),
        ("Captured by", card.captured_by),
        ("How", {"analyze": "analysed at once", "submit": "sealed, then analysed by a worker"}[card.shape]),
        ("State", card.state),
        ("Audio", card.audio),
        ("Copies of its keys", f"erased now, it opens from none after {card.key_copies}"),
    ]
    if card.quality is not None:
        facts.append(("Source", source_words(card.quality)))
    opened = [(o.title, o.purpose, o.legal_basis, ", ".join(o.opens)) for o in card.openers]
    inferred = [(i.model, i.said, i.purpose, moment(i.at), moment(i.until)) for i in card.inferred]
    return pages.page(
        "Privacy facts of a session",
        [
            pages.table(("Fact", "Value"), facts),
            pages.heading("Who can open it"),
            pages.table(("For", "Purpose", "Ground", "What"), opened, empty="Nothing of it is kept."),
            pages.heading("Who else has received it"),
            recipients_table(card.recipients),
            pages.heading("Who did"),
            entries_table(card.accesses),
            pages.heading("When it dies"),
            pages.table(
                ("What", "Until"), [(kind, moment(due)) for kind, due in card.kept], empty="It is gone."
            ),
            *(
                [pages.paragraph("It stays beyond that date until the marks below are lifted.")]
                if card.stays_on
                else []
            ),
            pages.heading("What was inferred"),
            pages.table(("By", "What", "Purpose", "When", "Kept until"), inferred, empty="Nothing."),
            pages.heading("Restrictions and legal holds"),
            marks_table(card.marks),
        ],
    )


def source_words(quality: Quality) -> str:
    return (
        f"{quality.source_codec}, {quality.source_rate_hz} Hz, {quality.source_channels} channel(s), "
        f"{quality.duration_s:.1f} s analysed of channel {quality.channel}"
    )


def moment(at: datetime | None) -> str:
    """A time for people; "-" for none."""
    return "-" if at is None else words_of(at)
