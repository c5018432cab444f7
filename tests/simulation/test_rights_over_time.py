"""Thousands of interleavings of what people ask for with keys that are rotated and backups that are restored.

The platform is the real one on real files (SQLite, key stores, tombstones, backups); only the extractor and the clock
are ours. The model is the few lines of `World`, written from the design alone: a backup is a copy of the world, and a
restore is that copy, less everything that people took back since. Data and keys may come from different backups. An
example is one interleaving; set STEPS and EXAMPLES for a longer campaign.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sottovoce import app, app_backup
from sottovoce.adapters import memory
from sottovoce.adapters.database import SqliteDatabase
from sottovoce.errors import SottovoceError
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.mark import MarkKind
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings
from sottovoce.usecases.record import Ask

TAKE, ANALYSE, KEEP = "voice_recording", "voice_analysis", "data_retention_30_days"
PURPOSES = (TAKE, ANALYSE, KEEP)
PEOPLE = ("anna", "berta", "carla")
WHO = st.sampled_from(("anna", "anna", "berta", "carla"))
SOME = st.lists(st.sampled_from(PURPOSES), min_size=1, unique=True)
CALLER = Caller(actor="tester", channel="test")
STEPS, EXAMPLES = int(os.environ.get("STEPS", "20")), int(os.environ.get("EXAMPLES", "12"))
HOUR = 3600.0
KEPT_S = 30 * 24 * HOUR
FSCK_EACH = 3  # steps: it is the slowest thing here
IN_MEMORY = Path("/dev/shm")  # a file system without waiting for a disk, where there is one
ALL = "everything"


# --- the model: plain words and numbers ---------------------------------------------------------------------


@dataclasses.dataclass
class Person:
    """One person between being introduced and being erased: whoever comes back after that is somebody else."""

    number: int
    agreed: set[str] = dataclasses.field(default_factory=set)
    kept: dict[str, float] = dataclasses.field(default_factory=dict)  # session -> when it expires
    holds: set[str] = dataclasses.field(default_factory=set)
    # erasures asked for under a hold: sessions, or ALL
    waiting: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class World:
    people: dict[str, Person] = dataclasses.field(default_factory=dict)

    def expire(self, now_s: float) -> None:
        for person in self.people.values():
            if not person.holds:
                person.kept = {session: due for session, due in person.kept.items() if now_s < due}

    def erase(self, name: str, what: str = ALL) -> None:
        if what == ALL:
            del self.people[name]
        else:
            self.people[name].kept.pop(what, None)

    def say_no(self, name: str, purposes: list[str], now_s: float) -> None:
        person = self.people[name]
        person.agreed -= set(purposes)
        if KEEP in purposes:
            person.kept = {session: min(due, now_s) for session, due in person.kept.items()}

    def take_back(self, said: tuple[Any, ...], now_s: float) -> None:
        """What somebody said since the backup, once more; nothing where the backup does not know them."""
        number, word, what = said
        name = next((name for name, person in self.people.items() if person.number == number), None)
        if name is None:
            return
        person = self.people[name]
        if word == "erased":
            self.erase(name, what)
        elif word == "no":
            self.say_no(name, what, now_s)
        elif word == "held":
            person.holds.add(what)
        elif word == "lifted":
            person.holds.discard(what)
        elif word == "waits":
            person.waiting.add(what)


@dataclasses.dataclass
class Backup:
    data: Path
    keys: Path
    world: World
    epoch: int
    said: int  # how much had been said by then


# --- both side by side ---------------------------------------------------------------------------------------


class Simulation(RuleBasedStateMachine):
    counted: ClassVar[dict[str, int]] = {"interleavings": 0, "steps": 0, "restores": 0, "refused restores": 0}

    def __init__(self) -> None:
        super().__init__()
        self.counted["interleavings"] += 1
        self.folder = Path(tempfile.mkdtemp(dir=IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None))
        self.clock = memory.FixedClock(datetime.now(UTC))
        self.now_s = 0.0
        self.world, self.said, self.epoch = World(), list[tuple[Any, ...]](), 1
        self.backups: list[Backup] = []
        self.numbers = itertools.count(1)
        self.settings = Settings(home=self.folder / "home", epoch_days=0)
        self._assembled = app_backup.assembled
        app_backup.assembled = lambda inside, provider: dataclasses.replace(
            self._adapters(inside), keys=provider
        )
        self._open()

    def teardown(self) -> None:
        app_backup.assembled = self._assembled
        self.platform.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> None:
        self.platform = app.assemble(self._adapters(self.settings), self.settings)
        self.world.expire(self.now_s)

    def _adapters(self, configured: Settings) -> app.Adapters:
        real = app.connect(configured)
        real.database.close()
        real.extractor.close()
        database = SqliteDatabase(configured.database_path, offset=lambda: timedelta(seconds=self.now_s))
        return dataclasses.replace(
            real, database=database, extractor=Spoken(), clock=self.clock,
            closing=(database.close, *real.closing),
        )  # fmt: skip

    # --- what people and operators do -----------------------------------------------------------------

    @initialize()
    def one_person_has_a_recording_and_the_home_a_backup(self) -> None:
        """So that something happens from the first step on."""
        self.grant("anna", list(PURPOSES))
        self.analyze("anna")
        self.back_up()

    @rule(who=WHO, purposes=st.one_of(st.just(list(PURPOSES)), SOME))
    def grant(self, who: str, purposes: list[str]) -> None:
        self.platform.grant(subject=who, purposes=purposes, caller=CALLER)
        self.world.people.setdefault(who, Person(next(self.numbers))).agreed |= set(purposes)

    @precondition(lambda self: self.world.people)
    @rule(data=st.data(), purposes=SOME, word=st.sampled_from(["withdraw", "refuse"]))
    def say_no(self, data: Any, purposes: list[str], word: str) -> None:
        who = self._known(data)
        getattr(self.platform, word)(subject=who, purposes=purposes, caller=CALLER)
        self._say(who, "no", purposes)
        self.world.say_no(who, purposes, self.now_s)

    @rule(who=WHO)
    def analyze(self, who: str) -> None:
        person = self.world.people.get(who)
        allowed = person is not None and {TAKE, ANALYSE} <= person.agreed
        answer, refusal = self._tried(
            lambda: self.platform._record.analyze(Source(), Ask(subject=who), caller=CALLER)
        )
        self.platform._number()
        assert (answer is not None) == allowed, refusal
        if answer is None or person is None:
            return
        if KEEP in person.agreed:
            person.kept[answer.session_id] = self.now_s + KEPT_S

    @rule(who=WHO)
    def erase(self, who: str) -> None:
        person = self.world.people.get(who)
        answer = self.platform.erase(subject=who, caller=CALLER)
        expected = "nothing_held" if person is None else "held" if person.holds else "erased"
        assert answer.result == expected
        if person is not None:
            self._erased_or_waits(who, ALL)

    @precondition(lambda self: any(person.kept for person in self.world.people.values()))
    @rule(data=st.data())
    def erase_session(self, data: Any) -> None:
        who = data.draw(st.sampled_from([name for name, one in self.world.people.items() if one.kept]))
        session = data.draw(st.sampled_from(sorted(self.world.people[who].kept)))
        held = bool(self.world.people[who].holds)
        answer = self.platform.erase(subject=who, session_id=session, caller=CALLER)
        assert answer.result == ("held" if held else "erased")
        self._erased_or_waits(who, session)

    @precondition(lambda self: self.world.people)
    @rule(data=st.data())
    def hold(self, data: Any) -> None:
        who = self._known(data)
        placed = self.platform.mark(subject=who, kind=MarkKind.HOLD, reason="legal_claims", caller=CALLER)
        mark = placed.marks[0].id
        self._say(who, "held", mark)
        self.world.people[who].holds.add(mark)

    @precondition(lambda self: any(person.holds for person in self.world.people.values()))
    @rule(data=st.data())
    def lift(self, data: Any) -> None:
        who = data.draw(st.sampled_from([name for name, one in self.world.people.items() if one.holds]))
        person = self.world.people[who]
        mark = data.draw(st.sampled_from(sorted(person.holds)))
        self.platform.lift(mark, caller=CALLER)
        self._say(who, "lifted", mark)
        person.holds.discard(mark)
        self._run_waiting()

    @rule()
    def sweep(self) -> None:
        assert self.platform.sweep(caller=CALLER).errors == ()
        self._run_waiting()
        self.world.expire(self.now_s)

    @rule()
    def rotate(self) -> None:
        self.platform.rotate_keys(caller=CALLER)
        self.epoch += 1

    @rule(hours=st.sampled_from([1.0, 24.0 * 10, 24.0 * 31]))
    def advance(self, hours: float) -> None:
        self.clock.advance(timedelta(hours=hours))
        self.now_s += hours * HOUR

    @rule()
    def restart(self) -> None:
        self.platform.close()
        self._run_waiting()
        self._open()

    # --- backups -----------------------------------------------------------------------------------------

    @rule()
    def back_up(self) -> None:
        data, keys = self.folder / "backups" / "data", self.folder / "backups" / "keys"
        for shelf in (data, keys):
            shelf.mkdir(parents=True, exist_ok=True)
        made = self.platform.create_backup(data=data, keys=keys, caller=CALLER)
        self.backups.append(
            Backup(data / made.data_name, keys / made.keys_name, copy.deepcopy(self.world), self.epoch, len(self.said))
        )  # fmt: skip

    @rule(data=st.data())
    def restore(self, data: Any) -> None:
        backup = data.draw(st.sampled_from(self.backups))
        self._restore(backup, backup)

    @rule()
    def restore_the_newest(self) -> None:
        self._restore(self.backups[-1], self.backups[-1])

    @precondition(lambda self: len(self.backups) > 1)
    @rule(data=st.data())
    def restore_halves_of_two_backups(self, data: Any) -> None:
        self._restore(data.draw(st.sampled_from(self.backups)), data.draw(st.sampled_from(self.backups)))

    def _restore(self, one: Backup, keys: Backup) -> None:
        self.platform.close()
        self._run_waiting()
        report, refusal = self._tried(
            lambda: app_backup.restore_backup(
                self.settings, data=one.data, keys=keys.keys, tombstones=self.settings.tombstones_path,
                replace=True, caller=CALLER,
            )
        )  # fmt: skip
        if keys.epoch < self.epoch:
            assert (report, refusal) == (None, "epoch_ended")
            self.counted["refused restores"] += 1
        else:
            assert report is not None, refusal
            self.counted["restores"] += 1
            self._go_back(one, keys)
        self._open()

    def _go_back(self, data: Backup, keys: Backup) -> None:
        self.world = copy.deepcopy(data.world)
        has_keys = {person.number: set(person.kept) for person in keys.world.people.values()}
        for name, person in list(self.world.people.items()):
            if person.number not in has_keys:
                del self.world.people[name]
            else:
                person.kept = {s: due for s, due in person.kept.items() if s in has_keys[person.number]}
        for said in self.said[data.said :]:
            self.world.take_back(said, self.now_s)
        for said in self.said[keys.said : data.said]:
            # keys that are older than the data: who was erased between the two is gone in both
            if said[1] == "erased":
                self.world.take_back(said, self.now_s)
        self._run_waiting()

    # --- what must hold after every step ----------------------------------------------------------------

    @invariant()
    def the_home_holds_what_the_model_says(self) -> None:
        self.counted["steps"] += 1
        with self.platform._adapters.database.read() as tx:
            assert len(tx.subjects.ids()) == len(self.world.people)
            for name in PEOPLE:
                person = self.world.people.get(name)
                found = self.platform._record.people.find(tx, name)
                assert (found is not None) == (person is not None), name
                if person is None or found is None:
                    continue
                sessions = {
                    one.id for one in tx.recordings.of_subject(found.id) if tx.records.of_session(one.id)
                }
                assert sessions == set(person.kept), name
                marks = tx.marks.of_subject(found.id)
                standing = {one.id for one in marks if one.kind is MarkKind.HOLD and one.lifted_at is None}
                assert standing == person.holds
        for name, person in self.world.people.items():
            states = self.platform.consents(subject=name, caller=CALLER)
            assert {one.purpose for one in states if str(one.status) == "granted"} & set(
                PURPOSES
            ) == person.agreed

    @invariant()
    def what_is_kept_and_not_over_can_be_opened_and_nothing_else(self) -> None:
        keys = {row.key_id for row in self.platform.keyring.rows()}
        with self.platform._adapters.database.read() as tx:
            for person in self.world.people.values():
                for session in person.kept:
                    assert {record.id for record in tx.records.of_session(session)} <= keys
        for name, person in self.world.people.items():
            for session, due in person.kept.items():
                if self.now_s < due:
                    seen = self.platform.show(session, purpose="subject_access", caller=CALLER)
                    assert seen.features is not None, name

    @invariant()
    def the_log_and_the_home_are_sound(self) -> None:
        assert self.platform.verify_audit().intact
        if self.counted["steps"] % FSCK_EACH:
            return
        found = [one.code for one in self.platform.fsck(caller=CALLER).findings]
        overdue = any(
            due <= self.now_s
            for one in self.world.people.values()
            if not one.holds
            for due in one.kept.values()
        )
        assert set(found) <= ({"record_overdue"} if overdue else set())

    # --- helpers ----------------------------------------------------------------------------------------

    def _tried(self, work: Callable[[], Any]) -> tuple[Any, str]:
        """The answer, or the code of the refusal."""
        try:
            return work(), ""
        except SottovoceError as error:
            return None, error.public_code

    def _known(self, data: Any) -> str:
        return str(data.draw(st.sampled_from(sorted(self.world.people))))

    def _say(self, who: str, word: str, what: Any) -> None:
        self.said.append((self.world.people[who].number, word, what))

    def _erased_or_waits(self, who: str, what: str) -> None:
        person = self.world.people[who]
        if person.holds:
            self._say(who, "waits", what)
            person.waiting.add(what)
        else:
            self._say(who, "erased", what)
            self.world.erase(who, what)

    def _run_waiting(self) -> None:
        """Erasures that waited for a hold, of people who are under none any more."""
        for who, person in list(self.world.people.items()):
            if person.holds:
                continue
            for what in sorted(person.waiting, key=lambda one: one == ALL):
                self._say(who, "erased", what)
                self.world.erase(who, what)
            person.waiting.clear()


class Spoken(memory.InlineExtractor):
    """Gives the same 88 numbers for whatever it is given."""

    def __init__(self) -> None:
        return

    def level(self) -> str:
        return "rlimits"

    def extract(self, source: object, options: object) -> Extraction:
        return Extraction(
            FeatureVector(tuple(20.0 + i / 7 for i in range(88)), "compat", "egemaps-88/1", 16000),
            Quality(11.0, 500, 0.0, 31.5, "wav/pcm_16", 16000, 1, "0"),
        )

    def close(self) -> None:
        return


@dataclasses.dataclass
class Source:
    fd: int = -1
    size_bytes: int = 2048

    def discard(self) -> bool:
        return True


TestRightsOverTime = Simulation.TestCase
TestRightsOverTime.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    phases=[Phase.generate] if os.environ.get("QUICK") else [Phase.explicit, Phase.reuse, Phase.generate, Phase.target],
)  # fmt: skip
