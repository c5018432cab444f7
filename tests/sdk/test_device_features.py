"""The browser SDK against Python, in Node: golden vectors, real clips, the same words and the same rules."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.features import egemaps
from sottovoce.voice.insight import RULES, VERSION, voice_profile

FEATURE_MODULES = ("errors.js", "names.js", "resample.js")
MOST_GZIP_BYTES = 30_000


def about(value, relative):
    return None if value is None else pytest.approx(value, rel=relative)


@pytest.fixture(scope="module")
def answers(node, compare_device, jfk_path, tmp_path_factory):
    """Python's and the SDK's answers for three signals that need no shared data, both profiles."""
    speech, rate_hz = soundfile.read(jfk_path)
    dice = np.random.default_rng(7)
    clips = [
        compare_device.Clip("speech", speech[20011:90022], rate_hz),
        compare_device.Clip("clipped speech", np.clip(9 * speech[50001:80000], -1, 1), rate_hz),
        compare_device.Clip("noise", 0.1 * dice.standard_normal(30001), 44100),
    ]
    folder = tmp_path_factory.mktemp("clips")
    return [
        (clip, profile, compare_device.by_python(clip.samples, clip.rate_hz, profile), answer)
        for profile in ("compat", "corrected")
        for clip, answer in zip(
            clips, compare_device.by_node(compare_device.jobs_of(clips, profile, folder), folder), strict=True
        )
    ]


def test_M54_golden_vectors_hold_in_the_browsers_language_too(node, repo_root):
    """The features that are computed on a person's own device are those of the golden vectors, as on a server."""
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", str(repo_root / "tests" / "sdk")],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    failed = "\n".join(line for line in done.stdout.splitlines() if line.startswith("not ok"))
    assert done.returncode == 0, failed + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= 50


def test_M54_device_and_server_agree_on_speech_clipping_and_noise(answers, compare_device):
    """On speech, on clipped speech and on noise the device and the server compute the same 88 values."""
    for clip, profile, ours, theirs in answers:
        assert (ours["frames"], ours["voicedFrames"]) == (theirs["frames"], theirs["voicedFrames"])
        outside = [d for d in compare_device.differences(clip.name, ours, theirs) if not d.allowed]
        assert outside == [], (clip.name, profile)


def test_M54_quality_and_profile_are_the_same_on_the_device(answers):
    """What a person is told about quality and about their voice reads the same from the device and the server."""
    for clip, profile, _, theirs in answers:
        ours = egemaps(clip.samples, clip.rate_hz, profile)
        quality = theirs["quality"]
        assert quality["flags"] == list(ours.quality.flags)
        assert quality["clippedShare"] == pytest.approx(ours.quality.clipped_share, rel=1e-12)
        assert quality["snr_db"] == about(ours.quality.snr_db, 1e-9)
        assert quality["duration_s"] == ours.quality.duration_s
        assert [found["name"] for found in theirs["findings"]] == [found.name for found in ours.findings]
        items = voice_profile(ours, ours.quality).items
        assert [item["name"] for item in theirs["insight"]["items"]] == [item.name for item in items]
        for found, item in zip(theirs["insight"]["items"], items, strict=True):
            assert (found["title"], found["unit"], found["meaning"]) == (item.title, item.unit, item.meaning)
            assert found["value"] == (
                item.value if item.value is None else pytest.approx(item.value, rel=1e-6)
            )


def test_a_difference_would_be_seen(answers, compare_device):
    clip, _, ours, theirs = answers[0]
    for feature, step, outside in ((0, 2e-6, True), (0, 5e-7, False), (40, 2e-4, True), (40, 5e-5, False)):
        moved = {**theirs, "values": list(theirs["values"])}
        moved["values"][feature] *= 1 + step
        found = [d for d in compare_device.differences(clip.name, ours, moved) if not d.allowed]
        assert bool(found) is outside


def test_names_rules_and_profiles_are_those_of_python(node, repo_root):
    script = (
        "import {FEATURE_NAMES, PROFILES} from './sdk/index.js'; import {RULES, VERSION} from './sdk/insight.js';"
        "console.log(JSON.stringify({names: FEATURE_NAMES, profiles: PROFILES, rules: RULES, version: VERSION}))"
    )
    output = subprocess.run(
        [node, "--input-type=module", "-e", script], cwd=repo_root, capture_output=True, text=True, check=True
    ).stdout
    found = json.loads(output)
    assert tuple(found["names"]) == FEATURE_NAMES
    assert found["profiles"] == {"compat": "egemaps-88/1", "corrected": "egemaps-88/c1"}
    assert found["version"] == VERSION
    fields = ("name", "title", "unit", "formula", "feature", "present_if", "meaning")
    assert found["rules"] == [{field: getattr(rule, field) for field in fields} for rule in RULES]


def test_M54_the_feature_modules_are_small_plain_and_without_eval(repo_root):
    """What a browser has to load for the features is small enough to read, and runs without eval and without wasm."""
    sdk = repo_root / "sdk"
    modules = sorted((sdk / "egemaps").glob("*.js")) + [sdk / name for name in FEATURE_MODULES]
    together = gzip.compress(b"".join(path.read_bytes() for path in modules), 9, mtime=0)
    assert len(together) <= MOST_GZIP_BYTES
    forbidden = re.compile(r"\beval\(|new Function|WebAssembly|innerHTML|insertAdjacentHTML|document\.write")
    reaching = re.compile(
        r"\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|EventSource|https?://|MediaRecorder\("
    )
    for path in sdk.rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not forbidden.search(text), path.name
        assert not reaching.search(text), path.name


def test_the_twin_has_the_modules_of_the_original(repo_root):
    ours = {path.stem for path in (repo_root / "src" / "sottovoce" / "voice" / "egemaps").glob("*.py")}
    twin = {path.stem for path in (repo_root / "sdk" / "egemaps").glob("*.js")}
    assert twin - {"fft", "roots"} <= ours  # numpy brings these two


@pytest.mark.slow
def test_types_are_checked_where_the_compiler_is_installed(repo_root):
    local = repo_root / "sdk" / "node_modules" / ".bin" / "tsc"
    compiler = str(local) if local.exists() else shutil.which("tsc")
    if compiler is None:
        pytest.skip("tsc is not installed (npm install --no-save typescript in sdk/)")
    done = subprocess.run(
        [compiler, "-p", str(repo_root / "sdk")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.shared
@pytest.mark.slow
def test_M54_real_clips_agree_within_the_bounds(compare_device, node, shared_data, tmp_path):
    """On clips of real people the device's values are the server's: 99.9 % within 1e-6, and the same voicing."""
    clips = list(compare_device.clips(40))
    for profile in ("compat", "corrected"):
        ours = [compare_device.by_python(clip.samples, clip.rate_hz, profile) for clip in clips]
        theirs = compare_device.by_node(compare_device.jobs_of(clips, profile, tmp_path), tmp_path)
        outcome, _ = compare_device.compare("Node", profile, clips, ours, theirs)
        assert outcome.holds, f"{outcome.outside} of {outcome.values} values outside in {profile}"
    assert compare_device.same_refusals(compare_device.by_node, tmp_path)
