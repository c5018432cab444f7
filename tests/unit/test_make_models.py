"""`make models` on made-up people: whole cards, the same files twice, and an age model that refuses to be used."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from sottovoce import app as house
from sottovoce.errors import UsageError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.sealing.receipt import Identity
from sottovoce.voice.models.network import run
from sottovoce.voice.models.read_tflite import read_tflite

SCRIPTS = ("make_models", "model_data", "model_page", "model_pictures", "figures")
IDENTITY = Identity(b"t" * 32)


@pytest.fixture
def script(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    yield importlib.import_module("make_models")
    for name in SCRIPTS:
        sys.modules.pop(name, None)


def people(script, count, *, seed=1):
    """Two recordings each; pitch tells the sex, and nothing tells the age."""
    dice = np.random.default_rng(seed)
    rows, facts = [], []
    for person in range(count):
        male = person % 2
        voice = dice.normal(size=88)
        voice[list(script.PITCH)] += 26 if male else 36
        for take in range(2):
            rows.append(voice + 0.1 * dice.normal(size=88))
            facts.append({
                "speaker": f"s{person:03}", "gender": "FM"[male], "age": str(22 + person), "seconds": str(3 + 4 * take),
                "sha256": f"{person:02}{take}", "file": f"made-up/{person}-{take}.flac",
            })  # fmt: skip
    return script.Recordings(np.array(rows, dtype=np.float32), tuple(facts), len(facts))


def written(script, folder, made):
    script.write({script.AGE: made}, IDENTITY, folder, datetime(2026, 1, 1, tzinfo=UTC))
    file = folder / script.AGE
    return (
        file.read_bytes(),
        (folder / (script.AGE + ".card.json")).read_text(),
        (folder / "signers.json").read_text(),
    )


def test_M10_an_age_model_of_nine_people_is_a_demonstration_without_an_interval(script, tmp_path):
    """An age model learned from nine people loads only as a demonstration, claims no interval, and shows the error of
    an answer that is always the same beside its own."""
    made = script.make_age(people(script, 9))
    body = made.body
    assert body["demonstration"] is True
    assert body["conformal"] == body["calibration"] == "not available"
    assert (body["error"]["low"], body["error"]["high"]) == ("not available", "not available")
    assert body["error"]["speakers"] == 9
    assert float(body["constant_answer"]["error"]) > 0
    assert {group["value"] for group in body["groups"]} == {"not enough data"}
    data, card, key = written(script, tmp_path, made)
    with pytest.raises(UsageError) as refusal:
        house.verify_model(data, card, key=key)
    assert refusal.value.reason == "model_demonstration"
    assert house.verify_model(data, card, key=key, demonstration=True).card.demonstration


def test_the_error_of_the_constant_answer_is_that_of_the_other_peoples_mean(script):
    body = script.make_age(people(script, 9)).body
    ages = np.arange(22.0, 31.0)
    expected = np.mean([abs(age - np.delete(ages, i).mean()) for i, age in enumerate(ages)])
    assert float(body["constant_answer"]["error"]) == pytest.approx(expected, abs=1e-4)


def test_the_output_of_an_age_model_stands_between_its_two_ages(script):
    recordings = people(script, 9)
    network = read_tflite(script.make_age(recordings).data).network
    assert network.about.labels == ("nearer to 20 years", "nearer to 50 years")
    assert script.in_years(run(network, recordings.rows)).mean() == pytest.approx(26, abs=1.0)


def test_M65_the_same_recordings_give_the_same_file_and_card(script, tmp_path):
    """A model can be made again: the same recordings and the same key give the same file and the same signed card."""
    made = [written(script, tmp_path / str(i), script.make_age(people(script, 9))) for i in range(2)]
    assert made[0] == made[1]
    other = written(script, tmp_path / "other", script.make_age(people(script, 9, seed=2)))
    assert other[0] != made[0][0]


def test_the_sex_model_is_split_by_speaker_and_its_card_is_whole(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SHAPES", script.SHAPES[:2])
    monkeypatch.setattr(script, "FAMILIES", dict(list(script.FAMILIES.items())[:1]))
    monkeypatch.setattr(script, "SPLITS", 5)
    recordings = people(script, 60)
    made = script.make_sex(recordings, recordings, {"the same kind": people(script, 12, seed=4)})
    body = json.loads(json.dumps(made.body))
    assert body["training_data"]["speakers"] == 40
    assert body["conformal"]["speakers"] == body["held_out"]["speakers"] == 20
    assert body["error"]["speakers"] == 60
    assert float(body["error"]["value"]) < 0.1
    assert [one["data"] for one in body["transfer"]] == ["the same kind", "all of these"]
    script.write({script.SEX: made}, IDENTITY, tmp_path, datetime(2026, 1, 1, tzinfo=UTC))
    card = (tmp_path / (script.SEX + ".card.json")).read_text()
    house.verify_model(made.data, card, key=(tmp_path / "signers.json").read_text(), profile="compat")


def test_the_hash_of_the_data_is_that_of_what_was_learned_from(script):
    recordings = people(script, 9)
    backwards = recordings.take(np.arange(len(recordings))[::-1])
    assert recordings.sha256("age") == backwards.sha256("age") != recordings.sha256("gender")
    assert recordings.take(np.arange(4)).sha256("age") != recordings.sha256("age")


def test_a_louder_recorder_gives_the_same_recording_cut_at_full_scale(script, tmp_path):
    times = np.arange(32_000) / 16_000
    buzz = 0.05 * sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 20))
    soundfile.write(tmp_path / "a.wav", buzz, 16_000, subtype="FLOAT")
    facts = ({"file": "a.wav", "speaker": "a"},)
    level = FEATURE_NAMES.index("equivalentSoundLevel_dBp")
    soft, loud, most = (
        script.louder(tmp_path, script.Recordings(np.zeros((1, 88)), facts, 1), db, profile="compat").rows
        for db in (0, 6, 60)
    )
    assert loud[0, level] - soft[0, level] == pytest.approx(6, abs=0.1)
    assert list(loud[0, list(script.PITCH)]) == pytest.approx(list(soft[0, list(script.PITCH)]), abs=0.1)
    assert most[0, level] - soft[0, level] < 40
