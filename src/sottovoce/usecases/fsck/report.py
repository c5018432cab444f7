"""What fsck says: invariants, what was looked at of each, and findings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

# What falls due while nothing runs goes with the next sweep: a worker sweeps once a minute.
SWEEP_INTERVAL = timedelta(seconds=60)

TITLES = {
    "I1": "audio is nowhere in clear, and gone where a recording has ended",
    "I2": "every stored object has a row, or is younger than the grace",
    "I3": "no key is left of a recording that has ended",
    "I4": "results are there exactly once, and only where they may be",
    "I5": "what a person has withdrawn is due or gone",
    "I6": "the audit log verifies, and every recording has its entries",
    "I7": "nothing past its date is left",
    "I8": "no privacy budget is overspent",
    "I9": "what was acknowledged is there, and opens",
    "I10": "an erasure can always go on",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as promised."""

    code: str
    what: str
    ref: str = ""  # an internal id, where one thing is concerned
    safe: bool = False  # whether --repair does something about it


@dataclass(frozen=True, slots=True)
class Checked:
    """One invariant: what was looked at, and what was found."""

    id: str
    looked_at: str
    findings: tuple[Finding, ...] = ()
    applicable: bool = True

    @property
    def title(self) -> str:
        return TITLES[self.id]


@dataclass(frozen=True, slots=True)
class FsckReport:
    """The answer of `fsck`. After a repair `checked` is what is left, `repaired` what is not found any more."""

    checked: tuple[Checked, ...]
    repaired: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for one in self.checked for finding in one.findings)

    @property
    def sound(self) -> bool:
        return not self.findings
