"""The speaker is the unit: recordings of one person are not independent, so people are split, weighted and counted.

per_speaker(values, speakers)           one mean for each speaker
folds(strata, speakers, ...)            every speaker in exactly one fold
halves(strata, speakers, ...)           some speakers here, the others there
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sottovoce.errors import UsageError

Rows = NDArray[np.intp]  # numbers of rows, ascending


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who each row is of: `index` (n,) numbers the speakers 0..count-1 in the sorted order of their names."""

    index: NDArray[np.intp] = field(repr=False)
    count: int

    @classmethod
    def of(cls, names: Sequence[str]) -> Speakers:
        """UsageError (reason `speaker_unknown`) where a row names nobody: strangers cannot be told apart."""
        if not all(names):
            raise UsageError(
                "A row has no speaker: rows of one person cannot be told from rows of several.",
                hint="Leave out the rows of unknown speakers, or name them.",
                reason="speaker_unknown",
            )
        found, index = np.unique(np.array(names, dtype=str), return_inverse=True)
        return cls(index.astype(np.intp), len(found))

    def weights(self) -> NDArray[np.float64]:
        """(n,) 1 / how many rows the speaker has: every person weighs 1."""
        weights: NDArray[np.float64] = 1.0 / np.bincount(self.index, minlength=self.count)[self.index]
        return weights

    def take(self, rows: ArrayLike) -> Speakers:
        """Those of some rows, numbered anew."""
        found, index = np.unique(self.index[np.asarray(rows)], return_inverse=True)
        return Speakers(index.astype(np.intp), len(found))

    def __len__(self) -> int:
        return len(self.index)


def per_speaker(values: ArrayLike, speakers: Speakers) -> NDArray[np.float64]:
    """(n,) -> (speakers,): the mean of each speaker's rows."""
    sums = np.bincount(speakers.index, np.asarray(values, dtype=np.float64), minlength=speakers.count)
    means: NDArray[np.float64] = sums / np.bincount(speakers.index, minlength=speakers.count)
    return means


def folds(strata: ArrayLike, speakers: Speakers, *, count: int, seed: int) -> list[Rows]:
    """The rows of each of `count` folds; each speaker stands in one, each stratum is spread evenly over them.

    strata: (n,) a small whole number for each row; a speaker's first row decides. UsageError (reason `too_few`) where
    a fold would stay empty.
    """
    if not 2 <= count <= speakers.count:
        raise UsageError("There are fewer speakers than parts to split them into.", reason="too_few")
    place = np.empty(speakers.count, dtype=np.intp)
    place[_dealt(strata, speakers, seed)] = np.arange(speakers.count) % count
    return [np.flatnonzero(place[speakers.index] == number) for number in range(count)]


def halves(strata: ArrayLike, speakers: Speakers, *, share: float, seed: int) -> tuple[Rows, Rows]:
    """The rows of about `share` (0..1) of the speakers of each stratum, and those of the others; neither is empty."""
    order = _dealt(strata, speakers, seed)
    first = min(max(round(share * speakers.count), 1), speakers.count - 1)
    if first < 1:
        raise UsageError("One speaker cannot be split.", reason="too_few")
    # evenly spaced in an order that is sorted by stratum: each stratum gives its share
    chosen = np.zeros(speakers.count, dtype=bool)
    chosen[order[np.floor((np.arange(first) + 0.5) * speakers.count / first).astype(np.intp)]] = True
    here = chosen[speakers.index]
    return np.flatnonzero(here), np.flatnonzero(~here)


def one_row_each(speakers: Speakers, *, seed: int) -> Rows:
    """A row of each speaker, drawn at random; ascending."""
    order = np.random.default_rng(seed).permutation(len(speakers))
    _, first = np.unique(speakers.index[order], return_index=True)
    return np.sort(order[first])


def _dealt(strata: ArrayLike, speakers: Speakers, seed: int) -> NDArray[np.intp]:
    """The speakers, shuffled within their stratum, one stratum after the other."""
    _, first = np.unique(speakers.index, return_index=True)
    stratum = np.asarray(strata)[first]
    shuffled = np.random.default_rng(seed).permutation(speakers.count)
    return shuffled[np.argsort(stratum[shuffled], kind="stable")]
