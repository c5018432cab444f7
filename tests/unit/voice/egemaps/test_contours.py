"""Smoothing and masking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.voice.egemaps import contours

values = st.lists(st.sampled_from([0.0, 0.0, 1.5, -2.0, 7.25]), min_size=1, max_size=20)


def neighbours(x, t):
    return [x[max(t - 1, 0)], x[t], x[min(t + 1, len(x) - 1)]]


@given(values)
def test_smoothing_against_plain_loops(x):
    array = np.array(x, dtype=np.float32)
    plain = [sum(neighbours(x, t)) / 3 for t in range(len(x))]
    assert contours.smooth(array) == pytest.approx(plain, abs=1e-6)
    nonzero = [[v for v in neighbours(x, t) if v != 0] for t in range(len(x))]
    expected = [sum(n) / len(n) if x[t] != 0 else 0.0 for t, n in enumerate(nonzero)]
    assert contours.smooth_nonzero(array) == pytest.approx(expected, abs=1e-6)


def test_columns_are_smoothed_apart():
    table = np.array([[1, 10], [2, 20], [3, 30]], dtype=np.float32)
    assert contours.smooth(table)[1].tolist() == [2, 20]
    assert contours.smooth_nonzero(table)[:, 1] == pytest.approx(contours.smooth_nonzero(table[:, 1]))


def test_mask_empties_the_other_class():
    table = np.ones((3, 2), dtype=np.float32)
    masked = contours.only_where(table, np.array([True, False, True]))
    assert masked.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert contours.only_where(table[:, 0], np.array([False, True, False])).tolist() == [0, 1, 0]


@pytest.mark.parametrize("count", [1, 7, 8, 14, 50])
def test_long_contours_are_smoothed_block_by_block(count, monkeypatch):
    table = np.random.default_rng(1).integers(0, 3, (count, 2)).astype(np.float32)
    whole = contours.smooth(table), contours.smooth_nonzero(table)
    monkeypatch.setattr(contours, "BLOCK", 7)
    assert np.array_equal(contours.smooth(table), whole[0])
    assert np.array_equal(contours.smooth_nonzero(table), whole[1])
