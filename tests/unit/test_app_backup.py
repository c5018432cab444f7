"""Backups of real homes: made while others write, brought back, tried, refused; and what comes back with them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sottovoce import app, app_backup
from sottovoce.adapters import backup_files, backup_restore
from sottovoce.adapters.clock_system import SystemClock
from sottovoce.adapters.database import SqliteDatabase
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.app import Platform
from sottovoce.app_backup import restore_backup, verify_backups
from sottovoce.errors import (
    Conflict,
    IntegrityError,
    KeyUnavailable,
    NotFound,
    SchemaNewer,
    SottovoceError,
    StorageError,
    UnknownSigner,
    UsageError,
)
from sottovoce.model.backup import MadeBackup, RestoreReport
from sottovoce.model.consent import ConsentStatus
from sottovoce.model.features import Extraction, FeatureVector, Quality, SandboxLevel
from sottovoce.model.mark import REASONS, MarkKind
from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import RecordingState
from sottovoce.model.request import CaseKind
from sottovoce.model.subject import Caller
from sottovoce.ports import Descriptor, ExtractOptions, SealedBody
from sottovoce.sealing import receipt as receipts
from sottovoce.settings import Settings
from sottovoce.usecases.models import file_entries
from sottovoce.voice.models.card import FORMAT
from sottovoce.voice.models.network import About, Network, make_network
from sottovoce.voice.models.write_tflite import write_tflite

ALL = (VOICE_RECORDING, VOICE_ANALYSIS, RETENTION)
CALLER = Caller(actor="tester", channel="test")
VALUES = tuple(20.0 + i / 7 for i in range(88))


class SameAnswer(InlineExtractor):
    """Reads nothing and answers with the same numbers."""

    def level(self) -> SandboxLevel:
        return "rlimits"

    def extract(self, source: Descriptor | SealedBody, options: ExtractOptions) -> Extraction:
        features = FeatureVector(
            values=VALUES, profile="compat", version="egemaps-88/1", sample_rate_hz=16000
        )
        return Extraction(features, Quality(11.0, 500, 0.0, 31.5, "wav/pcm_16", 16000, 1, "0"))

    def close(self) -> None:
        return


class TwoDaysAgo(SystemClock):
    def now(self) -> datetime:
        return super().now() - timedelta(days=2)


@contextmanager
def opened(home: Path, **settings: Any) -> Iterator[Platform]:
    wanted = Settings(home=home, **settings)
    adapters = replace(app.connect(wanted), extractor=SameAnswer())
    with app.assemble(adapters, wanted) as platform:
        yield platform


@dataclass
class Place:
    """A home and its backups, in folders of a test."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def tombstones(self) -> Path:
        return self.home / "tombstones.log"

    @property
    def audio(self) -> Path:
        path = self.folder / "source.wav"
        if not path.exists():
            path.write_bytes(b"RIFF" + bytes(range(256)) * 40)
        return path

    def halves(self, made: MadeBackup) -> dict[str, Path]:
        return {
            "data": self.folder / "backups" / made.data_name,
            "keys": self.folder / "safe" / made.keys_name,
        }

    def create(self, platform: Platform) -> MadeBackup:
        return platform.create_backup(data=self.folder / "backups", keys=self.folder / "safe", caller=CALLER)

    def new_home(self, name: str = "new") -> Path:
        """Empty but for the key of the provider, which the operator brings."""
        home = self.folder / name
        home.mkdir(mode=0o700)
        shutil.copytree(self.home / "keys" / "kek", home / "keys" / "kek")
        return home

    def restore(self, made: MadeBackup, home: Path | None = None, **more: Any) -> RestoreReport:
        given = {"tombstones": self.tombstones, **self.halves(made), **more}
        return restore_backup(home=home or self.new_home(), caller=CALLER, **given)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def grant(platform: Platform, *people: str) -> None:
    for person in people:
        platform.grant(subject=person, purposes=ALL, caller=CALLER)


def internal(platform: Platform, subject: str) -> str:
    with platform._adapters.database.read() as tx:
        person = platform._record.people.find(tx, subject)
    assert person is not None
    return person.id


def files_with(folder: Path, *words: bytes) -> set[str]:
    """Names of the files below a folder that hold one of the words."""
    return {
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(word in path.read_bytes() for word in words)
    }


def reason(error: pytest.ExceptionInfo[SottovoceError]) -> str:
    return error.value.public_code


# --- making ------------------------------------------------------------------------------------------------


def test_M20_a_backup_holds_ciphertext_and_ids_and_no_audio_key_kek_or_tombstone(place: Place) -> None:
    """Whoever finds a backup reads nothing of what a person said, is or is called, and no recording can be opened."""
    canaries = ["canary-subject", "canary-evidence", "canary-note", "canary-proof", "canary-idempotency"]
    with opened(place.home) as platform:
        platform.grant(subject=canaries[0], purposes=ALL, evidence=canaries[1], caller=CALLER)
        platform.analyze(place.audio, subject=canaries[0], caller=CALLER)
        platform.submit(place.audio, subject=canaries[0], idempotency_key=canaries[4], caller=CALLER)
        platform.mark(
            subject=canaries[0],
            kind=MarkKind.CORRECTION,
            reason=next(iter(REASONS[MarkKind.CORRECTION])),
            note=canaries[2],
            caller=CALLER,
        )
        platform.open_request(subject=canaries[0], kind=CaseKind.ACCESS, proof=canaries[3], caller=CALLER)
        made = place.create(platform)
        audio_rows = list(platform._adapters.short_lived.list())
        bodies = [path.read_bytes()[200:264] for path in (place.home / "bodies").iterdir()]
    words = [one.encode() for one in canaries[:4]] + bodies
    words += [struct.pack("<f", VALUES[1]) + struct.pack("<f", VALUES[2]), struct.pack("<dd", *VALUES[1:3])]
    words += [row.wrapped for row in audio_rows] + [b"source.wav", place.audio.read_bytes()[64:128]]
    kek = json.loads((place.home / "keys" / "kek" / "kek-1.json").read_text())
    words += [kek["key"].encode(), base64.b64decode(kek["key"]), b"subject_erased", b'"kind":"begun"']
    halves = place.halves(made)
    assert bodies
    assert audio_rows
    for half in halves.values():
        assert files_with(half, *words) == set()
    names = {path.name for half in halves.values() for path in half.iterdir()}
    assert names == {"sottovoce.db", "keys.db", "identity.json", "manifest.json"}
    with sqlite3.connect(
        halves["data"] / "sottovoce.db"
    ) as copy:  # the control: what is in clear would be seen
        copy.execute("UPDATE subjects SET sealed_name = 'canary-subject'")
    assert files_with(halves["data"], *words) == {"sottovoce.db"}


