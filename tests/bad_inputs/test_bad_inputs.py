"""faults.md section 5 as a table: every file of ../shared/data/bad_inputs and formats, and the answer it must get.

Each row is (pattern, answer with `[formats]`, answer without). An answer is a reason, or `accepted` with the flags
that must be among those found. A file without a row, or with two, fails the test.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import math
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.errors import AudioRejected
from sottovoce.model.features import Extraction
from sottovoce.ports import Descriptor, ExtractOptions
from sottovoce.voice.containers import BytesSource
from sottovoce.voice.formats import load_formats
from sottovoce.voice.pipeline import process

HAS_FORMATS = importlib.util.find_spec("av") is not None
needs_av = pytest.mark.skipif(not HAS_FORMATS, reason="PyAV (the extra [formats]) is not installed")


def accepted(*flags: str) -> str:
    return " ".join(("accepted", *flags))


def same(pattern: str, answer: str) -> tuple[str, str, str]:
    return pattern, answer, answer


FORMATS = "unknown_format + hint"
TABLE = [
    # empty
    same("zero_bytes.wav", "empty"),
    same("tinytag_empty_file.*", "empty"),
    # not audio
    same("html_named.wav", "unknown_format"),
    same("png_named.wav", "unknown_format"),
    same("text_named.wav", "unknown_format"),
    same("zip_named.wav", "unknown_format"),
    same("tinytag_invalid_file*.*", "unknown_format"),
    same("tinytag_there_is_no_such_ext.bogus", "unknown_format"),
    same("tinytag_detect_none.x", "unknown_format"),
    same("tinytag_magic_bytes_only_asf.x", "unknown_format"),
    same("tinytag_magic_bytes_only_id3.x", "unknown_format"),
    same("tinytag_magic_bytes_only_mp3.x", "unknown_format"),
    same("tinytag_magic_bytes_only_ogg.x", "unknown_format"),
    same("tinytag_magic_bytes_only_mp4.x", "unknown_format"),
    same("tinytag_utf-8-id3v2-invalid-string.mp3", "unknown_format"),
    # container not allowed
    same("tinytag_wma_invalid_track_number.wma", "format_not_allowed"),
    # header broken or cut
    same("truncated_header.wav", "header_invalid"),
    same("hound_crash-*.wav", "header_invalid"),
    same("hound_oom-*.wav", "header_invalid"),
    same("scipy_*-early-eof-no-data.wav", "header_invalid"),
    same("scipy_*-incomplete-chunk.wav", "header_invalid"),
    same("tinytag_magic_bytes_only_wav.x", "header_invalid"),
    same("tinytag_magic_bytes_only_flac.x", "header_invalid"),
    same("tinytag_magic_bytes_only_aiff.x", "header_invalid"),
    same("flac_faulty_06_*", "header_invalid"),
    same("flac_faulty_11_*", "header_invalid"),
    same("tinytag_invalid_second_streaminfo.flac", "header_invalid"),
    same("tinytag_no_audio_data_compressed.wav", "header_invalid"),
    same("tinytag_mp4_extended_size_truncated.m4a", "header_invalid"),
    same("tinytag_mp4_invalid_size_zero.m4a", "header_invalid"),
    # no samples
    same("header_only.wav", "no_samples"),
    same("tinytag_no_audio.aiff", "no_samples"),
    same("tinytag_no_audio.ogg", "no_samples"),
    same("tinytag_no_audio_data_uncompressed.wav", "no_samples"),
    # impossible format
    same("bits_0.wav", "header_invalid"),
    same("channels_0.wav", "header_invalid"),
    same("rate_0.wav", "header_invalid"),
    same("tinytag_invalid_sample_rate.aiff", "header_invalid"),
    same("scipy_*-5S-36bit.wav", "header_invalid"),
    same("scipy_*-5S-53bit.wav", "header_invalid"),
    same("scipy_*-5S-64bit.wav", "header_invalid"),
    # outside caps
    same("rate_1Hz.wav", "sample_rate"),
    same("rate_768k.wav", "sample_rate"),
    same("scipy_test-1234Hz-*.wav", "sample_rate"),
    same("tinytag_negative_bitrate.ogg", "sample_rate"),
    same("channels_1000.wav", "channels"),
    same("flac_bomb_10h_silence.flac", "too_long"),
    # too short
    same("one_sample.wav", "too_short"),
    same("ten_ms.wav", "too_short"),
    same("hound_nonstandard-0?.wav", "too_short"),
    same("hound_pcmwaveformat-*.wav", "too_short"),
    same("hound_waveformatex*.wav", "too_short"),
    same("hound_pop.wav", "too_short"),
    same("scipy_test-8000Hz-be-3ch-5S-24bit.wav", "too_short"),
    same("scipy_test-8000Hz-le-3ch-5S-24bit*.wav", "too_short"),
    same("scipy_test-8000Hz-le-5ch-9S-5bit.wav", "too_short"),
    same("scipy_test-44100Hz-2ch-32bit-float-be.wav", "too_short"),
    same("scipy_test-48000Hz-2ch-64bit-float-le-wavex.wav", "too_short"),
    same("tinytag_cut_off_titles.mp3", "too_short"),
    # not finite, absurd, truncated, failing at read
    same("nan_inf_float.wav", "non_finite"),
    same("huge_float_values.wav", "amplitude"),
    same("truncated_data.wav", "truncated"),
    ("flac_faulty_04_*", "decode_failed", "decode_failed + hint"),
    ("flac_faulty_08_*", "decode_failed", "decode_failed + hint"),
    # decoders disagree, and what only the extra can read
    ("wild_flac_decoders_disagree_*.flac", accepted(), "decode_failed + hint"),
    ("tinytag_mp4_extended_size.m4a", "decode_failed", FORMATS),
    # lies but complete
    same("declares_4GB.wav", accepted("length_unknown")),
    same("flac_faulty_01_*", accepted("header_mismatch")),
    same("flac_faulty_02_*", accepted("header_mismatch")),
    same("flac_faulty_05_*", accepted("header_mismatch")),
    same("odd_chunk_padding.wav", accepted("header_mismatch", "trailing_bytes")),
    same("tinytag_riff_extra_zero*.wav", accepted()),
    same("tinytag_id3_header_with_a_zero_byte.wav", accepted("trailing_bytes")),
    same("tinytag_adpcm_no_byterate.wav", accepted("header_mismatch")),
    # at the floor
    same("scipy_test-44100Hz-be-1ch-4bytes.wav", accepted("short")),
    same("scipy_test-44100Hz-le-1ch-4bytes-rf64.wav", accepted("short")),
    same("scipy_test-8000Hz-le-2ch-1byteu.wav", accepted("narrow_band", "short")),
    same("tinytag_id3_broken_frame_size.mp3", accepted("short")),
    same("tinytag_synced_lyrics_invalid.mp3", accepted("short")),
    # valid but no voice
    same("silence_3s.wav", accepted("no_voice")),
    same("dc_full_scale_3s.wav", accepted("dc", "no_voice")),
    same("clipped_square_3s.wav", accepted("clipped")),
    same("pure_tone_1s.wav", accepted()),
]
FORMATS_TABLE = [
    *[same(f"common_voice_en_{name}.mp3", accepted()) for name in ("2000*", "21953345", "699711")],
    *[same(f"jfk5{name}", accepted()) for name in (".aiff", ".au", ".mp3", "_24bit.flac", "_float_44k.wav")],
    *[
        same(f"jfk5_{name}_8k.wav", accepted("narrow_band"))
        for name in ("alaw", "gsm610", "imaadpcm", "ulaw")
    ],
    *[same(f"jfk5_{name}", accepted()) for name in ("opus.ogg", "vorbis.ogg", "rf64.wav", "u8_16k.wav")],
    *[same(f"jfk5_{name}.wav", accepted()) for name in ("pcm16_16k", "pcm24_48k_stereo")],
    *[(f"jfk5_{name}", accepted(), FORMATS) for name in ("aac.m4a", "aac.mp4", "opus.webm")],
]


def row(name: str, table: list[tuple[str, str, str]]) -> tuple[str, str]:
    rows = [(with_it, without) for pattern, with_it, without in table if fnmatch.fnmatchcase(name, pattern)]
    assert len(rows) == 1, f"{name} has {len(rows)} rows"
    return rows[0]


def answered(error: AudioRejected) -> str:
    return error.reason + (" + hint" if 'pip install "sottovoce[formats]"' in error.hint else "")


def analysed(path: Path, *, formats: bool) -> tuple[str, set[str]]:
    try:
        result = process(BytesSource(path.read_bytes()), formats=load_formats() if formats else None)
    except AudioRejected as error:
        return answered(error), set()
    assert all(math.isfinite(value) for value in result.features.values)
    return "accepted", set(result.quality.flags)


def check(path: Path, expected: str, answer: str, flags: set[str]) -> None:
    wanted = expected.split() if expected.startswith("accepted") else [expected]
    assert answer == wanted[0], path.name
    assert flags >= set(wanted[1:]), path.name


@pytest.mark.parametrize("formats", [pytest.param(True, marks=needs_av), False], ids=["with", "without"])
def test_M05_every_bad_input_gets_the_answer_that_is_promised(shared_data: Path, formats: bool) -> None:
    """Each of 112 broken, lying or hostile audio files is refused with its own reason or accepted with a warning."""
    files = sorted((shared_data / "bad_inputs").iterdir())
    assert len(files) == 112
    for path in files:
        expected = row(path.name, TABLE)[0 if formats else 1]
        check(path, expected, *analysed(path, formats=formats))


@pytest.mark.parametrize("formats", [pytest.param(True, marks=needs_av), False], ids=["with", "without"])
def test_M05_every_format_is_accepted_or_names_the_extra(shared_data: Path, formats: bool) -> None:
    """All 25 sample formats are accepted; the three that need optional decoders say how to install them."""
    files = sorted((shared_data / "formats").iterdir())
    assert len(files) == 25
    for path in files:
        expected = row(path.name, FORMATS_TABLE)[0 if formats else 1]
        check(path, expected, *analysed(path, formats=formats))


@pytest.fixture(scope="module")
def sealed() -> Iterator[SealedExtractor]:
    with SealedExtractor() as extractor:
        yield extractor


def extract(extractor: SealedExtractor, path: Path, options: ExtractOptions | None = None) -> Extraction:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return extractor.extract(Descriptor(fd), options or ExtractOptions())
    finally:
        os.close(fd)


@needs_av
def test_X21_all_bad_inputs_through_the_sealed_child(shared_data: Path, sealed: SealedExtractor) -> None:
    """No broken recording can crash the service: each gets its answer from a child process that then is gone."""
    for path in sorted((shared_data / "bad_inputs").iterdir()):
        expected = row(path.name, TABLE)[0]
        try:
            flags = set(extract(sealed, path).quality.flags)
        except AudioRejected as error:
            check(path, expected, answered(error), set())
        else:
            check(path, expected, "accepted", flags)


def test_X22_silence_counts_no_voiced_frame(shared_data: Path, sealed: SealedExtractor) -> None:
    """For silence the number of voiced frames is zero, so that nothing is told about a voice."""
    quality = extract(sealed, shared_data / "bad_inputs" / "silence_3s.wav").quality
    assert quality.voiced_frames == 0
    assert not quality.has_voice


MUTATIONS = int(os.environ.get("SOTTOVOCE_MUTATIONS", "4"))  # per format; the fuzz campaign asks for 150


@needs_av
def test_M05_mutated_recordings_give_numbers_or_a_reason(
    shared_data: Path, sealed: SealedExtractor, tmp_path: Path
) -> None:
    """Recordings of every format with 20 bytes changed at random never crash the service, nor even the child."""
    dice = random.Random(20)
    outcomes: Counter[str] = Counter()
    for path in sorted((shared_data / "formats").iterdir()):
        whole = path.read_bytes()
        for turn in range(MUTATIONS):
            data = bytearray(whole)
            reach = len(data) if turn % 2 else 400  # half of them in the header
            for _ in range(20):
                data[dice.randrange(min(reach, len(data)))] = dice.randrange(256)
            (tmp_path / "mutant").write_bytes(data)
            try:
                extract(sealed, tmp_path / "mutant", ExtractOptions(max_analysed_s=1.0))
                outcomes["accepted"] += 1
            except AudioRejected as error:
                outcomes[error.reason] += 1
    assert outcomes.total() == 25 * MUTATIONS
    assert outcomes["accepted"]
