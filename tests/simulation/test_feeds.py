"""Interleavings of hand-overs, withdrawals, restrictions and erasures, with two recipients that read their feeds late,
twice and in pages of any size, against a model of a few lines.

Whatever came in which order: once a recipient has read its feed, it has exactly what the model says, and what it was
told to stop is stopped. A hand-over may fail to be written down: then nothing was handed over. STEPS and
EXAMPLES make it longer.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sottovoce.adapters import memory
from sottovoce.app import Adapters, assemble
from sottovoce.errors import ConsentRequired, NotFound, StorageError
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.mark import MarkKind
from sottovoce.model.subject import Caller
from sottovoce.sealing import acknowledgement
from sottovoce.settings import Settings
from sottovoce.usecases.record import Ask

TRAINING = "model_training"
ALL = ["voice_recording", "voice_analysis", "data_retention_30_days", TRAINING]
CALLER = Caller(actor="tester", channel="test")
STEPS, EXAMPLES = int(os.environ.get("STEPS", "30")), int(os.environ.get("EXAMPLES", "20"))
CONSUMER = runpy.run_path(str(Path(__file__).resolve().parents[2] / "examples" / "feed_consumer.py"))
WHO = st.sampled_from(["anna", "berta"])
LAB = st.sampled_from([0, 1])


class Scripted(memory.InlineExtractor):
    def extract(self, source: object, options: object) -> Extraction:
        vector = FeatureVector(tuple(20.0 + i for i in range(88)), "compat", "egemaps-88/1", 16_000)
        return Extraction(vector, Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16_000, 1, "0"))


class Source:
    fd, size_bytes = -1, 4

    def discard(self) -> bool:
        return True


@dataclass
class Person:
    """As the design sees a person, from their first consent to their erasure."""

    agrees: bool = True
    restrictions: int = 0
    sessions: list[str] = field(default_factory=list)


@dataclass
class Recipient:
    """As the design sees a recipient: what it should have, and what it should have stopped."""

    id: str
    key: dict[str, Any]
    store: Any
    names: dict[str, str] = field(default_factory=dict)  # session -> its name for the person
    has: dict[str, set[tuple[str, str]]] = field(
        default_factory=lambda: defaultdict(set)
    )  # person -> (session, name)
    stopped: set[tuple[str, str]] = field(default_factory=set)  # (its name for the person, purpose)
    known_as: dict[str, str] = field(default_factory=dict)


class Simulation(RuleBasedStateMachine):
    counted: ClassVar[dict[str, int]] = {
        "steps": 0,
        "hand-overs": 0,
        "entries": 0,
        "pages": 0,
        "failed hand-overs": 0,
    }

    @initialize()
    def open(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        clock = memory.FixedClock()
        self.clock, self.database = clock, memory.MemoryDatabase(clock=clock)
        self.platform = assemble(
            Adapters(
                database=self.database, keys=memory.MemoryKeys(), long_lived=memory.MemoryKeyStore(),
                short_lived=memory.MemoryKeyStore(), bodies=memory.MemoryBlobs(clock=clock.now),
                receipt_copies=memory.MemoryBlobs(clock=clock.now), extractor=Scripted(),
                liveness=memory.MemoryLiveness(), clock=clock, entropy=memory.SeededEntropy(7),
            ),
            Settings(home=self.home),
        )  # fmt: skip
        self.people: dict[str, Person] = {}
        self.labs = [self._lab(name) for name in ("one", "two")]
        for who in ("anna", "berta"):
            self._record(who)
            self._hand_over(who, self.labs[0], fails=False)

    def teardown(self) -> None:
        if hasattr(self, "platform"):
            for lab in self.labs:
                self._read(lab, after=CONSUMER["head"](lab.store)[0], limit=3)
            self.platform.close()
            shutil.rmtree(self.home, ignore_errors=True)

    def _lab(self, name: str) -> Recipient:
        made = self.platform.add_recipient(name, kind="team", caller=CALLER)
        key = json.loads(self.platform.feed_key(made.id))
        return Recipient(made.id, key, CONSUMER["open_store"](":memory:"))

    # --- what people do -----------------------------------------------------------------------------------

    @rule(who=WHO)
    def agree_and_record(self, who: str) -> None:
        self._record(who)

    def _record(self, who: str) -> None:
        self.platform.grant(subject=who, purposes=ALL, caller=CALLER)
        person = self.people.setdefault(who, Person())
        person.agrees = True
        if not person.restrictions:
            made = self.platform._record.analyze(Source(), Ask(subject=who), caller=CALLER)
            person.sessions.append(made.session_id)
            self.platform._number()

    @rule(who=WHO)
    def withdraw(self, who: str) -> None:
        person = self.people.get(who)
        if person is None:
            return
        self.platform.withdraw(subject=who, purposes=[TRAINING], caller=CALLER)
        person.agrees = False
        self._told(who, lambda lab: lab.stopped.add((lab.known_as[who], TRAINING)))

    @rule(who=WHO)
    def restrict(self, who: str) -> None:
        person = self.people.get(who)
        if person is None:
            return
        self.platform.mark(subject=who, kind=MarkKind.RESTRICTION, reason="accuracy_contested", caller=CALLER)
        person.restrictions += 1
        self._told(who, lambda lab: lab.stopped.add((lab.known_as[who], "*")))

    @rule(who=WHO)
    def unrestrict(self, who: str) -> None:
        person = self.people.get(who)
        if person is None or not person.restrictions:
            return
        self.platform.unrestrict(subject=who, caller=CALLER)
        person.restrictions = 0
        self._told(who, lambda lab: lab.stopped.discard((lab.known_as[who], "*")))

    @rule(who=WHO)
    def erase(self, who: str) -> None:
        self.platform.erase(subject=who, caller=CALLER)
        if self.people.pop(who, None) is None:
            return
        for lab in self.labs:
            if lab.has.pop(who, None):
                lab.stopped = {one for one in lab.stopped if one[0] != lab.known_as[who]}
            lab.known_as.pop(who, None)

    @rule(who=WHO)
    def erase_a_session(self, who: str) -> None:
        person = self.people.get(who)
        if person is None or not person.sessions:
            return
        gone = person.sessions.pop(0)
        self.platform.erase(subject=who, session_id=gone, caller=CALLER)
        for lab in self.labs:
            lab.has[who] = {one for one in lab.has[who] if one[0] != gone}

    # --- what recipients do ---------------------------------------------------------------------------------

    @rule(who=WHO, place=LAB, fails=st.sampled_from([False, False, False, True]))
    def hand_over(self, who: str, place: int, *, fails: bool) -> None:
        self._hand_over(who, self.labs[place], fails=fails)

    def _hand_over(self, who: str, lab: Recipient, *, fails: bool) -> None:
        person = self.people.get(who)
        for session in [] if person is None else person.sessions:
            self.database.disk_full, self.database._reserve = fails, True
            try:
                content = self.platform.show(session, purpose=TRAINING, recipient=lab.id, caller=CALLER)
            except StorageError:
                assert fails
                self.counted["failed hand-overs"] += 1
                continue
            except (ConsentRequired, NotFound):
                assert person is not None
                assert person.restrictions or not person.agrees
                continue
            finally:
                self.database.disk_full = False
            assert content.handed is not None
            assert person is not None
            assert person.agrees
            assert not person.restrictions
            name = content.handed.sessions[session]
            lab.known_as[who] = content.handed.subject
            lab.has[who].add((session, name))
            lab.store.execute("delete from held where session = ?", (name,))
            row = (content.handed.subject, name)
            lab.store.execute("insert into held (subject, session) values (?, ?)", row)
            self.counted["hand-overs"] += 1

    @rule(place=LAB, limit=st.integers(1, 5), again=st.booleans())
    def read_the_feed(self, place: int, limit: int, *, again: bool) -> None:
        """To its end, from where it is, or from the beginning."""
        lab = self.labs[place]
        self._read(lab, after=0 if again else CONSUMER["head"](lab.store)[0], limit=limit)

    def _read(self, lab: Recipient, *, after: int, limit: int) -> None:
        while True:
            page = self.platform.feed_page(lab.id, after=after, limit=limit, caller=CALLER)
            body = CONSUMER["verified"](page.text, lab.key)
            self.counted["entries"] += CONSUMER["apply_page"](lab.store, body)
            assert CONSUMER["apply_page"](lab.store, body) == 0  # twice, with one effect
            self.counted["pages"] += 1
            after = page.through
            if page.last:
                break
        self._compare(lab)

    @rule(place=LAB)
    def acknowledge(self, place: int) -> None:
        lab = self.labs[place]
        number, last = CONSUMER["head"](lab.store)
        if not number:
            return
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert CONSUMER["acknowledge"](lab.store, lab.key) == 0
        claim = acknowledgement.parse(printed.getvalue())
        assert (claim.through, claim.hash) == (number, last)
        key = bytes.fromhex(lab.key["acknowledgement_key"])
        text = acknowledgement.sign(
            key, recipient_id=lab.id, through=number, last_hash=last, applied_at=self.clock.now()
        )
        assert self.platform.acknowledge_feed(text, caller=CALLER).through == number

    # --- the model ------------------------------------------------------------------------------------------

    def _told(self, who: str, act: Any) -> None:
        for lab in self.labs:
            if lab.has[who]:
                act(lab)

    def _compare(self, lab: Recipient) -> None:
        held = {(subject, session) for subject, session, _ in lab.store.execute("select * from held")}
        expected = {(lab.known_as[who], name) for who, rows in lab.has.items() for _, name in rows}
        assert held == expected
        stopped = {(subject, purpose) for subject, _, purpose in lab.store.execute("select * from stopped")}
        assert stopped == lab.stopped

    @invariant()
    def feeds_are_whole(self) -> None:
        self.counted["steps"] += 1
        found = {finding.code for finding in self.platform.fsck(caller=CALLER).findings}
        assert found <= {"reserve_missing"}, found


TestFeeds = Simulation.TestCase
TestFeeds.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
)  # fmt: skip
