"""What needs no home: recordings sealed and opened by whoever holds a key, and documents checked against a pinned one.

    from sottovoce.app import seal_file, verify_receipt

Every name here is also one of `app`, which is where it is meant to be imported from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sottovoce.audit import archive, checkpoint
from sottovoce.audit.chain import leaf_of
from sottovoce.errors import (
    IntegrityError,
    UnknownSigner,
)
from sottovoce.model.corpus import Corpus
from sottovoce.model.outcome import (
    ArchiveOutcome,
    VerifiedProof,
)
from sottovoce.model.sealed_file import OpenedFile, SealOutcome, format_hint
from sottovoce.ports import (
    Source,
)
from sottovoce.sealing import receipt as receipts
from sottovoce.sealing import recipients
from sottovoce.usecases import arrivals as sealed_arrivals
from sottovoce.usecases import portable
from sottovoce.usecases.archiving import outcome_of

if TYPE_CHECKING:
    from sottovoce.usecases.models import VerifiedModel
    from sottovoce.usecases.sealing_desk import SealingDesk

IDENTITY_NAME = "identity.json"


@contextmanager
def sealing_desk(out: str | os.PathLike[str], *, to: str) -> Iterator[Desk]:
    """A desk that seals recordings to a public key (the text of its file) into a folder, which is held meanwhile. Needs
    no home, no network and no other key. IntegrityError, UsageError, StorageError; Conflict (`seal_in_progress`)."""
    from sottovoce.adapters import sealed_files
    from sottovoce.adapters.clock_system import OsEntropy
    from sottovoce.usecases.sealing_desk import SealingDesk

    recipient, prefix_key = recipients.parse_public(to), recipients.parse_prefix_key(to)
    with sealed_files.open_folder(Path(out)) as folder:
        yield Desk(
            SealingDesk(folder=folder, recipient=recipient, prefix_key=prefix_key, random_bytes=OsEntropy())
        )


@dataclass(frozen=True)
class Desk:
    """Seals one file after the other; safe to use from several threads."""

    _desk: SealingDesk

    def seal(
        self, path: str | os.PathLike[str], *, contractor: str | None = None, discard_source: bool = False
    ) -> SealOutcome:
        """See usecases/sealing_desk.py. Links are not followed. InputUnreadable, AudioRejected, StorageError."""
        from sottovoce.adapters.source_file import open_source

        with open_source(Path(path), follow=False) as source:
            return self._desk.seal(
                source,
                subject=contractor,
                format_hint=format_hint(Path(path).name),
                discard_source=discard_source,
            )

    def prefix(self, contractor: str | None) -> str:
        """The folder that a contractor's sealed files go to."""
        return self._desk.prefix(contractor)


def seal_file(
    path: str | os.PathLike[str], *, to: str, out: str | os.PathLike[str], contractor: str | None = None,
    discard_source: bool = False,
) -> SealOutcome:  # fmt: skip
    """Seal a recording to a recipient's public key (the text of its file) before anything is written; needs no home.

    The sealed file is `out`/<prefix>/<envelope id>.sealed; who speaks (`contractor`), size and kind of file are sealed
    inside. With `discard_source` the file is unlinked after the sealed one was read back and found whole.
    InputUnreadable, AudioRejected (`empty`, `too_large`), IntegrityError, UsageError, Conflict, StorageError.
    """
    with sealing_desk(out, to=to) as desk:
        return desk.seal(path, contractor=contractor, discard_source=discard_source)


def open_sealed_file(path: str | os.PathLike[str], *, key: str, out: str | os.PathLike[str]) -> OpenedFile:
    """Open a sealed recording with a private key (the text of its file) into a new file in the folder `out`: audio in
    clear. Needs no home. IntegrityError, KeyUnavailable, UsageError (also where the file exists), StorageError."""
    from sottovoce.adapters.source_file import open_source

    private = recipients.parse_private(key)
    with open_source(Path(path)) as source:
        return write_in_clear(sealed_arrivals.read_with(source, private), source, Path(out))


