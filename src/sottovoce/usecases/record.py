"""The one path that a recording takes, in its two shapes.

    analyze  inline: the sealed child reads a descriptor that was passed to it; no copy of the audio is ever made
    submit   a sealed body in the blob store, for a worker

    tx1   lock the subject, consent holds? Recording(RECEIVED, discard_by) + discard job + audit
          submit only: key row -> body put, fsynced -> tx1b (body_stored_at, extract job, audit): now acknowledged
    ->    sealed child -> insight -> keys of the records -> seal (submit: insight and sealing in a child too, I1)
    tx2   lock, lease still ours? consent still holds? sealed records + decision + COMMITTED + audit
    ->    destroy the recording's key -> delete the body -> look again
    tx3   VERIFIED + signed receipt + audit

Read this file from `analyze` to `_commit`, then `usecases/discard.py`, which ends every recording. Its parts have files
of their own: `intake.py` (what is asked, the first row, retries), `body_store.py` (sealed bodies), `work_queue.py`
(claims), `results.py` (models, keys and ciphertexts of a result), `failures.py` (shred or hold), `answers.py`.

Rules upheld here, in order:
1. The promise to discard is committed before any audio is stored, with a deadline that no queue extends (law 4).
2. Consent is read in the transaction that writes, after the subject's row is locked (law 1); a withdrawal,
   restriction or erasure that came first wins. A model is run only where the person has agreed to its purpose when it
   is about to be run, and what it said is kept and told only where that still holds at the commit (BP4).
3. Key rows are written before the data that needs them, destroyed before the data is deleted.
4. Every failure, whatever it is, ends in the same discard (`usecases/discard.py`); a crash is followed by the
   sweeper and by open().
5. Attempts are counted before the work (F7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from sottovoce.errors import Conflict, SottovoceError
from sottovoce.model.features import Extraction, Insight
from sottovoce.model.findings import Findings
from sottovoce.model.ids import RandomBytes
from sottovoce.model.inference import ModelUse, purpose_for
from sottovoce.model.job import Job
from sottovoce.model.outcome import Analysis, Submission, WorkOutcome
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import LifecycleEvent, Recording, RecordingState, Shape, SourceFate
from sottovoce.model.subject import Caller
from sottovoce.ports import (
    Blobs,
    Database,
    Descriptor,
    Extractor,
    Liveness,
    Place,
    Source,
    UnitOfWork,
)
from sottovoce.usecases.answers import analysis_of, inference_view, submission_of, work_outcome
from sottovoce.usecases.body_store import BodyStore, ReadInto, SealedArrival
from sottovoce.usecases.discard import Discard, discard_now
from sottovoce.usecases.failures import Failures, code_of, is_transient, overtaken, what_came_first
from sottovoce.usecases.intake import (
    Ask,
    Intake,
    OnGate,
    OnInference,
    extract_options,
    needed_at_commit,
    purposes_of,
)
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.leases import Leases, released
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.permission import Consents, consent_error, consents_of
from sottovoce.usecases.results import Results
from sottovoce.usecases.trail import Scribe, Trail
from sottovoce.usecases.vault import Sealed, Vault
from sottovoce.usecases.work_queue import WorkQueue
from sottovoce.voice import gate as quality_gate
from sottovoce.voice.bodies import findings_of
from sottovoce.voice.models.inference import infer

__all__ = [
    "Ask",
    "Consents",
    "MakeInsight",
    "OnGate",
    "OnInference",
    "ReadInto",
    "Record",
    "SealedArrival",
    "consent_error",
    "overtaken",
]

MakeInsight = Callable[[Extraction], Insight]


@dataclass(frozen=True, kw_only=True)
class Record:
    database: Database
    keyring: Keyring
    bodies: Blobs
    extractor: Extractor
    liveness: Liveness
    people: People
    vault: Vault
    trail: Trail
    discard: Discard
    make_insight: MakeInsight
    models: Callable[[str], tuple[ModelUse, ...]]  # what this home runs on features of a profile
    policy: Policy
    random_bytes: RandomBytes
    tenant: str

    # --- analyze ---------------------------------------------------------------------------------------

    def analyze(self, source: Source, ask: Ask, *, caller: Caller) -> Analysis:
        """Features and insight of a file, inline. The file itself is left in place unless `discard_source`.

        ConsentRequired, AudioRejected, ExtractionFailed, Conflict, StorageError, KeyUnavailable; whatever is
        raised, the recording has ended or is ended by the next open().
        """
        received, scribe = self._receive("analyze", ask, caller=caller)
        try:
            self._announce(received, ask)
            extraction = self.extractor.extract(
                Descriptor(source.fd), extract_options(received, self.policy, embedding=ask.embedding)
            )
            if ask.on_gate is not None:  # what it raises ends the recording, and nothing is kept
                ask.on_gate(quality_gate.findings_of(extraction.features, extraction.quality))
            insight = self.make_insight(extraction)
            findings = findings_of(extraction, insight)
            said = {
                use: infer(use, extraction.features, extraction.quality)
                for use in self._results.agreed_models(received)
            }
            made = self._results.seal(received, extraction, insight, said) if received.keep else None
            committed, sealed, told = self._commit(received, findings, made, tuple(said), scribe)
        except BaseException as error:
            self._failures.give_up(received, error, caller=caller)
            raise
        fate = _discard_source(source, committed)
        ended = self.discard.end(committed, scribe, source=fate)
        if ended.recording is None or ended.recording.state is not RecordingState.VERIFIED:
            raise overtaken(ended.recording)
        return analysis_of(
            ended.recording, ask, extraction, insight, audio=self.discard.audio_fate(ended),
            inferences=tuple(inference_view(said[use], sealed) for use in told), sealed=sealed,
        )  # fmt: skip

    # --- submit ----------------------------------------------------------------------------------------

    def submit(self, read_into: ReadInto, ask: Ask, *, caller: Caller) -> Submission:
        """Seal a recording piece by piece into the blob store, for a worker. Acknowledged when this returns."""
        return self._submit(ask, lambda received: self._body_store.put(received, read_into), caller=caller)

    def submit_sealed(self, arrival: SealedArrival, ask: Ask, *, caller: Caller) -> Submission:
        """Take a recording that a client has sealed as it is: its content key becomes the recording's key row, its body
        is stored behind the hash of its header, and nothing of it is opened here."""
        return self._submit(ask, lambda received: self._body_store.adopt(received, arrival), caller=caller)

    def _submit(self, ask: Ask, put: Callable[[Recording], int], *, caller: Caller) -> Submission:
        received, scribe = self._receive("submit", ask, caller=caller)
        if received.body_stored_at is not None:  # the retry of an acknowledged submission (F13)
            return submission_of(received, ask)
        try:
            size_bytes = put(received)
            stored = self._acknowledge(received, size_bytes, scribe)
        except BaseException as error:
            self._failures.give_up(received, error, caller=caller)
            if isinstance(error, Conflict) and error.reason == "blob_deleted":
                raise what_came_first(self.database, received) from None
            raise
        return submission_of(stored, ask)

    # --- worker ----------------------------------------------------------------------------------------

    def work_next(self, *, caller: Caller) -> WorkOutcome | None:
        """Claim one stored recording and bring it to its end; None when nothing waits."""
        taken = self._queue.claim_next(caller=caller)
        return None if taken is None else self._work(*taken, caller=caller)[0]

    def work_on(self, session_id: str, *, caller: Caller) -> tuple[WorkOutcome, SottovoceError | None] | None:
        """work_next() for one recording, with the error that ended the attempt; None where it is not to be claimed
        (another has it, or it has ended)."""
        taken = self._queue.claim(session_id, caller=caller)
        return None if taken is None else self._work(*taken, caller=caller)

    def _work(
        self, claimed: Recording, scribe: Scribe, *, caller: Caller
    ) -> tuple[WorkOutcome, SottovoceError | None]:
        problem: SottovoceError | None = None
        try:
            sealed = self._extract_body(claimed)
            self._commit(claimed, sealed.findings, sealed, sealed.uses, scribe)
        except SottovoceError as error:
            problem = error
            if is_transient(error):
                self._retry_later(claimed, error, scribe)
            else:
                self._failures.give_up(claimed, error, caller=caller)
        except BaseException as error:
            self._retry_later(claimed, error, scribe)
            raise
        ended = self.discard.settle(claimed.id, caller=caller, scribe=scribe).recording
        return work_outcome(ended or claimed, problem.public_code if problem else None), problem

    def _extract_body(self, claimed: Recording) -> Sealed:
        """Measured, told and sealed in processes that end with it: this one lives on, and sees no number (I1)."""
        places: list[Place] = []

        def make_places() -> Sequence[Place]:
            places.extend(self._results.places(claimed))
            return places

        try:
            with self._body_store.opened(claimed) as body:
                made = self.extractor.extract_sealed(body, extract_options(claimed, self.policy), make_places)
        except BaseException:
            self._results.forget(claimed, [place.key_id for place in places])
            raise
        return self.vault.rows(
            made, places, subject_id=claimed.subject_id, session_id=claimed.id, at=claimed.received_at
        )

    def _retry_later(self, claimed: Recording, error: BaseException, scribe: Scribe) -> None:
        """The child, a store or the worker itself failed: try again later, or give up after the last attempt."""
        if not self._queue.put_back(claimed, code_of(error), scribe):
            self._failures.give_up(claimed, error, caller=scribe.caller)

    def retry(self, session_id: str, *, caller: Caller) -> None:
        """Queue a held recording again. NotFound where none is held under that id."""
        self._queue.requeue(session_id, caller=caller)

    # --- the transactions that the shapes share --------------------------------------------------------

    def _receive(self, shape: Shape, ask: Ask, *, caller: Caller) -> tuple[Recording, Scribe]:
        """tx1: the promise to discard is committed before any audio is touched."""
        needed = purposes_of(shape, ask)
        with self.database.begin() as tx:
            person = self.people.find(tx, ask.subject)
            if person is None:
                raise consent_error(needed, ())
            locked(tx, person.id)
            scribe = self.trail.of(person.id, caller=caller)
            again = self._intake.taken_up(tx, shape, ask, person.id)
            if again is not None:
                return again, scribe
            consents = self._consents(tx, person.id)
            consents.check(needed)
            keep = consents.allow((RETENTION,))
            recording = self._intake.new_recording(tx, shape, ask, person.id, keep=keep)
            tx.recordings.add(recording)
            tx.jobs.put(Job("discard", recording.id, recording.discard_by))
            scribe.write(
                tx, "recording.received", purpose=VOICE_RECORDING,
                details={"session": recording.id, "shape": shape, "keep": recording.keep},
            )  # fmt: skip
        return recording, scribe

    def _acknowledge(self, received: Recording, size_bytes: int, scribe: Scribe) -> Recording:
        """tx1b: from here on the recording is accepted and a worker may claim it."""
        with self.database.begin() as tx:
            current = tx.recordings.get(received.id)
            stored = replace(released(received), body_stored_at=tx.now(), body_bytes=size_bytes)
            if current is None or tx.now() >= received.discard_by:
                raise Conflict("The recording was discarded before it was accepted.", reason="discarded")
            if not tx.recordings.swap(stored, expected=received):
                raise overtaken(current)
            tx.jobs.put(Job("extract", received.id, tx.now()))
            scribe.write(tx, "recording.stored", details={"session": received.id, "bytes": size_bytes})
        return stored

    def _commit(
        self, leased: Recording, findings: Findings, made: Sealed | None, ran: tuple[ModelUse, ...], scribe: Scribe
    ) -> tuple[Recording, Sealed | None, tuple[ModelUse, ...]]:  # fmt: skip
        """tx2: the result becomes durable together with COMMITTED, or nothing does. None: returned once, not kept. What
        a model said whose consent has gone meanwhile is dropped; last of all: those whose word may be told."""
        try:
            with self.database.begin() as tx:
                locked(tx, leased.subject_id)
                consents = self._consents(tx, leased.subject_id)
                consents.check(needed_at_commit(leased, findings))
                kept = made is not None and consents.allow((RETENTION,))
                committed = replace(leased.to(LifecycleEvent.COMMIT), committed_at=tx.now(), keep=kept)
                if tx.now() >= leased.discard_by or not tx.recordings.swap(committed, expected=leased):
                    raise overtaken(tx.recordings.get(leased.id))
                told = consents.agreed(ran)
                stored = made.without(_not_told(ran, told)) if made is not None and kept else None
                if stored is not None:
                    tx.records.add(stored.records, stored.decisions)
                discard_now(tx, leased.id)
                _write_commit(tx, scribe, committed, findings, told)
        except BaseException:
            if made is not None:
                self._results.forget(leased, made.key_ids)
            raise
        if made is not None:
            ids = stored.key_ids if stored else ()
            self.keyring.destroy([key_id for key_id in made.key_ids if key_id not in ids])
        return committed, stored, told

    # tx3 is the discard's own: `Discard.end`, and `Discard.settle` for a worker.

    # --- what others ask of it -------------------------------------------------------------------------

    def allows(self, ask: Ask) -> bool:
        """Whether `analyze` would be allowed today: consents given, nothing restricted."""
        with self.database.read() as tx:
            person = self.people.find(tx, ask.subject)
            return person is not None and self._consents(tx, person.id).allow(purposes_of("analyze", ask))

    def check_consents(self, tx: UnitOfWork, subject_id: str, purposes: Sequence[str]) -> None:
        """ConsentRequired or ReconsentRequired unless the person agrees to all of them and nothing is restricted."""
        self._consents(tx, subject_id).check(purposes)

    def same_request(self, tx: UnitOfWork, ask: Ask, subject_id: str) -> Recording | None:
        """The recording that was made under the same idempotency key, if any."""
        return self._intake.same_request(tx, ask, subject_id)

    def lease_ended(self, recording: Recording, now: datetime) -> bool:
        """Whether nobody works on a recording: its lease has run out, or its holder is known to have ended."""
        return self._leases.ended(recording, now)

    # --- its parts -------------------------------------------------------------------------------------

    def _announce(self, received: Recording, ask: Ask) -> None:
        """Which models will be run, told before the first frame is read (AI Act 50(3), C35a)."""
        if ask.on_inference is not None and (uses := self._results.agreed_models(received)):
            ask.on_inference(uses)

    def _consents(self, tx: UnitOfWork, subject_id: str) -> Consents:
        return consents_of(tx, subject_id, tenant=self.tenant)

    @cached_property
    def _leases(self) -> Leases:
        return Leases(liveness=self.liveness, length=self.policy.lease)

    @cached_property
    def _intake(self) -> Intake:
        return Intake(
            keyring=self.keyring, leases=self._leases, policy=self.policy, random_bytes=self.random_bytes,
            tenant=self.tenant,
        )  # fmt: skip

    @cached_property
    def _body_store(self) -> BodyStore:
        return BodyStore(
            keyring=self.keyring, bodies=self.bodies, discard=self.discard,
            limit_bytes=self.policy.max_body_bytes, tenant=self.tenant,
        )  # fmt: skip

    @cached_property
    def _queue(self) -> WorkQueue:
        return WorkQueue(
            database=self.database, leases=self._leases, trail=self.trail, policy=self.policy, tenant=self.tenant
        )  # fmt: skip

    @cached_property
    def _results(self) -> Results:
        return Results(
            database=self.database, keyring=self.keyring, vault=self.vault, models=self.models, tenant=self.tenant
        )  # fmt: skip

    @cached_property
    def _failures(self) -> Failures:
        return Failures(
            database=self.database, discard=self.discard, trail=self.trail, policy=self.policy, tenant=self.tenant
        )  # fmt: skip


def _discard_source(source: Source, committed: Recording) -> SourceFate:
    """After tx2, before tx3: the caller's file is given up only when its features are safe (X08)."""
    if not committed.discard_source:
        return "left_in_place"
    return "unlinked" if source.discard() else "unlink_not_confirmed"


def _not_told(ran: Sequence[ModelUse], told: Sequence[ModelUse]) -> set[str]:
    """Purposes of the models whose word may be neither kept nor told any more."""
    return {purpose_for(use.attribute) for use in ran if use not in told}


def _write_commit(
    tx: UnitOfWork, scribe: Scribe, committed: Recording, findings: Findings, told: Sequence[ModelUse]
) -> None:
    """The entries of tx2: what was made by which model, and each word of a model under its own purpose."""
    scribe.write(
        tx, "recording.committed", purpose=VOICE_ANALYSIS,
        details={
            "session": committed.id, "kept": committed.keep, "model": findings.insight_model,
            "model_sha256": findings.insight_sha256,
            "feature_sha256": findings.feature_sha256,
        },
    )  # fmt: skip
    for use in told:
        scribe.write(
            tx, "inference.made", purpose=purpose_for(use.attribute),
            details={"session": committed.id, "kept": committed.keep, "model_sha256": use.sha256},
        )  # fmt: skip
