"""The fuse box: settings in, a Platform out. The only place that knows which adapter stands behind which port.

    with sottovoce.open("sqlite:///voices/sottovoce.db") as platform:
        platform.grant(subject="anna", purposes=["voice_recording", "voice_analysis"])
        print(platform.analyze("anna.wav", subject="anna").insight)

`connecting` makes adapters of settings, `hall` wires the use cases on them, and `platform` puts together what can be
done with a home: `recordings`, `rights`, `disclosures`, `models`, `audit` and `upkeep`, which do not know each other.
`offline` needs no home. Import the names from here; where they stand inside may change.
"""

from __future__ import annotations

from sottovoce.app.connecting import Adapters, connect
from sottovoce.app.hall import LIBRARY, SWEEPER
from sottovoce.app.offline import (
    IDENTITY_NAME,
    Desk,
    contractor_prefix,
    new_recipient,
    open_sealed,
    open_sealed_file,
    outside_checkpoints,
    pinned_document,
    read_corpus,
    read_to_seal,
    seal_file,
    sealing_desk,
    shipped_model,
    verify_archive,
    verify_model,
    verify_package,
    verify_proof,
    verify_receipt,
    write_in_clear,
)
from sottovoce.app.platform import Platform, assemble, open
from sottovoce.app.tombstones import TombstoneDesk, tombstone_desk
from sottovoce.settings import Settings

__all__ = [
    "IDENTITY_NAME",
    "LIBRARY",
    "SWEEPER",
    "Adapters",
    "Desk",
    "Platform",
    "Settings",
    "TombstoneDesk",
    "assemble",
    "connect",
    "contractor_prefix",
    "new_recipient",
    "open",
    "open_sealed",
    "open_sealed_file",
    "outside_checkpoints",
    "pinned_document",
    "read_corpus",
    "read_to_seal",
    "seal_file",
    "sealing_desk",
    "shipped_model",
    "tombstone_desk",
    "verify_archive",
    "verify_model",
    "verify_package",
    "verify_proof",
    "verify_receipt",
    "write_in_clear",
]
