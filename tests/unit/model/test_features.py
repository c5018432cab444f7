"""Feature vectors and what is said of them: 88 finite numbers that no repr shows."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import UsageError
from sottovoce.model.features import (
    EMBEDDING_SIZE,
    FEATURE_COUNT,
    FEATURE_NAMES,
    MINIMUM_VOICED_FRAMES,
    Embedding,
    FeatureVector,
    InsightItem,
    Quality,
)

ABOUT: dict[str, Any] = {"profile": "compat", "version": "egemaps-88/1", "sample_rate_hz": 16000}
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def vector(*first: float) -> FeatureVector:
    return FeatureVector(values=(*first, *[0.5] * (FEATURE_COUNT - len(first))), **ABOUT)


def test_there_are_88_different_names_in_the_canonical_order() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == FEATURE_COUNT == 88
    assert FEATURE_NAMES[0] == "F0semitoneFrom27.5Hz_sma3nz_amean"
    assert FEATURE_NAMES[-1] == "equivalentSoundLevel_dBp"
    assert vector().names is FEATURE_NAMES


def test_the_names_are_those_of_the_specification(repo_root: Any) -> None:
    """Each name of our list stands in the specification's own notation, if that lies beside the checkout."""
    specification = repo_root.parent / "shared" / "design" / "egemaps_spec.md"
    if not specification.is_file():
        pytest.skip("the specification (../shared/design) is not beside this checkout")
    text = specification.read_text()
    stems = {re.split(r"_sma3(?:nz)?", name)[0] for name in FEATURE_NAMES}
    short = {re.sub(r"^(F)\d(frequency|bandwidth|amplitude)", r"\2", stem).lower() for stem in stems}
    missing = [stem for stem in short if stem.rstrip("0123456789v").rstrip("u")[:6] not in text.lower()]
    assert missing == []


def test_values_are_found_by_name() -> None:
    named = vector(1.5, 2.5).as_dict()
    assert list(named) == list(FEATURE_NAMES)
    assert list(named.values()) == [1.5, 2.5, *[0.5] * 86]


@pytest.mark.parametrize("count", [0, 87, 89])
def test_a_vector_of_another_length_is_refused(count: int) -> None:
    with pytest.raises(UsageError):
        FeatureVector(values=(0.0,) * count, **ABOUT)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39, -1e300])
def test_X20_a_vector_with_a_value_that_is_not_finite_is_refused(value: float) -> None:
    """Numbers that are not finite, or too large to be stored, are never accepted as features."""
    with pytest.raises(UsageError) as caught:
        vector(value)
    assert repr(value) not in str(caught.value)


def test_X20_an_embedding_with_a_value_that_is_not_finite_is_refused() -> None:
    """An embedding has exactly its length and finite numbers only."""
    assert Embedding(values=(0.0,) * EMBEDDING_SIZE, model_sha256="00").values
    for values in ((0.0,) * 767, (math.nan,) * EMBEDDING_SIZE, (0.0,) * 767 + (math.inf,)):
        with pytest.raises(UsageError):
            Embedding(values=values, model_sha256="00")


@given(values=st.lists(FLOATS, min_size=88, max_size=88))
def test_the_stored_form_is_little_endian_float32(values: list[float]) -> None:
    stored = FeatureVector(values=tuple(values), **ABOUT).to_float32_bytes()
    assert stored == np.array(values, dtype="<f4").tobytes()  # oracle: numpy
    assert FeatureVector.from_float32_bytes(stored, **ABOUT).values == tuple(values)


@given(values=st.lists(st.floats(-1e38, 1e38), min_size=88, max_size=88))
def test_storing_rounds_to_float32_once(values: list[float]) -> None:
    vector = FeatureVector(values=tuple(values), **ABOUT)
    again = FeatureVector.from_float32_bytes(vector.to_float32_bytes(), **ABOUT)
    assert again.to_float32_bytes() == vector.to_float32_bytes()
    assert vector.sha256() == again.sha256() == hashlib.sha256(vector.to_float32_bytes()).hexdigest()


def test_the_largest_float32_can_be_stored() -> None:
    largest = float(np.finfo(np.float32).max)
    assert FeatureVector.from_float32_bytes(vector(largest).to_float32_bytes(), **ABOUT).values[0] == largest


@pytest.mark.parametrize("size", [0, 351, 353])
def test_stored_bytes_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(UsageError):
        FeatureVector.from_float32_bytes(bytes(size), **ABOUT)


def quality(voiced_frames: int) -> Quality:
    return Quality(
        duration_s=1.0, voiced_frames=voiced_frames, clipped_share=0.0, snr_db=None, source_codec="wav/pcm_16",
        source_rate_hz=16000, source_channels=1, channel="0",
    )  # fmt: skip


def test_X22_too_few_voiced_frames_are_no_voice() -> None:
    """Of a recording with fewer than 20 voiced frames nothing is said about the voice."""
    assert MINIMUM_VOICED_FRAMES == 20
    assert not quality(0).has_voice
    assert not quality(19).has_voice
    assert quality(20).has_voice


def item(value: float | None, unit: str = "Hz") -> InsightItem:
    return InsightItem(
        name="pitch_level", title="Pitch level", value=value, unit=unit, meaning="x", features=()
    )


def test_X22_what_the_voice_does_not_give_is_shown_as_not_available() -> None:
    """A value that the voice does not give is shown as not available, never as zero."""
    assert item(None).shown == "not available"
    assert item(0.0).shown == "0 Hz"
    assert item(123.456).shown == "123 Hz"
    assert item(0.5, unit="").shown == "0.5"


def test_no_value_is_in_a_repr() -> None:
    shown = repr(vector(123.625)) + repr(item(123.625)) + repr(Embedding((123.625,) * EMBEDDING_SIZE, "00"))
    assert "123.6" not in shown
