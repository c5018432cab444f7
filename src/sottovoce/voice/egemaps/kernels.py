"""The compiled loops of the extractor (kernels.c), where a C compiler was there at installation; else None.

    compiled = kernels.library()
    if compiled is not None:
        return compiled.magnitudes(spectrum)

They are a matter of speed alone: the numpy code beside each call gives the same bits, and is what counts where the
two differ. The library is loaded when this module is imported, so a sealed child inherits it from its parent.
`numpy_only()` does without, for tests and measurements. Built by hatch_build.py; why, in ADR 0012.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sottovoce.voice.egemaps.numeric import F32, F64, Bools, Ints

FILE = Path(__file__).with_name("_kernels.so")
VERSION = 2  # of the functions' arguments and results; an older file beside newer code is not used
CANDIDATES = 6
MOST_BINS = 16385

_numpy_only: ContextVar[bool] = ContextVar("numpy_only", default=False)

# Of each function, its arguments: p an array, i an int64, c an int32.
_ARGUMENTS = {
    "magnitudes": "pip",
    "enhanced": "piicp",
    "summation": "piippip",
    "highest": "piip",
    "advance": "ppipp",
    "harmonics": "ppipiippp",
    "nearest_maximum": "piipp",
    "periods": "ppppipiiiipp",
}
_TYPES: dict[str, Any] = {"p": ctypes.c_void_p, "i": ctypes.c_int64, "c": ctypes.c_int32}


@contextlib.contextmanager
def numpy_only() -> Iterator[None]:
    """Inside, everything runs as on a machine without a compiler."""
    token = _numpy_only.set(True)
    try:
        yield
    finally:
        _numpy_only.reset(token)


def library() -> Kernels | None:
    """The compiled loops, or None: then the numpy code does it."""
    return None if _numpy_only.get() else _LOADED


class Kernels:
    """Arrays in, new arrays out; each does what the numpy function named in kernels.c does, to the bit."""

    def __init__(self, file: Path) -> None:
        """OSError or AttributeError where the file is missing, made for another machine, or older than this."""
        found = ctypes.CDLL(str(file))
        if found.sottovoce_kernels_version() != VERSION:
            raise OSError("The compiled loops are of another version.")
        self._call = {}
        for name, letters in _ARGUMENTS.items():
            function = found[f"sottovoce_{name}"]
            function.argtypes = [_TYPES[letter] for letter in letters]
            function.restype = ctypes.c_int32 if name == "periods" else None
            self._call[name] = function

    def magnitudes(self, spectrum: NDArray[np.complex128]) -> F32:
        """(rows, bins) -> the same shape."""
        spectrum = np.ascontiguousarray(spectrum, dtype=np.complex128)
        out = np.empty(spectrum.shape, dtype=np.float32)
        self._call["magnitudes"](_at(spectrum), spectrum.size, _at(out))
        return out

    def enhanced(self, spectrum: F32, *, corrected: bool) -> F64:
        """(rows, bins) -> the same shape."""
        _check_width(spectrum)
        spectrum = np.ascontiguousarray(spectrum, dtype=np.float32)
        out = np.empty(spectrum.shape)
        self._call["enhanced"](_at(spectrum), *spectrum.shape, corrected, _at(out))
        return out

    def summation(self, spectrum: F32, shifts: Ints, factors: F32) -> F32:
        """(rows, n), (copies,) and (copies,) -> (rows, n)."""
        spectrum = np.ascontiguousarray(spectrum, dtype=np.float32)
        out = np.empty_like(spectrum)
        shifts, factors = shifts.astype(np.int64), factors.astype(np.float32)
        self._call["summation"](
            _at(spectrum), *spectrum.shape, _at(shifts), _at(factors), len(shifts), _at(out)
        )
        return out

    def highest(self, total: F32) -> Ints:
        """(rows, n) -> (rows, 6), -1 where there is none."""
        _check_width(total)
        total = np.ascontiguousarray(total, dtype=np.float32)
        out = np.empty((len(total), CANDIDATES), dtype=np.int64)
        self._call["highest"](_at(total), *total.shape, _at(out))
        return out

    def advance(self, steps: F64, local: F64, total: F64) -> tuple[F64, Ints]:
        """(n, 7, 7), (n, 7) and (7,) -> (7,) new totals and (n, 7) predecessors."""
        steps, local = np.ascontiguousarray(steps), np.ascontiguousarray(local)
        total, came_from = total.copy(), np.empty(local.shape, dtype=np.int64)
        self._call["advance"](_at(steps), _at(local), len(local), _at(total), _at(came_from))
        return total, came_from

    def harmonics(self, magnitude: F32, f0_hz: F64, axis_hz: F64, most: int) -> tuple[Ints, Bools, Bools]:
        """(rows, bins), (rows,), (bins,) -> (rows, most): bins, whether found, whether doubled."""
        magnitude = np.ascontiguousarray(magnitude, dtype=np.float32)
        f0_hz, axis_hz = np.ascontiguousarray(f0_hz), np.ascontiguousarray(axis_hz)
        bins = np.zeros((len(magnitude), most), dtype=np.int64)
        found, doubled = np.zeros((2, *bins.shape), dtype=np.bool_)
        self._call["harmonics"](
            _at(magnitude), _at(f0_hz), len(magnitude), _at(axis_hz), len(axis_hz), most,
            _at(bins), _at(found), _at(doubled),
        )  # fmt: skip
        return bins, found, doubled

    def nearest_maximum(self, acf: F32, expected: Ints) -> Ints:
        """(rows, lags) and (rows,) -> (rows,)."""
        acf, expected = np.ascontiguousarray(acf, dtype=np.float32), expected.astype(np.int64)
        out = np.empty(len(acf), dtype=np.int64)
        self._call["nearest_maximum"](_at(acf), *acf.shape, _at(expected), _at(out))
        return out

    def periods(
        self, waveform: tuple[F64, F64], signal: F32, f0_hz: F32, sizes: tuple[int, int, int], memory: F64
    ) -> F64 | None:
        """(n,) steps with (2, n + 1) their sums, (n,) signal, (frames,) F0 -> (frames, 2) jitter and shimmer.

        sizes: sample rate, hop, length; memory: (4,) carry, last jitter, last shimmer, last period; it is updated.
        None where the arrays are too short for what is asked: memory is then as before.
        """
        steps, totals = (np.ascontiguousarray(part) for part in waveform)
        signal, f0_hz = (np.ascontiguousarray(part, dtype=np.float32) for part in (signal, f0_hz))
        out = np.empty((len(f0_hz), 2))
        failed = self._call["periods"](
            _at(steps), _at(totals[0]), _at(totals[1]), _at(signal), len(steps),
            _at(f0_hz), len(f0_hz), *sizes, _at(memory), _at(out),
        )  # fmt: skip
        return None if failed else out


def _check_width(rows: F32) -> None:
    if not 2 <= rows.shape[1] <= MOST_BINS:
        raise ValueError("spectra have 2 to 16385 bins")


def _at(array: NDArray[np.generic]) -> int:
    address: int = array.__array_interface__["data"][0]  # array.ctypes takes three times as long
    return address


def load(file: Path) -> Kernels | None:
    """The loops in that file; None where it is missing or of no use here."""
    try:
        return Kernels(file)
    except (OSError, AttributeError):
        return None


_LOADED = load(FILE)
