"""What is measured: by person, by group, with the confidence that a model really has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from sottovoce.learning.conformal import label_probabilities
from sottovoce.learning.coverage import repeated_coverage, repeated_refusal
from sottovoce.learning.evaluation import Threshold, calibration, classified, measured, sets_of
from sottovoce.learning.fitting import Shape
from sottovoce.learning.selection import Labelled
from sottovoce.learning.units import Speakers


def people(count):
    return Speakers.of([f"{i:04}" for i in range(count)])


def test_M88_the_error_of_a_group_stands_beside_its_counts():
    """The error is told for each group with how many people and recordings it stands on."""
    outputs = np.full((40, 1), 0.9)
    labels = np.ones(40, dtype=int)
    labels[20:30] = 0  # half of the second group is wrong
    second = np.arange(40) >= 20
    found = classified(
        outputs, labels, people(40), groups={"first": ~second, "second": second}, threshold=None
    )
    assert found.error.value == 0.25
    assert found.groups["first"].value == 0.0
    assert found.groups["second"].value == 0.5
    assert (found.groups["second"].speakers, found.groups["second"].recordings) == (20, 20)
    assert found.groups["first"].high < found.groups["second"].low + 0.3
    assert found.sets is None


def test_C33b_a_small_group_is_not_enough_data():
    """A group of fewer than ten people has no figure, and never 0."""
    outputs = np.full((30, 1), 0.9)
    small = np.arange(30) < 9
    found = classified(
        outputs,
        np.ones(30, int),
        people(30),
        groups={"small": small, "nobody": small & ~small},
        threshold=None,
    )
    assert not found.groups["small"].enough
    assert "nobody" not in found.groups


def test_many_recordings_of_one_person_count_once():
    speakers = Speakers.of(["a"] * 90 + [f"b{i}" for i in range(9)])
    wrong_for_a = np.array([0] * 90 + [1] * 9)  # label 0 for a: the model says 1 always
    found = classified(np.full((99, 1), 0.9), wrong_for_a, speakers, groups={}, threshold=None)
    assert found.error.value == pytest.approx(0.1)


@given(st.integers(0, 2**31), st.integers(10, 80))
def test_the_brier_score_is_that_of_scikit_learn(seed, count):
    dice = np.random.default_rng(seed)
    outputs, labels = dice.random((count, 1)), dice.integers(0, 2, count)
    found = calibration(label_probabilities(outputs), labels, people(count))
    assert found.brier == pytest.approx(brier_score_loss(labels, outputs[:, 0], labels=[0, 1]))


def test_M10_a_confidence_that_means_what_it_says_has_no_calibration_error():
    """The confidence is the model's own number, and it is compared with how often the model is right."""
    dice = np.random.default_rng(2)
    outputs = dice.random((20_000, 1))
    labels = (dice.random(20_000) < outputs[:, 0]).astype(int)
    honest = calibration(label_probabilities(outputs), labels, people(20_000))
    assert honest.error < 0.015
    assert sum(one.right.recordings for one in honest.bins) == 20_000
    for one in honest.bins:
        assert one.low <= one.confidence <= one.high
        assert (
            one.right.low <= one.confidence <= one.right.high or abs(one.right.value - one.confidence) < 0.02
        )
    boastful = calibration(label_probabilities(np.where(outputs > 0.5, 0.99, 0.01)), labels, people(20_000))
    assert boastful.error > 0.2


def test_an_empty_bin_has_no_figure():
    found = calibration(label_probabilities(np.full((12, 1), 0.97)), np.ones(12, int), people(12))
    assert [one.right is None for one in found.bins] == [True, True, True, True, False]
    assert found.bins[0].confidence is None


