"""Checkpoints and proofs as texts: C2SP signed-note, tlog-checkpoint and tlog-proof, signed with Ed25519.

    sottovoce.audit/3f2a...            origin: which log this is
    1042                               entries that it covers
    CsUYapGGPo4dkMgIAUqom/Xaj...       root of the RFC 6962 tree over them

    — sottovoce.audit/3f2a... Az3g...  key id and signature

Whoever keeps such a text outside the home is a witness: no entry that it covers can change unseen.

Rules upheld here:
1. A checkpoint counts only with a signature by a key that was pinned before; signatures of others are ignored, and
   one by a pinned key that does not fit spoils the whole text (signed-note).
2. The origin is derived from the first key of the home's identity, so it stays when the key is replaced, and a
   checkpoint of another log is never taken for one of this log.
3. What is not exactly of the format is refused: a second spelling of a number or of base64, control characters.
4. A note cannot be taken for a receipt, nor a receipt for a note: what a receipt signs holds a zero byte, a note
   never does.
5. The `extra` line of a proof is not authenticated: it is used only to recompute the leaf that the proof is about.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sottovoce.audit.tree import verify_inclusion
from sottovoce.errors import IntegrityError, UnknownSigner

PROOF_HEADER = "c2sp.org/tlog-proof@v1"
LINE_HEADER = "sottovoce-checkpoint "  # a checkpoint on one line, for logs of lines: this, then base64
TOMBSTONES = (
    "sottovoce.tombstones/"  # how notes of another kind begin (audit/tombstones.py), kept by witnesses too
)
_ORIGIN = "sottovoce.audit/"
_ED25519 = b"\x01"  # signature type of signed-note
_MAXIMUM_NOTE_BYTES = 1 << 16
_MAXIMUM_PROOF_BYTES = 1 << 20
_MAXIMUM_HASHES = 63
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a signed checkpoint says."""

    origin: str
    size: int
    root: bytes  # (32,)

    def to_text(self) -> str:
        """The note text, which is what is signed."""
        return f"{self.origin}\n{self.size}\n{_to_base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Proof:
    """That a leaf stands at `index` (from 0) of the log that the checkpoint is of."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str  # signed text
    extra: bytes = field(default=b"", repr=False)  # of ours: the canonical entry

    def to_text(self) -> str:
        lines = [PROOF_HEADER]
        lines += [f"extra {_to_base64(self.extra)}"] if self.extra else []
        lines += [f"index {self.index}", *map(_to_base64, self.hashes)]
        return "\n".join(lines) + "\n\n" + self.checkpoint


def origin_of(first_key_id: str) -> str:
    """The name of the log of a home, from the id (hex) of the first key of its identity."""
    return _ORIGIN + first_key_id[:32]


def sign(checkpoint: Checkpoint, *, public_key: bytes, sign_bytes: Callable[[bytes], bytes]) -> str:
    """The signed text. `sign_bytes`: Ed25519 by the key whose public half (32 bytes) is given."""
    return sign_note(
        checkpoint.to_text(), name=checkpoint.origin, public_key=public_key, sign_bytes=sign_bytes
    )


def sign_note(text: str, *, name: str, public_key: bytes, sign_bytes: Callable[[bytes], bytes]) -> str:
    """A note text (with its last newline), signed under the name of the log."""
    signature = _key_id(name, public_key) + sign_bytes(text.encode())
    return f"{text}\n— {name} {_to_base64(signature)}\n"


def verify(text: str, *, origin: str, trusted: Iterable[bytes]) -> Checkpoint:
    """What a signed checkpoint of the log `origin` says, checked against pinned keys (32 bytes each).

    UnknownSigner where none of them signed it; IntegrityError where it is not of the format or was altered, or (reason
    `other_log`) is of another log.
    """
    checkpoint = _parse_body(_split_note(text)[0])
    if checkpoint.origin != origin:
        raise IntegrityError(
            "This checkpoint is of another log.",
            hint="Each home has a log of its own: compare it with checkpoints of the same home.",
            reason="other_log",
        )
    verify_note(text, name=origin, trusted=trusted)
    return checkpoint


def verify_note(text: str, *, name: str, trusted: Iterable[bytes]) -> str:
    """The text of a note that one of the pinned keys signed under this name. UnknownSigner, IntegrityError."""
    body, signatures = _split_note(text)
    known = {_key_id(name, key): key for key in trusted}
    ours = [(known[s[:4]], s[4:]) for signer, s in signatures if signer == name and s[:4] in known]
    if not ours:
        raise UnknownSigner(
            "Nothing pinned says whose signature this checkpoint carries.",
            hint="Give the signer's identity file with --key, or verify in the home that signed it.",
        )
    for public_key, signature in ours:
        _check_signature(public_key, signature, body.encode())
    return body


def parse_checkpoint(text: str) -> Checkpoint:
    """What a checkpoint claims, unverified. IntegrityError where it is not of the format."""
    return _parse_body(_split_note(text)[0])


def find_checkpoints(text: str) -> Iterator[str]:
    """Every signed checkpoint in a text that may hold many: notes one after the other with an empty line between, or
    lines of a log that carry one each. Unverified."""
    yield from (found for found in find_lines(text) if not found.startswith(TOMBSTONES))
    notes = re.compile(r"^(?!— )[^\n]+\n[0-9]+\n[A-Za-z0-9+/]{43}=\n\n(?:— [^\n]+\n)+", re.MULTILINE)
    for note in notes.finditer(text):
        yield note[0]


def find_lines(text: str) -> Iterator[str]:
    """Every note that stands on one line of a log (to_line), whatever it is about. Unverified."""
    for line in re.finditer(re.escape(LINE_HEADER) + r"([A-Za-z0-9+/]+={0,2})", text):
        yield _decode(line[1]).decode("utf-8", "replace")


def to_line(text: str) -> str:
    """A signed checkpoint on one line."""
    return LINE_HEADER + _to_base64(text.encode())


def parse_proof(text: str) -> Proof:
    """What a tlog-proof claims, unverified. IntegrityError where it is not of the format."""
    if len(text) > _MAXIMUM_PROOF_BYTES:
        raise _malformed()
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines.pop(0) != PROOF_HEADER:
        raise _malformed()
    extra = _decode(lines.pop(0).removeprefix("extra ")) if lines and lines[0].startswith("extra ") else b""
    if not lines or not lines[0].startswith("index "):
        raise _malformed()
    index = _number(lines.pop(0).removeprefix("index "))
    hashes = tuple(_decode(line, 32) for line in lines)
    if len(hashes) > _MAXIMUM_HASHES:
        raise _malformed()
    parse_checkpoint(checkpoint)
    return Proof(index, hashes, checkpoint, extra)


def verify_proof(proof: Proof, leaf: bytes, *, origin: str, trusted: Iterable[bytes]) -> Checkpoint:
    """The checkpoint under which `leaf` stands at the index of the proof. Errors as of verify(); IntegrityError
    (reason `not_included`) where the proof does not lead to the checkpoint's root."""
    checkpoint = verify(proof.checkpoint, origin=origin, trusted=trusted)
    if not verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root):
        raise IntegrityError(
            "The proof does not lead from this entry to the signed checkpoint.", reason="not_included"
        )
    return checkpoint


