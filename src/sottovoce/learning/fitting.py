"""Fitting a small network: standardised inputs, fully connected layers, a sigmoid; deterministic.

    fitted = fit(rows, targets, weights=..., shape=Shape(hidden=(16,), penalty=0.01))
    fitted.logits(rows)

Without hidden layers this is logistic regression with an L2 penalty. Targets may be any numbers of 0..1 (fractional
regression: Papke and Wooldridge 1996). The whole data set is seen at each step (L-BFGS-B of scipy, gradient written
out): the same data and seed give the same weights on the same machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from sottovoce.errors import UsageError

Floats = NDArray[np.float64]
Layers = list[tuple[Floats, Floats]]  # weights (outputs, inputs), bias (outputs,)

_MOST_STEPS = 500
_CLOSE = 1e-9  # relative change of the loss at which a step is the last


@dataclass(frozen=True, slots=True)
class Shape:
    """What is fitted: hidden layers, how strongly weights are held near 0, which inputs are looked at."""

    penalty: float  # times the sum of squared weights, beside the mean loss of a row
    hidden: tuple[int, ...] = ()
    inputs: tuple[int, ...] | None = field(default=None, repr=False)  # None: all
    name: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.penalty < float("inf") or any(width < 1 for width in self.hidden):
            raise UsageError("A penalty is greater than 0, and a layer has at least one output.")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A network as it was fitted, over all inputs: those that are not looked at have weights of 0."""

    mean: Floats = field(repr=False)  # (inputs,)
    scale: Floats = field(repr=False)  # (inputs,), greater than 0
    layers: Layers = field(repr=False)

    def logits(self, rows: ArrayLike) -> Floats:
        """(n, inputs) -> (n,): the output before its sigmoid."""
        standard = (np.asarray(rows, dtype=np.float64) - self.mean) / self.scale
        return _forward(self.layers, standard)[-1][:, 0]

    def probabilities(self, rows: ArrayLike) -> Floats:
        """(n, inputs) -> (n,) of 0..1."""
        return sigmoid(self.logits(rows))

    def rescaled(self, slope: float, offset: float) -> Fitted:
        """The same with `slope * logit + offset` as its logit (a calibration, see selection.py)."""
        weights, bias = self.layers[-1]
        return Fitted(self.mean, self.scale, [*self.layers[:-1], (slope * weights, slope * bias + offset)])


def fit(rows: ArrayLike, targets: ArrayLike, *, weights: ArrayLike, shape: Shape, seed: int = 0) -> Fitted:
    """Fit to (n, inputs) rows and (n,) targets of 0..1, each row weighing as `weights` (n,) says.

    UsageError (reason `not_fit`) for rows that are not finite or targets outside of 0..1.
    """
    given, wanted, heavy = (np.asarray(one, dtype=np.float64) for one in (rows, targets, weights))
    if not (np.isfinite(given).all() and ((wanted >= 0) & (wanted <= 1)).all() and (heavy > 0).all()):
        raise UsageError("A model is fitted to finite rows, targets of 0 to 1 and weights.", reason="not_fit")
    heavy = heavy / heavy.sum()
    mean, scale = standardisation(given, heavy)
    looked_at = np.arange(given.shape[1]) if shape.inputs is None else np.array(shape.inputs)
    standard = ((given - mean) / scale)[:, looked_at]
    first = _initial((len(looked_at), *shape.hidden, 1), seed)
    layers = _minimised(first, standard, wanted, heavy, shape.penalty)
    wide = np.zeros((len(layers[0][1]), given.shape[1]))
    wide[:, looked_at] = layers[0][0]
    return Fitted(mean, scale, [(wide, layers[0][1]), *layers[1:]])


def sigmoid(values: ArrayLike) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    given = np.asarray(values, dtype=np.float64)
    small = np.exp(-np.abs(given))
    out: Floats = np.where(given >= 0, 1 / (1 + small), small / (1 + small))
    return out


def log_losses(logits: ArrayLike, targets: ArrayLike) -> Floats:
    """(n,) and (n,) -> (n,): the cross-entropy of each row, without a logarithm of 0."""
    values, wanted = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    out: Floats = np.logaddexp(0.0, values) - wanted * values
    return out


def standardisation(rows: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and standard deviation, (inputs,) each; what never changes is divided by 1. `weights` sum to 1."""
    mean = weights @ rows
    spread = np.sqrt(weights @ (rows - mean) ** 2)
    return mean, np.where(spread > 1e-12 * (1 + np.abs(mean)), spread, 1.0)


def _initial(widths: Sequence[int], seed: int) -> Layers:
    """He et al. 2015 for hidden layers; a network without one starts at 0, where its only minimum does not care."""
    dice = np.random.default_rng(seed)
    if len(widths) == 2:
        return [(np.zeros((1, widths[0])), np.zeros(1))]
    return [
        (dice.normal(size=(after, before)) * np.sqrt(2 / before), np.zeros(after))
        for before, after in pairwise(widths)
    ]


def _minimised(first: Layers, rows: Floats, targets: Floats, weights: Floats, penalty: float) -> Layers:
    def loss(flat: Floats) -> tuple[float, Floats]:
        layers = _unpacked(flat, first)
        value, gradients = _loss(layers, rows, targets, weights, penalty)
        return value, _packed(gradients)

    found = minimize(
        loss, _packed(first), jac=True, method="L-BFGS-B",
        options={"maxiter": _MOST_STEPS, "ftol": _CLOSE, "gtol": 1e-7},
    )  # fmt: skip
    return _unpacked(np.asarray(found.x, dtype=np.float64), first)


def _loss(
    layers: Layers, rows: Floats, targets: Floats, weights: Floats, penalty: float
) -> tuple[float, Layers]:
    """The weighted mean cross-entropy with its penalty, and its gradient (biases are not held)."""
    values = _forward(layers, rows)
    logits = values[-1][:, 0]
    loss = float(weights @ log_losses(logits, targets))
    loss += penalty * sum(float((matrix**2).sum()) for matrix, _ in layers)
    back = (weights * (sigmoid(logits) - targets))[:, None]
    gradients: Layers = []
    for number in range(len(layers) - 1, -1, -1):
        matrix, _ = layers[number]
        gradients.append((back.T @ values[number] + 2 * penalty * matrix, back.sum(axis=0)))
        back = (back @ matrix) * (values[number] > 0)  # the slope of ReLU; not used below the first layer
    return loss, gradients[::-1]


def _forward(layers: Layers, rows: Floats) -> list[Floats]:
    """The rows, then what each layer makes of them."""
    values = [rows]
    for matrix, bias in layers[:-1]:
        values.append(np.maximum(values[-1] @ matrix.T + bias, 0.0))
    matrix, bias = layers[-1]
    return [*values, values[-1] @ matrix.T + bias]


def _packed(layers: Layers) -> Floats:
    return np.concatenate([part.ravel() for layer in layers for part in layer])


def _unpacked(flat: Floats, like: Layers) -> Layers:
    layers, start = [], 0
    for matrix, bias in like:
        middle, end = start + matrix.size, start + matrix.size + bias.size
        layers.append((flat[start:middle].reshape(matrix.shape), flat[middle:end]))
        start = end
    return layers
