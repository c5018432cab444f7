"""Tombstones on a real home: an old database that is put back brings nothing back, and nobody loses the file unseen."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sottovoce import app
from sottovoce.adapters.memory import InlineExtractor, MemoryModels, MemoryTombstones, MemoryWitness
from sottovoce.adapters.tombstones_file import FileTombstones
from sottovoce.audit import tombstones as notes
from sottovoce.errors import (
    ConsentRequired,
    IntegrityError,
    KeyUnavailable,
    NotFound,
    StorageError,
)
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.mark import MarkKind
from sottovoce.model.subject import Caller
from sottovoce.model.tombstones import TombstoneHead, TombstoneKind
from sottovoce.ports import StoredModel
from sottovoce.sealing.receipt import Identity
from sottovoce.settings import Settings

if TYPE_CHECKING:
    from conftest import Hall

ALL = ("voice_recording", "voice_analysis", "data_retention_30_days")
CALLER = Caller(actor="tester", channel="test")
EXTRACTION = Extraction(
    FeatureVector(tuple(20.0 + i for i in range(88)), "compat", "egemaps-88/1", 16000),
    Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16000, 1, "0"),
)
REQUEST = "req_" + "b" * 24


class Numbers(InlineExtractor):
    def level(self) -> str:
        return "rlimits"

    def extract(self, source: object, options: object) -> Extraction:
        return EXTRACTION

    def close(self) -> None:
        return


@dataclass
class House:
    """A home whose database can be copied and put back, as an operator would with an old backup."""

    home: Path
    source: Path
    settings: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)  # of adapters
    platform: app.Platform = field(init=False)

    @property
    def file(self) -> Path:
        return self.home / "tombstones.log"

    def open(self) -> House:
        settings = Settings(home=self.home, **self.settings)
        adapters = replace(app.connect(settings), extractor=Numbers(), **self.changes)
        self.platform = app.assemble(adapters, settings)
        return self

    def close(self) -> None:
        self.platform.close()

    def copy(self, *names: str) -> Path:
        """A copy of files of the closed home."""
        folder = self.home.with_name("backup")
        shutil.rmtree(folder, ignore_errors=True)
        for name in names or ("sottovoce.db",):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.home / name, folder / name)
        return folder

    def put_back(self, folder: Path) -> None:
        shutil.copytree(folder, self.home, dirs_exist_ok=True)

    def person(self, name: str) -> str:
        with self.platform._adapters.database.read() as tx:
            found = self.platform._record.people.find(tx, name)
        assert found is not None
        return found.id

    def kinds(self) -> list[str]:
        return [str(entry.kind) for entry in FileTombstones(self.file).read()]

    def applied(self) -> TombstoneHead | None:
        with self.platform._adapters.database.read() as tx:
            return tx.requests.applied()


@pytest.fixture
def house(tmp_home: Path, tmp_path: Path) -> Iterator[House]:
    source = tmp_path / "clip.wav"
    source.write_bytes(b"RIFF" + os.urandom(5000))
    made = House(tmp_home, source).open()
    yield made
    made.close()


def filled(house: House) -> dict[str, str]:
    """Three people with a session each, the second with two."""
    sessions = {}
    for name in ("anna", "ben", "cleo"):
        house.platform.grant(subject=name, purposes=ALL)
        sessions[name] = house.platform.analyze(house.source, subject=name).session_id
    sessions["ben again"] = house.platform.analyze(house.source, subject="ben").session_id
    return sessions


def after_an_old_database(house: House, *copied: str) -> tuple[dict[str, str], dict[str, str]]:
    """Fill, copy, erase and withdraw and restrict, put the copy back, open: ids of sessions, and of people."""
    sessions = filled(house)
    people = {name: house.person(name) for name in ("anna", "ben", "cleo")}
    house.close()
    old = house.copy(*copied)
    house.open()
    house.platform.erase(subject="anna", request_id=REQUEST)
    house.platform.erase(subject="ben", session_id=sessions["ben"])
    house.platform.withdraw(subject="cleo", purposes=["voice_analysis", "data_retention_30_days"])
    house.platform.mark(subject="ben", kind=MarkKind.RESTRICTION, reason="accuracy_contested", note="secret")
    house.platform.mark(subject="ben", kind=MarkKind.OBJECTION, reason="objection", purpose="model_training")
    house.close()
    house.put_back(old)
    house.open()
    return sessions, people


# --- an old database is put back -----------------------------------------------------------------------------


def test_C11b_an_old_database_brings_back_nobody_who_was_erased(house: House) -> None:
    """Whoever was erased is erased again before an old backup is served: keys, rows and bodies, with a receipt under
    the request of then."""
    sessions, people = after_an_old_database(house, "sottovoce.db", "keys/keys.db")
    with pytest.raises(NotFound):
        house.platform.access_log(subject="anna")
    assert house.platform.sessions(subject="anna") == ()
    assert not house.platform.keyring.holds_anything_of(people["anna"])
    with house.platform._adapters.database.read() as tx:
        assert tx.rows_of(people["anna"]) == {}
        assert tx.recordings.get(sessions["ben"]) is None
        assert {stone.request_id for stone in tx.requests.tombstones()} >= {REQUEST}
    again = house.platform.erase(subject="anna", request_id=REQUEST)
    assert again.result == "erased"
    body = app.verify_receipt(again.receipt or "", home=house.home).body
    assert (body["subject_id"], body["request_id"]) == (people["anna"], REQUEST)
    left = [view.session_id for view in house.platform.sessions(subject="ben")]
    assert left == [sessions["ben again"]]
    with pytest.raises(NotFound):
        house.platform.show(sessions["ben"], purpose="subject_access")
    assert house.platform.show(sessions["ben again"], purpose="subject_access").features is not None
    assert house.platform.replayed.erased == 2
    assert house.platform.verify_audit().intact
    house.platform.sweep()
    assert house.platform.fsck().sound


def test_I5_an_old_database_takes_back_no_withdrawal(house: House) -> None:
    """A consent that was withdrawn is withdrawn in an old backup too, and what it stopped stays stopped."""
    sessions, _ = after_an_old_database(house)
    held = {state.purpose: state.status for state in house.platform.consents(subject="cleo")}
    assert (held["voice_analysis"], held["voice_recording"]) == ("withdrawn", "granted")
    with pytest.raises(ConsentRequired):
        house.platform.analyze(house.source, subject="cleo")
    house.platform.sweep()
    with house.platform._adapters.database.read() as tx:
        assert tx.records.of_session(sessions["cleo"]) == ()  # kept by the consent that was withdrawn
    house.platform.grant(subject="cleo", purposes=ALL)  # the person may agree anew
    assert house.platform.analyze(house.source, subject="cleo").features is not None
    house.close()
    house.open()  # nothing is repeated a second time
    assert house.platform.replayed.entries == 0
    assert {s.status for s in house.platform.consents(subject="cleo") if s.purpose in ALL} == {"granted"}


def test_C12b_an_old_database_lifts_no_restriction(house: House) -> None:
    """A restriction and an objection stand in an old backup as well; the words of the note are not in the file."""
    sessions, _ = after_an_old_database(house)
    standing = {view.kind for view in house.platform.marks(subject="ben")}
    assert standing >= {MarkKind.RESTRICTION, MarkKind.OBJECTION}
    with pytest.raises(ConsentRequired) as refused:
        house.platform.show(sessions["ben again"], purpose="voice_analysis")
    assert refused.value.reason == "restricted"
    assert b"secret" not in house.file.read_bytes()
    house.platform.unrestrict(subject="ben")


def test_C12a_an_old_database_knows_of_a_legal_hold_and_of_the_erasure_that_waits(house: House) -> None:
    """A hold placed after the backup holds again, and the erasure that waits for it runs when it is lifted."""
    filled(house)
    house.close()
    old = house.copy()
    house.open()
    hold = house.platform.mark(
        subject="anna", kind=MarkKind.HOLD, reason="legal_claims", asked_by="operator"
    ).marks[0]
    assert house.platform.erase(subject="anna", request_id=REQUEST).result == "held"
    house.close()
    house.put_back(old)
    house.open()
    assert len(house.platform.sessions(subject="anna")) == 1
    assert house.platform.erase(subject="anna", request_id=REQUEST).result == "held"
    assert house.platform.lift(hold.id).erasures_run == 1
    house.close()
    house.put_back(old)
    house.open()  # placed, asked for, lifted, erased: all of it once more
    assert house.platform.sessions(subject="anna") == ()
    assert house.platform.erase(subject="anna", request_id=REQUEST).result == "erased"
    assert house.platform.fsck().sound


def test_F31_X14_an_old_key_store_gives_nobody_back_who_was_erased(house: House) -> None:
    """Where an old key store is put back, its keys of erased people and sessions are destroyed before anything is
    served, and the audit log says so; a key that comes back later is found by fsck."""
    sessions = filled(house)
    anna = house.person("anna")
    house.close()
    old = house.copy("keys/keys.db")
    house.open()
    house.platform.erase(subject="anna")
    with house.platform._adapters.database.read() as tx:
        records = [record.id for record in tx.records.of_session(sessions["ben"])]
    assert records
    house.platform.erase(subject="ben", session_id=sessions["ben"])
    house.close()
    for again in range(2):
        house.open()
        assert (house.platform.replayed.keys > 0) == (again == 1)
        assert not house.platform.keyring.holds_anything_of(anna)
        assert not any(house.platform.keyring.exists(record) for record in records)
        told = house.platform.show_audit(kind="tombstones.replayed")
        assert [line.outcome for line in told] == ["old_keys"] * again
        house.close()
        house.put_back(old)
    house.open()
    house.platform.keyring.make_subject(anna)
    assert {finding.code for finding in house.platform.fsck().findings} >= {"erased_is_back"}
    assert house.platform._replay.destroy_keys() >= 5
    assert not house.platform.keyring.holds_anything_of(anna)
    assert house.platform.fsck(repair=True).sound
    assert house.platform.show(
        house.platform.sessions(subject="ben")[0].session_id, purpose="subject_access"
    ).features is not None  # fmt: skip


def test_a_person_whom_the_old_database_never_knew_is_gone_from_a_newer_key_store(house: House) -> None:
    house.platform.grant(subject="anna", purposes=ALL)
    house.close()
    old = house.copy()
    house.open()
    house.platform.grant(subject="dora", purposes=ALL)
    dora = house.person("dora")
    house.close()
    keys = house.copy("keys/keys.db").rename(house.home.with_name("keys backup"))
    shutil.copytree(house.copy(), house.home.with_name("newer"))
    house.open()
    house.platform.erase(subject="dora", request_id=REQUEST)
    house.close()
    house.copy()
    shutil.copy2(house.home.with_name("newer") / "sottovoce.db", house.home / "sottovoce.db")
    house.put_back(keys)
    house.open()
    assert not house.platform.keyring.holds_anything_of(dora)
    assert house.platform.erase(subject="dora", request_id=REQUEST).result == "erased"
    assert old.exists()


# --- the file itself ----------------------------------------------------------------------------------------


def refusal(house: House) -> IntegrityError:
    with pytest.raises(IntegrityError) as refused:
        house.open()
    assert str(house.home) not in f"{refused.value.message} {refused.value.hint}"
    assert refused.value.hint
    return refused.value


@pytest.fixture
def erased(house: House) -> House:
    """A closed home in which two people were erased."""
    filled(house)
    house.platform.erase(subject="anna")
    house.platform.erase(subject="ben")
    house.close()
    return house


def test_F30_a_home_without_its_tombstones_is_not_opened(erased: House) -> None:
    """A home whose file of tombstones is missing is refused, with a code of its own; nothing is changed by trying."""
    kept = erased.file.read_bytes()
    erased.file.unlink()
    assert refusal(erased).reason == "tombstones_missing"
    assert not erased.file.exists()
    erased.file.write_bytes(kept)
    assert erased.open().platform.fsck().sound


def test_F30_tombstones_that_were_cut_are_noticed(erased: House) -> None:
    """A file of tombstones that lost its end, or is an older copy, is refused."""
    lines = erased.file.read_bytes().splitlines(keepends=True)
    whole = erased.file.read_bytes()
    entries = [number for number, line in enumerate(lines) if b'"kind"' in line]
    erased.file.write_bytes(b"".join(lines[: entries[-1]]))
    assert refusal(erased).reason == "tombstones_cut"
    erased.file.write_bytes(whole)
    erased.open()


def test_F30_tombstones_that_were_altered_or_are_of_another_home_are_noticed(
    erased: House, tmp_path: Path
) -> None:
    """A changed line, a line left out, and the file of another home are refused."""
    whole = erased.file.read_bytes()
    lines = whole.splitlines(keepends=True)
    entry = next(number for number, line in enumerate(lines) if b"subject_erased" in line)
    other = House(tmp_path / "other home", erased.source).open()
    for name in ("anna", "ben", "cleo", "dora"):
        other.platform.grant(subject=name, purposes=ALL)
        other.platform.erase(subject=name)
    other.close()
    for wrong in (
        whole.replace(b"subject_erased", b"session_erased"), b"".join([*lines[:entry], *lines[entry + 1 :]]),
        other.file.read_bytes(), b"not a line of ours\n" * 9,
    ):  # fmt: skip
        erased.file.write_bytes(wrong)
        assert refusal(erased).reason == "tombstones_damaged"
    erased.file.write_bytes(whole)
    erased.open()


def test_F30_an_old_database_beside_a_cut_file_is_found_by_what_a_witness_has(house: House) -> None:
    """Where database and tombstones are both old, the home cannot know; the signed head that a witness has does."""
    witness = MemoryWitness()
    house.close()
    house.changes["witnesses"] = (witness,)
    house.open()
    filled(house)
    house.close()
    old = house.copy("sottovoce.db", "tombstones.log")
    house.open()
    house.platform.erase(subject="anna")
    house.close()
    kept = "\n".join(witness.kept)
    house.open()
    house.platform.verify_audit(since=kept)
    assert "memory has 2" in next(c.found for c in house.platform.doctor() if c.name == "tombstones")
    house.close()
    house.put_back(old)
    house.changes.clear()
    house.open()
    assert house.platform._heads.compare("\n".join(witness.kept[:1])) <= 1
    with pytest.raises(IntegrityError) as refused:
        house.platform._heads.compare(kept)
    assert refused.value.reason == "tombstones_cut"


def test_a_signed_head_that_does_not_fit_is_damage_and_one_of_a_stranger_counts_for_nothing(
    erased: House,
) -> None:
    whole = erased.file.read_bytes()
    head = [line for line in whole.splitlines(keepends=True) if line.startswith(b'{"head"')][-1]
    count = FileTombstones(erased.file).head().count
    erased.file.write_bytes(whole + head.replace(b'"count":%d' % count, b'"count":1'))
    assert refusal(erased).reason == "tombstones_damaged"
    name = FileTombstones(erased.file)
    erased.file.write_bytes(whole)
    me = erased.open().platform.keyring.identity()
    erased.close()
    stranger = Identity(os.urandom(32))
    own = next(iter(name.read())).home or ""
    for wrong in (TombstoneHead(2, bytes(32)), TombstoneHead(99, bytes(32))):  # another history, a longer one
        name.add_signed(notes.sign(wrong, name=own, public_key=me.public_key, sign_bytes=me.sign_bytes))
        assert refusal(erased).reason == "tombstones_damaged"
        erased.file.write_bytes(whole)
    said = notes.sign(
        TombstoneHead(99, bytes(32)), name=own, public_key=stranger.public_key, sign_bytes=stranger.sign_bytes
    )
    name.add_signed(said)
    assert erased.open().platform.fsck().sound


def test_an_unsigned_tail_is_honoured_and_signed_by_the_next_start(house: House) -> None:
    filled(house)
    house.platform._heads._not_before_s[:] = [float("inf")]
    house.platform.erase(subject="anna")
    house.platform._started = False  # ends without its last signature, as a killed process does
    house.close()
    file = FileTombstones(house.file)
    signed = [each.head for each in file.signed()]
    assert max(head.count for head in signed) < file.head().count
    house.open()
    assert house.platform.replayed.unsigned == 1
    house.platform._number()
    assert [each.head for each in file.signed()][-1] == file.head()


def test_a_new_home_begins_its_file_and_everything_is_in_it(house: House) -> None:
    assert house.kinds() == ["begun"]
    house.platform.grant(subject="anna", purposes=ALL)
    house.platform.mark(subject="anna", kind=MarkKind.CORRECTION, reason="statement", note="x")
    assert house.kinds() == ["begun"]
    house.platform.refuse(subject="anna", purposes=["model_training"])
    house.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    house.platform.unrestrict(subject="anna")
    assert house.kinds() == ["begun", "refused", "restricted"]
    assert house.applied() == FileTombstones(house.file).head()
    assert b"anna" not in house.file.read_bytes()


def test_a_home_from_before_gets_a_file_of_what_its_database_knows(erased: House) -> None:
    erased.open()
    erased.platform.withdraw(subject="cleo", purposes=["voice_analysis"])
    erased.platform.mark(subject="cleo", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    erased.close()
    erased.file.unlink()
    file = sqlite3.connect(erased.home / "sottovoce.db")
    file.execute("DELETE FROM tombstones_applied")
    file.commit()
    file.close()
    erased.open()
    assert erased.kinds() == ["begun", "subject_erased", "subject_erased", "withdrawn", "restricted"]
    assert erased.platform.fsck().sound
    assert erased.platform.replayed.entries == 0


def test_an_unfinished_beginning_is_begun_again(erased: House) -> None:
    """Killed after the file was made and before the database noted it."""
    file = sqlite3.connect(erased.home / "sottovoce.db")
    file.execute("DELETE FROM tombstones_applied")
    file.commit()
    file.close()
    erased.open()
    assert erased.platform.replayed.entries == 3
    assert erased.platform.replayed.done == {}
    assert erased.platform.fsck().sound


def test_the_file_stands_where_the_settings_say(tmp_home: Path, tmp_path: Path) -> None:
    source = tmp_path / "clip.wav"
    source.write_bytes(b"RIFF" + os.urandom(5000))
    place = tmp_path / "another disk"
    place.mkdir()
    house = House(tmp_home, source, {"tombstones": place / "stones"}).open()
    house.platform.grant(subject="anna", purposes=ALL)
    house.platform.erase(subject="anna")
    assert not house.file.exists()
    assert len(list(FileTombstones(place / "stones").read())) == 2
    house.close()
    place.rename(tmp_path / "away")
    assert refusal(house).reason == "tombstones_missing"
    (tmp_path / "away").rename(place)
    house.open().close()


# --- when something fails -----------------------------------------------------------------------------------


class FailingCommit:
    """A database whose next commits fail after everything in them was done."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.failing = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin(self, **how: Any) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def begun() -> Iterator[Any]:
            with self._inner.begin(**how) as tx:
                before = tx.requests.applied()
                yield tx
                if self.failing and tx.requests.applied() != before:
                    self.failing -= 1
                    raise StorageError("An injected fault.", reason="injected")

        return begun()


