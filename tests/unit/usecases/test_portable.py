"""Packages that are no packages: refused before anything of them costs memory or time."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

import pytest

from sottovoce.errors import IntegrityError
from sottovoce.sealing import receipt
from sottovoce.sealing.receipt import Identity
from sottovoce.usecases import portable

SIGNER = Identity(bytes(range(32)))
TRUSTED = {SIGNER.key_id: SIGNER.public_key}


def package(manifest: bytes) -> bytes:
    """A package whose signer signed that manifest."""
    body = {"manifest_sha256": hashlib.sha256(manifest).hexdigest()}
    signature = receipt.sign("export", body, identity=SIGNER).to_json().encode()
    return portable._zip({"a.txt": b"x", "manifest.json": manifest, "signature.json": signature})


def manifest(**changes: Any) -> dict[str, Any]:
    line = {"path": "a.txt", "bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    return {"format": portable.PACKAGE_FORMAT, "files": [{**line, **changes}]}


def refused(data: bytes) -> str:
    with pytest.raises(IntegrityError) as refusal:
        portable.unpack(data, trusted=TRUSTED)
    return refusal.value.reason


def test_a_signed_package_is_read() -> None:
    assert portable.unpack(package(json.dumps(manifest()).encode()), trusted=TRUSTED).members == {
        "a.txt": b"x"
    }


@pytest.mark.parametrize("size", ["Infinity", "NaN", "1e999", "1.0", "true", '"1"', "9" * 400, "[1]", "null"])
def test_M05_a_signed_size_that_is_none_is_refused(size: str) -> None:
    """A package whose signer states a size that is no whole number is refused with a reason, not with a crash."""
    text = json.dumps(manifest(bytes="here")).replace('"here"', size)
    assert refused(package(text.encode())) == "export_malformed"


def test_a_file_that_is_listed_twice_is_refused() -> None:
    said = manifest()
    said["files"] *= 2
    assert refused(package(json.dumps(said).encode())) == "export_malformed"
    assert refused(package(b'{"files": 1, ' + json.dumps(manifest()).encode()[1:])) == "export_malformed"


def test_M05_a_zip_of_countless_members_is_refused_before_they_are_counted_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file of a few megabytes that names more members than any package has is refused unread."""
    entry = (
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    )
    count = 200_001
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count % 65536, count % 65536, len(entry) * count, 0, 0)
    opened: list[object] = []
    monkeypatch.setattr("zipfile.ZipFile", opened.append)
    assert refused(entry * count + end) == "export_malformed"
    assert not opened


def test_M05_a_member_that_is_nested_without_end_is_refused() -> None:
    """Endless nesting in a member of a package is refused with a reason."""
    sound = portable.unpack(package(json.dumps(manifest()).encode()), trusted=TRUSTED)
    for text in (b"[" * 100_000, b'{"a":' * 100_000, b'{"a": 1, "a": 2}', b"NaN"):
        with pytest.raises(IntegrityError):
            portable.Package({"data.json": text}, sound.manifest, sound.signed).json("data.json")
