"""The port Keys: one suite over the fake and the local provider, then what only files can promise."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sottovoce.adapters.keys_local import LocalKeys
from sottovoce.adapters.memory import MemoryKeys
from sottovoce.errors import IntegrityError, KeyUnavailable, StorageError
from sottovoce.ports import Keys

EK, CONTEXT = bytes(range(32)), b"tenant|store|1"
FAST = {"memory_kib": 64}  # Argon2id as quick as it goes: its cost is not what these tests are about


@pytest.fixture(params=["memory", "local", "local-passphrase"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keys]:
    if request.param == "memory":
        yield MemoryKeys()
    else:
        passphrase = "a long passphrase" if request.param.endswith("passphrase") else None
        yield LocalKeys(tmp_path / "kek", passphrase=passphrase, **FAST)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kek"


def test_a_wrapped_key_comes_back(keys: Keys) -> None:
    keys.create(1)
    wrapped = keys.wrap(1, EK, CONTEXT)
    assert EK not in wrapped
    assert keys.unwrap(1, wrapped, CONTEXT) == EK
    assert keys.wrap(1, EK, CONTEXT) != wrapped


def test_create_is_idempotent(keys: Keys) -> None:
    keys.create(1)
    wrapped = keys.wrap(1, EK, CONTEXT)
    keys.create(1)
    assert keys.unwrap(1, wrapped, CONTEXT) == EK
    assert keys.epochs() == (1,)


def test_altered_moved_or_foreign_wraps_are_refused(keys: Keys) -> None:
    keys.create(1)
    keys.create(2)
    wrapped = keys.wrap(1, EK, CONTEXT)
    flipped = bytes([wrapped[0] ^ 1]) + wrapped[1:]
    for arguments in (
        (1, flipped, CONTEXT),
        (1, wrapped, b"elsewhere"),
        (2, wrapped, CONTEXT),
        (1, b"", CONTEXT),
    ):
        with pytest.raises(IntegrityError):
            keys.unwrap(*arguments)


def test_M15_nothing_opens_once_the_key_of_the_epoch_is_destroyed(keys: Keys) -> None:
    """Once the key of an epoch is destroyed, nothing that it wrapped opens again, not even from an old copy."""
    keys.create(1)
    wrapped = keys.wrap(1, EK, CONTEXT)
    keys.create(2)
    keys.destroy(1)
    keys.destroy(1)
    assert keys.epochs() == (2,)
    with pytest.raises(KeyUnavailable) as refused:
        keys.unwrap(1, wrapped, CONTEXT)
    assert refused.value.reason == "key_file_missing"
    keys.create(1)  # a new key under the old number is another key
    with pytest.raises(IntegrityError):
        keys.unwrap(1, wrapped, CONTEXT)


def test_an_epoch_that_never_was_is_unavailable(keys: Keys) -> None:
    assert keys.epochs() == ()
    keys.destroy(7)
    for call in (lambda: keys.wrap(7, EK, CONTEXT), lambda: keys.unwrap(7, bytes(60), CONTEXT)):
        with pytest.raises(KeyUnavailable):
            call()


def test_epochs_ascend(keys: Keys) -> None:
    for epoch in (2, 10, 1):
        keys.create(epoch)
    assert keys.epochs() == (1, 2, 10)


def test_describe_speaks_of_protection_and_of_what_destroying_guarantees(keys: Keys) -> None:
    assert set(keys.describe()) == {"provider", "protection", "destruction"}
    assert all(keys.describe().values())


def test_F16_a_provider_that_is_down_says_so_at_every_call() -> None:
    """While the key provider does not answer, every use of a key is refused with a clear error."""
    keys = MemoryKeys()
    keys.create(1)
    wrapped = keys.wrap(1, EK, CONTEXT)
    keys.available = False
    calls: list[Callable[[], object]] = [
        lambda: keys.create(2), lambda: keys.wrap(1, EK, CONTEXT), lambda: keys.unwrap(1, wrapped, CONTEXT),
        lambda: keys.destroy(1), keys.epochs,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(KeyUnavailable):
            call()
    keys.available = True
    assert keys.unwrap(1, wrapped, CONTEXT) == EK


# --- files ----------------------------------------------------------------------------------------------------


def key_file(folder: Path, epoch: int = 1) -> Path:
    return folder / f"kek-{epoch}.json"


def reason_of(keys: Keys, wrapped: bytes) -> str:
    with pytest.raises(KeyUnavailable) as refused:
        keys.unwrap(1, wrapped, CONTEXT)
    assert refused.value.hint
    assert str(key_file(Path("x")).name) not in refused.value.message + refused.value.hint
    return refused.value.reason


@pytest.mark.parametrize("passphrase", [None, "a long passphrase"])
def test_X23_another_process_opens_its_own(folder: Path, passphrase: str | None) -> None:
    """Keys survive a restart: a second process opens what the first one sealed."""
    first = LocalKeys(folder, passphrase=passphrase, **FAST)
    first.create(1)
    wrapped = first.wrap(1, EK, CONTEXT)
    code = (
        "import sys, pathlib\nfrom sottovoce.adapters.keys_local import LocalKeys\n"
        "keys = LocalKeys(pathlib.Path(sys.argv[1]), passphrase=sys.argv[2] or None)\n"
        "print(keys.unwrap(1, bytes.fromhex(sys.argv[3]), bytes.fromhex(sys.argv[4])).hex())"
    )
    call = [sys.executable, "-c", code, str(folder), passphrase or "", wrapped.hex(), CONTEXT.hex()]
    assert subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip() == EK.hex()


def test_files_and_folder_are_private(folder: Path) -> None:
    LocalKeys(folder).create(1)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert key_file(folder).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["kek-1.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_file_that_others_may_read_is_refused(folder: Path, mode: int) -> None:
    keys = LocalKeys(folder)
    keys.create(1)
    wrapped = keys.wrap(1, EK, CONTEXT)
    key_file(folder).chmod(mode)
    assert reason_of(keys, wrapped) == "key_file_open_permissions"
    key_file(folder).chmod(0o600)
    assert keys.unwrap(1, wrapped, CONTEXT) == EK


def test_wrong_missing_and_damaged_are_told_apart(folder: Path) -> None:
    keys = LocalKeys(folder, passphrase="right", **FAST)
    keys.create(1)
    wrapped = keys.wrap(1, EK, CONTEXT)
    content = key_file(folder).read_bytes()
    assert b"right" not in content
    assert reason_of(LocalKeys(folder, passphrase="wrong", **FAST), wrapped) == "passphrase_wrong"
    assert reason_of(LocalKeys(folder), wrapped) == "passphrase_needed"
    key_file(folder).write_bytes(content[:-20])
    assert reason_of(keys, wrapped) == "key_file_damaged"
    key_file(folder).unlink()
    assert reason_of(keys, wrapped) == "key_file_missing"


def test_arbitrary_damage_never_opens_and_never_crashes(folder: Path) -> None:
    keys = LocalKeys(folder)
    keys.create(1)
    wrapped = keys.wrap(1, EK, CONTEXT)
    content, rng = key_file(folder).read_bytes(), random.Random(4)
    for bit in rng.sample(range(8 * len(content)), 200):
        broken = bytearray(content)
        broken[bit // 8] ^= 1 << bit % 8
        key_file(folder).write_bytes(broken)
        if b"".join(bytes(broken).split()) != b"".join(content.split()):
            assert reason_of(keys, wrapped) == "key_file_damaged"
    for garbage in (b"", b"[]", b"null", b"\xff", b"{}", b"1" * 5000, bytes(len(content)), b"[" * 4000):
        key_file(folder).write_bytes(garbage)
        assert reason_of(keys, wrapped) == "key_file_damaged"


def test_a_link_in_place_of_a_key_file_is_not_followed(folder: Path, tmp_path: Path) -> None:
    keys = LocalKeys(folder)
    keys.create(1)
    wrapped = keys.wrap(1, EK, CONTEXT)
    key_file(folder).rename(tmp_path / "elsewhere")
    key_file(folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyUnavailable):
        keys.unwrap(1, wrapped, CONTEXT)


def test_M15_destroying_overwrites_the_file_before_it_is_unlinked(folder: Path, tmp_path: Path) -> None:
    """Destroying the key of an epoch overwrites the key file itself, so that another name of it holds zeros."""
    keys = LocalKeys(folder)
    keys.create(1)
    size = key_file(folder).stat().st_size
    os.link(key_file(folder), tmp_path / "another name")
    keys.destroy(1)
    assert not key_file(folder).exists()
    assert (tmp_path / "another name").read_bytes() == bytes(size)
    assert "SSD and copy-on-write blocks are not covered" in keys.describe()["destruction"]


def test_destroying_clears_what_an_interrupted_create_left(folder: Path) -> None:
    keys = LocalKeys(folder)
    keys.create(1)
    left = folder / ".kek-1.abc.tmp"
    os.link(key_file(folder), left)
    keys.destroy(1)
    assert list(folder.iterdir()) == []


def test_a_mistyped_passphrase_protects_no_new_key(folder: Path) -> None:
    right = LocalKeys(folder, passphrase="right", **FAST)
    right.create(1)
    for keys, reason in (
        (LocalKeys(folder, passphrase="wrnog", **FAST), "passphrase_wrong"),
        (LocalKeys(folder), "passphrase_needed"),
    ):
        with pytest.raises(KeyUnavailable) as refused:
            keys.create(2)
        assert refused.value.reason == reason
    assert right.epochs() == (1,)
    right.create(2)
    assert right.unwrap(2, right.wrap(2, EK, CONTEXT), CONTEXT) == EK


def test_a_passphrase_may_begin_with_a_new_epoch(folder: Path) -> None:
    plain = LocalKeys(folder)
    plain.create(1)
    wrapped = plain.wrap(1, EK, CONTEXT)
    protected = LocalKeys(folder, passphrase="from now on", **FAST)
    assert protected.unwrap(1, wrapped, CONTEXT) == EK
    protected.create(2)
    moved = protected.wrap(2, EK, CONTEXT)
    with pytest.raises(KeyUnavailable):
        plain.unwrap(2, moved, CONTEXT)


def test_one_process_derives_once_for_all_epochs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sottovoce.adapters import keys_local

    derived: list[bytes] = []
    argon2id = keys_local._argon2id
    monkeypatch.setattr(keys_local, "_argon2id", lambda *a: derived.append(a[1]) or argon2id(*a))
    keys = LocalKeys(folder, passphrase="p", **FAST)
    for epoch in (1, 2, 3):
        keys.create(epoch)
        keys.unwrap(epoch, keys.wrap(epoch, EK, CONTEXT), CONTEXT)
    assert len(derived) == 1


def test_the_default_cost_is_what_the_docs_say(folder: Path) -> None:
    import json

    LocalKeys(folder, passphrase="p").create(1)
    data = json.loads(key_file(folder).read_text())
    assert (data["kdf"], data["memory_kib"], data["passes"], data["lanes"]) == ("argon2id", 65536, 3, 1)


def test_composed_and_decomposed_passphrases_are_one(folder: Path) -> None:
    keys = LocalKeys(folder, passphrase="caf\u00e9", **FAST)
    keys.create(1)
    wrapped = keys.wrap(1, EK, CONTEXT)
    assert LocalKeys(folder, passphrase="cafe\u0301", **FAST).unwrap(1, wrapped, CONTEXT) == EK


def test_impossible_costs_in_the_file_are_damage(folder: Path) -> None:
    from sottovoce.adapters import keys_local

    file = keys_local._KekFile(epoch=1, key=bytes(60), salt=bytes(16), memory_kib=1, passes=0, lanes=9)
    folder.mkdir(mode=0o700)
    key_file(folder).touch(mode=0o600)
    key_file(folder).write_bytes(keys_local._serialise(file))
    assert reason_of(LocalKeys(folder, passphrase="p"), bytes(60)) == "key_file_damaged"


def test_two_processes_that_create_one_epoch_agree(folder: Path) -> None:
    code = (
        "import sys, pathlib\nfrom sottovoce.adapters.keys_local import LocalKeys\n"
        "keys = LocalKeys(pathlib.Path(sys.argv[1]))\nsys.stdin.read()\nkeys.create(1)\n"
        "print(keys.wrap(1, bytes(32), b'c').hex())"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    outputs = [child.communicate()[0] for child in children]
    keys = LocalKeys(folder)
    assert all(keys.unwrap(1, bytes.fromhex(text), b"c") == bytes(32) for text in outputs)
    assert [path.name for path in folder.iterdir()] == ["kek-1.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system as root")
def test_a_full_disk_makes_no_half_key(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True
    ).returncode:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        keys = LocalKeys(small)
        keys.create(1)
        wrapped = keys.wrap(1, EK, CONTEXT)
        (small / "filler").write_bytes(bytes(small_space(small)))
        with pytest.raises(StorageError) as refused:
            keys.create(2)
        assert refused.value.reason == "storage_full"
        assert keys.epochs() == (1,)
        assert keys.unwrap(1, wrapped, CONTEXT) == EK
        keys.destroy(1)
        assert keys.epochs() == ()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def small_space(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def test_a_folder_that_cannot_be_used_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "kek").write_text("a file, not a folder")
    keys = LocalKeys(tmp_path / "kek")
    for call in (lambda: keys.create(1), lambda: keys.wrap(1, EK, CONTEXT), keys.epochs):
        with pytest.raises(KeyUnavailable):
            call()


def test_no_repr_shows_a_secret(folder: Path) -> None:
    keys = LocalKeys(folder, passphrase="do not show me", **FAST)
    keys.create(1)
    assert "do not show me" not in repr(keys) + repr(keys._read(1))
    assert "key=" not in repr(keys._read(1))
