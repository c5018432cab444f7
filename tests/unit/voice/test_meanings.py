"""Plain words for every feature."""

from __future__ import annotations

import pytest

from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.meanings import MEANINGS, meaning_of


def test_M32_each_of_the_88_features_has_plain_words_of_its_own() -> None:
    """A person who asks for their data is told in plain words what each of the 88 numbers is."""
    assert set(MEANINGS) == set(FEATURE_NAMES)
    assert len(set(MEANINGS.values())) == len(FEATURE_NAMES)
    assert all(len(words.split()) >= 5 and "_" not in words for words in MEANINGS.values())


def test_words_of_pitch_say_pitch_and_of_the_median_say_half() -> None:
    words = meaning_of("F0semitoneFrom27.5Hz_sma3nz_percentile50.0")
    assert "pitch" in words
    assert "half" in words
    with pytest.raises(KeyError):
        meaning_of("F9frequency_sma3nz_amean")