@pytest.mark.parametrize("again", ["same process", "next start", "sweep"])
def test_I10_a_commit_that_fails_after_the_tombstone_is_made_up_for(house: House, again: str) -> None:
    """Where an erasure stands in the file and its commit failed, it is carried out all the same, under its request."""
    filled(house)
    house.close()
    database = FailingCommit(app.connect(Settings(home=house.home)).database)
    house.changes["database"] = database
    house.open()
    database.failing = 1
    with pytest.raises(StorageError):
        house.platform.erase(subject="anna", request_id=REQUEST)
    assert house.kinds()[-1] == "subject_erased"
    if again == "same process":
        assert house.platform.erase(subject="anna", request_id=REQUEST).result == "erased"
    elif again == "sweep":
        house.platform.sweep()
    else:
        house.close()
        house.changes.clear()
        house.open()
    assert house.platform.sessions(subject="anna") == ()
    assert house.platform.erase(subject="anna", request_id=REQUEST).result == "erased"
    assert house.kinds().count("subject_erased") == 1
    database.close()


def test_a_model_whose_removal_was_promised_and_not_committed_goes(house: House) -> None:
    models = MemoryModels()
    models.add(StoredModel("ab" * 32, b"a model", "a card", None))
    models.add(StoredModel("cd" * 32, b"another", "a card", None))
    house.changes["models"] = models
    house.close()
    database = FailingCommit(app.connect(Settings(home=house.home)).database)
    house.changes["database"] = database
    house.open()
    database.failing = 1
    with pytest.raises(StorageError):
        house.platform.remove_model("ab" * 32)
    assert house.kinds()[-1] == "model_removed"
    assert len(models.hashes()) == 2
    house.platform.sweep()
    assert models.hashes() == ("cd" * 32,)
    models.add(
        StoredModel("ab" * 32, b"a model", "a card", None)
    )  # taken in again: the old tombstone was followed
    house.close()
    house.open()
    assert len(models.hashes()) == 2
    database.close()


