"""backup create, list, verify, restore, drill: copies of a home in two halves, and whether they bring it back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import INTEGRITY, KEYS, OK, SOME_FAILED, combined, exit_code, hint
from sottovoce.doors.cli.files import read_text
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside
from sottovoce.errors import SottovoceError, UsageError
from sottovoce.model.backup import (
    DrillReport,
    Half,
    ListedBackup,
    MadeBackup,
    Manifest,
    RestoreReport,
    VerifiedBackup,
)

app = App(name="backup", help="Back up this home in two halves, and bring it back.")

_HASH = 12  # characters of a model's hash that are shown

DataHalf = Annotated[Path, Parameter(help="The half with the data: one folder that `backup create` made.")]
KeysHalf = Annotated[
    Path, Parameter(help="The half with the key store: one folder that `backup create` made.")
]
TombstoneFile = Annotated[
    Path,
    Parameter(help="The newest file of tombstones (in the home: tombstones.log). There is no way without."),
]
Key = Annotated[Path | None, Parameter(help="The home's identity file (else what this home has pinned).")]


@app.command
def create(
    *,
    data: Annotated[Path, Parameter(help="The folder that takes the half with the data.")],
    keys: Annotated[Path, Parameter(help="Another folder, for the half with the key store.")],
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Copy data and key store to two folders while others work.

    Each half is a new sub-folder with a signed manifest. Model files of your own
    go with the data. Neither half holds a key of the provider (KEK), audio, a key
    of audio, the private half of a recipient key, or the tombstones: see
    docs/how-to/back-up-and-restore.md for what to keep yourself, and what a loss
    costs. Make one after every rotation: a copy of the key store dies with its
    epoch.

    For example:
      sottovoce backup create --data /mnt/backup/data --keys /mnt/safe/keys
    """
    with world.open(common) as platform, world.console.progress("copying the home"):
        made = platform.create_backup(data=data, keys=keys, caller=CALLER)
    payload: payloads.Json = {
        "pair": made.data.pair,
        "took_s": round(made.took.total_seconds(), 3),
        "data": {"folder": str(data / made.data_name), **_payload(made.data)},
        "keys": {"folder": str(keys / made.keys_name), **_payload(made.keys)},
    }
    world.answer(common, payload, _made(made, data, keys))
    return OK


