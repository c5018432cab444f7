"""models evaluate, and verify of what is shipped, as an operator types it: no home is needed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sottovoce import app as house
from sottovoce.doors.cli import app
from sottovoce.doors.cli.app import main
from sottovoce.doors.cli.console import Console
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.sealing.receipt import Identity, identity_document, sign
from sottovoce.voice.models.read_tflite import read_tflite

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_home: Path) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        world = replace(app._process(None), console=Console(out, err, {}))
        code = main(["--home", str(tmp_home), *arguments], world=world)
        return code, out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """15 people of each label, two rows each, drawn around what the shipped model has learned."""
    network = read_tflite(house.shipped_model().read_bytes()).network
    dice = np.random.default_rng(3)
    side = np.sign(network.layers[0].weights[0])
    path = tmp_path / "features.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "start", "end", *FEATURE_NAMES, "speaker", "label", "language", "profile"])
        for person in range(30):
            label = person % 2
            for take in range(2):
                shift = side * (2 * label - 1) + 0.5 * dice.normal(size=88)
                values = network.mean + shift / network.gain
                group = "de" if person < 24 else "rare"
                writer.writerow([f"{take}.wav", "", "", *values, f"p{person}", "FM"[label], group, "compat"])
    return path


def edited(path: Path, edit: Callable[[list[dict[str, str]]], None], drop: str = "") -> Path:
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    edit(rows)
    names = [name for name in rows[0] if name != drop]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_M88_error_groups_calibration_and_sets_are_printed(cli: Run, features: Path) -> None:
    """An operator sees error with interval and counts, calibration and sets of a model on recordings of their own."""
    code, text, err = cli("models", "evaluate", str(features), "--group", "language")
    assert (code, err) == (0, "")
    assert "apparent_sex: 60 recordings of 30 people" in text
    assert "language: rare: not enough data" in text
    assert "calibration error" in text
    assert "prediction sets of 90 %: hold the truth for" in text
    assert "unlike what was learned" in text
    assert "not determined" in text


def test_as_json_every_figure_has_its_counts(cli: Run, features: Path) -> None:
    code, text, _ = cli("models", "evaluate", str(features), "--group", "language", "--json")
    found = json.loads(text)
    assert code == 0
    assert found["error"]["speakers"] == 30
    assert found["error"]["low"] <= found["error"]["value"] <= found["error"]["high"]
    assert found["groups"]["language: rare"] == {
        "value": None, "low": None, "high": None, "speakers": 6, "recordings": 12,
    }  # fmt: skip
    assert found["sets"]["percent"] == 90
    assert 0 <= found["sets"]["unlike"] <= 1
    assert sum(found["sets"]["sizes"].values()) == pytest.approx(1)
    assert sum(one["right"]["recordings"] for one in found["calibration"]["bins"]) == 60


def test_M65_features_of_another_profile_or_of_none_are_refused(cli: Run, features: Path) -> None:
    """Features whose profile is another one, or that nobody states, are refused before a model sees them."""
    code, _, err = cli("models", "evaluate", str(features), "--profile", "corrected")
    assert (code, "[profile_unknown]" in err) == (2, True)
    edited(features, lambda _: None, drop="profile")
    assert "[profile_unknown]" in cli("models", "evaluate", str(features))[2]
    assert "[model_profile]" in cli("models", "evaluate", str(features), "--profile", "corrected")[2]
    assert cli("models", "evaluate", str(features), "--profile", "compat")[0] == 0


def test_a_table_that_does_not_fit_is_refused_with_its_row(cli: Run, features: Path) -> None:
    def damage(rows: list[dict[str, str]]) -> None:
        rows[3][FEATURE_NAMES[5]] = "nan"

    edited(features, damage)
    code, _, err = cli("models", "evaluate", str(features))
    assert code == 2
    assert "row 5" in err
    assert "[data_malformed]" in err


@pytest.mark.parametrize("option", [("--speaker", "person"), ("--label", "truth"), ("--group", "accent")])
def test_a_column_that_is_not_there_is_named(option: tuple[str, str], cli: Run, features: Path) -> None:
    code, _, err = cli("models", "evaluate", str(features), *option)
    assert code == 2
    assert option[1] in err
    assert "[data_columns]" in err


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b'file,"speaker\n', b"file;speaker\n1;2\n"])
def test_what_is_no_such_table_is_refused(content: bytes, cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    code, out, err = cli("models", "evaluate", str(path))
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_a_folder_with_a_manifest_is_measured(cli: Run, tmp_path: Path, jfk_path: Path) -> None:
    samples, rate = soundfile.read(jfk_path, dtype="float32")
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", samples[number * rate : (number + 3) * rate], rate)
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    lines = [
        "file,speaker,gender",
        *(f"{n}.wav,kennedy,M" for n in range(3)),
        "broken.wav,kennedy,M",
        "x.txt,,",
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    code, text, _ = cli("models", "evaluate", str(tmp_path), "--label", "gender")
    assert code == 1  # one file could not be measured
    assert "apparent_sex: 3 recordings of 1 person" in text
    assert "left out: 1 " in text
    assert "all: not enough data" in text
    assert "calibration: not enough data" in text
    assert "prediction sets of 90 %: not enough data" in text


@pytest.mark.parametrize("name", ["../elsewhere.wav", "/etc/hostname", "link.wav"])
def test_a_manifest_reaches_nothing_outside_its_folder(name: str, cli: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "elsewhere.wav").write_bytes(b"nothing")
    (folder / "link.wav").symlink_to(tmp_path / "elsewhere.wav")
    (folder / "manifest.csv").write_text(f"file,speaker,label\n{name},a,f\n")
    code, _, err = cli("models", "evaluate", str(folder))
    assert code == 2
    assert "[manifest_path]" in err


def test_a_folder_without_a_manifest_is_refused(cli: Run, tmp_path: Path) -> None:
    code, _, err = cli("models", "evaluate", str(tmp_path))
    assert code == 4
    assert "manifest" in err


def test_M65_the_shipped_model_is_verified_without_a_home(cli: Run, tmp_home: Path) -> None:
    """The model that comes with sottovoce is checked against a key of the package, offline, before any home exists."""
    code, text, _ = cli("models", "verify", str(house.shipped_model()), "--json")
    assert code == 0
    assert json.loads(text)["card"]["attribute"] == "apparent_sex"
    assert not tmp_home.exists()


def test_M65_a_card_of_a_stranger_is_refused(cli: Run, tmp_path: Path) -> None:
    """A model whose card was signed by somebody whom nobody pinned is refused, whatever the card says."""
    shipped = house.shipped_model()
    model = tmp_path / shipped.name
    model.write_bytes(shipped.read_bytes())
    stranger = Identity(b"s" * 32)
    body = json.loads(shipped.with_name(shipped.name + ".card.json").read_text())["body"]
    model.with_name(model.name + ".card.json").write_text(sign("model", body, identity=stranger).to_json())
    assert cli("models", "verify", str(model))[0] == 8
    key = tmp_path / "stranger.json"
    key.write_text(identity_document(stranger.public_key, created_at=datetime(2026, 1, 1, tzinfo=UTC)))
    assert cli("models", "verify", str(model), "--key", str(key))[0] == 0
    assert cli("models", "verify", str(shipped), "--key", str(key))[0] == 8  # a named key is the only one


def of_my_own(folder: Path, **changes: object) -> tuple[str, ...]:
    """Options that name a copy of the shipped model under a changed card, signed by a key of the test."""
    shipped = house.shipped_model()
    model = folder / shipped.name
    model.write_bytes(shipped.read_bytes())
    me = Identity(b"m" * 32)
    body = json.loads(shipped.with_name(shipped.name + ".card.json").read_text())["body"] | changes
    model.with_name(model.name + ".card.json").write_text(sign("model", body, identity=me).to_json())
    key = folder / "me.json"
    key.write_text(identity_document(me.public_key, created_at=datetime(2026, 1, 1, tzinfo=UTC)))
    return "--model", str(model), "--key", str(key)


def test_a_demonstration_needs_its_flag(cli: Run, features: Path, tmp_path: Path) -> None:
    call = ("models", "evaluate", str(features), *of_my_own(tmp_path, demonstration=True))
    code, _, err = cli(*call)
    assert (code, "[model_demonstration]" in err) == (2, True)
    assert cli(*call, "--demonstration")[0] == 0


def test_a_quantity_is_told_in_its_unit(cli: Run, features: Path, tmp_path: Path) -> None:
    def years(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["label"] = "45" if row["label"] == "M" else "25"

    edited(features, years)
    mine = of_my_own(tmp_path, quantity={"unit": "years", "values": ["20", "50"]}, conformal="not available")
    code, text, err = cli("models", "evaluate", str(features), *mine, "--group", "language")
    assert (code, err) == (0, "")
    assert "mean absolute error, years" in text
    assert "language: rare: not enough data" in text
    assert "calibration" not in text
    found = json.loads(cli("models", "evaluate", str(features), *mine, "--json")[1])
    assert found["unit"] == "years"
    assert 0 < found["error"]["low"] <= found["error"]["value"] <= found["error"]["high"] < 30
    assert "sets" not in found


def test_without_sets_on_the_card_none_are_told(cli: Run, features: Path, tmp_path: Path) -> None:
    mine = of_my_own(tmp_path, conformal="not available")
    assert "prediction sets: not available" in cli("models", "evaluate", str(features), *mine)[1]
    assert json.loads(cli("models", "evaluate", str(features), *mine, "--json")[1])["sets"] is None
