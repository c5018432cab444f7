"""The model that is shipped, in the browser's language: its card is checked there, its values are the golden ones."""

from __future__ import annotations

import json
import subprocess

import numpy as np

from sottovoce import app as house


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
    expected = json.loads(golden.read_text())["outputs"]
    assert np.abs(np.array(answer["outputs"]) - expected).max() <= 1e-12
