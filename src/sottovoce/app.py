"""The fuse box: settings in, a Platform out. The only place that knows which adapter stands behind which port.

with sottovoce.open("sqlite:///voices/sottovoce.db") as platform:
    platform.grant(subject="anna", purposes=["voice_recording", "voice_analysis"])
    print(platform.analyze("anna.wav", subject="anna").insight)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from sottovoce import settings as configuration
from sottovoce.app_offline import IDENTITY_NAME as IDENTITY_NAME
from sottovoce.app_offline import Desk as Desk
from sottovoce.app_offline import contractor_prefix as contractor_prefix
from sottovoce.app_offline import new_recipient as new_recipient
from sottovoce.app_offline import open_sealed as open_sealed
from sottovoce.app_offline import open_sealed_file as open_sealed_file
from sottovoce.app_offline import outside_checkpoints as outside_checkpoints
from sottovoce.app_offline import pinned_document as pinned_document
from sottovoce.app_offline import read_corpus as read_corpus
from sottovoce.app_offline import read_to_seal as read_to_seal
from sottovoce.app_offline import seal_file as seal_file
from sottovoce.app_offline import sealing_desk as sealing_desk
from sottovoce.app_offline import shipped_model as shipped_model
from sottovoce.app_offline import verify_archive as verify_archive
from sottovoce.app_offline import verify_model as verify_model
from sottovoce.app_offline import verify_package as verify_package
from sottovoce.app_offline import verify_proof as verify_proof
from sottovoce.app_offline import verify_receipt as verify_receipt
from sottovoce.app_offline import write_in_clear as write_in_clear
from sottovoce.audit import checkpoint
from sottovoce.errors import (
    ConfigurationError,
    KeyUnavailable,
    NotFound,
    SottovoceError,
    StorageError,
    UsageError,
)
from sottovoce.model.backup import MadeBackup
from sottovoce.model.consent import ConsentAction, PurposeConsent
from sottovoce.model.corpus import Corpus, FootprintRow, IngestOutcome
from sottovoce.model.deadlines import Deadline, parse_deadlines
from sottovoce.model.inference import ModelUse
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.lineage import Departure, RoundView, TrainingRound
from sottovoce.model.mark import MarkKind
from sottovoce.model.outcome import (
    Analysis,
    ArchiveOutcome,
    AuditLine,
    AuditProof,
    AuditReport,
    AuditSummary,
    Check,
    ConsentOutcome,
    ErasureOutcome,
    ExportOutcome,
    KeysStatus,
    RotationReport,
    SessionContent,
    SessionView,
    Submission,
    SweepReport,
    WorkOutcome,
)
from sottovoce.model.recipient import KnownAs, recipient_kind
from sottovoce.model.request import CaseKind
from sottovoce.model.retention import PlannedChange, RetentionPolicy, ScheduleRow
from sottovoce.model.sealed_file import SUFFIX as SEALED_SUFFIX
from sottovoce.model.sealed_file import OpenedFile
from sottovoce.model.subject import Caller
from sottovoce.ports import (
    Blobs,
    Clock,
    Database,
    Entropy,
    Extractor,
    Keys,
    KeyStore,
    Liveness,
    Models,
    Tombstones,
    Witness,
)
from sottovoce.sealing import receipt as receipts
from sottovoce.sealing import recipients
from sottovoce.settings import Settings
from sottovoce.usecases import arrivals as sealed_arrivals
from sottovoce.usecases import restoring
from sottovoce.usecases.access_log import AccessEntry, AccessLog, FactsCard, MarkView
from sottovoce.usecases.archiving import Archiving
from sottovoce.usecases.arrivals import Arrivals
from sottovoce.usecases.backup import Backups
from sottovoce.usecases.backup import Stores as BackupStores
from sottovoce.usecases.cases import Asked, Cases, CaseView
from sottovoce.usecases.clock_watch import ClockWatch
from sottovoce.usecases.consent import Consent, Notice, Statement
from sottovoce.usecases.discard import Discard
from sottovoce.usecases.disclosure import Disclosure
from sottovoce.usecases.doctor import Doctor, Host
from sottovoce.usecases.export import Exports
from sottovoce.usecases.feed import Feed, FeedPage, FeedStatus
from sottovoce.usecases.fsck import Fsck, FsckReport
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.handover import DisclosureView, RecipientDesk
from sottovoce.usecases.importing import ImportOutcome, Imports
from sottovoce.usecases.inference import DecisionLog, DecisionView, Replay
from sottovoce.usecases.ingest import Ingest
from sottovoce.usecases.inspection import Filter, Inspection, Pinned
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.marks import Ask as MarkAsk
from sottovoce.usecases.marks import MarkOutcome, Marks
from sottovoce.usecases.notes import Notes
from sottovoce.usecases.oversight import Oversight
from sottovoce.usecases.people import People
from sottovoce.usecases.promises import Promises
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.recipient_keys import GRACE_DAYS, RecipientKey, RecipientKeys
from sottovoce.usecases.recipients import HandedOver, Recipients, RecipientView
from sottovoce.usecases.record import Ask, OnGate, OnInference, Record
from sottovoce.usecases.registry import RegisteredModel, Registry
from sottovoce.usecases.retention import RetentionSweep
from sottovoce.usecases.rights import Rights
from sottovoce.usecases.rotation import Rotation
from sottovoce.usecases.schedule import LiveDays, Schedule
from sottovoce.usecases.sequencer import Sequencer
from sottovoce.usecases.tombstone_heads import TombstoneHeads
from sottovoce.usecases.tombstone_rebuild import Rebuilding, RebuiltTombstones, TombstonesView
from sottovoce.usecases.tombstones import Replay as TombstoneReplay
from sottovoce.usecases.tombstones import Replayed
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.training import Ask as TrainingAsk
from sottovoce.usecases.training import Handover, Training
from sottovoce.usecases.vault import Vault
from sottovoce.usecases.witnessing import Witnessing

if TYPE_CHECKING:
    from sottovoce.model.canonical import JsonValue

T = TypeVar("T")
LIBRARY = Caller(actor="operator", channel="library")
SWEEPER = Caller(actor="system", channel="sweeper")


def _no_recipients() -> Blobs:
    from sottovoce.adapters.memory import MemoryBlobs

    return MemoryBlobs()


def _no_models() -> Models:
    from sottovoce.adapters.memory import MemoryModels

    return MemoryModels()


def _no_tombstones() -> Tombstones:
    from sottovoce.adapters.memory import MemoryTombstones

    return MemoryTombstones()


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """One value per port; tests put wrappers or the fakes of `adapters/memory/` here."""

    database: Database
    keys: Keys
    long_lived: KeyStore
    short_lived: KeyStore
    bodies: Blobs
    receipt_copies: Blobs
    extractor: Extractor
    liveness: Liveness
    clock: Clock
    entropy: Entropy
    witnesses: tuple[Witness, ...] = ()
    recipients: Blobs = field(default_factory=_no_recipients)  # private halves of recipient keys, sealed
    models: Models = field(default_factory=_no_models)  # of the home's own
    shipped_models: Models = field(default_factory=_no_models)
    tombstones: Tombstones = field(default_factory=_no_tombstones)
    closing: tuple[Callable[[], None], ...] = ()


def open(target: str | Settings | None = None, /, **given: Any) -> Platform:
    """A platform on a home: created where it is new, migrated where it is older, swept before it serves.

    `target` is `sqlite:///PATH` (the home is its folder), a Settings, or nothing (then `home=` or
    SOTTOVOCE_HOME). ConfigurationError, StorageError, SchemaNewer, KeyUnavailable, IntegrityError.
    """
    settings = configuration.load(target, **given)
    return assemble(connect(settings), settings)


@contextmanager
def tombstone_desk(
    target: str | Settings | None = None, /, *, alone: bool = False, **given: Any
) -> Iterator[TombstoneDesk]:
    """The file of tombstones of a home that may be closed by it: nothing of the home is opened, swept or served.
    NotFound where there is no home; with `alone`, StorageError (reason `home_in_use`) while anybody has it open."""
    from sottovoce.adapters.backup_restore import HomeLock

    settings = configuration.load(target, **given)
    if not (settings.home / IDENTITY_NAME).exists() or not settings.database_path.exists():
        raise NotFound("There is no home here.", hint="Name one with --home.")
    if alone:
        lock = HomeLock(settings.home)
        lock.alone()
        lock.close()  # whoever opens it from here on waits for the write lock of the database
    platform = Platform(connect(settings), settings)
    try:
        platform._check_key_store()
        yield TombstoneDesk(platform)
    finally:
        platform.close()


@dataclass(frozen=True)
class TombstoneDesk:
    """Looks at the file of tombstones, and begins a new one where it is lost for good."""

    _platform: Platform

    @property
    def path(self) -> Path:
        return self._platform.settings.tombstones_path

    def view(self) -> TombstonesView:
        """Head, entries by kind, how far it is signed, and whether it is whole. StorageError, SchemaNewer."""
        return self._platform._rebuilding.view()

    def rebuild(self, *, caller: Caller = LIBRARY) -> RebuiltTombstones:
        """Put the broken file aside and write a new one (usecases/tombstone_rebuild.py); its head is signed. Backups
        made before cannot be restored any more. Conflict (reason `tombstones_whole`), StorageError, KeyUnavailable."""
        platform = self._platform
        rebuilt = platform._verb(lambda: platform._rebuilding.rebuild(caller=caller))
        with suppress(SottovoceError):  # signed by the next start, where it cannot be now (F16)
            platform._heads.sign()
            platform._deliver()
        return rebuilt


def connect(settings: Settings) -> Adapters:
    """The adapters that the settings name, on a home that exists."""
    from sottovoce.adapters.backup_restore import HomeLock, reap_trials
    from sottovoce.adapters.blobs_file import FileBlobs
    from sottovoce.adapters.clock_system import OsEntropy, SystemClock
    from sottovoce.adapters.database import SqliteDatabase
    from sottovoce.adapters.extractor import SealedExtractor
    from sottovoce.adapters.keys_local import LocalKeys
    from sottovoce.adapters.keystore_sqlite import SqliteKeyStore
    from sottovoce.adapters.liveness_file import FileLiveness
    from sottovoce.adapters.models_folder import FolderModels, ShippedModels
    from sottovoce.adapters.tombstones_file import FileTombstones

    _ = settings.attributes  # refuses to start before anything is made (C35a)
    witnesses = _witnesses(settings)
    entropy = OsEntropy()
    home, keys = settings.home, settings.keys_folder
    passphrase = settings.read_passphrase()
    _make_home(home, keys)
    lock = HomeLock(home)
    lock.share()  # finishes or undoes a restore that was interrupted here
    reap_trials(home)
    database = SqliteDatabase(settings.database_path, busy_timeout_s=settings.busy_timeout_s)
    long_lived = SqliteKeyStore(keys / "keys.db", busy_timeout_s=settings.busy_timeout_s)
    short_lived = SqliteKeyStore(keys / "audio-keys.db", busy_timeout_s=settings.busy_timeout_s)
    extractor = SealedExtractor(required_level=settings.sandbox, idle_children=settings.idle_children)
    liveness = FileLiveness(home / "run", random_bytes=entropy)
    return Adapters(
        database=database,
        keys=LocalKeys(keys / "kek", passphrase=passphrase),
        long_lived=long_lived,
        short_lived=short_lived,
        bodies=FileBlobs(home / "bodies"),
        receipt_copies=FileBlobs(home / "receipts", durable=False),
        recipients=FileBlobs(home / "recipients"),
        extractor=extractor,
        liveness=liveness,
        clock=SystemClock(),
        entropy=entropy,
        witnesses=witnesses,
        models=FolderModels(home / "models"),
        shipped_models=ShippedModels(files("sottovoce") / "data" / "models"),
        tombstones=FileTombstones(settings.tombstones_path),
        closing=(
            extractor.close,
            liveness.close,
            database.close,
            long_lived.close,
            short_lived.close,
            lock.close,
        ),
    )


def assemble(adapters: Adapters, settings: Settings) -> Platform:
    """The hall on its adapters: keys set up, interrupted work resumed, overdue audio gone, before it serves."""
    platform = Platform(adapters, settings)
    try:
        platform.start()
    except BaseException:
        platform.close()
        raise
    return platform


class Platform:
    """Everything that can be done with a home. Safe to use from several threads; close it when done."""

    def __init__(self, adapters: Adapters, settings: Settings) -> None:
        from sottovoce.voice.insight import voice_profile

        policy = settings.to_policy()
        days = LiveDays(adapters.database, adapters.clock, policy.retention.days)
        policy = replace(policy, retention=RetentionPolicy(days))
        common: dict[str, Any] = {"random_bytes": adapters.entropy, "tenant": settings.tenant}
        base: dict[str, Any] = {"database": adapters.database}
        self.settings = settings
        self.home = settings.home
        self._adapters = adapters
        self._policy = policy
        self._started = False
        self.keyring = Keyring(
            provider=adapters.keys, long_lived=adapters.long_lived, short_lived=adapters.short_lived,
            clock=adapters.clock, epoch_days=settings.epoch_days, **common,
        )  # fmt: skip
        base["keyring"] = self.keyring
        self._receipts = ReceiptBook(
            keyring=self.keyring,
            copies=adapters.receipt_copies,
            folder=settings.home / "receipts",
            checkpoint=self._newest_checkpoint,
        )
        self._trail = Trail(**base, **common)
        self._sequencer = Sequencer(
            **base, origin=lambda: self._pinned().origin, checkpoint_every_s=settings.checkpoint_every_s
        )
        self._witnessing = Witnessing(
            database=adapters.database, clock=adapters.clock, witnesses=adapters.witnesses,
            alarm_after_s=settings.witness_alarm_s, tombstones=lambda: self._heads.known(),
        )  # fmt: skip
        reads = GroupCommit(database=adapters.database, sequencer=self._sequencer)
        base_promises = Promises(
            database=adapters.database, tombstones=adapters.tombstones,
            catch_up=lambda: self._replay.catch_up(caller=SWEEPER),
        )  # fmt: skip
        promises: dict[str, Any] = {"promises": base_promises}
        self._heads = TombstoneHeads(
            **base, tombstones=adapters.tombstones, clock=adapters.clock, pinned=self._pinned,
            news=base_promises.news, every_s=settings.checkpoint_every_s,
        )  # fmt: skip
        people = People(keyring=self.keyring, **common)
        self._discard = Discard(
            **base, **common, bodies=adapters.bodies, trail=self._trail, receipts=self._receipts
        )
        vault = Vault(keyring=self.keyring, retention=policy.retention, **common)
        self._registry = Registry(
            database=adapters.database, trail=self._trail, own=adapters.models, shipped=adapters.shipped_models,
            identity=self.identity, enabled=settings.attributes, profile=policy.profile,
            demonstrations=settings.demonstration_models,
        )  # fmt: skip
        self._record = Record(
            **base, **common, bodies=adapters.bodies, extractor=adapters.extractor,
            liveness=adapters.liveness, people=people, vault=vault, trail=self._trail,
            discard=self._discard, policy=policy,
            make_insight=lambda extraction: voice_profile(extraction.features, extraction.quality),
            models=self._registry.uses,
        )  # fmt: skip
        self._consent = Consent(
            **base, **common, **promises, people=people, trail=self._trail, discard=self._discard,
            receipts=self._receipts,
        )  # fmt: skip
        self._disclosure = Disclosure(
            database=adapters.database, people=people, vault=vault, trail=self._trail, reads=reads,
            receipts=self._receipts, retention=policy.retention, tenant=settings.tenant,
        )  # fmt: skip
        self._rights = Rights(
            **base,
            **common,
            **promises,
            bodies=adapters.bodies,
            people=people,
            trail=self._trail,
            receipts=self._receipts,
        )
        self._access = AccessLog(
            database=adapters.database, people=people, vault=vault, trail=self._trail, reads=reads,
            retention=policy.retention, tenant=settings.tenant,
        )  # fmt: skip
        self._decisions = DecisionLog(
            database=adapters.database, people=people, vault=vault, trail=self._trail, reads=reads,
            registry=self._registry, retention=policy.retention, tenant=settings.tenant,
        )  # fmt: skip
        notes = Notes(keyring=self.keyring, tenant=settings.tenant)
        self._exports = Exports(
            **base, people=people, vault=vault, trail=self._trail, reads=reads, receipts=self._receipts,
            access=self._access, notes=notes, identity_document=self.identity, tenant=settings.tenant,
        )  # fmt: skip
        self._feed = Feed(
            **base, trail=self._trail, receipts=self._receipts, apply_within=policy.apply_within,
            tenant=settings.tenant,
        )  # fmt: skip
        self._recipients = Recipients(**base, **common, people=people, trail=self._trail, notes=notes)
        self._imports = Imports(
            **base, **common, people=people, vault=vault, trail=self._trail, receipts=self._receipts
        )
        self._schedule = Schedule(
            database=adapters.database, trail=self._trail, policy=policy, days=days, tenant=settings.tenant
        )
        self._clock_watch = ClockWatch(
            database=adapters.database, clock=adapters.clock, trail=self._trail, tenant=settings.tenant
        )
        self._marks = Marks(
            database=adapters.database, people=people, trail=self._trail, access=self._access, notes=notes,
            discard=self._discard, rights=self._rights, **common, **promises,
        )  # fmt: skip
        self._replay = TombstoneReplay(
            **base, tombstones=adapters.tombstones, heads=self._heads, rights=self._rights, consent=self._consent,
            marks=self._marks, trail=self._trail, tenant=settings.tenant,
        )  # fmt: skip
        self.replayed = Replayed()  # by start()
        self._rebuilding = Rebuilding(
            **base, tombstones=adapters.tombstones, heads=self._heads, replay=self._replay, trail=self._trail,
            tenant=settings.tenant,
        )  # fmt: skip
        self._cases = Cases(
            **base, **common, people=people, trail=self._trail, access=self._access, notes=notes,
            rights=self._rights, receipts=self._receipts, deadlines=_deadlines, feed=self._feed,
        )  # fmt: skip
        self._rotation = Rotation(**base, trail=self._trail, clock=adapters.clock)
        self._recipient_keys = RecipientKeys(
            **base, **common, blobs=adapters.recipients, trail=self._trail, orphan_grace=policy.orphan_grace
        )
        self._arrivals = Arrivals(
            database=adapters.database, keys=self._recipient_keys, people=people, record=self._record,
            trail=self._trail,
        )  # fmt: skip
        self._ingest = Ingest(
            database=adapters.database, record=self._record, people=people, trail=self._trail,
            arrivals=self._arrivals,
        )  # fmt: skip
        self._training = Training(
            database=adapters.database, vault=vault, trail=self._trail, reads=reads, retention=policy.retention,
            **common,
        )  # fmt: skip
        self._sweep = RetentionSweep(
            **base, bodies=adapters.bodies, record=self._record, discard=self._discard, rights=self._rights,
            trail=self._trail, policy=policy, clock=self._clock_watch, rotation=self._rotation,
        )  # fmt: skip
        self._inspection = Inspection(
            database=adapters.database, people=people, trail=self._trail, reads=reads,
            sequencer=self._sequencer, witnessing=self._witnessing, pinned=self._pinned,
            restores=lambda: restoring.restore_points(adapters.tombstones, self._heads),
        )  # fmt: skip
        self._settling = restoring.Settling(
            **base, trail=self._trail, discard=self._discard, inspection=self._inspection,
            receipts=self._receipts, tombstones=adapters.tombstones, tenant=settings.tenant,
        )  # fmt: skip
        self._sampling = restoring.Sampling(database=adapters.database, vault=vault)
        self._archiving = Archiving(
            **base, trail=self._trail, inspection=self._inspection, pinned=self._pinned
        )
        self._oversight = Oversight(
            **base, trail=self._trail, inspection=self._inspection, clock=adapters.clock
        )

    # --- life ------------------------------------------------------------------------------------------

    def start(self) -> SweepReport:
        """What open() does before it serves: keys, identity pin, overdue work, audit numbers."""
        self._check_key_store()
        self.keyring.set_up()
        self._rotation.resume(caller=SWEEPER)
        self._pin_identity()
        self._number()  # before the sweep: its receipts carry a checkpoint
        self.replayed = self._replay.run(caller=SWEEPER)  # nothing that an old backup brought back is served
        report = self._sweep.overdue(caller=SWEEPER)
        self._cases.resume(caller=SWEEPER)
        with suppress(SottovoceError):  # a key whose time is over opens nothing; the next sweep destroys it
            self._recipient_keys.tidy(caller=SWEEPER)
        self._number()
        self._started = True
        return report

    def close(self) -> None:
        """Sign what was not signed yet, end the children and close every file. Idempotent."""
        if self._started:
            self._started = False
            with suppress(SottovoceError):
                self._sequencer.checkpoint()
            with suppress(SottovoceError):
                if self._heads.news.is_set():
                    self._heads.sign()
                self._deliver()
        for close in self._adapters.closing:
            with suppress(SottovoceError):
                close()

    def __enter__(self) -> Platform:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<sottovoce.Platform tenant={self.settings.tenant!r}>"

    # --- recordings ------------------------------------------------------------------------------------

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

    def unwilling(self, subjects: Iterable[str]) -> frozenset[str]:
        """The people of whom `ingest_file` would take nothing in today: they have not consented to all that is needed
        (voice_recording, voice_analysis, data_retention_30_days), or their data is restricted."""
        return self._verb(lambda: self._ingest.unwilling(subjects))

    def footprint(self) -> tuple[FootprintRow, ...]:
        """What is stored, by kind, from the stores themselves: sealed results, proof, sealed bodies, keys."""
        with self._adapters.database.read() as tx:
            rows = tx.footprint()
        bodies = [info.size_bytes for info in self._adapters.bodies.list()]
        keys = [len(row.wrapped) for row in self.keyring.rows()]
        return (
            *rows, FootprintRow("sealed_audio", len(bodies), sum(bodies)),
            FootprintRow("key", len(keys), sum(keys)),
        )  # fmt: skip

    # --- consent ---------------------------------------------------------------------------------------

    def grant(
        self, *, subject: str, purposes: Sequence[str], caller: Caller = LIBRARY, **details: Any
    ) -> ConsentOutcome:
        """Record that a person agreed to some purposes. `details`: notice (bytes), notice_version, locale,
        material, evidence, consent_channel, occurred_at (aware), event_ids."""
        return self._state(ConsentAction.GRANT, subject, purposes, caller, **details)

    def refuse(
        self, *, subject: str, purposes: Sequence[str], caller: Caller = LIBRARY, **details: Any
    ) -> ConsentOutcome:
        """Record that a person said no; a refusal is a row too."""
        return self._state(ConsentAction.REFUSE, subject, purposes, caller, **details)

    def withdraw(
        self, *, subject: str, purposes: Sequence[str], caller: Caller = LIBRARY, **details: Any
    ) -> ConsentOutcome:
        """Record a withdrawal; what it stops is stopped when this returns."""
        return self._state(ConsentAction.WITHDRAW, subject, purposes, caller, **details)

    def consents(self, *, subject: str, caller: Caller = LIBRARY) -> tuple[PurposeConsent, ...]:  # noqa: ARG002
        """What holds for every purpose."""
        return self._consent.states(subject)

    # --- what is held ----------------------------------------------------------------------------------

    def sessions(self, *, subject: str, caller: Caller = LIBRARY) -> tuple[SessionView, ...]:
        """A person's sessions, newest first."""
        return self._read(lambda: self._disclosure.sessions(subject, caller=caller))

    def show(
        self, session_id: str, *, purpose: str, recipient: str | None = None, caller: Caller = LIBRARY
    ) -> SessionContent:
        """Open what a purpose may see of a session; what is handed to a recipient is written down before it is opened.
        ConsentRequired, NotFound, UsageError; Conflict where the recipient has ended."""
        desk = None if recipient is None else self._recipients.desk(recipient)
        return self._read(
            lambda: self._disclosure.show(session_id, purpose=purpose, desk=desk, caller=caller)
        )

    def access_log(
        self, *, subject: str, session_id: str | None = None, caller: Caller = LIBRARY
    ) -> tuple[AccessEntry, ...]:
        """Everything that happened with a person's data (with one session), oldest first, in plain words. Looking is
        an entry too. NotFound where nothing is held."""
        return self._read(lambda: self._access.log(subject, session_id=session_id, caller=caller))

    def decisions(
        self, *, subject: str | None = None, session_id: str | None = None, caller: Caller = LIBRARY
    ) -> tuple[DecisionView, ...]:
        """What rules and models said of a person, or of a session, oldest first. Looking is an entry in the audit log.
        NotFound, UsageError."""
        return self._read(lambda: self._decisions.list(subject=subject, session_id=session_id, caller=caller))

    def replay(self, decision_id: str, *, purpose: str | None = None, caller: Caller = LIBRARY) -> Replay:
        """Compute a decision once more, by the model of its hash from the features of its hash: the same value to the
        bit, or why not. `purpose`: what it is opened for (else its own). NotFound, ConsentRequired, UsageError."""
        return self._read(lambda: self._decisions.replay(decision_id, purpose=purpose, caller=caller))

    def facts(self, session_id: str, *, caller: Caller = LIBRARY) -> FactsCard:
        """The privacy facts of a session: where captured, who can open it, who did, when it dies, what was inferred.
        NotFound."""
        return self._read(lambda: self._access.card(session_id, caller=caller))

    def export_person(
        self, *, subject: str, out: str | os.PathLike[str], to: str | None = None, recipient: str | None = None,
        caller: Caller = LIBRARY,
    ) -> ExportOutcome:  # fmt: skip
        """Everything that is held of a person as one signed zip, written in one step, for its owner alone (0600);
        sealed to a recipient key (the text of its file) where one is given. Needs no consent. `recipient`: the id of
        who receives it at the person's wish; written down first. NotFound; Conflict where the person is being erased or
        the recipient has ended; UsageError where the file exists."""
        desk = None if recipient is None else self._recipients.desk(recipient)
        return self._read(lambda: self._export(subject, Path(out), to, desk, caller))

    def import_person(
        self, path: str | os.PathLike[str], *, subject: str | None = None, key: str | None = None,
        caller: Caller = LIBRARY,
    ) -> ImportOutcome:  # fmt: skip
        """Take in a package that another home made, as a new person. `key`: the identity document of that home.
        IntegrityError, UnknownSigner; Conflict where the person is here, or was erased here."""
        package = verify_package(path, key=key, home=self.home)
        return self._verb(lambda: self._imports.take_in(package, subject=subject, caller=caller))

    def erase(
        self, *, subject: str, session_id: str | None = None, request_id: str | None = None,
        dry_run: bool = False, caller: Caller = LIBRARY,
    ) -> ErasureOutcome:  # fmt: skip
        """Erase a person, or one session: keys first, then everything else, then the signed receipt."""
        if dry_run:
            return self._rights.preview(subject, session_id=session_id)
        return self._verb(
            lambda: self._rights.erase(subject, session_id=session_id, request_id=request_id, caller=caller)
        )

    def mark(
        self, *, subject: str, kind: MarkKind, reason: str, asked_by: str = "person", purpose: str | None = None,
        session_id: str | None = None, note: str | None = None, caller: Caller = LIBRARY,
    ) -> MarkOutcome:  # fmt: skip
        """Record a restriction, objection, legal hold or correction; what it stops is stopped when this returns.
        Reasons are those of `model.mark.REASONS`; `note` is stored sealed. NotFound, UsageError."""
        ask = MarkAsk(
            subject=subject, kind=kind, reason=reason, asked_by=asked_by, purpose=purpose, session_id=session_id,
            note=note,
        )  # fmt: skip
        return self._verb(lambda: self._marks.place(ask, caller=caller))

    def lift(
        self, mark_id: str, *, kinds: Sequence[MarkKind] = (MarkKind.HOLD, MarkKind.OBJECTION, MarkKind.RESTRICTION),
        caller: Caller = LIBRARY,
    ) -> MarkOutcome:  # fmt: skip
        """Lift a mark; erasures that waited for a hold are carried out before this returns. NotFound."""

        def work() -> MarkOutcome:
            outcome = self._marks.lift(mark_id, kinds=tuple(kinds), caller=caller)
            self._cases.resume(caller=caller)
            return outcome

        return self._verb(work)

    def unrestrict(self, *, subject: str, caller: Caller = LIBRARY) -> MarkOutcome:
        """Lift every restriction of a person. NotFound where none stands."""
        return self._verb(lambda: self._marks.unrestrict(subject, caller=caller))

    def rectify(self, *, subject: str, new_id: str, caller: Caller = LIBRARY) -> None:
        """Correct the id under which a person is known here. NotFound; Conflict where the new one is taken."""
        self._verb(lambda: self._marks.rectify(subject, new_id, caller=caller))

    def marks(self, *, subject: str) -> tuple[MarkView, ...]:
        """What stands or stood on a person's data, with who asked, why and since when. NotFound."""
        return self._marks.of(subject)

    def open_request(
        self, *, subject: str, kind: CaseKind, law: str = "gdpr.request", identity: str = "known",
        proof: str | None = None, received_at: datetime | None = None, session_id: str | None = None,
        decision_id: str | None = None, caller: Caller = LIBRARY,
    ) -> CaseView:  # fmt: skip
        """Record a request of a data subject as a case; its clock runs from its receipt (data/deadlines.toml).
        `proof`: what was shown, stored sealed until the case ends. `decision_id`: of a human review, what is
        contested. UsageError, NotFound."""
        asked = Asked(
            subject=subject, kind=kind, law=law, identity=identity, proof=proof, received_at=received_at,
            session_id=session_id, decision_id=decision_id,
        )  # fmt: skip
        return self._verb(lambda: self._cases.open(asked, caller=caller))

    def extend_request(self, case_id: str, *, reason: str, caller: Caller = LIBRARY) -> CaseView:
        """Take the longer time that the law allows, once, within the first. Conflict, UsageError, NotFound."""
        return self._verb(lambda: self._cases.extend(case_id, reason=reason, caller=caller))

    def refuse_request(self, case_id: str, *, reason: str, caller: Caller = LIBRARY) -> CaseView:
        """End a case without doing what was asked, for a reason code. Conflict, UsageError, NotFound."""
        return self._verb(lambda: self._cases.refuse(case_id, reason=reason, caller=caller))

    def close_request(
        self, case_id: str, *, outcome: str = "fulfilled", caller: Caller = LIBRARY
    ) -> CaseView:
        """End a case; an erasure is carried out by it, everything else must have been done. Conflict, NotFound."""
        return self._verb(lambda: self._cases.close(case_id, outcome=outcome, caller=caller))

    def requests(self, *, everything: bool = False) -> tuple[CaseView, ...]:
        """Open cases, or all of them; oldest first, with their clocks as they stand now."""
        return self._cases.list(everything=everything)

    def request(self, case_id: str) -> CaseView:
        """One case. NotFound."""
        return self._cases.show(case_id)

    # --- recipients ------------------------------------------------------------------------------------

    def add_recipient(self, name: str, *, kind: str, caller: Caller = LIBRARY) -> RecipientView:
        """Somebody who may receive data: an organisation or a team, of a kind of `model.recipient.RecipientKind`, with
        a key of its own. UsageError, Conflict."""
        wanted = recipient_kind(kind)
        return self._verb(lambda: self._recipients.add(name, wanted, caller=caller))

    def recipients(self) -> tuple[RecipientView, ...]:
        """Everybody who receives or has received data."""
        return self._recipients.all()

    def recipient(self, recipient_id: str) -> RecipientView:
        """One of them. NotFound."""
        return self._recipients.show(recipient_id)

    def end_recipient(
        self, recipient_id: str, *, destroyed: bool = False, caller: Caller = LIBRARY
    ) -> RecipientView:
        """It receives nothing more, and is told on of what it has. `destroyed`: it has stated that nothing is left
        there, so it is told nothing more. NotFound."""
        return self._verb(lambda: self._recipients.end(recipient_id, destroyed=destroyed, caller=caller))

    def feed_key(self, recipient_id: str) -> str:
        """What a recipient needs to read its feed and to acknowledge it, as the text of a file that is for it alone."""
        return self._recipients.key_file(recipient_id, self.identity())

    def write_feed_key(self, recipient_id: str, path: str | os.PathLike[str]) -> None:
        """The same as a new file, readable by its owner alone (0600). UsageError where it exists."""
        from sottovoce.adapters import export_file

        export_file.write_new(Path(path), self.feed_key(recipient_id).encode())

    def disclose(
        self, *, subject: str, recipient: str, purpose: str, what: str, session_id: str | None = None,
        at: datetime | None = None, note: str | None = None, caller: Caller = LIBRARY,
    ) -> KnownAs:  # fmt: skip
        """Write down what was handed to a recipient outside of this service; the names that it knows the person by.
        NotFound, UsageError, Conflict."""
        given = HandedOver(
            subject=subject, recipient_id=recipient, purpose=purpose, what=what, session_id=session_id, at=at,
            note=note,
        )  # fmt: skip
        return self._verb(lambda: self._recipients.write_down(given, caller=caller))

    def disclosures(self, *, subject: str) -> tuple[DisclosureView, ...]:
        """What was handed over of a person: to whom, for which purpose, when. NotFound."""
        return self._recipients.of_subject(subject)

    def feed_page(
        self, recipient_id: str, *, after: int = 0, limit: int = 500, caller: Caller = LIBRARY
    ) -> FeedPage:
        """A signed page of a recipient's deletion feed: the entries after that number. NotFound, UsageError."""
        return self._verb(lambda: self._feed.page(recipient_id, after=after, limit=limit, caller=caller))

    def feed_status(self, recipient_id: str | None = None) -> tuple[FeedStatus, ...]:
        """How far each recipient has come with its feed, and who is overdue. NotFound."""
        return self._feed.status(recipient_id)

    def acknowledge_feed(self, text: str, *, caller: Caller = LIBRARY) -> FeedStatus:
        """Take a recipient's acknowledgement in. IntegrityError, Conflict, NotFound."""
        return self._verb(lambda: self._feed.acknowledge(text, caller=caller))

    def sweep(self, *, dry_run: bool = False, caller: Caller = LIBRARY) -> SweepReport:
        """Discard what is overdue, finish what was interrupted, expire what is due, collect orphans."""
        if dry_run:
            return self._sweep.preview()

        def work() -> SweepReport:
            self._replay.catch_up(caller=caller)
            report = self._sweep.sweep(caller=caller)
            self._cases.resume(caller=caller)
            self._recipient_keys.tidy(thorough=True, caller=caller)
            return report

        return self._verb(work)

    def now(self) -> datetime:
        """The time that deadlines and promises of this home go by."""
        with self._adapters.database.read() as tx:
            return tx.now()

    def confirm_clock(self, *, caller: Caller = LIBRARY) -> None:
        """Say that the clock of this machine is right, after it was moved: results expire by it again."""
        self._verb(lambda: self._clock_watch.confirm(caller=caller))

    # --- training --------------------------------------------------------------------------------------

    def begin_training(
        self, *, model: str, out: str | os.PathLike[str], profile: str | None = None, epsilon: str | None = None,
        delta: str | None = None, unit: str = "speaker", on_leave: str = "retrain", usable_days: int = 0,
        recipient: str | None = None, caller: Caller = LIBRARY,
    ) -> TrainingRound:  # fmt: skip
        """A new round of training: the features of everybody who agrees to model_training now, as one table (.csv or
        .parquet, for its owner alone). The guarantee is what the data team states; `on_leave`: retrain, retire or
        covered. `recipient`: the id of who receives it, whose own names for people are in it then. NotFound where
        nobody agrees; UsageError, ExtraMissing, Conflict."""
        from sottovoce.adapters import export_file, training_file

        path = Path(out)
        handover = Handover(
            render=training_file.renderer(path), write=lambda data: export_file.write_new(path, data),
            take_back=lambda data: training_file.take_back(path, data),
        )  # fmt: skip
        if path.exists():
            raise UsageError("The file exists already.", hint="Name another one, or remove it first.")
        ask = TrainingAsk(
            model=model, profile=profile, epsilon=epsilon, delta=delta, unit=unit, on_leave=on_leave,
            usable_days=usable_days,
        )  # fmt: skip
        desk = None if recipient is None else self._recipients.desk(recipient)
        return self._verb(lambda: self._training.begin(ask, handover, desk=desk, caller=caller))

    def finish_training(
        self, round_id: str, *, model_sha256: str, version: str, dropped: int = 0, caller: Caller = LIBRARY
    ) -> TrainingRound:
        """Record the model that came of a round, and how many rows were dropped from its table because their people
        had left. NotFound; Conflict where that is not all of them; UsageError."""
        return self._verb(
            lambda: self._training.finish(
                round_id, model_sha256=model_sha256, version=version, dropped=dropped, caller=caller
            )
        )

    def retire_training(self, round_id: str, *, caller: Caller = LIBRARY) -> TrainingRound:
        """Give a round up, or say that its model is not in use any more. NotFound, Conflict."""
        return self._verb(lambda: self._training.retire(round_id, caller=caller))

    def training_rounds(self, *, model: str | None = None, only_due: bool = False) -> tuple[RoundView, ...]:
        """Rounds of training with who has left and what follows; `only_due`: those that somebody has to act on."""
        return self._training.rounds(model=model, only_due=only_due)

    def training_round(self, round_id: str) -> tuple[RoundView, tuple[Departure, ...]]:
        """One round, and the rows of its table that have to be dropped. NotFound."""
        return self._training.show(round_id)

    def retention(self) -> tuple[ScheduleRow, ...]:
        """The retention schedule as it holds now: every kind, its days, how much stands under it, what is overdue."""
        return self._schedule.rows()

    def plan_retention(self, **days: int) -> tuple[PlannedChange, ...]:
        """What other days (`features=20`) would delete at the next sweep; nothing is changed. UsageError."""
        return self._schedule.plan(days)

    def set_retention(self, *, caller: Caller = LIBRARY, **days: int) -> tuple[PlannedChange, ...]:
        """Set days for kinds of records. What is kept already goes earlier, never later. UsageError."""
        return self._verb(lambda: self._schedule.set(days, caller=caller))

    # --- keys, audit, health ---------------------------------------------------------------------------

    def rotate_keys(
        self, *, progress: Callable[[int, int], None] | None = None, caller: Caller = LIBRARY
    ) -> RotationReport:
        """A new epoch: every live key row re-wrapped, the old KEK destroyed."""
        return self._verb(lambda: self._rotation.rotate(progress=progress, caller=caller))

    def key_copies(self) -> DestructionPromise:
        """Until when a copy of the key store opens what is erased now: the guaranteed date, and plain words."""
        return self.keyring.destroyed_by(self.now())

    def keys_status(self) -> KeysStatus:
        return self._oversight.keys_status()

    def identity(self) -> str:
        """The public identity document: what receipts are verified against."""
        return (self.home / IDENTITY_NAME).read_text()

    def replace_identity(self, *, caller: Caller = LIBRARY) -> str:
        """A new signing key, introduced by a statement that the old one signs; the new document."""
        return self._verb(lambda: self._replace_identity(caller))

    def models(self) -> tuple[RegisteredModel, ...]:
        """The models of this home and those that are shipped, each with what its card says and whether it is run."""
        return self._registry.list()

    def models_to_run(self) -> tuple[ModelUse, ...]:
        """The models that are run here on the voices of people who agree to their purposes. ConfigurationError,
        IntegrityError and UnknownSigner where one of them cannot be."""
        return self._registry.uses(self._policy.profile)

    def add_model(
        self, data: bytes, card: str, *, signer: str | None = None, demonstration: bool = False,
        caller: Caller = LIBRARY,
    ) -> RegisteredModel:  # fmt: skip
        """Take a model file in with its signed card. `signer`: the identity document of who signed it, pinned with it;
        None: signed by this home. IntegrityError, UnknownSigner, UsageError, Conflict."""
        return self._verb(
            lambda: self._registry.add(data, card, signer=signer, demonstration=demonstration, caller=caller)
        )

    def remove_model(self, sha256: str, *, caller: Caller = LIBRARY) -> None:
        """Take a model of the home's own out. What it has said stays with whom it was said of. NotFound."""
        self._verb(lambda: self._registry.remove(sha256, caller=caller))

    def sign_model_card(self, body: Mapping[str, JsonValue], *, model: bytes) -> str:
        """The card of a model file, signed by this home's identity (docs/reference/model-file.md). IntegrityError
        where body and file are not of each other."""
        from sottovoce.usecases import models

        return models.issue_card(body, model, identity=self.keyring.identity())

    def verify_audit(self, *, since: str | None = None) -> AuditReport:
        """Recompute the whole audit log. `since`: a text from outside the home with one signed checkpoint or many (a
        checkpoint, a witness's file, a receipt), which the log is compared with. IntegrityError, UnknownSigner."""
        report = self._inspection.verify(() if since is None else outside_checkpoints(since))
        if since is not None:
            self._heads.compare(since)  # a witness keeps heads of the tombstones as well
        return report

    def show_audit(
        self, *, subject: str | None = None, kind: str | None = None, since: datetime | None = None,
        until: datetime | None = None, limit: int = 50, caller: Caller = LIBRARY,
    ) -> tuple[AuditLine, ...]:  # fmt: skip
        """The last entries of the audit log: of one person, of one kind ("record.read") or family ("record"), from a
        time on, before a time. Looking is an entry too. NotFound."""
        wanted = Filter(subject=subject, kind=kind, since=since, until=until, limit=limit)
        return self._read(lambda: self._inspection.show(wanted, caller=caller))

    def checkpoint_audit(self) -> str:
        """The signed checkpoint of the log as it is now (C2SP tlog-checkpoint): keep it outside this home.
        KeyUnavailable; IntegrityError where the log does not continue its last checkpoint."""
        text = self._inspection.checkpoint().text
        self._deliver()
        return text

    def prove_audit(self, event_id: str, *, caller: Caller = LIBRARY) -> AuditProof:
        """A proof that an entry is in the log (C2SP tlog-proof), which anyone checks offline. NotFound."""
        return self._read(lambda: self._inspection.prove(event_id, caller=caller))

    def archive_audit(
        self, path: str | os.PathLike[str], *, before: datetime, caller: Caller = LIBRARY
    ) -> ArchiveOutcome:
        """Move the entries of the audit log that were written before that time to a new file, signed. Their hashes
        stay, so that checkpoints and proofs go on verifying. NotFound, IntegrityError, Conflict, StorageError."""
        from sottovoce.adapters.archive_file import LocalArchiveFile

        file = LocalArchiveFile(Path(path))
        return self._verb(lambda: self._archiving.archive(file, before=before, caller=caller))

    def verify_archive(self, path: str | os.PathLike[str]) -> ArchiveOutcome:
        """Check an archive of this home's log by itself and entry by entry against the log. IntegrityError,
        UnknownSigner, InputUnreadable."""
        from sottovoce.adapters.archive_file import LocalArchiveFile

        return self._archiving.verify(LocalArchiveFile(Path(path)))

    def report_audit(
        self, *, since: datetime | None = None, until: datetime | None = None, checkpoint: str | None = None
    ) -> AuditSummary:
        """Entries by kind and month, verification, witnesses, and what a person has to see to. `checkpoint`: as
        `since` of verify_audit."""
        outside = () if checkpoint is None else outside_checkpoints(checkpoint)
        return self._inspection.report(since=since, until=until, outside=outside)

    def create_backup(self, *, data: Path, keys: Path, caller: Caller = LIBRARY) -> MadeBackup:
        """A consistent copy of the data and one of the key store, in new sub-folders of two folders that lie apart,
        while others work (app_backup.py brings it back). UsageError (reason `backup_folders`), Conflict (reason
        `rotation_running`), StorageError."""
        from sottovoce.adapters import backup_files, backup_sqlite

        database, key_store = self.settings.database_path, self.settings.keys_folder / "keys.db"
        private = [self.home, self.settings.keys_folder, database, self.settings.tombstones_path]
        backup_files.check_apart(data, keys, private=private)
        backups = Backups(
            database=self._adapters.database, keyring=self.keyring, trail=self._trail, receipts=self._receipts,
            inspection=self._inspection, tombstones=self._adapters.tombstones, clock=self._adapters.clock,
            random_bytes=self._adapters.entropy, tenant=self.settings.tenant, identity_document=self.identity,
            worthless_after=lambda: self.keyring.destroyed_by(self.now()).words,
            stores=BackupStores(
                copy_data=lambda target: backup_sqlite.copy_store(database, target),
                copy_keys=lambda target: backup_sqlite.copy_store(key_store, target),
                schema_of_data=backup_sqlite.schema_of_data, schema_of_keys=backup_sqlite.schema_of_keys,
                epochs_of=backup_sqlite.epochs_of,
            ),
        )  # fmt: skip
        shelves = backup_files.Shelf(data), backup_files.Shelf(keys)
        return self._verb(lambda: backups.create(*shelves, caller=caller))

    def doctor(self) -> tuple[Check, ...]:
        """Executed checks of this home and machine."""
        from sottovoce.adapters import host_linux as linux

        host = Host(
            swaps=linux.active_swaps(), free_bytes=linux.free_bytes(self.home),
            open_to_others=linux.open_to_others(self.home), core_dumps=linux.core_dumps_possible(),
            tombstones_apart=linux.on_another_disk(self.settings.tombstones_path.parent, self.home),
        )  # fmt: skip
        doctor = Doctor(
            database=self._adapters.database, keyring=self.keyring, extractor=self._adapters.extractor,
            oversight=self._oversight, witnessing=self._witnessing, sweep=self._sweep, cases=self._cases,
            replay=self._replay,
            feed=self._feed, registry=self._registry, training=self._training, policy=self._policy,
        )  # fmt: skip
        return doctor.checks(host)

    def fsck(self, *, repair: bool = False, caller: Caller = LIBRARY) -> FsckReport:
        """The invariants I1 to I10, checked on this home; with `repair`, what is safe is done about it."""
        from sottovoce.adapters import home_scan, keystore_sqlite, tombstones_file
        from sottovoce.adapters.database.reserve import RESERVE_BYTES

        keys = self.settings.keys_folder
        database = self.settings.database_path
        reserves = {database.with_name(database.name + ".reserve"): RESERVE_BYTES}
        for name in ("keys.db.reserve", "audio-keys.db.reserve"):
            reserves[keys / name] = keystore_sqlite.RESERVE_BYTES
        stones = self.settings.tombstones_path
        reserves[stones.with_name(stones.name + ".reserve")] = tombstones_file.RESERVE_BYTES
        fsck = Fsck(
            database=self._adapters.database, keyring=self.keyring, bodies=self._adapters.bodies,
            trail=self._trail, receipts=self._receipts, oversight=self._oversight, sweep=self._sweep,
            replay=self._replay, policy=self._policy, tenant=self.settings.tenant, number=self._number,
            files=lambda: home_scan.look_over(self.home),
            broken_reserves=lambda: home_scan.broken_reserves(reserves),
        )  # fmt: skip
        return fsck.check(repair=repair, caller=caller)

    # --- helpers ---------------------------------------------------------------------------------------

    def _verb(self, work: Callable[[], T]) -> T:
        """Run a verb, then number what it wrote; numbering that fails is made up for by the next verb or open()."""
        try:
            return work()
        finally:
            with suppress(SottovoceError):
                self._number()

    def _read(self, work: Callable[[], T]) -> T:
        """Run a verb whose entries the group commit numbers."""
        try:
            return work()
        finally:
            with suppress(SottovoceError):
                self._deliver()

    def _number(self) -> None:
        self._sequencer.sequence()
        self._heads.sign_if_due()
        self._deliver()

    def _deliver(self) -> None:
        self._witnessing.deliver(self._sequencer.newest())

    def _newest_checkpoint(self) -> str | None:
        newest = self._sequencer.newest()
        return None if newest is None else newest.text

    def _pinned(self) -> Pinned:
        """Origin of the log and keys that its checkpoints may be signed with, from the identity that is pinned."""
        keys = receipts.trusted_keys(self.identity())
        return Pinned(checkpoint.origin_of(next(iter(keys))), tuple(keys.values()))

    def _export(
        self, subject: str, out: Path, to: str | None, desk: RecipientDesk | None, caller: Caller
    ) -> ExportOutcome:
        from sottovoce.adapters import export_file
        from sottovoce.sealing import suites

        recipient = None if to is None else recipients.parse_public(to)
        sealed_to = None if recipient is None else recipient.key_id.hex()
        made = self._exports.export(subject, sealed_to=sealed_to, desk=desk, caller=caller)
        data = made.data
        if recipient is not None:
            entropy = self._adapters.entropy
            envelope_id = entropy(suites.ENVELOPE_ID_BYTES)
            data = suites.seal_to(recipient, data, envelope_id=envelope_id, random_bytes=entropy)
        self._exports.check(made)
        export_file.write_new(out, data)
        try:
            self._exports.check(made)
        except BaseException:  # interrupted or refused: nobody has looked whether the person is still here
            export_file.remove(out)
            raise
        return ExportOutcome(
            str(out),
            len(data),
            hashlib.sha256(data).hexdigest(),
            made.made_at,
            made.counts,
            sealed_to,
            made.handed,
        )

    def _state(
        self, action: ConsentAction, subject: str, purposes: Sequence[str], caller: Caller, *,
        notice: bytes | None = None, notice_version: str | None = None, locale: str = "en",
        material: bool = True, evidence: str | None = None, consent_channel: str | None = None,
        occurred_at: datetime | None = None, event_ids: Sequence[str] = (),
    ) -> ConsentOutcome:  # fmt: skip
        shown = None
        if notice is not None:
            if notice_version is None:
                raise ConfigurationError("A notice of your own needs a version.", reason="notice_version")
            shown = Notice(text=notice, version=notice_version, locale=locale, material=material)
        statement = Statement(
            subject=subject, action=action, purposes=tuple(purposes), notice=shown, channel=consent_channel,
            evidence=evidence, occurred_at=occurred_at, event_ids=tuple(event_ids),
        )  # fmt: skip
        return self._verb(lambda: self._consent.record(statement, caller=caller))

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

    def _check_key_store(self) -> None:
        """A home that has been used and has no keys must not go on under new ones."""
        if (self.home / IDENTITY_NAME).exists() and not self.keyring.is_set_up():
            raise KeyUnavailable(
                "The key store of this home is missing or empty; what is sealed here does not open without it.",
                hint="Bring back the folder of the keys from its own backup; a new key store opens nothing old.",
                reason="key_store_missing",
            )

    def _pin_identity(self) -> None:
        if not (self.home / IDENTITY_NAME).exists():
            _write_private(self.home / IDENTITY_NAME, self._oversight.identity_document())

    def _replace_identity(self, caller: Caller) -> str:
        document = self._oversight.next_identity(self.identity())
        _write_private(self.home / IDENTITY_NAME, document)
        self._oversight.retire_identity(caller=caller)
        return document