def test_a_model_is_not_taken_out_beside_a_file_that_is_gone(house: House) -> None:
    models = MemoryModels()
    models.add(StoredModel("ab" * 32, b"a model", "a card", None))
    house.close()
    house.changes["models"] = models
    house.open()
    house.file.unlink()
    with pytest.raises(IntegrityError) as error:
        house.platform.remove_model("ab" * 32)
    assert error.value.reason == "tombstones_missing"
    assert models.hashes()


class BusyTidy(FailingCommit):
    """A database that cannot take deleted rows out of its files for a while, as when somebody reads it."""

    def tidy(self) -> None:
        if self.failing:
            self.failing -= 1
            raise StorageError("Somebody is still reading.", hint="Try again.", reason="storage_busy")
        self._inner.tidy()

    def begin(self, **how: Any) -> Any:
        return self._inner.begin(**how)


@pytest.mark.parametrize("meanwhile", ["nothing", "a sweep"])
@pytest.mark.parametrize("one_session", [False, True])
def test_F26_who_asks_again_after_an_error_is_not_told_that_nothing_was_held(
    house: House, meanwhile: str, one_session: bool
) -> None:
    """Whoever asks again for an erasure that was promised and met an error gets its receipt, also without naming the
    request; the error names it. Later askers get "nothing held" like everybody, and who comes anew is a new person."""
    sessions = filled(house)
    house.close()
    database = BusyTidy(app.connect(Settings(home=house.home)).database)
    house.changes["database"] = database
    house.open()
    session = sessions["anna"] if one_session else None
    database.failing = 2  # with the rows of the person gone already
    with pytest.raises(StorageError) as refused:
        house.platform.erase(subject="anna", session_id=session)
    promised = next(iter(house.platform._rights._unanswered.values()))
    assert f"--request-id {promised}" in refused.value.hint
    database.failing = 0
    if meanwhile == "a sweep":
        house.platform.sweep()
    again = house.platform.erase(subject="anna", session_id=session)
    assert (again.result, again.request_id) == ("erased", promised)
    assert house.platform._rights._unanswered == {}
    assert house.platform.erase(subject="anna", session_id=session).result == "nothing_held"
    house.platform.grant(subject="anna", purposes=ALL)
    assert house.platform.erase(subject="anna").request_id != promised
    database.close()


