"""A person's own access log, and the privacy facts of a session: derived from the rows as they stand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from sottovoce.errors import NotFound, UsageError
from sottovoce.model.mark import MarkKind
from sottovoce.model.purpose import CONSENT_PURPOSES, PURPOSES
from sottovoce.model.subject import Caller
from sottovoce.usecases.access_log import _READS, _WORDS, facts_page, log_page

Hall = Any
EVIL = "<script>alert(1)</script>"


def test_M44_a_person_sees_every_read_of_their_own_data_and_no_other(hall: Hall) -> None:
    """The access log shows each opening of a person's data with who did it and for what, and nobody else's."""
    for subject in ("anna", "ben"):
        hall.grant(subject)
    session, other = hall.analyze().session_id, hall.analyze("ben").session_id
    hall.platform.show(session, purpose="voice_analysis", caller=Caller("dr-k", "web"))
    hall.platform.show(other, purpose="voice_analysis", caller=hall.caller)
    log = hall.platform.access_log(subject="anna", caller=hall.caller)
    reads = [entry for entry in log if entry.read]
    assert [(e.kind, e.actor, e.purpose, e.session_id) for e in reads] == [
        ("record.read", "dr-k", "voice_analysis", session),
        ("access_log.shown", "tester", "subject_access", None),
    ]
    assert other not in {entry.session_id for entry in log}
    assert {entry.kind for entry in log} <= set(_WORDS)
    assert [e.at for e in log] == sorted(e.at for e in log)
    only = hall.platform.access_log(subject="anna", session_id=session, caller=hall.caller)
    assert {entry.session_id for entry in only} == {session}


def test_a_refused_read_is_in_the_log_as_refused(hall: Hall) -> None:
    """Also who tried to see something and was refused is shown to the person."""
    hall.grant()
    session = hall.analyze().session_id
    with pytest.raises(Exception, match="consented"):
        hall.platform.show(session, purpose="model_training", caller=hall.caller)
    log = hall.platform.access_log(subject="anna", caller=hall.caller)
    assert [(e.purpose, e.outcome) for e in log if e.kind == "record.read"] == [("model_training", "refused")]


def test_F26_unknown_and_erased_people_have_no_log(hall: Hall) -> None:
    """The log of somebody who was erased is gone for good, and that looks as if they had never been here."""
    hall.grant()
    session = hall.analyze().session_id
    hall.platform.erase(subject="anna", caller=hall.caller)
    said = []
    for subject in ("anna", "nobody"):
        with pytest.raises(NotFound) as refused:
            hall.platform.access_log(subject=subject, caller=hall.caller)
        said.append(refused.value.to_dict())
    assert said[0] == said[1]
    for missing in (session, "ses_" + "a" * 24):
        with pytest.raises(NotFound):
            hall.platform.facts(missing, caller=hall.caller)
    with pytest.raises(UsageError):
        hall.platform.facts("../etc", caller=hall.caller)


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


def test_the_pages_have_no_script_and_escape_every_word(hall: Hall) -> None:
    """Whatever somebody called themselves or wrote stays text on the pages that people read."""
    hall.grant()
    session = hall.analyze().session_id
    evil = Caller(actor=EVIL, channel='"><img src=x>')
    hall.platform.show(session, purpose="subject_access", caller=evil)
    hall.platform.mark(subject="anna", kind=MarkKind.HOLD, reason="legal_claims", note=EVIL, caller=evil)
    for page in (
        facts_page(hall.platform.facts(session, caller=evil)),
        log_page(hall.platform.access_log(subject="anna", caller=evil)),
    ):
        assert "<script" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page
        assert "script-src" not in page
        assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page


def test_every_kind_of_read_has_words() -> None:
    assert set(_WORDS) >= _READS
    assert len(set(_WORDS.values())) == len(_WORDS)


def test_the_card_holds_no_feature_value(hall: Hall) -> None:
    """The card says what there is, never what it says."""
    hall.grant()
    analysis = hall.analyze()
    card = str(asdict(hall.platform.facts(analysis.session_id, caller=hall.caller)))
    assert not [value for value in analysis.features.values if f"{value:.6f}" in card]
