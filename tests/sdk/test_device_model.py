"""The reader of model files in the browser's language against Python's: the same values, the same refusals."""

from __future__ import annotations

import json
import subprocess
from itertools import pairwise

import numpy as np
import pytest

from sottovoce.errors import IntegrityError
from sottovoce.voice.models.network import PRECISIONS, About, make_network, run
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_tflite import write_tflite

MOST_MS_PER_INFERENCE = 0.2


def a_network(widths, seed):
    dice = np.random.default_rng(seed)
    layers = [
        (dice.normal(size=(after, before)) * np.sqrt(2 / before), dice.normal(size=after) * 0.1)
        for before, after in pairwise(widths)
    ]
    about = About("nothing", ("no", "yes"), "compat", "egemaps-88/1")
    mean, scale = dice.normal(size=widths[0]) * 20, dice.uniform(0.1, 30, widths[0])
    return make_network(mean=mean, scale=scale, layers=layers, output="sigmoid", about=about)


def on_the_device(node, repo_root, folder, data, rows, flips=()):
    (folder / "model.tflite").write_bytes(data)
    (folder / "rows.json").write_text(json.dumps({"rows": rows.tolist(), "flips": list(flips)}))
    script = repo_root / "tests" / "sdk" / "model_of.mjs"
    done = subprocess.run(
        [node, str(script), str(folder / "model.tflite"), str(folder / "rows.json")],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize("quantise", PRECISIONS)
def test_M55_a_model_gives_the_same_values_in_the_browsers_language(quantise, node, repo_root, tmp_path):
    """The same model file gives the same values on the person's device as on a server, 500 rows, in under 0.2 ms."""
    network = a_network((88, 128, 64, 1), 5)
    dice = np.random.default_rng(6)
    rows = (network.mean + dice.normal(size=(500, 88)) / network.gain).astype(np.float32)
    data = write_tflite(network, quantise=quantise)
    answer = on_the_device(node, repo_root, tmp_path, data, rows)
    assert np.abs(np.array(answer["outputs"]) - run(read_tflite(data).network, rows)).max() <= 1e-12
    assert answer["milliseconds"] <= MOST_MS_PER_INFERENCE


@pytest.mark.parametrize("quantise", PRECISIONS)
def test_M65_both_readers_take_and_refuse_the_same_files(quantise, node, repo_root, tmp_path):
    """A broken model file that one reader refuses is refused by the other one too: one flipped bit at a time."""
    data = write_tflite(a_network((2, 2, 1), 9), quantise=quantise)
    flips = range(0, 8 * len(data), 3)
    answer = on_the_device(node, repo_root, tmp_path, data, np.zeros((0, 2)), flips)
    expected = []
    for bit in flips:
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            read_tflite(bytes(broken))
            expected.append(1)
        except IntegrityError:
            expected.append(0)
    assert answer["taken"] == expected
    assert 0 in expected
