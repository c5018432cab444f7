"""The one path that a recording takes, in its two shapes.

    analyze  inline: the sealed child reads a descriptor that was passed to it; no copy of the audio is ever made
    submit   a sealed body in the blob store, for a worker

    tx1   lock the subject, consent holds? Recording(RECEIVED, discard_by) + discard job + audit
          submit only: key row -> body put, fsynced -> tx1b (body_stored_at, extract job, audit): now acknowledged
    ->    sealed child -> insight -> keys of the records -> seal (submit: insight and sealing in a child too, I1)
    tx2   lock, lease still ours? consent still holds? sealed records + decision + COMMITTED + audit
    ->    destroy the recording's key -> delete the body -> look again
    tx3   VERIFIED + signed receipt + audit

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

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from sottovoce.errors import (
    Conflict,
    ConsentRequired,
    ExtractionFailed,
    KeyUnavailable,
    NotFound,
    ReconsentRequired,
    SottovoceError,
    StorageError,
    UsageError,
)
from sottovoce.model import consent as ledger
from sottovoce.model.features import Extraction, Insight
from sottovoce.model.findings import Findings
from sottovoce.model.ids import RandomBytes, check_id, new_id
from sottovoce.model.inference import Inference, InferenceView, ModelUse, purpose_for
from sottovoce.model.job import Job
from sottovoce.model.mark import Mark, forbidden, forbids
from sottovoce.model.outcome import Analysis, Retention, Submission, WorkOutcome
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import AUDIO_HOLD, EMBEDDING, RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import LifecycleEvent, Recording, RecordingState, Shape, SourceFate
from sottovoce.model.subject import Caller
from sottovoce.ports import (
    Blobs,
    Database,
    Descriptor,
    ExtractOptions,
    Extractor,
    Liveness,
    Place,
    SealedBody,
    Source,
    UnitOfWork,
)
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context
from sottovoce.sealing.pseudonym import idempotency_hash
from sottovoce.usecases.discard import Discard, Ended, body_path, discard_now, mark_failed
from sottovoce.usecases.keyring import Keyring, NewKey
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.trail import Scribe, Trail
from sottovoce.usecases.vault import Sealed, Vault
from sottovoce.voice import gate as quality_gate
from sottovoce.voice.bodies import findings_of
from sottovoce.voice.models.inference import infer

ReadInto = Callable[[memoryview], int]
OnGate = Callable[[tuple[quality_gate.Finding, ...]], None]
MakeInsight = Callable[[Extraction], Insight]
OnInference = Callable[[tuple[ModelUse, ...]], None]
_Made = TypeVar("_Made")

_NEEDED: tuple[str, ...] = (VOICE_RECORDING, VOICE_ANALYSIS)
_CLAIM_BATCH = 16
_PIECE_BYTES = 1 << 18
_KEPT = "kept by the person's consent to data_retention_30_days"
_RETURNED_ONCE = "returned once, no record is kept: the person has not consented to data_retention_30_days"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """How a recording is to be treated; everything that is not the audio itself."""

    subject: str  # the operator's own id of the person
    discard_source: bool = False
    idempotency_key: str | None = None
    channel: str = "0"
    accept_truncated: bool = False
    embedding: bool = False
    must_keep: bool = False  # refused where the person has not agreed that the result is kept
    on_gate: OnGate | None = None  # of analyze: told what the gate found, before anything is sealed
    # of analyze: told which models will be run, before the audio is read
    on_inference: OnInference | None = None


@dataclass(frozen=True, kw_only=True)
class SealedArrival:
    """A recording that a client has sealed, its content key opened and nothing else of it (M16)."""

    content_key: bytes = field(repr=False)
    suite: int
    client_hash: bytes  # SHA-256 of the header that it came with: what the body is bound to
    read_into: ReadInto = field(repr=False)  # the sealed body, from its first byte to its last


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
                Descriptor(source.fd), self._options(received, embedding=ask.embedding)
            )
            if ask.on_gate is not None:  # what it raises ends the recording, and nothing is kept
                ask.on_gate(quality_gate.findings_of(extraction.features, extraction.quality))
            insight = self.make_insight(extraction)
            findings = findings_of(extraction, insight)
            said = {
                use: infer(use, extraction.features, extraction.quality)
                for use in self._agreed_models(received)
            }
            made = self._sealed(received, extraction, insight, said) if received.keep else None
            committed, sealed, told = self._commit(received, findings, made, tuple(said), scribe)
        except BaseException as error:
            self._give_up(received, error, caller=caller)
            raise
        fate = self._discard_source(source, committed)
        ended = self.discard.end(committed, scribe, source=fate)
        inferences = tuple(_view(said[use], sealed) for use in told)
        return self._analysis(ended, ask, extraction, insight, inferences, sealed)

    # --- submit ----------------------------------------------------------------------------------------

    def submit(self, read_into: ReadInto, ask: Ask, *, caller: Caller) -> Submission:
        """Seal a recording piece by piece into the blob store, for a worker. Acknowledged when this returns."""
        return self._submit(ask, lambda received: self._put_body(received, read_into), caller=caller)

    def submit_sealed(self, arrival: SealedArrival, ask: Ask, *, caller: Caller) -> Submission:
        """Take a recording that a client has sealed as it is: its content key becomes the recording's key row, its body
        is stored behind the hash of its header, and nothing of it is opened here."""
        return self._submit(ask, lambda received: self._adopt_body(received, arrival), caller=caller)

    def _submit(self, ask: Ask, put: Callable[[Recording], int], *, caller: Caller) -> Submission:
        received, scribe = self._receive("submit", ask, caller=caller)
        if received.body_stored_at is not None:  # the retry of an acknowledged submission (F13)
            return _submission(received, ask)
        try:
            size_bytes = put(received)
            stored = self._acknowledge(received, size_bytes, scribe)
        except BaseException as error:
            self._give_up(received, error, caller=caller)
            if isinstance(error, Conflict) and error.reason == "blob_deleted":
                raise self._what_came_first(received) from None
            raise
        return _submission(stored, ask)

    def _put_body(self, received: Recording, read_into: ReadInto) -> int:
        """Key row, then body (file and folder fsynced); what an interrupted attempt left is removed first. The size
        of what is stored, in bytes of ciphertext."""
        self.discard.destroy(received.id)
        key = self.keyring.new_key(
            NewKey(key_id=received.id, kind="recording", key_class="audio", subject_id=received.subject_id)
        )
        sealed_bytes = 0
        with self.bodies.writer(body_path(received.id)) as writer:

            def write(piece: memoryview) -> None:
                nonlocal sealed_bytes
                writer.write(piece)
                sealed_bytes += len(piece)

            envelope.seal_stream(
                read_into, write, key=key, context=self._body_context(received),
                key_id=received.id, limit_bytes=self.policy.max_body_bytes,
            )  # fmt: skip
        return sealed_bytes

    def _adopt_body(self, received: Recording, arrival: SealedArrival) -> int:
        """As _put_body, of a body that came sealed: the sealed-key field of its header is stored nowhere."""
        self.discard.destroy(received.id)
        self.keyring.adopt_key(
            NewKey(key_id=received.id, kind="recording", key_class="audio", subject_id=received.subject_id),
            arrival.content_key,
        )
        header = envelope.make_client_header(
            received.id, suite=arrival.suite, client_hash=arrival.client_hash
        )
        sealed_bytes, piece = header.body_offset, bytearray(_PIECE_BYTES)
        with self.bodies.writer(body_path(received.id)) as writer:
            writer.write(header.to_bytes())
            while count := arrival.read_into(memoryview(piece)):
                writer.write(memoryview(piece)[:count])
                sealed_bytes += count
        return sealed_bytes

    def _what_came_first(self, received: Recording) -> SottovoceError:
        """Why the body was deleted under the hands of the one who wrote it."""
        with self.database.read() as tx:
            return overtaken(tx.recordings.get(received.id))

    def _acknowledge(self, received: Recording, size_bytes: int, scribe: Scribe) -> Recording:
        """tx1b: from here on the recording is accepted and a worker may claim it."""
        with self.database.begin() as tx:
            current = tx.recordings.get(received.id)
            stored = replace(
                received, body_stored_at=tx.now(), body_bytes=size_bytes, lease_owner=None, lease_until=None
            )
            if current is None or tx.now() >= received.discard_by:
                raise Conflict("The recording was discarded before it was accepted.", reason="discarded")
            if not tx.recordings.swap(stored, expected=received):
                raise overtaken(current)
            tx.jobs.put(Job("extract", received.id, tx.now()))
            scribe.write(tx, "recording.stored", details={"session": received.id, "bytes": size_bytes})
        return stored

    # --- worker ----------------------------------------------------------------------------------------

    def work_next(self, *, caller: Caller) -> WorkOutcome | None:
        """Claim one stored recording and bring it to its end; None when nothing waits."""
        taken = self._claim(caller=caller)
        return None if taken is None else self._work(*taken, caller=caller)[0]

    def work_on(self, session_id: str, *, caller: Caller) -> tuple[WorkOutcome, SottovoceError | None] | None:
        """work_next() for one recording, with the error that ended the attempt; None where it is not to be claimed
        (another has it, or it has ended)."""
        with self.database.begin() as tx:
            recording = tx.recordings.get(session_id)
            if recording is None or not self._may_claim(recording, tx.now()):
                return None
            taken = self._claim_one(tx, recording, caller=caller)
        return None if taken is None else self._work(*taken, caller=caller)

    def _work(
        self, claimed: Recording, scribe: Scribe, *, caller: Caller
    ) -> tuple[WorkOutcome, SottovoceError | None]:
        failed: str | None = None
        problem: SottovoceError | None = None
        try:
            sealed = self._extract_body(claimed)
            self._commit(claimed, sealed.findings, sealed, sealed.uses, scribe)
        except SottovoceError as error:
            failed, problem = error.public_code, error
            if _may_pass(error):
                self._retry_later(claimed, error, scribe)
            else:
                self._give_up(claimed, error, caller=caller)
        except BaseException as error:
            self._retry_later(claimed, error, scribe)
            raise
        ended = self._settled(claimed, caller=caller, scribe=scribe)
        outcome = WorkOutcome(
            ended.id, ended.state, ended.failure or failed, ended.attempts, ended.receipt_id
        )
        return outcome, problem

    def retry(self, session_id: str, *, caller: Caller) -> None:
        """Queue a held recording again. NotFound where none is held under that id."""
        check_id(session_id, "session")
        with self.database.begin() as tx:
            held = tx.recordings.get(session_id)
            if held is None or held.state is not RecordingState.HELD or held.failure is not None:
                raise NotFound("No recording is held under this id.")
            locked(tx, held.subject_id)
            self._consents(tx, held.subject_id).check((*_NEEDED, RETENTION, AUDIO_HOLD))
            again = replace(held.to(LifecycleEvent.RETRY), attempts=0)
            if not tx.recordings.swap(again, expected=held):
                raise overtaken(held)
            tx.jobs.put(Job("extract", session_id, tx.now()))
            self.trail.of(held.subject_id, caller=caller).write(
                tx, "recording.retried", details={"session": session_id}
            )

    def lease_ended(self, recording: Recording, now: datetime) -> bool:
        """Whether nobody works on a recording: its lease has run out, or its holder is known to have ended."""
        if recording.lease_owner is None or recording.lease_until is None:
            return True
        return recording.lease_until <= now or not self.liveness.alive(recording.lease_owner)

    def _claim(self, *, caller: Caller) -> tuple[Recording, Scribe] | None:
        with self.database.begin() as tx:
            for job in tx.jobs.due("extract", at=tx.now(), limit=_CLAIM_BATCH):
                recording = tx.recordings.get(job.ref)
                if recording is None or not recording.claimable:
                    tx.jobs.done("extract", job.ref)
                elif self._may_claim(recording, tx.now()):
                    claimed = self._claim_one(tx, recording, caller=caller)
                    if claimed is not None:
                        return claimed
        return None

    def _may_claim(self, recording: Recording, now: datetime) -> bool:
        return recording.claimable and now < recording.discard_by and self.lease_ended(recording, now)

    def _claim_one(
        self, tx: UnitOfWork, recording: Recording, *, caller: Caller
    ) -> tuple[Recording, Scribe] | None:
        """Lease and count the attempt, or write down why not."""
        if recording.attempts >= self.policy.max_attempts:
            mark_failed(tx, recording, "attempts_exhausted")
            return None
        if not self._consents(tx, recording.subject_id).allow((*_NEEDED, RETENTION)):
            mark_failed(tx, recording, ConsentRequired.code)
            return None
        claimed = replace(
            recording, attempts=recording.attempts + 1, lease_owner=self.liveness.owner(),
            lease_until=tx.now() + self.policy.lease,
        )  # fmt: skip
        if not tx.recordings.swap(claimed, expected=recording):
            return None
        scribe = self.trail.of(recording.subject_id, caller=caller)
        scribe.write(tx, "recording.claimed", details={"session": recording.id, "attempt": claimed.attempts})
        return claimed, scribe

    def _extract_body(self, claimed: Recording) -> Sealed:
        """Measured, told and sealed in processes that end with it: this one lives on, and sees no number (I1)."""
        key = self.keyring.open_key(claimed.id)
        places: list[Place] = []

        def make_places() -> Sequence[Place]:
            uses = self._agreed_models(claimed)
            made = self._before_erasure(claimed, lambda: self.vault.places(claimed.subject_id, uses=uses))
            places.extend(made)
            return places

        try:
            with self.bodies.reader(body_path(claimed.id)) as fd:
                header = envelope.parse_header(os.pread(fd, envelope.HEADER_MAX_BYTES, 0))
                body = SealedBody(
                    fd=fd, key=key, context=header.body_context(self._body_context(claimed)),
                    body_offset=header.body_offset, suite=header.suite,
                )  # fmt: skip
                made = self.extractor.extract_sealed(body, self._options(claimed), make_places)
        except BaseException:
            self._forget_unless_committed(claimed, [place.key_id for place in places])
            raise
        return self.vault.rows(
            made, places, subject_id=claimed.subject_id, session_id=claimed.id, at=claimed.received_at
        )

    def _retry_later(self, claimed: Recording, error: BaseException, scribe: Scribe) -> None:
        """The child, a store or the worker itself failed: try again later, or give up after the last attempt."""
        if claimed.attempts >= self.policy.max_attempts:
            self._give_up(claimed, error, caller=scribe.caller)
            return
        with self.database.begin() as tx:
            released = replace(claimed, lease_owner=None, lease_until=None)
            if tx.recordings.swap(released, expected=claimed):
                tx.jobs.put(Job("extract", claimed.id, tx.now() + self.policy.retry_after))
                scribe.write(
                    tx, "recording.attempt_failed", outcome=_code_of(error),
                    details={"session": claimed.id, "attempt": claimed.attempts},
                )  # fmt: skip

    # --- the transactions that both shapes share -------------------------------------------------------

    def _receive(self, shape: Shape, ask: Ask, *, caller: Caller) -> tuple[Recording, Scribe]:
        """tx1: the promise to discard is committed before any audio is touched."""
        needed = _purposes(shape, ask)
        with self.database.begin() as tx:
            person = self.people.find(tx, ask.subject)
            if person is None:
                raise consent_error(needed, ())
            locked(tx, person.id)
            scribe = self.trail.of(person.id, caller=caller)
            again = self._retried(tx, shape, ask, person.id)
            if again is not None:
                return again, scribe
            consents = self._consents(tx, person.id)
            consents.check(needed)
            recording = self._new_recording(tx, shape, ask, person.id, keep=consents.allow((RETENTION,)))
            tx.recordings.add(recording)
            tx.jobs.put(Job("discard", recording.id, recording.discard_by))
            scribe.write(
                tx, "recording.received", purpose=VOICE_RECORDING,
                details={"session": recording.id, "shape": shape, "keep": recording.keep},
            )  # fmt: skip
        return recording, scribe

    def _new_recording(
        self, tx: UnitOfWork, shape: Shape, ask: Ask, subject_id: str, *, keep: bool
    ) -> Recording:
        now = tx.now()
        inline = shape == "analyze"
        lifetime = self.policy.discard_by_inline if inline else self.policy.discard_by_queued
        return Recording(
            id=new_id("session", self.random_bytes), tenant=self.tenant, subject_id=subject_id, shape=shape,
            state=RecordingState.RECEIVED, received_at=now, discard_by=now + lifetime,
            keep=keep, discard_source=ask.discard_source,
            profile=self.policy.profile, channel=ask.channel, accept_truncated=ask.accept_truncated,
            idempotency=self._idempotency(ask), lease_owner=self.liveness.owner(),
            lease_until=now + self.policy.lease, attempts=1 if inline else 0,
        )  # fmt: skip

    def _retried(self, tx: UnitOfWork, shape: Shape, ask: Ask, subject_id: str) -> Recording | None:
        """The recording that the same idempotency key has made already: taken up where it was left, or refused."""
        before = self.same_request(tx, ask, subject_id)
        if before is None:
            return None
        if before.shape != shape:
            raise Conflict("This idempotency key belongs to another kind of request.", reason="idempotency")
        if before.state is RecordingState.FAILED_SHREDDED and tx.recordings.swap(
            replace(before, idempotency=None), expected=before
        ):
            return None  # it ended without a result: the key is given to a new attempt
        if (
            shape == "submit"
            and before.failure is None
            and (before.body_stored_at is not None or before.state is not RecordingState.RECEIVED)
        ):
            return before
        if shape == "submit" and before.failure is None and self.lease_ended(before, tx.now()):
            mine = replace(
                before, lease_owner=self.liveness.owner(), lease_until=tx.now() + self.policy.lease
            )
            if tx.recordings.swap(mine, expected=before):
                return mine
        if before.state in (RecordingState.VERIFIED, RecordingState.COMMITTED):
            raise Conflict(
                "This request was answered already.",
                hint=f"Its session is {before.id}: see `sottovoce sessions` and `sottovoce show`.",
                reason="already_answered",
            )
        raise Conflict(
            "The same request is being worked on.", hint="Try again shortly.", reason="in_progress"
        )

    def allows(self, ask: Ask) -> bool:
        """Whether `analyze` would be allowed today: consents given, nothing restricted."""
        with self.database.read() as tx:
            person = self.people.find(tx, ask.subject)
            return person is not None and self._consents(tx, person.id).allow(_purposes("analyze", ask))

    def check_consents(self, tx: UnitOfWork, subject_id: str, purposes: Sequence[str]) -> None:
        """ConsentRequired or ReconsentRequired unless the person agrees to all of them and nothing is restricted."""
        self._consents(tx, subject_id).check(purposes)

    def same_request(self, tx: UnitOfWork, ask: Ask, subject_id: str) -> Recording | None:
        """The recording that was made under the same idempotency key, if any."""
        hashed = self._idempotency(ask)
        return tx.recordings.by_idempotency(self.tenant, subject_id, hashed) if hashed else None

    def _announce(self, received: Recording, ask: Ask) -> None:
        """Which models will be run, told before the first frame is read (AI Act 50(3), C35a)."""
        if ask.on_inference is not None and (uses := self._agreed_models(received)):
            ask.on_inference(uses)

    def _agreed_models(self, recording: Recording) -> tuple[ModelUse, ...]:
        """The models that may be run on this recording now: set here, and agreed to by the person."""
        enabled = self.models(recording.profile)
        if not enabled:
            return ()
        with self.database.read() as tx:
            return self._consents(tx, recording.subject_id).agreed(enabled)

    def _commit(
        self, leased: Recording, findings: Findings, sealed: Sealed | None, ran: tuple[ModelUse, ...], scribe: Scribe
    ) -> tuple[Recording, Sealed | None, tuple[ModelUse, ...]]:  # fmt: skip
        """tx2: the result becomes durable together with COMMITTED, or nothing does. None: returned once, not kept. What
        a model said whose consent has gone meanwhile is dropped; last of all: those whose word may be told."""
        made = sealed
        try:
            with self.database.begin() as tx:
                locked(tx, leased.subject_id)
                consents = self._consents(tx, leased.subject_id)
                consents.check(_needed_at_commit(leased, findings))
                kept = sealed is not None and consents.allow((RETENTION,))
                committed = replace(leased.to(LifecycleEvent.COMMIT), committed_at=tx.now(), keep=kept)
                if tx.now() >= leased.discard_by or not tx.recordings.swap(committed, expected=leased):
                    raise overtaken(tx.recordings.get(leased.id))
                told = consents.agreed(ran)
                if sealed is not None:
                    sealed = sealed.without({purpose_for(use.attribute) for use in ran if use not in told})
                if kept and sealed is not None:
                    tx.records.add(sealed.records, sealed.decisions)
                discard_now(tx, leased.id)
                scribe.write(
                    tx, "recording.committed", purpose=VOICE_ANALYSIS,
                    details={
                        "session": leased.id, "kept": kept, "model": findings.insight_model,
                        "model_sha256": findings.insight_sha256,
                        "feature_sha256": findings.feature_sha256,
                    },
                )  # fmt: skip
                for use in told:
                    scribe.write(
                        tx, "inference.made", purpose=purpose_for(use.attribute),
                        details={"session": leased.id, "kept": kept, "model_sha256": use.sha256},
                    )  # fmt: skip
        except BaseException:
            if made is not None:
                self._forget_unless_committed(leased, made.key_ids)
            raise
        stored = sealed if kept else None
        if made is not None:
            ids = stored.key_ids if stored else ()
            self.keyring.destroy([key_id for key_id in made.key_ids if key_id not in ids])
        return committed, stored, told

    def _forget_unless_committed(self, leased: Recording, key_ids: Sequence[str]) -> None:
        """Key rows without data go at once; where even that cannot be asked, the collector takes them later."""
        if not key_ids:
            return
        try:
            with self.database.read() as tx:
                committed = bool(tx.records.of_session(leased.id))  # the commit's answer may have been lost
            if not committed:
                self.keyring.destroy(list(key_ids))
        except SottovoceError:
            return

    def _sealed(
        self, leased: Recording, extraction: Extraction, insight: Insight, said: dict[ModelUse, Inference]
    ) -> Sealed:
        """The promise counts from when the recording was received: never later than from now."""
        return self._before_erasure(
            leased,
            lambda: self.vault.seal(
                extraction,
                insight,
                subject_id=leased.subject_id,
                session_id=leased.id,
                at=leased.received_at,
                said=said,
            ),
        )

    def _before_erasure(self, leased: Recording, make: Callable[[], _Made]) -> _Made:
        """What needs keys of the person; a Conflict that says so where the person was erased meanwhile."""
        try:
            return make()
        except KeyUnavailable as error:
            if error.reason != "key_destroyed":
                raise
            with self.database.read() as tx:
                current = tx.recordings.get(leased.id)
            raise overtaken(current) from None

    def _give_up(self, recording: Recording, error: BaseException, *, caller: Caller) -> None:
        """Any failure: hold or shred, and the discard at once. A failure of this itself is left to the sweeper,
        so that the caller learns the first cause."""
        code = _code_of(error)
        try:
            if not self._held(recording, code, caller=caller):
                self.discard.fail(recording.id, code, caller=caller)
                self.discard.settle(recording.id, caller=caller)
        except SottovoceError:
            return

    def _held(self, recording: Recording, code: str, *, caller: Caller) -> bool:
        """Policy `hold`, and the person's own consent to it: a stored body waits, sealed, for a retry. Never against a
        withdrawal or a broken body, and never longer than promised first (M36)."""
        refused = code in (ConsentRequired.code, ReconsentRequired.code, "integrity", "subject_erasing")
        if self.policy.on_failure != "hold" or recording.body_stored_at is None or refused:
            return False
        with self.database.begin() as tx:
            current = tx.recordings.get(recording.id)
            if current is None or not current.claimable:
                return False
            tx.subjects.lock(recording.subject_id)
            until = self.policy.held_until(current.received_at, current.hold_until)
            allowed = self._consents(tx, recording.subject_id).allow((AUDIO_HOLD,))
            if not allowed or until is None or until <= tx.now():
                return False
            held = replace(current.to(LifecycleEvent.HOLD), hold_until=until, discard_by=until)
            if not tx.recordings.swap(held, expected=current):
                return False
            tx.jobs.done("extract", recording.id)
            tx.jobs.put(Job("discard", recording.id, until))
            self.trail.of(recording.subject_id, caller=caller).write(
                tx, "recording.held", outcome=code, details={"session": recording.id}
            )
        return True

    # --- small things ----------------------------------------------------------------------------------

    def _consents(self, tx: UnitOfWork, subject_id: str) -> Consents:
        return Consents(
            ledger.fold(tx.consents.of_subject(subject_id)), tx.consents.material(self.tenant),
            tx.marks.of_subject(subject_id),
        )  # fmt: skip

    def _options(self, recording: Recording, *, embedding: bool = False) -> ExtractOptions:
        if embedding and self.policy.embedding_model is None:
            raise UsageError(
                "No embedding model is set.",
                hint="Name the folder of a wav2vec2 model in the setting `embedding_model`.",
                reason="embedding_model",
            )
        return ExtractOptions(
            profile=recording.profile, max_analysed_s=self.policy.max_analysed_s, channel=recording.channel,
            accept_truncated=recording.accept_truncated, max_body_bytes=self.policy.max_body_bytes,
            embedding_model=self.policy.embedding_model if embedding else None,
            wall_limit_s=self.policy.wall_limit_s,
        )  # fmt: skip

    def _idempotency(self, ask: Ask) -> str | None:
        if ask.idempotency_key is None:
            return None
        return idempotency_hash(
            self.keyring.tenant_key("blind_index"), scope=ask.subject, idempotency_key=ask.idempotency_key
        )

    def _body_context(self, recording: Recording) -> bytes:
        return encode_context(
            tenant=self.tenant, subject=recording.subject_id, record=recording.id, kind="audio", version="1"
        )

    def _discard_source(self, source: Source, recording: Recording) -> SourceFate:
        if not recording.discard_source:
            return "left_in_place"
        return "unlinked" if source.discard() else "unlink_not_confirmed"

    def _settled(self, claimed: Recording, *, caller: Caller, scribe: Scribe) -> Recording:
        ended = self.discard.settle(claimed.id, caller=caller, scribe=scribe)
        return ended.recording if ended.recording is not None else claimed

    def _analysis(
        self,
        ended: Ended,
        ask: Ask,
        extraction: Extraction,
        insight: Insight,
        inferences: tuple[InferenceView, ...],
        sealed: Sealed | None,
    ) -> Analysis:
        if ended.recording is None or ended.recording.state is not RecordingState.VERIFIED:
            raise overtaken(ended.recording)
        return Analysis(
            session_id=ended.recording.id, subject=ask.subject, features=extraction.features,
            quality=extraction.quality, insight=insight, audio=self.discard.audio_fate(ended),
            retention=Retention(
                kept=sealed is not None, expires_at=sealed.expires_at if sealed else None,
                basis=_KEPT if sealed else _RETURNED_ONCE,
            ),
            has_embedding=extraction.embedding is not None, inferences=inferences,
        )  # fmt: skip


@dataclass(frozen=True)
class Consents:
    """What a person's consents allow in this transaction."""

    states: dict[str, ledger.PurposeConsent]
    material: dict[str, int]
    marks: tuple[Mark, ...] = ()

    def allow(self, purposes: Sequence[str]) -> bool:
        if forbids(self.marks, purposes) is not None:
            return False
        return ledger.decide(self.states, purposes, material=self.material).allowed

    def agreed(self, uses: Sequence[ModelUse]) -> tuple[ModelUse, ...]:
        """Those of the models whose purpose is granted: each attribute is a purpose of its own (BP4)."""
        return tuple(use for use in uses if self.allow((purpose_for(use.attribute),)))

    def check(self, purposes: Sequence[str]) -> None:
        """ConsentRequired or ReconsentRequired where they are not all granted, or the person's data is restricted."""
        mark = forbids(self.marks, purposes)
        if mark is not None:
            raise forbidden(mark)
        decision = ledger.decide(self.states, purposes, material=self.material)
        if not decision.allowed:
            raise consent_error(decision.missing, decision.outdated)


