"""Speakers are split, weighted and counted as people, never as recordings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import UsageError
from sottovoce.learning.units import Speakers, folds, halves, one_row_each, per_speaker

names = st.lists(st.sampled_from("abcdefghij"), min_size=2, max_size=60).filter(lambda n: len(set(n)) >= 2)


@given(names)
def test_every_speaker_weighs_one(given_names):
    speakers = Speakers.of(given_names)
    weights = speakers.weights()
    for name in set(given_names):
        rows = [i for i, one in enumerate(given_names) if one == name]
        assert weights[rows].sum() == pytest.approx(1)
    assert speakers.count == len(set(given_names))


@given(names, st.integers(0, 2**31))
def test_the_mean_of_a_speaker_is_that_of_their_rows(given_names, seed):
    values = np.random.default_rng(seed).normal(size=len(given_names))
    means = per_speaker(values, Speakers.of(given_names))
    expected = [
        np.mean([v for v, one in zip(values, given_names, strict=True) if one == name])
        for name in sorted(set(given_names))
    ]
    assert np.allclose(means, expected)


def test_a_row_of_nobody_is_refused():
    with pytest.raises(UsageError) as refusal:
        Speakers.of(["a", "", "b"])
    assert refusal.value.reason == "speaker_unknown"


@given(names, st.integers(2, 5), st.integers(0, 100))
def test_M65_no_speaker_is_in_two_folds(given_names, count, seed):
    """Nobody's recordings are on both sides of a split: a model is judged on people it has not seen."""
    speakers = Speakers.of(given_names)
    if speakers.count < count:
        with pytest.raises(UsageError):
            folds(np.zeros(len(speakers)), speakers, count=count, seed=seed)
        return
    parts = folds(np.zeros(len(speakers)), speakers, count=count, seed=seed)
    people = [{given_names[i] for i in part} for part in parts]
    assert sorted(i for part in parts for i in part) == list(range(len(given_names)))
    assert sum(map(len, people)) == speakers.count
    assert max(map(len, people)) - min(map(len, people)) <= 1


@given(names, st.floats(0.05, 0.95), st.integers(0, 100))
def test_both_halves_have_people_of_their_own(given_names, share, seed):
    speakers = Speakers.of(given_names)
    first, second = halves(np.zeros(len(speakers)), speakers, share=share, seed=seed)
    here, there = {given_names[i] for i in first}, {given_names[i] for i in second}
    assert here
    assert there
    assert not here & there
    assert sorted([*first, *second]) == list(range(len(given_names)))
    assert len(here) == min(max(round(share * speakers.count), 1), speakers.count - 1)


@pytest.mark.parametrize("seed", range(5))
def test_each_stratum_is_spread_evenly(seed):
    names_of = [f"s{i:03}" for i in range(90)]
    strata = np.arange(90) % 3 == 0  # 30 of 90
    speakers = Speakers.of(names_of)
    assert [int(strata[part].sum()) for part in folds(strata, speakers, count=5, seed=seed)] == [6] * 5
    first, _ = halves(strata, speakers, share=1 / 3, seed=seed)
    assert int(strata[first].sum()) == 10


def test_a_split_is_the_same_for_the_same_seed_and_differs_for_another():
    speakers = Speakers.of([f"s{i}" for i in range(40)])
    parts = [halves(np.zeros(40), speakers, share=0.5, seed=seed)[0].tolist() for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2]


@given(names, st.integers(0, 100))
def test_one_row_of_each(given_names, seed):
    rows = one_row_each(Speakers.of(given_names), seed=seed)
    assert sorted(given_names[i] for i in rows) == sorted(set(given_names))


def test_any_row_of_a_speaker_may_be_drawn():
    speakers = Speakers.of(["a", "a", "a", "b"])
    assert {int(one_row_each(speakers, seed=seed)[0]) for seed in range(50)} == {0, 1, 2}
