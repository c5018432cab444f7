"""Files that a disk, an operator or a sender hands in: keys, notes, sealed recordings, tables, settings, tombstones.

`FUZZ_EXAMPLES` says how many examples each property sees (`make fuzz`: thousands, new ones each time).
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.adapters import backup_restore, corpus_folder, keys_local
from sottovoce.adapters.extractor import handover
from sottovoce.adapters.tombstones_file import FileTombstones
from sottovoce.doors.cli import models_data
from sottovoce.errors import SottovoceError
from sottovoce.model import tombstones
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.model.findings import Findings
from sottovoce.model.ids import PREFIXES
from sottovoce.model.sealed_file import SealedNote, parse_note
from sottovoce.model.tombstones import SignedHead, TombstoneEntry, TombstoneHead, TombstoneKind
from sottovoce.ports import ExtractOptions, Place, SealedExtraction
from sottovoce.sealing import recipients, suites
from sottovoce.settings import CONFIG_NAME, load
from sottovoce.usecases import arrivals, recipient_keys
from sottovoce.voice import embedding

fuzzed = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")))
dice = st.integers(0, 2**32).map(random.Random)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HASH = "ab" * 32


def sample_id(kind: str) -> str:
    return f"{PREFIXES[kind]}_{'a' * 24}"


def answer(work: Callable[[], Any]) -> Any:
    """What it gives, or None for an error of ours; any other error fails the test by itself."""
    try:
        return work()
    except SottovoceError:
        return None


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


# --- valid ones -----------------------------------------------------------------------------------------------

PRIVATE = {
    suite: suites.generate_recipient(suite, random_bytes=random.Random(suite).randbytes)
    for suite in (suites.SUITE_X25519, suites.SUITE_XWING)
}
SUBJECT_PUBLIC_KEY = (  # of the right size; nobody has the other half
    RSAPublicNumbers(65537, random.Random(1).getrandbits(4096) | 1 << 4095 | 1)
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
PUBLIC = {suite: private.public() for suite, private in PRIVATE.items()}
PUBLIC[suites.SUITE_RSA] = suites.RecipientPublic(suites.SUITE_RSA, SUBJECT_PUBLIC_KEY)
CONTENT_KEY = bytes(range(32))
NOTE = SealedNote(90, "anna", "wav").to_bytes(suites.NOTE_BYTES)


def sealed_recording(suite: int) -> bytes:
    header = suites.seal_content_key(PUBLIC[suite], CONTENT_KEY, envelope_id=bytes(16), note=NOTE)
    return header.to_bytes() + suites.seal_body(CONTENT_KEY, bytes(90), header.body_context())


FIRST = tombstones.encode(
    tombstones.begun("sottovoce.tombstones/" + "a" * 32, AT, tenant="default"), TombstoneHead()
)
AFTER_FIRST = tombstones.follow(FIRST, TombstoneHead())
ENTRIES = (
    TombstoneEntry(
        kind=TombstoneKind.WITHDRAWN, at=AT, subject_id=sample_id("subject"), purpose="model_training", occurred_at=AT
    ),
    TombstoneEntry(kind=TombstoneKind.RESTORED, at=AT, backup="b", tree_size=5, root=HASH, follows=1),
)  # fmt: skip
SECOND = tombstones.encode(ENTRIES[0], AFTER_FIRST)
THIRD = tombstones.encode(ENTRIES[1], tombstones.follow(SECOND, AFTER_FIRST))
HEAD_LINE = tombstones.head_line(SignedHead(AFTER_FIRST, "a note\n"))
TOMBSTONES = b"".join(line + b"\n" for line in (FIRST, HEAD_LINE, SECOND, THIRD))
PLACE = Place("features", "rec_a", bytes(32), b"context")
SEALED_ANSWER = handover.pack_sealed(
    SealedExtraction(Findings("compat", "egemaps-88/1", HASH, "rules", "1", HASH), {"features": b"sealed"})
)


def table() -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((*FEATURE_NAMES, "speaker", "label", "profile"))
    writer.writerow((*(["0.5"] * len(FEATURE_NAMES)), "anna", "yes", "compat"))
    return text.getvalue().encode()


KEY_FILE = keys_local._serialise(keys_local._KekFile(1, bytes(48), bytes(16), 64, 1, 1))
KEPT = recipient_keys._pack(recipient_keys._Kept(PRIVATE[suites.SUITE_XWING], bytes(16), "lab", AT))
SETTINGS = b'tenant = "a"\nfeatures_days = 5\nwitnesses = ["syslog:"]\ninfer = []\nbusy_timeout_s = 0.5\n'


# --- how each is read -----------------------------------------------------------------------------------------


def as_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def from_disk(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """A reader of a file of that name, in a folder of its own."""

    def reader(data: bytes) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            return read(path)

    return reader


@dataclass(frozen=True)
class Opened:
    """Port `Source` on bytes."""

    fd: int
    size_bytes: int

    def discard(self) -> bool:
        return False


def read_sealed(data: bytes, suite: int) -> arrivals.Arrived:
    fd = os.memfd_create("sealed")
    try:
        os.write(fd, data)
        return arrivals.read_with(Opened(fd, len(data)), PRIVATE[suite])
    finally:
        os.close(fd)


def seal_to(text: str) -> bytes:
    """A key is good for sealing, or refused."""
    recipient = recipients.parse_public(text)
    suites.seal_content_key(recipient, CONTENT_KEY, envelope_id=bytes(16))
    return recipient.key_id + recipients.parse_prefix_key(text)


def read_tombstones(path: Path) -> list[TombstoneEntry]:
    """As a home reads them; and as much of them as is legible."""
    file = FileTombstones(path, reserve_bytes=0)
    for walk in (file.chain, file.legible, file.signed):
        answer(lambda walk=walk: list(walk()))
    answer(file.head)
    return list(file.read())


def read_table(path: Path) -> object:
    columns = models_data.Columns("speaker", "label", ())
    return models_data.read_data(path, columns, profile=None, model_profile="compat")


def manifest_of_recordings(path: Path) -> object:
    (path.parent / "a.wav").touch()
    return corpus_folder.read_corpus(path.parent, str(path)).files


def key_of(data: bytes) -> object:
    """Nothing in it makes opening it a matter of hours."""
    found = keys_local._parse(data, 1)
    assert found.memory_kib <= 4 << 20
    assert found.passes <= 64
    return found


READERS: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    **{
        f"public recipient key, suite {suite}": (
            recipients.public_document(public, bytes(16)).encode(), lambda data: seal_to(as_text(data)),
        )
        for suite, public in PUBLIC.items()
    },
    **{
        f"private recipient key, suite {suite}": (
            recipients.private_document(private).encode(), lambda data: recipients.parse_private(as_text(data)),
        )
        for suite, private in PRIVATE.items()
    },
    "note of a sealed recording": (NOTE, parse_note),
    "sealed recording, X25519": (
        sealed_recording(suites.SUITE_X25519), lambda data: read_sealed(data, suites.SUITE_X25519),
    ),
    "sealed recording, X-Wing": (
        sealed_recording(suites.SUITE_XWING), lambda data: read_sealed(data, suites.SUITE_XWING),
    ),
    "kept recipient key": (KEPT, recipient_keys._unpack),
    "key file": (KEY_FILE, key_of),
    "entry of tombstones": (SECOND, lambda data: tombstones.decode(data, AFTER_FIRST)),
    "entry of broken tombstones": (SECOND, tombstones.decode_alone),
    "line of a signed head": (HEAD_LINE, tombstones.parse_head_line),
    "file of tombstones": (TOMBSTONES, from_disk("tombstones.log", read_tombstones)),
    "manifest of recordings": (b"file,subject\na.wav,anna\n", from_disk("manifest.csv", manifest_of_recordings)),
    "table of features": (table(), from_disk("table.csv", read_table)),
    "settings": (SETTINGS, from_disk(CONFIG_NAME, lambda path: load(home=path.parent))),
    "plan of a restore": (b'[["/a", "/b", "/c", false]]', from_disk("plan.json", backup_restore._read)),
    "configuration of an embedding model": (b'{"model_type": "wav2vec2"}', from_disk("c.json", embedding._read_json)),
    "sealed answer of a child": (
        SEALED_ANSWER, lambda data: handover.unpack_sealed(data, ExtractOptions(), [PLACE]),
    ),
}  # fmt: skip
DOCUMENTS = [name for name, (valid, _) in READERS.items() if _parsed(valid) is not None]
SEALED = [name for name in READERS if name.startswith("sealed recording")]
KEYS = [name for name in READERS if "recipient key, suite" in name]


@pytest.mark.parametrize("reader", READERS)
def test_the_undamaged_ones_are_read(reader: str) -> None:
    valid, read = READERS[reader]
    assert read(valid)


@pytest.mark.parametrize("reader", READERS)
@fuzzed
@given(dice)
def test_M05_damaged_files_give_a_value_or_an_error_of_ours(
    reader: str, mutate: ModuleType, dice: random.Random
) -> None:
    """A damaged key file, note, sealed recording, file of tombstones, table, settings file or plan of a restore is
    answered with a value or one of the declared errors."""
    valid, read = READERS[reader]
    others = [each for each, _ in READERS.values()]
    damaged = (
        dice.randbytes(dice.randrange(400)) if dice.random() < 0.1 else mutate.mutated(valid, dice, others)
    )
    answer(lambda: read(damaged))


@pytest.mark.parametrize("reader", DOCUMENTS)
@fuzzed
@given(dice)
def test_M05_impossible_files_give_a_value_or_an_error_of_ours(
    reader: str, mutate: ModuleType, dice: random.Random
) -> None:
    """Endless nesting, numbers that are none or too large, doubled keys, halves of characters and dates beyond the
    calendar, in the place of any value of a file, are answered with a value or one of the declared errors."""
    valid, read = READERS[reader]
    hostile = mutate.hostile_json(valid, dice)
    answer(lambda: read(hostile))
    lenient = _parsed(hostile)
    compact = "" if lenient is None else json.dumps(lenient, separators=(",", ":"), sort_keys=True)
    answer(lambda: read(compact.encode()))


@pytest.mark.parametrize("reader", SEALED)
@fuzzed
@given(dice)
def test_X24_M16_a_damaged_sealed_recording_says_what_was_sealed_or_nothing(
    reader: str, mutate: ModuleType, dice: random.Random
) -> None:
    """What is read of a damaged sealed recording before it is taken in (who speaks, its size, its key) is what was
    sealed, or it is refused."""
    valid, read = READERS[reader]
    damaged = mutate.mutated(valid, dice, [each for each, _ in READERS.values()])
    found = answer(lambda: read(damaged))
    assert found in (None, read(valid))


@pytest.mark.parametrize("reader", KEYS)
@fuzzed
@given(dice)
def test_X28_a_damaged_recipient_key_is_that_key_or_none(
    reader: str, mutate: ModuleType, dice: random.Random
) -> None:
    """A damaged key file of a recipient never gives another key than the one that it names."""
    valid, read = READERS[reader]
    found = answer(lambda: read(mutate.mutated(valid, dice)))
    if isinstance(found, bytes):
        assert found[:32].hex() == json.loads(valid)["key_id"]
    else:
        assert found in (None, read(valid))


@fuzzed
@given(dice)
def test_C9a_damaged_tombstones_never_say_what_was_not_written(
    mutate: ModuleType, dice: random.Random
) -> None:
    """However the file of tombstones was damaged, its entries up to a signed head are those that were written, or it is
    refused."""
    read = from_disk("tombstones.log", read_tombstones)
    written = read(TOMBSTONES)
    found = answer(lambda: read(mutate.mutated(TOMBSTONES, dice))) or []
    heads = {entry.head for entry in written}
    for place, entry in enumerate(found):
        if entry.head in heads:
            assert found[: place + 1] == written[: place + 1]
