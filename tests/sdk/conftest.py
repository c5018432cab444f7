"""What the tests of the browser SDK share: Node, Chromium with the test page open, the scripts that drive them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from sottovoce import app as house
from sottovoce.model.features import FEATURE_NAMES, FeatureVector, Quality
from sottovoce.model.inference import Inference, ModelUse
from sottovoce.voice.models.inference import infer


@pytest.fixture(scope="session")
def node() -> str:
    """The program; the test is skipped without it."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed: the SDK's own tests run in it")
    return program


@pytest.fixture(scope="session")
def compare_device(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """The program that compares the device's features with ours."""
    return load_script("scripts/compare_device.py")


@pytest.fixture(scope="session")
def said_by_python() -> Callable[..., Inference]:
    """The answer of a server: the shipped model on these compat features, with that many voiced frames."""
    model = house.shipped_model()
    data = model.read_bytes()
    card = json.loads(model.with_name(model.name + ".card.json").read_text(encoding="utf-8"))["body"]
    stated = card["learned_range"]
    use = ModelUse(
        attribute="apparent_sex", sha256=hashlib.sha256(data).hexdigest(), card_sha256="c" * 64,
        feature_profile="compat", feature_version="egemaps-88/1", threshold=float(card["conformal"]["threshold"]),
        percent=90, guarantee="none", not_for="any use", demonstration=False, data=data,
        range_inputs=tuple(FEATURE_NAMES.index(name) for name in stated["inputs"]), range_bound=float(stated["bound"]),
    )  # fmt: skip

    def said(values: Sequence[float], voiced_frames: int = 100) -> Inference:
        features = FeatureVector(tuple(values), "compat", "egemaps-88/1", 16_000)
        return infer(use, features, Quality(2.5, voiced_frames, 0.0, None, "wav/pcm_16", 16_000, 1, "0"))

    return said


@pytest.fixture(scope="session")
def measure(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """scripts/recorder_losses.py: what the fake microphone plays, and where each block of a recording stands in it."""
    return load_script("scripts/recorder_losses.py")


@pytest.fixture(scope="session")
def spoken_wav(measure: ModuleType, jfk_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real speech as 16-bit WAVE at 44.1 kHz: what the browser's fake microphone plays."""
    file = tmp_path_factory.mktemp("spoken") / "spoken.wav"
    measure.spoken(file, jfk_path)
    return file


@pytest.fixture(scope="module")
def samples_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the test page sees as /samples/."""
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def page(
    compare_device: ModuleType, measure: ModuleType, samples_folder: Path, spoken_wav: Path
) -> Iterator[object]:
    """A Chromium with the test page open, whose microphone plays `spoken_wav`; skipped where there is none."""
    if compare_device.chromium.find() is None:
        pytest.skip("no Chromium is installed")
    with compare_device.device_page(samples_folder, measure.arguments(spoken_wav)) as browser:
        yield browser
