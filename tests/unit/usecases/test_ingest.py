"""A recording of a corpus is taken in exactly once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pytest

from sottovoce.errors import AudioRejected, Conflict, ConsentRequired, ExtractionFailed
from sottovoce.model.corpus import IngestOutcome
from sottovoce.model.mark import MarkKind
from sottovoce.usecases.record import Ask


@dataclass
class Source:
    """A source in memory whose content can be told apart."""

    data: bytes = b"one recording"
    fd: int = -1
    unlinked: bool = False

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def discard(self) -> bool:
        self.unlinked = True
        return True


def take(hall: Any, source: Source | None = None, subject: str = "anna", **ask: Any) -> IngestOutcome:
    return hall.platform._ingest.take(
        source or Source(), Ask(subject=subject, **ask), caller=hall.caller
    )  # fmt: skip


def test_the_same_recording_of_the_same_person_is_taken_once(hall: Any) -> None:
    """However often an ingest is begun again, no recording is analysed twice."""
    hall.grant()
    first, again = take(hall), take(hall)
    assert (first.status, again.status) == ("taken", "done_before")
    assert first.session_id == again.session_id
    assert len(hall.extractor.sources) == 1
    assert len(hall.recordings()) == 1


def test_another_recording_and_another_person_are_others(hall: Any) -> None:
    hall.grant()
    hall.grant("bert")
    assert [take(hall).status, take(hall, Source(b"two")).status] == ["taken", "taken"]
    assert take(hall, subject="bert").status == "taken"
    assert len(hall.extractor.sources) == 3


def test_what_was_interrupted_is_begun_anew(hall: Any) -> None:
    """A recording whose analysis failed for a passing reason is taken in by the next run."""
    hall.grant()
    hall.extractor.failing.append(ExtractionFailed())
    with pytest.raises(ExtractionFailed):
        take(hall)
    assert take(hall).status == "taken"
    assert [r.state.value for r in hall.recordings()].count("verified") == 1


def test_what_was_refused_for_what_it_is_stays_refused(hall: Any) -> None:
    hall.grant()
    hall.extractor.failing.append(AudioRejected(reason="too_short"))
    with pytest.raises(AudioRejected):
        take(hall)
    again = take(hall)
    assert (again.status, again.code) == ("refused_before", "too_short")
    assert len(hall.extractor.sources) == 1


def test_no_consent_no_ingest(hall: Any) -> None:
    with pytest.raises(ConsentRequired):
        take(hall)
    hall.grant()
    take(hall)
    hall.platform.erase(subject="anna", caller=hall.caller)
    with pytest.raises(ConsentRequired):
        take(hall)


def test_a_recording_in_work_elsewhere_is_not_taken(hall: Any) -> None:
    hall.grant()
    seen: list[str] = []

    def second() -> None:
        hall.extractor.before = None
        with pytest.raises(Conflict) as refused:
            take(hall)
        seen.append(refused.value.reason)

    hall.extractor.before = second
    assert take(hall).status == "taken"
    assert seen == ["in_progress"]


def test_C9e_a_source_goes_once_its_result_is_stored_even_by_a_later_run(hall: Any) -> None:
    """With discard-source the file is unlinked after its result is stored; a run that was killed between the two is
    made up for by the next one, and the audit log says so before the file goes."""
    hall.grant()
    now, later = Source(), Source(b"two")
    assert take(hall, now, discard_source=True).source == "unlinked"
    assert now.unlinked
    take(hall, later)
    again = take(hall, later, discard_source=True)
    assert (again.status, again.source, later.unlinked) == ("done_before", "unlinked", True)
    assert "source.discarded" in hall.kinds_of_events()


def test_a_source_stays_when_its_result_is_no_longer_kept(hall: Any) -> None:
    """The only copy of a recording is not unlinked: where the result has expired, the source is left in place."""
    hall.grant()
    source = Source()
    take(hall, source)
    hall.advance(days=31)
    hall.platform.sweep(caller=hall.caller)
    again = take(hall, source, discard_source=True)
    assert (again.status, again.source, source.unlinked) == ("done_before", "left_in_place", False)


def test_no_digest_of_a_recording_is_stored_in_clear(hall: Any) -> None:
    """Whoever reads the database can't test whether a recording that they have is in it."""
    hall.grant()
    take(hall)
    stored = repr(hall.recordings())
    assert Source().digest() not in stored
    assert hashlib.sha256(f"content:{Source().digest()}".encode()).hexdigest() not in stored


def test_the_footprint_counts_what_is_stored(hall: Any) -> None:
    before = {row.kind: row.count for row in hall.platform.footprint()}
    hall.grant()
    take(hall)
    after = {row.kind: row for row in hall.platform.footprint()}
    assert before["receipt"] == 0
    assert (after["features"].count, after["insight"].count, after["decision"].count) == (1, 1, 1)
    assert after["features"].size_bytes > 88 * 4
    assert after["sealed_audio"].count == 0
    # what each consent says, though none has sealed evidence beside it
    assert after["consent"].size_bytes > after["consent"].count * len("voice_analysis")
    assert {kind for kind, row in after.items() if row.count and not row.size_bytes} == set()


def test_nothing_is_taken_in_of_whom_no_result_may_be_kept(hall: Any) -> None:
    """A recording whose result could not be kept is not analysed: nobody would ever see the result."""
    hall.grant(purposes=("voice_recording", "voice_analysis"))
    hall.grant("bert")
    assert hall.platform.unwilling(("anna", "bert", "nobody")) == {"anna", "nobody"}
    with pytest.raises(ConsentRequired):
        take(hall)
    assert not hall.extractor.sources


def test_a_restriction_makes_a_person_unwilling(hall: Any) -> None:
    """Of a person whose data is restricted nothing is taken in."""
    hall.grant()
    hall.platform.mark(
        subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested", caller=hall.caller
    )
    assert hall.platform.unwilling(("anna",)) == {"anna"}
