"""The adapters of a home: which one stands behind which port, made from what the settings name.

    adapters = connect(settings)

Adapters are imported here only when they are picked, so that nobody pays for what is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from sottovoce.errors import StorageError
from sottovoce.ports import (
    Blobs,
    Clock,
    Database,
    Entropy,
    Extractor,
    Keys,
    KeyStore,
    Liveness,
    Models,
    Tombstones,
    Witness,
)
from sottovoce.settings import Settings


def _no_recipients() -> Blobs:
    from sottovoce.adapters.memory import MemoryBlobs

    return MemoryBlobs()


def _no_models() -> Models:
    from sottovoce.adapters.memory import MemoryModels

    return MemoryModels()


def _no_tombstones() -> Tombstones:
    from sottovoce.adapters.memory import MemoryTombstones

    return MemoryTombstones()


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """One value per port; tests put wrappers or the fakes of `adapters/memory/` here."""

    database: Database
    keys: Keys
    long_lived: KeyStore
    short_lived: KeyStore
    bodies: Blobs
    receipt_copies: Blobs
    extractor: Extractor
    liveness: Liveness
    clock: Clock
    entropy: Entropy
    witnesses: tuple[Witness, ...] = ()
    recipients: Blobs = field(default_factory=_no_recipients)  # private halves of recipient keys, sealed
    models: Models = field(default_factory=_no_models)  # of the home's own
    shipped_models: Models = field(default_factory=_no_models)
    tombstones: Tombstones = field(default_factory=_no_tombstones)
    closing: tuple[Callable[[], None], ...] = ()


def connect(settings: Settings) -> Adapters:
    """The adapters that the settings name, on a home that exists."""
    from sottovoce.adapters.backup_restore import HomeLock, reap_trials
    from sottovoce.adapters.blobs_file import FileBlobs
    from sottovoce.adapters.clock_system import OsEntropy, SystemClock
    from sottovoce.adapters.database import SqliteDatabase
    from sottovoce.adapters.extractor import SealedExtractor
    from sottovoce.adapters.keys_local import LocalKeys
    from sottovoce.adapters.keystore_sqlite import SqliteKeyStore
    from sottovoce.adapters.liveness_file import FileLiveness
    from sottovoce.adapters.models_folder import FolderModels, ShippedModels
    from sottovoce.adapters.tombstones_file import FileTombstones

    _ = settings.attributes  # refuses to start before anything is made (C35a)
    witnesses = _witnesses(settings)
    entropy = OsEntropy()
    home, keys = settings.home, settings.keys_folder
    passphrase = settings.read_passphrase()
    _make_home(home, keys)
    lock = HomeLock(home)
    lock.share()  # finishes or undoes a restore that was interrupted here
    reap_trials(home)
    database = SqliteDatabase(settings.database_path, busy_timeout_s=settings.busy_timeout_s)
    long_lived = SqliteKeyStore(keys / "keys.db", busy_timeout_s=settings.busy_timeout_s)
    short_lived = SqliteKeyStore(keys / "audio-keys.db", busy_timeout_s=settings.busy_timeout_s)
    extractor = SealedExtractor(required_level=settings.sandbox, idle_children=settings.idle_children)
    liveness = FileLiveness(home / "run", random_bytes=entropy)
    return Adapters(
        database=database,
        keys=LocalKeys(keys / "kek", passphrase=passphrase),
        long_lived=long_lived,
        short_lived=short_lived,
        bodies=FileBlobs(home / "bodies"),
        receipt_copies=FileBlobs(home / "receipts", durable=False),
        recipients=FileBlobs(home / "recipients"),
        extractor=extractor,
        liveness=liveness,
        clock=SystemClock(),
        entropy=entropy,
        witnesses=witnesses,
        models=FolderModels(home / "models"),
        shipped_models=ShippedModels(files("sottovoce") / "data" / "models"),
        tombstones=FileTombstones(settings.tombstones_path),
        closing=(
            extractor.close,
            liveness.close,
            database.close,
            long_lived.close,
            short_lived.close,
            lock.close,
        ),
    )


def _witnesses(settings: Settings) -> tuple[Witness, ...]:
    """One adapter for each witness that the settings name; imported only when named."""
    made: list[Witness] = []
    for scheme, words in settings.witness_parts:
        if scheme == "file":
            from sottovoce.adapters.witness_file import FileWitness

            made.append(FileWitness(Path(words[0])))
        elif scheme == "syslog":
            from sottovoce.adapters.witness_syslog import SyslogWitness

            made.append(SyslogWitness())
        else:
            from sottovoce.adapters.witness_command import CommandWitness

            made.append(CommandWitness(words))
    return tuple(made)


def _make_home(home: Path, keys: Path) -> None:
    try:
        for folder in (home, keys, home / "run", home / "bodies", home / "receipts"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise StorageError(
            "The home cannot be made or written.",
            hint="Check the path and permissions of --home.",
            reason="home",
        ) from None
