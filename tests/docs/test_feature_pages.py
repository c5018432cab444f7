"""The pages and pictures of the features are those that the catalog and the stored measurements make."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.egemaps.catalog import CATALOG, GROUPS
from sottovoce.voice.egemaps.extract import PROFILES, extract
from sottovoce.voice.egemaps.peaks import find_extrema
from sottovoce.voice.features import lld

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "reference" / "features"
CODECS = {"pcm16", "flac", "opus64", "opus32", "opus16", "aac64", "mp3-64", "mulaw", "amr"}
RATES = {"rate8", "rate44", "rate48"}


@pytest.fixture(scope="module")
def pages(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("scripts/feature_pages.py")


def stored(name: str) -> dict[str, Any]:
    return json.loads((PAGES / f"{name}.json").read_text(encoding="utf-8"))


def test_every_page_and_picture_is_up_to_date(pages: ModuleType) -> None:
    wanted = dict(pages.files(pages.measured()))
    assert [path.name for path in pages.stale(wanted)] == []
    assert len(wanted) == 1 + 88 + len(GROUPS)


def test_a_changed_a_missing_and_a_left_over_page_would_be_found(pages: ModuleType) -> None:
    wanted = dict(pages.files(pages.measured()))
    changed, missing, left_over = sorted(wanted)[:3]
    wanted[changed] += "x"
    wanted[PAGES / "new.md"] = "# New\n"
    del wanted[left_over]
    assert set(pages.stale(wanted)) == {changed, PAGES / "new.md", left_over}
    assert missing in wanted


def test_M99_every_feature_has_a_page_with_formula_range_and_sensitivity() -> None:
    """Each of the 88 numbers has a page that says what it is, how large it usually is and what codecs do to it."""
    parts = (
        "## Definition",
        "## Formula",
        "## The two profiles",
        "## Typical range",
        "## Sensitivity",
        "## Source",
    )
    for entry in CATALOG.values():
        text = (PAGES / f"{entry.name}.md").read_text(encoding="utf-8")
        assert all(part in text for part in parts), entry.name
        assert all(words in text for words in (entry.plain, entry.definition, entry.unit, *entry.sources))
        assert len(re.findall(r"^\| (?:PCM|FLAC|Opus|AAC|MP3|G\.711|AMR)", text, re.MULTILINE)) == 14
        assert "nan" not in re.findall(r"[a-z]+", text)


def test_the_index_leads_to_every_page() -> None:
    links = set(re.findall(r"\]\(([^)#]+)\.md\)", (PAGES / "index.md").read_text(encoding="utf-8")))
    assert set(FEATURE_NAMES) <= links


def test_M99_only_aggregates_of_many_people_are_stored() -> None:
    """Of the recordings that typical values were measured on, only percentiles and medians over many are kept."""
    counted = [*stored("typical")["groups"].values(), stored("sensitivity")]
    for group in counted:
        assert group["recordings"] >= 100
        assert group["speakers"] >= 10
    for group in stored("typical")["groups"].values():
        assert {len(row) for table in group["profiles"].values() for row in table.values()} == {5}
    for table in stored("sensitivity")["profiles"].values():
        for row in table.values():
            assert isinstance(row.pop("deviation"), float)
            assert {len(pair) for pair in row.values()} == {2}


def test_every_codec_and_rate_is_measured_or_said_to_be_missing() -> None:
    found = stored("sensitivity")
    assert {c["name"] for c in found["conditions"]} >= CODECS | RATES
    there = {c["name"] for c in found["conditions"] if not c["missing"] and not c["native"]}
    for profile in PROFILES:
        assert {name for row in found["profiles"][profile].values() for name in row} >= there
    for row in found["profiles"]["compat"].values():
        assert row["pcm16"] == [0.0, 0.0]  # the reference itself
        assert row["flac"] == [0.0, 0.0]  # lossless


def test_the_measured_profiles_are_those_of_this_version() -> None:
    versions = {name: profile.version for name, profile in PROFILES.items()}
    for name in ("typical", "sensitivity", "clip"):
        assert stored(name)["stamp"]["profiles"] == versions, f"measure anew: {name}"


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_the_values_of_the_bundled_recording_are_those_of_the_extractor(profile: str, jfk_path: Path) -> None:
    samples, rate = soundfile.read(jfk_path)
    told = stored("clip")["values"][profile]
    now = extract(samples, rate, profile=profile).as_dict()
    assert tuple(told) == FEATURE_NAMES
    assert now == pytest.approx(told, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("group", GROUPS)
def test_pictures_are_sound_and_describe_themselves(group: str) -> None:
    text = (ROOT / "docs" / "images" / "features" / f"{group}.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert {"title", "desc"} <= set(tags)
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"\bnan\b|\binf\b|None", text)
    assert not {"script", "image", "foreignObject"} & set(tags)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        if "x" in element.attrib and "y" in element.attrib:
            assert 0 <= float(element.attrib["x"]) <= width
            assert 0 <= float(element.attrib["y"]) <= height


@pytest.fixture(scope="module")
def measuring(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("scripts/feature_sensitivity.py")


def test_the_change_is_a_median_in_shares_and_in_deviations(measuring: ModuleType) -> None:
    """Against the definition, written once more: absolute, per recording, then the median."""
    dice = np.random.default_rng(8)
    reference = dice.normal(3.0, 2.0, (60, 88))
    under = reference + dice.normal(0.0, 0.5, (60, 88))
    found = measuring.changed(measuring.Changes(list(reference), {"opus16": list(under)}))
    for column, name in enumerate(FEATURE_NAMES):
        before, after = reference[:, column].tolist(), under[:, column].tolist()
        shares = [abs(b - a) / abs(a) for a, b in zip(before, after, strict=True)]
        apart = np.quantile(before, 0.75) - np.quantile(before, 0.25)
        changes = [abs(b - a) * 1.349 / apart for a, b in zip(before, after, strict=True)]
        expected = [statistics.median(shares), statistics.median(changes)]
        assert found[name]["opus16"] == pytest.approx(expected, rel=1e-2)


def test_a_feature_that_is_0_everywhere_has_no_relative_change(measuring: ModuleType) -> None:
    zero = [np.zeros(88)] * 9
    found = measuring.changed(measuring.Changes(zero, {"amr": zero}))
    assert found[FEATURE_NAMES[0]] == {"deviation": 0.0, "amr": [None, None]}


def test_too_few_recordings_or_speakers_are_never_stored(measuring: ModuleType, tmp_path: Path) -> None:
    def recordings(count: int, speakers: int) -> list[Any]:
        return [measuring.Recording("set", f"s{i % speakers}", 16000, 3.0, tmp_path) for i in range(count)]

    for count, speakers in ((99, 50), (500, 9)):
        with pytest.raises(SystemExit):
            measuring.counted(recordings(count, speakers))
    told = measuring.counted(recordings(100, 10))
    assert told == {"recordings": 100, "speakers": 10, "speaker_not_known": 0}


def test_the_sample_is_fixed_and_takes_every_speaker_before_one_twice(
    measuring: ModuleType, shared_data: Path
) -> None:
    first, again = measuring.sample(measuring.speech()), measuring.sample(measuring.speech())
    assert first == again
    assert len(first) == sum(measuring.SAMPLE.values()) >= 100
    of_libri = [recording.speaker for recording in first if recording.set == "librispeech"]
    assert len(set(of_libri)) == len(of_libri)


def test_the_peaks_in_the_picture_are_those_of_the_extractor(jfk_path: Path, measuring: ModuleType) -> None:
    samples, rate = soundfile.read(jfk_path)
    first, last = (round(100 * second) for second in measuring.CLIP_S)
    loudness = lld(samples, rate).values[first:last, 0].tolist()
    expected = sum(extremum.is_max for extremum in find_extrema(loudness))
    picture = (ROOT / "docs" / "images" / "features" / "rhythm.svg").read_text(encoding="utf-8")
    assert picture.count('<circle class="fcorrected"') == expected > 3
