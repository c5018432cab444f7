"""Checkpoints and proofs as texts: against a second reading of the C2SP documents, and everything that is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.audit import checkpoint as c
from sottovoce.audit.tree import Frontier, prove_inclusion
from sottovoce.errors import IntegrityError, SottovoceError, UnknownSigner

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
PUBLIC, OTHERS = KEY.public_key().public_bytes_raw(), OTHER.public_key().public_bytes_raw()
ORIGIN = c.origin_of(hashlib.sha256(PUBLIC).hexdigest())
LEAVES = [hashlib.sha256(b"%d" % n).digest() for n in range(300)]


def root(size: int) -> bytes:
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    return frontier.root()


def signed(size: int = 7, *, key: Ed25519PrivateKey = KEY, origin: str = ORIGIN) -> str:
    public = key.public_key().public_bytes_raw()
    return c.sign(c.Checkpoint(origin, size, root(size)), public_key=public, sign_bytes=key.sign)


def verified(text: str, *, trusted: tuple[bytes, ...] = (PUBLIC,), origin: str = ORIGIN) -> c.Checkpoint:
    return c.verify(text, origin=origin, trusted=trusted)


def proof(index: int = 5, size: int = 290) -> c.Proof:
    return c.Proof(index, tuple(prove_inclusion(index, size, read)), signed(size), extra=b'{"kind":"x"}')


def read(level: int, start: int, end: int) -> list[bytes]:
    if level == 0:
        return LEAVES[start:end]
    assert (level, start, end) == (8, 0, 1)
    return [root(256)]


def test_a_checkpoint_is_a_signed_note_of_three_lines() -> None:
    """A second reading of c2sp.org/signed-note and tlog-checkpoint."""
    text = signed(7)
    body, line = text.split("\n\n")
    assert body.split("\n") == [ORIGIN, "7", base64.b64encode(root(7)).decode()]
    dash, name, blob = line.rstrip("\n").split(" ")
    assert (dash, name, line[-1]) == ("—", ORIGIN, "\n")
    raw = base64.b64decode(blob)
    assert raw[:4] == hashlib.sha256(ORIGIN.encode() + b"\n\x01" + PUBLIC).digest()[:4]
    KEY.public_key().verify(raw[4:], (body + "\n").encode())
    assert verified(text) == c.Checkpoint(ORIGIN, 7, root(7))
    assert verified(signed(0)).root == hashlib.sha256(b"").digest()


def test_vectors_have_their_expected_outcome(repo_root: Path) -> None:
    vectors = json.loads((repo_root / "vectors" / "audit" / "checkpoint_v1.json").read_text())
    for case in vectors["checkpoints"]:
        trusted = [bytes.fromhex(key) for key in case["trusted"]]
        if "error" in case:
            with pytest.raises(SottovoceError) as refused:
                c.verify(case["text"], origin=case["origin"], trusted=trusted)
            assert refused.value.code == case["error"], case["id"]
        else:
            said = c.verify(case["text"], origin=case["origin"], trusted=trusted)
            assert [said.size, said.root.hex()] == [case["size"], case["root"]], case["id"]
    for case in vectors["proofs"]:
        trusted, leaf = [bytes.fromhex(key) for key in case["trusted"]], bytes.fromhex(case["leaf"])
        if "error" in case:
            with pytest.raises(SottovoceError) as refused:
                c.verify_proof(c.parse_proof(case["text"]), leaf, origin=case["origin"], trusted=trusted)
            assert refused.value.code == case["error"], case["id"]
        else:
            made = c.parse_proof(case["text"])
            assert c.verify_proof(made, leaf, origin=case["origin"], trusted=trusted).size == case["size"]
            assert made.to_text() == case["text"]


def test_the_vectors_are_those_of_their_script(repo_root: Path) -> None:
    script = repo_root / "scripts" / "audit_vectors.py"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0


def test_C29a_a_signature_counts_only_by_a_pinned_key() -> None:
    """A checkpoint is believed only with a signature by a key that was pinned before."""
    with pytest.raises(UnknownSigner):
        verified(signed(key=OTHER))
    with pytest.raises(UnknownSigner):
        verified(signed(), trusted=())
    assert verified(signed(key=OTHER), trusted=(PUBLIC, OTHERS)).size == 7
    # signatures of others beside ours are ignored, whatever they are (witnesses, other algorithms)
    stranger = base64.b64encode(b"\0\0\0\0" + b"anything").decode()
    assert verified(signed() + f"— witness.example {stranger}\n").size == 7
    assert verified(signed() + signed(key=OTHER).split("\n\n")[1]).size == 7


def test_a_signature_of_ours_that_does_not_fit_spoils_the_text() -> None:
    good, forged = signed(7), signed(8)
    for text in (
        good.replace("\n7\n", "\n8\n"),
        good.split("\n\n")[0] + "\n\n" + forged.split("\n\n")[1],
        good + forged.split("\n\n")[1],
    ):
        with pytest.raises(IntegrityError) as refused:
            verified(text)
        assert refused.value.reason == "signature_broken"


def test_a_checkpoint_of_another_log_is_not_one_of_this() -> None:
    other = c.origin_of("ab" * 32)
    with pytest.raises(IntegrityError) as refused:
        verified(signed(origin=other))
    assert refused.value.reason == "other_log"
    # the same key under another name is another key (signed-note)
    renamed = signed().split("\n\n")[0] + "\n\n" + signed(origin=other).split("\n\n")[1]
    with pytest.raises(UnknownSigner):
        verified(renamed)


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
BAD_BODIES: dict[str, Any] = {
    "no end": lambda t: t[:-1],
    "nothing": lambda t: "",
    "no signature": lambda t: t.split("\n\n")[0] + "\n\n",
    "no blank line": lambda t: t.replace("\n\n", "\n"),
    "leading zero": lambda t: t.replace("\n7\n", "\n07\n"),
    "sign": lambda t: t.replace("\n7\n", "\n+7\n"),
    "too large": lambda t: t.replace("\n7\n", f"\n{1 << 63}\n"),
    "not a number": lambda t: t.replace("\n7\n", "\n٧\n"),
    "extension line": lambda t: t.replace("\n\n—", "\nmore\n\n—"),
    "empty origin": lambda t: t.replace(ORIGIN, "", 1),
    "control character": lambda t: t.replace("\n7\n", "\n7\r\n"),
    "zero byte": lambda t: t.replace("—", "\0—"),
    "hyphen": lambda t: t.replace("—", "-"),
    "two spaces": lambda t: t.replace("— ", "—  "),
    "plus in name": lambda t: t.replace("— s", "— +s"),
    "short root": lambda t: t.replace("=\n\n", "\n\n", 1),
    "short signature": lambda t: t[: t.rindex(" ")] + " AAAA\n",
    "other base64": lambda t: t[:-3] + "-=\n",
    "second spelling of the signature": lambda t: t[:-3] + ALPHABET[ALPHABET.index(t[-3]) ^ 1] + t[-2:],
    "huge": lambda t: t + "— x AAAAAAAA\n" * 6000,
    "lone surrogate": lambda t: "\udc80" + t,
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_what_is_not_exactly_a_checkpoint_is_refused(name: str) -> None:
    bad = BAD_BODIES[name](signed())
    assert bad != signed()
    with pytest.raises(SottovoceError):
        verified(bad)


@given(place=st.integers(0, 10_000), bit=st.integers(0, 6))
def test_C29a_one_flipped_bit_fails(place: int, bit: int) -> None:
    """Whatever bit of a signed checkpoint is flipped, it does not verify."""
    data = bytearray(signed().encode())
    data[place % len(data)] ^= 1 << bit
    text = data.decode("utf-8", "surrogateescape")
    with pytest.raises(SottovoceError):
        verified(text)


@given(junk=st.text(max_size=200) | st.text("\n—0 =A/", max_size=80))
def test_junk_gives_only_declared_errors(junk: str) -> None:
    for read_it in (c.parse_checkpoint, c.parse_proof, lambda t: list(c.find_checkpoints(t)), verified):
        for text in (junk, signed() + junk, junk + signed(), f"{c.PROOF_HEADER}\nindex {junk}\n\n{signed()}"):
            with suppress(IntegrityError, UnknownSigner):
                read_it(text)  # type: ignore[operator]


def test_checkpoints_are_found_in_a_witnesss_file_a_log_and_a_proof() -> None:
    notes = [signed(size) for size in (1, 7, 290)]
    assert list(c.find_checkpoints("\n".join(notes))) == notes
    assert list(c.find_checkpoints(notes[0])) == notes[:1]
    lines = "".join(f"Mar  1 12:00:00 host sottovoce[9]: {c.to_line(note)}\n" for note in notes)
    assert list(c.find_checkpoints(lines)) == notes
    assert list(c.find_checkpoints(proof().to_text())) == [signed(290)]
    assert list(c.find_checkpoints("nothing of the kind\n")) == []
    cut = notes[0] + "\n" + notes[1][:-30] + "\n\n" + notes[2]  # a full disk cut the second one short
    assert list(c.find_checkpoints(cut))[-1] == notes[2]


def test_C29a_a_proof_is_checked_offline_and_only_for_its_entry() -> None:
    """Anybody can check with the pinned key alone that one entry is in the log; for another entry the proof fails."""
    made = proof()
    text = made.to_text()
    assert text.split("\n")[:3] == [
        "c2sp.org/tlog-proof@v1", "extra " + base64.b64encode(made.extra).decode(), "index 5",
    ]  # fmt: skip
    assert c.parse_proof(text) == made
    assert c.verify_proof(made, LEAVES[5], origin=ORIGIN, trusted=(PUBLIC,)).size == 290
    for wrong, leaf in ((made, LEAVES[6]), (c.Proof(6, made.hashes, made.checkpoint), LEAVES[5])):
        with pytest.raises(IntegrityError) as refused:
            c.verify_proof(wrong, leaf, origin=ORIGIN, trusted=(PUBLIC,))
        assert refused.value.reason == "not_included"
    with pytest.raises(UnknownSigner):
        c.verify_proof(made, LEAVES[5], origin=ORIGIN, trusted=(OTHERS,))
    alone = c.Proof(0, (), signed(1))
    assert c.parse_proof(alone.to_text()) == alone
    assert c.verify_proof(alone, LEAVES[0], origin=ORIGIN, trusted=(PUBLIC,)).size == 1


BAD_PROOFS: dict[str, Any] = {
    "version": lambda t: t.replace("@v1", "@v2"),
    "leading zero": lambda t: t.replace("index 5", "index 05"),
    "no blank line": lambda t: t.replace("\n\n", "\n"),
    "capitals": lambda t: t.replace("index", "INDEX"),
    "two spaces": lambda t: t.replace("extra ", "extra  "),
    "a line before": lambda t: "\n" + t,
    "short hash": lambda t: t.replace("index 5\n", "index 5\nAAAA\n"),
    "too many hashes": lambda t: t.replace("index 5\n", "index 5\n" + ("A" * 43 + "=\n") * 70),
    "no checkpoint": lambda t: t[: t.index("\n\n")],
    "more": lambda t: t + "x",
    "twice extra": lambda t: t.replace("\nindex 5", "\nextra AAAA\nindex 5"),
    "huge": lambda t: t + " " * (1 << 20),
}


@pytest.mark.parametrize("change", BAD_PROOFS.values(), ids=BAD_PROOFS)
def test_what_is_not_exactly_a_proof_is_refused(change: Any) -> None:
    text = proof().to_text()
    assert change(text) != text
    with pytest.raises(IntegrityError):
        c.parse_proof(change(text))


def test_M05_bytes_that_are_no_text_behind_a_note_are_refused() -> None:
    """A signed note with bytes that are no characters anywhere in it is refused with a reason."""
    for place in (0, 20, len(signed()) - 1):
        text = signed()[:place] + "\udcff" + signed()[place:]
        with pytest.raises(IntegrityError):
            c.verify_note(text, name=ORIGIN, trusted=[PUBLIC])
