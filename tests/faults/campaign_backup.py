"""The scenarios `backup` and `restore` of the campaign, and the boundaries of what they write beside the ports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sottovoce import app, app_backup
from sottovoce.adapters import backup_files, backup_restore
from sottovoce.errors import NotFound, SottovoceError
from sottovoce.model.tombstones import TombstoneKind

SCENARIOS = ("backup", "restore", "model-remove")
_ORIGINALS: dict[str, Callable[..., Any]] = {}


class Thinned:
    """Every eighth of the points, and those of models: until the home that is made aside is put in place, one is as
    good as another. With CAMPAIGN_EVERY=1 in the environment it is every one."""

    def __init__(self, points: Any) -> None:
        self.points, self.count = points, 0
        self.every = int(os.environ.get("CAMPAIGN_EVERY", "8"))

    @property
    def inside(self) -> int:
        return int(self.points.inside)

    @inside.setter
    def inside(self, value: int) -> None:
        self.points.inside = value

    def hit(self, name: str) -> None:
        self.count += int(self.points.armed)
        if self.count % self.every == 0 or "models." in name:
            self.points.hit(f"aside: {name}")

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        self.hit(f"before {name}")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
        self.hit(f"after {name}")


def watch(points: Any, watched: Callable[[Any, Any], Any]) -> None:
    """Points around every file that a backup or a restore writes, moves or destroys, and around every port of the home
    that is made aside (`watched`: adapters with points)."""
    _around(points, backup_files.FolderWriter, "copy", "backup file")
    _around(points, backup_files, "publish", "backup rename")
    for name in (
        "copy_private",
        "_write",
        "_lay",
        "commit",
        "put_in_place",
        "destroy",
        "finish",
        "sync_folder",
    ):
        _around(points, backup_restore, name, f"restore {name.strip('_')}")
    connect = _ORIGINALS.setdefault("assembled", app_backup.assembled)

    def assembled(inside: Any, provider: Any) -> Any:
        with points.around("restore stores made"):
            adapters = connect(inside, provider)
        return replace(watched(adapters, Thinned(points)), closing=adapters.closing)

    app_backup.assembled = assembled


def prepare(platform: app.Platform, source: Path) -> None:
    """A backup, and then a person erased, a model taken out and a recording submitted."""
    platform.grant(subject="bert", purposes=("voice_recording", "voice_analysis", "data_retention_30_days"))
    platform.analyze(source, subject="bert")
    create(platform, source)
    platform.erase(subject="bert")
    remove_model(platform, "accent")
    platform.submit(source, subject="anna")


def remove_model(platform: app.Platform, attribute: str = "apparent_sex") -> Any:
    (sha256,) = (one.sha256 for one in _own(platform) if one.attribute == attribute)
    platform.remove_model(sha256)
    return platform


def _own(platform: app.Platform) -> list[Any]:
    return [one for one in platform.models() if one.source == "own"]


def create(platform: app.Platform, source: Path) -> Any:
    return platform.create_backup(data=source.with_name("backups"), keys=source.with_name("safe"))


def restore(platform: app.Platform, source: Path) -> Any:
    """In the place of the home in use, which is closed first."""
    platform.close()
    (data,) = source.with_name("backups").iterdir()
    (keys,) = source.with_name("safe").iterdir()
    home = platform.home
    return app_backup.restore_backup(
        home=home, data=data, keys=keys, tombstones=home / "tombstones.log", replace=True
    )


def look(scenario: str, platform: app.Platform, source: Path, acknowledged: str | None) -> list[str]:
    """Every visible backup is whole; the home is the old one or the restored one, and nothing of the other is left."""
    if scenario == "backup":
        return _backups(platform, source, acknowledged)
    models = {one.attribute for one in _own(platform)}  # "-" of one that does not verify
    if scenario == "model-remove":
        known = "model_removed" in [entry.kind for entry in platform._adapters.tombstones.read()]
        if models - {"apparent_sex"} or (models and acknowledged is not None) or not (models or known):
            return ["a model is there by halves, or went without its tombstone"]
        return []
    dirty = [f"{path.name} is left" for path in platform.home.rglob("*") if _temporary(path)]
    try:
        platform.access_log(subject="bert")
        dirty.append("somebody who was erased is back")
    except NotFound:
        pass
    kinds = [entry.kind for entry in platform._adapters.tombstones.read()]
    restored = kinds.count(TombstoneKind.RESTORED)
    sessions = len(platform.sessions(subject="anna"))
    if (restored, sessions) not in ((0, 2), (1, 1)):
        dirty.append(f"{restored} restores are written down, and there are {sessions} sessions")
    if models != ({"apparent_sex"} if restored else {"apparent_sex", "health"}):
        dirty.append(f"{restored} restores are written down, and there are models of {sorted(models)}")
    if acknowledged is not None and not restored:
        dirty.append("an acknowledged restore was lost")
    return dirty


def _backups(platform: app.Platform, source: Path, acknowledged: str | None) -> list[str]:
    dirty = []
    for shelf in ("backups", "safe"):
        folder = source.with_name(shelf)
        try:
            found = app_backup.verify_backups(folder, home=platform.home) if folder.exists() else ()
        except SottovoceError as error:
            dirty.append(f"a visible backup is not whole: {error.public_code}")
            continue
        if acknowledged is not None and not found:
            dirty.append("an acknowledged backup is not there")
        dirty += ["a copy of the keys is dead" for one in found if one.epoch_alive is False]
        for said in (one.manifest for one in found):
            if said.recipient_keys != 1 or (said.models is not None and len(said.models) != 1):
                dirty.append(
                    "a backup has not the model, or does not tell of the recipient key that is left out"
                )
    return dirty


def _temporary(path: Path) -> bool:
    return path.name.endswith((".restored", ".replaced")) or path.name in ("restoring", "swap.json")


def _around(points: Any, owner: Any, name: str, label: str) -> None:
    """Points before and after a function; what it does within itself is one step."""
    plain = _ORIGINALS.setdefault(f"{owner.__name__}.{name}", getattr(owner, name))

    def call(*args: Any, **kwargs: Any) -> Any:
        if points.inside:
            return plain(*args, **kwargs)
        with points.around(label):
            return plain(*args, **kwargs)

    setattr(owner, name, call)
