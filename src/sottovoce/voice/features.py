"""The features alone, for people who want nothing else: of samples, of one window after the other, frame by frame.

    import sottovoce

    features = sottovoce.egemaps(samples, 16000)
    features.as_dict(), features.quality, features.numpy(), features.dataframe()

Nothing is stored, sealed or logged here. The numbers are personal data all the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sottovoce.errors import ExtraMissing, UsageError
from sottovoce.model.features import FeatureVector, Quality
from sottovoce.voice.egemaps.extract import MINIMUM_S
from sottovoce.voice.gate import Finding, findings_of
from sottovoce.voice.listening import PIECE, Listener
from sottovoce.voice.quality import Facts

HOP_S = 0.01
NO_FACTS = Facts(16_000, 1, "0", "samples", frozenset(), 0)
LLD_NAMES: tuple[str, ...] = (
    *(
        f"{name}_sma3"
        for name in ("Loudness", "alphaRatio", "hammarbergIndex", "slope0-500", "slope500-1500")
    ),
    *(f"{name}_sma3" for name in ("spectralFlux", "mfcc1", "mfcc2", "mfcc3", "mfcc4")),
    *(f"{name}_sma3nz" for name in ("F0semitoneFrom27.5Hz", "jitterLocal", "shimmerLocaldB", "HNRdBACF")),
    *(f"{name}_sma3nz" for name in ("logRelF0-H1-H2", "logRelF0-H1-A3")),
    *(f"F{k}{name}_sma3nz" for k in (1, 2, 3) for name in ("frequency", "bandwidth", "amplitudeLogRelF0")),
)


@dataclass(frozen=True, slots=True)
class Features(FeatureVector):
    """88 features with what tells how far to trust them; a FeatureVector wherever one is asked for."""

    quality: Quality

    def numpy(self) -> NDArray[np.float64]:
        """(88,) float64, in the order of `names`."""
        return np.array(self.values)

    def dataframe(self) -> Any:
        """One row with 88 named columns; ExtraMissing where pandas is not installed."""
        return _pandas().DataFrame([self.values], columns=list(self.names))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Silence, clipping, noise, ... in words, with the measured values."""
        return findings_of(self, self.quality)


Window = tuple[float, float, Features]  # start and end in seconds


