"""Choosing a model without fooling oneself: every choice is made on some speakers and judged on others.

    chosen = choose(data, shapes, ...)        the simplest shape that is as good as the best, by cross-validation
    nested(data, shapes, ...)                 out-of-fold logits of the whole procedure, choice included

Shapes are ordered from the simplest on. The simplest that is worse than the best by no more than one standard error is
taken (Breiman et al. 1984, 3.4.3); the error is that of the difference, since both were judged on the same people. The
probabilities are then calibrated on logits that the model gave to speakers it had not seen (Platt 1999, with his
smoothed targets); never on those it was fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from sottovoce.learning.fitting import Fitted, Shape, fit, log_losses, sigmoid
from sottovoce.learning.units import Speakers, folds, per_speaker

Floats = NDArray[np.float64]
INNER_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows of known speakers with what is to be learned of them."""

    rows: Floats = field(repr=False)  # (n, inputs)
    targets: Floats = field(repr=False)  # (n,) of 0..1
    speakers: Speakers

    def take(self, rows: ArrayLike) -> Labelled:
        which = np.asarray(rows, dtype=np.intp)
        return Labelled(self.rows[which], self.targets[which], self.speakers.take(which))

    def without(self, rows: ArrayLike) -> Labelled:
        return self.take(np.setdiff1d(np.arange(len(self.targets)), rows))

    @property
    def strata(self) -> NDArray[np.intp]:
        """Whether each target is nearer to 1."""
        return (self.targets > 0.5).astype(np.intp)


@dataclass(frozen=True, slots=True)
class Choice:
    """A shape, why it was taken, and the calibration that goes with it."""

    shape: Shape
    losses: tuple[float, ...]  # mean cross-entropy over speakers, for each shape in their order
    slope: float
    offset: float


def train(data: Labelled, shape: Shape, *, seed: int = 0) -> Fitted:
    """One fit, every speaker weighing the same."""
    return fit(data.rows, data.targets, weights=data.speakers.weights(), shape=shape, seed=seed)


def cross_validated(data: Labelled, shape: Shape, *, count: int = INNER_FOLDS, seed: int = 0) -> Floats:
    """(n,) the logit that each row got from a fit that has not seen its speaker."""
    logits = np.empty(len(data.targets))
    for held in folds(data.strata, data.speakers, count=count, seed=seed):
        logits[held] = train(data.without(held), shape, seed=seed).logits(data.rows[held])
    return logits


def choose(data: Labelled, shapes: Sequence[Shape], *, count: int = INNER_FOLDS, seed: int = 0) -> Choice:
    """The simplest shape within one standard error of the best, and its calibration."""
    logits = [cross_validated(data, shape, count=count, seed=seed) for shape in shapes]
    people = [per_speaker(log_losses(one, data.targets), data.speakers) for one in logits]
    losses = [float(one.mean()) for one in people]
    best = int(np.argmin(losses))
    taken = next(number for number, one in enumerate(people) if _as_good(one, people[best]))
    slope, offset = calibrated(logits[taken], data)
    return Choice(shapes[taken], tuple(losses), slope, offset)


def made(data: Labelled, choice: Choice, *, seed: int = 0) -> Fitted:
    """The model of a choice, fitted to all of the data."""
    return train(data, choice.shape, seed=seed).rescaled(choice.slope, choice.offset)


def nested(
    data: Labelled, shapes: Sequence[Shape], *, count: int, seed: int = 0
) -> tuple[Floats, tuple[Choice, ...]]:
    """(n,) logits of rows whose speakers had no part in fit, choice or calibration; the choice of each fold."""
    logits, choices = np.empty(len(data.targets)), []
    for held in folds(data.strata, data.speakers, count=count, seed=seed):
        rest = data.without(held)
        choice = choose(rest, shapes, seed=seed + 1)
        logits[held] = made(rest, choice, seed=seed).logits(data.rows[held])
        choices.append(choice)
    return logits, tuple(choices)


def _as_good(one: Floats, best: Floats) -> bool:
    """Whether the mean of (speakers,) losses is above the best's by no more than its standard error."""
    worse = one - best
    return bool(worse.mean() <= worse.std(ddof=1) / np.sqrt(len(worse)))


def calibrated(logits: ArrayLike, data: Labelled) -> tuple[float, float]:
    """Slope (greater than 0) and offset that make probabilities of out-of-fold logits.

    Platt's targets, (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) with people as the count, keep the slope finite where the
    classes are apart.
    """
    values, weights = np.asarray(logits, dtype=np.float64), data.speakers.weights()
    ones = float(weights @ data.targets)
    zeros = float(weights.sum()) - ones
    targets = data.targets * (ones + 1) / (ones + 2) + (1 - data.targets) / (zeros + 2)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        slope, offset = np.exp(parameters[0]), parameters[1]
        scaled = slope * values + offset
        error = weights * (sigmoid(scaled) - targets)
        gradient = np.array([slope * (error @ values), error.sum()])
        return float(weights @ log_losses(scaled, targets)), gradient

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-5, 5), (-20, 20)])
    return float(np.exp(found.x[0])), float(found.x[1])
