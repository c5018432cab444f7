"""The privacy facts of a session: derived from the rows as they stand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from sottovoce.model.mark import MarkKind
from sottovoce.model.purpose import CONSENT_PURPOSES, PURPOSES
from sottovoce.usecases.access_pages import facts_page

Hall = Any


def test_BP5_the_facts_of_a_session_are_those_of_the_database(hall: Hall) -> None:
    """The card of a session says what the rows say: captured, who can open it, who did, when it dies, inferred."""
    hall.grant()
    hall.platform.grant(subject="anna", purposes=["research_statistics"], caller=hall.caller)
    session = hall.submit().session_id
    hall.platform.work_next(caller=hall.caller)
    hall.platform.show(session, purpose="research_statistics", caller=hall.caller)
    card = hall.platform.facts(session, caller=hall.caller)
    recording = hall.recording(session)
    with hall.database.read() as tx:
        records = tx.records.of_session(session)
        decisions = tx.records.decisions_of_session(session)
    assert (card.captured_at, card.shape, card.state) == (recording.received_at, "submit", "verified")
    assert card.captured_by == "tester (test)"
    assert dict(card.kept) == {record.kind: record.expires_at for record in records}
    assert [(one.model, one.model_sha256, one.until) for one in card.inferred] == [
        (one.model, one.model_sha256, one.expires_at) for one in decisions
    ]
    assert card.quality is not None
    assert card.quality.source_codec == "wav/pcm_16"
    assert [entry.purpose for entry in card.accesses] == ["research_statistics", "subject_access"]
    assert not card.stays_on


@pytest.mark.parametrize("marked", [None, "restriction", "objection"])
def test_BP5_who_can_open_it_is_who_would_be_let_in(hall: Hall, marked: str | None) -> None:
    """For every purpose the card says the same as trying it: allowed there, allowed here."""
    hall.grant()
    session = hall.analyze().session_id
    hall.platform.grant(
        subject="anna", purposes=["model_training", "research_statistics"], caller=hall.caller
    )
    hall.platform.withdraw(subject="anna", purposes=["model_training"], caller=hall.caller)
    if marked == "restriction":
        hall.platform.mark(
            subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested", caller=hall.caller
        )
    elif marked == "objection":
        hall.platform.mark(
            subject="anna", kind=MarkKind.OBJECTION, reason="objection", purpose="research_statistics",
            caller=hall.caller,
        )  # fmt: skip
    told = {
        opener.purpose: set(opener.opens)
        for opener in hall.platform.facts(session, caller=hall.caller).openers
    }
    tried = {}
    for purpose in PURPOSES:
        try:
            seen = hall.platform.show(session, purpose=purpose, caller=hall.caller)
        except Exception:
            continue
        opened = {"features": seen.features, "insight": seen.insight}
        tried[purpose] = {kind for kind, value in opened.items() if value is not None}
    assert told == {purpose: kinds for purpose, kinds in tried.items() if kinds}
    assert "subject_access" in told
    assert ("research_statistics" in told) is (marked is None)


def test_BP5_the_card_of_a_session_that_is_over_says_so(hall: Hall) -> None:
    """When nothing is kept of a session any more, its card says so: nobody can open anything."""
    hall.grant()
    session = hall.analyze().session_id
    hall.platform.withdraw(subject="anna", purposes=list(CONSENT_PURPOSES), caller=hall.caller)
    hall.advance(seconds=1)
    hall.platform.sweep(caller=hall.caller)
    card = hall.platform.facts(session, caller=hall.caller)
    assert (card.kept, card.openers, card.quality, card.inferred) == ((), (), None, ())
    assert "Nothing of it is kept." in facts_page(card)


def test_the_card_holds_no_feature_value(hall: Hall) -> None:
    """The card says what there is, never what it says."""
    hall.grant()
    analysis = hall.analyze()
    card = str(asdict(hall.platform.facts(analysis.session_id, caller=hall.caller)))
    assert not [value for value in analysis.features.values if f"{value:.6f}" in card]


def test_the_card_says_what_became_of_the_audio(hall: Hall) -> None:
    """While a recording waits the card does not say that its audio is gone; afterwards it says how it went."""
    hall.grant()
    analysed, submitted = hall.analyze().session_id, hall.submit().session_id

    def audio(session: str) -> str:
        said: str = hall.platform.facts(session, caller=hall.caller).audio
        return said

    assert audio(analysed) == "no copy was ever made of it"
    assert audio(submitted) == "being worked on"
    hall.platform.work_next(caller=hall.caller)
    assert audio(submitted) == "the sealed copy and its key were destroyed, and not found after that"