def _view(said: Inference, sealed: Sealed | None) -> InferenceView:
    """What a model said, with the decision that holds it where it is kept."""
    purpose = purpose_for(said.attribute)
    held = next((one for one in sealed.decisions if one.purpose == purpose), None) if sealed else None
    if held is None:
        return InferenceView(None, purpose, said, None, None)
    return InferenceView(held.id, purpose, said, held.at, held.expires_at)


def _needed_at_commit(leased: Recording, findings: Findings) -> tuple[str, ...]:
    needed = _NEEDED
    if leased.shape == "submit" or leased.discard_source:
        needed = (*needed, RETENTION)
    return (*needed, EMBEDDING) if findings.embedding_sha256 is not None else needed


def _purposes(shape: Shape, ask: Ask) -> tuple[str, ...]:
    purposes: tuple[str, ...] = _NEEDED
    if shape == "submit" or ask.discard_source or ask.must_keep:
        purposes = (*purposes, RETENTION)  # nothing else would be left if the result could not be kept
    return (*purposes, EMBEDDING) if ask.embedding else purposes


def _submission(recording: Recording, ask: Ask) -> Submission:
    return Submission(
        session_id=recording.id, subject=ask.subject, state=recording.state,
        body_bytes=recording.body_bytes, discard_by=recording.discard_by, source="left_in_place",
    )  # fmt: skip


