"""The compiled loops against the numpy code that they stand for: the same bits, or not at all."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.voice.egemaps import frames, harmonics, kernels, octave, periods, pitch, viterbi
from sottovoce.voice.egemaps.extract import extract

compiled = kernels.load(kernels.FILE)
needs_compiled = pytest.mark.skipif(compiled is None, reason="no C compiler was there at installation")
SEEDS = st.integers(0, 2**32 - 1)
STREAM = frames.stream_60ms(16000)


def same(one, other):
    """Equal to the bit; NaN equals NaN."""
    one, other = np.asarray(one), np.asarray(other)
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def coarse(seed, shape, steps=8):
    """float32 spectra of few values: many ties, plateaus and zeros."""
    return np.random.default_rng(seed).integers(0, steps, shape).astype(np.float32)


def both(call, *arguments, **named):
    with kernels.numpy_only():
        plain = call(*arguments, **named)
    return call(*arguments, **named), plain


def voice(seconds, rate_hz, seed=3):
    """A gliding buzz with pauses, noise, a click, digital silence and a clipped stretch."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(140 * (1 + 0.3 * np.sin(3 * t))) / rate_hz
    buzz = sum(np.sin(k * phase) / k for k in range(1, 25)) * (np.sin(5 * t) > -0.4)
    x = 0.2 * buzz + 0.004 * rng.standard_normal(len(t))
    x[len(x) // 3 : len(x) // 3 + rate_hz // 20] = 0.0
    x[len(x) // 2] = 1.0
    x[-rate_hz // 5 :] *= 9
    return x


@needs_compiled
@pytest.mark.parametrize("profile", ["compat", "corrected"])
def test_M99_features_are_the_same_with_and_without_a_compiler(profile):
    """The numbers do not depend on whether the machine had a C compiler, not even in their last digit."""
    clips = [voice(3.0, 16000), voice(0.2, 16000), np.zeros(8000), np.full(5000, 0.4)]
    clips += [0.2 * np.random.default_rng(4).standard_normal(20000), np.sign(voice(0.7, 16000))]
    for clip in clips:
        with_it, without = both(extract, clip, 16000, profile=profile)
        assert with_it.values == without.values


@needs_compiled
@pytest.mark.parametrize("rate_hz", [8000, 32000, 44100, 48000])
def test_M99_it_holds_at_every_rate(rate_hz):
    """With and without a C compiler the numbers are the same at every sample rate, resampled or not."""
    clip = voice(1.0, rate_hz)
    for native in (False, True):
        with_it, without = both(extract, clip, rate_hz, native=native)
        assert with_it.values == without.values


@needs_compiled
@pytest.mark.shared
def test_M99_it_holds_on_real_speech(shared_data):
    """With and without a C compiler the numbers of real recordings of several people are the same."""
    files = sorted((shared_data / "librispeech").rglob("*.flac"))[::60]
    files += sorted((shared_data / "fsdd").rglob("*.flac"))[::120]
    for file in files:
        samples, rate_hz = soundfile.read(file, frames=10 * 16000)
        for profile in ("compat", "corrected"):
            with_it, without = both(extract, samples, rate_hz, profile=profile)
            assert with_it.values == without.values, file.name


@needs_compiled
def test_the_switch_is_what_decides():
    assert kernels.library() is not None
    with kernels.numpy_only():
        assert kernels.library() is None
    assert kernels.library() is not None


@needs_compiled
@given(SEEDS, st.integers(1, 5), st.integers(2, 70))
def test_magnitudes(seed, rows, bins):
    rng = np.random.default_rng(seed)
    spectrum = rng.standard_normal((rows, bins)) * 10.0 ** rng.integers(-9, 9) + 1j * rng.standard_normal(
        bins
    )
    assert same(
        compiled.magnitudes(spectrum), np.sqrt(spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    )


@needs_compiled
@given(SEEDS, st.integers(1, 6), st.integers(2, 40), st.booleans())
def test_enhanced(seed, rows, bins, corrected):
    spectrum = coarse(seed, (rows, bins), steps=2 + seed % 6)
    found = compiled.enhanced(spectrum, corrected=corrected)
    assert same(found, octave.enhanced(spectrum, corrected=corrected).astype(np.float64))


@needs_compiled
@given(SEEDS)
def test_summation(seed):
    spectrum = np.random.default_rng(seed).random((3, STREAM.bins)).astype(np.float32)
    assert same(*both(pitch.summation, spectrum, STREAM))


@needs_compiled
@given(SEEDS, st.integers(2, 60))
def test_highest(seed, bins):
    total = coarse(seed, (4, bins))
    assert same(compiled.highest(total), pitch._highest(total))


@needs_compiled
@given(SEEDS, st.integers(1, 30))
def test_advance(seed, count):
    """Costs of few values: the lowest index has to win the ties."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(0, 4, (count, 7, 7)).astype(float)
    local, total = rng.random((count, 7)), rng.integers(0, 3, 7).astype(float)
    slow, path = total.copy(), []
    for step, cost in zip(steps, local, strict=True):
        path.append((step + slow).argmin(axis=1))
        slow = (step + slow).min(axis=1) + cost
    new, came_from = compiled.advance(steps, local, total)
    assert same(new, slow)
    assert same(came_from, path)


@needs_compiled
@settings(max_examples=25)
@given(SEEDS)
def test_the_path_through_candidates(seed):
    rng = np.random.default_rng(seed)
    frequency = (rng.uniform(55, 1000, (40, 6)) * rng.integers(0, 2, (40, 6))).astype(np.float32)
    voicing = rng.random((40, 6)).astype(np.float32)
    (path, left), (plain, plain_left) = both(viterbi.best_path, frequency, voicing)
    assert same(path, plain)
    assert left == plain_left


@needs_compiled
@settings(max_examples=40)
@given(SEEDS)
def test_harmonics(seed):
    rng = np.random.default_rng(seed)
    magnitude = coarse(seed, (6, STREAM.bins), steps=30)
    magnitude[0, : 20 + seed % 300] = 0
    magnitude[1] = np.linspace(5, 1, STREAM.bins)
    f0_hz = rng.uniform(55, 1000, 6).astype(np.float32)
    found, plain = both(harmonics._find, magnitude, f0_hz.astype(np.float64), STREAM.frequencies_hz())
    for one, other in zip(found, plain, strict=True):
        assert same(one, other)


@needs_compiled
@given(SEEDS, st.integers(3, 40))
def test_nearest_maximum(seed, lags):
    acf, expected = coarse(seed, (5, lags)), np.random.default_rng(seed).integers(0, lags, 5)
    assert same(compiled.nearest_maximum(acf, expected), harmonics._nearest_maximum(acf, expected))


@needs_compiled
@settings(max_examples=25)
@given(SEEDS, st.sampled_from([8000, 16000, 48000]))
def test_periods(seed, rate_hz):
    """Noise, a loud square and silence, called voiced at pitches that jump: every branch of the walk."""
    rng, stream = np.random.default_rng(seed), frames.stream_60ms(rate_hz)
    steps = frames.quantise(0.3 * rng.standard_normal(rate_hz // 3))
    steps[len(steps) // 3 : len(steps) // 2] = 32767 * (-1) ** (seed % 2)
    steps[len(steps) // 2 : len(steps) // 2 + rate_hz // 40] = 0
    steps[-rate_hz // 10 :] = np.resize(frames.quantise(rng.standard_normal(rate_hz // 150)), rate_hz // 10)
    f0_hz = (
        rng.uniform(55, 1000, stream.count(len(steps))) * (rng.random(stream.count(len(steps))) > 0.2)
    ).astype(np.float32)
    found, plain = both(periods.measure, steps, frames.to_signal(steps), f0_hz, stream)
    assert same(found.jitter, plain.jitter)
    assert same(found.shimmer_db, plain.shimmer_db)


@needs_compiled
@pytest.mark.parametrize(("count", "f0_hz"), [(400, 100.0), (960, 1e-3), (960, 9000.0)])
def test_what_does_not_fit_the_arrays_is_left_to_numpy(count, f0_hz):
    """Neither a cut signal nor an absurd pitch is read beyond; what is remembered stays as it was."""
    steps, memory = np.ones(count), np.array([7.0, 0.5, 0.25, 0.01])
    totals = np.zeros((2, count + 1))
    asked = np.full(3, f0_hz, dtype=np.float32)
    found = compiled.periods((steps, totals), steps.astype(np.float32), asked, (16000, 160, 960), memory)
    assert found is None
    assert memory.tolist() == [7.0, 0.5, 0.25, 0.01]


@needs_compiled
def test_a_spectrum_too_wide_is_refused():
    with pytest.raises(ValueError):
        compiled.highest(np.zeros((1, kernels.MOST_BINS + 1), dtype=np.float32))


def test_a_missing_or_damaged_file_means_numpy(tmp_path):
    assert kernels.load(tmp_path / "none.so") is None
    (tmp_path / "damaged.so").write_bytes(b"\x7fELF" + bytes(100))
    assert kernels.load(tmp_path / "damaged.so") is None


@pytest.fixture(scope="module")
def builder(load_script):
    return load_script("hatch_build.py")


@pytest.fixture
def checkout(builder, repo_root, tmp_path):
    (tmp_path / builder.ROOM).mkdir(parents=True)
    shutil.copy(repo_root / builder.ROOM / "kernels.c", tmp_path / builder.ROOM)
    return tmp_path


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler here")
def test_the_build_makes_a_library_that_is_used(builder, checkout):
    made = builder.compiled(checkout)
    assert made is not None
    assert kernels.load(made) is not None
    stamp = made.stat().st_mtime_ns
    assert builder.compiled(checkout) == made
    assert made.stat().st_mtime_ns == stamp  # nothing to do the second time


def test_without_a_compiler_the_installation_goes_on(builder, checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "no-such-compiler")
    assert builder.compiled(checkout) is None
    assert [file.name for file in (checkout / builder.ROOM).iterdir()] == ["kernels.c"]


def test_a_source_that_does_not_compile_leaves_nothing_behind(builder, checkout):
    (checkout / builder.ROOM / "kernels.c").write_text("no C at all")
    assert builder.compiled(checkout) is None
    assert [file.name for file in (checkout / builder.ROOM).iterdir()] == ["kernels.c"]


@needs_compiled
def test_an_older_library_is_not_used(builder, checkout):
    source = checkout / builder.ROOM / "kernels.c"
    source.write_text(source.read_text().replace("#define VERSION 2\n", "#define VERSION 1\n"))
    made = builder.compiled(checkout)
    if made is None:
        pytest.skip("no C compiler here")
    assert kernels.load(made) is None
