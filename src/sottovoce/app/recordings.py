"""The verbs that take recordings in: inline, for a worker, of a corpus, and sealed to a key of this home."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sottovoce.app.hall import LIBRARY, Hall
from sottovoce.app.offline import write_in_clear
from sottovoce.errors import ConfigurationError
from sottovoce.model.corpus import Corpus, IngestOutcome
from sottovoce.model.outcome import Analysis, Submission, WorkOutcome
from sottovoce.model.sealed_file import SUFFIX as SEALED_SUFFIX
from sottovoce.model.sealed_file import OpenedFile
from sottovoce.model.subject import Caller
from sottovoce.usecases import arrivals as sealed_arrivals
from sottovoce.usecases.recipient_keys import GRACE_DAYS, RecipientKey
from sottovoce.usecases.record import Ask, OnGate, OnInference


class RecordingVerbs(Hall):
    """From the arrival of a recording to its discard."""

    def analyze(
        self, path: str | os.PathLike[str], *, subject: str, discard_source: bool = False,
        idempotency_key: str | None = None, channel: str = "0", accept_truncated: bool = False,
        embedding: bool = False, on_gate: OnGate | None = None, on_inference: OnInference | None = None,
        caller: Caller = LIBRARY,
    ) -> Analysis:  # fmt: skip
        """88 features and the voice profile of a recording, inline; no copy of the audio is made.

        The first 30 s are analysed (setting `max_analysed_s`), as mono 16 kHz. Needs the person's consent to
        voice_recording and voice_analysis; without data_retention_30_days the result is returned once and not
        kept. `on_gate` is called with what the gate found (silence, clipping, noise, music, ...; often nothing)
        before anything is sealed: what it raises ends the recording, and nothing is kept. `on_inference` is called
        with the models that will be run (setting `infer`, and the person's consent to each) before the audio is read.
        ConsentRequired, AudioRejected, InputUnreadable, ExtractionFailed, StorageError, KeyUnavailable.
        """
        from sottovoce.adapters.source_file import open_source

        self._check_swap()
        self._check_models()
        ask = Ask(
            subject=subject, discard_source=discard_source, idempotency_key=idempotency_key, channel=channel,
            accept_truncated=accept_truncated, embedding=embedding, on_gate=on_gate, on_inference=on_inference,
        )  # fmt: skip
        with open_source(Path(path)) as source:
            return self._verb(lambda: self._record.analyze(source, ask, caller=caller))

    def submit(
        self, path: str | os.PathLike[str], *, subject: str,
        idempotency_key: str | None = None, channel: str = "0", accept_truncated: bool = False,
        caller: Caller = LIBRARY,
    ) -> Submission:  # fmt: skip
        """Seal a recording for a worker, piece by piece. Needs data_retention_30_days as well; when it returns,
        the sealed body is durable. The source file is left in place: until a worker has a result, it may be the
        only copy. Errors as of `analyze`, but for those of the audio itself."""
        from sottovoce.adapters.source_file import open_source

        self._check_swap()
        self._check_models()
        ask = Ask(
            subject=subject, idempotency_key=idempotency_key, channel=channel,
            accept_truncated=accept_truncated,
        )  # fmt: skip
        with open_source(Path(path)) as source:
            return self._verb(lambda: self._record.submit(source.read_into, ask, caller=caller))

    def work_next(self, *, caller: Caller = LIBRARY) -> WorkOutcome | None:
        """Bring one submitted recording to its end; None when nothing waits."""
        self._check_swap()
        self._check_models()
        return self._verb(lambda: self._record.work_next(caller=caller))

    def retry(self, session_id: str, *, caller: Caller = LIBRARY) -> None:
        """Queue a held recording again."""
        self._verb(lambda: self._record.retry(session_id, caller=caller))

    def ingest_file(
        self, path: str | os.PathLike[str], *, subject: str, discard_source: bool = False,
        channel: str = "0", accept_truncated: bool = False, caller: Caller = LIBRARY,
    ) -> IngestOutcome:  # fmt: skip
        """Take in one recording of a corpus exactly once: the same content of the same person is not analysed again,
        however often this is called, and what was refused for what it is stays refused. Errors as of `analyze`.

        A recording that was sealed to a recipient key of this home is known by its envelope id; `subject` may be "" for
        it: then its own note says who speaks. IntegrityError, KeyUnavailable where it is not what was sealed to us."""
        from sottovoce.adapters.source_file import open_source

        self._check_swap()
        self._check_models()
        ask = Ask(
            subject=subject, discard_source=discard_source, channel=channel, accept_truncated=accept_truncated
        )
        with open_source(Path(path)) as source:
            if Path(path).suffix == SEALED_SUFFIX or sealed_arrivals.is_sealed(source):
                return self._verb(lambda: self._ingest.take_sealed(source, ask, caller=caller))
            return self._verb(lambda: self._ingest.take(source, ask, caller=caller))

    def name_sealed(self, folder: str | os.PathLike[str], corpus: Corpus) -> Corpus:
        """The corpus with the speakers of its sealed recordings, from their notes; what was not sealed to this home, is
        not whole, or is there twice, is set aside. Nothing of a recording is opened."""
        from sottovoce.adapters.source_file import open_source

        return self._arrivals.name(corpus, lambda path: open_source(Path(folder, path)))

    def unwilling(self, subjects: Iterable[str]) -> frozenset[str]:
        """The people of whom `ingest_file` would take nothing in today: they have not consented to all that is needed
        (voice_recording, voice_analysis, data_retention_30_days), or their data is restricted."""
        return self._verb(lambda: self._ingest.unwilling(subjects))

    # --- sealed to a key of this home ------------------------------------------------------------------

    def create_recipient_key(
        self, *, name: str | None = None, suite: str = "xwing", caller: Caller = LIBRARY
    ) -> RecipientKey:
        """A new key that others can seal recordings to; the public file to hand out is in the answer. UsageError."""
        return self._verb(lambda: self._recipient_keys.create(name=name, suite=suite, caller=caller))

    def recipient_keys(self) -> tuple[RecipientKey, ...]:
        """Every recipient key there is or was."""
        return self._recipient_keys.list()

    def recipient_key(self, key_id: str) -> RecipientKey:
        """One of them, by its id or the beginning of it. NotFound, UsageError."""
        return self._recipient_keys.show(key_id)

    def retire_recipient_key(
        self, key_id: str, *, grace_days: int = GRACE_DAYS, caller: Caller = LIBRARY
    ) -> RecipientKey:
        """Destroy the private half after so many days: what was sealed to it and is not taken in by then is lost.
        NotFound, UsageError."""
        return self._verb(lambda: self._recipient_keys.retire(key_id, grace_days=grace_days, caller=caller))

    def open_sealed_file(
        self, path: str | os.PathLike[str], *, out: str | os.PathLike[str], subject: str | None = None,
        caller: Caller = LIBRARY,
    ) -> OpenedFile:  # fmt: skip
        """Open a sealed recording with this home's recipient key into a new file in the folder `out`: audio in clear,
        for who has to hear it. The person has to be known here and to agree to recordings; it is written to the audit
        log first. ConsentRequired, NotFound, IntegrityError, KeyUnavailable; UsageError (also where the file exists)
        and StorageError."""
        from sottovoce.adapters.source_file import open_source

        with open_source(Path(path)) as source:

            def work() -> OpenedFile:
                arrived = self._arrivals.open_in_clear(source, subject=subject, caller=caller)
                return write_in_clear(arrived, source, Path(out))

            return self._verb(work)

    # --- before audio is touched -----------------------------------------------------------------------

    def _check_swap(self) -> None:
        if not self._policy.refuse_swap:
            return
        from sottovoce.adapters.host_linux import active_swaps

        if active_swaps():
            raise ConfigurationError(
                "Unencrypted swap is active, and the policy refuses to handle audio beside it.",
                hint="Turn swap off, encrypt it, or set refuse_swap to false.",
                reason="swap_active",
            )

    def _check_models(self) -> None:
        """What is set to be run can be run, before a recording is touched; rights do not depend on it."""
        self._registry.uses(self._policy.profile)
