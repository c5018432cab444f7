"""Samples come out exactly as they were written, within the limits, or not at all."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import AudioRejected, UsageError
from sottovoce.voice.audio import Decoded, Limits, SourceFile, decode
from sottovoce.voice.containers import BytesSource

RATE = 16_000
CUTTABLE = [("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("OGG", "VORBIS")]
LOSSLESS_AND_LOSSY = [
    ("WAV", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def wav(
    data: bytes, *, tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, declared: int = -1
) -> bytes:
    """A plain RIFF file, written here byte by byte: independent of any library."""
    size = len(data) if declared < 0 else declared
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate, min(rate * block, 2**32 - 1), block, bits)
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + body


def encoded(samples: npt.NDArray[np.float64], container: str, codec: str, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=codec)
    return file.getvalue()


def tone(seconds: float = 0.5, rate: int = RATE) -> npt.NDArray[np.float64]:
    return np.asarray(0.3 * np.sin(2 * np.pi * 200 * np.arange(int(seconds * rate)) / rate))


def refused(data: bytes, **options: object) -> str:
    with pytest.raises(AudioRejected) as caught:
        decode(BytesSource(data), **options)  # type: ignore[arg-type]
    return caught.value.reason


def opened(data: bytes, **options: object) -> Decoded:
    return decode(BytesSource(data), **options)  # type: ignore[arg-type]


@given(st.integers(0, 2**32), st.integers(1600, 2000), st.integers(1, 3))
def test_pcm_16_comes_out_as_written(seed: int, frames: int, channels: int) -> None:
    data = np.random.default_rng(seed).integers(-32768, 32768, frames)
    data = np.repeat(data[:, None], channels, axis=1) // np.arange(1, channels + 1)
    result = opened(wav(data.astype("<i2").tobytes(), channels=channels), channel=str(channels - 1))
    assert np.array_equal(result.samples, data[:, -1] / 32768)
    assert (result.sample_rate_hz, result.channels, result.codec) == (RATE, channels, "wav/pcm_16")


@pytest.mark.parametrize(
    ("bits", "tag", "dtype", "scale"),
    [(8, 1, "u1", 128), (32, 1, "<i4", 2**31), (32, 3, "<f4", 1), (64, 3, "<f8", 1)],
)
def test_other_widths_come_out_as_written(bits: int, tag: int, dtype: str, scale: int) -> None:
    values = np.linspace(-0.9, 0.9, 1600)
    stored = (values * scale + (128 if dtype == "u1" else 0)).astype(dtype)
    expected = (stored.astype(np.float64) - (128 if dtype == "u1" else 0)) / scale
    assert np.array_equal(opened(wav(stored.tobytes(), tag=tag, bits=bits)).samples, expected)


def test_mix_is_the_mean_of_the_channels() -> None:
    data = np.stack([np.full(1600, 1000), np.full(1600, -3000)], axis=1).astype("<i2")
    result = opened(wav(data.tobytes(), channels=2), channel="mix")
    assert np.allclose(result.samples, -1000 / 32768)
    assert result.channel == "mix"


def test_a_channel_that_does_not_exist_is_refused() -> None:
    assert refused(wav(bytes(3200)), channel="1") == "channels"


@pytest.mark.parametrize("channel", ["8", "-1", "", "left", "00"])
def test_a_channel_that_cannot_exist_is_refused(channel: str) -> None:
    with pytest.raises(UsageError):
        opened(wav(bytes(3200)), channel=channel)


@pytest.mark.parametrize(
    ("container", "codec"),
    LOSSLESS_AND_LOSSY,
)
def test_M03_decoding_stops_at_the_limit(container: str, codec: str) -> None:
    """Only the first part of a long recording is looked at, and the result says that it was cut."""
    result = opened(encoded(tone(3.0), container, codec), limits=Limits(max_analysed_s=1.0))
    assert len(result.samples) == RATE
    assert "cut" in result.flags
    assert "cut" not in opened(encoded(tone(3.0), container, codec)).flags


def test_M03_exactly_the_limit_is_not_cut() -> None:
    """A recording of exactly the analysed length is complete."""
    assert "cut" not in opened(wav(bytes(2 * RATE)), limits=Limits(max_analysed_s=1.0)).flags
    assert "cut" in opened(wav(bytes(2 * RATE + 2)), limits=Limits(max_analysed_s=1.0)).flags


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 192_000])
def test_M03_one_hundred_milliseconds_is_the_floor(rate: int) -> None:
    """A recording of 100 ms is accepted, one sample less is an error and never NaN."""
    frames = rate // 10
    assert len(opened(wav(bytes(2 * frames), rate=rate)).samples) == frames
    assert refused(wav(bytes(2 * (frames - 1)), rate=rate)) == "too_short"


@pytest.mark.parametrize("rate", [1, 7_999, 192_001, 4_000_000_000])
def test_M03_rates_outside_the_caps_are_refused(rate: int) -> None:
    """A sample rate that no voice recording has, up to 4 GHz, is refused from the header."""
    assert refused(wav(bytes(40_000), rate=rate)) == "sample_rate"


def test_M03_a_body_above_the_cap_is_refused_before_it_is_read() -> None:
    """A recording larger than the limit is refused by its size alone."""
    assert refused(wav(bytes(4000)), limits=Limits(max_body_bytes=4000)) == "too_large"


def test_more_than_two_hours_is_too_long_by_the_header_alone() -> None:
    frames = 2 * 3600 * 8000
    assert refused(wav(b"", rate=8000, bits=8, declared=frames + 1)) == "too_long"


@given(st.integers(44, 44 + 31_999))
def test_X19_a_cut_wav_is_never_passed_off_as_whole(length: int) -> None:
    """A recording that ends before its header says is refused, wherever it was cut."""
    assert refused(wav(bytes(32_000))[:length]) == "truncated"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(("container", "codec"), CUTTABLE)
def test_X19_other_cut_containers_are_noticed(container: str, codec: str, share: float) -> None:
    """Cut FLAC, AIFF, AU and Ogg recordings are refused as well."""
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, 3 * RATE)
    data = encoded(noise, container, codec)
    assert refused(data[: int(len(data) * share)]) in {"truncated", "decode_failed"}


def test_X19_a_flac_cut_behind_the_analysed_part_is_noticed_too() -> None:
    """A long FLAC that is cut after the part we look at is still refused."""
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, 20 * RATE)
    data = encoded(noise, "FLAC", "PCM_16")
    assert refused(data[: len(data) // 2], limits=Limits(max_analysed_s=1.0)) == "truncated"


def test_X19_a_cut_recording_is_kept_where_the_caller_wants_it_and_says_so() -> None:
    """On request a cut recording is analysed as far as it goes, flagged as truncated."""
    result = opened(wav(bytes(32_000))[:20_000], accept_truncated=True)
    assert "truncated" in result.flags
    assert len(result.samples) == (20_000 - 44) // 2


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0x7FFFF000])
def test_an_open_length_of_a_stream_is_no_truncation(declared: int) -> None:
    result = opened(wav(bytes(32_000), declared=declared))
    assert result.flags >= {"length_unknown"}
    assert len(result.samples) == 16_000


def test_bytes_behind_the_data_are_dropped() -> None:
    result = opened(wav(bytes(32_000)) + b"something else that is not sound")
    assert "trailing_bytes" in result.flags
    assert len(result.samples) == 16_000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("bits", [32, 64])
def test_X20_nan_is_refused(value: float, bits: int) -> None:
    """Values that are not numbers never enter the analysis."""
    samples = np.zeros(1600, f"<f{bits // 8}")
    samples[700] = value
    assert refused(wav(samples.tobytes(), tag=3, bits=bits)) == "non_finite"


def test_absurd_amplitudes_are_refused() -> None:
    samples = np.zeros(1600, "<f4")
    samples[3] = 9.0
    assert refused(wav(samples.tobytes(), tag=3, bits=32)) == "amplitude"
    samples[3] = 1.5
    assert opened(wav(samples.tobytes(), tag=3, bits=32)).samples.max() == 1.5


def test_X18_a_flac_that_declares_two_to_the_thirty_six_samples() -> None:
    """A tiny file that announces hundreds of gigabytes is refused from its header, without allocating."""
    data = bytearray(encoded(tone(), "FLAC", "PCM_16"))
    packed = int.from_bytes(data[18:26]) | (1 << 36) - 1
    data[18:26] = packed.to_bytes(8)
    assert refused(bytes(data)) == "too_long"


def test_X18_one_hour_of_silence_costs_thirty_seconds() -> None:
    """A recording that unpacks to 637 times its size is only unpacked as far as it is looked at."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8000, 1, "PCM_16", format="FLAC") as writer:
        for _ in range(60):
            writer.write(np.zeros(60 * 8000, np.int16))
    result = opened(file.getvalue())
    assert len(result.samples) == 30 * 8000
    assert "cut" in result.flags


