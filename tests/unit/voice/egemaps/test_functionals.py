"""Statistics of contours, slopes and segments against naive re-implementations."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.voice.egemaps import functionals, lowlevel, peaks, segments

contour = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=60)


def f32(x):
    return np.array(x, dtype=np.float32)


@given(contour)
def test_mean_and_spread_against_statistics(x):
    mean, spread = functionals.mean_and_spread(f32(x))
    assert mean == pytest.approx(statistics.fmean(x))
    assert spread == pytest.approx(statistics.pstdev(x) / (statistics.fmean(x) or 1.0), rel=1e-6, abs=1e-12)


def test_only_values_other_than_zero_count_where_so_defined():
    assert functionals.mean_and_spread_nonzero(f32([0, 2, 0, 4])) == pytest.approx([3, 1 / 3])
    assert functionals.mean_and_spread_nonzero(f32([0, 0])) == [0, 0]


@given(contour)
def test_percentiles_interpolate_linearly(x):
    ten = functionals.ten(f32(x), peaks.measure_slopes(f32(x)))
    ordered = sorted(x)

    def percentile(p):
        place = p * (len(x) - 1)
        low = math.floor(place)
        high = min(low + 1, len(x) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    assert ten[2:5] == pytest.approx([percentile(p) for p in (0.2, 0.5, 0.8)])
    assert ten[5] == pytest.approx(abs(percentile(0.8) - percentile(0.2)))


def test_an_empty_contour_gives_ten_zeros():
    assert functionals.ten(f32([]), peaks.measure_slopes(f32([]))) == [0.0] * 10


def test_M06_sound_level_of_a_full_scale_sine_is_minus_3_db():
    """A sine at full scale has the level of -3.01 dB that the specification states, silence has -120 dB."""
    sine = f32(np.sin(2 * np.pi * np.arange(3200) / 32)).reshape(10, 320)
    assert lowlevel._level_db(np.mean(sine.astype(float) ** 2, axis=1)) == pytest.approx(-3.01, abs=0.005)
    assert lowlevel._level_db(np.zeros(2)) == -120


def naive_extrema(x):
    """Steps 1 to 4 of the slopes, as the specification writes them."""
    thr = 0.1 * (max(x) - min(x))
    events = [
        [i, x[i], x[i] > x[i - 1]]
        for i in range(2, len(x) - 2)
        if (x[i] > x[i - 1] and x[i] > x[i + 1]) or (x[i] < x[i - 1] and x[i] < x[i + 1])
    ]
    last_val = last_min = last_max = x[0]
    min_seen, kept, dropped = False, None, []
    for event in events:
        y = event[1]
        if event[2]:
            if abs(y - last_val) < thr:
                if y - last_min < thr:
                    dropped.append(event)
                elif y > 1.05 * last_max:
                    if kept is not None:
                        dropped.append(kept)
                    last_max, kept, min_seen = y, event, False
                elif min_seen:
                    last_max, kept, min_seen = y, event, False
                else:
                    dropped.append(event)
                    min_seen = False
            else:
                min_seen, last_max, kept = False, y, event
        elif abs(y - last_val) >= thr:
            min_seen, last_min = True, y
        last_val = y
    events = [e for e in events if not any(e is d for d in dropped)]
    last_max, left = x[0], []
    for event in events:
        if event[2]:
            last_max = event[1]
        elif last_max - event[1] < thr:
            continue
        left.append(event)
    out = []
    for event in left:
        if out and out[-1][2] == event[2]:
            better = event[1] > out[-1][1] if event[2] else event[1] < out[-1][1]
            if better:
                out[-1] = event
        else:
            out.append(event)
    return out


def naive_slopes(x):
    events = naive_extrema(x)
    rising, falling = [], []
    high, low = (0, x[0]), (0, x[0])
    for i, y, is_max in events:
        if is_max:
            rising.append((y - low[1]) / ((i - low[0]) * 0.01))
            high = (i, y)
        else:
            falling.append((high[1] - y) / ((i - high[0]) * 0.01))
            low = (i, y)
    tails = ([], [])
    if not events:
        s = (x[-1] - x[0]) / len(x)
        tails[0].extend([s] if s > 0 else [])
        tails[1].extend([s] if s < 0 else [])
    else:
        i, y, is_max = events[-1]
        tails[is_max].append((x[-1] - y) / ((len(x) - 1 - i) * 0.01))
    result = []
    for slopes, tail in ((rising, tails[0]), (falling, tails[1])):
        count = len(slopes) + len(tail)
        mean = (sum(slopes) + sum(tail)) / count if count else 0.0
        result += [mean, math.sqrt(sum((s - mean) ** 2 for s in slopes) / count) if count else 0.0]
    return result, sum(e[2] for e in events)


@given(contour)
def test_slopes_against_a_naive_reimplementation(x):
    found = peaks.measure_slopes(f32(x))
    expected, count = naive_slopes(x)
    assert found.peaks == count
    assert [found.rising_mean, found.rising_std, found.falling_mean, found.falling_std] == pytest.approx(
        expected
    )


def test_slopes_of_a_triangle_and_the_sign_of_its_tail():
    x = [0.0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0]
    found = peaks.measure_slopes(f32(x))
    assert found.peaks == 1
    assert found.rising_mean == pytest.approx(100)  # 5 in 5 frames of 10 ms
    assert found.falling_mean == pytest.approx(-100)  # the tail counts with its own sign
    assert found.falling_std == 0


def test_a_line_without_extrema_counts_once_and_per_frame():
    found = peaks.measure_slopes(f32([1, 2, 3, 4]))
    assert (found.rising_mean, found.rising_std, found.falling_mean, found.peaks) == (0.75, 0, 0, 0)
    assert peaks.measure_slopes(f32([4, 3, 2, 1])).falling_mean == -0.75


def naive_segments(hits):
    """The state machine of the specification."""
    state = count = gap = start = 0
    lengths = []
    for i, hit in enumerate(hits):
        if state == 0:
            if hit:
                count, start, state = count + 1, i, 1
        elif state == 1:
            if hit:
                gap, count = 0, count + 1
                if count >= 3:
                    count, state = 0, 2
            else:
                gap += 1
                if gap >= 2:
                    state = gap = count = 0
        elif hit:
            gap = 0
        else:
            count, gap = 0, gap + 1
            if gap >= 2:
                lengths.append((i - gap) - start)
                state = gap = 0
    if state == 2:
        lengths.append((len(hits) - (gap + 1)) - start)
    return lengths


@given(st.lists(st.booleans(), max_size=80))
def test_segments_against_the_state_machine(hits):
    assert segments.find_segments(hits) == naive_segments(hits)


def test_a_run_of_n_frames_counts_as_one_less():
    assert segments.find_segments([False] * 3 + [True] * 7 + [False] * 3) == [6]
    found = segments.measure_segments(np.array([True] * 5 + [False] * 5 + [True] * 9 + [False] * 81))
    assert found.per_second == pytest.approx(2.0)
    assert found.mean_s == pytest.approx(0.06)
    assert found.std_s == pytest.approx(0.02)


def test_more_than_a_thousand_segments_are_not_counted():
    hits = np.tile([True] * 3 + [False] * 2, 1100)
    assert segments.measure_segments(hits).per_second == pytest.approx(1000 / 55)


def test_no_segments_no_numbers():
    assert segments.measure_segments(np.zeros(0, dtype=bool)) == segments.Segments(0, 0, 0)
    assert segments.measure_segments(np.zeros(50, dtype=bool)) == segments.Segments(0, 0, 0)


@pytest.mark.parametrize(("second", "kept_at", "kept"), [(103, 3, 100), (107, 7, 107)])
def test_without_a_real_minimum_between_them_a_maximum_must_be_5_percent_higher_to_replace(
    second, kept_at, kept
):
    x = [0.0, 50, 90, 100, 99, 98, 99, second, 80, 40, 20, 0]
    assert [(e.position, e.value) for e in peaks.find_extrema(x)] == [(kept_at, kept)]
