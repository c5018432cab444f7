"""The hall on its adapters: every use case of a home wired once, and the numbering of what the verbs write.

A new use case is wired here; the verbs that call it stand in the files beside this one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TypeVar

from sottovoce.app.connecting import Adapters
from sottovoce.app.identity import PinnedIdentity
from sottovoce.errors import SottovoceError
from sottovoce.model.deadlines import Deadline, parse_deadlines
from sottovoce.model.retention import RetentionPolicy
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings
from sottovoce.usecases import restoring
from sottovoce.usecases.access_log import AccessLog
from sottovoce.usecases.archiving import Archiving
from sottovoce.usecases.arrivals import Arrivals
from sottovoce.usecases.cases import Cases
from sottovoce.usecases.clock_watch import ClockWatch
from sottovoce.usecases.consent import Consent
from sottovoce.usecases.discard import Discard
from sottovoce.usecases.disclosure import Disclosure
from sottovoce.usecases.export import Exports
from sottovoce.usecases.feed import Feed
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.importing import Imports
from sottovoce.usecases.inference import DecisionLog
from sottovoce.usecases.ingest import Ingest
from sottovoce.usecases.inspection import Inspection
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.marks import Marks
from sottovoce.usecases.notes import Notes
from sottovoce.usecases.oversight import Oversight
from sottovoce.usecases.people import People
from sottovoce.usecases.promises import Promises
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.recipient_keys import RecipientKeys
from sottovoce.usecases.recipients import Recipients
from sottovoce.usecases.record import Record
from sottovoce.usecases.registry import Registry
from sottovoce.usecases.retention import RetentionSweep
from sottovoce.usecases.rights import Rights
from sottovoce.usecases.rotation import Rotation
from sottovoce.usecases.schedule import LiveDays, Schedule
from sottovoce.usecases.sequencer import Sequencer
from sottovoce.usecases.tombstone_heads import TombstoneHeads
from sottovoce.usecases.tombstone_rebuild import Rebuilding
from sottovoce.usecases.tombstones import Replay as TombstoneReplay
from sottovoce.usecases.tombstones import Replayed
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.training import Training
from sottovoce.usecases.vault import Vault
from sottovoce.usecases.witnessing import Witnessing

T = TypeVar("T")
LIBRARY = Caller(actor="operator", channel="library")
SWEEPER = Caller(actor="system", channel="sweeper")


class Hall:
    """Every use case of a home as an attribute, each on its adapters and on those that were wired before it."""

    def __init__(self, adapters: Adapters, settings: Settings) -> None:
        self.settings = settings
        self.home = settings.home
        self.replayed = Replayed()  # by start()
        self._adapters = adapters
        self._started = False
        self._pin = PinnedIdentity(settings.home)
        self._wire_policy()  # in this order: each stands on those above it
        self._wire_log()
        self._wire_promises()
        self._wire_records()
        self._wire_models()
        self._wire_recording()
        self._wire_rights()
        self._wire_disclosure()
        self._wire_requests()
        self._wire_upkeep()

    # --- wiring ----------------------------------------------------------------------------------------

    def _wire_policy(self) -> None:
        """What the operator chose; days of retention that were set later count as they stand in the database."""
        policy = self.settings.to_policy()
        days = LiveDays(self._adapters.database, self._adapters.clock, policy.retention.days)
        self._days = days
        self._policy = replace(policy, retention=RetentionPolicy(days))

    def _wire_log(self) -> None:
        """Keys, receipts, and the audit log that everything below writes to."""
        adapters, settings = self._adapters, self.settings
        self.keyring = Keyring(
            provider=adapters.keys, long_lived=adapters.long_lived, short_lived=adapters.short_lived,
            random_bytes=adapters.entropy, clock=adapters.clock, tenant=settings.tenant,
            epoch_days=settings.epoch_days,
        )  # fmt: skip
        self._receipts = ReceiptBook(
            keyring=self.keyring, copies=adapters.receipt_copies, folder=settings.home / "receipts",
            checkpoint=self._newest_checkpoint,
        )  # fmt: skip
        self._trail = Trail(
            database=adapters.database, keyring=self.keyring, random_bytes=adapters.entropy,
            tenant=settings.tenant,
        )  # fmt: skip
        self._sequencer = Sequencer(
            database=adapters.database, keyring=self.keyring, origin=lambda: self._pin.for_log().origin,
            checkpoint_every_s=settings.checkpoint_every_s,
        )  # fmt: skip
        self._witnessing = Witnessing(
            database=adapters.database, clock=adapters.clock, witnesses=adapters.witnesses,
            alarm_after_s=settings.witness_alarm_s, tombstones=lambda: self._heads.known(),
        )  # fmt: skip
        self._reads = GroupCommit(database=adapters.database, sequencer=self._sequencer)

    def _wire_promises(self) -> None:
        """What is written to the file of tombstones with a change, and the heads of it that are signed."""
        adapters = self._adapters
        self._promises = Promises(
            database=adapters.database, tombstones=adapters.tombstones,
            catch_up=lambda: self._replay.catch_up(caller=SWEEPER),
        )  # fmt: skip
        self._heads = TombstoneHeads(
            database=adapters.database, keyring=self.keyring, tombstones=adapters.tombstones, clock=adapters.clock,
            pinned=self._pin.for_log, news=self._promises.news, every_s=self.settings.checkpoint_every_s,
        )  # fmt: skip

    def _wire_records(self) -> None:
        """People, and what is kept of them: sealed by keys of their own, and discarded with them."""
        adapters, tenant = self._adapters, self.settings.tenant
        self._people = People(keyring=self.keyring, random_bytes=adapters.entropy, tenant=tenant)
        self._notes = Notes(keyring=self.keyring, tenant=tenant)
        self._vault = Vault(
            keyring=self.keyring, retention=self._policy.retention, random_bytes=adapters.entropy,
            tenant=tenant,
        )  # fmt: skip
        self._discard = Discard(
            database=adapters.database, keyring=self.keyring, bodies=adapters.bodies, trail=self._trail,
            receipts=self._receipts, random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip

    def _wire_models(self) -> None:
        """Which models are run here, what they said of whom, and what was learned from whom."""
        adapters, tenant = self._adapters, self.settings.tenant
        self._registry = Registry(
            database=adapters.database, trail=self._trail, own=adapters.models, shipped=adapters.shipped_models,
            identity=self._pin.read, enabled=self.settings.attributes, profile=self._policy.profile,
            demonstrations=self.settings.demonstration_models, promises=self._promises, tenant=tenant,
        )  # fmt: skip
        self._decisions = DecisionLog(
            database=adapters.database, people=self._people, vault=self._vault, trail=self._trail,
            reads=self._reads, registry=self._registry, retention=self._policy.retention, tenant=tenant,
        )  # fmt: skip
        self._training = Training(
            database=adapters.database, vault=self._vault, trail=self._trail, reads=self._reads,
            retention=self._policy.retention, random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip

    def _wire_recording(self) -> None:
        """The path of a recording, and the ways in: one by one, of a corpus, sealed to us."""
        from sottovoce.voice.insight import voice_profile

        adapters, tenant = self._adapters, self.settings.tenant
        self._record = Record(
            database=adapters.database, keyring=self.keyring, bodies=adapters.bodies, extractor=adapters.extractor,
            liveness=adapters.liveness, people=self._people, vault=self._vault, trail=self._trail,
            discard=self._discard, policy=self._policy, models=self._registry.uses,
            make_insight=lambda extraction: voice_profile(extraction.features, extraction.quality),
            random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip
        self._recipient_keys = RecipientKeys(
            database=adapters.database, keyring=self.keyring, blobs=adapters.recipients, trail=self._trail,
            orphan_grace=self._policy.orphan_grace, random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip
        self._arrivals = Arrivals(
            database=adapters.database, keys=self._recipient_keys, people=self._people, record=self._record,
            trail=self._trail,
        )  # fmt: skip
        self._ingest = Ingest(
            database=adapters.database, record=self._record, people=self._people, trail=self._trail,
            arrivals=self._arrivals,
        )  # fmt: skip

    def _wire_rights(self) -> None:
        """Consent, erasure, marks, and their replay from the tombstones."""
        adapters, tenant = self._adapters, self.settings.tenant
        self._consent = Consent(
            database=adapters.database, keyring=self.keyring, people=self._people, trail=self._trail,
            discard=self._discard, receipts=self._receipts, promises=self._promises,
            random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip
        self._rights = Rights(
            database=adapters.database, keyring=self.keyring, bodies=adapters.bodies, people=self._people,
            trail=self._trail, receipts=self._receipts, promises=self._promises,
            random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip
        self._access = AccessLog(
            database=adapters.database, people=self._people, vault=self._vault, trail=self._trail,
            reads=self._reads, retention=self._policy.retention, tenant=tenant,
        )  # fmt: skip
        self._marks = Marks(
            database=adapters.database, people=self._people, trail=self._trail, notes=self._notes,
            discard=self._discard, rights=self._rights, promises=self._promises,
            random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip
        self._replay = TombstoneReplay(
            database=adapters.database, keyring=self.keyring, tombstones=adapters.tombstones, heads=self._heads,
            rights=self._rights, consent=self._consent, marks=self._marks, models=adapters.models,
            trail=self._trail, tenant=tenant,
        )  # fmt: skip
        self._rebuilding = Rebuilding(
            database=adapters.database, keyring=self.keyring, tombstones=adapters.tombstones, heads=self._heads,
            replay=self._replay, trail=self._trail, tenant=tenant,
        )  # fmt: skip

    def _wire_disclosure(self) -> None:
        """What is opened for a purpose, what is handed to whom, and what those are told afterwards."""
        adapters, tenant = self._adapters, self.settings.tenant
        self._disclosure = Disclosure(
            database=adapters.database, people=self._people, vault=self._vault, trail=self._trail,
            reads=self._reads, receipts=self._receipts, retention=self._policy.retention, tenant=tenant,
        )  # fmt: skip
        self._recipients = Recipients(
            database=adapters.database, keyring=self.keyring, people=self._people, trail=self._trail,
            notes=self._notes, random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip
        self._feed = Feed(
            database=adapters.database, keyring=self.keyring, trail=self._trail, receipts=self._receipts,
            apply_within=self._policy.apply_within, tenant=tenant,
        )  # fmt: skip

    def _wire_requests(self) -> None:
        """What a person asks for, and packages that leave for one or arrive with one."""
        adapters, tenant = self._adapters, self.settings.tenant
        self._exports = Exports(
            database=adapters.database, keyring=self.keyring, people=self._people, vault=self._vault,
            trail=self._trail, reads=self._reads, receipts=self._receipts, access=self._access, notes=self._notes,
            identity_document=self._pin.read, tenant=tenant,
        )  # fmt: skip
        self._imports = Imports(
            database=adapters.database, keyring=self.keyring, people=self._people, vault=self._vault,
            trail=self._trail, receipts=self._receipts, random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip
        self._cases = Cases(
            database=adapters.database, keyring=self.keyring, people=self._people, trail=self._trail,
            access=self._access, notes=self._notes, rights=self._rights, feed=self._feed,
            receipts=self._receipts, deadlines=_deadlines, random_bytes=adapters.entropy, tenant=tenant,
        )  # fmt: skip

    def _wire_upkeep(self) -> None:
        """Time, keys, and the look at all of it: what expires, what the log says, what a backup brings back."""
        adapters, tenant = self._adapters, self.settings.tenant
        self._schedule = Schedule(
            database=adapters.database, trail=self._trail, policy=self._policy, days=self._days, tenant=tenant
        )
        self._clock_watch = ClockWatch(
            database=adapters.database, clock=adapters.clock, trail=self._trail, tenant=tenant
        )
        self._rotation = Rotation(
            database=adapters.database, keyring=self.keyring, trail=self._trail, clock=adapters.clock
        )
        self._sweep = RetentionSweep(
            database=adapters.database, keyring=self.keyring, bodies=adapters.bodies, record=self._record,
            discard=self._discard, rights=self._rights, trail=self._trail, policy=self._policy,
            clock=self._clock_watch, rotation=self._rotation,
        )  # fmt: skip
        self._inspection = Inspection(
            database=adapters.database, people=self._people, trail=self._trail, reads=self._reads,
            sequencer=self._sequencer, witnessing=self._witnessing, pinned=self._pin.for_log,
            restores=lambda: restoring.restore_points(adapters.tombstones, self._heads),
        )  # fmt: skip
        self._archiving = Archiving(
            database=adapters.database, keyring=self.keyring, trail=self._trail, inspection=self._inspection,
            pinned=self._pin.for_log,
        )  # fmt: skip
        self._oversight = Oversight(
            database=adapters.database, keyring=self.keyring, trail=self._trail, inspection=self._inspection,
            clock=adapters.clock,
        )  # fmt: skip
        self._settling = restoring.Settling(
            database=adapters.database, keyring=self.keyring, trail=self._trail, discard=self._discard,
            inspection=self._inspection, receipts=self._receipts, tombstones=adapters.tombstones, tenant=tenant,
        )  # fmt: skip
        self._sampling = restoring.Sampling(database=adapters.database, vault=self._vault)

    # --- numbering -------------------------------------------------------------------------------------

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


@cache
def _deadlines() -> dict[str, Deadline]:
    """The clocks of laws that are shipped with this release."""
    return parse_deadlines((files("sottovoce") / "data" / "deadlines.toml").read_text("utf-8"))
