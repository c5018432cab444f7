"""Decoding block by block: the samples of the whole, and nothing counted of a decoder that gave up."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sottovoce.errors import AudioRejected
from sottovoce.voice.audio import BLOCK_FRAMES, Limits, decode, decode_into
from sottovoce.voice.containers import BytesSource
from sottovoce.voice.formats import load_formats


class Kept:
    """A sink that keeps everything."""

    def __init__(self, rate_hz):
        self.rate_hz = rate_hz
        self.pieces = []

    def feed(self, samples, /):
        self.pieces.append(samples.copy())


def encoded(samples, rate, container="FLAC", subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def noise(count, channels=1):
    return 0.1 * np.random.default_rng(1).standard_normal((count, channels))


LONG = Limits(max_analysed_s=3600)


@pytest.mark.parametrize("kind", [("FLAC", "PCM_16"), ("WAV", "ULAW"), ("OGG", "OPUS"), ("AIFF", "PCM_24")])
@pytest.mark.parametrize("channel", ["0", "1", "mix"])
def test_F8_blocks_are_the_whole(kind, channel):
    """A file that is decoded block by block gives the same sound as one that is decoded at once."""
    data = encoded(noise(3 * BLOCK_FRAMES + 777, 2), 48000, *kind)
    facts, kept = decode_into(BytesSource(data), Kept, limits=LONG, channel=channel)
    whole = decode(BytesSource(data), limits=LONG, channel=channel)
    assert kept.rate_hz == 48000
    assert max(map(len, kept.pieces)) <= BLOCK_FRAMES
    assert np.array_equal(np.concatenate(kept.pieces), whole.samples)
    assert (facts.frames, facts.flags, facts.codec) == (len(whole.samples), whole.flags, whole.codec)
    expected = soundfile.read(io.BytesIO(data))[0]
    assert np.array_equal(
        whole.samples, expected.mean(axis=1) if channel == "mix" else expected[:, int(channel)]
    )


def test_what_lies_behind_the_cap_is_not_fed():
    data = encoded(noise(3 * BLOCK_FRAMES), 16000)
    facts, kept = decode_into(BytesSource(data), Kept, limits=Limits(max_analysed_s=5))
    assert sum(map(len, kept.pieces)) == facts.frames == 80_000
    assert facts.flags == {"cut"}


def test_X20_absurd_values_are_refused_and_never_fed():
    """Values far beyond full scale never reach a measurement, wherever in a long recording they stand."""
    samples = noise(2 * BLOCK_FRAMES)
    samples[-1] = 1e300
    fed = []

    class Watching(Kept):
        def feed(self, samples, /):
            fed.append(float(np.abs(samples).max()))

    with pytest.raises(AudioRejected) as refused:
        decode_into(BytesSource(encoded(samples, 16000, "WAV", "DOUBLE")), Watching, limits=LONG)
    assert refused.value.public_code == "amplitude"
    assert max(fed) < 8


@pytest.mark.formats
@pytest.mark.shared
def test_where_a_decoder_gives_up_the_next_one_begins_anew(shared_data: Path):
    """Two decoders never count for one recording."""
    if load_formats() is None:
        pytest.skip("PyAV (the extra [formats]) is not installed")
    made = []

    def begin(rate_hz):
        made.append(Kept(rate_hz))
        return made[-1]

    for path in sorted((shared_data / "bad_inputs").glob("wild_flac_decoders_disagree_*")):
        made.clear()
        data = path.read_bytes()
        facts, kept = decode_into(BytesSource(data), begin, limits=LONG)
        assert kept is made[-1]
        assert sum(map(len, kept.pieces)) == facts.frames
        assert np.array_equal(np.concatenate(kept.pieces), decode(BytesSource(data), limits=LONG).samples)
