"""One recording of a corpus: taken in exactly once, however often the ingest is killed and begun again.

The digest of the file's content is the idempotency key, so that what was done is known from the recordings
themselves: there is no second ledger that could differ, and no file name is stored. The stored form is an HMAC under
the tenant's key, so that nobody who reads the database can test whether a known recording is in it.

Rules upheld here:
0. A sealed recording is known by its envelope id and goes the way of `submit`: its content key becomes the key row, its
   body is stored as it came, and the sealed child is the first to open it (M16). Nothing of it is opened here.
1. A recording that was taken in before is not analysed again; one that was refused for what it is, neither.
2. What was interrupted, or failed for another reason, is begun anew.
3. A source file is unlinked only after its result is stored: by the analysis itself, or here where an ingest was
   killed between the two; the audit entry is written before the file goes.
4. Nothing is taken in of whom no result may be kept: an ingest hands no result back, so it would be analysed for
   nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from sottovoce.errors import Conflict, ExtractionFailed, IntegrityError
from sottovoce.model.corpus import IngestOutcome
from sottovoce.model.recording import Recording, RecordingState, SourceFate
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, Source
from sottovoce.usecases.arrivals import Arrivals, speaker
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.record import Ask, Record
from sottovoce.usecases.trail import Trail
from sottovoce.voice.rejections import REASONS, rejected


@dataclass(frozen=True)
class _Sized:
    """A source that is as large as the recording inside it."""

    source: Source
    size_bytes: int

    @property
    def fd(self) -> int:
        return self.source.fd

    def discard(self) -> bool:
        return self.source.discard()


class DigestedSource(Source, Protocol):
    """A source that can say what its content is."""

    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal; leaves nothing of the content in memory."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ingest:
    database: Database
    record: Record
    people: People
    trail: Trail
    arrivals: Arrivals

    def take(self, source: DigestedSource, ask: Ask, *, caller: Caller) -> IngestOutcome:
        """Take in one recording, or say that it was taken before. Errors as of `analyze`, but for recordings that
        were refused before."""
        ask = replace(ask, idempotency_key="content:" + source.digest(), must_keep=True)
        before = self._before(ask)
        if before is not None and before.state is RecordingState.VERIFIED:
            return self._done(source, ask, before, caller=caller)
        code = before.failure if before is not None and before.ended else None
        if before is not None and code is not None and code in REASONS:
            return IngestOutcome("refused_before", before.id, "left_in_place", source.size_bytes, code)
        try:
            answer = self.record.analyze(source, ask, caller=caller)
        except Conflict as error:
            if error.reason != "already_answered":
                raise
            ended = self._before(ask)  # a second ingest was quicker
            if ended is None or not ended.ended:
                raise
            return self._done(source, ask, ended, caller=caller)
        return IngestOutcome("taken", answer.session_id, answer.audio.source, source.size_bytes)

    def take_sealed(self, source: Source, ask: Ask, *, caller: Caller) -> IngestOutcome:
        """take() of a recording that was sealed to a recipient key of this home. `ask.subject` may be "": then the note
        says who speaks. Errors of take() and of Arrivals.read()."""
        arrived = self.arrivals.read(source)
        limit_bytes = self.record.policy.max_body_bytes
        if arrived.plain_bytes > limit_bytes:
            raise rejected("too_large")
        wanted = replace(
            ask, subject=speaker(arrived.note, ask.subject or None), discard_source=False, must_keep=True,
            idempotency_key="envelope:" + arrived.envelope_id,
        )  # fmt: skip
        sized = _Sized(source, arrived.plain_bytes)
        with_discard = replace(wanted, discard_source=ask.discard_source)
        before = self._before(wanted)
        if before is not None and before.state is RecordingState.VERIFIED:
            return self._done(sized, with_discard, before, caller=caller)
        if before is not None and before.ended and before.failure in REASONS:
            return IngestOutcome(
                "refused_before", before.id, "left_in_place", arrived.plain_bytes, before.failure or ""
            )
        if before is not None and before.state is RecordingState.HELD:
            raise Conflict(
                "This recording is held for another attempt.", hint="See `sottovoce retry`.", reason="held"
            )
        submission = self.record.submit_sealed(arrived.arrival(source), wanted, caller=caller)
        self._work_on(submission.session_id, caller=caller)
        ended = self._before(wanted)
        if ended is None or ended.state is not RecordingState.VERIFIED:
            raise Conflict(
                "The same recording is being worked on.", hint="Try again shortly.", reason="in_progress"
            )
        return replace(self._done(sized, with_discard, ended, caller=caller), status="taken")

    def _work_on(self, session_id: str, *, caller: Caller) -> None:
        """Bring a stored recording to its end, or raise why that was not possible."""
        worked = self.record.work_on(session_id, caller=caller)
        if worked is None:
            return
        outcome, problem = worked
        if isinstance(problem, IntegrityError):
            raise IntegrityError(
                "A sealed recording does not open to its end: it was altered.",
                hint="Get the original again from where it came.",
                reason="envelope_damaged",
            )
        if problem is not None:
            raise problem
        if outcome.state is not RecordingState.VERIFIED:
            raise ExtractionFailed(reason=outcome.failure or "")

    def unwilling(self, subjects: Iterable[str]) -> frozenset[str]:
        """Those of whom `take` would take nothing in today: consents that are missing or outdated, restrictions."""
        return frozenset(
            subject for subject in subjects if not self.record.allows(Ask(subject=subject, must_keep=True))
        )

    def _before(self, ask: Ask) -> Recording | None:
        with self.database.read() as tx:
            person = self.people.find(tx, ask.subject)
            return None if person is None else self.record.same_request(tx, ask, person.id)

    def _done(self, source: Source, ask: Ask, before: Recording, *, caller: Caller) -> IngestOutcome:
        fate: SourceFate = "left_in_place"
        if ask.discard_source and self._may_go(before, caller=caller):
            fate = "unlinked" if source.discard() else "unlink_not_confirmed"
        return IngestOutcome("done_before", before.id, fate, source.size_bytes)

    def _may_go(self, before: Recording, *, caller: Caller) -> bool:
        """Whether the result of the source is stored; written down before the source goes."""
        with self.database.begin() as tx:
            locked(tx, before.subject_id)
            if not tx.records.of_session(before.id):
                return False
            scribe = self.trail.of(before.subject_id, caller=caller)
            scribe.write(tx, "source.discarded", details={"session": before.id})
        return True
