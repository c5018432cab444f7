"""The fuse box of backups: a home restored aside with everything checked, tried by a drill, or put in its place.

    from sottovoce.app_backup import restore_backup

    restore_backup(home="/srv/new", data=..., keys=..., tombstones=...)

Stands above `app`, because a restored home is a whole Platform before anybody is served from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sottovoce import settings as configuration
from sottovoce.adapters import backup_files, backup_restore, backup_sqlite
from sottovoce.adapters.clock_system import OsEntropy, SystemClock
from sottovoce.adapters.database.schema import REVISIONS
from sottovoce.adapters.keys_local import LocalKeys
from sottovoce.adapters.keystore_sqlite import SCHEMA_VERSION, SqliteKeyStore
from sottovoce.adapters.tombstones_file import FileTombstones
from sottovoce.app import IDENTITY_NAME, LIBRARY, Adapters, Platform, connect, pinned_document
from sottovoce.errors import IntegrityError, SottovoceError
from sottovoce.model.backup import (
    DATABASE_NAME,
    KEY_STORE_NAME,
    DrillReport,
    Half,
    ListedBackup,
    Manifest,
    RestoreReport,
    Settled,
    VerifiedBackup,
    is_of_model,
)
from sottovoce.model.purpose import SUBJECT_ACCESS
from sottovoce.model.tombstones import missing as tombstones_missing
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases import backup_check, restoring
from sottovoce.usecases.backup import write_drill
from sottovoce.usecases.keyring import Keyring

if TYPE_CHECKING:
    from sottovoce.model.outcome import SweepReport
    from sottovoce.model.subject import Caller
    from sottovoce.ports import Keys
    from sottovoce.settings import Settings

_TOMBSTONES = "tombstones.log"
_MODELS = "models"
_AUDIO_KEYS = "audio-keys.db"
_LEFT_TO_THE_HOME = {
    "epoch_overdue"
}  # its epoch is ended by the home that is served: the provider is only borrowed


@dataclass(frozen=True, slots=True)
class _Given:
    """What a restore is made of."""

    data: Path
    keys: Path
    tombstones: tuple[Path, ...]  # the newest of them counts
    pinned: str | None  # identity document, where one was pinned before
    provider: Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class _Revived:
    """A restored home that nobody serves yet."""

    platform: Platform
    data: Manifest
    keys: Manifest
    log_size: int
    settled: Settled
    swept: SweepReport
    findings: tuple[str, ...]


def list_backups(folder: Path) -> tuple[ListedBackup, ...]:
    """The backups in a folder as they describe themselves; nothing is verified. InputUnreadable."""
    return backup_check.listed(backup_files.halves(folder))


def backup_folders(folder: Path) -> tuple[Path, ...]:
    """The folder itself where it is one backup, else those in it. InputUnreadable (reason `manifest_missing`) where
    there is none."""
    found = tuple(half.folder for half in backup_files.halves(folder))
    if not found:
        raise backup_files.no_manifest()
    return found


def verify_backups(
    folder: Path, *, key: str | None = None, home: Path | None = None
) -> tuple[VerifiedBackup, ...]:
    """Check one backup, or all of a folder, against a pinned key (`key`, else the home's pin): signature, files,
    versions, and whether the epoch of the keys is alive where the home is at hand. IntegrityError (reasons
    `manifest_malformed`, `signature_broken`, `backup_incomplete`, `backup_altered`, `backup_damaged`, `other_home`),
    UnknownSigner, SchemaNewer, InputUnreadable."""
    settings = configuration.load(home=home)
    trusted = receipts.trusted_keys(pinned_document(key, settings.home))
    alive = None
    if (settings.home / IDENTITY_NAME).exists():
        alive = frozenset(LocalKeys(settings.keys_folder / "kek").epochs())  # asks for no passphrase
    found = []
    for half in map(backup_files.HalfFolder, backup_folders(folder)):
        said = backup_check.verify_manifest(half.manifest(), trusted=trusted)
        _known_versions().check(said)
        backup_check.check_files(half, said)
        backup_sqlite.check_whole(half.path(DATABASE_NAME if said.half is Half.DATA else KEY_STORE_NAME))
        asked = None if alive is None or said.half is Half.DATA else said.epoch in alive
        found.append(VerifiedBackup(half.name, said, asked))
    return tuple(found)


def restore_backup(
    target: str | Settings | None = None, /, *, data: Path, keys: Path, tombstones: Path, replace: bool = False,
    key: str | None = None, caller: Caller = LIBRARY, **given: object,
) -> RestoreReport:  # fmt: skip
    """Bring a home back from the two halves of a backup and its file of tombstones, all of it or nothing.

    The home is made and checked aside, and put in place in one step. `data`, `keys` and `tombstones` are the sources;
    where the home has settings of these names, give a Settings as the target. `key`: the identity document that
    was pinned (else that of the home that is replaced); the signer has to be the identity that the operator's own KEK
    opens anyway.
    Conflict (reason `home_not_empty`), StorageError (reason `home_in_use`), KeyUnavailable (reasons `epoch_ended`,
    `kek_missing`, `kek_wrong`), IntegrityError (as verify_backups; reasons `backup_halves`, `tombstones_missing`,
    `tombstones_cut`, `tombstones_damaged`, `identity_replaced`, `restore_unsound`).
    """
    settings = configuration.load(target, **given)
    home, places = settings.home, _places(settings)
    lock = backup_restore.HomeLock(home)
    lock.alone()
    try:
        backup_restore.recover(home)
        backup_check.check_tries(any(place.exists() for place in places.values()), replace=replace)
        pin = home / IDENTITY_NAME
        pinned = key if key is not None or not pin.exists() else pin.read_text(errors="replace")
        own = (settings.tombstones_path,) if settings.tombstones_path.exists() else ()
        parts = _Given(data, keys, (tombstones, *own), pinned, _provider(settings))
        with backup_restore.prepared(home) as folder:
            with _revived(settings, folder, parts, caller=caller) as revived:
                report = _report(revived, replaced=replace)
            _check_sound(report)
            files = {folder / name: place for name, place in places.items()}
            files[folder / _TOMBSTONES] = settings.tombstones_path
            backup_restore.install(
                home, files, ("bodies", "receipts", _MODELS), growing=settings.tombstones_path
            )
    finally:
        lock.close()
    return report


def drill_backup(
    platform: Platform,
    *,
    data: Path,
    keys: Path,
    tombstones: Path,
    sample: int = 100,
    caller: Caller = LIBRARY,
) -> DrillReport:
    """Restore into a folder that is destroyed afterwards, and say what came back; the audit log of the home of
    `platform` keeps the result, whatever it is. Errors as of `restore_backup`."""
    adapters = platform._adapters
    started_s = adapters.clock.monotonic_s()
    given = _Given(data, keys, (tombstones,), platform.identity(), adapters.keys)
    try:
        with (
            backup_restore.trial(platform.home, adapters.entropy(8).hex()) as folder,
            _revived(platform.settings, folder, given, caller=caller) as home,
        ):
            records, tried, opened = home.platform._sampling.open_some(sample)
            models = _model_trial(home.platform, caller=caller)
            refused, decision = models.refused(), models.replay_one()
            took = timedelta(seconds=adapters.clock.monotonic_s() - started_s)
            report = DrillReport(
                pair=home.data.pair, data_at=home.data.created_at, records=records, sampled=tried, opened=opened,
                log_intact=home.platform.verify_audit().intact, findings=home.findings,
                replayed=home.platform.replayed.entries, took=took, models=_models(home),
                models_refused=refused, decision=decision, recipient_keys=home.data.recipient_keys,
            )  # fmt: skip
    except SottovoceError as error:
        code = error.public_code
        platform._verb(lambda: write_drill(adapters.database, platform._trail, code, caller=caller))
        raise
    platform._verb(lambda: write_drill(adapters.database, platform._trail, report, caller=caller))
    return report


# --- a home made aside -------------------------------------------------------------------------------------


@contextmanager
def _revived(settings: Settings, folder: Path, given: _Given, *, caller: Caller) -> Iterator[_Revived]:
    """A whole home of a backup in a folder of its own: checked, replayed, put in order, and closed again."""
    halves = backup_files.HalfFolder(given.data), backup_files.HalfFolder(given.keys)
    texts = halves[0].manifest(), halves[1].manifest()
    data, keys = backup_check.claimed(texts[0]), backup_check.claimed(texts[1])
    backup_check.check_pair(data, keys, tenant=settings.tenant)
    for said in (data, keys):
        _known_versions().check(said)
    backup_check.check_epoch(keys.epoch, given.provider.epochs())
    with backup_restore.our_errors():
        _lay_out(folder, halves, (data, keys), given.tombstones)
    inside = settings.model_copy(
        update={"home": folder, "database": None, "keys": "local:", "tombstones": None, "witnesses": ()}
    )
    provider = restoring.BorrowedKeys(given.provider, frozenset({keys.epoch}))
    trusted = _trusted_by_keys(inside, provider, given.pinned)
    for text in texts:
        backup_check.verify_manifest(text, trusted=trusted)
    platform = Platform(assembled(inside, provider), inside)
    try:
        yield _in_order(platform, data, keys, caller=caller)
    finally:
        platform.close()


def assembled(inside: Settings, provider: Keys) -> Adapters:
    """The adapters of a home that is only being tried, on a borrowed provider."""
    return replace(connect(inside), keys=provider)


def _in_order(platform: Platform, data: Manifest, keys: Manifest, *, caller: Caller) -> _Revived:
    """Replay, sweep, settle, write down; then look."""
    platform.keyring.set_up()
    platform._number()
    log = platform._settling.log_of_the_backup()
    settled = platform._settling.before_replay(caller=caller)
    swept = platform.start()
    platform._replay.destroy_keys()
    settled = platform._settling.after_replay(settled, caller=caller)
    platform._settling.write_down(data, keys, log, settled, caller=caller)
    platform._heads.sign()
    platform._number()
    found = {finding.code for finding in platform.fsck(repair=True, caller=caller).findings}
    return _Revived(
        platform=platform, data=data, keys=keys, log_size=log.size, settled=settled, swept=swept,
        findings=tuple(sorted(found - _LEFT_TO_THE_HOME)),
    )  # fmt: skip


def _lay_out(
    folder: Path,
    halves: Sequence[backup_files.HalfFolder],
    said: Sequence[Manifest],
    tombstones: Sequence[Path],
) -> None:
    """Copy what the halves have, and the newest file of tombstones; what was copied is what is checked."""
    places = {DATABASE_NAME: DATABASE_NAME, KEY_STORE_NAME: f"keys/{KEY_STORE_NAME}"}
    for half, manifest in zip(halves, said, strict=True):
        backup_check.check_files(half, manifest)
        if manifest.models is not None:
            (folder / _MODELS).mkdir(mode=0o700, parents=True)
        for file in manifest.files:
            if file.name == IDENTITY_NAME and manifest.half is Half.DATA:
                continue  # that of the half with the keys, whose private half is beside it
            place = f"{_MODELS}/{file.name}" if is_of_model(file.name) else places.get(file.name, file.name)
            backup_restore.copy_private(half.path(file.name), folder / place)
            backup_check.check_copy(backup_files.digest(folder / place), file)
    there = [path for path in tombstones if path.is_file()]
    if not tombstones[0].is_file():
        raise tombstones_missing()
    files = [FileTombstones(path) for path in there]
    newest = backup_check.newest_of(files)
    backup_check.check_tombstones(files[newest], said)
    backup_restore.copy_private(there[newest], folder / _TOMBSTONES)


def _trusted_by_keys(inside: Settings, provider: Keys, pinned: str | None) -> dict[str, bytes]:
    """The keys of the identity that the copied key store holds, before anything else of the backup is believed."""
    store = SqliteKeyStore(inside.keys_folder / KEY_STORE_NAME)
    try:
        keyring = Keyring(
            provider=provider, long_lived=store, short_lived=store, random_bytes=OsEntropy(), clock=SystemClock(),
            tenant=inside.tenant,
        )  # fmt: skip
        document = (inside.home / IDENTITY_NAME).read_text(errors="replace")
        return restoring.trusted_by(keyring, document, pinned=pinned)
    finally:
        store.close()


def _model_trial(platform: Platform, *, caller: Caller) -> restoring.ModelTrial:
    return restoring.ModelTrial(
        database=platform._adapters.database, models=platform._adapters.models, registry=platform._registry,
        replay=lambda one: platform.replay(one, purpose=SUBJECT_ACCESS, caller=caller),
    )  # fmt: skip


def _models(revived: _Revived) -> tuple[str, ...] | None:
    """Those that came back; None where the backup is from before they were part of one."""
    return None if revived.data.models is None else revived.platform._adapters.models.hashes()


def _report(revived: _Revived, *, replaced: bool) -> RestoreReport:
    with revived.platform._adapters.database.read() as tx:
        people, now = len(tx.subjects.ids()), tx.now()
        records = sum(row.count for row in tx.footprint() if row.kind in restoring.OPENED)
        feeds = sum(one.is_told for one in tx.recipients.all(revived.platform.settings.tenant))
    replayed, models = revived.platform.replayed, _models(revived)
    return RestoreReport(
        pair=revived.data.pair, data_at=revived.data.created_at, keys_at=revived.keys.created_at, restored_at=now,
        log_size=revived.log_size, replayed=replayed.entries, settled=revived.settled, erasures=replayed.erased,
        expired=revived.swept.records_expired, findings=revived.findings, replaced=replaced, people=people,
        records=records, feeds=feeds, models=models,
        models_removed=len({*(revived.data.models or ())} - {*(models or ())}),
        recipient_keys=revived.data.recipient_keys,
    )  # fmt: skip


def _check_sound(report: RestoreReport) -> None:
    """A home in use is not given up for one that is not as promised; where there is none, half a home is better."""
    if report.replaced and report.findings:
        raise IntegrityError(
            f"The restored home is not as promised, so the home in use stays: {', '.join(report.findings)}.",
            hint="Restore into another --home, and look at it with `sottovoce fsck`.",
            reason="restore_unsound",
        )


def _known_versions() -> backup_check.Known:
    versions = frozenset(str(version) for version in range(1, SCHEMA_VERSION + 1))
    return backup_check.Known(frozenset(REVISIONS), versions)


def _places(settings: Settings) -> dict[str, Path]:
    """Files of a home by where they stand in one that is made aside, but for the tombstones."""
    return {
        DATABASE_NAME: settings.database_path,
        f"keys/{KEY_STORE_NAME}": settings.keys_folder / KEY_STORE_NAME,
        f"keys/{_AUDIO_KEYS}": settings.keys_folder / _AUDIO_KEYS,
        IDENTITY_NAME: settings.home / IDENTITY_NAME,
    }


def _provider(settings: Settings) -> Keys:
    return LocalKeys(settings.keys_folder / "kek", passphrase=settings.read_passphrase())
