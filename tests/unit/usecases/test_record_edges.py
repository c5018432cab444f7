"""The one path at its edges: what comes between two steps, and the embedding as a purpose of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sottovoce.errors import (
    Conflict,
    ConsentRequired,
    ExtractionFailed,
    IntegrityError,
    SottovoceError,
    UsageError,
)
from sottovoce.model.features import Embedding
from sottovoce.model.purpose import (
    EMBEDDING,
    VOICE_ANALYSIS,
    PurposeGrant,
)
from sottovoce.model.recording import RecordingState

if TYPE_CHECKING:
    from conftest import Hall


def interrupting(hall: Hall, action: Callable[[], object]) -> object:
    """A source that lets something happen while it is read, between tx1 and tx1b."""

    class Source(hall.source):  # type: ignore[misc,name-defined]
        def read_into(self, buffer: memoryview) -> int:
            nonlocal action
            action, now = (lambda: None), action
            now()
            return int(super().read_into(buffer))

    return Source()


@pytest.mark.parametrize(
    ("meanwhile", "error"),
    [
        (lambda hall: hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS]), ConsentRequired),
        (lambda hall: hall.platform.erase(subject="anna"), SottovoceError),
        (lambda hall: hall.advance(hours=25), Conflict),
    ],
    ids=["withdrawn", "erased", "past the deadline"],
)
def test_C2a_F24_what_comes_between_promise_and_acknowledgement_wins(
    hall: Hall, meanwhile: Callable[[Hall], object], error: type[SottovoceError]
) -> None:
    """A recording withdrawn, erased or overdue while it is being stored is not accepted, and nothing of it stays."""
    hall.grant()
    with pytest.raises(error):
        hall.submit(source=interrupting(hall, lambda: meanwhile(hall)))
    hall.platform.sweep()
    assert hall.audio_left() == (0, 0)
    assert hall.platform.work_next() is None
    assert all(recording.ended for recording in hall.recordings())


# --- the embedding ----------------------------------------------------------------------------------------


def embedding_hall(new_hall: Callable[..., Hall], tmp_path: object) -> Hall:
    hall = new_hall(embedding_model=str(tmp_path))
    vector = Embedding(values=tuple(i / 768 for i in range(768)), model_sha256="ab" * 32)
    hall.extractor.extraction = replace(hall.extractor.extraction, embedding=vector)
    return hall


def test_C2d_the_embedding_is_a_purpose_of_its_own(new_hall: Callable[..., Hall], tmp_path: object) -> None:
    """A voice embedding is computed only with a consent of its own, and opened only for that purpose."""
    hall = embedding_hall(new_hall, tmp_path)
    hall.grant()
    with pytest.raises(ConsentRequired, match=EMBEDDING):
        hall.analyze(embedding=True)
    hall.grant(purposes=[EMBEDDING])
    answer = hall.analyze(embedding=True)
    assert answer.has_embedding
    assert hall.platform.show(answer.session_id, purpose=EMBEDDING).has_embedding
    content = hall.platform.show(answer.session_id, purpose=EMBEDDING)
    assert (content.features, content.insight) == (None, None)
    with hall.database.read() as tx:
        (record,) = (r for r in tx.records.of_session(answer.session_id) if r.kind == "embedding")
    grant = PurposeGrant(EMBEDDING, record.subject_id, record.session_id)
    opened = hall.platform._disclosure.vault.open_embedding(record, grant)
    assert opened.values == pytest.approx(hall.extractor.extraction.embedding.values, abs=1e-6)  # type: ignore[union-attr]
    assert b"embedding" not in record.body


def test_C2d_an_embedding_withdrawn_meanwhile_is_not_kept(
    new_hall: Callable[..., Hall], tmp_path: object
) -> None:
    """Consent to the embedding, withdrawn while it is computed: nothing of that recording is kept."""
    hall = embedding_hall(new_hall, tmp_path)
    hall.grant()
    hall.grant(purposes=[EMBEDDING])
    hall.extractor.before = lambda: hall.platform.withdraw(subject="anna", purposes=[EMBEDDING])
    with pytest.raises(ConsentRequired):
        hall.analyze(embedding=True)
    (recording,) = hall.recordings()
    assert recording.state is RecordingState.FAILED_SHREDDED


def test_an_embedding_without_a_model_is_refused_and_leaves_nothing(hall: Hall) -> None:
    hall.grant()
    hall.grant(purposes=[EMBEDDING])
    with pytest.raises(UsageError) as raised:
        hall.analyze(embedding=True)
    assert raised.value.reason == "embedding_model"
    assert all(recording.ended for recording in hall.recordings())


# --- health and names -------------------------------------------------------------------------------------


def test_doctor_says_what_is_wrong(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that endangers a promise has a line of its own."""
    from sottovoce.adapters import host_linux

    def broken() -> str:
        raise ExtractionFailed("No child could be started.", reason="parent_failed")

    hall.grant()
    monkeypatch.setattr(hall.extractor, "level", broken)
    monkeypatch.setattr(host_linux, "active_swaps", lambda: ("/swapfile",))
    monkeypatch.setattr(host_linux, "free_bytes", lambda _: 1 << 20)
    monkeypatch.setattr(host_linux, "open_to_others", lambda _: ("keys",))
    monkeypatch.setattr(host_linux, "core_dumps_possible", lambda: True)
    found = {check.name: check for check in hall.platform.doctor()}
    assert found["sealed child"].state == "fail"
    assert [found[name].state for name in ("swap", "disk", "permissions")] == ["warn"] * 3
    assert "keys" in found["permissions"].found
    assert "core dumps" in found
    monkeypatch.setattr(hall.extractor, "level", lambda: "seccomp")
    assert {c.name: c for c in hall.platform.doctor()}["sealed child"].state == "ok"


def test_receipts_are_copied_anew_where_the_copy_is_missing(hall: Hall) -> None:
    """The copy of a receipt that somebody deleted is there again when it is asked for."""
    hall.grant()
    answer = hall.analyze()
    path = f"{answer.audio.receipt_id}.json"
    assert hall.adapters.receipt_copies.delete(path)
    (view,) = hall.platform.sessions(subject="anna")
    assert hall.adapters.receipt_copies.exists(path)
    assert view.receipt_path is not None
    assert view.receipt_path.endswith(path)


def test_insights_of_an_unknown_rule_table_are_refused(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    from sottovoce.voice import bodies
    from sottovoce.voice.insight import insight_from_values

    hall.grant()
    session = hall.analyze().session_id

    def other(*given: object, **named: object) -> object:
        return replace(insight_from_values(*given, **named), model_sha256="00" * 32)  # type: ignore[arg-type]

    monkeypatch.setattr(bodies.insights, "insight_from_values", other)
    with pytest.raises(IntegrityError) as raised:
        hall.platform.show(session, purpose="subject_access")
    assert raised.value.reason == "rule_table_unknown"