def test_I10_a_full_disk_at_the_commit_ends_in_one_erasure(hall: Hall) -> None:
    """With the disk full at the worst moment the erasure still happens, once, and says so."""
    hall.grant()
    hall.analyze()
    hall.database.disk_full = True
    outcome = hall.platform.erase(subject="anna")
    assert outcome.result == "erased"
    kinds = [entry.kind for entry in hall.adapters.tombstones.read()]
    assert kinds.count(TombstoneKind.SUBJECT_ERASED) == 1


def test_F10_erasing_goes_on_where_the_disk_of_the_tombstones_is_full(hall: Hall) -> None:
    """Space for tombstones is kept aside: an erasure is promised and done on a full disk."""
    hall.grant()
    stones = hall.adapters.tombstones
    assert isinstance(stones, MemoryTombstones)
    stones.disk_full = True
    assert hall.platform.erase(subject="anna").result == "erased"


def test_F16_erasing_does_not_wait_for_the_signature_of_the_tombstones(hall: Hall) -> None:
    """While no key can be used the tombstone is written and honoured; its signature follows when the keys are back."""
    hall.grant()
    stones = hall.adapters.tombstones
    assert isinstance(stones, MemoryTombstones)
    before = len(stones.signed_lines)
    identity = hall.platform.keyring.__class__.identity

    def down(_: object) -> None:
        raise KeyUnavailable("The key provider does not answer.", reason="provider_down")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hall.platform.keyring.__class__, "identity", down)
        with suppress(KeyUnavailable):
            hall.platform.erase(
                subject="anna", request_id=REQUEST
            )  # its receipt needs the key, and comes later
        hall.advance(minutes=1)
        hall.platform._number()
        assert len(stones.signed_lines) == before
    assert hall.platform.keyring.__class__.identity is identity
    assert [entry.kind for entry in stones.read()][-1] is TombstoneKind.SUBJECT_ERASED
    assert hall.platform.erase(subject="anna", request_id=REQUEST).result == "erased"
    hall.advance(minutes=1)
    hall.platform._number()
    assert list(stones.signed())[-1].head == stones.head()


