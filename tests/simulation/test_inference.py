"""Interleavings of recordings, consents to one inference, holds and kills, against a model of a few lines.

A withdrawal comes before the audio is read, or between the model and the commit; a process may die before or after any
commit of a withdrawal. What a model said has to be there exactly where the plain model below says so, and fsck finds no
inference without its consent. STEPS and EXAMPLES make it longer.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sottovoce.adapters import memory
from sottovoce.adapters.memory import MemoryModels
from sottovoce.app import Adapters, Platform, assemble
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.mark import MarkKind
from sottovoce.model.record import Decision
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings
from sottovoce.usecases.models import file_entries
from sottovoce.usecases.record import Ask
from sottovoce.voice.models.card import FORMAT
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.write_tflite import write_tflite

INFER = "infer_apparent_sex"
ALL = ["voice_recording", "voice_analysis", "data_retention_30_days"]
PEOPLE = ("anna", "berta")
CALLER = Caller(actor="tester", channel="test")
STEPS, EXAMPLES = int(os.environ.get("STEPS", "25")), int(os.environ.get("EXAMPLES", "15"))
NETWORK = make_network(
    mean=np.zeros(88), scale=np.ones(88), layers=[(np.full((1, 88), 0.01), [0.1])], output="sigmoid",
    about=About("apparent_sex", ("female", "male"), "compat", "egemaps-88/1"),
)  # fmt: skip
BODY: dict[str, Any] = {
    "format": FORMAT, "purpose": "a test", "attribute": "apparent_sex", "labels": ["female", "male"],
    "output": "sigmoid", "feature_profile": "compat", "feature_version": "egemaps-88/1",
    "training_data": {"description": "none", "sha256": "not available", "speakers": 0, "recordings": 0},
    "error": "not available", "groups": [], "conformal": "not available", "privacy": "none", "not_for": ["any use"],
    "demonstration": False, "files": file_entries(NETWORK, np.zeros((1, 88))),
}  # fmt: skip


@dataclasses.dataclass
class Person:
    """As the design sees a person: do they agree, are they held, of which of their sessions something is inferred."""

    agrees: bool = False
    held: bool = False
    said: dict[str, bool] = dataclasses.field(default_factory=dict)  # session -> whether it may be used

    def stop(self) -> None:
        self.agrees = False
        self.said = dict.fromkeys(self.said, False)


class Scripted(memory.InlineExtractor):
    """One result; what happens meanwhile is done while it is made."""

    def __init__(self, meanwhile: list[Callable[[], object]]) -> None:
        self._meanwhile = meanwhile

    def extract(self, source: object, options: object) -> Extraction:
        while self._meanwhile:
            self._meanwhile.pop()()
        vector = FeatureVector(tuple(20.0 + i for i in range(88)), "compat", "egemaps-88/1", 16_000)
        return Extraction(vector, Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16_000, 1, "0"))


class Source:
    fd, size_bytes = -1, 10

    def discard(self) -> bool:
        return True


class Killed(BaseException):
    """The process is dead."""


class Simulation(RuleBasedStateMachine):
    counted: ClassVar[dict[str, int]] = {"interleavings": 0, "steps": 0, "inferences": 0}

    def __init__(self) -> None:
        super().__init__()
        self.counted["interleavings"] += 1
        self.folder = Path(tempfile.mkdtemp())
        self.people = {name: Person() for name in PEOPLE}
        self.reading: list[Callable[[], object]] = []  # happens while the audio is read
        self.sealing: list[Callable[[], object]] = []  # happens when the keys of the result are made
        self.keys = memory.MemoryKeyStore()
        clock = memory.FixedClock()
        self.adapters = Adapters(
            database=memory.MemoryDatabase(clock=clock), keys=memory.MemoryKeys(), long_lived=self.keys,
            short_lived=memory.MemoryKeyStore(), bodies=memory.MemoryBlobs(clock=clock.now),
            receipt_copies=memory.MemoryBlobs(clock=clock.now), extractor=Scripted(self.reading),
            liveness=memory.MemoryLiveness(), clock=clock, entropy=memory.SeededEntropy(7), models=MemoryModels(),
        )  # fmt: skip
        self._insert = self.keys.insert
        self.keys.insert = self._interrupted  # type: ignore[method-assign]
        self.clock = clock
        self.platform: Platform
        self._open()
        data = write_tflite(NETWORK)
        self.platform.add_model(data, self.platform.sign_model_card(BODY, model=data))

    def teardown(self) -> None:
        self.platform.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> None:
        self.platform = assemble(
            self.adapters, Settings(home=self.folder, infer=("apparent_sex",), retry_after_s=0.0)
        )

    def _interrupted(self, rows: Any) -> None:
        """Something happens between the model and the commit, when the keys of a result are made."""
        if any(row.kind == "record" for row in rows):
            while self.sealing:
                self.sealing.pop()()
        self._insert(rows)

    # --- what people and operators do -------------------------------------------------------------------

    @initialize()
    def everybody_lets_themselves_be_analysed(self) -> None:
        for who in PEOPLE:
            self.platform.grant(subject=who, purposes=ALL, caller=CALLER)
        self.agree("anna")

    @rule(who=st.sampled_from(PEOPLE))
    def agree(self, who: str) -> None:
        self._tick()
        self.platform.grant(subject=who, purposes=[INFER], caller=CALLER)
        self.people[who].agrees = True

    @rule(who=st.sampled_from(PEOPLE), word=st.sampled_from(["withdraw", "refuse"]))
    def stop(self, who: str, word: str) -> None:
        self._tick()
        getattr(self.platform, word)(subject=who, purposes=[INFER], caller=CALLER)
        self.people[who].stop()

    @rule(who=st.sampled_from(PEOPLE), shape=st.sampled_from(["analyze", "submit"]))
    def record(self, who: str, shape: str) -> None:
        self._recorded(who, shape)

    @rule(
        who=st.sampled_from(PEOPLE), shape=st.sampled_from(["analyze", "submit"]),
        where=st.sampled_from(["reading", "sealing"]), again=st.booleans(),
    )  # fmt: skip
    def record_and_stop(self, who: str, shape: str, where: str, again: bool) -> None:
        """The consent goes while the recording is worked on; it may even be given anew before the commit."""

        def stop() -> None:
            self.stop(who, "withdraw")
            if again:
                self.agree(who)

        getattr(self, where)[:] = [stop]
        self._recorded(who, shape, ran=self.people[who].agrees, where=where)

    def _recorded(self, who: str, shape: str, *, ran: bool | None = None, where: str = "") -> None:
        person = self.people[who]
        if shape == "analyze":
            answer = self.platform._record.analyze(Source(), Ask(subject=who), caller=CALLER)
            session, told = answer.session_id, bool(answer.inferences)
        else:
            read = io.BytesIO(bytes(2048)).readinto
            session = self.platform._record.submit(read, Ask(subject=who), caller=CALLER).session_id
            assert self.platform.work_next(caller=CALLER) is not None
            told = None
        # between the model and the commit: what did not run cannot be kept, however much is agreed to by then
        ran_at_all = ran if where == "sealing" else person.agrees
        person.said[session] = bool(ran_at_all and person.agrees)
        assert told in (None, person.said[session])
        self.counted["inferences"] += int(person.said[session])

    @rule(who=st.sampled_from(PEOPLE))
    def hold_or_lift(self, who: str) -> None:
        person = self.people[who]
        marks = [m for m in self.platform.marks(subject=who) if m.kind == "hold" and m.lifted_at is None]
        if marks:
            self.platform.lift(marks[0].id, caller=CALLER)
        else:
            self.platform.mark(
                subject=who, kind=MarkKind.HOLD, reason="legal_claims", asked_by="operator", caller=CALLER
            )
        person.held = not marks

    @rule(who=st.sampled_from(PEOPLE), nth=st.integers(1, 4), when=st.sampled_from(["before", "after"]))
    def killed_at_a_commit_of_a_withdrawal(self, who: str, nth: int, when: str) -> None:
        """Withdrawn or not, never half: the ledger says which."""
        self._tick()
        self._arm(nth, when)
        try:
            self.platform.withdraw(subject=who, purposes=[INFER], caller=CALLER)
        except Killed:
            pass
        finally:
            vars(self.adapters.database).pop("begin", None)
        self._open()
        states = {one.purpose: str(one.status) for one in self.platform.consents(subject=who)}
        if states[INFER] != "granted":
            self.people[who].stop()

    def _arm(self, nth: int, when: str) -> None:
        database, left = self.adapters.database, [nth]
        real = database.begin

        @contextmanager
        def begin(**given: Any) -> Iterator[Any]:
            left[0] -= 1
            with real(**given) as tx:
                yield tx
                if left[0] == 0 and when == "before":
                    raise Killed
            if left[0] == 0:
                raise Killed

        vars(database)["begin"] = begin

    @rule()
    def restart(self) -> None:
        self.platform.close()
        self._open()

    @rule()
    def sweep(self) -> None:
        assert self.platform.sweep(caller=CALLER).errors == ()
        for person in self.people.values():
            for session, usable in person.said.items():
                assert person.held or len(self._rows(session)) == int(usable), "destroyed, unless it is held"

    def _rows(self, session: str) -> list[Decision]:
        with self.adapters.database.read() as tx:
            return [one for one in tx.records.decisions_of_session(session) if one.purpose == INFER]

    def _tick(self) -> None:
        """No two consents at the same instant: the order in the ledger is the order of the clock."""
        self.clock.advance(timedelta(seconds=1))

    # --- what must hold after every step ----------------------------------------------------------------

    @invariant()
    def what_was_said_is_there_exactly_where_it_is_agreed_to(self) -> None:
        self.counted["steps"] += 1
        for who, person in self.people.items():
            for session, usable in person.said.items():
                readable = [one for one in self._rows(session) if self.clock.now() < one.expires_at]
                assert len(readable) == int(usable), (who, session, person)
                assert all(self.platform.keyring.exists(d.id) for d in readable)

    @invariant()
    def fsck_finds_no_inference_without_its_consent(self) -> None:
        codes = {finding.code for finding in self.platform.fsck(caller=CALLER).findings}
        assert not {code for code in codes if code.startswith("inference_")}, codes


TestInference = Simulation.TestCase
TestInference.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
)  # fmt: skip