def _key_id(name: str, public_key: bytes) -> bytes:
    """The first four bytes of SHA-256(name || newline || type || key): an identifier, no protection (signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


def _split_note(text: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Note text (with its last newline) and the (key name, key id and signature) of each line."""
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair: bytes that were no UTF-8
        raise _malformed() from None
    if size_bytes > _MAXIMUM_NOTE_BYTES or not text.endswith("\n"):
        raise _malformed()
    if any(character < " " and character != "\n" for character in text):
        raise _malformed()
    body, blank, lines = text.rpartition("\n\n")
    if not blank:
        raise _malformed()
    return body + "\n", [_signature_line(line) for line in lines[:-1].split("\n")]


def _signature_line(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not parts[1] or "+" in parts[1]:
        raise _malformed()
    signature = _decode(parts[2])
    if len(signature) < 5:
        raise _malformed()
    return parts[1], signature


def _parse_body(body: str) -> Checkpoint:
    """Extension lines are allowed by tlog-checkpoint; ours has none, and one that has any is refused."""
    lines = body.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise _malformed()
    return Checkpoint(lines[0], _number(lines[1]), _decode(lines[2], 32))


def _check_signature(public_key: bytes, signature: bytes, message: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise IntegrityError(
            "The signature does not fit: the checkpoint was altered after it was signed.",
            reason="signature_broken",
        ) from None


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) >= 1 << 63:
        raise _malformed()
    return int(text)


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str, size_bytes: int | None = None) -> bytes:
    """Base64 in its one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed() from None
    if _to_base64(data) != text or size_bytes not in (None, len(data)):
        raise _malformed()
    return data


def _malformed() -> IntegrityError:
    return IntegrityError("This is not a checkpoint or proof of an audit log.", reason="checkpoint_malformed")
