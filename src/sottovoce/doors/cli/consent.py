"""consent grant, refuse, withdraw, show: what a person has agreed to, purpose by purpose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.files import read_small
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside, Subject
from sottovoce.errors import UsageError
from sottovoce.model.outcome import ConsentOutcome
from sottovoce.model.purpose import consent_purpose

if TYPE_CHECKING:
    from sottovoce.doors.cli.world import World

app = App(name="consent", help="Record and show what a person has agreed to.")

Purposes = Annotated[
    list[str],
    Parameter(
        name="--purpose", consume_multiple=True,
        help="One or several: `--purpose a b`, `--purpose a,b`, or the option repeated.",
    ),
]  # fmt: skip
Notice = Annotated[Path | None, Parameter(help="File with the exact text shown (else the built-in notice).")]
NoticeVersion = Annotated[str | None, Parameter(help="The version of that text.")]
Locale = Annotated[str, Parameter(help="The language of that text.")]
Editorial = Annotated[bool, Parameter(help="A new version that changes wording only: nobody is asked again.")]
Evidence = Annotated[str | None, Parameter(help="What shows it, e.g. the hash of a form; stored sealed.")]
Channel = Annotated[str | None, Parameter(help="How the person said so: web, paper, keypress, spoken, ...")]
Occurred = Annotated[
    str | None, Parameter(help="When the person said so, ISO 8601 with an offset (else now).")
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Said:
    """How and when the person said it."""

    evidence: Evidence = None
    consent_channel: Channel = None
    occurred_at: Occurred = None

    def as_arguments(self) -> dict[str, Any]:
        return {
            "evidence": self.evidence,
            "consent_channel": self.consent_channel,
            "occurred_at": _time(self.occurred_at),
        }


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Shown:
    """The text that the person was shown."""

    notice: Notice = None
    notice_version: NoticeVersion = None
    locale: Locale = "en"
    editorial: Editorial = False

    def as_arguments(self) -> dict[str, Any]:
        return {
            "notice": None if self.notice is None else read_small(self.notice),
            "notice_version": self.notice_version,
            "locale": self.locale,
            "material": not self.editorial,
        }


SAID, SHOWN = Said(), Shown()


@app.command
def grant(
    *,
    subject: Subject,
    purpose: Purposes,
    shown: Shown = SHOWN,
    said: Said = SAID,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Record that a person has agreed.

    All purposes of one call are recorded, or none. The answer is a signed
    receipt for the person.

    For example:
      sottovoce consent grant --subject anna --purpose voice_recording,voice_analysis
    """
    purposes, how = _purposes(purpose), {**shown.as_arguments(), **said.as_arguments()}
    with world.open(common) as platform:
        outcome = platform.grant(subject=subject, purposes=purposes, **how, caller=CALLER)
    return _answer(outcome, common, world)


@app.command
def refuse(
    *,
    subject: Subject,
    purpose: Purposes,
    shown: Shown = SHOWN,
    said: Said = SAID,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Record that a person was asked and said no.

    A refusal is recorded like a grant, with a signed receipt for the person.

    For example:
      sottovoce consent refuse --subject anna --purpose model_training
    """
    purposes, how = _purposes(purpose), {**shown.as_arguments(), **said.as_arguments()}
    with world.open(common) as platform:
        outcome = platform.refuse(subject=subject, purposes=purposes, **how, caller=CALLER)
    return _answer(outcome, common, world)


@app.command
def withdraw(
    *,
    subject: Subject,
    purpose: Purposes,
    said: Said = SAID,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Record that a person takes their agreement back.

    It takes effect at once: recordings that are queued or being worked on are
    stopped before they commit. The answer is a signed termination receipt that
    names what is still kept, why, and until when.

    For example:
      sottovoce consent withdraw --subject anna --purpose voice_analysis
    """
    purposes, how = _purposes(purpose), said.as_arguments()
    with world.open(common) as platform:
        outcome = platform.withdraw(subject=subject, purposes=purposes, **how, caller=CALLER)
    return _answer(outcome, common, world)


@app.command
def show(
    *,
    subject: Subject,
    purpose: Purposes | None = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Show what a person has agreed to.

    For example:
      sottovoce consent show --subject anna
    """
    wanted = None if purpose is None else set(_purposes(purpose))
    with world.open(common) as platform:
        states = platform.consents(subject=subject, caller=CALLER)
    states = tuple(state for state in states if wanted is None or state.purpose in wanted)
    world.answer(common, payloads.consents(states), render.consents(states))
    return OK


def _answer(outcome: ConsentOutcome, common: Common, world: World) -> int:
    page = render.Page(width=world.console.width, style=world.console.style)
    lines = [
        render.consents(outcome.states),
        page.block("receipt", outcome.receipt_path or outcome.receipt_id),
    ]
    lines += [page.block("stopped", session) for session in outcome.stopped_sessions]
    lines += [page.block("remains", words) for words in outcome.remains]
    world.answer(common, payloads.consent(outcome), "\n".join(lines))
    return OK


def _purposes(given: list[str]) -> tuple[str, ...]:
    """The ids of all purposes named, each once, in the order given; UsageError for one that does not exist."""
    names = [name.strip() for value in given for name in value.split(",") if name.strip()]
    if not names:
        raise UsageError("No purpose was named.", hint="Name at least one with --purpose.")
    return tuple(dict.fromkeys(consent_purpose(name).id for name in names))


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(
            "This is not a time with an offset.", hint="Write it like 2026-05-01T12:00:00+02:00 or ...Z."
        )
    return moment
