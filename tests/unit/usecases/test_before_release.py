"""Nothing is released or kept before what has to be true first is durable, or is read once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sottovoce.errors import ReconsentRequired
from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS
from sottovoce.model.recording import RecordingState
from sottovoce.model.subject import Caller
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.keyring import Keyring

Hall = Any
CALLER = Caller(actor="tester", channel="test")


@dataclass
class Telling:
    """A database that tells of every commit, and whether it waited for the disk."""

    inner: Any
    happened: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Any]:
        with self.inner.begin(durable=durable) as tx:
            yield tx
        self.happened.append("durable commit" if durable else "commit")


@pytest.mark.parametrize("purpose", ["subject_access", VOICE_ANALYSIS])
def test_X37_C29b_a_record_is_opened_only_after_a_durable_commit_of_its_entry(
    purpose: str, hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry of a read is on the disk before any key of the record is opened."""
    hall.grant()
    session = hall.analyze().session_id
    telling = Telling(hall.database)
    reads = GroupCommit(database=telling, sequencer=hall.platform._sequencer)
    disclosure = replace(hall.platform._disclosure, database=telling, reads=reads)
    opened = Keyring.open_key

    def open_key(keyring: Keyring, key_id: str) -> bytes:
        if key_id.startswith("rec_"):
            telling.happened.append("opened")
        return opened(keyring, key_id)

    monkeypatch.setattr(Keyring, "open_key", open_key)
    shown = disclosure.show(session, purpose=purpose, caller=CALLER)
    assert shown.features is not None
    assert telling.happened[0] == "durable commit"
    assert telling.happened.count("opened") >= 1
    with hall.database.read() as tx:
        assert [event.kind for event in tx.events.latest(limit=1)] == ["record.read"]


@pytest.mark.parametrize("shape", ["analyze", "submit"])
def test_C2a_C3a_consent_is_read_once_more_when_the_result_is_committed(shape: str, hall: Hall) -> None:
    """Where a person would have to be asked anew by the time their result is ready, it is not kept and not returned,
    even if nobody has withdrawn anything."""
    hall.grant()

    def material_change() -> None:
        hall.extractor.before = None
        hall.platform.grant(
            subject="berta",
            purposes=[VOICE_ANALYSIS],
            notice=b"other words",
            notice_version="2",
            caller=CALLER,
        )

    hall.extractor.before = material_change
    if shape == "analyze":
        with pytest.raises(ReconsentRequired):
            hall.analyze()
    else:
        hall.submit()
        outcome = hall.platform.work_next(caller=CALLER)
        assert (outcome.state, outcome.failure) == (RecordingState.FAILED_SHREDDED, "reconsent_required")
    (recording,) = hall.recordings()
    assert recording.state is RecordingState.FAILED_SHREDDED
    assert hall.audio_left() == (0, 0)
    with hall.database.read() as tx:
        assert tx.records.of_session(recording.id) == ()


def test_C2a_M22_a_result_is_not_kept_where_keeping_was_withdrawn_meanwhile(
    new_hall: Callable[..., Hall],
) -> None:
    """Withdrawing the consent to keep, while the analysis runs, leaves nothing but the one answer."""
    hall = new_hall()
    hall.grant()
    hall.extractor.before = lambda: hall.platform.withdraw(
        subject="anna", purposes=[RETENTION], caller=CALLER
    )
    analysis = hall.analyze()
    assert not analysis.retention.kept
    with hall.database.read() as tx:
        assert tx.records.of_session(analysis.session_id) == ()
    assert not [row for row in hall.platform.keyring.rows() if row.kind == "record"]
