"""Fitting: against scikit-learn, against finite differences, the same twice."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sottovoce.errors import UsageError
from sottovoce.learning.fitting import (
    Shape,
    _forward,
    _initial,
    _loss,
    _packed,
    _unpacked,
    fit,
    log_losses,
    sigmoid,
)


@pytest.fixture
def data():
    dice = np.random.default_rng(4)
    rows = dice.normal(size=(120, 6)) * [1, 5, 0.1, 30, 2, 1] + [0, 9, 1, -50, 3, 2]
    targets = (rows[:, 0] + rows[:, 3] / 30 + dice.normal(size=120) > -1.5).astype(float)
    return rows, targets


def test_without_hidden_layers_it_is_the_logistic_regression_of_scikit_learn(data):
    rows, targets = data
    penalty = 0.02
    ours = fit(rows, targets, weights=np.ones(120), shape=Shape(penalty))
    scaled = StandardScaler().fit(rows)
    # theirs minimises C * sum of losses + |w|^2 / 2; ours the mean loss + penalty * |w|^2
    theirs = LogisticRegression(C=1 / (2 * penalty * 120), tol=1e-10, max_iter=5000)
    theirs.fit(scaled.transform(rows), targets)
    assert np.allclose(ours.layers[0][0], theirs.coef_, atol=2e-4)
    assert np.allclose(
        ours.probabilities(rows), theirs.predict_proba(scaled.transform(rows))[:, 1], atol=1e-4
    )


def test_a_weight_of_two_is_a_row_twice(data):
    rows, targets = data
    heavy = np.ones(120)
    heavy[:7] = 2
    twice = fit(
        np.vstack([rows, rows[:7]]), [*targets, *targets[:7]], weights=np.ones(127), shape=Shape(0.05)
    )
    once = fit(rows, targets, weights=heavy, shape=Shape(0.05))
    assert np.allclose(once.logits(rows), twice.logits(rows), atol=1e-3)


@pytest.mark.parametrize("hidden", [(), (4,), (5, 3)])
def test_the_gradient_is_that_of_finite_differences(data, hidden):
    rows, targets = data
    standard = (rows - rows.mean(0)) / rows.std(0)
    like = _initial((6, *hidden, 1), 1)
    flat = _packed(like) + np.random.default_rng(2).normal(size=_packed(like).size) * 0.3
    weights = np.full(120, 1 / 120)

    def loss(values):
        return _loss(_unpacked(values, like), standard, targets, weights, 0.01)

    gradient = _packed(loss(flat)[1])
    for place in range(0, flat.size, 3):
        step = np.zeros(flat.size)
        step[place] = 1e-6
        slope = (loss(flat + step)[0] - loss(flat - step)[0]) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-6)


def test_M65_the_same_data_and_seed_give_the_same_weights(data):
    """A model can be made again: the same recordings give the same weights, bit by bit."""
    rows, targets = data
    made = [fit(rows, targets, weights=np.ones(120), shape=Shape(0.01, (8,)), seed=7) for _ in range(2)]
    parts = [[part for layer in one.layers for part in layer] for one in made]
    assert all((a == b).all() for a, b in zip(*parts, strict=True))
    other = fit(rows, targets, weights=np.ones(120), shape=Shape(0.01, (8,)), seed=8)
    assert not np.allclose(other.layers[0][0], made[0].layers[0][0])


def test_inputs_that_are_not_looked_at_have_no_weight(data):
    rows, targets = data
    fitted = fit(rows, targets, weights=np.ones(120), shape=Shape(0.01, (3,), inputs=(0, 3)))
    assert fitted.layers[0][0].shape == (3, 6)
    assert not fitted.layers[0][0][:, [1, 2, 4, 5]].any()
    moved = rows.copy()
    moved[:, [1, 2, 4, 5]] *= 7
    assert (fitted.logits(moved) == fitted.logits(rows)).all()


def test_fractions_are_learned_as_means(data):
    rows, _ = data
    fitted = fit(rows, np.full(120, 0.3), weights=np.ones(120), shape=Shape(0.1))
    assert fitted.probabilities(rows) == pytest.approx(np.full(120, 0.3), abs=1e-3)


def test_a_constant_input_does_no_harm(data):
    rows, targets = data
    rows = np.hstack([rows, np.full((120, 1), 3.0)])
    assert np.isfinite(fit(rows, targets, weights=np.ones(120), shape=Shape(0.01)).logits(rows)).all()


def test_rescaling_moves_the_logits(data):
    rows, targets = data
    fitted = fit(rows, targets, weights=np.ones(120), shape=Shape(0.01, (3,)))
    assert np.allclose(fitted.rescaled(2.0, -1.0).logits(rows), 2 * fitted.logits(rows) - 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rows_that_are_not_finite_are_refused(data, bad):
    rows, targets = data
    rows[3, 2] = bad
    with pytest.raises(UsageError) as refusal:
        fit(rows, targets, weights=np.ones(120), shape=Shape(0.01))
    assert refusal.value.reason == "not_fit"


def test_a_target_outside_and_a_penalty_of_zero_are_refused(data):
    rows, _ = data
    with pytest.raises(UsageError):
        fit(rows, np.full(120, 1.2), weights=np.ones(120), shape=Shape(0.01))
    with pytest.raises(UsageError):
        Shape(0.0)


def test_losses_are_finite_far_out():
    assert log_losses([800.0, -800.0], [1.0, 0.0]).tolist() == [0.0, 0.0]
    assert log_losses([800.0], [0.0]).tolist() == [800.0]
    assert sigmoid([-800.0, 0.0, 800.0]).tolist() == [0.0, 0.5, 1.0]
    assert len(_forward(_initial((6, 3, 1), 0), np.zeros((2, 6)))) == 3
