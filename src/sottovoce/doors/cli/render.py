"""The answers of the verbs as text for people: aligned, calm, every number with its unit.

Pure functions from a value to text. Numbers of a voice are personal data: they are shown because somebody asked
for them at a terminal of their own, and nowhere else.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sottovoce.doors.cli.console import Style, printable
from sottovoce.model.consent import ConsentStatus, PurposeConsent
from sottovoce.model.features import FEATURE_COUNT, FeatureVector, Insight, InsightItem, Quality
from sottovoce.model.inference import Inference, InferenceView
from sottovoce.model.outcome import (
    Analysis,
    AudioFate,
    Retention,
    SessionContent,
    SessionView,
    Submission,
    VerifiedProof,
    WorkOutcome,
)
from sottovoce.model.purpose import PURPOSES
from sottovoce.model.recording import RecordingState
from sottovoce.model.times import words_of
from sottovoce.voice.gate import findings_of

if TYPE_CHECKING:
    from sottovoce.sealing.receipt import Receipt

FLAG_WORDS = {
    "clipped": "clipped: parts are louder than the recording could hold",
    "cut": "cut: only the beginning was analysed",
    "dc": "constant offset (dc)",
    "few_voiced_frames": "little voice: what is said of it is uncertain",
    "header_mismatch": "the file's header does not match its content",
    "music": "like music or a hum",
    "length_unknown": "the file does not say how long it is",
    "narrow_band": "narrow band: a telephone-like recording",
    "no_voice": "no voice was found",
    "short": "very short",
    "trailing_bytes": "bytes after the audio were dropped",
    "truncated": "truncated: the end is missing",
}
SOURCE_WORDS = {
    "left_in_place": "your source file is left in place: it is yours to keep or to remove",
    "unlinked": "your source file was unlinked; its blocks on the medium are not proven gone",
    "unlink_not_confirmed": "your source file was to be unlinked, but that is not confirmed: look at it",
}
STATE_WORDS = {
    RecordingState.RECEIVED: "waiting, or being worked on",
    RecordingState.COMMITTED: "result stored; the audio is being destroyed",
    RecordingState.VERIFIED: "the result is kept, the audio is gone",
    RecordingState.FAILED_SHREDDED: "no result; the audio is gone",
    RecordingState.HELD: "no result yet; the sealed audio is held for a retry",
}


PLAIN = Style()


@dataclass(frozen=True, slots=True)
class Page:
    """How wide, and with which emphasis."""

    width: int = 100
    style: Style = PLAIN

    def block(self, label: str, text: str) -> str:
        """A labelled paragraph: the label in a column of its own, the text wrapped beside it."""
        width = max(30, self.width - 14)
        # A path stays in one piece, even where it is longer than the line: people copy it.
        lines = textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False) or [""]
        first = f"  {self.style.bold(f'{label:<10}')}  {lines[0]}"
        return "\n".join([first, *(" " * 14 + line for line in lines[1:])])


def table(rows: Sequence[Sequence[str]], *, indent: int = 2, gap: int = 2) -> str:
    """Columns aligned to the left; the last one is not padded."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        " " * indent + (" " * gap).join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def counted(number: int, one: str, several: str = "") -> str:
    """A number with its noun: 1 file, 2 files; 1 person, 3 people."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def people(number: int) -> str:
    return counted(number, "person", "people")


def moment(value: datetime | None) -> str:
    return "-" if value is None else words_of(value)


def analysis(file: str, answer: Analysis, page: Page) -> str:
    kept = retention(answer.retention)
    parts = [
        page.style.bold(printable(file)),
        profile(answer.insight, page),
        *inferences(answer.inferences, page),
        "",
        page.block("features", features(answer.features)),
        page.block("quality", quality(answer.quality)),
        *gate(answer.features, answer.quality, page),
        page.block("audio", audio(answer.audio)),
        page.block("kept", kept),
        page.block("receipt", answer.audio.receipt_path or answer.audio.receipt_id or "none"),
        page.block("session", answer.session_id),
    ]
    return "\n".join(parts) + "\n"


def profile(insight: Insight, page: Page) -> str:
    """The voice profile: title, value with unit, and in plain words what the number is."""
    title = max((len(item.title) for item in insight.items), default=0)
    value = max((len(item.shown) for item in insight.items), default=0)
    return "\n".join(_item(item, page, title, value) for item in insight.items)


def _item(item: InsightItem, page: Page, title: int, value: int) -> str:
    column = title + value + 6
    lines = textwrap.wrap(item.meaning, max(30, page.width - column)) or [""]
    shown = f"{item.shown:<{value}}"
    shown = page.style.dim(shown) if item.value is None else page.style.bold(shown)
    first = f"  {item.title:<{title}}  {shown}  {page.style.dim(lines[0])}"
    return "\n".join([first, *(" " * column + page.style.dim(line) for line in lines[1:])])


def inferences(views: Sequence[InferenceView], page: Page) -> list[str]:
    """What models said: label, the model's own confidence, whose word it is, and what it is not for."""
    lines = []
    for view in views:
        one = view.inference
        ends = f"kept until {moment(view.expires_at)}" if view.decision_id else "not kept"
        kind = "a demonstration, not for use" if one.demonstration else f"model {one.model_sha256[:16]}"
        facts = (
            f"inferred for {view.purpose}, {kind}, privacy guarantee of its training: {one.guarantee}, {ends}"
        )
        lines += ["", f"  {page.style.bold(one.attribute.replace('_', ' ').capitalize())}  {said(one)}"]
        lines += [page.block("", facts), page.block("", f"not for: {one.not_for}")]
        lines += [page.block("", f"decision {view.decision_id}")] if view.decision_id else []
    return lines


