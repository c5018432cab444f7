"""Conformal sets: the exact rank, the promise kept on exchangeable speakers, and "not determined" as an answer."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import UsageError
from sottovoce.learning.conformal import (
    conformal_bound,
    conformal_threshold,
    fewest_speakers,
    label_probabilities,
    prediction_set,
    prediction_sets,
    scores,
)
from sottovoce.learning.intervals import exact_interval


@given(st.lists(st.floats(0, 1), min_size=9, max_size=200), st.integers(50, 90))
def test_the_threshold_is_the_rank_of_the_definition(given_scores, percent):
    """Of n + 1 exchangeable scores the new one is at most the k-th of the others with probability k / (n + 1)."""
    n = len(given_scores)
    rank = next(k for k in range(1, n + 2) if Fraction(k, n + 1) >= Fraction(percent, 100))
    if rank > n:
        with pytest.raises(UsageError):
            conformal_threshold(given_scores, percent=percent)
        return
    found = conformal_threshold(given_scores, percent=percent)
    exact = sorted(given_scores)[rank - 1]
    assert exact - 1e-12 <= found <= exact + 1.1e-6


def test_rounding_of_the_rank_is_not_that_of_floats():
    # (9 + 1) * 0.9 is 9 exactly; 0.9 as a float lies a little above
    assert conformal_threshold([i / 10 for i in range(1, 10)], percent=90) == pytest.approx(0.9, abs=2e-6)
    assert fewest_speakers(90) == 9
    with pytest.raises(UsageError) as refusal:
        conformal_threshold([0.5] * 8, percent=90)
    assert refusal.value.reason == "too_few"


@pytest.mark.parametrize("percent", [0, 100, -3])
def test_what_is_no_coverage_is_refused(percent):
    with pytest.raises(UsageError):
        conformal_threshold([0.5] * 20, percent=percent)


def test_M88_sets_hold_the_truth_as_often_as_they_say():
    """A set at 90 % holds the truth for 90 of 100 people of the same kind, however poor the model is."""
    dice = np.random.default_rng(5)
    covered, trials = 0, 4000
    for _ in range(trials):
        labels = dice.integers(0, 2, 100)
        confused = np.where(labels == 1, dice.beta(2, 1.5, 100), dice.beta(1.5, 2, 100))  # a poor model
        probabilities = label_probabilities(confused[:, None])
        known = scores(probabilities[:99], labels[:99])
        inside = prediction_sets(probabilities[99:], conformal_threshold(known, percent=90))
        covered += inside[0, labels[99]]
    low, high = exact_interval(int(covered), trials)
    assert low <= 0.9 <= high


def test_none_and_both_are_answers():
    assert prediction_set([0.7, 0.3], 0.2) == ()
    assert prediction_set([0.55, 0.45], 0.6) == (0, 1)
    assert prediction_set([0.9, 0.1], 0.2) == (0,)


def test_the_sigmoid_is_the_probability_of_the_second_label():
    assert label_probabilities([[0.8]]).tolist() == [[pytest.approx(0.2), 0.8]]
    assert scores([[0.2, 0.8]], [1]).tolist() == [pytest.approx(0.2)]
    assert label_probabilities([[0.1, 0.2, 0.7]]).shape == (1, 3)


def test_a_bound_of_distances_may_be_above_one():
    """A threshold of probabilities ends at 1; a bound of distances is the same rank without that end."""
    distances = [i / 2 for i in range(1, 20)]
    assert conformal_bound(distances, percent=90) == pytest.approx(sorted(distances)[17], abs=2e-6)
    assert conformal_threshold(distances, percent=90) == 1.0
