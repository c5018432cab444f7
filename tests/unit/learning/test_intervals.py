"""Intervals: exact where they are called so, over people, and never narrower for more recordings of the same ones."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from sottovoce.errors import UsageError
from sottovoce.learning.intervals import bootstrap_mean, exact_interval, share_of_speakers
from sottovoce.learning.units import Speakers


def at_least(k: int, n: int, p: Fraction) -> Fraction:
    """P(X >= k) for a binomial X, in exact fractions."""
    return sum((comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1)), Fraction(0))


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_exact_interval_has_exactly_its_tails(case):
    k, n = case
    low, high = exact_interval(k, n)
    tail = Fraction(1, 40)
    if k:
        assert float(at_least(k, n, Fraction(low))) == pytest.approx(float(tail), rel=1e-6)
    else:
        assert low == 0
    if k < n:
        assert float(1 - at_least(k + 1, n, Fraction(high))) == pytest.approx(float(tail), rel=1e-6)
    else:
        assert high == 1


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_exact_interval_is_that_of_scipy(case):
    k, n = case
    expected = binomtest(k, n).proportion_ci(0.95, method="exact")
    assert exact_interval(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("case", [(-1, 3), (4, 3), (0, 0)])
def test_what_is_no_share_is_refused(case):
    with pytest.raises(UsageError):
        exact_interval(*case)


def test_C33b_more_recordings_of_the_same_people_make_no_interval_narrower():
    """A hundred recordings of ten people are ten people: an error interval counts people, not recordings."""
    right = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0, 0])
    once = share_of_speakers(right, Speakers.of([str(i) for i in range(10)]))
    often = share_of_speakers(np.repeat(right, 10), Speakers.of([str(i // 10) for i in range(100)]))
    assert (once.low, once.high, once.value) == (often.low, often.high, often.value)
    assert (once.recordings, often.recordings, often.speakers) == (10, 100, 10)
    naive = exact_interval(80, 100)
    assert often.low < naive[0]
    assert often.high > naive[1]


def test_shares_within_a_person_only_widen():
    values = [1, 0, 1, 1, 1, 1]
    found = share_of_speakers(values, Speakers.of(["a", "a", "b", "c", "d", "e"]))
    assert found.value == pytest.approx(4.5 / 5)
    assert found.low == pytest.approx(exact_interval(4, 5)[0])
    assert found.high == pytest.approx(exact_interval(5, 5)[1])


def test_the_interval_covers_as_often_as_it_says():
    """2,000 made-up studies of 30 people with several recordings each: at least 95 % hold the truth."""
    dice = np.random.default_rng(3)
    speakers = Speakers.of([f"{i // 4:02}" for i in range(120)])
    held = 0
    for _ in range(2000):
        own = dice.beta(4, 1, 30)  # people differ; the mean share is 0.8
        values = dice.random(120) < np.repeat(own, 4)
        found = share_of_speakers(values, speakers)
        held += found.low <= 0.8 <= found.high
    assert held >= 1900


def test_few_people_have_no_bootstrap_interval():
    values = np.arange(9.0)
    few = bootstrap_mean(values, Speakers.of([str(i) for i in range(9)]))
    assert (few.low, few.high, few.value) == (None, None, 4.0)
    assert not few.enough


def test_the_bootstrap_is_near_the_normal_interval_for_many():
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = bootstrap_mean(values, Speakers.of([f"{i:03}" for i in range(400)]), draws=4000)
    half = 1.96 * values.std(ddof=1) / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