def test_nothing_is_promised_beside_a_file_that_is_gone(house: House) -> None:
    filled(house)
    kept = house.file.read_bytes()
    house.file.unlink()
    for verb in (
        lambda: house.platform.erase(subject="anna"),
        lambda: house.platform.withdraw(subject="anna", purposes=["voice_analysis"]),
        lambda: house.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested"),
    ):
        with pytest.raises(IntegrityError) as refused:
            verb()
        assert refused.value.reason == "tombstones_missing"
    house.platform.grant(subject="anna", purposes=["model_training"])
    assert "tombstones" in {check.name for check in house.platform.doctor() if check.state == "ok"}
    house.file.write_bytes(kept)
    assert house.platform.erase(subject="anna").result == "erased"


def test_two_homes_processes_and_threads_promise_one_after_the_other(house: House) -> None:
    names = [f"person {n}" for n in range(8)]
    for name in names:
        house.platform.grant(subject=name, purposes=ALL)
    other = House(house.home, house.source).open()
    results: list[str] = []

    def work(platform: app.Platform, mine: list[str]) -> None:
        for name in mine:
            for _ in range(100):
                with suppress(StorageError):  # somebody reads while the rows are to vanish: tried again
                    results.append(platform.erase(subject=name).result)
                    break

    threads = [
        threading.Thread(target=work, args=(place.platform, names[n::4]))
        for n, place in enumerate((house, other, house, other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert results == ["erased"] * 8
    assert house.kinds().count("subject_erased") == 8
    assert house.applied() == FileTombstones(house.file).head()
    assert house.platform.fsck().sound


# --- fsck and doctor ----------------------------------------------------------------------------------------


def findings(house: House) -> set[str]:
    return {finding.code for finding in house.platform.fsck().findings}


def test_fsck_finds_what_the_file_does_not_know_or_the_database_has_not_done(erased: House) -> None:
    erased.open()
    stones = erased.platform._adapters.tombstones
    assert findings(erased) == set()
    last = list(stones.read())[-1]
    stones.append([replace(last, request_id=REQUEST)])
    assert findings(erased) == {"tombstones_behind"}
    assert erased.platform.fsck(repair=True).sound
    with erased.platform._adapters.database.begin() as tx:
        tx._connection.exec_driver_sql(  # type: ignore[attr-defined]
            "UPDATE tombstones SET request_id = 'req_' || hex(randomblob(12)) WHERE request_id != ?",
            (REQUEST,),
        )
    assert findings(erased) == {"tombstone_missing"}


def test_fsck_and_doctor_say_that_the_file_is_damaged(erased: House) -> None:
    erased.open()
    whole = erased.file.read_bytes()
    erased.file.write_bytes(whole.replace(b"subject_erased", b"Subject_erased", 1))
    assert "tombstones_damaged" in findings(erased)
    check = next(check for check in erased.platform.doctor() if check.name == "tombstones")
    assert (check.state, bool(check.hint)) == ("fail", True)
    erased.file.write_bytes(whole)
    check = next(check for check in erased.platform.doctor() if check.name == "tombstones")
    assert check.state == "ok"
    assert "another disk" in check.hint


def test_the_receipt_says_what_the_tombstone_holds_and_that_backups_follow_it(hall: Hall) -> None:
    hall.grant()
    outcome = hall.platform.erase(subject="anna")
    remains = app.verify_receipt(outcome.receipt or "", key=hall.platform.identity()).body["remains"]
    words = str(remains)
    assert "tombstone" in words
    assert "backups of the database" in words