@cache
def _deadlines() -> dict[str, Deadline]:
    """The clocks of laws that are shipped with this release."""
    return parse_deadlines((files("sottovoce") / "data" / "deadlines.toml").read_text("utf-8"))


def _witnesses(settings: Settings) -> tuple[Witness, ...]:
    """One adapter for each witness that the settings name; imported only when named."""
    made: list[Witness] = []
    for scheme, words in settings.witness_parts:
        if scheme == "file":
            from sottovoce.adapters.witness_file import FileWitness

            made.append(FileWitness(Path(words[0])))
        elif scheme == "syslog":
            from sottovoce.adapters.witness_syslog import SyslogWitness

            made.append(SyslogWitness())
        else:
            from sottovoce.adapters.witness_command import CommandWitness

            made.append(CommandWitness(words))
    return tuple(made)


def _make_home(home: Path, keys: Path) -> None:
    try:
        for folder in (home, keys, home / "run", home / "bodies", home / "receipts"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise StorageError(
            "The home cannot be made or written.",
            hint="Check the path and permissions of --home.",
            reason="home",
        ) from None


def _write_private(path: Path, text: str) -> None:
    """Replace a small file in one step, durably."""
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("w") as file:
            temporary.chmod(0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        raise StorageError(
            "A file of the home cannot be written.", hint="Check its disk.", reason="home"
        ) from None