def said(one: Inference) -> str:
    """The value, with the model's own confidence; where it is not determined, what could not be ruled out."""
    if one.confidence is not None:
        covered = f", set of {one.percent} %" if one.label_set is not None else ""
        return f"{one.value} (the model's own confidence {one.confidence:.1%}{covered})"
    if one.unlike:
        return f"{one.value} ({one.reason}: the recording is outside of the range on the model's card)"
    if one.label_set:
        return f"{one.value} ({', '.join(one.label_set)}: none is ruled out at {one.percent} %)"
    return one.value


def features(vector: FeatureVector) -> str:
    return (
        f"{FEATURE_COUNT} numbers (eGeMAPS v02, profile {vector.profile}, {vector.version}, "
        f"{vector.sample_rate_hz} Hz); --json prints them"
    )


def quality(value: Quality) -> str:
    snr = (
        "no estimate of noise" if value.snr_db is None else f"estimated signal-to-noise {value.snr_db:.0f} dB"
    )
    facts = [
        f"{value.duration_s:.1f} s analysed",
        f"{value.voiced_frames / 100:.1f} s of it voiced",
        snr,
        f"{value.source_codec} at {value.source_rate_hz} Hz",
    ]
    if value.source_channels > 1:
        facts.append(f"channel {value.channel} of {value.source_channels}")
    if value.clipped_share > 0:
        facts.append(f"{value.clipped_share:.1%} clipped")
    remarks = [FLAG_WORDS.get(flag, flag) for flag in value.flags]
    return "; ".join([", ".join(facts), *(remarks or ["nothing unusual"])])


def gate(vector: FeatureVector, value: Quality, page: Page) -> list[str]:
    """What the gate found, one block each."""
    return [page.block("note", finding.words) for finding in findings_of(vector, value)]


def audio(fate: AudioFate) -> str:
    if fate.state is RecordingState.VERIFIED:
        copies = (
            "no copy was ever made" if fate.copies_made == 0 else "one sealed copy was made and destroyed"
        )
        state = f"gone, looked for again at {moment(fate.ended_at)}: {copies}"
    else:
        state = f"{STATE_WORDS[fate.state]}; gone by {moment(fate.discard_by)} at the latest"
    return f"{state}; {SOURCE_WORDS[fate.source]}"


def retention(value: Retention) -> str:
    if not value.kept:
        return f"nothing: this answer is the only one ({value.basis})"
    return f"features and voice profile, sealed, until {moment(value.expires_at)} ({value.basis})"


