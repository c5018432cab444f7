"""Manifests in words: what goes in comes out, and what is not exactly one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import IntegrityError, SchemaNewer
from sottovoce.model.backup import CONTENTS, BackupFile, DrillReport, Half, Manifest, manifest_of

WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=20)
HASH = st.binary(min_size=32, max_size=32).map(bytes.hex)
TIME = st.integers(0, 2**40).map(lambda us: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
COUNT = st.integers(0, 2**40)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    half = draw(st.sampled_from(list(Half)))
    files = [BackupFile(name, draw(COUNT), draw(HASH)) for name in sorted(CONTENTS[half])]
    version = draw(st.sampled_from([1, 2]))
    for sha256 in draw(st.sets(HASH, max_size=3)) if version == 2 and half is Half.DATA else ():
        files.append(BackupFile(f"{sha256}.tflite", draw(COUNT), sha256))
        for suffix in (".card.json", *draw(st.sampled_from([(), (".signer.json",)]))):
            files.append(BackupFile(sha256 + suffix, draw(COUNT), draw(HASH)))
    return Manifest(
        half=half, pair=draw(WORD), home=draw(WORD), tenant=draw(WORD), schema=draw(WORD),
        files=tuple(draw(st.permutations(files))), format=version,
        recipient_keys=None if version == 1 else draw(COUNT),
        created_at=draw(TIME),
        epoch=draw(COUNT), log_size=draw(COUNT), log_root=draw(HASH), tombstones=draw(COUNT),
        tombstones_hash=draw(HASH), worthless_after=draw(WORD),
    )  # fmt: skip


@given(manifests())
def test_a_manifest_comes_back_from_its_body(manifest: Manifest) -> None:
    assert manifest_of({**manifest.to_body(), "checkpoint": "as every receipt has"}) == manifest
    assert manifest.size_bytes == sum(file.size_bytes for file in manifest.files)


def damages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Every field missing, of another type, and one too many."""
    wrong = [{key: value for key, value in body.items() if key != left_out} for left_out in body]
    wrong += [{**body, name: other} for name in body for other in (None, [], {"a": 1}, -1, True, 1.5)]
    wrong += [{**body, "more": 1}, {**body, "created_at": "2026-01-01T00:00:00"}, {**body, "half": "quarter"}]
    wrong += [{**body, "files": body["files"][:1]}, {**body, "files": [*body["files"], body["files"][0]]}]
    first, *others = body["files"]
    wrong += [{**body, "files": [{**first, "name": "../elsewhere"}, *others]}]
    wrong += [{**body, "files": [{**first, "sha256": "AB" * 32}, *others]}]
    return wrong + [{**body, "files": [*body["files"], *more]} for more in no_models()]


def no_models() -> Iterator[list[dict[str, Any]]]:
    """Files that are no whole model: parts alone, another content than the name says, names that are none."""
    sha256 = "a" * 64

    def file(name: str, content: str = sha256) -> dict[str, Any]:
        return {"name": name, "size_bytes": 1, "sha256": content}

    card = file(f"{sha256}.card.json")
    yield [file(f"{sha256}.tflite")]
    yield [card]
    yield [card, file(f"{sha256}.signer.json")]
    yield [card, file(f"{sha256}.tflite", "b" * 64)]
    yield [card, file(f"models/{sha256}.tflite")]
    yield [card, file(f"{sha256}.tflite"), file(f"{sha256}.tflite.part")]
    yield [file(f"{'A' * 64}.tflite"), file(f"{'A' * 64}.card.json")]


def test_models_are_named_in_the_half_with_the_data_and_in_no_old_format() -> None:
    model = [
        BackupFile("a" * 64 + suffix, 1, "a" * 64) for suffix in (".tflite", ".card.json", ".signer.json")
    ]

    def body(half: Half, version: int) -> dict[str, Any]:
        files = tuple(BackupFile(name, 1, "0" * 64) for name in CONTENTS[half])
        said = Manifest(
            half=half, pair="p", home="h", tenant="t", schema="1", created_at=datetime(2026, 1, 1, tzinfo=UTC),
            files=(*files, *model), epoch=1, log_size=1, log_root="0" * 64, tombstones=1, tombstones_hash="0" * 64,
            worthless_after="w", format=version,
        )  # fmt: skip
        return said.to_body()

    assert manifest_of(body(Half.DATA, 2)).models == ("a" * 64,)
    for half, version in ((Half.KEYS, 2), (Half.DATA, 1), (Half.KEYS, 1)):
        with pytest.raises(IntegrityError):
            manifest_of(body(half, version))
    files = tuple(BackupFile(name, 1, "0" * 64) for name in CONTENTS[Half.DATA])
    old = {
        **body(Half.DATA, 1),
        "files": [{"name": f.name, "size_bytes": 1, "sha256": f.sha256} for f in files],
    }
    assert (manifest_of(old).models, manifest_of(old).recipient_keys) == (None, None)


@given(manifests())
def test_what_is_not_exactly_a_manifest_is_refused(manifest: Manifest) -> None:
    for body in damages(manifest.to_body()):
        with pytest.raises(IntegrityError) as error:
            manifest_of(body)
        assert error.value.reason == "manifest_malformed"
    with pytest.raises(SchemaNewer):
        manifest_of({**manifest.to_body(), "format": 3})


@pytest.mark.parametrize(
    ("changes", "sound"),
    [
        ({}, True),
        ({"opened": 2}, False),
        ({"log_intact": False}, False),
        ({"findings": ("x",)}, False),
        ({"decision": "same"}, True),
        ({"decision": "differs"}, False),
        ({"decision": "features_changed"}, False),
        ({"models_refused": ("signature_broken",)}, False),
        ({"models": None, "recipient_keys": None}, True),
    ],
)
def test_a_drill_is_sound_only_if_everything_came_back(changes: dict[str, Any], sound: bool) -> None:
    said: dict[str, Any] = {
        "pair": "p", "data_at": datetime(2026, 1, 1, tzinfo=UTC), "records": 9, "sampled": 3, "opened": 3,
        "log_intact": True, "findings": (), "replayed": 0, "took": timedelta(0),
    }  # fmt: skip
    assert DrillReport(**{**said, **changes}).sound is sound