def write_in_clear(arrived: sealed_arrivals.Arrived, source: Source, folder: Path) -> OpenedFile:
    """The file has no name before the seal was found whole."""
    from sottovoce.adapters import sealed_files
    from sottovoce.sealing import client_body

    kind = arrived.note.format if arrived.note is not None else ""
    target = folder / f"{arrived.envelope_id}.{kind or 'audio'}"
    sealed_files.make_folder(folder)
    with sealed_files.clear_writer(target) as writer:
        size_bytes = client_body.open_client_stream(
            sealed_arrivals.body_reader(source, arrived.body_offset), writer.write,
            content_key=arrived.content_key, suite=arrived.suite, client_hash=arrived.client_hash,
        )  # fmt: skip
    return OpenedFile(str(target), size_bytes, arrived.note.subject if arrived.note else None)


def contractor_prefix(to: str, contractor: str | None) -> str:
    """The folder that a contractor's sealed files go to, from the text of the public key file: for who scopes the
    permissions of a storage before anything is uploaded. IntegrityError."""
    return recipients.prefix_of(recipients.parse_prefix_key(to), contractor)


def read_to_seal(folder: Path, subject_from: str | None, contractor: str) -> Corpus:
    """The recordings of a folder that is to be sealed (adapters/corpus_folder.py); nothing of them is opened."""
    from sottovoce.adapters import corpus_folder

    return corpus_folder.read_to_seal(folder, subject_from, contractor)


def read_corpus(folder: Path, subject_from: str) -> Corpus:
    """The recordings of a folder and who speaks in them (adapters/corpus_folder.py); nothing of them is opened."""
    from sottovoce.adapters import corpus_folder

    return corpus_folder.read_corpus(folder, subject_from)


def outside_checkpoints(text: str) -> tuple[str, ...]:
    """The signed checkpoints in a text that was kept outside, unverified. IntegrityError where there is none."""
    if text.lstrip().startswith("{"):
        carried = receipts.parse_receipt(text).body.get("checkpoint")
        text = carried if isinstance(carried, str) else ""
    found = tuple(checkpoint.find_checkpoints(text))
    if not found:
        raise IntegrityError(
            "There is no checkpoint of an audit log in this file.",
            hint="Give a checkpoint, a witness's file, or a receipt that carries one.",
            reason="checkpoint_malformed",
        )
    return found


def verify_package(
    path: str | os.PathLike[str], *, key: str | None = None, home: Path | None = None
) -> portable.Package:
    """Check a person's package offline, byte by byte, against a pinned key (as verify_receipt). IntegrityError,
    UnknownSigner, InputUnreadable."""
    from sottovoce.adapters import export_file

    data = export_file.read(Path(path), limit_bytes=portable.MAXIMUM_BYTES)
    return portable.unpack(data, trusted=receipts.trusted_keys(pinned_document(key, home)))


def new_recipient(private: Path, public: Path) -> str:
    """A new recipient key in two new files: the private half for its owner alone, the public half to be handed out.
    The key id, hex. UsageError where a file exists."""
    from sottovoce.adapters import export_file
    from sottovoce.adapters.clock_system import OsEntropy
    from sottovoce.sealing import suites

    made = suites.generate_recipient(random_bytes=OsEntropy())
    export_file.write_new(private, recipients.private_document(made).encode())
    try:
        export_file.write_new(public, recipients.public_document(made.public()).encode())
    except BaseException:  # half a pair is of no use, and nobody asked for a private key alone
        export_file.remove(private)
        raise
    return made.public().key_id.hex()


