"""The model that is shipped, in the browser's language: its card is checked there, its values are the golden ones."""

from __future__ import annotations

import hashlib
import json
import subprocess

import numpy as np

from sottovoce import app as house
from sottovoce.model.features import FEATURE_NAMES, FeatureVector, Quality
from sottovoce.model.inference import ModelUse
from sottovoce.voice.models.inference import infer


def test_M58_the_shipped_model_gives_its_golden_values_in_the_browsers_language(node, repo_root):
    """The model that comes with sottovoce is checked and run on the person's own device, with a server's answers."""
    golden = repo_root / "vectors" / "models" / "shipped.json"
    model = house.shipped_model()
    files = [model, model.with_name(model.name + ".card.json"), model.with_name("signers.json"), golden]
    script = repo_root / "tests" / "sdk" / "card_of.mjs"
    done = subprocess.run(
        [node, str(script), *map(str, files)], capture_output=True, text=True, timeout=60, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["attribute"] == "apparent_sex"
    wanted = json.loads(golden.read_text())
    expected = wanted["outputs"]
    assert np.abs(np.array(answer["outputs"]) - expected).max() <= 1e-12
    card = json.loads(files[1].read_text())["body"]
    for said, values, unlike in zip(answer["answers"], wanted["rows"], wanted["unlike"], strict=True):
        ours = by_python(model, card, values)
        assert (said["value"], said["labelSet"], said["percent"]) == (ours.value, list(ours.label_set), 90)
        assert (said["reason"] or "") == ours.reason == ("unlike what was learned" if unlike else "")
        assert (said["confidence"] is None) == (ours.confidence is None)
        assert said["confidence"] is None or abs(said["confidence"] - ours.confidence) <= 1e-12
    assert {said["value"] for said in answer["answers"]} >= {"female", "not determined"}
    hushed = answer["hushed"]
    assert (hushed["value"], hushed["labelSet"], hushed["confidence"]) == ("not available", None, None)


def by_python(model, card, values):
    """The answer of a server: the same card, the same features."""
    stated = card["learned_range"]
    data = model.read_bytes()
    use = ModelUse(
        attribute="apparent_sex", sha256=hashlib.sha256(data).hexdigest(), card_sha256="c" * 64,
        feature_profile="compat", feature_version="egemaps-88/1", threshold=float(card["conformal"]["threshold"]),
        percent=90, guarantee="none", not_for="any use", demonstration=False, data=data,
        range_inputs=tuple(FEATURE_NAMES.index(name) for name in stated["inputs"]), range_bound=float(stated["bound"]),
    )  # fmt: skip
    features = FeatureVector(tuple(values), "compat", "egemaps-88/1", 16_000)
    return infer(use, features, Quality(2.5, 100, 0.0, None, "wav/pcm_16", 16_000, 1, "0"))
