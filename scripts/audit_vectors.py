"""Write vectors/audit/checkpoint_v1.json: checkpoints and proofs with their expected outcome, for every reader of them.

    python scripts/audit_vectors.py [--check]      --check: write nothing, exit 1 where the file is out of date

Put together here from the C2SP documents (signed-note, tlog-checkpoint, tlog-proof), RFC 6962 and RFC 8032, without the
code of `sottovoce.audit`. The keys are of the test seeds 01.. and 02.. and sign nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = Path(__file__).resolve().parents[1] / "vectors" / "audit" / "checkpoint_v1.json"
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
PUBLIC, OTHERS = (key.public_key().public_bytes_raw() for key in (KEY, OTHER))
ORIGIN = "sottovoce.audit/" + hashlib.sha256(PUBLIC).hexdigest()[:32]
LEAVES = [hashlib.sha256(b"\0entry %d" % n).digest() for n in range(13)]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def split(d: list[bytes]) -> int:
    k = 1
    while 2 * k < len(d):
        k *= 2
    return k


def root(d: list[bytes]) -> bytes:
    if len(d) < 2:
        return d[0] if d else hashlib.sha256(b"").digest()
    return hashlib.sha256(b"\1" + root(d[: split(d)]) + root(d[split(d) :])).digest()


def path(m: int, d: list[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = split(d)
    return [*path(m, d[:k]), root(d[k:])] if m < k else [*path(m - k, d[k:]), root(d[:k])]


def line(body: str, key: Ed25519PrivateKey, name: str) -> str:
    public = key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n\1" + public).digest()[:4]
    return f"— {name} {b64(key_id + key.sign(body.encode()))}\n"


def note(size: int, *, key: Ed25519PrivateKey = KEY, origin: str = ORIGIN) -> str:
    body = f"{origin}\n{size}\n{b64(root(LEAVES[:size]))}\n"
    return f"{body}\n{line(body, key, origin)}"


def checkpoints() -> list[dict[str, Any]]:
    def case(name: str, text: str, outcome: dict[str, Any], trusted: bytes = PUBLIC) -> dict[str, Any]:
        return {"id": name, "text": text, "origin": ORIGIN, "trusted": [trusted.hex()], **outcome}

    def good(size: int) -> dict[str, Any]:
        return {"size": size, "root": root(LEAVES[:size]).hex()}

    integrity, unknown = {"error": "integrity"}, {"error": "unknown_signer"}
    return [
        case("empty log", note(0), good(0)),
        case("one entry", note(1), good(1)),
        case("thirteen entries", note(13), good(13)),
        case("cosigned by a stranger", note(7) + line(f"{ORIGIN}\n", OTHER, "witness.example"), good(7)),
        case("signed by another key", note(7, key=OTHER), unknown),
        case("nothing pinned fits", note(7), unknown, trusted=OTHERS),
        case("size changed", note(7).replace("\n7\n", "\n8\n"), integrity),
        case("leading zero", note(7).replace("\n7\n", "\n07\n"), integrity),
        case("root changed", note(7).replace(b64(root(LEAVES[:7])), b64(root(LEAVES[:6]))), integrity),
        case("another log", note(7, origin="example.org/log"), integrity),
        case("no signature", note(7).partition("—")[0], integrity),
    ]


def proofs() -> list[dict[str, Any]]:
    def text(index: int, size: int, shown: int | None = None) -> str:
        hashes = "".join(b64(each) + "\n" for each in path(index, LEAVES[:size]))
        return f"c2sp.org/tlog-proof@v1\nindex {index if shown is None else shown}\n{hashes}\n{note(size)}"

    def case(name: str, said: str, leaf: int, outcome: dict[str, Any]) -> dict[str, Any]:
        trusted = [PUBLIC.hex()]
        return {
            "id": name,
            "text": said,
            "leaf": LEAVES[leaf].hex(),
            "origin": ORIGIN,
            "trusted": trusted,
            **outcome,
        }

    made = [
        case(f"{n} of {size}", text(n, size), n, {"size": size}) for size in (1, 8, 13) for n in range(size)
    ]
    wrong = {"error": "integrity"}
    return [
        *made,
        case("another entry", text(3, 13), 4, wrong),
        case("another place", text(3, 13, shown=4), 3, wrong),
        case("version 2", text(3, 13).replace("@v1", "@v2"), 3, wrong),
    ]


def main(arguments: list[str]) -> int:
    said = "Checkpoints and proofs of an audit log (C2SP signed-note, tlog-checkpoint, tlog-proof; RFC 6962; Ed25519)"
    data = {"about": said, "checkpoints": checkpoints(), "proofs": proofs()}
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    if arguments == ["--check"]:
        return int(not FILE.exists() or FILE.read_text(encoding="utf-8") != text)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
