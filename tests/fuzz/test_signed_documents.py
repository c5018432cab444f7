"""Documents that others have signed: packages, manifests of backups, model cards, pages of feeds, archives of a log.

Two kinds of hostility: bytes that were damaged after they were signed, and a signer who signs something impossible.
`FUZZ_EXAMPLES` says how many examples each property sees (`make fuzz`: thousands, new ones each time).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import runpy
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce import app
from sottovoce.audit import archive, chain, checkpoint, tombstones
from sottovoce.audit.rows import event_row
from sottovoce.errors import SottovoceError
from sottovoce.model.backup import CONTENTS, BackupFile, Half, Manifest
from sottovoce.model.event import AuditEvent
from sottovoce.model.features import FEATURE_NAMES, Quality
from sottovoce.model.ids import PREFIXES
from sottovoce.model.recipient import FEED_FORMAT, GENESIS, FeedEntry, FeedKind, entry_hash
from sottovoce.model.tombstones import TombstoneHead
from sottovoce.sealing import acknowledgement
from sottovoce.sealing import receipt as receipts
from sottovoce.sealing.receipt import Identity
from sottovoce.usecases import backup_check, import_package, models, portable

ROOT = Path(__file__).resolve().parents[2]
fuzzed = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")))
dice = st.integers(0, 2**32).map(random.Random)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = AT.isoformat()
SIGNER = Identity(bytes([1]) * 32)
TRUSTED = {SIGNER.key_id: SIGNER.public_key}
ORIGIN = checkpoint.origin_of(SIGNER.key_id)
LOG_KEY = Ed25519PrivateKey.from_private_bytes(SIGNER.seed)
HASH = "ab" * 32


def sample_id(kind: str) -> str:
    return f"{PREFIXES[kind]}_{'a' * 24}"


CONSUMER = SimpleNamespace(**runpy.run_path(str(ROOT / "examples" / "feed_consumer.py")))


def answer(work: Callable[[], Any]) -> Any:
    """What it gives, or None for an error of ours; any other error fails the test by itself."""
    try:
        return work()
    except (SottovoceError, CONSUMER.Refused):
        return None


def signed(kind: str, body: Any) -> str:
    return receipts.sign(kind, body, identity=SIGNER).to_json()


def lenient(data: bytes) -> Any:
    """What a signer who does not care would sign."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return {}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


# --- valid ones -----------------------------------------------------------------------------------------------

