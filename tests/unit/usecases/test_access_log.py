"""A person's own access log: derived from the audit log as it stands, and looking is an entry of its own."""

from __future__ import annotations

from typing import Any

import pytest

from sottovoce.errors import NotFound, UsageError
from sottovoce.model.subject import Caller
from sottovoce.usecases.access_entries import WORDS

Hall = Any


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
    assert {entry.kind for entry in log} <= set(WORDS)
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