def test_M20_halves_are_private_single_files_with_a_manifest_that_the_home_signed(place: Place) -> None:
    """Each half says in a signed manifest what it is of, how much it holds, and until when its keys open anything."""
    with opened(place.home) as platform:
        grant(platform, "anna")
        made = place.create(platform)
        trusted = receipts.trusted_keys(platform.identity())
    for name, half in place.halves(made).items():
        assert half.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in half.iterdir()} == {0o600}
        assert not [path for path in half.iterdir() if path.name.endswith(("-wal", "-shm", "-journal"))]
        body = receipts.verify((half / "manifest.json").read_text(), trusted=trusted).body
        assert body["half"] == name
        assert body["pair"] == made.data.pair
        assert "epoch 1 ends" in str(body["worthless_after"])
        assert "checkpoint" in body
    kinds = [one.manifest.half for one in verify_backups(place.folder / "safe", home=place.home)]
    assert kinds == ["keys"]


def test_halves_lie_apart_and_outside_of_the_home(place: Place) -> None:
    with opened(place.home) as platform:
        out = place.folder / "out"
        for data, keys in [
            (out, out), (out, out / "keys"), (out / "x", out), (place.home / "b", out), (out, place.home / "b"),
            (place.folder, out / "keys"), (place.folder.parent, out / "keys"),
        ]:  # fmt: skip
            with pytest.raises(UsageError) as error:
                platform.create_backup(data=data, keys=keys, caller=CALLER)
            assert reason(error) == "backup_folders"
    assert not out.exists()


def test_M20_a_backup_that_is_made_while_others_write_is_consistent(place: Place) -> None:
    """A backup made while people are taken in brings back only people whose records open, and a log that verifies."""
    stop, finished = threading.Event(), threading.Semaphore(0)
    with opened(place.home, busy_timeout_s=20.0) as platform:
        grant(platform, "anna")

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                grant(platform, f"person-{number}")
                platform.analyze(place.audio, subject=f"person-{number}", caller=CALLER)
                finished.release()

        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()
        try:
            made = [place.create(platform) for _ in range(3) if finished.acquire(timeout=60)]
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        assert len(made) == 3
        for one in made:
            drill = app_backup.drill_backup(
                platform, tombstones=place.tombstones, caller=CALLER, **place.halves(one)
            )
            assert drill.sound
            assert drill.opened == drill.sampled > 0


