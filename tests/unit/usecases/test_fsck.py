"""fsck on a real home: nothing found where it is sound, and each planted violation found, repaired or left with 5."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce import app
from sottovoce.adapters.database import SqliteDatabase
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.model.consent import ConsentAction, ConsentEvent
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.ids import new_id
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.subject import Caller
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context
from sottovoce.settings import Settings
from sottovoce.usecases.fsck import Finding, FsckReport
from sottovoce.usecases.keyring import NewKey

ALL = ("voice_recording", "voice_analysis", "data_retention_30_days")
CALLER = Caller(actor="tester", channel="test")
EXTRACTION = Extraction(
    FeatureVector(tuple(20.0 + i for i in range(88)), "compat", "egemaps-88/1", 16000),
    Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16000, 1, "0"),
)


class Numbers(InlineExtractor):
    """An extractor that gives numbers for anything."""

    def level(self) -> str:
        return "rlimits"

    def extract(self, source: object, options: object) -> Extraction:
        return EXTRACTION

    def close(self) -> None:
        return


@dataclass
class House:
    """A home with a worked-off recording, a waiting one and a failed one, and a clock to move."""

    home: Path
    platform: app.Platform = field(init=False)
    by: timedelta = timedelta(0)

    def open(self) -> House:
        settings = Settings(home=self.home)
        real = app.connect(settings)
        database = SqliteDatabase(settings.database_path, offset=lambda: self.by)
        adapters = replace(
            real, database=database, extractor=Numbers(), closing=(*real.closing, database.close)
        )
        self.platform = app.assemble(adapters, settings)
        return self

    def fill(self, source: Path) -> House:
        platform = self.platform
        platform.grant(subject="anna", purposes=ALL)
        self.done = platform.analyze(source, subject="anna").session_id
        self.failed = platform.submit(source, subject="anna").session_id
        platform._discard.fail(self.failed, "audio_rejected", caller=CALLER)
        platform.sweep()
        self.waiting = platform.submit(source, subject="anna").session_id
        return self

    def recording(self, session_id: str) -> Recording:
        with self.platform._adapters.database.read() as tx:
            found = tx.recordings.get(session_id)
        assert found is not None
        return found

    @property
    def person(self) -> str:
        return self.recording(self.done).subject_id

    def fsck(self, *, repair: bool = False) -> FsckReport:
        return self.platform.fsck(repair=repair, caller=CALLER)

    def body(self, session_id: str) -> Path:
        return self.home / "bodies" / session_id

    def make_key(self, key_id: str, kind: Any = "recording", key_class: str = "audio") -> bytes:
        return self.platform.keyring.new_key(
            NewKey(kind=kind, key_class=key_class, subject_id=self.person, key_id=key_id)
        )


@pytest.fixture
def house(tmp_home: Path, tmp_path: Path) -> Iterator[House]:
    source = tmp_path / "clip.wav"
    source.write_bytes(b"RIFF" + os.urandom(5000))
    made = House(tmp_home).open().fill(source)
    yield made
    made.platform.close()


def codes(report: FsckReport) -> dict[str, list[str]]:
    return {one.id: sorted({f.code for f in one.findings}) for one in report.checked if one.findings}


def found_and_repaired(house: House, invariant: str, code: str) -> Finding:
    """Only this invariant is found broken, and after the repair nothing is."""
    report = house.fsck()
    assert codes(report) == {invariant: [code]}
    after = house.fsck(repair=True)
    assert after.sound
    assert code in {finding.code for finding in after.repaired}
    assert house.fsck().sound
    return report.findings[0]


def found_and_left(house: House, invariant: str, code: str) -> None:
    """It is found, is called not repairable, and stands after --repair as before."""
    report = house.fsck()
    assert code in codes(report).get(invariant, [])
    assert not any(finding.safe for finding in report.findings if finding.code == code)
    assert code in codes(house.fsck(repair=True)).get(invariant, [])


def test_a_sound_home_has_no_findings_and_says_what_was_looked_at(house: House) -> None:
    report = house.fsck()
    assert report.sound
    assert [one.id for one in report.checked] == [f"I{n}" for n in range(1, 11)]
    assert all(one.looked_at for one in report.checked)
    looked = {one.id: one.looked_at for one in report.checked}
    assert looked["I4"].startswith("2 records of 3 recordings")
    assert "3 recordings joined" in looked["I6"]
    assert re.search(r", at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", looked["I7"])  # as every verb shows a time
    assert looked["I10"].endswith(", 1 entries of the file of tombstones")  # its beginning: nobody was erased
    assert house.fsck(repair=True).repaired == ()


def test_I8_fsck_says_that_nothing_is_spent_rather_than_that_all_is_well(house: House) -> None:
    """Without a budget ledger the check of the privacy budget says that it does not apply."""
    budget = next(one for one in house.fsck().checked if one.id == "I8")
    assert not budget.applicable
    assert "no budget ledger in this version" in budget.looked_at


def test_I1_C9b_fsck_finds_and_removes_the_body_of_an_ended_recording(house: House) -> None:
    """A sealed body that is left of a recording that has ended is found, and removed by a repair."""
    house.body(house.done).write_bytes(b"SVO1" + os.urandom(3000))
    # with its own key row missing every key was tried on it; none fits
    assert found_and_repaired(house, "I1", "body_of_ended").ref == house.done
    assert not house.body(house.done).exists()


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\x24\x10\x00\x00WAVEfmt " + bytes(40),
        b"x" * 5000 + b"RIFF\x24\x10\x00\x00WAVEfmt " + bytes(40),
        b"y" * ((1 << 20) - 5) + b"RIFF\x24\x10\x00\x00WAVEfmt ",
        b"fLaC\x00\x00\x00\x22" + bytes(60),
        b"log line\nOggS\x00\x02" + bytes(60),
        b"\x00\x00\x00\x18ftypM4A " + bytes(30),
        b"\x1a\x45\xdf\xa3" + bytes(30),
    ],
    ids=["wav", "wav-inside", "wav-across-pieces", "flac", "ogg-inside", "m4a", "webm"],
)
def test_I1_fsck_finds_audio_in_clear_in_any_file(house: House, content: bytes) -> None:
    """A recording in clear anywhere in a file of the home is found and named, and left for a person to decide."""
    (house.home / "forgotten.log").write_bytes(content)
    found_and_left(house, "I1", "audio_in_clear")
    assert (house.home / "forgotten.log").read_bytes() == content


def test_I2_fsck_collects_a_body_without_a_row_after_the_grace(house: House) -> None:
    """A stored object that belongs to no recording is found once it is older than the grace, and removed."""
    orphan = house.body("ses_" + "q" * 24)
    orphan.write_bytes(b"SVO1" + bytes(200))
    assert house.fsck().sound  # young: somebody may be writing its row
    old = time.time() - 7200
    os.utime(orphan, (old, old))
    found_and_repaired(house, "I2", "body_without_row")
    assert not orphan.exists()


def test_I2_fsck_collects_an_unfinished_body_after_the_grace(house: House) -> None:
    """A body that was never finished is found once it is older than the grace, and removed."""
    part = house.body("ses_" + "q" * 24 + ".part")
    part.write_bytes(bytes(200))
    old = time.time() - 7200
    os.utime(part, (old, old))
    found_and_repaired(house, "I2", "body_unfinished")
    assert not part.exists()


def test_I2_fsck_collects_a_key_without_data_after_the_grace(house: House) -> None:
    """A key that was made for something that never came is found after the grace, and destroyed."""
    key_id = "rec_" + "k" * 24
    house.make_key(key_id, "record", "features")
    assert house.fsck().sound
    house.by = timedelta(hours=2)
    found_and_repaired(house, "I2", "key_without_data")
    assert not house.platform.keyring.exists(key_id)


def test_I3_fsck_finds_and_destroys_the_key_of_an_ended_recording(house: House) -> None:
    """A key that is left of a recording whose receipt says it is gone is found, and destroyed by a repair."""
    house.make_key(house.done)
    assert found_and_repaired(house, "I3", "key_of_ended").ref == house.done
    assert not house.platform.keyring.exists(house.done)


def test_I3_fsck_tries_every_key_on_a_body_whose_own_key_is_gone(house: House) -> None:
    """A body without its own key that opens with another key in store is found, by its key commitment alone."""
    stray, other = "ses_" + "s" * 24, house.waiting
    key = house.platform.keyring.open_key(other)
    context = encode_context(tenant="default", subject=house.person, record=stray, kind="audio", version="1")
    house.body(stray).write_bytes(envelope.seal(key, os.urandom(3000), context, stray))
    assert codes(house.fsck()) == {"I3": ["key_elsewhere"]}


def test_I4_fsck_finds_a_result_where_none_may_be(house: House) -> None:
    """A result kept for a recording that failed is found."""
    with house.platform._adapters.database.begin() as tx:
        record = tx.records.of_session(house.done)[0]
        tx.records.add([replace(record, id=new_id("record", os.urandom), session_id=house.failed)])
    found_and_left(house, "I4", "result_unwanted")


def test_I4_I9_fsck_finds_a_lost_result(house: House) -> None:
    """A result that was committed to be kept and is not there is found."""
    with house.platform._adapters.database.begin() as tx:
        tx.records.delete([record.id for record in tx.records.of_session(house.done)])
    found_and_left(house, "I4", "result_missing")


def test_I5_fsck_finds_what_outlives_a_withdrawal(house: House) -> None:
    """What a person no longer agrees to keep is found where it is not due yet, and goes with a repair."""
    with house.platform._adapters.database.begin() as tx:
        grant = next(e for e in tx.consents.of_subject(house.person) if e.purpose == ALL[2])
        withdrawal: ConsentEvent = replace(
            grant, id=new_id("event", os.urandom), action=ConsentAction.WITHDRAW, occurred_at=tx.now(),
            recorded_at=tx.now(), sequence=0,
        )  # fmt: skip
        tx.consents.add([withdrawal])
    found_and_repaired(house, "I5", "kept_after_withdrawal")
    with house.platform._adapters.database.read() as tx:
        assert tx.records.of_session(house.done) == ()


def test_I6_fsck_numbers_what_waits(house: House) -> None:
    """Entries of the audit log without a number are found, and numbered by a repair."""
    with house.platform._adapters.database.begin() as tx:
        house.platform._trail.of(None, caller=CALLER).write(tx, "test.entry")
    found_and_repaired(house, "I6", "entries_unnumbered")


def test_I6_fsck_finds_an_edited_log(house: House) -> None:
    """An entry of the audit log that is not what was written is found and never put right in silence."""
    sql(house, "UPDATE events SET outcome = 'edited' WHERE kind = 'recording.received'")
    found_and_left(house, "I6", "log_broken")


def test_I6_fsck_finds_a_recording_without_its_entries(house: House) -> None:
    """A recording of whose beginning or end the audit log knows nothing is found."""
    ended = replace(
        house.recording(house.failed),
        id="ses_" + "z" * 24,
        state=RecordingState.FAILED_SHREDDED,
        idempotency=None,
    )
    with house.platform._adapters.database.begin() as tx:
        tx.recordings.add(ended)
    report = house.fsck()
    missing = [f.what for f in report.findings if f.code == "entry_missing"]
    assert missing == [
        "a recording has no entry recording.received", "a recording has no entry recording.failed_shredded",
    ]  # fmt: skip


def test_I7_fsck_finds_what_is_past_its_date_and_a_repair_lets_it_go(house: House) -> None:
    """With the clock moved past every date, what is still there is found, and a repair expires and discards it."""
    house.by = timedelta(days=31)
    report = house.fsck()
    assert codes(report) == {"I7": ["audio_overdue", "epoch_overdue", "record_overdue"]}
    assert house.fsck(repair=True).sound
    assert house.recording(house.waiting).state is RecordingState.FAILED_SHREDDED


def test_I7_what_is_due_within_one_sweep_is_not_yet_a_finding(house: House) -> None:
    """A date that has just passed waits for the next sweep, at most a minute, before it counts as missed."""
    house.by = house.recording(house.waiting).discard_by - datetime.now(UTC) + timedelta(seconds=20)
    assert house.fsck().sound


@pytest.mark.parametrize("lost", ["body", "key"])
def test_I9_fsck_finds_an_accepted_recording_that_was_lost(house: House, lost: str) -> None:
    """An accepted recording whose body or key is gone, though nobody ended it, is found."""
    if lost == "body":
        house.body(house.waiting).unlink()
    else:
        house.platform.keyring.destroy([house.waiting])
    found_and_left(house, "I9", "body_lost")


def test_I9_fsck_finds_a_record_that_nobody_can_open(house: House) -> None:
    """A kept result whose key is gone is found."""
    with house.platform._adapters.database.read() as tx:
        record = tx.records.of_session(house.done)[0]
    house.platform.keyring.destroy([record.id])
    found_and_left(house, "I9", "record_without_key")


def test_I9_fsck_writes_a_missing_copy_of_a_receipt_anew(house: House) -> None:
    """A receipt whose copy for the person is missing is found, and the copy written anew."""
    receipt_id = house.recording(house.done).receipt_id
    copy = house.home / "receipts" / f"{receipt_id}.json"
    text = copy.read_text()
    copy.unlink()
    found_and_repaired(house, "I9", "receipt_copy_missing")
    assert copy.read_text() == text


def test_I9_fsck_finds_an_ended_recording_without_a_receipt(house: House) -> None:
    """A recording that has ended and of which no signed receipt exists is found."""
    sql(house, "DELETE FROM receipts WHERE kind = 'recording'")
    found_and_left(house, "I9", "receipt_missing")


@pytest.mark.parametrize(
    "name", ["sottovoce.db.reserve", "keys/keys.db.reserve", "keys/audio-keys.db.reserve"]
)
def test_I10_fsck_finds_a_reserve_that_is_not_whole(house: House, name: str) -> None:
    """Space for erasing that is missing is found; the next opening of the home sets it aside again."""
    os.truncate(house.home / name, 4096)
    found_and_left(house, "I10", "reserve_missing")
    house.platform.close()
    house.open()
    assert house.fsck().sound


def test_I10_fsck_finishes_an_erasure_that_was_left(house: House) -> None:
    """An erasure that was promised and interrupted is found, and carried out by a repair."""
    house.platform._rights._promise("anna", None, None, caller=CALLER)
    house.by = timedelta(minutes=5)
    assert "erasure_unfinished" in codes(house.fsck())["I10"]
    assert house.fsck(repair=True).sound
    assert house.platform.sessions(subject="anna") == ()


def test_a_repair_stands_in_the_log(house: House) -> None:
    (house.home / "receipts" / f"{house.recording(house.done).receipt_id}.json").unlink()
    house.fsck(repair=True)
    assert [line.kind for line in house.platform.show_audit()][-2:] == ["home.repaired", "audit.shown"]


def test_fsck_says_nothing_of_people_files_or_contents(house: House) -> None:
    (house.home / "anna-smith.wav").write_bytes(b"RIFF\x24\x10\x00\x00WAVEfmt ")
    assert "anna" not in repr(house.fsck())


@pytest.mark.slow
def test_fsck_is_linear_in_rows_and_bodies(tmp_path: Path) -> None:
    """Four times the rows and bodies cost at most six times as much (best of three)."""
    small, large = (cost_s(tmp_path / str(n), n) for n in (250, 1000))
    assert large <= 6 * small


def cost_s(home: Path, recordings: int) -> float:
    """CPU seconds of one check of a home with so many recordings waiting and as many ended."""
    house = House(home).open()
    fill_many(house.platform, recordings)
    report = house.fsck()
    assert report.sound, codes(report)
    best = min(timed(house.fsck) for _ in range(3))
    house.platform.close()
    return best


def fill_many(platform: app.Platform, recordings: int) -> None:
    """Half of them wait with a body and a key, half have failed; ten of each person."""
    database, entropy = platform._adapters.database, os.urandom
    for start in range(0, recordings, 10):
        platform.grant(subject=f"p{start}", purposes=ALL)
        with database.begin() as tx:
            person = platform._record.people.find(tx, f"p{start}")
            assert person is not None
            scribe = platform._trail.of(person.id, caller=CALLER)
            signer = platform._receipts.signer()
            made = [new_id("session", entropy) for _ in range(min(10, recordings - start))]
            for number, session_id in enumerate(made):
                ended = number % 2 == 0
                recording = Recording(
                    id=session_id, tenant="default", subject_id=person.id, shape="submit", keep=True,
                    state=RecordingState.FAILED_SHREDDED if ended else RecordingState.RECEIVED,
                    received_at=tx.now(), discard_by=tx.now() + timedelta(days=1), body_stored_at=tx.now(),
                    receipt_id=new_id("receipt", entropy) if ended else None,
                )  # fmt: skip
                tx.recordings.add(recording)
                scribe.write(tx, "recording.received", details={"session": session_id})
                if ended:
                    scribe.write(tx, "recording.failed_shredded", details={"session": session_id})
                    tx.receipts.add(_receipt(recording, signer.sign("recording", {"n": number}), tx.now()))
        waiting = made[1::2]
        keys = [
            NewKey(kind="recording", key_class="audio", subject_id=person.id, key_id=one) for one in waiting
        ]
        platform.keyring.new_keys(keys)
        for session_id in waiting:
            (platform.home / "bodies").mkdir(exist_ok=True)
            (platform.home / "bodies" / session_id).write_bytes(b"SVO1" + bytes(200))
    platform._number()
    with database.read() as tx:
        for subject_id in tx.subjects.ids():
            for receipt in tx.receipts.of_subject(subject_id):
                platform._receipts.publish(receipt)


def _receipt(recording: Recording, text: str, at: datetime) -> Any:
    from sottovoce.model.record import StoredReceipt

    return StoredReceipt(
        id=recording.receipt_id or "", tenant="default", subject_id=recording.subject_id,
        session_id=recording.id, kind="recording", text=text, at=at,
    )  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def sql(house: House, statement: str) -> None:
    """Somebody with a shell."""
    connection = sqlite3.connect(house.home / "sottovoce.db")
    connection.execute(statement)
    connection.commit()
    connection.close()
