"""What a model is: fully connected layers over the 88 features, standardisation included, and how it is run.

    probabilities = run(network, rows)     (n, inputs) -> (n, outputs)

Standardisation is done in float32, as every runtime of the file does it; the layers in float64, so that Python and
JavaScript agree far below what float32 runtimes differ by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sottovoce.errors import UsageError
from sottovoce.model.features import FeatureVector

Output = Literal["sigmoid", "softmax"]
OUTPUTS: tuple[str, ...] = get_args(Output)
Precision = Literal["none", "f16", "int8"]  # how the weights are stored
PRECISIONS: tuple[str, ...] = get_args(Precision)

MAXIMUM_WIDTH = 1024
MAXIMUM_LAYERS = 8
_MAXIMUM_LABEL = 64  # characters

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class About:
    """What a model file says of itself: enough to never run it on features of another definition."""

    attribute: str  # what is inferred, e.g. "apparent_sex"
    labels: tuple[str, ...]  # one per class; two for a sigmoid: of 0 and of 1
    feature_profile: str  # "compat" or "corrected"
    feature_version: str  # of the extractor, e.g. "egemaps-88/1"

    def __post_init__(self) -> None:
        words = (self.attribute, self.feature_profile, self.feature_version, *self.labels)
        if not all(0 < len(word) <= _MAXIMUM_LABEL and word.isprintable() for word in words):
            raise UsageError(f"The words about a model have 1 to {_MAXIMUM_LABEL} printable characters.")
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise UsageError("A model tells two or more labels apart, each named once.")


@dataclass(frozen=True, slots=True)
class Dense:
    """One fully connected layer."""

    weights: Floats = field(repr=False)  # (outputs, inputs)
    bias: Floats = field(repr=False)  # (outputs,)


@dataclass(frozen=True, slots=True)
class Network:
    """Standardise, then layers with ReLU between them, then a sigmoid or softmax.

    UsageError (reason `model_shape`) where the parts do not fit each other or hold a value that is not finite.
    """

    mean: Floats = field(repr=False)  # (inputs,), subtracted
    gain: Floats = field(repr=False)  # (inputs,), multiplied: 1 / standard deviation
    layers: tuple[Dense, ...] = field(repr=False)
    output: Output
    about: About

    def __post_init__(self) -> None:
        _check(self)

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, then the outputs of each layer: (88, 128, 64, 1)."""
        return (len(self.mean), *(len(layer.bias) for layer in self.layers))


def make_network(
    *,
    mean: ArrayLike,
    scale: ArrayLike,
    layers: list[tuple[ArrayLike, ArrayLike]],
    output: Output,
    about: About,
) -> Network:
    """A network from any arrays. `scale` is the standard deviation of each input, greater than 0."""
    spread = np.asarray(scale, dtype=np.float64)
    if not np.all(spread > 0):
        raise UsageError("The scale of every input is greater than 0.", reason="model_shape")
    with np.errstate(over="ignore"):
        dense = tuple(Dense(_floats(weights), _floats(bias)) for weights, bias in layers)
        return Network(_floats(mean), _floats(1 / spread), dense, output, about)


def run(network: Network, rows: ArrayLike) -> NDArray[np.float64]:
    """(n, inputs) finite numbers -> (n, outputs) of 0..1: the probability of label 1, or of each label.

    UsageError: reason `model_input` for rows of another shape or not finite, `model_overflow` where values leave
    what float32 can hold.
    """
    given = np.asarray(rows, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != len(network.mean) or not np.all(np.isfinite(given)):
        raise UsageError("A model takes rows of finite numbers, one for each input.", reason="model_input")
    with np.errstate(over="ignore", invalid="ignore"):
        standard = (given.astype(np.float32) - network.mean) * network.gain
        values = _through(network.layers, standard.astype(np.float64))
        out = _sigmoid(values) if network.output == "sigmoid" else _softmax(values)
    if not (np.all(np.isfinite(standard)) and np.all(np.isfinite(out))):
        raise UsageError("These values are far outside of what the model can take.", reason="model_overflow")
    return out


def run_on(network: Network, features: FeatureVector) -> tuple[float, ...]:
    """The outputs for one recording's features (in their stored float32 form).

    UsageError with the reason `model_profile` where the features are of another definition than the model's.
    """
    if (features.profile, features.version) != (network.about.feature_profile, network.about.feature_version):
        raise UsageError(
            "This model was made for features of another profile or version.",
            hint="Extract the features with the profile that the model's card names.",
            reason="model_profile",
        )
    return tuple(float(value) for value in run(network, [features.values])[0])


def distances(network: Network, rows: ArrayLike, inputs: Sequence[int]) -> NDArray[np.float64]:
    """(n, inputs of the network) -> (n,): how far each row lies from the mean of what was learned from, 0 or more.

    The root of the mean square of the standardised values (the model's own, in float32) of the inputs named by
    `inputs`: about 1 for what is like the rows learned from, in units of their standard deviation.
    """
    given = np.asarray(rows, dtype=np.float64)
    with np.errstate(over="ignore"):
        standard = (given.astype(np.float32) - network.mean) * network.gain
    values = standard[:, list(inputs)].astype(np.float64)
    out: NDArray[np.float64] = np.sqrt((values**2).mean(axis=1))
    return out


def _through(layers: tuple[Dense, ...], values: NDArray[np.float64]) -> NDArray[np.float64]:
    for layer in layers[:-1]:
        values = np.maximum(_affine(layer, values), 0.0)
    return _affine(layers[-1], values)


def _affine(layer: Dense, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values @ layer.weights.T.astype(np.float64) + layer.bias


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    small = np.exp(-np.abs(values))
    out: NDArray[np.float64] = np.where(values >= 0, 1 / (1 + small), small / (1 + small))
    return out


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    out: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return out


def _floats(values: ArrayLike) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float32)


def _check(network: Network) -> None:
    if network.output not in OUTPUTS or not 1 <= len(network.layers) <= MAXIMUM_LAYERS:
        raise _misfit()
    width = network.mean.size
    shapes = [network.mean.shape == network.gain.shape == (width,), 1 <= width <= MAXIMUM_WIDTH]
    for layer in network.layers:
        outputs = layer.bias.size
        shapes += [layer.weights.shape == (outputs, width), layer.bias.shape == (outputs,)]
        shapes.append(1 <= outputs <= MAXIMUM_WIDTH)
        width = outputs
    labels = len(network.about.labels)
    shapes.append((width, labels) == (1, 2) if network.output == "sigmoid" else width == labels)
    arrays = [
        network.mean,
        network.gain,
        *(part for one in network.layers for part in (one.weights, one.bias)),
    ]
    if not all(shapes) or not all(a.dtype == np.float32 and bool(np.isfinite(a).all()) for a in arrays):
        raise _misfit()


def _misfit() -> UsageError:
    return UsageError(
        "The parts of this model do not fit each other, or hold values that are not finite.",
        reason="model_shape",
    )