@app.command(name="list")
def list_(
    folder: Annotated[Path, Parameter(help="A folder of backups.")],
    /,
    *,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """List the backups in a folder as they describe themselves.

    Nothing is verified: see `backup verify`.

    For example:
      sottovoce backup list /mnt/backup/data
    """
    from sottovoce import app_backup as house

    found = house.list_backups(folder)
    world.answer(common, [_listed_payload(one) for one in found], _listed(found))
    return OK


@app.command
def verify(
    folder: Annotated[Path, Parameter(help="One backup, or a folder of backups.")],
    /,
    *,
    key: Key = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Check backups: signature, files, and whether the keys still open.

    Told apart: an altered file, a missing file, a manifest that is none, a backup
    of another home, an unknown signer, a newer version. Says which models are in
    it, and how many recipient keys are not.

    For example:
      sottovoce backup verify /mnt/backup/data
      sottovoce backup verify /mnt/safe/keys --key clinic.identity.json
    """
    from sottovoce import app_backup as house

    trusted = None if key is None else read_text(key)
    found: list[VerifiedBackup] = []
    broken: dict[str, SottovoceError] = {}
    with world.console.progress("checking the backups"):
        for half in house.backup_folders(folder):
            try:
                found += house.verify_backups(half, key=trusted, home=common.folder)
            except SottovoceError as problem:
                broken[half.name] = problem
    payload = [_verified_payload(one) for one in found]
    payload += [{"name": name, "verified": False, **error.to_dict()} for name, error in broken.items()]
    world.answer(common, payload, _verified(found))
    for name, error in broken.items():
        world.console.error(what=error.message, code=error.public_code, hint=hint(error), about=name)
    dead = [one.name for one in found if one.epoch_alive is False]
    for name in dead:
        world.console.error(
            what="Its epoch has ended, or the key of it is not at hand: it opens nothing.",
            code="epoch_ended", hint="Make a new pair with `sottovoce backup create`.", about=name,
        )  # fmt: skip
    codes = [exit_code(error) for error in broken.values()] + [KEYS] * len(dead)
    return combined([*codes, *([OK] * (len(found) - len(dead)))])


@app.command
def restore(
    *,
    data: DataHalf,
    keys: KeysHalf,
    tombstones: TombstoneFile,
    replace: Annotated[
        bool, Parameter(help="Put it in the place of a home in use, which is destroyed.")
    ] = False,
    key: Key = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Bring a home back from two halves and the tombstones.

    All of it comes back, or nothing does.
    Needs the provider's key (local: put the folder keys/kek into the new home).
    Before anything is served, what was erased, withdrawn or restricted since the
    backup is done again from the tombstones, models that were removed stay so, and
    what is overdue is swept. What happened after the backup is lost; what that is,
    is printed. Recordings in flight end without a result, and what was sealed to a
    recipient key of the lost home stays closed: their keys are in no backup.

    For example:
      sottovoce backup restore --home /srv/new --data B/data-half --keys B/keys-half --tombstones tombstones.log
    """
    from sottovoce import app_backup as house

    trusted = None if key is None else read_text(key)
    with world.console.progress("restoring the home"):
        report = house.restore_backup(
            home=common.folder, data=data, keys=keys, tombstones=tombstones, replace=replace, key=trusted,
            caller=CALLER,
        )  # fmt: skip
    world.answer(common, _restored_payload(report), _restored(report))
    if report.findings:
        world.console.error(
            what=f"The home is restored, and fsck finds {len(report.findings)} things that are not as promised.",
            code="integrity",
            hint="Run `sottovoce fsck`; docs/how-to/check-a-home.md explains each finding.",
        )
        return INTEGRITY
    return OK


@app.command
def drill(
    *,
    data: DataHalf,
    keys: KeysHalf,
    tombstones: TombstoneFile,
    sample: Annotated[int, Parameter(help="At most so many records are opened.")] = 100,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Try a restore in a folder that is destroyed afterwards.

    Opens a sample of the records (and shows none), verifies your own models and
    computes one of their decisions once more, replays the tombstones, checks the
    audit log and the invariants. The result stands in the audit log of this
    home, as a record of periodic tests; `sottovoce doctor` says when the last was.

    For example:
      sottovoce backup drill --data B/data-half --keys B/keys-half --tombstones ~/voices/tombstones.log
    """
    if sample < 1:
        raise UsageError("At least one record has to be opened.", reason="sample")
    from sottovoce import app_backup as house

    with world.open(common) as platform, world.console.progress("trying the backup"):
        report = house.drill_backup(
            platform, data=data, keys=keys, tombstones=tombstones, sample=sample, caller=CALLER
        )
    world.answer(common, _drill_payload(report), _drilled(report))
    if report.sound:
        return OK
    world.console.error(
        what="The drill found something: this backup does not bring back all that it should.",
        code="drill_failed",
        hint="Make a new pair and try again; `sottovoce fsck` checks the home itself.",
    )
    return SOME_FAILED


# --- as JSON -----------------------------------------------------------------------------------------------


def _payload(manifest: Manifest) -> payloads.Json:
    return {
        "half": str(manifest.half),
        "pair": manifest.pair,
        "home": manifest.home,
        "tenant": manifest.tenant,
        "schema": manifest.schema,
        "created_at": payloads.when(manifest.created_at),
        "size_bytes": manifest.size_bytes,
        "epoch": manifest.epoch,
        "log_size": manifest.log_size,
        "tombstones": manifest.tombstones,
        "worthless_after": manifest.worthless_after,
        "format": manifest.format,
        "models": _hashes(manifest.models),
        "left_out": {"recipient_keys": manifest.recipient_keys},
    }


def _hashes(models: tuple[str, ...] | None) -> list[str] | None:
    return None if models is None else list(models)


def _listed_payload(one: ListedBackup) -> dict[str, object]:
    said = {} if one.manifest is None else _payload(one.manifest)
    return {"name": one.name, "problem": one.problem or None, **said}


def _verified_payload(one: VerifiedBackup) -> dict[str, object]:
    return {"name": one.name, "verified": True, "epoch_alive": one.epoch_alive, **_payload(one.manifest)}


def _restored_payload(report: RestoreReport) -> payloads.Json:
    settled = report.settled
    return {
        "pair": report.pair,
        "data_at": payloads.when(report.data_at),
        "keys_at": payloads.when(report.keys_at),
        "restored_at": payloads.when(report.restored_at),
        "lost": {
            "from": payloads.when(report.data_at),
            "to": payloads.when(report.restored_at),
            "people_without_keys": settled.lost_people,
            "records_without_keys": settled.lost_records,
            "recordings_in_flight": settled.in_flight,
            "recipients_without_keys": settled.recipients_ended,
            "recipient_keys": report.recipient_keys,
        },
        "models": _hashes(report.models),
        "models_removed_since": report.models_removed,
        "log_size": report.log_size,
        "tombstones_replayed": report.replayed,
        "erasures": report.erasures,
        "records_expired": report.expired,
        "keys_collected": settled.keys_collected,
        "people": report.people,
        "records": report.records,
        "feeds": {"recipients": report.feeds, "read_anew_where": "forked", "handed_over_since": "unknown"},
        "replaced": report.replaced,
        "findings": list(report.findings),
    }


def _drill_payload(report: DrillReport) -> payloads.Json:
    return {
        "sound": report.sound,
        "pair": report.pair,
        "data_at": payloads.when(report.data_at),
        "records": report.records,
        "sampled": report.sampled,
        "opened": report.opened,
        "log_intact": report.log_intact,
        "tombstones_replayed": report.replayed,
        "findings": list(report.findings),
        "models": _hashes(report.models),
        "models_refused": list(report.models_refused),
        "decision": report.decision,
        "left_out": {"recipient_keys": report.recipient_keys},
        "took_s": round(report.took.total_seconds(), 3),
    }


# --- for people --------------------------------------------------------------------------------------------


def _made(made: MadeBackup, data: Path, keys: Path) -> str:
    rows = [
        ("pair", made.data.pair),
        ("data", f"{printable(str(data / made.data_name))}, {_size(made.data)}"),
        ("keys", f"{printable(str(keys / made.keys_name))}, {_size(made.keys)}"),
        ("epoch", f"{made.keys.epoch}; this copy of the keys opens until {made.keys.worthless_after}"),
        ("models", _models(made.data.models)),
        ("tombstones", f"{made.data.tombstones}; their file is not in it, keep it apart"),
        ("took", f"{made.took.total_seconds():.2f} s"),
    ]
    if made.data.recipient_keys:
        rows.insert(
            -2, ("recipient keys", f"{_left_out(made.data.recipient_keys)}; take in what was sealed to them")
        )
    return render.table(rows, indent=0)


def _listed(found: tuple[ListedBackup, ...]) -> str:
    if not found:
        return "There is no backup in this folder."
    rows = [("folder", "half", "made", "size", "epoch", "models", "recipient keys", "pair")]
    for one in found:
        if one.manifest is None:
            rows.append((printable(one.name), "-", "-", "-", "-", "-", "-", one.problem))
        else:
            said = one.manifest
            rows.append(
                (
                    printable(one.name), str(said.half), render.moment(said.created_at), _size(said),
                    str(said.epoch), _counted(said), _left_out(said.recipient_keys), said.pair,
                )
            )  # fmt: skip
    return render.table(rows, indent=0)


def _verified(found: Sequence[VerifiedBackup]) -> str:
    alive = {True: "its key is alive", False: "its key is gone: it opens nothing", None: ""}
    rows = [
        (
            printable(one.name), "verified", str(one.manifest.half), render.moment(one.manifest.created_at),
            f"epoch {one.manifest.epoch}", _verified_parts(one.manifest), alive[one.epoch_alive],
        )
        for one in found
    ]  # fmt: skip
    return render.table(rows, indent=0) or "No backup is what it should be."


def _restored(report: RestoreReport) -> str:
    settled = report.settled
    lost = f"what happened from {render.moment(report.data_at)} to {render.moment(report.restored_at)}"
    lost += (
        f"; {settled.lost_people} people and {settled.lost_records} records whose keys were not in the backup"
    )
    lost += f"; {settled.in_flight} recordings in flight"
    done = f"{report.replayed} tombstones that the backup did not know; {report.erasures} erasures carried out again"
    if report.recipient_keys != 0:
        lost += f"; recipient keys: {_left_out(report.recipient_keys)}, what was sealed to them stays closed"
    rows = [
        ("restored", f"{report.people} people, {report.records} records, from {report.pair}"),
        ("models", _restored_models(report)),
        ("lost", lost),
        ("replayed", done),
        ("swept", f"{report.expired} records past their date, {settled.keys_collected} keys without data"),
        (
            "audit log",
            f"{report.log_size} entries of the backup; checkpoints beyond are explained by this restore",
        ),
        ("fsck", ", ".join(report.findings) or "clean"),
    ]
    if report.feeds:
        rows.append(("feeds", _feeds(report)))
    if report.replaced:
        rows.append(("replaced", "the home that was here; its files are overwritten and unlinked"))
    return render.table(rows, indent=0)


def _feeds(report: RestoreReport) -> str:
    """What the recipients' feeds need after a restore."""
    words = f"{report.feeds} recipients: who had read further than the backup refuses the feed (forked) and reads "
    words += (
        "it anew; what was handed over since is not known: write it down with `sottovoce recipients disclose`"
    )
    if report.settled.recipients_ended:
        words += f"; {report.settled.recipients_ended} ended, because their keys were not in the backup: add them anew"
    return words


def _drilled(report: DrillReport) -> str:
    rows = [
        ("drill", "everything came back" if report.sound else "NOT everything came back"),
        ("backup", f"{report.pair}, of {render.moment(report.data_at)}"),
        ("opened", f"{report.opened} of {report.sampled} records tried, of {report.records}"),
        ("models", _drilled_models(report)),
        ("replayed", f"{report.replayed} tombstones that the backup did not know"),
        ("audit log", "verifies" if report.log_intact else "does not verify"),
        ("fsck", ", ".join(report.findings) or "clean"),
        ("took", f"{report.took.total_seconds():.2f} s; the copy is destroyed"),
    ]
    return render.table(rows, indent=0)


def _models(models: tuple[str, ...] | None) -> str:
    """How many of the home's own; their hashes, shortened."""
    if models is None:
        return "in no half: this backup is from before they were part of one"
    return f"{len(models)} of your own" + "".join(f", {one[:_HASH]}" for one in models)


def _counted(manifest: Manifest) -> str:
    if manifest.half is not Half.DATA:
        return "-"
    return "not held" if manifest.models is None else str(len(manifest.models))


def _left_out(keys: int | None) -> str:
    return "not said" if keys is None else f"{keys}, in no backup" if keys else "none"


def _verified_parts(manifest: Manifest) -> str:
    said = f"recipient keys: {_left_out(manifest.recipient_keys)}"
    return f"models: {_counted(manifest)}; {said}" if manifest.half is Half.DATA else said


def _restored_models(report: RestoreReport) -> str:
    words = _models(report.models)
    if report.models is None:
        words += "; those that are here stay"
    if report.models_removed:
        words += f"; {report.models_removed} removed since, and not brought back"
    return words


def _drilled_models(report: DrillReport) -> str:
    words = _models(report.models)
    if report.models_refused:
        return f"{words}; REFUSED: {', '.join(report.models_refused)}"
    if report.models:
        words += f"; one decision computed again: {report.decision or 'none whose features are kept'}"
    return words


def _size(manifest: Manifest) -> str:
    return f"{manifest.size_bytes / 1024:.0f} KiB"