NOTICE = b"We listen, and forget."
QUALITY = Quality(11.0, 900, 0.0, 31.5, "wav/pcm_16", 16000, 1, "0", ("cut",), 0.1)
PERSON: dict[str, Any] = {
    "name": "anna", "subject_id": sample_id("subject"),
    "notices": [{
        "id": sample_id("notice"), "sha256": hashlib.sha256(NOTICE).hexdigest(), "purpose": "voice_recording",
        "version": "1", "locale": "en", "published_at": NOW,
    }],
    "consents": [{
        "id": sample_id("consent"), "batch_id": sample_id("batch"), "purpose": "voice_recording", "action": "grant",
        "notice_id": sample_id("notice"), "channel": "cli", "occurred_at": NOW, "recorded_at": NOW,
        "evidence": "said yes",
    }],
    "sessions": [{
        "id": sample_id("session"), "shape": "analyze", "state": "verified", "received_at": NOW, "discard_by": NOW,
        "discard_source": False, "profile": "compat", "channel": "0", "accept_truncated": False,
        "body_stored_at": None, "body_bytes": 0, "committed_at": NOW, "ended_at": NOW,
        "features": {
            "values": dict.fromkeys(FEATURE_NAMES, 0.5), "profile": "compat", "version": "egemaps-88/1",
            "sample_rate_hz": 16000,
        },
        "quality": {each.name: getattr(QUALITY, each.name) for each in fields(Quality)},
        "insight": {"items": [{"name": "pitch_level", "value": 2.5}], "version": "1", "model_sha256": HASH},
        "embedding": {"values": [0.5] * 768, "model_sha256": HASH},
        "records": [{"created_at": NOW, "due_at": NOW}],
    }],
}  # fmt: skip
MEMBERS = {"data.json": as_json(PERSON), f"notices/{sample_id('notice')}.txt": NOTICE}
PACKAGE = portable.pack(
    MEMBERS, {"tenant": "default", "subject_id": sample_id("subject"), "made_at": NOW}, sign=signed
)
LISTED = {
    "format": portable.PACKAGE_FORMAT,
    "files": [
        {"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(MEMBERS.items())
    ],
}
MANIFEST = Manifest(
    half=Half.DATA, pair="p", home=ORIGIN, tenant="default", schema="7", created_at=AT, epoch=1, log_size=3,
    files=tuple(BackupFile(name, 5, HASH) for name in sorted(CONTENTS[Half.DATA])), log_root=HASH, tombstones=2,
    tombstones_hash=HASH, worthless_after="2027-01-01",
).to_body()  # fmt: skip
MODEL = app.shipped_model().read_bytes()
CARD = app.shipped_model().with_name("apparent-sex.tflite.card.json").read_bytes()
SIGNERS = app.shipped_model().with_name("signers.json").read_bytes()
MODEL_SIGNERS = receipts.trusted_keys(SIGNERS)
ACKNOWLEDGEMENT = acknowledgement.sign(
    bytes(32), recipient_id=sample_id("recipient"), through=7, last_hash=HASH, applied_at=AT
)


def feed_body() -> dict[str, Any]:
    entry = FeedEntry(
        recipient_id=sample_id("recipient"), tenant="default", number=1, kind=FeedKind.WITHDRAWN,
        opaque_subject="s", opaque_session=None, purposes="model_training", at=AT, cause="c", previous=GENESIS,
    )  # fmt: skip
    said = {**entry.to_canonical(), "hash": entry_hash(entry)}
    return {
        "format": FEED_FORMAT, "recipient": sample_id("recipient"), "after": 0, "previous": GENESIS, "entries": [said],
        "last": True, "as_of": NOW,
    }  # fmt: skip


def log_archive() -> bytes:
    events = [
        AuditEvent(
            id=f"evt_{n}", tenant="default", at=AT, kind="record.read", actor="a", channel="c", pseudonym="p",
            purpose=None, outcome="ok", details_key_id="k", details=b"x",
        )
        for n in range(5)
    ]  # fmt: skip
    rows = [event_row(chain.with_leaf(event)) for event in events]
    end = archive.Place().after(archive.leaf_of(line) for line in map(archive.canonical_row, rows))
    cut = archive.sign_cut(
        ORIGIN, archive.Place(), end, public_key=SIGNER.public_key, sign_bytes=LOG_KEY.sign
    )
    return b"".join(archive.archive_lines(cut, [rows]))


ARCHIVE = log_archive()
HEAD = tombstones.sign(
    TombstoneHead(3, bytes(32)), name=tombstones.name_of(ORIGIN), public_key=SIGNER.public_key, sign_bytes=LOG_KEY.sign
)  # fmt: skip
IDENTITY = receipts.identity_document(SIGNER.public_key, created_at=AT)
FEED_KEY = {"recipient": sample_id("recipient"), "identity": json.loads(IDENTITY)}


# --- how each is read -----------------------------------------------------------------------------------------


def as_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def package_of(manifest: bytes) -> bytes:
    """A package whose signer signed that manifest."""
    body = {"manifest_sha256": hashlib.sha256(manifest).hexdigest()}
    return portable._zip(
        {**MEMBERS, "manifest.json": manifest, "signature.json": signed("export", body).encode()}
    )


def read_content(data: bytes) -> Any:
    sound = portable.unpack(PACKAGE, trusted=TRUSTED)
    package = portable.Package({**MEMBERS, "data.json": data}, sound.manifest, sound.signed)
    content = import_package.read(package, "default")
    for one in content.sessions:
        one.extraction.features.to_float32_bytes()
    return content


def read_pages(text: str) -> list[Any]:
    """What a consumer applied of the pages in a text; nothing where there are none."""
    with closing(CONSUMER.open_store(":memory:")) as store:
        pages = [CONSUMER.verified(page, FEED_KEY) for page in CONSUMER.split(text)]
        for page in pages:
            CONSUMER.apply_page(store, page)
        said = [
            page for place, page in enumerate(pages) if page not in pages[:place]
        ]  # a doubled one is skipped
        return said and [
            said,
            *store.execute("select * from applied"),
            *store.execute("select * from stopped"),
        ]


def read_cut(data: bytes) -> archive.Cut:
    note = f"{ORIGIN}\narchive\n{data.decode('utf-8', 'replace')}\n"
    text = checkpoint.sign_note(note, name=ORIGIN, public_key=SIGNER.public_key, sign_bytes=LOG_KEY.sign)
    return archive.verify_cut(text, origin=ORIGIN, trusted=TRUSTED.values())


def read_acknowledgement(text: str) -> acknowledgement.Claim:
    claim = acknowledgement.parse(text)
    acknowledgement.check(claim, bytes(32))
    return claim


def read_model(data: bytes) -> tuple[str, str]:
    found = models.open_model(data, CARD.decode(), trusted=MODEL_SIGNERS, demonstration=True)
    return found.model.sha256, found.key_id


def read_archive(data: bytes) -> archive.Archive:
    return archive.verify_archive(data.splitlines(keepends=True), origin=ORIGIN, trusted=TRUSTED.values())


SEALED_CUT = json.loads(checkpoint.verify_note(
    base64.b64decode(ARCHIVE.splitlines()[1]).decode(), name=ORIGIN, trusted=TRUSTED.values()
).split("\n")[2])  # fmt: skip

# Reader -> (a valid input, how it is read): what is checked is what was signed.
SIGNED: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    "package": (PACKAGE, lambda data: portable.unpack(data, trusted=TRUSTED)),
    "manifest of a backup": (
        signed("backup", MANIFEST).encode(), lambda data: backup_check.verify_manifest(as_text(data), trusted=TRUSTED),
    ),
    "model": (MODEL, read_model),
    "model card": (CARD, lambda data: models.open_card(as_text(data), trusted=MODEL_SIGNERS)),
    "page of a feed": (signed("feed", feed_body()).encode(), lambda data: read_pages(as_text(data))),
    "acknowledgement": (ACKNOWLEDGEMENT.encode(), lambda data: read_acknowledgement(as_text(data))),
    "archive of a log": (ARCHIVE, read_archive),
    "head of tombstones": (
        HEAD.note.encode(),
        lambda data: tombstones.verify(as_text(data), name=tombstones.name_of(ORIGIN), trusted=TRUSTED.values()),
    ),
}  # fmt: skip