def test_a_rotation_in_the_middle_makes_no_dead_copy(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(place.home) as platform:
        grant(platform, "anna")
        again = backup_files.FolderWriter.again
        copied: list[str] = []
        copy = backup_files.FolderWriter.copy

        def copy_and_rotate(writer: Any, name: str, make: Callable[[Path], None]) -> Any:
            done = copy(writer, name, make)
            if name == "keys.db" and not copied:
                copied.append(name)
                platform.rotate_keys(caller=CALLER)
            return done

        monkeypatch.setattr(backup_files.FolderWriter, "copy", copy_and_rotate)
        made = place.create(platform)
        assert made.keys.epoch == 2
        monkeypatch.setattr(backup_files.FolderWriter, "copy", copy)
        monkeypatch.setattr(
            backup_files.FolderWriter, "copy",
            lambda writer, name, make: (copy(writer, name, make), name == "keys.db" and platform.rotate_keys())[0],
        )  # fmt: skip
        with pytest.raises(Conflict) as error:
            place.create(platform)
        assert reason(error) == "rotation_running"
        assert again is backup_files.FolderWriter.again
    assert len(list((place.folder / "safe").iterdir())) == 1


def test_doctor_tells_when_the_last_backup_and_drill_were(place: Place) -> None:
    with opened(place.home) as platform:

        def said() -> Any:
            return next(check for check in platform.doctor() if check.name == "backups")

        assert "none is in the audit log" in said().found
        grant(platform, "anna")
        made = place.create(platform)
        assert "last made" in said().found
        assert "no drill" in said().found
        app_backup.drill_backup(platform, tombstones=place.tombstones, caller=CALLER, **place.halves(made))
        assert "last drill" in said().found
        assert said().state == "ok"
        platform.rotate_keys(caller=CALLER)
        assert said().state == "warn"


# --- bringing back -----------------------------------------------------------------------------------------


def test_F30_F31_C11b_what_was_erased_since_is_in_no_byte_of_the_restored_home(place: Place) -> None:
    """An old backup brings back nobody who was erased, nothing that was withdrawn or restricted, and no erased session;
    everybody else is there as before."""
    with opened(place.home) as platform:
        grant(platform, "anna", "bert", "carl", "dora")
        sessions = {
            who: [platform.analyze(place.audio, subject=who, caller=CALLER).session_id for _ in range(2)]
            for who in ("anna", "bert", "carl", "dora")
        }
        ids = {who: internal(platform, who) for who in sessions}
        anna_rows = [row.wrapped for row in platform._adapters.long_lived.list(subject_id=ids["anna"])]
        bert_gone = sessions["bert"][0]
        with platform._adapters.database.read() as tx:
            records = [r for s in sessions["anna"] for r in tx.records.of_session(s)]
            of_bert = list(tx.records.of_session(bert_gone))
            anna = tx.subjects.get(ids["anna"])
        assert anna is not None
        made = place.create(platform)
        platform.erase(subject="anna", caller=CALLER)
        platform.erase(subject="bert", session_id=bert_gone, caller=CALLER)
        platform.withdraw(subject="carl", purposes=[VOICE_ANALYSIS], caller=CALLER)
        platform.mark(
            subject="dora",
            kind=MarkKind.RESTRICTION,
            reason=next(iter(REASONS[MarkKind.RESTRICTION])),
            caller=CALLER,
        )
        before = platform.show(sessions["bert"][1], purpose="subject_access", caller=CALLER).features
    words = [row[12:] for row in anna_rows] + [r.body[40:100] for r in (*records, *of_bert)]
    words += [anna.blind_index.encode(), anna.sealed_name[40:]]
    control = files_with(place.folder / "backups", *words) | files_with(place.folder / "safe", *words)
    assert control == {"sottovoce.db", "keys.db"}
    new = place.new_home()
    report = place.restore(made, new)
    assert (report.erasures, report.findings) == (2, ())
    assert files_with(new, *words) == set()
    with opened(new) as platform:
        with pytest.raises(NotFound):
            platform.access_log(subject="anna", caller=CALLER)
        assert [one.session_id for one in platform.sessions(subject="bert", caller=CALLER)] == [
            sessions["bert"][1]
        ]
        assert platform.show(sessions["bert"][1], purpose="subject_access", caller=CALLER).features == before
        states = {one.purpose: one.status for one in platform.consents(subject="carl")}
        assert states[VOICE_ANALYSIS] is ConsentStatus.WITHDRAWN
        assert [mark.kind for mark in platform.marks(subject="dora")] == [MarkKind.RESTRICTION]
        assert platform.fsck(caller=CALLER).sound
        platform.analyze(place.audio, subject="bert", caller=CALLER)  # and life goes on
    assert files_with(new, *words) == set()


def test_C11e_X14_a_key_store_backup_of_an_ended_epoch_opens_nothing_and_changes_nothing(
    place: Place,
) -> None:
    """After a rotation no older copy of the keys opens anything, not even with everything else at hand; a restore says
    so and leaves the home as it is."""
    with opened(place.home) as platform:
        grant(platform, "anna")
        session = platform.analyze(place.audio, subject="anna", caller=CALLER).session_id
        made = place.create(platform)
        platform.erase(subject="anna", session_id=session, caller=CALLER)
        platform.rotate_keys(caller=CALLER)
    new = place.new_home()
    for home, more in [(new, {}), (place.home, {"replace": True})]:
        before = tree(home)
        with pytest.raises(KeyUnavailable) as error:
            place.restore(made, home, **more)
        assert reason(error) == "epoch_ended"
        assert tree(home) == before
    (alive,) = verify_backups(place.halves(made)["keys"], home=place.home)
    assert alive.epoch_alive is False
    with opened(place.home) as platform:
        rows = copied_rows(place.halves(made)["keys"] / "keys.db")
        assert rows
        for content in rows:  # its words name epoch 1, and nobody has the key of that
            assert struct.unpack_from(">I", content)[0] == 1
        assert platform._adapters.keys.epochs() == (2,)


def test_data_and_keys_of_different_days_are_put_in_order(place: Place) -> None:
    with opened(place.home) as platform:
        grant(platform, "anna")
        platform.analyze(place.audio, subject="anna", caller=CALLER)
        first = place.create(platform)
        platform.analyze(place.audio, subject="anna", caller=CALLER)
        grant(platform, "bert")
        platform.analyze(place.audio, subject="bert", caller=CALLER)
        second = place.create(platform)
    newer_data = {"data": place.halves(second)["data"], "keys": place.halves(first)["keys"]}
    report = place.restore(second, place.new_home("a"), **newer_data)
    assert (report.settled.lost_people, report.settled.lost_records) == (
        1,
        3,
    )  # two records and their decision
    assert (report.people, report.records, report.findings) == (1, 2, ())
    newer_keys = {"data": place.halves(first)["data"], "keys": place.halves(second)["keys"]}
    report = place.restore(second, place.new_home("b"), **newer_keys)
    assert report.settled.keys_collected > 0
    assert (report.people, report.records, report.findings) == (1, 2, ())
    for name in ("a", "b"):
        with opened(place.folder / name) as platform:
            assert platform.fsck(caller=CALLER).sound
            owners = {row.subject_id for row in platform.keyring.rows() if row.subject_id}
            assert owners == {internal(platform, "anna")}
            grant(platform, "bert")  # the name is free again
            platform.analyze(place.audio, subject="bert", caller=CALLER)


def test_recipients_whose_keys_are_older_than_the_data_end_and_their_feeds_are_told(place: Place) -> None:
    with opened(place.home) as platform:
        grant(platform, "anna")
        early = platform.add_recipient("Lab one", kind="team")
        first = place.create(platform)
        late = platform.add_recipient("Lab two", kind="team")
        platform.disclose(subject="anna", recipient=late.id, purpose="voice_analysis", what="features")
        second = place.create(platform)
    newer_data = {"data": place.halves(second)["data"], "keys": place.halves(first)["keys"]}
    report = place.restore(second, place.new_home("a"), **newer_data)
    assert (report.feeds, report.settled.recipients_ended, report.findings) == (2, 1, ())
    with opened(place.folder / "a") as platform:
        ended = {one.id for one in platform.recipients() if one.ended_at is not None}
        assert ended == {late.id}
        assert not {early.id} & ended
        platform.erase(subject="anna")
        assert platform.feed_page(late.id).entries == 1
        assert platform.fsck(caller=CALLER).sound
    report = place.restore(second, place.new_home("b"))
    assert (report.feeds, report.settled.recipients_ended) == (2, 0)


def test_M20_a_recording_in_flight_ends_without_a_result_because_its_key_was_in_no_backup(
    place: Place,
) -> None:
    """A recording that waited for its analysis when the backup was made is gone for good: it ends, and says why."""
    with opened(place.home) as platform:
        grant(platform, "anna")
        session = platform.submit(place.audio, subject="anna", caller=CALLER).session_id
        made = place.create(platform)
    new = place.new_home()
    report = place.restore(made, new)
    assert (report.settled.in_flight, report.findings) == (1, ())
    with opened(new) as platform:
        with platform._adapters.database.read() as tx:
            recording = tx.recordings.get(session)
        assert recording is not None
        assert recording.state is RecordingState.FAILED_SHREDDED
        assert recording.failure == "audio_key_gone"
        assert recording.receipt_id is not None
        assert platform.work_next(caller=CALLER) is None


def test_a_home_in_use_is_replaced_only_when_that_is_said_and_then_destroyed(place: Place) -> None:
    with opened(place.home) as platform:
        grant(platform, "anna")
        made = place.create(platform)
        grant(platform, "bert")
        bert = platform.analyze(place.audio, subject="bert", caller=CALLER).session_id
        waiting = platform.submit(place.audio, subject="bert", caller=CALLER).session_id
        platform.erase(subject="anna", caller=CALLER)
    older = place.folder / "old-tombstones"
    lines = place.tombstones.read_bytes().splitlines(keepends=True)
    older.write_bytes(b"".join(line for line in lines if b"erased" not in line and b'"head"' not in line))
    before = tree(place.home)
    with pytest.raises(Conflict) as error:
        place.restore(made, place.home)
    assert reason(error) == "home_not_empty"
    assert tree(place.home) == before
    report = place.restore(made, place.home, replace=True, tombstones=older)  # the home's own file is newer
    assert (report.replaced, report.erasures) == (True, 1)
    assert files_with(place.home, bert.encode(), waiting.encode()) == set()
    assert not list((place.home / "bodies").iterdir())
    with opened(place.home) as platform, pytest.raises(NotFound):
        platform.access_log(subject="anna", caller=CALLER)


def test_nobody_has_the_home_open_while_it_is_replaced(place: Place) -> None:
    with opened(place.home) as platform:
        grant(platform, "anna")
        made = place.create(platform)
        with pytest.raises(StorageError) as error:
            place.restore(made, place.home, replace=True)
        assert reason(error) == "home_in_use"
    lock = backup_restore.HomeLock(place.home)
    lock.alone()
    with pytest.raises(StorageError) as refused, opened(place.home):
        pass
    assert reason(refused) == "home_restoring"
    with pytest.raises(StorageError) as second:  # two restores at once
        place.restore(made, place.home, replace=True)
    assert reason(second) == "home_in_use"
    lock.close()
    place.restore(made, place.home, replace=True)


# --- refusing ----------------------------------------------------------------------------------------------


@pytest.fixture
def held(place: Place) -> tuple[Place, MadeBackup]:
    with opened(place.home) as platform:
        grant(platform, "anna", "bert")
        platform.analyze(place.audio, subject="anna", caller=CALLER)
        platform.erase(subject="bert", caller=CALLER)
        made = place.create(platform)
    return place, made


def refused(place: Place, made: MadeBackup, home: Path, **more: Any) -> str:
    """The code with which a restore is refused; nothing is left of it."""
    before = tree(home)
    with pytest.raises(SottovoceError) as error:
        place.restore(made, home, **more)
    assert {name for name in tree(home) if not name.startswith("run")} == set(before)
    return reason(error)


def test_F30_C11b_a_restore_refuses_without_the_tombstones_or_with_old_ones(
    held: tuple[Place, MadeBackup],
) -> None:
    """No home comes back where nothing can say who was erased since."""
    place, made = held
    home = place.new_home()
    assert refused(place, made, home, tombstones=place.folder / "nowhere") == "tombstones_missing"
    short = place.folder / "short"
    lines = [one for one in place.tombstones.read_bytes().splitlines(keepends=True) if b'"head"' not in one]
    short.write_bytes(b"".join(lines[:-1]))
    assert refused(place, made, home, tombstones=short) == "tombstones_cut"
    short.write_bytes(b"")
    assert refused(place, made, home, tombstones=short) == "tombstones_cut"
    with opened(place.folder / "other") as other:
        grant(other, "anna")
        other.erase(subject="anna", caller=CALLER)
        other.erase(subject="anna", caller=CALLER)
    others = place.folder / "other" / "tombstones.log"
    assert refused(place, made, home, tombstones=others) in ("tombstones_damaged", "tombstones_cut")


def test_a_restore_needs_the_key_of_the_provider(held: tuple[Place, MadeBackup]) -> None:
    place, made = held
    home = place.folder / "bare"
    home.mkdir()
    assert refused(place, made, home) == "kek_missing"
    with opened(place.folder / "other"):
        pass
    shutil.copytree(place.folder / "other" / "keys" / "kek", home / "keys" / "kek")
    assert refused(place, made, home) == "kek_wrong"


def test_halves_of_two_homes_or_swapped_ones_are_refused(held: tuple[Place, MadeBackup]) -> None:
    place, made = held
    other = Place(place.folder / "second")
    with opened(other.home) as platform:
        others = other.create(platform)
    home = place.new_home()
    assert refused(place, made, home, keys=other.halves(others)["keys"]) == "backup_halves"
    assert refused(place, made, home, data=place.halves(made)["keys"]) == "backup_halves"
    halves = place.halves(made)
    assert refused(place, made, home, data=halves["keys"], keys=halves["data"]) == "backup_halves"
    assert refused(place, made, home, key=(other.home / "identity.json").read_text()) == "other_home"


def test_bad_states_of_a_backup_are_told_apart(held: tuple[Place, MadeBackup]) -> None:
    place, made = held
    half = place.halves(made)["data"]
    pinned = (place.home / "identity.json").read_text()

    def verdict(**more: Any) -> str:
        with pytest.raises(SottovoceError) as error:
            verify_backups(half, **{"key": pinned, "home": place.folder / "nowhere", **more})
        return reason(error)

    flip(half / "sottovoce.db", 5000)
    assert verdict() == "backup_altered"
    assert refused(place, made, place.new_home("x")) == "backup_altered"
    flip(half / "sottovoce.db", 5000)
    (half / "sottovoce.db").rename(half / "elsewhere")
    assert verdict() == "backup_incomplete"
    (half / "elsewhere").rename(half / "sottovoce.db")
    with opened(place.folder / "other") as other:
        assert verdict(key=other.identity()) == "other_home"
    assert verdict(key=None) == UnknownSigner.code
    text = (half / "manifest.json").read_text()
    (half / "manifest.json").write_text(text.replace(made.data.pair, "bkp_" + "a" * 24))
    assert verdict() == "signature_broken"
    (half / "manifest.json").write_text("{}")
    assert verdict() == "manifest_malformed"
    (half / "manifest.json").unlink()
    assert verdict() == "manifest_missing"
    (half / "manifest.json").write_text(text)
    assert [one.manifest.half for one in verify_backups(half, key=pinned)] == ["data"]


def test_a_backup_of_a_newer_version_is_refused(
    held: tuple[Place, MadeBackup], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, made = held
    monkeypatch.setattr(app_backup, "REVISIONS", ("0001",))
    with pytest.raises(SchemaNewer):
        verify_backups(place.folder / "backups", home=place.home)
    assert refused(place, made, place.new_home()) == SchemaNewer.code


def test_a_signer_that_brings_its_own_identity_along_is_not_believed(held: tuple[Place, MadeBackup]) -> None:
    """Whoever can write to both halves, and has no KEK, cannot pass off a home of theirs."""
    place, _made = held
    evil = Place(place.folder / "evil")
    with opened(evil.home) as platform:
        theirs = evil.create(platform)
    home = place.new_home()
    assert refused(evil, theirs, home) == "kek_wrong"


def test_a_forged_manifest_is_refused_although_everything_in_it_fits(held: tuple[Place, MadeBackup]) -> None:
    """Whoever can write to a backup can make files and hashes agree, and cannot sign."""
    place, made = held
    half = place.halves(made)["data"]
    with sqlite3.connect(half / "sottovoce.db") as copy:
        copy.execute("DELETE FROM tombstones")
    text = json.loads((half / "manifest.json").read_text())
    found = backup_files.digest(half / "sottovoce.db")
    for file in text["body"]["files"]:
        if file["name"] == found.name:
            file |= {"sha256": found.sha256, "size_bytes": found.size_bytes}
    (half / "manifest.json").write_text(json.dumps(text))
    assert refused(place, made, place.new_home()) == "signature_broken"


def test_places_of_their_own_and_a_passphrase(place: Place) -> None:
    """Database, keys and tombstones on other disks, as settings may have it; the tombstones survived in their place."""
    where: dict[str, Any] = {
        "database": f"sqlite:///{place.folder}/disk/voices.db", "keys": f"local:{place.folder}/usb",
        "tombstones": place.folder / "elsewhere" / "stones.log", "passphrase": "correct horse",
    }  # fmt: skip
    (place.folder / "elsewhere").mkdir()
    with opened(place.home, **where) as platform:
        grant(platform, "anna", "bert")
        platform.analyze(place.audio, subject="anna", caller=CALLER)
        made = place.create(platform)
        platform.erase(subject="bert", caller=CALLER)
    shutil.rmtree(place.home)
    shutil.rmtree(place.folder / "disk")
    for path in (place.folder / "usb").glob("*.db*"):
        path.unlink()
    stones = where["tombstones"]
    before = stones.read_bytes()

    def back(settings: Settings) -> RestoreReport:
        return restore_backup(settings, tombstones=stones, caller=CALLER, **place.halves(made))

    with pytest.raises(KeyUnavailable) as error:
        back(Settings(home=place.home, **{**where, "passphrase": "wrong"}))
    assert reason(error) == "passphrase_wrong"
    assert stones.read_bytes() == before
    report = back(Settings(home=place.home, **where))
    assert (report.people, report.records, report.erasures, report.findings) == (1, 2, 1, ())
    assert stones.read_bytes().startswith(before)
    with opened(place.home, **where) as platform:
        assert platform.fsck(caller=CALLER).sound
        assert len(platform.sessions(subject="anna", caller=CALLER)) == 1
    assert not [path for path in place.folder.rglob("*") if path.name.endswith((".restored", ".replaced"))]


# --- models of the home's own, and recipient keys -----------------------------------------------------------

INFER = "infer_apparent_sex"


def network(bias: float = 2.0) -> Network:
    weights = np.zeros((1, 88))
    weights[0, 0] = 0.01
    return make_network(
        mean=np.zeros(88), scale=np.ones(88), layers=[(weights, [bias])], output="sigmoid",
        about=About("apparent_sex", ("female", "male"), "compat", "egemaps-88/1"),
    )  # fmt: skip


def give_model(platform: Platform, *, bias: float = 2.0) -> str:
    """A model of the home's own, signed by it; its hash."""
    made = network(bias)
    data = write_tflite(made)
    body: dict[str, Any] = {
        "format": FORMAT, "purpose": "a test", "attribute": "apparent_sex", "labels": ["female", "male"],
        "output": "sigmoid", "feature_profile": "compat", "feature_version": "egemaps-88/1",
        "training_data": {"description": "none", "sha256": "not available", "speakers": 0, "recordings": 0},
        "error": "not available", "groups": [], "conformal": {"kind": "set", "percent": 90, "threshold": "0.4"},
        "privacy": "none", "not_for": ["hiring"], "demonstration": False,
        "files": file_entries(made, np.zeros((1, 88))),
    }  # fmt: skip
    return platform.add_model(data, platform.sign_model_card(body, model=data), caller=CALLER).sha256


@dataclass
class Modelled:
    """A home that infers, with a backup and the decision that it knows of."""

    place: Place
    made: MadeBackup
    sha256: str
    decision: str

    @property
    def half(self) -> Path:
        return self.place.halves(self.made)["data"]

    def drill(self, platform: Platform) -> Any:
        halves = self.place.halves(self.made)
        return app_backup.drill_backup(platform, tombstones=self.place.tombstones, caller=CALLER, **halves)


SEXED: dict[str, Any] = {"infer": ("apparent_sex",)}


@pytest.fixture
def modelled(place: Place) -> Modelled:
    with opened(place.home, **SEXED) as platform:
        sha256 = give_model(platform)
        platform.grant(subject="anna", purposes=(*ALL, INFER), caller=CALLER)
        session = platform.analyze(place.audio, subject="anna", caller=CALLER).session_id
        found = platform.decisions(session_id=session, caller=CALLER)
        decision = next(one.id for one in found if one.purpose == INFER)
        made = place.create(platform)
    return Modelled(place, made, sha256, decision)


def test_C34b_a_decision_is_computed_again_by_the_model_that_comes_back(modelled: Modelled) -> None:
    """After a loss, a model of the operator's own comes back with its card, and what it once said of a person can be
    computed again, to the bit."""
    names = {f"{modelled.sha256}{suffix}" for suffix in (".tflite", ".card.json")}
    assert names <= {path.name for path in modelled.half.iterdir()}
    assert not names & {path.name for path in modelled.place.halves(modelled.made)["keys"].iterdir()}
    assert modelled.made.data.models == (modelled.sha256,)
    assert modelled.made.keys.models is None
    new = modelled.place.new_home()
    before = {path.name: path.read_bytes() for path in (modelled.place.home / "models").iterdir()}
    report = modelled.place.restore(modelled.made, new)
    assert (report.models, report.models_removed, report.findings) == ((modelled.sha256,), 0, ())
    assert {path.name: path.read_bytes() for path in (new / "models").iterdir()} == before
    assert (new / "models").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (new / "models").iterdir()} == {0o600}
    with opened(new, **SEXED) as platform:
        again = platform.replay(modelled.decision, caller=CALLER)
        assert again.verdict == "same"
        assert [one.sha256 for one in platform.models_to_run()] == [modelled.sha256]


def test_M20_a_model_that_was_taken_out_does_not_come_back_by_a_backup(modelled: Modelled) -> None:
    """A model that the operator took out after the backup stays out of the restored home, and the restore says so."""
    with opened(modelled.place.home, **SEXED) as platform:
        platform.remove_model(modelled.sha256, caller=CALLER)
        other = give_model(platform, bias=-1.0)  # it was replaced by another one
        second = modelled.place.create(platform)
        assert modelled.drill(platform).models == ()
    new = modelled.place.new_home()
    report = modelled.place.restore(modelled.made, new)
    assert (report.models, report.models_removed, report.findings) == ((), 1, ())
    assert files_with(new / "models", b"") == set()
    with opened(new) as platform:
        assert platform.replay(modelled.decision, caller=CALLER).reason == "model_gone"
        (line,) = platform.show_audit(kind="tombstones.replayed", caller=CALLER)
        assert line.details == {"model_removed": 1}
    report = modelled.place.restore(second, modelled.place.new_home("later"))
    assert (report.models, report.models_removed) == ((other,), 0)


def test_a_model_that_was_taken_out_and_added_again_before_the_backup_comes_back(modelled: Modelled) -> None:
    with opened(modelled.place.home, **SEXED) as platform:
        platform.remove_model(modelled.sha256, caller=CALLER)
        assert give_model(platform) == modelled.sha256
        made = modelled.place.create(platform)
    report = modelled.place.restore(made, modelled.place.new_home())
    assert (report.models, report.models_removed) == ((modelled.sha256,), 0)


def test_a_model_that_goes_while_the_backup_is_made_is_not_in_it(
    modelled: Modelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = backup_files.FolderWriter.copy
    with opened(modelled.place.home, **SEXED) as platform:

        def copy_and_remove(writer: Any, name: str, make: Callable[[Path], None]) -> Any:
            done = copy(writer, name, make)
            if name == "keys.db":
                platform.remove_model(modelled.sha256, caller=CALLER)
            return done

        monkeypatch.setattr(backup_files.FolderWriter, "copy", copy_and_remove)
        made = modelled.place.create(platform)
        assert made.data.models == ()
        names = {path.name for path in modelled.place.halves(made)["data"].iterdir()}
        assert names == {"sottovoce.db", "identity.json", "manifest.json"}
        verify_backups(modelled.place.folder / "backups", home=modelled.place.home)


def test_a_backup_of_a_damaged_model_is_not_made(modelled: Modelled) -> None:
    file = modelled.place.home / "models" / f"{modelled.sha256}.tflite"
    card = file.with_name(f"{modelled.sha256}.card.json")

    def verdict() -> str:
        with opened(modelled.place.home) as platform, pytest.raises(IntegrityError) as error:
            modelled.place.create(platform)
        assert len(list((modelled.place.folder / "backups").iterdir())) == 1
        return reason(error)

    flip(file, 700)
    assert verdict() == "backup_source_damaged"
    flip(file, 700)
    card.rename(card.with_name("elsewhere"))
    assert verdict() == "backup_source_damaged"


@pytest.mark.parametrize("suffix", [".tflite", ".card.json"])
def test_M20_a_tampered_missing_or_foreign_model_in_a_backup_is_refused(
    modelled: Modelled, suffix: str
) -> None:
    """A model in a backup that was altered, is missing, or that this home never signed for, is not brought back."""
    place, half = modelled.place, modelled.half
    file = half / f"{modelled.sha256}{suffix}"
    home = place.new_home()
    flip(file, 40)
    assert refused(place, modelled.made, home) == "backup_altered"
    with pytest.raises(IntegrityError) as error:
        verify_backups(half, home=place.home)
    assert reason(error) == "backup_altered"
    flip(file, 40)
    kept = file.read_bytes()
    file.unlink()
    file.symlink_to(place.home / "models" / file.name)  # links are not followed
    assert refused(place, modelled.made, home) == "backup_incomplete"
    file.unlink()
    assert refused(place, modelled.made, home) == "backup_incomplete"
    file.write_bytes(kept)
    foreign = half / f"{hashlib.sha256(kept + b'x').hexdigest()}.tflite"
    text = (half / "manifest.json").read_text()
    said = json.loads(text)
    for path in (foreign, foreign.with_suffix(".card.json")):
        path.write_bytes(kept + b"x")
        found = backup_files.digest(path)
        said["body"]["files"].append(
            {"name": found.name, "size_bytes": found.size_bytes, "sha256": found.sha256}
        )
    (half / "manifest.json").write_text(json.dumps(said))
    assert refused(place, modelled.made, home) == "signature_broken"
    (half / "manifest.json").write_text(text)
    report = place.restore(modelled.made, home)  # what no manifest names is never read
    assert report.models == (modelled.sha256,)
    assert not (home / "models" / foreign.name).exists()


def test_M20_a_drill_computes_a_decision_again_with_the_model_of_the_backup(modelled: Modelled) -> None:
    """A drill tries the operator's own models too: whether each is what was signed, and whether one of their decisions
    comes out the same."""
    with opened(modelled.place.home, **SEXED) as platform:
        report = modelled.drill(platform)
        assert (report.models, report.models_refused, report.decision) == ((modelled.sha256,), (), "same")
        assert report.sound
        assert report.log_intact
        (line,) = platform.show_audit(kind="backup.drilled", caller=CALLER)
        assert line.details is not None
        assert (line.details["decision"], line.details["models_refused"]) == ("same", [])
        before = [one.kind for one in platform.access_log(subject="anna", caller=CALLER)]
        assert "decision.replayed" not in before  # that stands in the log of the copy, and went with it
        stored = platform._adapters.models.get(modelled.sha256)
        assert stored is not None
        broken = replace(stored, card=stored.card.replace("hiring", "firing"))
        platform._adapters.models.remove(modelled.sha256)
        platform._adapters.models.add(broken)
        made = modelled.place.create(platform)
        report = app_backup.drill_backup(
            platform, tombstones=modelled.place.tombstones, caller=CALLER, **modelled.place.halves(made)
        )
        assert (report.models_refused, report.decision, report.sound) == (("signature_broken",), None, False)


def in_the_old_format(place: Place, made: MadeBackup) -> None:
    """Both halves as they were made before model files were part of a backup: without them, manifests of format 1."""
    with opened(place.home) as platform:
        for half, said in zip(place.halves(made).values(), (made.data, made.keys), strict=True):
            for path in half.iterdir():
                if ".card." in path.name or path.suffix == ".tflite":
                    path.unlink()
            files = tuple(file for file in said.files if not file.name.startswith(tuple("0123456789abcdef")))
            old = replace(said, format=1, recipient_keys=None, files=files)
            text = platform._receipts.signer().sign("backup", old.to_body())
            (half / "manifest.json").write_text(text)
            assert set(json.loads(text)["body"]) - {"checkpoint"} == {
                "format", "half", "pair", "home", "tenant", "schema", "created_at", "files", "epoch", "log",
                "tombstones", "worthless_after",
            }  # fmt: skip


def test_M20_a_backup_from_before_models_were_part_of_one_is_verified_restored_and_says_so(
    modelled: Modelled,
) -> None:
    """An older backup still brings a home back; it says that it holds no model, and takes none away."""
    place, made = modelled.place, modelled.made
    in_the_old_format(place, made)
    (data,) = verify_backups(place.folder / "backups", home=place.home)
    (keys,) = verify_backups(place.folder / "safe", home=place.home)
    assert (data.manifest.format, data.manifest.models, keys.manifest.recipient_keys) == (1, None, None)
    assert app_backup.list_backups(place.folder / "backups")[0].manifest == data.manifest
    with opened(place.home) as platform:
        drill = modelled.drill(platform)
        assert (drill.models, drill.decision, drill.sound) == (None, None, True)
    report = place.restore(made)
    assert (report.models, report.recipient_keys, report.findings) == (None, None, ())
    assert not (place.folder / "new" / "models").exists()
    report = place.restore(made, place.home, replace=True)
    assert report.models is None
    with opened(place.home, **SEXED) as platform:  # those of the home in use stay
        assert platform.replay(modelled.decision, caller=CALLER).verdict == "same"


def test_models_of_a_home_that_is_replaced_are_those_of_the_backup(modelled: Modelled) -> None:
    place = modelled.place
    with opened(place.home, **SEXED) as platform:
        platform.remove_model(modelled.sha256, caller=CALLER)
        empty = place.create(platform)
        give_model(platform, bias=-1.0)
    report = place.restore(empty, place.home, replace=True)
    assert (report.models, report.replaced) == ((), True)
    assert list((place.home / "models").iterdir()) == []


def test_M16_M20_the_private_half_of_a_recipient_key_is_in_no_byte_of_a_backup(place: Place) -> None:
    """What was sealed to a key of the home is opened by no backup: the private half is in neither half, neither as it
    is nor as it is stored; how many there were is said."""
    with opened(place.home) as platform:
        made_keys = [
            platform.create_recipient_key(name=f"canary-agency-{suite}", suite=suite, caller=CALLER)
            for suite in ("xwing", "x25519")
        ]
        gone = platform.create_recipient_key(suite="x25519", caller=CALLER)
        platform.retire_recipient_key(gone.key_id, grace_days=0, caller=CALLER)
        secrets = [platform._recipient_keys.private(bytes.fromhex(one.key_id)).data for one in made_keys]
        rows = [row.wrapped for row in platform._adapters.short_lived.list() if row.kind == "recipient"]
        sealed = [
            path.read_bytes() for path in (place.home / "recipients").iterdir() if path.suffix == ".key"
        ]
        made = place.create(platform)
    assert (len(rows), len(sealed)) == (2, 2)
    words = [*secrets, *(one.hex().encode() for one in secrets), *(base64.b64encode(one) for one in secrets)]
    words += [*rows, *sealed, *(one[40:80] for one in sealed), b"canary-agency"]
    for half in place.halves(made).values():
        assert files_with(half, *words) == set()
    assert (made.data.recipient_keys, made.keys.recipient_keys) == (2, 2)
    for number, word in enumerate(words):  # the control: each of them would be seen
        planted = place.halves(made)["keys"] / f"planted-{number}"
        planted.write_bytes(b"before" + word + b"after")
        assert files_with(place.halves(made)["keys"], word) >= {planted.name}
        planted.unlink()


@pytest.mark.parametrize("replaced", [False, True])
def test_M16_no_restore_brings_a_recipient_key_back_alive_or_retired(place: Place, replaced: bool) -> None:
    """Neither a recipient key that was retired since the backup nor any other opens anything in a restored home: what
    was sealed to it is refused with the reason."""
    with opened(place.home) as platform:
        grant(platform, "anna")
        alive = platform.create_recipient_key(suite="x25519", caller=CALLER)
        retired = platform.create_recipient_key(suite="x25519", caller=CALLER)
        made = place.create(platform)
        platform.retire_recipient_key(retired.key_id, grace_days=0, caller=CALLER)
    home = place.home if replaced else place.new_home()
    report = place.restore(made, home, replace=replaced)
    assert (report.recipient_keys, report.findings) == (2, ())
    with opened(home) as platform:
        reasons = []
        for one in (alive, retired):
            with pytest.raises(KeyUnavailable) as error:
                platform._recipient_keys.private(bytes.fromhex(one.key_id))
            reasons.append(reason(error))
        assert platform._recipient_keys.alive() == 0
        assert platform.fsck(caller=CALLER).sound
    assert reasons == (["recipient_lost", "recipient_retired"] if replaced else ["recipient_unknown"] * 2)


# --- disks, kills, drills ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(1, 8))
def test_F10_a_disk_that_fills_up_leaves_no_half_backup(
    at: int, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup on a full disk is refused, nothing of it is left, and the home goes on."""
    with opened(place.home) as platform:
        grant(platform, "anna")
        calls = 0
        sync = backup_files.sync_file

        def full(path: Path) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                raise OSError(28, "full")
            sync(path)

        monkeypatch.setattr(backup_files, "sync_file", full)
        if at <= 6:
            with pytest.raises(StorageError) as error:
                place.create(platform)
            assert reason(error) == "storage_full"
            for folder in ("backups", "safe"):
                assert not (place.folder / folder).exists() or not list((place.folder / folder).iterdir())
            grant(platform, "bert")
        else:
            place.create(platform)
            assert calls == 6  # every file of both halves is fsynced


@pytest.mark.parametrize("name", ["_copy", "_write", "_lay", "commit"])
def test_F10_a_disk_that_fills_up_leaves_the_home_as_it_was(
    name: str, held: tuple[Place, MadeBackup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore on a full disk changes nothing."""
    place, made = held

    def full(*_: Any) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(backup_restore, name, full)
    assert refused(place, made, place.home, replace=True) == "storage_full"
    monkeypatch.undo()
    with opened(place.home) as platform:
        assert platform.fsck(caller=CALLER).sound
        assert len(platform.sessions(subject="anna", caller=CALLER)) == 1


@pytest.mark.parametrize("at", range(1, 9))
def test_F10_a_disk_that_fills_up_in_the_middle_of_a_model_leaves_no_half_backup(
    at: int, modelled: Modelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup of models on a full disk is refused, whichever file it was; the earlier one and the home are whole."""
    sync, synced = backup_files.sync_file, list[str]()

    def full(path: Path) -> None:
        synced.append(path.name)
        if len(synced) == at:
            raise OSError(28, "full")
        sync(path)

    monkeypatch.setattr(backup_files, "sync_file", full)
    with opened(modelled.place.home, **SEXED) as platform:
        with pytest.raises(StorageError) as error:
            modelled.place.create(platform)
        assert reason(error) == "storage_full"
        assert platform.replay(modelled.decision, caller=CALLER).verdict == "same"
    shelves = [modelled.place.folder / name for name in ("backups", "safe")]
    assert [len(list(shelf.iterdir())) for shelf in shelves] == [1, 1]
    assert any(name.endswith(".tflite") for name in synced) is (at > 1)


@pytest.mark.parametrize("part", [".tflite", ".card.json"])
def test_F10_a_disk_that_fills_up_while_a_model_is_brought_back_leaves_the_home_as_it_was(
    part: str, modelled: Modelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore that has no room for a model changes nothing: neither data nor models."""
    plain = backup_restore._copy

    def full(source: Path, target: Path) -> None:
        if target.name.endswith(part):
            raise OSError(28, "full")
        plain(source, target)

    monkeypatch.setattr(backup_restore, "_copy", full)
    assert refused(modelled.place, modelled.made, modelled.place.home, replace=True) == "storage_full"
    monkeypatch.undo()
    with opened(modelled.place.home, **SEXED) as platform:
        assert platform.replay(modelled.decision, caller=CALLER).verdict == "same"


def test_a_restore_that_was_committed_is_finished_by_the_next_to_open_the_home(
    held: tuple[Place, MadeBackup], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, made = held
    with opened(place.home) as platform:
        grant(platform, "carl")
    put, calls = backup_restore.put_in_place, 0

    def broken(move: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(5, "broken")
        put(move)

    monkeypatch.setattr(backup_restore, "put_in_place", broken)
    with pytest.raises(StorageError) as error:
        place.restore(made, place.home, replace=True)
    assert reason(error) == "restore_unfinished"
    monkeypatch.undo()
    with opened(place.home) as platform:
        assert platform.sessions(subject="carl", caller=CALLER) == ()
        assert len(platform.sessions(subject="anna", caller=CALLER)) == 1
        assert platform.fsck(caller=CALLER).sound
    assert not [path for path in place.home.rglob("*") if path.name.endswith((".restored", ".replaced"))]
    assert not (place.home / "restoring").exists()


def test_what_a_killed_restore_or_drill_left_is_destroyed(held: tuple[Place, MadeBackup]) -> None:
    place, _ = held
    for name in ("restoring", "drill-0123"):
        (place.home / name / "home" / "keys").mkdir(parents=True)
        (place.home / name / "home" / "keys" / "keys.db").write_bytes(b"old keys")
    (place.home / "drill-live").mkdir()
    fd = os.open(place.home / "drill-live", os.O_RDONLY)
    import fcntl

    fcntl.flock(fd, fcntl.LOCK_EX)
    with opened(place.home):
        assert not (place.home / "restoring").exists()
        assert not (place.home / "drill-0123").exists()
        assert (place.home / "drill-live").exists()  # somebody is in it
    os.close(fd)
    with opened(place.home):
        assert not (place.home / "drill-live").exists()


def test_F30_a_drill_says_how_many_open_and_leaves_nothing(held: tuple[Place, MadeBackup]) -> None:
    """A restore can be tried at any time without touching the home; the log keeps the record of it."""
    place, made = held
    with opened(place.home) as platform:
        before = tree(place.home)
        keks = platform._adapters.keys.epochs()
        report = app_backup.drill_backup(
            platform, tombstones=place.tombstones, caller=CALLER, **place.halves(made)
        )
        assert (report.opened, report.sampled, report.records) == (2, 2, 2)
        assert report.sound
        assert set(tree(place.home)) == set(before)
        assert platform._adapters.keys.epochs() == keks
        lines = platform.show_audit(kind="backup.drilled", caller=CALLER)
        assert [line.outcome for line in lines] == ["ok"]
        assert lines[0].details is not None
        assert lines[0].details["opened"] == 2
        one = app_backup.drill_backup(
            platform, tombstones=place.tombstones, sample=1, caller=CALLER, **place.halves(made)
        )
        assert (one.opened, one.sampled, one.records) == (1, 1, 2)
        flip(place.halves(made)["keys"] / "keys.db", 100)
        with suppress(IntegrityError):
            app_backup.drill_backup(
                platform, tombstones=place.tombstones, caller=CALLER, **place.halves(made)
            )
        outcomes = [line.outcome for line in platform.show_audit(kind="backup.drilled", caller=CALLER)]
        assert outcomes == ["ok", "ok", "backup_altered"]


def test_a_drill_while_the_keys_are_rotated_destroys_no_key(held: tuple[Place, MadeBackup]) -> None:
    """The drill sees one KEK more than its copy of the key store knows: in a home of its own that would be a rotation
    to be finished, by destroying the older KEK."""
    place, made = held
    with opened(place.home) as platform:
        platform._adapters.keys.create(2)
        report = app_backup.drill_backup(
            platform, tombstones=place.tombstones, caller=CALLER, **place.halves(made)
        )
        assert report.sound
        assert platform._adapters.keys.epochs() == (1, 2)


def test_an_epoch_that_was_due_while_nobody_was_there_ends_in_the_home_that_is_served(place: Place) -> None:
    """Not in the one that is only being tried: that may be thrown away, and its provider is borrowed."""
    past = timedelta(days=-2)
    wanted = Settings(home=place.home, epoch_days=1)
    real = app.connect(wanted)
    database = SqliteDatabase(wanted.database_path, offset=past)
    adapters = replace(
        real,
        database=database,
        extractor=SameAnswer(),
        clock=TwoDaysAgo(),
        closing=(*real.closing, database.close),
    )
    with app.assemble(adapters, wanted) as platform:
        grant(platform, "anna")
        made = place.create(platform)
    new = place.new_home()
    report = place.restore(made, new)
    assert report.findings == ()
    assert sorted(path.name for path in (new / "keys" / "kek").iterdir()) == ["kek-1.json"]
    with opened(new, epoch_days=1) as platform:
        platform.sweep(caller=CALLER)
        assert platform._adapters.keys.epochs() == (2,)
        assert platform.fsck(caller=CALLER).sound


# --- the audit log -----------------------------------------------------------------------------------------


def test_a_witness_that_saw_more_gets_the_restore_as_its_explanation(place: Place) -> None:
    with opened(place.home) as platform:
        grant(platform, "anna")
        early = platform.checkpoint_audit()
        made = place.create(platform)
        grant(platform, "bert")
        late = platform.checkpoint_audit()
        assert platform.verify_audit(since=late).rolled_back is None
    new = place.new_home()
    report = place.restore(made, new)
    with opened(new) as platform:
        found = platform.verify_audit(since=late)
        assert found.intact
        assert found.rolled_back is not None
        assert found.rolled_back.backup == made.data.pair
        assert found.rolled_back.kept == report.log_size
        assert made.data.pair in found.evidence
        assert platform.verify_audit(since=early).rolled_back is None
        assert platform.report_audit(checkpoint=late).alarms
        since = platform.checkpoint_audit()
        assert platform.verify_audit(since=since).rolled_back is None
        both = platform.verify_audit(since=f"{late}\n{since}")
        assert both.intact
        assert both.rolled_back is not None
        assert not platform.verify_audit(
            since=f"{since}\n{late}"
        ).intact  # it came after: no restore explains it
    with sqlite3.connect(new / "sottovoce.db") as database:  # an entry of before the restore is edited
        database.execute("UPDATE events SET actor = 'nobody' WHERE sequence = 1")
    with opened(new) as platform:
        assert not platform.verify_audit(since=late).intact


def test_a_restore_that_no_signed_head_covers_explains_nothing(place: Place) -> None:
    with opened(place.home) as platform:
        grant(platform, "anna")
        made = place.create(platform)
        grant(platform, "bert")
        late = platform.checkpoint_audit()
    new = place.new_home()
    place.restore(made, new)
    lines = (new / "tombstones.log").read_bytes().splitlines(keepends=True)
    with opened(new) as platform:
        (new / "tombstones.log").write_bytes(b"".join(line for line in lines if b'"head"' not in line))
        assert not platform.verify_audit(since=late).intact


# --- helpers -----------------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, but the lock of who has it open and what SQLite keeps beside its files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock"))
    }


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(bytes(data))


def copied_rows(path: Path) -> list[bytes]:
    with sqlite3.connect(path) as copy:
        return [row[0] for row in copy.execute("SELECT content FROM place JOIN slot USING (slot)")]
