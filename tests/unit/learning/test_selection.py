"""Choosing: nothing of the judged speakers reaches fit, choice or calibration, and the simpler of equals is taken."""

from __future__ import annotations

import numpy as np
import pytest

from sottovoce.learning.fitting import Shape, log_losses, sigmoid
from sottovoce.learning.selection import Labelled, calibrated, choose, cross_validated, made, nested, train
from sottovoce.learning.units import Speakers, folds, per_speaker


def labelled(people=80, *, seed=1, signal=1.0, inputs=5):
    """Two recordings a person; the first input tells the label, the rest is noise of the person's own."""
    dice = np.random.default_rng(seed)
    targets = np.repeat(np.arange(people) % 2, 2).astype(float)
    rows = np.repeat(dice.normal(size=(people, inputs)), 2, axis=0) + 0.1 * dice.normal(
        size=(2 * people, inputs)
    )
    rows[:, 0] += signal * (2 * targets - 1)
    return Labelled(rows, targets, Speakers.of([f"{i // 2:03}" for i in range(2 * people)]))


def test_M88_pure_noise_is_not_learned():
    """Judged on people it has not seen, a model of labels that have nothing to do with the voice is at chance."""
    wrong = []
    for seed in range(6):
        data = labelled(60, seed=seed, signal=0.0, inputs=30)
        logits, _ = nested(data, [Shape(0.001), Shape(0.1)], count=5, seed=seed)
        wrong.append(((logits > 0) != (data.targets > 0.5)).mean())
    assert 0.42 <= np.mean(wrong) <= 0.58


def test_what_a_held_out_speaker_says_does_not_change_their_own_logits():
    data = labelled(20)
    shapes = [Shape(0.1), Shape(0.01)]
    before, _ = nested(data, shapes, count=4, seed=3)
    held = folds(data.strata, data.speakers, count=4, seed=3)[0]
    rows = data.rows.copy()
    flipped = data.targets.copy()
    # another held-out person's rows: moved far away; the logits of the first one of the same fold must not move
    other = held[data.speakers.index[held] != data.speakers.index[held[0]]]
    rows[other] += 50
    after, _ = nested(Labelled(rows, flipped, data.speakers), shapes, count=4, seed=3)
    assert after[held[0]] == before[held[0]]


def test_the_simpler_of_equals_is_taken_and_the_better_where_it_is_better():
    shapes = [Shape(0.01, (), (0,), "one input"), Shape(0.01, (), None, "all inputs")]
    assert choose(labelled(), shapes).shape.name == "one input"
    rather = [Shape(0.01, (), (1,), "a useless input"), Shape(0.01, (), None, "all inputs")]
    assert choose(labelled(signal=2.0), rather).shape.name == "all inputs"


def test_what_is_better_by_less_than_a_standard_error_is_not_worth_being_less_simple():
    chosen = choose(labelled(60, seed=6), [Shape(0.01, (), (0,), "one"), Shape(0.01, (), (0, 1), "two")])
    assert chosen.losses[1] < chosen.losses[0]  # by luck: the second input is noise
    assert chosen.shape.name == "one"


def test_losses_are_means_over_people():
    data = labelled()
    shape = Shape(0.05)
    expected = per_speaker(log_losses(cross_validated(data, shape), data.targets), data.speakers).mean()
    assert choose(data, [shape]).losses == (pytest.approx(expected),)


def test_calibration_undoes_a_wrong_scale():
    """Logits that were stretched four times and moved come back near to where they were."""
    dice = np.random.default_rng(9)
    truth = dice.normal(0, 2, 4000)
    targets = (dice.random(4000) < sigmoid(truth)).astype(float)
    data = Labelled(np.zeros((4000, 1)), targets, Speakers.of([f"{i:04}" for i in range(4000)]))
    slope, offset = calibrated(4 * truth + 3, data)
    assert slope == pytest.approx(0.25, abs=0.03)
    assert offset == pytest.approx(-0.75, abs=0.15)


def test_calibration_stays_finite_where_the_classes_are_apart():
    data = labelled(signal=20.0)
    slope, offset = calibrated(np.where(data.targets > 0.5, 1.0, -1.0), data)
    assert 0 < slope < 10
    assert abs(offset) < 1


def test_the_made_model_is_the_calibrated_fit():
    data = labelled()
    choice = choose(data, [Shape(0.05)])
    plain = train(data, choice.shape)
    assert np.allclose(
        made(data, choice).logits(data.rows), choice.slope * plain.logits(data.rows) + choice.offset
    )
