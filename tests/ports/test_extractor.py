"""The promises of ports.Extractor, kept by the in-process fake and by the sealed child alike."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.errors import AudioRejected, ConfigurationError, InputUnreadable, IntegrityError, UsageError
from sottovoce.model.features import FEATURE_COUNT, Extraction
from sottovoce.ports import Descriptor, ExtractOptions, Extractor, Place, SealedBody
from sottovoce.sealing import envelope
from sottovoce.sealing.envelope import seal_body
from sottovoce.voice import bodies
from sottovoce.voice.insight import voice_profile

KEY, CONTEXT = bytes(range(32)), b"context"
OFFSET = b"a header of its own"


@pytest.fixture(scope="module", params=[InlineExtractor, SealedExtractor])
def extractor(request: pytest.FixtureRequest) -> Iterator[Extractor]:
    made: Callable[[], Extractor] = request.param
    running = made()
    yield running
    running.close()


def run(extractor: Extractor, data: bytes, folder: Path, options: ExtractOptions | None = None) -> Extraction:
    path = folder / "clip"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return extractor.extract(Descriptor(fd), options or ExtractOptions())
    finally:
        os.close(fd)


def run_sealed(
    extractor: Extractor,
    data: bytes,
    folder: Path,
    *,
    key: bytes = KEY,
    options: ExtractOptions | None = None,
) -> Extraction:
    path = folder / "body"
    path.write_bytes(OFFSET + seal_body(KEY, data, CONTEXT))
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        body = SealedBody(fd, key, CONTEXT, len(OFFSET))
        return extractor.extract(body, options or ExtractOptions())
    finally:
        os.close(fd)


def wav(samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]], rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_a_voice_gives_88_numbers_and_its_quality(
    extractor: Extractor, jfk_path: Path, tmp_path: Path
) -> None:
    result = run(extractor, jfk_path.read_bytes(), tmp_path)
    assert len(result.features.values) == FEATURE_COUNT
    assert (result.features.profile, result.features.sample_rate_hz) == ("compat", 16_000)
    assert result.quality.duration_s == pytest.approx(11.0)
    assert (result.quality.source_codec, result.quality.source_rate_hz) == ("flac/pcm_16", 16_000)
    assert result.quality.has_voice
    assert result.embedding is None


def test_a_sealed_body_gives_the_same(extractor: Extractor, jfk_path: Path, tmp_path: Path) -> None:
    data = jfk_path.read_bytes()
    assert run_sealed(extractor, data, tmp_path) == run(extractor, data, tmp_path)


def test_the_same_recording_gives_the_same_numbers(
    extractor: Extractor, jfk_path: Path, tmp_path: Path
) -> None:
    data = jfk_path.read_bytes()
    assert run(extractor, data, tmp_path) == run(extractor, data, tmp_path)


def test_another_key_does_not_open(extractor: Extractor, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        run_sealed(extractor, wav(np.zeros(16_000)), tmp_path, key=bytes(32))


def test_a_cut_body_does_not_open(extractor: Extractor, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(seal_body(KEY, wav(np.zeros(64_000)), CONTEXT)[:-100])
    with path.open("rb") as file, pytest.raises(IntegrityError):
        extractor.extract(SealedBody(file.fileno(), KEY, CONTEXT), ExtractOptions())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no sound at all", "unknown_format"),
        (wav(np.zeros(1000)), "too_short"),
        (wav(np.zeros(16_000))[:9000], "truncated"),
    ],
    ids=["empty", "unknown_format", "too_short", "truncated"],
)
def test_refusals_carry_their_reason(extractor: Extractor, tmp_path: Path, data: bytes, reason: str) -> None:
    for go in (run, run_sealed):
        with pytest.raises(AudioRejected) as caught:
            go(extractor, data, tmp_path)
        assert caught.value.reason == reason
        assert caught.value.hint


def test_options_reach_the_pipeline(extractor: Extractor, tmp_path: Path) -> None:
    left = np.sin(np.arange(32_000) / 20) * 0.5
    data = wav(np.stack([left, np.zeros(32_000)], axis=1))
    second = run(extractor, data, tmp_path, ExtractOptions(channel="1"))
    assert (second.quality.channel, second.quality.source_channels) == ("1", 2)
    assert "no_voice" in second.quality.flags
    cut = run(extractor, data, tmp_path, ExtractOptions(max_analysed_s=1.0, channel="mix"))
    assert cut.quality.duration_s == 1.0
    assert "cut" in cut.quality.flags
    kept = run(extractor, data[:90_000], tmp_path, ExtractOptions(accept_truncated=True))
    assert "truncated" in kept.quality.flags


def test_X18_the_size_limit_counts_for_files_and_sealed_bodies(extractor: Extractor, tmp_path: Path) -> None:
    """A recording above the size limit is refused, sealed or not."""
    data = wav(np.zeros(16_000))
    exact = ExtractOptions(max_body_bytes=len(data))
    below = ExtractOptions(max_body_bytes=len(data) - 1)
    assert run(extractor, data, tmp_path, exact) == run_sealed(extractor, data, tmp_path, options=exact)
    for refused in (
        lambda: run(extractor, data, tmp_path, below),
        lambda: run_sealed(extractor, data, tmp_path, options=below),
    ):
        with pytest.raises(AudioRejected) as caught:
            refused()
        assert caught.value.reason == "too_large"


def test_only_regular_files_are_read(extractor: Extractor, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(InputUnreadable):
            extractor.extract(Descriptor(fd), ExtractOptions())
    finally:
        os.close(fd)


def test_an_unknown_profile_is_a_usage_error(extractor: Extractor, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run(extractor, wav(np.zeros(16_000)), tmp_path, ExtractOptions(profile="unheard of"))


def test_the_level_is_one_of_two(extractor: Extractor) -> None:
    assert extractor.level() in {"seccomp", "rlimits"}


def test_closing_twice_is_fine(extractor: Extractor) -> None:
    other = type(extractor)()
    other.close()
    other.close()


def test_an_embedding_model_that_is_none_is_a_configuration_error(jfk_path: Path, tmp_path: Path) -> None:
    with SealedExtractor() as extractor, pytest.raises(ConfigurationError) as caught:
        run(extractor, jfk_path.read_bytes(), tmp_path, ExtractOptions(embedding_model=str(tmp_path)))
    assert caught.value.reason == "model_missing"


# --- sealed results ---------------------------------------------------------------------------------------

PLACES = tuple(
    Place(kind, f"id-{kind}", bytes([n]) * 32, kind.encode())
    for n, kind in enumerate(("features", "insight", "decision"))
)


def test_I1_a_sealed_result_opens_to_what_is_measured_in_the_open(
    extractor: Extractor, jfk_path: Path, tmp_path: Path
) -> None:
    """A result that was sealed unseen is the same, number by number, as one that is returned."""
    data = jfk_path.read_bytes()
    expected = run(extractor, data, tmp_path)
    fd = os.open(tmp_path / "clip", os.O_RDONLY | os.O_NONBLOCK)
    try:
        made = extractor.extract_sealed(Descriptor(fd), ExtractOptions(), lambda: PLACES)
    finally:
        os.close(fd)
    opened = {p.kind: envelope.open(p.key, made.bodies[p.kind], p.context) for p in PLACES}
    insight = voice_profile(expected.features, expected.quality)
    assert opened == {
        kind: body for kind, body in bodies.bodies_of(expected, insight).items() if kind in opened
    }
    assert set(made.bodies) == {"features", "insight", "decision"}
    assert made.findings == bodies.findings_of(expected, insight)


def test_places_are_asked_for_only_after_a_recording_was_measured(
    extractor: Extractor, jfk_path: Path, tmp_path: Path
) -> None:
    """No key is made for a recording that is refused; and what the asking raises is what the caller learns."""
    asked = []

    def places() -> tuple[Place, ...]:
        asked.append(1)
        raise UsageError("no keys today")

    for name, content in (("refused", b"no audio at all"), ("voice", jfk_path.read_bytes())):
        (tmp_path / name).write_bytes(content)
        fd = os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK)
        try:
            with pytest.raises(AudioRejected if name == "refused" else UsageError):
                extractor.extract_sealed(Descriptor(fd), ExtractOptions(), places)
        finally:
            os.close(fd)
        assert len(asked) == (0 if name == "refused" else 1)


def test_places_of_another_result_are_refused(extractor: Extractor, jfk_path: Path, tmp_path: Path) -> None:
    (tmp_path / "voice").write_bytes(jfk_path.read_bytes())
    fd = os.open(tmp_path / "voice", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(UsageError):
            extractor.extract_sealed(Descriptor(fd), ExtractOptions(), lambda: PLACES[:1])
    finally:
        os.close(fd)
