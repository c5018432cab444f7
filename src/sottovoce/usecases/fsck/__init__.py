"""The invariants I1 to I10 of the reliability contract, checked on a live home, one module per group of them."""

from sottovoce.usecases.fsck.check import Fsck
from sottovoce.usecases.fsck.report import SWEEP_INTERVAL, TITLES, Checked, Finding, FsckReport

__all__ = ["SWEEP_INTERVAL", "TITLES", "Checked", "Finding", "Fsck", "FsckReport"]
