"""No reader of bytes is forgotten: each module that parses any is among the fuzzed ones, or says why it is not."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "sottovoce"
PARSES = re.compile(
    r"json\.loads?\(|raw_decode|read_json\(|struct\.unpack|unpack_from\(|csv\.(?:reader|DictReader)\(|zipfile\.ZipFile\("
    r"|tomllib\.loads?\(|TomlConfigSettingsSource\("
)

FUZZED = {
    "files.py": {  # damaged recordings through the sealed child
        "voice/containers/boxes.py", "voice/containers/iff.py", "voice/containers/ogg.py",
        "voice/containers/riff.py",
    },
    "test_parsers.py": {
        "adapters/extractor/wire.py", "adapters/keystore_sqlite.py", "sealing/receipt.py", "app/offline.py",
    },
    "test_signed_documents.py": {
        "audit/archive.py", "sealing/acknowledgement.py", "usecases/portable.py", "voice/models/flatbuffer.py",
        "voice/models/read_tflite.py",
    },
    "test_files_handed_in.py": {
        "adapters/backup_restore.py", "adapters/corpus_folder.py", "adapters/extractor/handover.py",
        "adapters/keys_local.py", "adapters/tombstones_file.py", "doors/cli/models_data.py", "model/sealed_file.py",
        "model/strict_json.py", "model/tombstones.py", "sealing/recipients.py", "settings.py",
        "usecases/recipient_keys.py", "voice/embedding.py",
    },
}  # fmt: skip
NOT_HANDED_IN = {
    "adapters/extractor/parent.py": "messages of the service to its own process, which no child can write to",
    "adapters/extractor/supervisor.py": "messages of that process, which never opens audio",
    "model/deadlines.py": "a file of the package itself",
    "model/features.py": "352 bytes of an opened record",
    "usecases/trail.py": "details of an entry, opened with the key that authenticates them",
    "usecases/recipients.py": "the identity of this home, as it was verified",
    "usecases/erasure_receipt.py": "rows of the home's own database",
    "usecases/fsck/recipients.py": "a receipt out of the home's own database",
    "voice/bodies.py": "bodies of records, opened with the key that authenticates them",
    "doors/cli/keys.py": "a document that was made just before",
    "doors/cli/payloads.py": "a receipt that was made just before",
    "doors/cli/recipient_keys.py": "a document that was made just before",
    "doors/cli/residue_handler.py": "lines of the program that measures, which starts it",
}


def parsing() -> set[str]:
    return {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if PARSES.search(path.read_text(encoding="utf-8"))
    }


def test_M05_every_module_that_parses_bytes_is_fuzzed_or_says_why_not() -> None:
    """Whoever adds a reader of bytes has to fuzz it, or to say why nobody can hand it anything."""
    listed = set().union(*FUZZED.values()) | set(NOT_HANDED_IN)
    found = parsing()
    assert found - listed == set(), "new readers: fuzz them (READERS in tests/fuzz), then list them here"
    assert listed - found == set(), "these parse nothing any more, or have moved"


def test_the_files_that_fuzz_are_there() -> None:
    assert all((Path(__file__).parent / name).is_file() for name in FUZZED)
    assert not set().union(*FUZZED.values()) & set(NOT_HANDED_IN)
