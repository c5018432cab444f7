"""The package that a person takes along: a zip of plain files, a manifest with the hash of each, and a signature.

Rules upheld here:
1. Members are stored, never compressed, in one order and with one date: the same content is the same bytes, so a
   changed byte anywhere in the file is found, and nothing in it can unfold to more than its size.
2. The manifest names every member with its SHA-256; the signature is a receipt of the kind `export` over the hash of
   the manifest, checked against a key that was pinned before, never one that the package brings along.
3. What is not exactly of this form is refused before anything of it is read: IntegrityError.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sottovoce.errors import IntegrityError
from sottovoce.model.canonical import JsonValue
from sottovoce.model.strict_json import read_json
from sottovoce.sealing import receipt as receipts

PACKAGE_FORMAT = "sottovoce-export/1"
MANIFEST, SIGNATURE = "manifest.json", "signature.json"
MAXIMUM_BYTES = 1 << 30
_MAXIMUM_JSON_BYTES = 1 << 28
_MOST_MEMBERS = 200_000
_CENTRAL = b"PK\x01\x02"  # how each entry of a zip's directory begins (APPNOTE 4.3.12)
_DATE = (1980, 1, 1, 0, 0, 0)
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[a-z]+)?(?:/[A-Za-z0-9_-]+(?:\.[a-z]+)?)?")

Sign = Callable[[str, dict[str, JsonValue]], str]


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was checked: its members without manifest and signature, and what the signature says."""

    members: Mapping[str, bytes] = field(repr=False)
    manifest: Mapping[str, Any]
    signed: receipts.Receipt

    def json(self, name: str) -> Any:
        """A member as JSON; IntegrityError where there is none or it is something else."""
        try:
            return read_json(self.members[name], maximum_bytes=_MAXIMUM_JSON_BYTES)
        except (KeyError, ValueError):
            raise malformed() from None


def pack(members: Mapping[str, bytes], about: Mapping[str, JsonValue], *, sign: Sign) -> bytes:
    """The bytes of a package. `about`: tenant, subject_id, made_at."""
    files: list[JsonValue] = [
        {"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(members.items())
    ]
    manifest = to_json({"format": PACKAGE_FORMAT, **about, "files": files})
    body: dict[str, JsonValue] = {
        **about,
        "format": PACKAGE_FORMAT,
        "files": len(files),
        "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
    }
    signature = sign("export", body).encode()
    return _zip({**members, MANIFEST: manifest, SIGNATURE: signature})


def unpack(data: bytes, *, trusted: Mapping[str, bytes]) -> Package:
    """A package, checked byte by byte against its manifest and the manifest against pinned keys.

    IntegrityError (reasons `export_malformed`, `export_altered`, `signature_broken`), UnknownSigner.
    """
    found = _members(data)
    manifest, signature = found.pop(MANIFEST, b""), found.pop(SIGNATURE, b"")
    signed = receipts.verify(signature, trusted=trusted)
    if signed.kind != "export" or signed.body.get("manifest_sha256") != hashlib.sha256(manifest).hexdigest():
        raise _altered()
    said = _read_manifest(manifest)
    listed = _listed(said)
    actual = {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in found.items()}
    if actual != listed:
        raise _altered()
    if _zip({**found, MANIFEST: manifest, SIGNATURE: signature}) != data:
        raise _altered()
    return Package(found, said, signed)


def to_json(value: object) -> bytes:
    """Plain JSON for people and programs: indented, UTF-8."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(
        errors="backslashreplace"
    )


def malformed() -> IntegrityError:
    return IntegrityError(
        "This is not a package made by `sottovoce export`.",
        hint="Open it with `sottovoce export open` where it was sealed with --to; else get the original again.",
        reason="export_malformed",
    )


def _altered() -> IntegrityError:
    return IntegrityError(
        "The package is not what was signed: something in it was changed, added or left out.",
        hint="Get the file again from where it was made.",
        reason="export_altered",
    )


def _zip(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, content in sorted(members.items()):
            entry = zipfile.ZipInfo(name, date_time=_DATE)
            entry.create_system, entry.external_attr = 3, 0o100600 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _members(data: bytes) -> dict[str, bytes]:
    """Every member by name, each as large as it says; nothing is written anywhere."""
    if data.count(_CENTRAL) > _MOST_MEMBERS:  # zipfile makes an object of each before anything is asked
        raise malformed()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            plain = all(
                entry.compress_type == zipfile.ZIP_STORED
                and entry.file_size == entry.compress_size
                and _NAME.fullmatch(entry.filename)
                for entry in entries
            )
            if not plain or len(set(names)) < len(names) or sum(e.file_size for e in entries) > len(data):
                raise malformed()
            return {entry.filename: archive.read(entry) for entry in entries}
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
        EOFError,
        OverflowError,
        IndexError,
        struct.error,
    ):
        raise malformed() from None


def _read_manifest(manifest: bytes) -> dict[str, Any]:
    try:
        content = read_json(manifest, maximum_bytes=_MAXIMUM_JSON_BYTES)
    except ValueError:
        raise malformed() from None
    if not isinstance(content, dict) or content.get("format") != PACKAGE_FORMAT:
        raise malformed()
    return content


def _listed(manifest: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    try:
        lines = [(line["path"], line["bytes"], line["sha256"]) for line in manifest["files"]]
    except (KeyError, TypeError):
        raise malformed() from None
    if not all(isinstance(path, str) and type(size) is int for path, size, _ in lines):
        raise malformed()
    listed = {path: (size, sha256) for path, size, sha256 in lines}
    if len(listed) != len(lines):
        raise malformed()
    return listed
