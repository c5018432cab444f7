"""Executed checks of a home: each line says what was looked at and found, never that something is "fine"."""

from __future__ import annotations

from dataclasses import dataclass

from sottovoce.errors import SottovoceError
from sottovoce.model.outcome import Check
from sottovoce.model.policy import Policy
from sottovoce.ports import Database, Extractor
from sottovoce.usecases.cases import Cases
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.oversight import Oversight
from sottovoce.usecases.retention import RetentionSweep
from sottovoce.usecases.witnessing import Witnessing

_LITTLE_SPACE_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class Host:
    """Facts of the machine, gathered outside."""

    swaps: tuple[str, ...]
    free_bytes: int
    open_to_others: tuple[str, ...]
    core_dumps: bool


@dataclass(frozen=True, kw_only=True)
class Doctor:
    database: Database
    keyring: Keyring
    extractor: Extractor
    oversight: Oversight
    witnessing: Witnessing
    sweep: RetentionSweep
    cases: Cases
    policy: Policy

    def checks(self, host: Host) -> tuple[Check, ...]:
        """All checks, in the order in which a person would ask."""
        return (
            self._confinement(), self._keys(), self._rotation(), self._audit(), self._witnesses(), self._overdue(),
            self._clock(), self._recordings(), self._requests(), *_host(host), _embedded(),
        )  # fmt: skip

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
        status = self.oversight.keys_status()
        found = f"{status.provider['provider']}: {status.provider['protection']}; epoch {status.epoch}, rows "
        found += ", ".join(f"{kind} {count}" for kind, count in sorted(status.rows.items())) or "none"
        return Check("keys", "ok", found, status.provider["destruction"])

    def _rotation(self) -> Check:
        if self.keyring.status().rotation_pending:
            return Check("key rotation", "warn", "interrupted", "It is resumed at the next start.")
        return Check("key rotation", "ok", "none pending")

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

    def _recordings(self) -> Check:
        with self.database.read() as tx:
            counts = tx.recordings.count_by_state()
        found = ", ".join(f"{state.value} {count}" for state, count in sorted(counts.items())) or "none"
        return Check("recordings", "ok", found)


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
