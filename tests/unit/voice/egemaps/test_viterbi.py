"""The path through the candidates against every possible path."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.voice.egemaps.viterbi import best_path, local_costs, transition_costs

frequency = st.sampled_from([0.0, 60.0, 100.0, 150.0, 151.0, 300.0, 400.0, 700.0])


@st.composite
def lattices(draw, frames):
    rows = []
    for _ in range(frames):
        present = draw(st.lists(frequency.filter(bool), max_size=6))
        rows.append(present + [0.0] * (6 - len(present)))
    f = np.array(rows, dtype=np.float32)
    v = np.array(
        [[draw(st.sampled_from([0.3, 0.69, 0.71, 0.9, 0.97])) if x else 0.0 for x in row] for row in rows]
    )
    return f, v.astype(np.float32)


def slow_local(f, v):
    if f is None:
        return None
    r = 2 if f <= 0 else 1 - f / 100 if f < 100 else 0 if f < 350 else (f - 350) / 250 if f < 600 else 1.2
    return 2 * (-math.log(min(max(v, 0.01), 1)) + (4 if v < 0.7 else 0)) + r


def slow_transition(t, i, before, now):
    """Costs from each of 7 states into state i at frame t, in the order in which they are evaluated."""
    if i == 6:
        return [10.0] * 6 + [1.0]
    costs, previous = [], 1.0 if t == 1 and i == 0 else 0.0
    for j in range(6):
        if now[i] == 0 or before[j] == 0:
            costs.append(999.0)
            continue
        q = math.log(now[i] / before[j])
        costs.append(10 * abs(q) + 10 * abs(q - previous))
        previous = q
    return [*costs, 10.0]


def cost_of(path, f, v):
    total = 0.0
    for t, state in enumerate(path):
        total += (8.0 if (v[t] >= 0.7).any() else 0.0) if state == 6 else slow_local(f[t, state], v[t, state])
        if t:
            total += slow_transition(t, state, f[t - 1], f[t])[path[t - 1]]
    return total


@given(lattices(frames=3))
@settings(max_examples=30)
def test_path_is_as_cheap_as_the_cheapest_of_all_paths(lattice):
    f, v = lattice
    f64, v64 = f.astype(float), v.astype(float)
    path, _ = best_path(f, v)
    cheapest = min(cost_of(candidate, f64, v64) for candidate in itertools.product(range(7), repeat=len(f)))
    assert cost_of(path.tolist(), f64, v64) == pytest.approx(cheapest)


@given(lattices(frames=3))
def test_costs_against_the_definition(lattice):
    f, v = lattice[0].astype(float), lattice[1].astype(float)
    steps, local = transition_costs(f), local_costs(f, v)
    for t in (1, 2):
        for i in range(7):
            assert steps[t - 1, i] == pytest.approx(slow_transition(t, i, f[t - 1], f[t]))
    for t in range(3):
        assert local[t, :6] == pytest.approx([slow_local(*pair) for pair in zip(f[t], v[t], strict=True)])


@given(lattices(frames=5))
def test_undecided_frames_against_every_survivor_traced_alone(lattice):
    f, v = lattice[0].astype(float), lattice[1].astype(float)
    local, steps = local_costs(f, v), transition_costs(f)
    paths, totals = [[state] for state in range(7)], list(local[0])
    for t in range(1, len(f)):
        best = [min(range(7), key=lambda j: totals[j] + steps[t - 1, i, j]) for i in range(7)]
        paths = [[*paths[best[i]], i] for i in range(7)]
        totals = [totals[best[i]] + steps[t - 1, i, best[i]] + local[t, i] for i in range(7)]
    differing = sum(len({path[t] for path in paths}) > 1 for t in range(len(f)))
    found, undecided = best_path(*lattice)
    assert undecided == differing
    assert cost_of(found.tolist(), f, v) == pytest.approx(min(totals))


def steady(frames, voiced):
    f, v = np.zeros((2, frames, 6), dtype=np.float32)
    f[:, 0], v[:, 0] = 150, 0.95 if voiced else 0.2
    return f, v


def test_undecided_frames_are_at_least_the_last_one():
    path, undecided = best_path(*steady(20, voiced=True))
    assert (path == 0).all()
    assert undecided == 2  # at the last but one, slots without a candidate are reached from "unvoiced" only
    path, undecided = best_path(*steady(20, voiced=False))
    assert (path == 6).all()
    assert undecided == 1


def test_a_single_frame_has_a_path():
    path, undecided = best_path(*steady(1, voiced=True))
    assert (path.tolist(), undecided) == ([0], 1)
