"""HNR and levels of harmonics, against step-by-step searches written from the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sottovoce.voice.egemaps import frames, harmonics

STREAM = frames.stream_60ms(16000)
AXIS = STREAM.frequencies_hz()


def tone(levels, f0_hz=200.0, seconds=0.3):
    t = np.arange(int(16000 * seconds)) / 16000
    samples = 0.3 * sum(a * np.sin(2 * np.pi * f0_hz * (k + 1) * t) for k, a in enumerate(levels))
    windowed = frames.gaussian(frames.split(frames.to_signal(frames.quantise(samples)), STREAM))
    return frames.magnitudes(windowed, STREAM)


def is_max(values, i):
    left = i == 0 or values[i] > values[i - 1]
    right = i == len(values) - 1 or values[i] > values[i + 1]
    return left and right


def slow_hnr(m, f0):
    n = STREAM.fft_size
    power = (m * m).astype(float)
    full = np.concatenate((power, power[-2:0:-1]))
    lags = np.arange(n // 2 + 1)
    acf = np.abs(np.cos(2 * np.pi * np.outer(lags, np.arange(n)) / n) @ full / n).astype(np.float32)
    tau0 = math.floor(2 * float(AXIS[-1]) / float(f0))
    order = [tau0] + [lag for o in range(1, n) for lag in (tau0 - o, tau0 + o)]
    tau = next((lag for lag in order if 0 < lag < n // 2 and is_max(acf, lag)), 0)
    if tau == 0:
        return 0.0
    d = float(acf[0]) - float(acf[tau])
    q = 1e11 if d == 0 else float(acf[tau]) / d
    return 10 * math.log10(min(max(q, 1e-9), 1e11))


def test_hnr_against_direct_sums():
    rng = np.random.default_rng(14)
    m = (tone([1, 0.5, 0.2, 0.1])[:6] + 2 * rng.random((6, 513))).astype(np.float32)
    f0 = np.array([200, 200, 55, 990, 333, 120], dtype=np.float32)
    expected = [slow_hnr(row, pitch) for row, pitch in zip(m, f0, strict=True)]
    assert harmonics.harmonics_to_noise(m, f0, STREAM) == pytest.approx(expected, abs=2e-3)


def test_hnr_falls_with_noise():
    clean = tone([1, 0.5, 0.2])
    noise = np.random.default_rng(15).random(clean.shape) * 20
    f0 = np.full(len(clean), 200, dtype=np.float32)
    first, second = (
        harmonics.harmonics_to_noise(m.astype(np.float32), f0, STREAM) for m in (clean, clean + noise)
    )
    assert (first > second).all()


def test_hnr_is_zero_without_any_maximum():
    spectrum = np.zeros((1, 513), dtype=np.float32)
    assert harmonics.harmonics_to_noise(spectrum, np.array([100], dtype=np.float32), STREAM).tolist() == [0.0]


def slow_near(f, b0):
    for b in range(b0, 513):
        if AXIS[b] > f:
            return b - 1 if AXIS[b] - f > f - AXIS[b - 1] else b
    return 0


def slow_harmonics(m, f0):
    """bin, frequency, magnitude and relative level of 100 harmonics, as 10.2 writes it."""
    rows = []
    last = slow_near(0.5 * f0, 1)
    first = slow_near(0.5 * f0, last)
    for i in range(100):
        c = slow_near((i + 1) * f0, last)
        if c == 0:
            rows += [(0, 0.0, 0.0, 0.0)] * (100 - i)
            break
        right_end, left_end = slow_near((i + 1.5) * f0, c), slow_near((i + 0.5) * f0, last)
        order = [c]
        for o in range(1, 513):
            order += [c + o] if c + o <= right_end else []
            order += [c - o] if c - o >= left_end and c - o >= 0 else []
        peak = next((b for b in order if is_max(m, b)), None)
        if peak is not None and first <= peak < 512:
            y0, y1, y2 = (float(v) for v in m[peak - 1 : peak + 2])
            a, b = (y0 + y2) / 2 - y1, (y2 - y0) / 2
            rows.append((peak, AXIS[peak] - b / (2 * a) * AXIS[1], y1, y1 - b * b / (4 * a)))
        else:
            rows.append((c, 0.0, 0.0, 0.0))
        last = c
    mag0 = rows[0][2]
    result, before = [], None
    for i, (bin_, freq, mag, height) in enumerate(rows):
        if i == 0:
            rel = 0.0
        elif mag0 == 0:
            rel = -201.0
        else:
            rel = max(20 * (math.log10(height) - math.log10(mag0)), -200) if height > 0 else -200.0
        if bin_ == before:
            bin_, freq, mag, rel = 0, 0.0, 0.0, -201.0
        before = bin_
        result.append((freq, mag, rel))
    return np.array(result)


def test_harmonics_against_the_definition():
    rng = np.random.default_rng(16)
    m = np.concatenate((tone([1, 0.5, 0.2, 0.1])[:4], 10 * rng.random((12, 513)))).astype(np.float32)
    m[5, 5:40] = np.linspace(9, 3, 35)  # a stretch without peaks
    m[6, :30] = 0
    m[7, :] = np.linspace(5, 1, 513)  # none at all
    f0 = np.concatenate((np.full(4, 200.0), rng.uniform(55, 1000, 12))).astype(np.float32)
    found = harmonics.find_harmonics(m, f0, STREAM)
    for row in range(len(m)):
        asked = found.frequency_hz.shape[1]  # the search ends where nothing asks any more
        assert asked >= harmonics.HIGHEST_HZ / f0.min() - 1
        slow = slow_harmonics(m[row], float(f0[row]))[:asked]
        assert found.frequency_hz[row] == pytest.approx(slow[:, 0], rel=1e-9)
        assert found.magnitude[row] == pytest.approx(slow[:, 1], rel=1e-9)
        assert found.relative_db[row] == pytest.approx(slow[:, 2], rel=1e-9)


def test_M99_in_compat_h1_h2_is_second_minus_third_harmonic():
    """With harmonics of 0, -6.02 and -18.06 dB the difference is 12.13 dB, as the specification states."""
    m = tone([1, 0.5, 0.125])
    found = harmonics.find_harmonics(m, np.full(len(m), 200.86, dtype=np.float32), STREAM)
    h1_h2, h1_a3 = harmonics.level_differences(found, np.zeros(len(m)), np.zeros(len(m), dtype=bool))
    assert h1_h2 == pytest.approx(12.13, abs=0.02)
    assert h1_a3 == pytest.approx(-201)  # no harmonic there: -6.2 - 201, limited


def test_differences_are_limited():
    relative = np.zeros((1, 100))
    relative[0, 1:3] = (150, -150)
    found = harmonics.Harmonics(relative, relative, relative)
    h1_h2, h1_a3 = harmonics.level_differences(found, np.array([-120.0]), np.array([True]))
    assert (h1_h2[0], h1_a3[0]) == (201, 201)


def test_formant_amplitude_is_the_level_of_the_strongest_harmonic_within_20_percent():
    frequency, magnitude = np.zeros((2, 1, 100))
    frequency[0, :4], magnitude[0, :4] = (400, 480, 500, 1000), (9, 3, 3, 8)
    relative = np.arange(100, dtype=float)[None, :]
    levels, present = harmonics.formant_amplitudes(
        harmonics.Harmonics(frequency, magnitude, relative),
        np.array([[550.0, 2000.0, 0.0]], dtype=np.float32),
    )
    assert levels.tolist() == [[1.0, 0.0, 0.0]]  # 480 and 500 Hz tie: the first
    assert present.tolist() == [[True, False, False]]


def test_of_two_equally_near_lags_the_shorter_wins():
    acf = np.zeros((1, 40), dtype=np.float32)
    acf[0, [0, 10, 14]] = (9, 1, 5)
    assert harmonics._nearest_maximum(acf, np.array([12])).tolist() == [10]
    assert harmonics._nearest_maximum(acf, np.array([13])).tolist() == [14]
