"""Model files in the browser SDK against Python: the same outputs, the same refusals."""

from __future__ import annotations

import base64
import json
import subprocess
from itertools import pairwise

import numpy as np
import pytest

from sottovoce.errors import SottovoceError
from sottovoce.voice.models.network import About, make_network, run
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_tflite import write_tflite

ABOUT = About("nothing", ("no", "yes"), "compat", "egemaps-88/1")


def network(*widths):
    dice = np.random.default_rng(31)
    layers = [
        (dice.normal(size=(after, before)) * np.sqrt(2 / before), dice.normal(size=after) * 0.1)
        for before, after in pairwise(widths)
    ]
    mean, scale = dice.normal(size=widths[0]) * 20, dice.uniform(0.1, 30, widths[0])
    return make_network(mean=mean, scale=scale, layers=layers, output="sigmoid", about=ABOUT)


@pytest.fixture
def by_device(node, repo_root, tmp_path):
    """Answers of the SDK for pairs of a file and its rows."""

    def answers(pairs):
        jobs = [{"file": base64.b64encode(data).decode(), "rows": rows} for data, rows in pairs]
        (tmp_path / "jobs.json").write_text(json.dumps(jobs))
        command = [node, str(repo_root / "tests" / "sdk" / "models_of.mjs"), str(tmp_path / "jobs.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return answers


@pytest.mark.parametrize("precision", ["none", "f16", "int8"])
def test_M55_a_model_gives_the_same_values_on_the_device(by_device, precision):
    """A model file gives the same probabilities in the browser as on the server, on 500 rows within 1e-5."""
    data = write_tflite(network(88, 128, 64, 1), quantise=precision)
    rows = np.random.default_rng(5).normal(size=(500, 88)) * 20
    (answer,) = by_device([(data, rows.tolist())])
    assert np.abs(np.array(answer["outputs"]) - run(read_tflite(data).network, rows)).max() <= 1e-5


def test_M55_a_damaged_model_is_refused_by_device_and_server_alike(by_device):
    """A model file of which one byte was changed is refused on the device exactly where the server refuses it."""
    good = write_tflite(network(3, 1), quantise="int8")
    row = [[1.0, 2.0, 3.0]]
    damaged = [
        good[:at] + bytes([value]) + good[at + 1 :] for at in range(len(good)) for value in (0, 1, 127, 255)
    ]
    answers = by_device([(data, row) for data in damaged])
    for data, answer in zip(damaged, answers, strict=True):
        expected = by_server(data, row)
        assert answer.keys() == expected.keys(), changed(good, data)
        if "code" in expected:
            assert answer["code"] == expected["code"], changed(good, data)
        else:
            assert answer["outputs"] == [pytest.approx(expected["outputs"][0], abs=1e-5)], changed(good, data)
    assert any("outputs" in answer for answer in answers)


def by_server(data, rows):
    try:
        return {"outputs": run(read_tflite(data).network, rows).tolist()}
    except SottovoceError as error:
        return {"code": error.public_code}


def changed(good, data):
    return next(
        (f"byte {at}: {b}" for at, (a, b) in enumerate(zip(good, data, strict=True)) if a != b), "none"
    )