@dataclass(frozen=True, slots=True, eq=False)
class LowLevel:
    """The smoothed contours, one row per 10 ms (60 ms frames, left-aligned); 0 where a frame has no voice."""

    values: NDArray[np.float32] = field(repr=False)  # (frames, 25)
    profile: str
    version: str

    @property
    def names(self) -> tuple[str, ...]:
        return LLD_NAMES

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(frames,) start of each frame."""
        return HOP_S * np.arange(len(self.values), dtype=np.float64)

    def dataframe(self) -> Any:
        """One row per frame; ExtraMissing where pandas is not installed."""
        return _pandas().DataFrame(self.values, columns=list(LLD_NAMES))


def egemaps(samples: NDArray[Any], sample_rate_hz: int, profile: str = "compat") -> Features:
    """88 eGeMAPS features of one channel.

    samples: (n,), floating point of -1..1 or int16, at 8,000 to 192,000 Hz (resampled to 16 kHz).

    Raises AudioRejected (`too_short`, `non_finite`, `sample_rate`), UsageError for another shape, type or profile.
    """
    listener = heard(samples, sample_rate_hz, profile)
    return features_of(listener, listener.facts())


def egemaps_per(
    samples: NDArray[Any],
    sample_rate_hz: int,
    seconds: float,
    *,
    hop_s: float | None = None,
    profile: str = "compat",
) -> Iterator[Window]:
    """One window after the other; `hop_s` from start to start (default: `seconds`).

    A rest of less than 100 ms has no features. Errors as `egemaps`; UsageError for a window of less than 100 ms.
    """
    windows = Windows(sample_rate_hz, seconds, hop_s=hop_s, profile=profile)
    signal = as_signal(samples)
    for start in range(0, len(signal), PIECE):
        windows.feed(signal[start : start + PIECE])
        yield from windows.take()
    windows.finish()
    yield from windows.take()


class Windows:
    """One channel that comes in pieces, cut into windows; each is ready as soon as its last sample was fed."""

    def __init__(
        self, sample_rate_hz: int, seconds: float, *, hop_s: float | None = None, profile: str = "compat"
    ) -> None:
        self._step_s = seconds if hop_s is None else hop_s
        if not (MINIMUM_S <= seconds < float("inf") and HOP_S <= self._step_s < float("inf")):
            raise UsageError("A window has at least 100 ms, a hop 10 ms.", hint="For example --per 3.")
        Listener(sample_rate_hz, profile=profile)  # refuses what cannot be before anything is fed
        self._rate_hz, self._profile = sample_rate_hz, profile
        self._length = round(seconds * sample_rate_hz)
        self._opened = 0  # windows begun so far
        self._at = 0  # samples fed so far
        self._open: list[tuple[int, Listener]] = []  # first sample, in order
        self._ready: list[Window] = []

    def feed(self, samples: NDArray[np.float64]) -> None:
        """(n,) the next samples. AudioRejected (`non_finite`)."""
        begin, self._at = self._at, self._at + len(samples)
        while self._start(self._opened) < self._at:
            self._open.append((self._start(self._opened), Listener(self._rate_hz, profile=self._profile)))
            self._opened += 1
        for start, listener in self._open:
            listener.feed(samples[max(0, start - begin) : start + self._length - begin])
        while self._open and self._at >= self._open[0][0] + self._length:
            self._close(*self._open.pop(0))

    def finish(self) -> None:
        """End the windows that are still open. AudioRejected (`too_short`) where the whole is below 100 ms."""
        if self._at < MINIMUM_S * self._rate_hz:
            Listener(self._rate_hz).features(NO_FACTS)
        for start, listener in self._open:
            if listener.long_enough:
                self._close(start, listener)
        self._open = []

    def take(self) -> list[Window]:
        """The windows that became ready since the last call, in order."""
        ready, self._ready = self._ready, []
        return ready

    def _start(self, index: int) -> int:
        return round(index * self._step_s * self._rate_hz)

    def _close(self, start: int, listener: Listener) -> None:
        start_s = start / self._rate_hz
        end_s = start_s + listener.frames / self._rate_hz
        self._ready.append((start_s, end_s, features_of(listener, listener.facts())))


def lld(samples: NDArray[Any], sample_rate_hz: int, profile: str = "compat") -> LowLevel:
    """The 25 low-level contours of one channel; arguments and errors as `egemaps`.

    Other than in openSMILE, formants of unvoiced frames are 0, and there is no row beyond the last complete frame.
    """
    listener = heard(samples, sample_rate_hz, profile)
    table, _ = listener.low_level(listener.facts())
    return LowLevel(table, listener.profile.name, listener.profile.version)


def heard(samples: NDArray[Any], sample_rate_hz: int, profile: str) -> Listener:
    """A listener that was fed these samples. Errors as `egemaps`, but for `too_short`."""
    listener = Listener(sample_rate_hz, profile=profile)
    listener.feed(as_signal(samples))
    return listener


def features_of(listener: Listener, facts: Facts) -> Features:
    """What a listener found in a recording of which this is known. AudioRejected (`too_short`)."""
    analysis, quality = listener.features(facts)
    vector = analysis.features
    return Features(vector.values, vector.profile, vector.version, vector.sample_rate_hz, quality)


def as_signal(samples: NDArray[Any]) -> NDArray[np.float64]:
    """int16 or floating point (n,) -> float64; UsageError for anything else."""
    array = np.asarray(samples)
    if array.dtype == np.int16:
        array = array / 32768.0
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.floating):
        raise UsageError(
            "Samples are one channel: an array of shape (n,), floating point or int16.",
            hint="Choose a channel first, for example samples[:, 0].",
        )
    return array.astype(np.float64, copy=False)


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise ExtraMissing(
            "A dataframe needs pandas.",
            hint='Install it with: pip install "sottovoce[dataframes]", or use numpy() or as_dict().',
        ) from None