# The same, where the input is what a hostile signer signs, or what is in a file before its signature is looked at.
UNSIGNED: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    "signed manifest of a package": (as_json(LISTED), lambda data: portable.unpack(package_of(data), trusted=TRUSTED)),
    "content of a package": (MEMBERS["data.json"], read_content),
    "signed manifest of a backup": (
        as_json(MANIFEST),
        lambda data: backup_check.verify_manifest(signed("backup", lenient(data)), trusted=TRUSTED),
    ),
    "signed card": (
        as_json(json.loads(CARD)["body"]),
        lambda data: models.open_card(signed("model", lenient(data)), trusted=TRUSTED),
    ),
    "signed page": (as_json(feed_body()), lambda data: read_pages(signed("feed", lenient(data)))),
    "signed cut of an archive": (archive.canonical_json(SEALED_CUT), read_cut),
    "pinned signers of models": (SIGNERS, receipts.trusted_keys),
    "heads of tombstones in a file": (HEAD.note.encode(), lambda data: list(tombstones.find_notes(as_text(data)))),
}  # fmt: skip
READERS = SIGNED | UNSIGNED
DOCUMENTS = [name for name, (valid, _) in READERS.items() if valid[:1] == b"{"]


@pytest.mark.parametrize("reader", READERS)
def test_the_undamaged_ones_are_read(reader: str) -> None:
    valid, read = READERS[reader]
    assert read(valid)


@pytest.mark.parametrize("reader", READERS)
@fuzzed
@given(dice)
def test_M05_damaged_documents_give_a_value_or_an_error_of_ours(
    reader: str, mutate: ModuleType, dice: random.Random
) -> None:
    """A damaged package, manifest of a backup, model, card, page of a feed, acknowledgement or archive is answered with
    a value or one of the declared errors."""
    valid, read = READERS[reader]
    others = [each for each, _ in READERS.values()]
    damaged = (
        dice.randbytes(dice.randrange(400)) if dice.random() < 0.1 else mutate.mutated(valid, dice, others)
    )
    answer(lambda: read(damaged))


@pytest.mark.parametrize("reader", DOCUMENTS)
@fuzzed
@given(dice)
def test_M05_impossible_content_gives_a_value_or_an_error_of_ours(
    reader: str, mutate: ModuleType, dice: random.Random
) -> None:
    """Endless nesting, numbers that are none or too large, doubled keys, halves of characters and dates beyond the
    calendar, in the place of any value of a document and also where a trusted key signed it, are answered with a value
    or one of the declared errors."""
    valid, read = READERS[reader]
    answer(lambda: read(mutate.hostile_json(valid, dice)))


@pytest.mark.parametrize("reader", SIGNED)
@fuzzed
@given(dice)
def test_C4b_M05_a_document_that_verifies_says_what_was_signed(
    reader: str, mutate: ModuleType, dice: random.Random
) -> None:
    """A damaged package, manifest of a backup, model, card, page of a feed, acknowledgement or archive does not verify;
    where only its spelling changed, it says exactly what was signed."""
    valid, read = SIGNED[reader]
    damaged = mutate.mutated(valid, dice, [valid, *(each for each, _ in READERS.values())])
    found = answer(lambda: read(damaged))
    if found:
        assert found == read(valid)
