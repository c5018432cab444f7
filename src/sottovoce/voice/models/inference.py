"""One model, one recording: what the model says, with its own probabilities and the set that its card allows.

    said = infer(use, features, quality)

Rules upheld here:
1. Features of another profile or version than the model's are refused, never converted.
2. Without enough voice, or with values beyond what the model takes, everything is "not available", never a guess.
3. A prediction set is made where the card has a threshold for it, else it is not available (split conformal
   prediction, score 1 - probability of the label: Vovk et al. 2005; Sadinle, Lei & Wasserman 2019).
4. A recording outside of the range that the card states is "unlike what was learned": no label is ruled out then, so
   that nothing is determined, however sure the model is of its probability.
5. The values depend on the stored float32 form of the features alone, so a replay gives the same ones to the bit.
"""

from __future__ import annotations

import math
from functools import lru_cache

from sottovoce.errors import UsageError
from sottovoce.model.features import FeatureVector, Quality
from sottovoce.model.inference import Inference, ModelUse
from sottovoce.voice.models.network import Network, distances, run_on
from sottovoce.voice.models.read_tflite import read_tflite

_LOADED = 16  # networks kept by the content of their file


def infer(use: ModelUse, features: FeatureVector, quality: Quality) -> Inference:
    """What the model of `use` says of a recording. UsageError (reason `model_profile`); IntegrityError for a file that
    is no model."""
    network = _network(use.data)
    probabilities = _probabilities(network, features) if quality.has_voice else None
    unlike = probabilities is not None and is_unlike(network, features, use)
    return Inference(
        attribute=use.attribute, model_sha256=use.sha256, card_sha256=use.card_sha256,
        feature_sha256=features.sha256(), labels=network.about.labels, probabilities=probabilities,
        label_set=_set(network.about.labels, probabilities, use.threshold, unlike),
        percent=use.percent, guarantee=use.guarantee, not_for=use.not_for, demonstration=use.demonstration,
        unit=use.unit, number=None if unlike else _number(use, probabilities), unlike=unlike,
    )  # fmt: skip


def is_unlike(network: Network, features: FeatureVector, use: ModelUse) -> bool:
    """Whether the features lie further from what the model has learned from than its card's range allows."""
    if use.range_bound is None:
        return False
    return float(distances(network, [features.values], use.range_inputs)[0]) > use.range_bound


def label_set(
    labels: tuple[str, ...], probabilities: tuple[float, ...], threshold: float | None
) -> tuple[str, ...] | None:
    """The labels whose 1 - probability is at most the threshold, in their order; None where there is none."""
    if threshold is None:
        return None
    return tuple(label for label, p in zip(labels, probabilities, strict=True) if 1 - p <= threshold)


def _set(
    labels: tuple[str, ...], probabilities: tuple[float, ...] | None, threshold: float | None, unlike: bool
) -> tuple[str, ...] | None:
    if probabilities is None:
        return None
    return labels if unlike else label_set(labels, probabilities, threshold)


def _number(use: ModelUse, weights: tuple[float, ...] | None) -> float | None:
    """Of a quantity: what the outputs stand for, weighted by them. Such outputs are no probabilities."""
    if not use.unit or weights is None:
        return None
    return math.fsum(weight * value for weight, value in zip(weights, use.values, strict=True))


def _probabilities(network: Network, features: FeatureVector) -> tuple[float, ...] | None:
    """One for each label; a sigmoid gives that of the second of two."""
    try:
        out = run_on(network, features)
    except UsageError as error:
        if error.reason != "model_overflow":
            raise
        return None
    return (1 - out[0], out[0]) if network.output == "sigmoid" else out


@lru_cache(maxsize=_LOADED)
def _network(data: bytes) -> Network:
    """The network in a file, read once for each content."""
    return read_tflite(data).network
