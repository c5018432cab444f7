"""What the tests of the browser SDK share: Node, Chromium with the test page open, the scripts that drive them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

FAKE_RATE_HZ = 44100


@pytest.fixture(scope="session")
def node() -> str:
    """The program; the test is skipped without it."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed: the SDK's own tests run in it")
    return program


@pytest.fixture(scope="session")
def compare_device(repo_root: Path) -> ModuleType:
    """scripts/compare_device.py as a module, with what it imports from its own folder."""
    name = "_script_compare_device"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, repo_root / "scripts" / "compare_device.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def spoken_wav(jfk_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real speech as 16-bit WAVE at 44.1 kHz: what the browser's fake microphone plays."""
    samples, rate_hz = soundfile.read(jfk_path)
    times = np.arange(int(8 * FAKE_RATE_HZ)) / FAKE_RATE_HZ
    file = tmp_path_factory.mktemp("spoken") / "spoken.wav"
    louder = 0.8 * samples / np.abs(samples).max()
    resampled = np.interp(times, np.arange(len(samples)) / rate_hz, louder)
    soundfile.write(file, resampled, FAKE_RATE_HZ, subtype="PCM_16")
    return file


@pytest.fixture(scope="module")
def samples_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the test page sees as /samples/."""
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def page(compare_device: ModuleType, samples_folder: Path, spoken_wav: Path) -> Iterator[object]:
    """A Chromium with the test page open, whose microphone plays `spoken_wav`; skipped where there is none."""
    if compare_device.chromium.find() is None:
        pytest.skip("no Chromium is installed")
    arguments = (
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken_wav}%noloop",
    )  # fmt: skip
    with compare_device.device_page(samples_folder, arguments) as browser:
        yield browser
