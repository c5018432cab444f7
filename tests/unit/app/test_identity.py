"""The identity that is pinned in a home: written once, replaced in one step, and by the old key's statement only."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sottovoce import durable
from sottovoce.app import Platform, verify_receipt
from sottovoce.app.identity import PinnedIdentity
from sottovoce.errors import IntegrityError, StorageError
from sottovoce.model.subject import Caller
from sottovoce.usecases.oversight import Oversight


def receipt_of(platform: Platform) -> str:
    return platform.grant(subject="anna", purposes=["voice_recording"]).receipt or ""


def test_the_pin_stays_when_a_home_is_opened_again(opened: Callable[[], Platform]) -> None:
    with opened() as platform:
        pinned, written_at = platform.identity(), platform._pin.path.stat().st_mtime_ns
    with opened() as platform:
        assert platform.identity() == pinned
        assert platform._pin.path.stat().st_mtime_ns == written_at


def test_the_pin_is_for_the_owner_of_the_home_alone(platform: Platform) -> None:
    assert stat.S_IMODE(platform._pin.path.stat().st_mode) == 0o600


def test_the_log_goes_by_its_first_key_and_believes_the_next(platform: Platform) -> None:
    before = platform._pin.for_log()
    platform.replace_identity()
    after = platform._pin.for_log()
    assert after.origin == before.origin
    assert len(before.keys) == 1
    assert set(before.keys) < set(after.keys)


def test_a_document_that_cannot_be_written_replaces_nothing(platform: Platform) -> None:
    """Where the new identity cannot be stored the old one stays whole, goes on signing, and can be replaced later."""
    pinned = platform.identity()
    in_the_way = platform._pin.path.with_name("identity.json.new")
    in_the_way.mkdir()
    with pytest.raises(StorageError) as refused:
        platform.replace_identity()
    assert refused.value.reason == "home"
    assert platform.identity() == pinned
    verify_receipt(receipt_of(platform), key=pinned)  # by the old key
    in_the_way.rmdir()
    document = platform.replace_identity()
    assert platform.identity() == document != pinned
    verify_receipt(receipt_of(platform), key=document)


def test_the_old_key_is_retired_only_when_the_new_document_is_there(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    retire = type(platform._oversight).retire_identity

    def told(self: object, **given: object) -> None:
        seen.append(platform.identity())
        retire(self, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(type(platform._oversight), "retire_identity", told)
    document = platform.replace_identity()
    assert seen == [document]


def test_a_folder_without_a_pin_has_none(tmp_path: Path) -> None:
    assert not PinnedIdentity(tmp_path).exists()


def test_a_new_document_is_durable_under_its_name_before_the_old_key_goes(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may bring the old document back only while the old key still stands."""
    seen: list[str] = []
    sync, retire = durable.sync_folder, Oversight.retire_identity

    def synced(folder: Path) -> None:
        seen.append("folder")
        sync(folder)

    def retired(desk: Oversight, *, caller: Caller) -> None:
        seen.append("old key")
        retire(desk, caller=caller)

    monkeypatch.setattr(durable, "sync_folder", synced)
    monkeypatch.setattr(Oversight, "retire_identity", retired)
    platform.replace_identity()
    assert seen.index("folder") < seen.index("old key")
    assert seen.count("old key") == 1


def test_what_a_cut_short_try_left_is_in_nobodys_way(platform: Platform) -> None:
    platform._pin.path.with_name("identity.json.new").write_text("half a doc")
    document = platform.replace_identity()
    assert platform.identity() == document


def test_M05_an_identity_file_of_noise_is_refused(platform: Platform) -> None:
    """A home whose identity file was damaged into bytes that are no text says so, with a reason."""
    platform._pin.path.write_bytes(b"\xff\xfe{")
    with pytest.raises(IntegrityError) as refused:
        platform._pin.for_log()
    assert refused.value.reason == "receipt_malformed"
