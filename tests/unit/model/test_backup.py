"""Manifests in words: what goes in comes out, and what is not exactly one is refused."""

from __future__ import annotations

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
    files = tuple(BackupFile(name, draw(COUNT), draw(HASH)) for name in sorted(CONTENTS[half]))
    return Manifest(
        half=half, pair=draw(WORD), home=draw(WORD), tenant=draw(WORD), schema=draw(WORD), files=files,
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
    wrong += [{**body, "files": [{**body["files"][0], "name": "../elsewhere"}, body["files"][1]]}]
    wrong += [{**body, "files": [{**body["files"][0], "sha256": "AB" * 32}, body["files"][1]]}]
    return wrong


@given(manifests())
def test_what_is_not_exactly_a_manifest_is_refused(manifest: Manifest) -> None:
    for body in damages(manifest.to_body()):
        with pytest.raises(IntegrityError) as error:
            manifest_of(body)
        assert error.value.reason == "manifest_malformed"
    with pytest.raises(SchemaNewer):
        manifest_of({**manifest.to_body(), "format": 2})


@pytest.mark.parametrize(
    ("changes", "sound"),
    [({}, True), ({"opened": 2}, False), ({"log_intact": False}, False), ({"findings": ("x",)}, False)],
)
def test_a_drill_is_sound_only_if_everything_came_back(changes: dict[str, Any], sound: bool) -> None:
    said: dict[str, Any] = {
        "pair": "p", "data_at": datetime(2026, 1, 1, tzinfo=UTC), "records": 9, "sampled": 3, "opened": 3,
        "log_intact": True, "findings": (), "replayed": 0, "took": timedelta(0),
    }  # fmt: skip
    assert DrillReport(**{**said, **changes}).sound is sound
