"""The model that is shipped, in the browser's language: its card is checked there, its values are the golden ones."""

from __future__ import annotations

import json
import subprocess

import numpy as np

from sottovoce import app as house


def test_M58_the_shipped_model_gives_its_golden_values_in_the_browsers_language(
    node, repo_root, said_by_python
):
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
    for said, values, unlike in zip(answer["answers"], wanted["rows"], wanted["unlike"], strict=True):
        ours = said_by_python(values)
        assert (said["value"], said["labelSet"], said["percent"]) == (ours.value, list(ours.label_set), 90)
        assert (said["reason"] or "") == ours.reason == ("unlike what was learned" if unlike else "")
        assert (said["confidence"] is None) == (ours.confidence is None)
        assert said["confidence"] is None or abs(said["confidence"] - ours.confidence) <= 1e-12
    assert {said["value"] for said in answer["answers"]} >= {"female", "not determined"}
    hushed = answer["hushed"]
    assert (hushed["value"], hushed["labelSet"], hushed["confidence"]) == ("not available", None, None)
