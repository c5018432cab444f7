"""Executed checks of a home: each line says what was looked at and found, never that something is "fine"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sottovoce.errors import SottovoceError
from sottovoce.model.outcome import Check
from sottovoce.model.policy import Policy
from sottovoce.ports import Database, Extractor
from sottovoce.usecases.backup import CREATED, DRILLED
from sottovoce.usecases.cases import Cases
from sottovoce.usecases.feed import Feed
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.oversight import Oversight
from sottovoce.usecases.registry import Registry
from sottovoce.usecases.retention import RetentionSweep
from sottovoce.usecases.tombstones import Replay
from sottovoce.usecases.training import Training
from sottovoce.usecases.witnessing import Witnessing

_LITTLE_SPACE_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class Host:
    """Facts of the machine, gathered outside."""

    swaps: tuple[str, ...]
    free_bytes: int
    open_to_others: tuple[str, ...]
    core_dumps: bool
    tombstones_apart: bool = False  # on another file system than the home


@dataclass(frozen=True, kw_only=True)
class Doctor:
    database: Database
    keyring: Keyring
    extractor: Extractor
    oversight: Oversight
    witnessing: Witnessing
    sweep: RetentionSweep
    replay: Replay
    cases: Cases
    feed: Feed
    registry: Registry
    training: Training
    policy: Policy

    def checks(self, host: Host) -> tuple[Check, ...]:
        """All checks, in the order in which a person would ask."""
        return (
            self._confinement(), self._keys(), self._rotation(), self._audit(), self._witnesses(),
            self._tombstones(apart=host.tombstones_apart), self._backups(), self._overdue(),
            self._clock(), self._recordings(), self._requests(), self._recipients(), self._models(),
            self._training(),
            *_host(host), _embedded(),
        )  # fmt: skip

    def _models(self) -> Check:
        try:
            uses = self.registry.uses(self.policy.profile)
        except SottovoceError as error:
            return Check("models", "fail", error.message, error.hint)
        if not uses:
            return Check(
                "models", "ok", "none is set to be run (setting infer): nothing is inferred of anybody"
            )
        found = "; ".join(f"{use.attribute} by {use.sha256[:16]}" for use in uses)
        return Check("models", "ok", f"run on the voices of those who agree to it: {found}")

    def _training(self) -> Check:
        """Models and tables that somebody has to do something about, because people have left or a date has passed."""
        due = self.training.rounds(only_due=True)
        if due:
            return Check(
                "training", "warn", f"{len(due)} rounds wait for something to be done",
                "`sottovoce training due` says what.",
            )  # fmt: skip
        return Check("training", "ok", "no model and no table waits for anything")

    def _confinement(self) -> Check:
        try:
            level = self.extractor.level()
        except SottovoceError as error:
            return Check("sealed child", "fail", error.message, error.hint)
        if level == "seccomp":
            return Check("sealed child", "ok", "level in force: seccomp (call filter and resource limits)")
        hint = (
            'Install libseccomp (Debian: libseccomp2); the setting sandbox = "seccomp" makes it a condition.'
        )
        return Check("sealed child", "warn", "level in force: rlimits (resource limits only)", hint)

    def _keys(self) -> Check:
        try:
            status = self.oversight.keys_status()
        except SottovoceError as error:
            return Check("keys", "fail", error.message, error.hint)
        found = f"{status.provider['provider']}: {status.provider['protection']}; epoch {status.epoch}, rows "
        found += ", ".join(f"{kind} {count}" for kind, count in sorted(status.rows.items())) or "none"
        return Check(
            "keys", "ok", found, f"What is erased now opens from no copy after {status.copies.words}"
        )

    def _rotation(self) -> Check:
        """An epoch that outlived its promise is a failure: receipts name its end."""
        with self.database.read() as tx:
            age = self.keyring.epoch_age(tx.now())
        if age.overdue:
            found = "overdue: copies of the key store open what receipts say they do not"
            return Check("key rotation", "fail", found, "Run `sottovoce keys rotate`.")
        try:
            if self.keyring.is_rotation_pending():
                return Check("key rotation", "warn", "interrupted", "It is resumed at the next start.")
        except SottovoceError as error:
            return Check("key rotation", "fail", error.message, error.hint)
        if age.due_at is None:
            found = "none pending; the setting epoch_days is 0: an epoch ends only by hand"
            return Check(
                "key rotation", "warn", found, "Run `sottovoce keys rotate` as often as you promise."
            )
        return Check("key rotation", "ok", f"none pending; the next by a sweep on {age.due_at:%Y-%m-%d}")

    def _audit(self) -> Check:
        report = self.oversight.verify_audit()
        if not report.intact:
            return Check(
                "audit log", "fail", report.problem, "Compare it with a backup; do not repair it by hand."
            )
        return Check("audit log", "ok", report.evidence)

    def _witnesses(self) -> Check:
        states = self.witnessing.states()
        if not states:
            found = "none is set up: a log that is cut short or rewritten shows only against receipts that people kept"
            return Check("witnesses", "ok", found, "Name one in the setting witnesses.")
        late = [state for state in states if state.lags]
        if late:
            found = "; ".join(f"{state.witness} covers {state.size} entries and lags" for state in late)
            return Check(
                "witnesses", "fail", found, "See why it cannot be reached; its checkpoints are queued."
            )
        found = "; ".join(f"{state.witness} covers {state.size} entries" for state in states)
        return Check("witnesses", "ok", found)

    def _tombstones(self, *, apart: bool) -> Check:
        try:
            newest = self.replay.heads.newest()
            signed = 0 if newest is None else newest.head.count
            count = self.replay.walk(() if newest is None else (newest.head,)).count
        except SottovoceError as error:
            return Check("tombstones", "fail", error.message, error.hint)
        found = f"{count} entries, the first {signed} under a signed head"
        for witness in self.witnessing.witnesses:
            found += f"; {witness.name} has {self.witnessing.entombed(witness)}"
        if apart:
            return Check("tombstones", "ok", f"{found}; on a disk of their own")
        hint = "Place them on another disk than the home (setting tombstones), and leave them out of every backup."
        return Check("tombstones", "ok", f"{found}; on the disk of the home", hint)

    def _backups(self) -> Check:
        """When the last one was made and the last drill was, by the audit log of this home."""
        with self.database.read() as tx:
            made = tx.events.latest(limit=1, kind=CREATED)
            tried = tx.events.latest(limit=1, kind=DRILLED)
        drill = f"last drill {_day(tried[0].at)}: {tried[0].outcome}" if tried else "no drill was made"
        if not made:
            return Check(
                "backups", "ok", f"none is in the audit log; {drill}",
                "`sottovoce backup create`; a copy of the whole home has data, keys and KEK in one place.",
            )  # fmt: skip
        found = f"last made {_day(made[0].at)}; {drill}"
        began = max((row.created_at for row in self.keyring.long_lived.epochs()), default=made[0].at)
        if began > made[0].at:
            hint = "A rotation has ended the epoch of its keys since: make a new one."
            return Check("backups", "warn", found, hint)
        if tried and tried[0].outcome != "ok":
            return Check(
                "backups", "warn", found, "Make a new one, and try it with `sottovoce backup drill`."
            )
        return Check("backups", "ok", found)

    def _overdue(self) -> Check:
        report = self.sweep.preview()
        waiting = report.audio_discarded + report.interrupted_finished + report.records_expired
        if report.overdue or waiting:
            found = f"{report.overdue} recordings past their deadline, {waiting} things to finish or expire"
            return Check("overdue", "warn", found, "Run `sottovoce sweep`.")
        return Check("overdue", "ok", "no audio past its deadline, no record past its date")

    def _clock(self) -> Check:
        if self.sweep.clock.moved():
            found = "the clock of this machine was set: no result expires until the time is confirmed"
            return Check(
                "clock", "fail", found, "Check the time, then run `sottovoce sweep --clock-is-right`."
            )
        return Check("clock", "ok", "not moved since this machine was started")

    def _requests(self) -> Check:
        """Overdue requests are failures; a clock that nobody checked against its law is shown amber."""
        cases = self.cases.list()
        late = sum(case.overdue for case in cases)
        found = f"{len(cases)} open, {late} overdue"
        if late:
            return Check("requests", "fail", found, "`sottovoce requests list` shows them; answer them now.")
        unchecked = sorted({case.law for case in cases if not case.clock_checked})
        if unchecked:
            hint = "Compare these entries of deadlines.toml with the text of the law, or have it done."
            return Check(
                "requests", "warn", f"{found}; clocks not checked lately: {', '.join(unchecked)}", hint
            )
        return Check("requests", "ok", found)

    def _recipients(self) -> Check:
        """A recipient who has not done in time what its feed says is a failure (C15b)."""
        states = self.feed.status()
        late = [state for state in states if state.overdue]
        if late:
            found = "; ".join(f"{one.name}: {one.waiting} not acknowledged" for one in late)
            return Check("recipients", "fail", found, "`sottovoce feed status` shows since when; ask them.")
        waiting = sum(state.waiting for state in states if not state.destroyed)
        return Check(
            "recipients", "ok", f"{len(states)} known, {waiting} entries of feeds not acknowledged yet"
        )

    def _recordings(self) -> Check:
        with self.database.read() as tx:
            counts = tx.recordings.count_by_state()
        found = ", ".join(f"{state.value} {count}" for state, count in sorted(counts.items())) or "none"
        return Check("recordings", "ok", found)


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _host(host: Host) -> tuple[Check, ...]:
    swap = Check("swap", "ok", "no active unencrypted swap")
    if host.swaps:
        swap = Check(
            "swap", "warn", f"{len(host.swaps)} unencrypted swap area(s) active: audio pages may rest there",
            "Turn swap off or encrypt it; the setting refuse_swap makes it a condition.",
        )  # fmt: skip
    modes = Check("permissions", "ok", "the home is readable by its owner only")
    if host.open_to_others:
        modes = Check(
            "permissions", "warn", f"open to group or others: {', '.join(host.open_to_others)}",
            "chmod -R go= on the home.",
        )  # fmt: skip
    space = Check("disk", "ok", f"{host.free_bytes >> 20} MiB free")
    if host.free_bytes < _LITTLE_SPACE_BYTES:
        space = Check("disk", "warn", space.found, "Make room; erasure keeps a reserve of its own.")
    cores = Check("core dumps", "ok", "the sealed child forbids them for itself")
    if host.core_dumps:
        cores = Check(
            "core dumps",
            "ok",
            "possible for this process; it holds no audio of `analyze`; the sealed child forbids them",
        )
    return swap, modes, space, cores


def _embedded() -> Check:
    found = "embedded: nothing can be destroyed while nothing runs; open() sweeps what is overdue before it serves"
    return Check(
        "mode", "ok", found, "Run `sottovoce worker` or `sottovoce sweep` by a timer to keep deadlines."
    )
