"""What a child writes is parsed as hostile: whatever the bytes, the service gets an extraction or our own error."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.extractor import wire
from sottovoce.errors import (
    AudioRejected,
    ConfigurationError,
    ExtractionFailed,
    ExtraMissing,
    IntegrityError,
    SottovoceError,
    UsageError,
)
from sottovoce.model.features import Embedding, Extraction, FeatureVector, Quality
from sottovoce.ports import ExtractOptions
from sottovoce.voice.rejections import FORMATS_HINT, REASONS, rejected

OPTIONS = ExtractOptions()
FINITE = st.floats(-3e38, 3e38, allow_nan=False, allow_infinity=False)
QUALITY = Quality(3.5, 200, 0.25, None, "wav/pcm_16", 16_000, 1, "0", ("cut", "narrow_band"))


def extraction(values: list[float] | None = None) -> Extraction:
    vector = FeatureVector(tuple(values or [0.5] * 88), "compat", "egemaps-88/1", 16_000)
    return Extraction(vector, QUALITY)


def framed(fields: object) -> bytes:
    text = json.dumps(fields).encode()
    return struct.pack("<I", len(text)) + text


def good() -> dict[str, Any]:
    return dict(json.loads(wire.pack_result(extraction())[4:]))


@given(st.lists(FINITE, min_size=88, max_size=88))
def test_numbers_cross_the_border_bit_for_bit(values: list[float]) -> None:
    result = wire.unpack_result(wire.pack_result(extraction(values)), OPTIONS)
    assert [v.hex() for v in result.features.values] == [float(v).hex() for v in values]
    assert result.quality == QUALITY


def test_an_embedding_crosses_only_where_it_was_asked_for() -> None:
    with_it = replace(extraction(), embedding=Embedding(tuple([0.1] * 768), "ab" * 32))
    asked = ExtractOptions(embedding_model="/models/x")
    assert wire.unpack_result(wire.pack_result(with_it), asked) == with_it
    for data, options in ((with_it, OPTIONS), (extraction(), asked)):
        with pytest.raises(ExtractionFailed):
            wire.unpack_result(wire.pack_result(data), options)


@pytest.mark.parametrize("reason", sorted(REASONS))
@pytest.mark.parametrize("formats", [True, False])
def test_a_refusal_crosses_as_a_reason_with_our_own_words(reason: str, formats: bool) -> None:
    with pytest.raises(AudioRejected) as caught:
        wire.unpack_result(wire.pack_error(rejected(reason, needs_formats=formats)), OPTIONS)
    assert caught.value.reason == reason
    assert (caught.value.hint == FORMATS_HINT) == formats
    assert caught.value.message == REASONS[reason][0]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError(), ExtractionFailed),
        (IntegrityError("x"), IntegrityError),
        (ExtraMissing("x"), ExtraMissing),
        (ConfigurationError("x"), ConfigurationError),
        (UsageError("x"), UsageError),
        (RuntimeError("a secret path"), ExtractionFailed),
        (AudioRejected("x", reason="a reason that nobody knows"), ExtractionFailed),
    ],
)
def test_other_errors_cross_without_their_text(raised: BaseException, expected: type[SottovoceError]) -> None:
    data = wire.pack_error(raised)
    assert b"secret" not in data
    with pytest.raises(expected) as caught:
        wire.unpack_result(data, OPTIONS)
    assert "secret" not in str(caught.value)


@given(st.binary(max_size=400))
def test_any_bytes_are_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(ExtractionFailed):
        wire.unpack_result(data, OPTIONS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(good())), JSON)
def test_X20_one_wrong_field_spoils_the_result(name: str, value: object) -> None:
    """If the child sends anything but the numbers that were asked for, nothing of it is used."""
    fields = good()
    if fields[name] == value:
        return
    fields[name] = value
    with pytest.raises(SottovoceError):
        result = wire.unpack_result(framed(fields), OPTIONS)
        # Another version or rate is a legal answer; the rest is not.
        assert name in {"version", "sample_rate_hz"}, result
        raise UsageError


@given(st.sampled_from(sorted(good()["quality"])), JSON)
def test_one_wrong_field_of_the_quality_spoils_the_result(name: str, value: object) -> None:
    fields = good()
    fields["quality"][name] = value
    try:
        quality = wire.unpack_result(framed(fields), OPTIONS).quality
    except ExtractionFailed:
        return
    assert 0 <= quality.clipped_share <= 1
    assert quality.channel == "0"
    assert all(flag.isidentifier() for flag in quality.flags)


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e999", "1e39", "true", '"1"', "null", "[]"]
)
def test_X20_a_value_that_is_no_number_never_arrives(value: str) -> None:
    """Not-a-number and infinity are refused at the border to the child as well."""
    text = json.dumps(good()).replace("0.5", value, 1).encode()
    with pytest.raises(ExtractionFailed):
        wire.unpack_result(struct.pack("<I", len(text)) + text, OPTIONS)


@pytest.mark.parametrize(
    "data",
    [
        framed(good())[:-1],
        framed(good()) + b"x",
        struct.pack("<I", 2**32 - 1),
        framed("[" * 1000),
        struct.pack("<I", 60_000) + b"[" * 60_000,
        framed({"refused": "unheard of", "formats": False}),
        framed({"refused": ["empty"], "formats": False}),
        framed({"refused": "empty", "formats": "no"}),
        framed({"failed": {}}),
        framed({"failed": "unheard of"}),
        framed(good() | {"extra": 1}),
        b"\0" * (wire.MAX_RESULT_BYTES + 5),
    ],
    ids=range(12),
)
def test_malformed_messages(data: bytes) -> None:
    with pytest.raises(ExtractionFailed) as caught:
        wire.unpack_result(data, OPTIONS)
    assert caught.value.reason == "child_result"


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=500), st.integers(0, 2**40), st.booleans())
def test_jobs_cross_unchanged(key: bytes, context: bytes, offset: int, sealed: bool) -> None:
    job = wire.Job(ExtractOptions(max_analysed_s=5.0, channel="mix"), sealed, key, context, offset)
    assert wire.unpack_job(bytes(wire.pack_job(job))) == job
    assert key.hex() not in repr(job)


def test_a_job_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError):
        wire.pack_job(wire.Job(OPTIONS, context=bytes(wire.MAX_JOB_BYTES)))
