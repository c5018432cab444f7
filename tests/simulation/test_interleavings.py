"""Thousands of interleavings of verbs, kills and time against a model that knows nothing of ours.

The platform is the real one on the shipped in-memory adapters, with a fake clock; the model is the few dozen lines
of `Person` and `Sound` below, written from the design alone. Other people's verbs, deadlines and erasures come in the
middle of an analysis, and a process may die before or after any of its commits. An example is one interleaving; set
STEPS and EXAMPLES for a longer campaign.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sottovoce.adapters import memory
from sottovoce.app import Adapters, Platform, assemble
from sottovoce.errors import AudioRejected, ExtractionFailed, SottovoceError, StorageError
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings
from sottovoce.usecases.record import Ask

TAKE, ANALYSE, KEEP = "voice_recording", "voice_analysis", "data_retention_30_days"
PURPOSES = (TAKE, ANALYSE, KEEP)
PEOPLE = ("anna", "berta", "carla")
WHO = st.sampled_from(("anna", "anna", "anna", "berta", "carla"))  # so that enough happens to one of them
CALLER = Caller(actor="tester", channel="test")
STEPS, EXAMPLES = int(os.environ.get("STEPS", "30")), int(os.environ.get("EXAMPLES", "15"))
HOUR = 3600.0
ATTEMPTS = 3  # then a recording is given up
HAS_AUDIO = ("waiting", "half", "given_up")
KEPT_S, QUEUED_S = 30 * 24 * HOUR, 24 * HOUR
CRASH, REJECT = "crash", "reject"


# --- the model: plain words and numbers ---------------------------------------------------------------------


@dataclasses.dataclass
class Sound:
    """One recording as the design sees it."""

    # waiting, half (never acknowledged: its putter died), given_up (not yet discarded), kept, failed, expired
    state: str
    due_s: float  # waiting, half: discard by; kept: expires
    attempts: int = 0  # of workers that died at it


@dataclasses.dataclass
class Person:
    known: bool = False
    agreed: set[str] = dataclasses.field(default_factory=set)
    sounds: dict[str, Sound] = dataclasses.field(default_factory=dict)

    def grant(self, purposes: list[str]) -> None:
        self.known = True
        self.agreed |= set(purposes)

    def stop(self, purposes: list[str], now_s: float) -> None:
        """Withdraw or refuse: what it stops is stopped at once."""
        self.known = True
        self.agreed -= set(purposes)
        for sound in self.sounds.values():
            if sound.state in ("waiting", "half"):
                sound.state = "failed"
            elif sound.state == "kept" and KEEP in purposes:
                sound.due_s = min(sound.due_s, now_s)

    def may(self, *purposes: str) -> bool:
        return set(purposes) <= self.agreed


class Simulation(RuleBasedStateMachine):
    """The platform and the model, side by side."""

    counted: ClassVar[dict[str, int]] = {"interleavings": 0, "steps": 0}

    def __init__(self) -> None:
        super().__init__()
        self.counted["interleavings"] += 1
        self.folder = Path(tempfile.mkdtemp())
        self.clock = memory.FixedClock()
        self.now_s = 0.0
        self.people = {name: Person() for name in PEOPLE}
        self.fate: list[str] = []  # what the extractor does next
        self.meanwhile: list[Callable[[], object]] = []  # what happens while it is at it
        self.adapters = Adapters(
            database=memory.MemoryDatabase(clock=self.clock), keys=memory.MemoryKeys(),
            long_lived=memory.MemoryKeyStore(), short_lived=memory.MemoryKeyStore(),
            bodies=memory.MemoryBlobs(clock=self.clock.now), receipt_copies=memory.MemoryBlobs(clock=self.clock.now),
            extractor=Scripted(self.fate, self.meanwhile, self._die), liveness=memory.MemoryLiveness(),
            clock=self.clock, entropy=memory.SeededEntropy(7),
        )  # fmt: skip
        self.platform: Platform
        self._open()

    def teardown(self) -> None:
        self.platform.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> None:
        self.platform = assemble(self.adapters, Settings(home=self.folder, retry_after_s=0.0))
        self._swept()

    # --- what people and operators do -------------------------------------------------------------------

    @initialize()
    def one_person_has_agreed(self) -> None:
        """So that something happens from the first step on."""
        self.grant_everything("anna")

    @rule(who=WHO, purposes=st.lists(st.sampled_from(PURPOSES), min_size=1, unique=True))
    def grant(self, who: str, purposes: list[str]) -> None:
        self.platform.grant(subject=who, purposes=purposes, caller=CALLER)
        self.people[who].grant(purposes)

    @rule(who=WHO)
    def grant_everything(self, who: str) -> None:
        self.grant(who, list(PURPOSES))

    @rule(
        who=WHO, purposes=st.lists(st.sampled_from(PURPOSES), min_size=1, unique=True),
        word=st.sampled_from(["withdraw", "refuse"]),
    )  # fmt: skip
    def stop(self, who: str, purposes: list[str], word: str) -> None:
        getattr(self.platform, word)(subject=who, purposes=purposes, caller=CALLER)
        self.people[who].stop(purposes, self.now_s)

    @rule(who=WHO, fate=st.sampled_from(["ok", "ok", "ok", "ok", CRASH, REJECT]))
    def analyze(self, who: str, fate: str) -> None:
        person = self.people[who]
        allowed, keeps = person.may(TAKE, ANALYSE), person.may(KEEP)
        self.fate[:] = [fate]
        before = self._sessions(who)
        answer = self._try(lambda: self.platform._record.analyze(Source(), Ask(subject=who), caller=CALLER))
        self.fate[:] = []
        self._number()
        assert (answer is not None) == (allowed and fate == "ok")
        new = self._sessions(who) - before
        assert len(new) == int(allowed)
        for session in new:
            kept = fate == "ok" and keeps
            person.sounds[session] = Sound("kept" if kept else "failed", self.now_s + KEPT_S)

    @rule(who=WHO)
    def submit(self, who: str) -> None:
        person = self.people[who]
        data = io.BytesIO(bytes(range(256)) * 8)
        answer = self._try(
            lambda: self.platform._record.submit(data.readinto, Ask(subject=who), caller=CALLER)
        )
        assert (answer is not None) == person.may(*PURPOSES)
        if answer is not None:
            person.sounds[answer.session_id] = Sound("waiting", self.now_s + QUEUED_S)

    @rule(fate=st.sampled_from(["ok", "ok", REJECT]))
    def work(self, fate: str) -> None:
        self.fate[:] = [fate]
        outcome = self._try(lambda: self.platform.work_next(caller=CALLER))
        self.fate[:] = []
        waiting = {
            s: sound
            for p in self.people.values()
            for s, sound in p.sounds.items()
            if sound.state == "waiting"
        }
        self._look_at_attempts()
        claimable = {s for s, one in waiting.items() if self.now_s < one.due_s and one.attempts < ATTEMPTS}
        assert (outcome is not None) == bool(claimable)
        if outcome is not None:
            assert outcome.session_id in claimable
            waiting[outcome.session_id].state = "kept" if fate == "ok" else "failed"
            waiting[outcome.session_id].due_s = self._received(outcome.session_id) + KEPT_S

    @rule(who=WHO, inline=st.booleans())
    def killed_in_an_extraction(self, who: str, inline: bool) -> None:
        """The process dies in the middle of a recording and never says so; another one opens the home."""
        if inline:
            self._killed_while_analyzing(who)
        else:
            self._killed_at_work()

    def _killed_at_work(self) -> None:
        self.fate[:] = ["kill"]
        with suppress(Killed, SottovoceError):
            self.platform.work_next(caller=CALLER)
        self.fate[:] = []
        self._restart()
        self._look_at_attempts()

    def _killed_while_analyzing(self, who: str) -> None:
        before = self._sessions(who)
        self.fate[:] = ["kill"]
        with suppress(Killed):
            self._try(lambda: self.platform._record.analyze(Source(), Ask(subject=who), caller=CALLER))
        self.fate[:] = []
        self._restart()
        for session in self._sessions(who) - before:
            self.people[who].sounds[session] = Sound("failed", 0.0)

    def _look_at_attempts(self) -> None:
        """Which recording a worker took, the model cannot know: at most one more attempt, and at ATTEMPTS the end."""
        more = 0
        with self.adapters.database.read() as tx:
            for sound, recording in [
                (sound, tx.recordings.get(session))
                for person in self.people.values()
                for session, sound in person.sounds.items()
                if sound.state == "waiting"
            ]:
                assert recording is not None
                if recording.failure == "attempts_exhausted":
                    assert sound.attempts == ATTEMPTS
                    sound.state = "failed" if recording.ended else "given_up"
                elif not recording.ended and recording.failure is None:
                    more += recording.attempts - sound.attempts
                    sound.attempts = recording.attempts
        assert more <= 1

    def _restart(self) -> None:
        """What the process held is let go of as a kill does: nothing is closed, the lease's owner is gone."""
        for port, call in MORTAL:
            vars(getattr(self.adapters, port)).pop(call, None)
        self.adapters = dataclasses.replace(self.adapters, liveness=After())
        self._open()

    def _die(self) -> None:
        """From here on this process changes nothing any more, whatever its handlers try."""
        for port, call in MORTAL:
            setattr(getattr(self.adapters, port), call, dead)

    # --- in the middle of an analysis -------------------------------------------------------------------

    @rule(
        who=WHO, purposes=st.lists(st.sampled_from(PURPOSES), min_size=1, unique=True),
        word=st.sampled_from(["withdraw", "refuse"]),
    )  # fmt: skip
    def stopped_while_analyzing(self, who: str, purposes: list[str], word: str) -> None:
        """The result is returned only where recording and analysing are still allowed, kept only where keeping is."""
        person = self.people[who]
        allowed, keeps = person.may(TAKE, ANALYSE), person.may(KEEP)

        def stop() -> None:
            getattr(self.platform, word)(subject=who, purposes=purposes, caller=CALLER)
            person.stop(purposes, self.now_s)

        answer, new = self._analyzed_with(who, stop)
        stays = allowed and not {TAKE, ANALYSE} & set(purposes)
        assert (answer is not None) == stays
        assert len(new) == int(allowed)
        for session in new:
            kept = stays and keeps and KEEP not in purposes
            person.sounds[session] = Sound("kept" if kept else "failed", self.now_s + KEPT_S)

    @rule(who=WHO, erased=st.booleans())
    def erased_or_overdue_while_analyzing(self, who: str, erased: bool) -> None:
        if erased:
            self._erased_while_analyzing(who)
        else:
            self._overdue_while_analyzing(who)

    def _erased_while_analyzing(self, who: str) -> None:
        def erase() -> None:
            assert self.platform.erase(subject=who, caller=CALLER).result == "erased"
            self.people[who] = Person()

        answer, new = self._analyzed_with(who, erase)
        assert (answer, new) == (None, set())

    def _overdue_while_analyzing(self, who: str) -> None:
        """The deadline passes and a sweep runs: the audio goes then, result or not."""
        allowed = self.people[who].may(TAKE, ANALYSE)

        def late() -> None:
            self.advance(1.0)
            self.sweep()

        answer, new = self._analyzed_with(who, late)
        assert answer is None
        assert len(new) == int(allowed)
        self.people[who].sounds |= {session: Sound("failed", 0.0) for session in new}

    @rule(
        who=WHO, purposes=st.lists(st.sampled_from(PURPOSES), min_size=1, unique=True),
        erased=st.booleans(),
    )  # fmt: skip
    def stopped_while_at_work(self, who: str, purposes: list[str], erased: bool) -> None:
        """A worker has a recording open when somebody, perhaps its own person, withdraws or is erased."""

        def stop() -> None:
            if erased:
                self.platform.erase(subject=who, caller=CALLER)
                self.people[who] = Person()
            else:
                self.platform.withdraw(subject=who, purposes=purposes, caller=CALLER)
                self.people[who].stop(purposes, self.now_s)

        self.meanwhile[:] = [stop]
        outcome = self._try(lambda: self.platform.work_next(caller=CALLER))
        self.meanwhile[:] = []
        self._look_at_attempts()
        for person in self.people.values():
            sound = person.sounds.get(outcome.session_id) if outcome else None
            if sound is not None and sound.state == "waiting":
                sound.state, sound.due_s = "kept", self._received(outcome.session_id) + KEPT_S

    def _analyzed_with(self, who: str, work: Callable[[], object]) -> tuple[Any, set[str]]:
        """The answer of an analysis in the middle of which something happens, and the sessions that it left."""
        before = self._sessions(who)
        self.meanwhile[:] = [work]
        answer = self._try(lambda: self.platform._record.analyze(Source(), Ask(subject=who), caller=CALLER))
        self.meanwhile[:] = []
        return answer, self._sessions(who) - before

    # --- dead before or after any commit ----------------------------------------------------------------

    @rule(
        who=WHO, verb=st.sampled_from(["analyze", "submit", "withdraw", "erase"]),
        nth=st.integers(1, 6), when=st.sampled_from(["before", "after"]),
    )  # fmt: skip
    def killed_at_a_commit(self, who: str, verb: str, nth: int, when: str) -> None:
        """Whatever was done is there wholly or not at all once the home has been opened again."""
        before = self._sessions(who)
        self._arm(nth, when)
        with suppress(Killed, SottovoceError):
            self._say(who, verb)
        self._restart()
        self._adopt(who, verb, before)
        self._swept()

    def _say(self, who: str, verb: str) -> None:
        if verb == "analyze":
            self.platform._record.analyze(Source(), Ask(subject=who), caller=CALLER)
        elif verb == "submit":
            data = io.BytesIO(bytes(range(256)) * 8)
            self.platform._record.submit(data.readinto, Ask(subject=who), caller=CALLER)
        elif verb == "withdraw":
            self.platform.withdraw(subject=who, purposes=[TAKE, KEEP], caller=CALLER)
        else:
            self.platform.erase(subject=who, caller=CALLER)

    def _adopt(self, who: str, verb: str, before: set[str]) -> None:
        """Which of the allowed outcomes it was."""
        person = self.people[who]
        with self.adapters.database.read() as tx:
            found = self.platform._record.people.find(tx, who)
        if verb == "erase" and found is None:
            self.people[who] = Person()
        elif verb == "withdraw" and found is not None:
            states = self.platform.consents(subject=who, caller=CALLER)
            given = {one.purpose for one in states if str(one.status) == "granted"} & set(PURPOSES)
            assert given in (person.agreed, person.agreed - {TAKE, KEEP}), "a batch is whole or absent"
            if given != person.agreed or not person.known:
                person.stop([TAKE, KEEP], self.now_s)
        for session in self._sessions(who) - before:
            state = self._state(session)
            assert person.may(TAKE, ANALYSE)
            assert person.may(KEEP) or state == "failed"
            due_s = KEPT_S if state == "kept" else QUEUED_S
            person.sounds[session] = Sound(state, self.now_s + due_s)

    def _state(self, session: str) -> str:
        with self.adapters.database.read() as tx:
            recording = tx.recordings.get(session)
            kept = bool(tx.records.of_session(session))
        assert recording is not None
        if recording.ended:
            return "kept" if kept else "failed"
        assert recording.shape == "submit"
        return "half" if recording.body_stored_at is None else "waiting"

    def _arm(self, nth: int, when: str) -> None:
        database = self.adapters.database
        begun, real = itertools.count(1), database.begin

        @contextmanager
        def begin(**given: Any) -> Iterator[Any]:
            mine = next(begun)
            if mine == nth and when == "before":
                self._die()
                raise Killed
            with real(**given) as tx:
                yield tx
            if mine == nth:
                self._die()
                raise Killed

        vars(database)["begin"] = begin

    @rule()
    def restart(self) -> None:
        self.platform.close()
        self._open()

    @rule(hours=st.sampled_from([1.0, 23.0, 24.5, 24.0 * 29, 24.0 * 31]))
    def advance(self, hours: float) -> None:
        self.clock.advance(timedelta(hours=hours))
        self.now_s += hours * HOUR

    @rule()
    def sweep(self) -> None:
        assert self.platform.sweep(caller=CALLER).errors == ()
        self._swept()

    @rule()
    def rotate(self) -> None:
        self.platform.rotate_keys(caller=CALLER)

    @rule(who=WHO)
    def erase(self, who: str) -> None:
        answer = self.platform.erase(subject=who, caller=CALLER)
        assert answer.result == ("erased" if self.people[who].known else "nothing_held")
        self.people[who] = Person()

    @precondition(lambda self: any(person.sounds for person in self.people.values()))
    @rule(data=st.data())
    def erase_session(self, data: Any) -> None:
        who = data.draw(st.sampled_from([name for name, person in self.people.items() if person.sounds]))
        session = data.draw(st.sampled_from(sorted(self.people[who].sounds)))
        assert self.platform.erase(subject=who, session_id=session, caller=CALLER).result == "erased"
        del self.people[who].sounds[session]

    def _swept(self) -> None:
        """Every deadline that has passed has taken effect."""
        for person in self.people.values():
            for sound in person.sounds.values():
                if sound.state == "given_up":
                    sound.state = "failed"
                if sound.due_s <= self.now_s and sound.state in ("waiting", "half", "kept"):
                    sound.state = "expired" if sound.state == "kept" else "failed"

    # --- what must hold after every step ----------------------------------------------------------------

    @invariant()
    def the_platform_shows_what_the_model_says(self) -> None:
        for name, person in self.people.items():
            with self.adapters.database.read() as tx:
                found = self.platform._record.people.find(tx, name)
                recordings = tx.recordings.of_subject(found.id) if found else ()
                records = {one.id: {r.kind for r in tx.records.of_session(one.id)} for one in recordings}
            assert set(records) == set(person.sounds)
            assert (found is not None) == person.known
            for session, sound in person.sounds.items():
                assert bool(records[session]) == (sound.state == "kept"), (session, sound, records[session])
                has_audio = self.adapters.bodies.exists(session) and self.platform.keyring.exists(session)
                assert sound.state in ("half", "given_up") or has_audio == (sound.state == "waiting")
        self.counted["steps"] += 1

    @invariant()
    def no_audio_is_left_over(self) -> None:
        waiting, perhaps = self._in_state("waiting"), self._in_state(*HAS_AUDIO)
        bodies = {info.path for info in self.adapters.bodies.list()}
        keys = {row.key_id for row in self.platform.keyring.rows() if row.kind == "recording"}
        for held in (bodies, keys):
            assert waiting <= held <= perhaps

    def _in_state(self, *states: str) -> set[str]:
        return {s for p in self.people.values() for s, sound in p.sounds.items() if sound.state in states}

    @invariant()
    def the_log_verifies(self) -> None:
        assert self.platform.verify_audit().intact

    # --- helpers ----------------------------------------------------------------------------------------

    def _try(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except SottovoceError:
            return None
        finally:
            self._number()

    def _number(self) -> None:
        with suppress(SottovoceError):  # a dead process numbers nothing; the next opening does
            self.platform._number()

    def _sessions(self, who: str) -> set[str]:
        with self.adapters.database.read() as tx:
            found = self.platform._record.people.find(tx, who)
            return {one.id for one in tx.recordings.of_subject(found.id)} if found else set()

    def _received(self, session: str) -> float:
        with self.adapters.database.read() as tx:
            recording = tx.recordings.get(session)
        assert recording is not None
        return self.now_s - (self.clock.now() - recording.received_at).total_seconds()


class Killed(BaseException):
    """The process ends here."""


MORTAL = [("database", "begin"), ("bodies", "delete"), ("short_lived", "delete"), ("long_lived", "delete")]


def dead(*_: Any, **__: Any) -> Any:
    raise StorageError("This process has ended.")


@dataclasses.dataclass
class Scripted(memory.InlineExtractor):
    fate: list[str]
    meanwhile: list[Callable[[], object]]
    die: Callable[[], None]

    def level(self) -> str:
        return "rlimits"

    def extract(self, source: object, options: object) -> Extraction:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        fate = self.fate.pop(0) if self.fate else "ok"
        if fate == "kill":
            self.die()
            raise Killed
        if fate == REJECT:
            raise AudioRejected(reason="header_invalid")
        if fate == CRASH:
            raise ExtractionFailed
        return Extraction(
            FeatureVector(tuple(20.0 + i / 7 for i in range(88)), "compat", "egemaps-88/1", 16000),
            Quality(11.0, 500, 0.0, 31.5, "wav/pcm_16", 16000, 1, "0"),
        )

    def close(self) -> None:
        return


@dataclasses.dataclass
class After:
    """The liveness of a process that came later: whoever came before is known to have ended."""

    def owner(self) -> str:
        return "a later process " + str(id(self))

    def alive(self, owner: str) -> bool:
        return owner == self.owner()

    def close(self) -> None:
        return


@dataclasses.dataclass
class Source:
    fd: int = -1
    size_bytes: int = 2048

    def discard(self) -> bool:
        return True


# A planted bug has to be found, not explained: looking for its shortest example takes minutes.
PHASES = [Phase.generate] if os.environ.get("QUICK") else list(Phase)
TestInterleavings = Simulation.TestCase
TestInterleavings.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, phases=PHASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
