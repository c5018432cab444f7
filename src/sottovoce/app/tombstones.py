"""The file of tombstones of a home that may be closed by it: looked at, and begun anew where it is lost for good.

with tombstone_desk(home="/srv/voices") as desk:
    print(desk.view())
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sottovoce import settings as configuration
from sottovoce.app.connecting import connect
from sottovoce.app.hall import LIBRARY
from sottovoce.app.offline import IDENTITY_NAME
from sottovoce.app.platform import Platform
from sottovoce.errors import NotFound, SottovoceError
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings
from sottovoce.usecases.tombstone_rebuild import RebuiltTombstones, TombstonesView


@contextmanager
def tombstone_desk(
    target: str | Settings | None = None, /, *, alone: bool = False, **given: object
) -> Iterator[TombstoneDesk]:
    """The file of tombstones of a home that may be closed by it: nothing of the home is opened, swept or served.
    NotFound where there is no home; with `alone`, StorageError (reason `home_in_use`) while anybody has it open."""
    from sottovoce.adapters.backup_restore import HomeLock

    settings = configuration.load(target, **given)
    if not (settings.home / IDENTITY_NAME).exists() or not settings.database_path.exists():
        raise NotFound("There is no home here.", hint="Name one with --home.")
    if alone:
        lock = HomeLock(settings.home)
        lock.alone()
        lock.close()  # whoever opens it from here on waits for the write lock of the database
    platform = Platform(connect(settings), settings)
    try:
        platform._pin.check_key_store(platform.keyring)
        yield TombstoneDesk(platform)
    finally:
        platform.close()


@dataclass(frozen=True)
class TombstoneDesk:
    """Looks at the file of tombstones, and begins a new one where it is lost for good."""

    _platform: Platform

    @property
    def path(self) -> Path:
        return self._platform.settings.tombstones_path

    def view(self) -> TombstonesView:
        """Head, entries by kind, how far it is signed, and whether it is whole. StorageError, SchemaNewer."""
        return self._platform._rebuilding.view()

    def rebuild(self, *, caller: Caller = LIBRARY) -> RebuiltTombstones:
        """Put the broken file aside and write a new one (usecases/tombstone_rebuild.py); its head is signed. Backups
        made before cannot be restored any more. Conflict (reason `tombstones_whole`), StorageError, KeyUnavailable."""
        platform = self._platform
        rebuilt = platform._verb(lambda: platform._rebuilding.rebuild(caller=caller))
        with suppress(SottovoceError):  # signed by the next start, where it cannot be now (F16)
            platform._heads.sign()
            platform._deliver()
        return rebuilt
