"""models show, verify, export on a home of its own, as an operator types it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sottovoce import app as house
from sottovoce.doors.cli import app
from sottovoce.doors.cli.app import main
from sottovoce.doors.cli.console import Console
from sottovoce.usecases.models import file_entries
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_tflite import write_tflite

Run = Callable[..., tuple[int, str, str]]
NETWORK = make_network(
    mean=[0.0] * 3, scale=[1.0] * 3, layers=[([[1.0, -2.0, 0.3]], [0.1])], output="sigmoid",
    about=About("nothing", ("no", "yes"), "compat", "egemaps-88/1"),
)  # fmt: skip
BODY = {
    "format": "sottovoce-model-card/1", "purpose": "a test", "attribute": "nothing", "labels": ["no", "yes"],
    "output": "sigmoid", "feature_profile": "compat", "feature_version": "egemaps-88/1",
    "training_data": {"description": "none", "sha256": "not available", "speakers": 0, "recordings": 0},
    "error": "not available", "groups": [], "conformal": "not available", "privacy": "none",
    "not_for": ["any use"], "demonstration": False, "files": file_entries(NETWORK, [[1.0, 2.0, 3.0]]),
}  # fmt: skip


@pytest.fixture
def cli(tmp_home: Path) -> Run:
    def run(*arguments: str, home: Path = tmp_home) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        world = replace(app._process(None), console=Console(out, err, {}))
        code = main(["--home", str(home), *arguments], world=world)
        return code, out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def model(tmp_home: Path, tmp_path: Path) -> Path:
    """A model file with its card beside it, signed by the home."""
    file = tmp_path / "nothing.tflite"
    file.write_bytes(write_tflite(NETWORK))
    with house.open(home=tmp_home) as platform:
        card = platform.sign_model_card(BODY, model=file.read_bytes())
    file.with_name("nothing.tflite.card.json").write_text(card)
    return file


def test_a_model_is_shown_and_said_to_be_unverified(cli: Run, model: Path) -> None:
    code, text, _ = cli("models", "show", str(model))
    assert code == 0
    assert "nothing: no, yes" in text
    assert "not verified" in text
    shown = json.loads(cli("models", "show", str(model), "--json")[1])
    assert (shown["verified"], shown["widths"], shown["card"]["purpose"]) == (False, [3, 1], "a test")


def test_M65_verify_answers_with_the_code_of_what_is_wrong(cli: Run, model: Path, tmp_path: Path) -> None:
    """At the command line each wrong model, card, signer or profile is refused with an exit code of its own."""
    code, text, _ = cli("models", "verify", str(model), "--profile", "compat")
    assert (code, "verified, signed by" in text) == (0, True)
    assert cli("models", "verify", str(model), "--profile", "corrected")[0] == 2
    card = model.with_name("nothing.tflite.card.json")
    broken = tmp_path / "broken.json"
    broken.write_text(card.read_text().replace("a test", "a quest"))
    code, _, err = cli("models", "verify", str(model), "--card", str(broken))
    assert (code, "signature_broken" in err) == (5, True)
    assert cli("models", "verify", str(model), home=tmp_path / "nobody")[0] == 8
    model.write_bytes(model.read_bytes()[:-20])
    assert cli("models", "verify", str(model))[0] == 5
    assert cli("models", "verify", str(tmp_path / "none.tflite"))[0] == 4


def test_export_writes_files_that_the_card_names_already(cli: Run, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.tflite"
    code, text, _ = cli("models", "export", str(model), "--quantise", "int8", "--out", str(out), "--json")
    assert code == 0
    assert json.loads(text)["size_bytes"] == len(out.read_bytes())
    assert read_tflite(out.read_bytes()).precision == "int8"
    assert cli("models", "verify", str(out), "--card", f"{model}.card.json")[0] == 0
    assert cli("models", "export", str(model), "--out", str(out))[0] == 2  # never overwritten
    assert cli("models", "export", str(out), "--out", str(tmp_path / "again.tflite"))[0] == 2
    twin = tmp_path / "twin.onnx"
    assert cli("models", "export", str(model), "--format", "onnx", "--out", str(twin))[0] == 0
    assert twin.read_bytes()


def test_a_model_without_a_card_is_shown_and_not_verified(cli: Run, model: Path) -> None:
    model.with_name("nothing.tflite.card.json").unlink()
    assert "none given" in cli("models", "show", str(model))[1]
    assert cli("models", "verify", str(model))[0] == 4
