"""The promises of ports.Models, kept by the fake and by the folder of a home; and what is shipped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sottovoce.adapters.memory import MemoryModels
from sottovoce.adapters.models_folder import SIGNERS, FolderModels, ShippedModels
from sottovoce.errors import Conflict, StorageError
from sottovoce.ports import Models, StoredModel


def stored(data: bytes = b"a model", *, signer: str | None = None) -> StoredModel:
    return StoredModel(hashlib.sha256(data).hexdigest(), data, '{"card": "é"}', signer)


@pytest.fixture(params=["memory", "folder"])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> Models:
    return MemoryModels() if request.param == "memory" else FolderModels(tmp_path / "models")


def test_a_model_comes_back_as_it_was_taken_in(models: Models) -> None:
    one, other = stored(signer='{"identity": 1}'), stored(b"another")
    assert models.hashes() == ()
    models.add(one)
    models.add(other)
    assert models.hashes() == tuple(sorted((one.sha256, other.sha256)))
    assert models.get(one.sha256) == one
    assert models.get(other.sha256) == other


def test_the_same_model_is_taken_in_once(models: Models) -> None:
    models.add(stored())
    with pytest.raises(Conflict) as refusal:
        models.add(stored())
    assert refusal.value.reason == "model_exists"


def test_what_is_removed_is_gone_and_may_come_back(models: Models) -> None:
    one = stored(signer="{}")
    models.add(one)
    assert models.remove(one.sha256)
    assert not models.remove(one.sha256)
    assert (models.hashes(), models.get(one.sha256)) == ((), None)
    again = stored()
    models.add(again)
    assert models.get(one.sha256) == again  # and not with the signer of before


def test_no_name_leads_out_of_the_folder(models: Models) -> None:
    for name in ("../identity", "", "A" * 64, "a" * 63, "a" * 64 + "/.."):
        assert models.get(name) is None
        assert not models.remove(name)


def test_files_are_for_their_owner_and_nothing_half_is_left(tmp_path: Path) -> None:
    models = FolderModels(tmp_path / "models")
    models.add(stored(signer="{}"))
    files = sorted((tmp_path / "models").iterdir())
    assert [path.name.partition(".")[2] for path in files] == ["card.json", "signer.json", "tflite"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / "models").stat().st_mode & 0o777 == 0o700


def test_a_card_that_is_lost_is_not_made_up(tmp_path: Path) -> None:
    models, one = FolderModels(tmp_path / "models"), stored()
    models.add(one)
    (tmp_path / "models" / f"{one.sha256}.card.json").unlink()
    assert models.hashes() == (one.sha256,)
    assert models.get(one.sha256) is None


def test_a_folder_that_cannot_be_used_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file in its place")
    models = FolderModels(tmp_path / "models")
    act: Callable[[], object]
    for act in (models.hashes, lambda: models.add(stored())):
        with pytest.raises(StorageError) as refusal:
            act()
        assert refusal.value.reason == "models"


def test_shipped_models_are_found_by_content_with_their_pinned_signers(tmp_path: Path) -> None:
    assert ShippedModels(tmp_path / "nothing").hashes() == ()
    one = stored()
    (tmp_path / "apparent-sex.tflite").write_bytes(one.data)
    (tmp_path / "apparent-sex.tflite.card.json").write_text(one.card)
    (tmp_path / SIGNERS).write_text("{}")
    shipped = ShippedModels(tmp_path)
    assert shipped.hashes() == (one.sha256,)
    assert shipped.get(one.sha256) == StoredModel(one.sha256, one.data, one.card, "{}")
    assert shipped.get("0" * 64) is None
    for refused in (lambda: shipped.add(one), lambda: shipped.remove(one.sha256)):
        with pytest.raises(Conflict):
            refused()