def open_sealed(path: Path, *, key: str, out: Path) -> int:
    """Open what was sealed to a recipient key (`key`: the text of the private file) into a new file, for its owner
    alone; how many bytes. IntegrityError, KeyUnavailable where it was sealed to another key."""
    from sottovoce.adapters import export_file
    from sottovoce.sealing import suites

    private = recipients.parse_private(key)
    data = export_file.read(path, limit_bytes=portable.MAXIMUM_BYTES + (1 << 20))
    header = suites.parse_client_header(data)
    content_key = suites.open_content_key(private, header)
    body = suites.open_client_body(
        content_key,
        memoryview(data)[header.body_offset :],
        suite=header.suite,
        body_context=header.body_context(),
    )
    export_file.write_new(out, body)
    return len(body)


def verify_proof(text: str, *, key: str | None = None, home: Path | None = None) -> VerifiedProof:
    """Check a proof that an entry is in an audit log, or a checkpoint alone, offline against a pinned key (as
    verify_receipt). IntegrityError, UnknownSigner."""
    keys = receipts.trusted_keys(pinned_document(key, home))
    origin, trusted = checkpoint.origin_of(next(iter(keys))), tuple(keys.values())
    if not text.startswith(checkpoint.PROOF_HEADER):
        said = checkpoint.verify(text, origin=origin, trusted=trusted)
        return VerifiedProof(said.origin, said.size, said.root.hex(), None, None)
    proof = checkpoint.parse_proof(text)
    said = checkpoint.verify_proof(proof, leaf_of(proof.extra), origin=origin, trusted=trusted)
    return VerifiedProof(said.origin, said.size, said.root.hex(), proof.index + 1, json.loads(proof.extra))


def verify_archive(path: Path, *, key: str | None = None, home: Path | None = None) -> ArchiveOutcome:
    """Check an archive of an audit log offline against a pinned key (as verify_receipt). IntegrityError,
    UnknownSigner, InputUnreadable."""
    from sottovoce.adapters.archive_file import LocalArchiveFile

    keys = receipts.trusted_keys(pinned_document(key, home))
    found = archive.verify_archive(
        LocalArchiveFile(path).lines(), origin=checkpoint.origin_of(next(iter(keys))), trusted=keys.values()
    )
    return outcome_of(found)


def verify_receipt(text: str, *, key: str | None = None, home: Path | None = None) -> receipts.Receipt:
    """Check a receipt offline against a pinned key: `key` (an identity document), else the home's pin.

    IntegrityError where it is not what was signed, UnknownSigner where nothing pinned says whose it is. A key
    that the receipt brings along is never enough.
    """
    return receipts.verify(text, trusted=receipts.trusted_keys(pinned_document(key, home)))


def verify_model(
    model: bytes, card: str, *, key: str | None = None, home: Path | None = None, profile: str | None = None,
    demonstration: bool = False,
) -> VerifiedModel:  # fmt: skip
    """Check a model file and its signed card offline against pinned keys: that of `key` alone, or else who signed what
    is shipped, and the home. IntegrityError, UnknownSigner; UsageError for a model of another `profile`, or for a
    demonstration that none was asked for."""
    from sottovoce.usecases import models

    trusted = _model_signers(key, home)
    return models.open_model(model, card, trusted=trusted, profile=profile, demonstration=demonstration)


def shipped_model() -> Path:
    """The model file that comes with sottovoce (its card lies beside it: FILE.card.json)."""
    return Path(str(files("sottovoce") / "data" / "models" / "apparent-sex.tflite"))


def _model_signers(key: str | None, home: Path | None) -> dict[str, bytes]:
    if key is not None:
        return receipts.trusted_keys(key)
    trusted = receipts.trusted_keys(shipped_model().with_name("signers.json").read_bytes())
    if home is not None and (home / IDENTITY_NAME).exists():
        trusted |= receipts.trusted_keys(pinned_document(None, home))
    return trusted


def pinned_document(key: str | None, home: Path | None) -> str:
    """The identity document that was pinned before."""
    if key is not None:
        return key
    if home is not None and (home / IDENTITY_NAME).exists():
        return (home / IDENTITY_NAME).read_text(errors="replace")
    raise UnknownSigner(
        "No key is pinned to verify this receipt against.",
        hint="Give the service's identity file with --key, or the home that made the receipt with --home.",
    )
