"""A home that infers one attribute, as its operator types it: real processes, the sealed child, a signed model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

INFER = "infer_apparent_sex"


@pytest.fixture(scope="module")
def made(
    cli_at: Callable[..., Any], take_in_a_model: Callable[[Any], tuple[Path, str]]
) -> tuple[Any, Path, str]:
    """A command line that infers, a model file with its card, and the hash of the model that the home has taken in."""
    cli = cli_at()
    return cli.having(SOTTOVOCE_INFER="apparent_sex"), *take_in_a_model(cli)


def test_M92_from_the_model_to_the_contest(made: tuple[Any, Path, str], jfk_path: Path) -> None:
    """A model is taken in, set, agreed to, told of before the audio is read, answered with what it is worth, replayed
    to the bit, contested, and forgotten when the person takes that consent back."""
    cli, _, sha256 = made
    (line,) = [one for one in cli("models", "list", "--json").json if one["source"] == "own"]
    assert (line["sha256"], line["enabled"], line["purpose"]) == (sha256, True, INFER)
    cli.grant("anna")
    silent = cli("analyze", jfk_path, "--subject", "anna", "--json")
    assert silent.lines[0]["inferences"] == []
    assert "a model estimates" not in silent.err
    cli.grant("anna", INFER)
    answer = cli("analyze", jfk_path, "--subject", "anna", "--json")
    assert "a model estimates the apparent sex" in answer.err
    (said,) = answer.lines[0]["inferences"]
    assert said["value"] in ("female", "male", "not determined")
    assert (said["model_sha256"], said["guarantee"], said["not_for"]) == (
        sha256, "none", "any decision about a person",
    )  # fmt: skip
    assert said["expires_at"] == answer.lines[0]["retention"]["expires_at"]
    listed = [one for one in cli("decisions", "list", "--subject", "anna", "--json").json if one["inference"]]
    assert [one["id"] for one in listed] == [said["decision_id"]]
    replay = cli("decisions", "replay", said["decision_id"], "--json").json
    assert (replay["verdict"], replay["again"]["confidence"]) == ("same", said["confidence"])
    case = cli(
        "requests", "open", "--subject", "anna", "--kind", "human_review", "--decision", said["decision_id"]
    )
    assert said["decision_id"] in case.out
    cli("consent", "withdraw", "--subject", "anna", "--purpose", INFER)
    assert not any(one["inference"] for one in cli("decisions", "list", "--subject", "anna", "--json").json)
    assert cli("decisions", "replay", said["decision_id"], code=4).err
    cli("fsck")


def test_M92_what_a_worker_infers_is_shown_for_its_purpose_and_in_words(
    made: tuple[Any, Path, str], jfk_path: Path
) -> None:
    """A worker's inference, made where nobody sees the numbers, is shown for its own purpose alone, in plain words."""
    cli, _, sha256 = made
    cli.grant("berta", "voice_recording", "voice_analysis", "data_retention_30_days", INFER)
    session = cli("submit", jfk_path, "--subject", "berta", "--json").lines[0]["session_id"]
    cli("worker", "--once")
    shown = cli("show", session, "--purpose", INFER).out
    for words in ("Apparent sex", sha256[:16], "not for: any decision about a person", INFER):
        assert words in shown
    assert "Apparent sex" not in cli("show", session, "--purpose", "voice_analysis").out
    assert "apparent_sex: " in cli("facts", session).out
    assert "apparent_sex" in cli("sessions", "--subject", "berta").out
    assert "apparent_sex by" in cli("doctor", code=None).out


def test_M10_a_recording_without_voice_has_nothing_inferred(
    made: tuple[Any, Path, str], tmp_path: Path
) -> None:
    """Of a recording in which nobody speaks nothing is inferred: the answer is "not available", not a guess."""
    import soundfile

    cli, _, _ = made
    cli.grant("cleo", "voice_recording", "voice_analysis", INFER)
    soundfile.write(tmp_path / "hush.wav", np.random.default_rng(1).normal(size=32_000) * 1e-3, 16_000)
    (said,) = cli("analyze", tmp_path / "hush.wav", "--subject", "cleo", "--json").lines[0]["inferences"]
    assert (said["value"], said["available"], said["confidence"], said["label_set"]) == (
        "not available", False, None, None,
    )  # fmt: skip


@pytest.mark.parametrize("context", ["work", "education", ""])
def test_C35a_a_home_that_infers_emotion_does_not_start(cli: Any, context: str) -> None:
    """A home that is set to infer emotion where that is not allowed, or without saying where, does not start."""
    extra = {"SOTTOVOCE_INFER": '["emotion"]', "SOTTOVOCE_USE_CONTEXT": context}
    refused = cli.having(**extra)("sessions", "--subject", "anna", code=2)
    assert ("use_context_forbidden" if context else "use_context_missing") in refused.err


def test_what_is_set_and_not_there_is_refused_in_words(cli: Any, jfk_path: Path) -> None:
    cli.grant("anna")
    wrong = cli.having(SOTTOVOCE_INFER="age")
    assert "model_missing" in wrong("analyze", jfk_path, "--subject", "anna", code=2).err
    assert "infer_unknown" in cli.having(SOTTOVOCE_INFER="wealth")("doctor", code=2).err
    assert wrong("erase", "--subject", "anna", "--json").json["result"] == "erased"


def test_a_model_is_taken_out_again(cli: Any, made: tuple[Any, Path, str]) -> None:
    _, file, sha256 = made
    key = cli.folder / "signer.json"
    key.write_text((made[0].home / "identity.json").read_text())
    assert "unknown_signer" in cli("models", "add", file, code=8).err
    cli("models", "add", file, "--key", key)
    assert sha256[:16] in cli("models", "list").out
    cli("models", "add", file, "--key", key, code=2)
    cli("models", "remove", sha256[:12])
    assert not [one for one in cli("models", "list", "--json").json if one["source"] == "own"]
    cli("models", "remove", sha256, code=4)


@pytest.mark.parametrize("how", ["analyze", "worker"])
def test_M88_the_shipped_model_says_nothing_of_what_it_has_not_learned_from(
    cli: Any, jfk_path: Path, how: str
) -> None:
    """A speech that is unlike what the shipped model has learned from is answered with "not determined" and the reason,
    at the command line and by a worker, and replayed to the bit."""
    cli.grant("dora", "voice_recording", "voice_analysis", "data_retention_30_days", INFER)
    asking = cli.having(SOTTOVOCE_INFER="apparent_sex")
    if how == "worker":
        session = asking("submit", jfk_path, "--subject", "dora", "--json").lines[0]["session_id"]
        asking("worker", "--once")
        shown = asking("show", session, "--purpose", INFER).out
    else:
        shown = asking("analyze", jfk_path, "--subject", "dora").out
    words = " ".join(shown.split())
    assert "not determined (unlike what was learned" in words
    assert "the model's own confidence" not in words
    (one,) = [one for one in cli("decisions", "list", "--subject", "dora", "--json").json if one["inference"]]
    said = one["inference"]
    assert (said["value"], said["reason"], said["confidence"]) == (
        "not determined",
        "unlike what was learned",
        None,
    )
    assert cli("decisions", "replay", one["id"], "--json").json["verdict"] == "same"