def _code_of(error: BaseException) -> str:
    return error.public_code if isinstance(error, SottovoceError) else "interrupted"


def _may_pass(error: SottovoceError) -> bool:
    """Whether the same recording may succeed later: what is wrong is not the recording (F12, F16)."""
    if isinstance(error, KeyUnavailable):
        return error.reason != "key_destroyed"
    return isinstance(error, (ExtractionFailed, StorageError))


def consent_error(missing: Sequence[str], outdated: Sequence[str]) -> ConsentRequired:
    if missing:
        return ConsentRequired(
            f"The person has not consented to: {', '.join(missing)}.",
            hint="Record it with `sottovoce consent grant --subject ID --purpose " + " ".join(missing) + "`.",
        )
    return ReconsentRequired(
        f"The notice has changed materially since the person consented to: {', '.join(outdated)}."
    )


def overtaken(current: Recording | None) -> SottovoceError:
    """Why a compare-and-swap failed, in the words of what came first."""
    if current is None or current.erase_request_id is not None:
        return Conflict("The person is being erased; the result was not kept.", reason="subject_erasing")
    if current.failure == ConsentRequired.code:
        return ConsentRequired("Consent was withdrawn while the recording was worked on; nothing was kept.")
    return Conflict("The recording was ended by somebody else meanwhile.", reason="overtaken")
