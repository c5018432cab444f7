"""Envelopes, receipts, identities, checkpoints, proofs, key rows, answers of a child and ids as strangers send them.

Any bytes give a value or an error of ours, and what was damaged never verifies. Readers of other documents and files:
test_signed_documents.py, test_files_handed_in.py.

`FUZZ_EXAMPLES` says how many examples each property sees (`make fuzz`: thousands, new ones each time). Tokens are not
among them: there are none yet.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce import app
from sottovoce.adapters import keystore_sqlite
from sottovoce.adapters.extractor import wire
from sottovoce.audit import checkpoint as notes
from sottovoce.audit.tree import Frontier, prove_inclusion
from sottovoce.errors import SottovoceError
from sottovoce.model import ids
from sottovoce.model.keys import KeyRow
from sottovoce.ports import ExtractOptions
from sottovoce.sealing import envelope, keytree, suites
from sottovoce.sealing import receipt as receipts
from sottovoce.sealing.receipt import Identity

fuzzed = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "150")))
dice = st.integers(0, 2**32).map(random.Random)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIGNER, NEXT = Identity(bytes([1]) * 32), Identity(bytes([2]) * 32)
TRUSTED = {SIGNER.key_id: SIGNER.public_key}
KEY, CONTEXT = bytes(range(32)), b"tenant|subject|record|kind|1"
PLAIN = random.Random(4).randbytes(70_000)
ENVELOPE = envelope.seal(KEY, PLAIN[:40_000], CONTEXT, "rec_a")
RECIPIENTS = {
    suite: suites.generate_recipient(suite, random_bytes=random.Random(suite).randbytes)
    for suite in (suites.SUITE_X25519, suites.SUITE_XWING)
}
CLIENT = {
    suite: suites.seal_to(
        private.public(), PLAIN[:300], envelope_id=bytes(16), random_bytes=random.Random(7).randbytes
    )
    for suite, private in RECIPIENTS.items()
}
RECEIPT = receipts.sign(
    "recording", {"session": "ses_a", "sizes": {"bytes": 480_000}, "n": [1, 2]}, identity=SIGNER
)
DOCUMENT = receipts.with_statement(
    receipts.identity_document(SIGNER.public_key, created_at=AT),
    receipts.replacement_statement(old=SIGNER, new_public_key=NEXT.public_key, at=AT),
)
LOG_KEY = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
LOG_PUBLIC = LOG_KEY.public_key().public_bytes_raw()
ORIGIN = notes.origin_of(hashlib.sha256(LOG_PUBLIC).hexdigest())
LEAVES = [hashlib.sha256(b"%d" % n).digest() for n in range(7)]
NODES = [*LEAVES]


def read_leaves(level: int, start: int, end: int) -> list[bytes]:
    assert level == 0
    return NODES[start:end]


def log_root() -> bytes:
    frontier = Frontier()
    frontier.extend(LEAVES)
    return frontier.root()


CHECKPOINT = notes.sign(
    notes.Checkpoint(ORIGIN, 7, log_root()), public_key=LOG_PUBLIC, sign_bytes=LOG_KEY.sign
)
PROOF = notes.Proof(3, tuple(prove_inclusion(3, 7, read_leaves)), CHECKPOINT, extra=b'{"kind":"x"}').to_text()
ROW = keytree.wrap_row(
    KEY, epoch_key=KEY, epoch=1, key_id="rec_a", tenant="default", kind="record", key_class="features",
    subject_id="sub_a", created_at=AT, random_bytes=random.Random(8).randbytes, subject_key=KEY,
)  # fmt: skip
ROW_BYTES = keystore_sqlite._encode(ROW)
REFUSAL = wire._framed({"refused": "empty", "formats": False})


def answer(work: Callable[[], Any]) -> Any:
    """What it gives, or None for an error of ours; any other error fails the test by itself."""
    try:
        return work()
    except SottovoceError:
        return None


def opened_client(private: suites.RecipientPrivate, data: bytes) -> bytes:
    header = suites.parse_client_header(data)
    key = suites.open_content_key(private, header)
    body = data[header.body_offset :]
    return suites.open_client_body(key, body, suite=header.suite, body_context=header.body_context())


def opened_stream(data: bytes) -> bytes:
    """As `envelope.open`, by the reader that takes pieces."""
    header, taken = envelope.parse_header(data), bytearray()
    rest = bytearray(data[header.body_offset :])

    def fill(view: memoryview) -> int:
        count = min(len(view), len(rest))
        view[:count] = rest[:count]
        del rest[:count]
        return count

    envelope.open_stream(fill, taken.extend, key=KEY, context=header.body_context(CONTEXT))
    return bytes(taken)


def as_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def checked_proof(text: str) -> notes.Checkpoint:
    return notes.verify_proof(notes.parse_proof(text), LEAVES[3], origin=ORIGIN, trusted=[LOG_PUBLIC])


# Reader -> (a valid input, how it is read). Each gives a value for the valid input.
READERS: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    "envelope": (ENVELOPE, lambda data: envelope.open(KEY, data, CONTEXT)),
    "envelope in pieces": (ENVELOPE, opened_stream),
    "header of an envelope": (ENVELOPE[:600], envelope.parse_header),
    "does the key fit": (
        ENVELOPE[12:70], lambda data: envelope.key_fits(KEY, data, envelope.make_header("rec_a").body_context(CONTEXT)),
    ),
    "client header": (CLIENT[suites.SUITE_XWING], suites.parse_client_header),
    "client envelope, X25519": (
        CLIENT[suites.SUITE_X25519], lambda data: opened_client(RECIPIENTS[suites.SUITE_X25519], data),
    ),
    "client envelope, X-Wing": (
        CLIENT[suites.SUITE_XWING], lambda data: opened_client(RECIPIENTS[suites.SUITE_XWING], data),
    ),
    "receipt": (RECEIPT.to_json().encode(), lambda data: receipts.verify(data, trusted=TRUSTED)),
    "receipt as text": (RECEIPT.to_bytes(), lambda data: receipts.verify(as_text(data), trusted=TRUSTED)),
    "identity": (DOCUMENT.encode(), receipts.trusted_keys),
    "checkpoint": (
        CHECKPOINT.encode(), lambda data: notes.verify(as_text(data), origin=ORIGIN, trusted=[LOG_PUBLIC]),
    ),
    "checkpoints in a file": (CHECKPOINT.encode(), lambda data: app.outside_checkpoints(as_text(data))),
    "proof": (PROOF.encode(), lambda data: checked_proof(as_text(data))),
    "row of the key store": (ROW_BYTES, keystore_sqlite._decode),
    "wrapped key": (ROW.wrapped, lambda data: keytree.unwrap_key(KEY, data, CONTEXT) or data),
    "answer of a child": (REFUSAL, lambda data: wire.unpack_result(data, ExtractOptions())),
    "id": (b"ses_aaaaaaaaaaaaaaaaaaaaaaaa", lambda data: ids.check_id(as_text(data), "session")),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@fuzzed
@given(
    st.one_of(
        st.binary(max_size=400), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
    )
)
def test_M05_any_bytes_give_a_value_or_an_error_of_ours(reader: str, data: bytes) -> None:
    """Whatever bytes a stranger hands in as an envelope, receipt, identity, checkpoint, proof or key row, the answer is
    a value or one of the declared errors."""
    answer(lambda: READERS[reader][1](data))


@pytest.mark.parametrize("reader", READERS)
@fuzzed
@given(dice)
def test_M05_damaged_input_gives_a_value_or_an_error_of_ours(
    reader: str, mutate: ModuleType, dice: random.Random
) -> None:
    """What began as a valid envelope, receipt, identity, checkpoint, proof or key row and was damaged is answered with
    a value or one of the declared errors."""
    valid, read = READERS[reader]
    others = [each for each, _ in READERS.values()]
    answer(lambda: read(mutate.mutated(valid, dice, others)))


SOUND = ("envelope", "envelope in pieces", "client envelope, X25519", "client envelope, X-Wing", "receipt",
         "receipt as text", "checkpoint", "proof")  # fmt: skip


def meaning(value: Any) -> Any:
    """What a verified thing says, however it was spelled."""
    return value if isinstance(value, bytes | dict) else asdict(value)


@pytest.mark.parametrize("reader", SOUND)
def test_the_undamaged_ones_are_read(reader: str) -> None:
    valid, read = READERS[reader]
    assert read(valid) is not None


@pytest.mark.parametrize("reader", SOUND)
@fuzzed
@given(dice)
def test_X24_C4b_C29a_what_verifies_says_what_was_signed(
    reader: str, mutate: ModuleType, dice: random.Random
) -> None:
    """A damaged envelope, receipt, checkpoint or proof does not open or verify; where only its spelling changed (an
    empty line, a stranger's signature beside ours), it says exactly what was signed."""
    valid, read = READERS[reader]
    damaged = mutate.mutated(valid, dice, [valid, *(each for each, _ in READERS.values())])
    found = answer(lambda: read(damaged))
    if found is not None:
        assert meaning(found) == meaning(read(valid))
        assert "envelope" not in reader or damaged == valid


@fuzzed
@given(dice)
def test_C4b_a_damaged_identity_never_trusts_another_key(mutate: ModuleType, dice: random.Random) -> None:
    """A damaged identity file never makes anybody trust a key that the first key did not introduce, unless the first
    key itself is another."""
    damaged = mutate.mutated(DOCUMENT.encode(), dice)
    found = answer(lambda: receipts.trusted_keys(damaged))
    if found is not None and SIGNER.key_id in found:
        assert set(found) <= {SIGNER.key_id, NEXT.key_id}


@fuzzed
@given(dice)
def test_X25_a_damaged_key_row_never_gives_another_key(mutate: ModuleType, dice: random.Random) -> None:
    """A row of the key store that was damaged gives no key, or the very key that was stored."""

    def key() -> bytes:
        row: KeyRow = keystore_sqlite._decode(mutate.mutated(ROW_BYTES, dice))
        return keytree.unwrap_row(row, epoch_key=KEY, subject_key=KEY)

    assert answer(key) in (None, KEY)


@fuzzed
@given(dice)
def test_C29a_a_file_full_of_damage_gives_no_checkpoint_that_was_not_signed(
    mutate: ModuleType, dice: random.Random
) -> None:
    """However a witness's file was damaged, every checkpoint in it that still verifies is one that was signed."""
    damaged = as_text(mutate.mutated((CHECKPOINT + "\n" + notes.to_line(CHECKPOINT) + "\n").encode(), dice))
    for text in answer(lambda: tuple(notes.find_checkpoints(damaged))) or ():
        found = answer(lambda text=text: notes.verify(text, origin=ORIGIN, trusted=[LOG_PUBLIC]))
        assert found is None or (found.size, found.root) == (7, log_root())
