"""The catalog describes what the extractor does: where it says "equal" values are equal, and so on."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sottovoce.errors import UsageError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.egemaps import catalog
from sottovoce.voice.egemaps.catalog import CATALOG, GROUPS
from sottovoce.voice.egemaps.descriptors import ALL, UNVOICED, VOICED
from sottovoce.voice.egemaps.extract import extract

# words of the trade, of units and of mathematics
JARGON = re.compile(
    r"\b(spectr\w*|harmonic\w*|formant\w*|cepstr\w*|mel|mfcc\w*|hz|db|percentile\w*|deviation\w*|jitter|shimmer|hnr"
    r"|frames?|voiced|unvoiced|frequenc\w*|amplitude\w*|ratio|logarithm\w*|fundamental|median|semitone\w*|contour\w*)\b",
    re.IGNORECASE,
)

Values = dict[str, float]


@pytest.fixture(scope="module")
def clip(jfk_path: Path) -> Callable[..., Values]:
    samples, rate = soundfile.read(jfk_path)

    def measured(profile: str, gain: float = 1.0) -> Values:
        return extract(gain * samples, rate, profile=profile).as_dict()

    return measured


def test_every_feature_is_described_once_and_in_order() -> None:
    assert tuple(CATALOG) == FEATURE_NAMES
    assert [entry.position for entry in CATALOG.values()] == list(range(88))
    assert len({entry.title for entry in CATALOG.values()}) == 88
    assert sum(len(catalog.in_group(group)) for group in GROUPS) == 88


def test_no_text_is_missing() -> None:
    for entry in CATALOG.values():
        texts = (entry.title, entry.plain, entry.definition, entry.formula, entry.unit)
        assert all(text.strip() and "{" not in text for text in texts), entry.name
        assert entry.sources
        assert entry.frames in (ALL, VOICED, UNVOICED)


def test_M99_the_plain_words_are_words_that_a_speaker_understands() -> None:
    """Each of the 88 numbers is explained to the person whose voice it is, without a word of the trade."""
    found = {entry.name: JARGON.findall(entry.plain) for entry in CATALOG.values()}
    assert {name: words for name, words in found.items() if words} == {}
    assert len({entry.plain for entry in CATALOG.values()}) == 88
    assert JARGON.search("The mean of the F0 contour in Hz")


def test_M99_what_is_said_to_be_equal_in_both_profiles_is_equal(clip: Callable[..., Values]) -> None:
    """Where the documentation says that both profiles of a feature are equal they are, elsewhere they differ."""
    compat, corrected = clip("compat"), clip("corrected")
    said_equal = {name for name, entry in CATALOG.items() if not entry.corrected}
    assert said_equal
    assert {name for name in said_equal if compat[name] != corrected[name]} == set()
    said_different = set(FEATURE_NAMES) - said_equal
    assert {name for name in said_different if compat[name] == corrected[name]} == set()


@pytest.mark.parametrize("profile", ["compat", "corrected"])
def test_what_is_said_to_depend_on_the_level_does_and_nothing_else(
    profile: str, clip: Callable[..., Values]
) -> None:
    loud, quiet = clip(profile), clip(profile, gain=0.7)
    moved = {name for name in FEATURE_NAMES if abs(quiet[name] - loud[name]) > 0.12 * abs(loud[name])}
    said = {name for name, entry in CATALOG.items() if entry.level_dependent}
    if profile == "corrected":
        said = {name for name in said if not name.startswith("slope")}
    assert moved - said == set()
    unmoved = {name for name in said if abs(quiet[name] - loud[name]) <= 1e-3 * abs(loud[name])}
    assert unmoved == set()


def test_the_frames_that_are_named_are_those_that_count() -> None:
    """Where nothing is voiced, only what is computed over all or unvoiced frames has a value."""
    noise = 0.05 * np.random.default_rng(5).standard_normal(32000)
    values = extract(noise, 16000, profile="corrected").as_dict()
    for entry in CATALOG.values():
        if entry.frames == VOICED:
            assert values[entry.name] == 0, entry.name
    present = {entry.name for entry in CATALOG.values() if entry.frames != VOICED}
    empty = {name for name in present if values[name] == 0}
    assert empty <= {"StddevUnvoicedSegmentLength"}


def test_units_of_the_statistics_follow_from_the_contour() -> None:
    pitch = "F0semitoneFrom27.5Hz_sma3nz_"
    units = {suffix: CATALOG[pitch + suffix].unit for suffix in ("amean", "pctlrange0-2", "meanRisingSlope")}
    assert units == {
        "amean": "semitones above 27.5 Hz",
        "pctlrange0-2": "semitones",
        "meanRisingSlope": "semitones per second",
    }
    assert CATALOG["loudness_sma3_meanFallingSlope"].unit == "1/s"
    assert CATALOG["F1frequency_sma3nz_stddevNorm"].unit == catalog.NO_UNIT


def test_the_code_that_is_named_exists() -> None:
    for place in {place for entry in CATALOG.values() for place in entry.code}:
        module, _, name = place.rpartition(".")
        assert getattr(importlib.import_module(module), name).__doc__, place


def test_explained_says_everything() -> None:
    for entry in CATALOG.values():
        text = catalog.explained(entry)
        assert text.startswith(f"{entry.name}\n  {entry.plain}\n\nDefinition\n")
        assert all(line in text for line in (*entry.formula.splitlines(), *entry.cautions, *entry.sources))
    assert "The same definition, equal values." in catalog.explained(CATALOG["mfcc1_sma3_amean"])


def test_an_unknown_name_is_told_with_the_nearest_ones() -> None:
    with pytest.raises(UsageError) as told:
        catalog.entry("MFCC1V")
    assert told.value.hint == "Perhaps mfcc1V_sma3nz_amean, mfcc1V_sma3nz_stddevNorm."
    with pytest.raises(UsageError) as told:
        catalog.entry("jiterLocal_sma3nz_aman")
    assert "jitterLocal_sma3nz_amean" in (told.value.hint or "")
    with pytest.raises(UsageError) as told:
        catalog.entry("")
    assert "columns" in (told.value.hint or "")


def test_asking_what_a_feature_is_loads_no_numpy() -> None:
    code = "import sys, sottovoce.voice.egemaps.catalog; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