def test_sets_are_counted():
    outputs = np.array([0.95, 0.05, 0.5, 0.6, 0.95] * 4)[:, None]
    labels = np.array([1, 0, 1, 0, 0] * 4)
    found = sets_of(label_probabilities(outputs), labels, people(20), Threshold(90, 0.5))
    assert (found.sizes.none, found.sizes.one, found.sizes.several) == (0.0, 0.8, pytest.approx(0.2))
    assert found.coverage.value == pytest.approx(0.6)
    assert found.wrong_when_one is not None
    assert found.wrong_when_one.value == pytest.approx(0.5)


def test_a_quantity_has_a_mean_absolute_error():
    truth = np.arange(20.0, 40.0)
    found = measured(truth + np.array([3, -3] * 10), truth, people(20), groups={"young": truth < 25})
    assert found.error.value == 3
    assert found.error.low == found.error.high == 3
    assert not found.groups["young"].enough


def noisy(count=150, seed=0):
    dice = np.random.default_rng(seed)
    targets = np.repeat(np.arange(count) % 2, 2).astype(float)
    rows = np.repeat(dice.normal(size=(count, 4)), 2, axis=0)
    rows[:, 0] += 0.8 * (2 * targets - 1)
    rows += 0.3 * dice.normal(size=rows.shape)
    return Labelled(rows, targets, Speakers.of([f"{i // 2:04}" for i in range(2 * count)]))


def test_M88_coverage_over_repeated_splits_is_what_was_promised():
    """Over many splits by person, sets at 90 % hold the truth for 90 %: the exact interval over people contains it."""
    found = repeated_coverage(noisy(), Shape(0.01), percent=90, splits=30)
    assert found.coverage.low <= 0.9 <= found.coverage.high
    assert found.coverage.speakers == 150
    assert found.sizes.none + found.sizes.one + found.sizes.several == pytest.approx(1)
    assert set(found.groups) == {0, 1}


def test_a_wrong_threshold_would_be_seen():
    """The control: sets made for 70 % do not pass as sets of 90 %."""
    found = repeated_coverage(noisy(), Shape(0.01), percent=70, splits=30)
    assert found.coverage.high < 0.9


def test_M88_a_range_refuses_as_few_of_the_same_kind_as_it_says():
    """Of new people like those learned from, a range of 90 % refuses 10 %, within the exact interval over people; one
    of 70 % refuses 30 %."""
    for percent in (90, 70):
        found = repeated_refusal(noisy(), (0, 1, 2, 3), percent=percent, splits=30)
        assert found.low <= 1 - percent / 100 <= found.high
        assert found.speakers == 150
    assert found.low > 0.1  # the control: 30 % is not 10 %


def test_a_range_refuses_by_the_inputs_that_it_names():
    data = noisy()
    rows = data.rows.copy()
    rows[data.speakers.index == 0, 3] = 1e6
    strange = Labelled(rows, data.targets, data.speakers)
    first, second = (repeated_refusal(one, (0, 1), percent=90, splits=3) for one in (data, strange))
    assert first == second


def test_M88_what_is_unlike_the_data_learned_from_is_never_counted_as_determined():
    """Recordings that a model refuses are counted as not determined, and what was promised is measured without them
    being taken away."""
    dice = np.random.default_rng(5)
    outputs, labels = dice.uniform(0.7, 1.0, size=(60, 1)), np.r_[np.ones(40, int), np.zeros(20, int)]
    far = np.arange(60) >= 40
    speakers = people(60)
    one = classified(outputs, labels, speakers, groups={}, threshold=Threshold(90, 0.5), unlike=far).sets
    all_of_them = classified(outputs, labels, speakers, groups={}, threshold=Threshold(90, 0.5)).sets
    assert one.coverage == all_of_them.coverage
    assert one.coverage.value == pytest.approx(2 / 3)
    assert (one.unlike, all_of_them.unlike) == (pytest.approx(1 / 3), 0.0)
    assert (one.sizes.one, one.sizes.several) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert one.wrong_when_one.value == 0
    assert all_of_them.wrong_when_one.value == pytest.approx(1 / 3)