def submission(file: str, answer: Submission, page: Page) -> str:
    return "\n".join(
        [
            page.style.bold(printable(file)),
            page.block("sealed", f"{answer.body_bytes:,} bytes, queued for a worker"),
            page.block(
                "audio", f"gone by {moment(answer.discard_by)} at the latest; {SOURCE_WORDS[answer.source]}"
            ),
            page.block("session", answer.session_id),
            "",
        ]
    )


def work(outcome: WorkOutcome, page: Page) -> str:
    words = STATE_WORDS[outcome.state]
    state = page.style.bad(outcome.state) if outcome.failure else page.style.good(outcome.state)
    why = f" [{outcome.failure}, attempt {outcome.attempts}]" if outcome.failure else ""
    return f"{outcome.session_id}  {state}: {words}{why}"


def sessions(views: Iterable[SessionView]) -> str:
    rows = [
        (
            view.session_id,
            moment(view.received_at),
            str(view.state) + (f" ({view.failure})" if view.failure else ""),
            ", ".join((*view.record_kinds, *view.inferred)) or "nothing",
            moment(view.expires_at),
        )
        for view in views
    ]
    if not rows:
        return "No sessions are held for this person."
    return table([("session", "received", "state", "kept", "until"), *rows], indent=0)


def content(value: SessionContent, page: Page) -> str:
    parts = [page.style.bold(value.session_id) + f"  opened for {value.purpose}"]
    if value.insight is not None:
        parts += [profile(value.insight, page), ""]
    parts += inferences(value.inferences, page)
    if value.features is not None:
        parts.append(page.block("features", features(value.features)))
        parts.append(
            table([(name, f"{number:.6g}") for name, number in value.features.as_dict().items()], indent=4)
        )
    if value.quality is not None:
        parts.append(page.block("quality", quality(value.quality)))
        parts += [] if value.features is None else gate(value.features, value.quality, page)
    if value.has_embedding:
        parts.append(page.block("embedding", "kept: 768 numbers, biometric data"))
    parts.append(page.block("until", moment(value.expires_at)))
    if value.handed is not None:
        names = [("person", value.handed.subject), *value.handed.sessions.items()]
        parts.append(page.block("handed to", value.handed.recipient_id))
        parts.append(table(names, indent=4))
    return "\n".join(parts)


def consents(states: Iterable[PurposeConsent]) -> str:
    rows = [
        (state.purpose, _status(state.status), moment(state.since), PURPOSES[state.purpose].title)
        for state in states
        if state.purpose in PURPOSES
    ]
    return table([("purpose", "status", "since", "what it is for"), *rows], indent=0)


def receipt(value: Receipt, page: Page) -> str:
    rows = [("kind", value.kind), ("signed by", value.key_id)]
    rows += [(printable(key), _brief(item)) for key, item in value.body.items() if key != "checkpoint"]
    rows += [("checkpoint", _checkpoint(value.body["checkpoint"]))] if "checkpoint" in value.body else []
    return f"{page.style.good('verified')}: the signature fits a key that was pinned before\n" + table(rows)


def proof(value: VerifiedProof, page: Page) -> str:
    """A checkpoint, or the proof of one entry, that was checked."""
    rows = [("log", value.origin), ("covers", f"{value.size} entries"), ("root", value.root)]
    if value.sequence is not None:
        rows += [("entry", f"number {value.sequence}")]
        rows += [(printable(key), _brief(item)) for key, item in (value.entry or {}).items()]
    return f"{page.style.good('verified')}: the signature fits a key that was pinned before\n" + table(rows)


def _checkpoint(text: object) -> str:
    """Which log the receipt is a witness of, and up to where."""
    lines = text.split("\n") if isinstance(text, str) else []
    return printable(f"{lines[1]} entries of {lines[0]}") if len(lines) > 2 else "-"


def _brief(value: object) -> str:
    text = printable(value if isinstance(value, str) else _plain(value))
    return text if len(text) <= 120 else text[:117] + "..."


def _plain(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(_plain(item) for item in value) or "-"
        case _:
            return str(value)


def _status(status: ConsentStatus) -> str:
    return str(status).replace("_", " ")