@given(
    st.sampled_from(["WAV", "FLAC", "AIFF", "AU", "OGG", "MP3"]),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=12),
)
def test_damaged_headers_give_a_reason_and_nothing_else(
    container: str, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(_SAMPLES[container])
    for where, value in changes:
        data[int(where * min(len(data), 200))] = value
    try:
        result = opened(bytes(data), formats=None)
    except AudioRejected:
        return
    assert np.isfinite(result.samples).all()


_SAMPLES = {
    container: encoded(tone(0.2), container, codec)
    for container, codec in (
        ("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
    )
}  # fmt: skip


@given(
    st.binary(max_size=300),
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(-400, 400), st.integers(0, 2)), max_size=8),
)
def test_the_view_of_a_source_behaves_like_a_file(
    data: bytes, start: int, seeks: list[tuple[int, int]]
) -> None:
    stop = len(data) - min(len(data), start)
    view, oracle = SourceFile(BytesSource(data), start, stop), io.BytesIO(data[start:stop])
    for offset, whence in seeks:
        base = (0, oracle.tell(), len(oracle.getvalue()))[whence]
        inside = min(max(0, base + offset), len(oracle.getvalue()))
        assert view.seek(offset, whence) == oracle.seek(inside)
        assert view.read(17) == oracle.read(17)
        assert view.tell() == oracle.tell()
