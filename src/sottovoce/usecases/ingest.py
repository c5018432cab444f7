"""One recording of a corpus: taken in exactly once, however often the ingest is killed and begun again.

The digest of the file's content is the idempotency key, so that what was done is known from the recordings
themselves: there is no second ledger that could differ, and no file name is stored. The stored form is an HMAC under
the tenant's key, so that nobody who reads the database can test whether a known recording is in it.

Rules upheld here:
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

from sottovoce.errors import Conflict
from sottovoce.model.corpus import IngestOutcome
from sottovoce.model.recording import Recording, RecordingState, SourceFate
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, Source
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.record import Ask, Record
from sottovoce.usecases.trail import Trail
from sottovoce.voice.rejections import REASONS


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
