"""Thousands of interleavings of verbs, kills and time against a model that knows nothing of ours.

The platform is the real one on the shipped in-memory adapters, with a fake clock; the model is the few dozen lines
of `Person` and `Sound` below, written from the design alone. Set STEPS and EXAMPLES for a longer campaign.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
CALLER = Caller(actor="tester", channel="test")
STEPS, EXAMPLES = int(os.environ.get("STEPS", "40")), int(os.environ.get("EXAMPLES", "40"))
HOUR = 3600.0
KEPT_S, QUEUED_S = 30 * 24 * HOUR, 24 * HOUR
CRASH, REJECT = "crash", "reject"


# --- the model: plain words and numbers ---------------------------------------------------------------------


@dataclasses.dataclass
class Sound:
    """One recording as the design sees it."""

    state: str  # waiting, kept, failed
    due_s: float  # waiting: discard by; kept: expires


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
            if sound.state == "waiting":
                sound.state = "failed"
            elif sound.state == "kept" and KEEP in purposes:
                sound.due_s = min(sound.due_s, now_s)

    def may(self, *purposes: str) -> bool:
        return set(purposes) <= self.agreed


class Simulation(RuleBasedStateMachine):
    """The platform and the model, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = memory.FixedClock()
        self.now_s = 0.0
        self.people = {name: Person() for name in PEOPLE}
        self.fate: list[str] = []  # what the extractor does next
        self.adapters = Adapters(
            database=memory.MemoryDatabase(clock=self.clock), keys=memory.MemoryKeys(),
            long_lived=memory.MemoryKeyStore(), short_lived=memory.MemoryKeyStore(),
            bodies=memory.MemoryBlobs(clock=self.clock.now), receipt_copies=memory.MemoryBlobs(clock=self.clock.now),
            extractor=Scripted(self.fate, self._die), liveness=memory.MemoryLiveness(), clock=self.clock,
            entropy=memory.SeededEntropy(7),
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

    @rule(who=st.sampled_from(PEOPLE), purposes=st.lists(st.sampled_from(PURPOSES), min_size=1, unique=True))
    def grant(self, who: str, purposes: list[str]) -> None:
        self.platform.grant(subject=who, purposes=purposes, caller=CALLER)
        self.people[who].grant(purposes)

    @rule(who=st.sampled_from(PEOPLE))
    def grant_everything(self, who: str) -> None:
        self.grant(who, list(PURPOSES))

    @rule(
        who=st.sampled_from(PEOPLE), purposes=st.lists(st.sampled_from(PURPOSES), min_size=1, unique=True),
        word=st.sampled_from(["withdraw", "refuse"]),
    )  # fmt: skip
    def stop(self, who: str, purposes: list[str], word: str) -> None:
        getattr(self.platform, word)(subject=who, purposes=purposes, caller=CALLER)
        self.people[who].stop(purposes, self.now_s)

    @rule(who=st.sampled_from(PEOPLE), fate=st.sampled_from(["ok", "ok", CRASH, REJECT]))
    def analyze(self, who: str, fate: str) -> None:
        person = self.people[who]
        allowed, keeps = person.may(TAKE, ANALYSE), person.may(KEEP)
        self.fate[:] = [fate]
        before = self._sessions(who)
        answer = self._try(lambda: self.platform._record.analyze(Source(), Ask(subject=who), caller=CALLER))
        self._number()
        assert (answer is not None) == (allowed and fate == "ok")
        new = self._sessions(who) - before
        assert len(new) == int(allowed)
        for session in new:
            kept = fate == "ok" and keeps
            person.sounds[session] = Sound("kept" if kept else "failed", self.now_s + KEPT_S)

    @rule(who=st.sampled_from(PEOPLE))
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
        claimable = {s for s, sound in waiting.items() if self.now_s < sound.due_s}
        assert (outcome is not None) == bool(claimable)
        if outcome is not None:
            assert outcome.session_id in claimable
            waiting[outcome.session_id].state = "kept" if fate == "ok" else "failed"
            waiting[outcome.session_id].due_s = self._received(outcome.session_id) + KEPT_S

    @rule()
    def killed_at_work(self) -> None:
        """The worker dies in the middle of a recording and never says so; another one opens the home."""
        self.fate[:] = ["kill"]
        with suppress(Killed, SottovoceError):
            self.platform.work_next(caller=CALLER)
        self.fate[:] = []
        self._restart()

    @rule(who=st.sampled_from(PEOPLE))
    def killed_while_analyzing(self, who: str) -> None:
        before = self._sessions(who)
        self.fate[:] = ["kill"]
        with suppress(Killed):
            self._try(lambda: self.platform._record.analyze(Source(), Ask(subject=who), caller=CALLER))
        self.fate[:] = []
        self._restart()
        for session in self._sessions(who) - before:
            self.people[who].sounds[session] = Sound("failed", 0.0)

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

    @rule(who=st.sampled_from(PEOPLE))
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
                if sound.due_s <= self.now_s and sound.state in ("waiting", "kept"):
                    sound.state = "failed" if sound.state == "waiting" else "expired"

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
                assert has_audio == (sound.state == "waiting")

    @invariant()
    def no_audio_is_left_over(self) -> None:
        waiting = {
            s for p in self.people.values() for s, sound in p.sounds.items() if sound.state == "waiting"
        }
        assert {info.path for info in self.adapters.bodies.list()} == waiting
        assert {row.key_id for row in self.platform.keyring.rows() if row.kind == "recording"} == waiting

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
class Scripted:
    fate: list[str]
    die: Callable[[], None]

    def level(self) -> str:
        return "rlimits"

    def extract(self, source: object, options: object) -> Extraction:
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


TestInterleavings = Simulation.TestCase
TestInterleavings.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
