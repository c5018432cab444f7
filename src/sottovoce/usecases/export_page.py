"""The package of a person as one page to read, without a script and with every word escaped. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable

from sottovoce.model.purpose import PURPOSES
from sottovoce.model.request import CASE_ARTICLES
from sottovoce.usecases import pages
from sottovoce.usecases.access_pages import entries_table, marks_table, moment, recipients_table
from sottovoce.usecases.export_content import Content, SessionCopy, inferences, recipients_in_words
from sottovoce.usecases.facts_card import audio_words, said_words
from sottovoce.voice.meanings import MEANINGS

_KIND_WORDS = {
    "features": "88 numbers that describe the sound of the voice",
    "insight": "the voice profile in plain words",
    "embedding": "768 numbers that characterise the voice and can identify the speaker",
    "decision": "which rule or model said what of a recording",
}


def page(content: Content) -> str:
    """One page that a person can read, without a script and with every word escaped."""
    parts = [
        pages.paragraph(
            f"Made {moment(content.made_at)} for {content.name}. Everything that this service holds of you."
        ),
        pages.heading("What you agreed to"),
        pages.table(
            ("Purpose", "Legal basis", "State", "Since"), _state_rows(content), empty="You were never asked."
        ),
        *_notice_parts(content),
        pages.heading("Restrictions, objections and legal holds"),
        marks_table(content.marks),
        pages.heading("Your requests"),
        pages.table(("What", "Article", "Received", "State", "Outcome"), _case_rows(content)),
        pages.heading("How long it is kept"),
        pages.table(
            ("What", "Days"), [(_KIND_WORDS.get(k, k), days) for k, days in content.retention.items()]
        ),
        pages.heading("Who receives it"),
        pages.paragraph(recipients_in_words(content)),
        *([recipients_table(content.recipients)] if content.recipients else []),
        pages.heading("Your sessions"),
        *(part for copy in content.sessions for part in _session_parts(copy)),
        *([] if content.sessions else [pages.paragraph("None.")]),
        pages.heading("What the 88 numbers are"),
        pages.table(("Name", "Meaning"), MEANINGS.items()),
        pages.heading("Who did what with your data"),
        entries_table(content.entries),
        pages.heading("The other files"),
        pages.paragraph(
            "data.json has all of this for programs, the .csv files for tables, notices/ the exact texts that you were "
            "shown, receipts/ the signed receipts, tables/ every row as it is stored. manifest.json has the hash of "
            "every file and signature.json signs it: `sottovoce export verify FILE.zip` checks both."
        ),
    ]
    return pages.page("What is held of you", parts)


def _state_rows(content: Content) -> Iterable[tuple[object, ...]]:
    for state in content.states:
        purpose = PURPOSES.get(state.purpose)
        title, basis = (purpose.title, purpose.legal_basis) if purpose else (state.purpose, "-")
        yield title, basis, str(state.status).replace("_", " "), moment(state.since)


def _notice_parts(content: Content) -> list[str]:
    parts = []
    for notice in content.notices:
        parts.append(
            pages.paragraph(
                f"The notice you were shown ({notice.purpose}, {notice.version}, {notice.locale}):"
            )
        )
        parts.append(pages.quotation(notice.text.decode("utf-8", errors="backslashreplace")))
    return parts


def _case_rows(content: Content) -> Iterable[tuple[object, ...]]:
    for case in content.cases:
        outcome = case.outcome or case.refusal_reason or "-"
        yield (
            str(case.kind).replace("_", " "), CASE_ARTICLES[case.kind], moment(case.received_at), str(case.state),
            outcome.replace("_", " "),
        )  # fmt: skip


def _session_parts(copy: SessionCopy) -> list[str]:
    recording = copy.recording
    parts = [
        f"<h3>{pages.text(moment(recording.received_at))}</h3>",
        pages.paragraph(f"Session {recording.id}, {recording.state}. The audio: {audio_words(recording)}."),
    ]
    if copy.insight is not None:
        made = f"Made by {copy.insight.version} (table {copy.insight.model_sha256[:16]}…)."
        items = [(item.title, item.shown, item.meaning) for item in copy.insight.items]
        parts += [pages.paragraph(made), pages.table(("What", "Value", "Meaning"), items)]
    inferred = [
        (
            said.attribute.replace("_", " "),
            said_words(said),
            decision.purpose,
            said.guarantee,
            f"Not for: {said.not_for}",
        )
        for decision, said in inferences(copy)
    ]
    if inferred:
        heads = ("Inferred by a model", "It said", "Purpose", "Privacy guarantee of its training", "")
        parts.append(pages.table(heads, inferred))
    kept = [(_KIND_WORDS.get(record.kind, record.kind), moment(due)) for record, due in copy.records]
    parts.append(pages.table(("Kept", "Until"), kept, empty="No result is kept of it."))
    return parts
