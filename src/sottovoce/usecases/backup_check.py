"""Whether a backup is what the home signed: signature, files, home, versions; each way to be wrong has its own reason.

Rules upheld here:
1. A manifest counts after its signature has been checked against a pinned key, never against one that lies beside it.
2. Every file that the manifest names is hashed anew; what else lies in the folder is never read.
3. Told apart: not a manifest, altered, incomplete, of another home, of an unknown signer, of a newer version, of an
   ended epoch, whose key is not at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from sottovoce.audit.checkpoint import origin_of
from sottovoce.errors import (
    Conflict,
    IntegrityError,
    KeyUnavailable,
    SchemaNewer,
    SottovoceError,
    UnknownSigner,
    UsageError,
)
from sottovoce.model.backup import BackupFile, Half, ListedBackup, Manifest, malformed, manifest_of
from sottovoce.model.tombstones import TombstoneHead, TombstoneKind, cut, damaged, rebuilt_since
from sottovoce.ports import Tombstones
from sottovoce.sealing import receipt as receipts


class HalfLying(Protocol):
    """One half as it lies in its folder (`adapters/backup_files.py`)."""

    name: str

    def manifest(self) -> str: ...
    def digest(self, name: str) -> BackupFile | None: ...


@dataclass(frozen=True, slots=True)
class Known:
    """The versions that this release can read."""

    data: frozenset[str]
    keys: frozenset[str]

    def check(self, manifest: Manifest) -> None:
        """SchemaNewer where the half is of none of them."""
        if manifest.schema not in (self.data if manifest.half is Half.DATA else self.keys):
            raise SchemaNewer("The backup was made by a newer version of sottovoce.")


def claimed(text: str) -> Manifest:
    """What a manifest says, unverified. IntegrityError (reason `manifest_malformed`), SchemaNewer."""
    try:
        receipt = receipts.parse_receipt(text)
    except IntegrityError:
        raise malformed() from None
    if receipt.kind != "backup":
        raise malformed()
    return manifest_of(receipt.body)


def verify_manifest(text: str, *, trusted: Mapping[str, bytes]) -> Manifest:
    """The manifest, checked against pinned keys (the first of them names the home). IntegrityError (reasons
    `manifest_malformed`, `signature_broken`, `other_home`), UnknownSigner, SchemaNewer."""
    said = claimed(text)
    home = origin_of(next(iter(trusted)))
    try:
        receipts.verify(text, trusted=trusted)
    except UnknownSigner:
        if said.home != home:
            raise other_home() from None
        raise
    if said.home != home:
        raise other_home()
    return said


def check_files(half: HalfLying, manifest: Manifest) -> None:
    """IntegrityError: `backup_incomplete` where a file is missing, `backup_altered` where it is not what was signed."""
    for wanted in manifest.files:
        found = half.digest(wanted.name)
        if found is None:
            raise IntegrityError(
                "A file of the backup is missing.",
                hint="Bring back the whole folder of the backup, or use another backup.",
                reason="backup_incomplete",
            )
        if found != wanted:
            raise _altered()


def check_copy(copied: BackupFile, wanted: BackupFile) -> None:
    """IntegrityError (reason `backup_altered`) where a copy is not what was signed; its name may differ."""
    if (copied.size_bytes, copied.sha256) != (wanted.size_bytes, wanted.sha256):
        raise _altered()


def listed(halves: Iterable[HalfLying]) -> tuple[ListedBackup, ...]:
    """Every half as it describes itself; nothing is verified."""
    return tuple(_listed(half) for half in halves)


def check_pair(data: Manifest, keys: Manifest, *, tenant: str) -> None:
    """UsageError where the halves are swapped or doubled; IntegrityError (reason `backup_halves`) where they are not
    of one home."""
    if data.half is not Half.DATA or keys.half is not Half.KEYS:
        raise UsageError(
            "The halves of the backup are not the one with the data and the one with the keys.",
            hint="Give the data half with --data and the key-store half with --keys.",
            reason="backup_halves",
        )
    if (data.home, data.tenant) != (keys.home, keys.tenant) or data.tenant != tenant:
        raise IntegrityError(
            "The halves of the backup are not of one home and tenant.",
            hint="Restore data and keys of the same home; they may be of different days.",
            reason="backup_halves",
        )


def check_epoch(epoch: int, alive: Iterable[int]) -> None:
    """KeyUnavailable: `epoch_ended` where that epoch's KEK was destroyed, `kek_missing` where it is not at hand."""
    at_hand = tuple(alive)
    if epoch in at_hand:
        return
    if any(other > epoch for other in at_hand):
        raise KeyUnavailable(
            f"The key-store backup is of epoch {epoch}, which has ended: its key was destroyed on purpose, so that no "
            "copy made before opens what was erased since. Nothing was changed.",
            hint="Use a key-store backup of the present epoch; one is made after every rotation.",
            reason="epoch_ended",
        )
    raise KeyUnavailable(
        f"The key of epoch {epoch} is not at hand: a backup never holds it. Nothing was changed.",
        hint="Bring the provider's key (local: the folder keys/kek) to where the setting keys points.",
        reason="kek_missing",
    )


def check_tombstones(tombstones: Tombstones, manifests: Iterable[Manifest]) -> TombstoneHead:
    """The head of a file of tombstones that is at least as new as every manifest. IntegrityError: `tombstones_cut`
    where it is older, `tombstones_damaged` where it is of another home or damaged, `tombstones_rebuilt` where it was
    written anew after one of the backups was made."""
    manifests = tuple(manifests)
    rebuilt = next(islice(tombstones.read(), 1, 2), None)
    since = rebuilt.at if rebuilt is not None and rebuilt.kind is TombstoneKind.REBUILT else None
    if since is not None and any(manifest.created_at < since for manifest in manifests):
        raise rebuilt_since()
    wanted = {manifest.tombstones: manifest.tombstones_hash for manifest in manifests if manifest.tombstones}
    head = TombstoneHead()
    for head in tombstones.chain():
        if wanted.pop(head.count, head.hash.hex()) != head.hash.hex():
            raise damaged()
    if wanted:
        raise cut()
    return head


def newest_of(files: Sequence[Tombstones]) -> int:
    """Which of several files of tombstones has the most entries (the last of equals). IntegrityError (reason
    `tombstones_damaged`) where they are not all the beginning of that one."""
    heads = [file.head() for file in files]
    newest = max(range(len(files)), key=lambda number: (heads[number].count, number))
    wanted = [head for head in heads if head.count]
    for head in files[newest].chain():
        if any(other.count == head.count and other != head for other in wanted):
            raise damaged()
    return newest


def check_tries(home_in_use: bool, *, replace: bool) -> None:
    """Conflict (reason `home_not_empty`)."""
    if home_in_use and not replace:
        raise Conflict(
            "There is a home in use here; a restore would destroy what it holds.",
            hint="Restore into another --home, or say --replace.",
            reason="home_not_empty",
        )


def _altered() -> IntegrityError:
    return IntegrityError(
        "A file of the backup is not what was signed.",
        hint="Use another backup, or another copy of this one.",
        reason="backup_altered",
    )


def other_home() -> IntegrityError:
    return IntegrityError(
        "This backup is of another home.",
        hint="Verify it in the home that made it, or against that home's identity file.",
        reason="other_home",
    )


def _listed(half: HalfLying) -> ListedBackup:
    try:
        return ListedBackup(half.name, claimed(half.manifest()))
    except SottovoceError as error:
        return ListedBackup(half.name, None, error.public_code)
