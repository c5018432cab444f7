"""A person's package: complete, signed, refused when changed, taken in elsewhere."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.app import verify_package
from sottovoce.errors import Conflict, IntegrityError, NotFound, UnknownSigner, UsageError
from sottovoce.model.features import FEATURE_NAMES, FeatureVector
from sottovoce.model.purpose import CONSENT_PURPOSES, RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.sealing import recipients, suites
from sottovoce.sealing.receipt import Identity
from sottovoce.usecases import portable

Hall = Any
SEED = Identity(bytes(range(32)))
TRUSTED = {SEED.key_id: SEED.public_key}


def _sign(kind: str, body: dict[str, Any]) -> str:
    from sottovoce.sealing import receipt

    return receipt.sign(kind, body, identity=SEED).to_json()


def _export(hall: Hall, out: Path, subject: str = "anna") -> zipfile.ZipFile:
    hall.platform.export_person(subject=subject, out=out, caller=hall.caller)
    return zipfile.ZipFile(out)


def _data(archive: zipfile.ZipFile) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(archive.read("data.json"))
    return found


def _stored(vector: FeatureVector) -> FeatureVector:
    """What is left of a vector when it was stored: float32."""
    return FeatureVector.from_float32_bytes(
        vector.to_float32_bytes(),
        profile=vector.profile,
        version=vector.version,
        sample_rate_hz=vector.sample_rate_hz,
    )


# --- what is in it ----------------------------------------------------------------------------------------


def test_C13a_the_package_explains_features_recipients_retention_and_model_use(
    hall: Hall, tmp_path: Path
) -> None:
    """The package of a person says in plain words what each number is, who receives it, how long it stays."""
    hall.grant()
    analysis = hall.analyze()
    archive = _export(hall, tmp_path / "anna.zip")
    data = _data(archive)
    session = data["sessions"][0]
    assert session["id"] == analysis.session_id
    assert session["features"]["values"] == _stored(analysis.features).as_dict()
    assert set(data["features_explained"]) == set(FEATURE_NAMES)
    assert data["recipients"] == []
    assert data["recipients_in_words"].startswith("Nothing of you was handed to anybody")
    assert data["retention_days"]["features"] == 30
    assert session["decisions"][0]["model_sha256"] == analysis.insight.model_sha256
    assert session["decisions"][0]["content"]["feature_sha256"] == analysis.features.sha256()
    assert [item["name"] for item in session["insight"]["items"]] == [i.name for i in analysis.insight.items]
    assert "anna" in archive.read("index.html").decode()


def test_C13a_the_exact_notices_and_the_receipts_are_in_the_package(hall: Hall, tmp_path: Path) -> None:
    """Whoever takes their data along has the very texts that they were shown, and every receipt."""
    hall.grant(purposes=[VOICE_RECORDING])
    words = b"Wir fragen Sie <b>ganz</b> genau.\n"
    hall.platform.grant(
        subject="anna",
        purposes=[VOICE_ANALYSIS],
        notice=words,
        notice_version="7",
        evidence="paper 12",
        caller=hall.caller,
    )
    archive = _export(hall, tmp_path / "anna.zip")
    data = _data(archive)
    own = next(notice for notice in data["notices"] if notice["version"] == "7")
    assert archive.read(own["file"]) == words
    assert own["sha256"] == hashlib.sha256(words).hexdigest()
    assert [one["evidence"] for one in data["consents"]] == [None, "paper 12"]
    assert "&lt;b&gt;ganz" in archive.read("index.html").decode()
    with hall.database.read() as tx:
        person = hall.platform._record.people.find(tx, "anna")
        for receipt in tx.receipts.of_subject(person.id):
            assert archive.read(f"receipts/{receipt.id}.json").decode() == receipt.text


def test_C13a_the_package_has_the_persons_own_access_log_with_this_very_export(
    hall: Hall, tmp_path: Path
) -> None:
    """The package shows who opened the person's data, the export itself included."""
    hall.grant()
    session = hall.analyze().session_id
    hall.platform.show(session, purpose="subject_access", caller=hall.caller)
    data = _data(_export(hall, tmp_path / "anna.zip"))
    kinds = [entry["kind"] for entry in data["access_log"]]
    assert "record.read" in kinds
    assert kinds[-1] == "person.exported"


def test_X37_the_export_is_in_the_log_before_anything_is_opened(hall: Hall, tmp_path: Path) -> None:
    """If the entry cannot be committed, nothing is handed out and no file is left."""
    hall.grant()
    hall.analyze()
    hall.database.disk_full = True
    out = tmp_path / "anna.zip"
    with pytest.raises(Exception, match="full"):
        hall.platform.export_person(subject="anna", out=out, caller=hall.caller)
    assert not out.exists()


def test_M32_csv_and_json_say_the_same(hall: Hall, tmp_path: Path) -> None:
    """The tables and the data for programs in a package agree, number by number."""
    hall.grant()
    for _ in range(3):
        hall.analyze()
    archive = _export(hall, tmp_path / "anna.zip")
    data = _data(archive)

    def rows(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(archive.read(name).decode())))

    features = {row["session_id"]: row for row in rows("features.csv")}
    for session in data["sessions"]:
        told = {name: float(features[session["id"]][name]) for name in FEATURE_NAMES}
        assert told == session["features"]["values"]
    assert len(rows("consents.csv")) == len(data["consents"])
    assert len(rows("access_log.csv")) == len(data["access_log"])
    assert len(rows("insights.csv")) == sum(len(one["insight"]["items"]) for one in data["sessions"])


def test_a_cell_that_a_spreadsheet_would_run_is_disarmed(hall: Hall, tmp_path: Path) -> None:
    hall.platform.grant(
        subject="anna",
        purposes=[VOICE_ANALYSIS],
        evidence='=HYPERLINK("x")',
        consent_channel="@paper",
        caller=hall.caller,
    )
    archive = _export(hall, tmp_path / "anna.zip")
    row = next(csv.DictReader(io.StringIO(archive.read("consents.csv").decode())))
    assert row["evidence"].startswith("'=")
    assert row["channel"].startswith("'@")


def test_C13a_the_page_has_no_script_and_escapes_every_word(hall: Hall, tmp_path: Path) -> None:
    """A name or text with markup in it stays text on the page that the person reads."""
    evil = '<script>alert("1")</script><img src=x onerror=y>'
    hall.platform.grant(subject=evil, purposes=[VOICE_ANALYSIS], evidence=evil, caller=hall.caller)
    page = _export(hall, tmp_path / "evil.zip", evil).read("index.html").decode()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page


def test_C5b_a_person_without_any_consent_can_export(hall: Hall, tmp_path: Path) -> None:
    """No consent is asked for a right: who refused or withdrew everything still gets their package."""
    hall.grant()
    hall.analyze()
    hall.platform.withdraw(subject="anna", purposes=list(CONSENT_PURPOSES), caller=hall.caller)
    archive = _export(hall, tmp_path / "anna.zip")
    assert {one["status"] for one in _data(archive)["purposes"]} == {"withdrawn"}


def test_I7_what_is_past_its_date_is_not_handed_out(hall: Hall, tmp_path: Path) -> None:
    """A result whose time is over is not opened any more, not even before it is swept."""
    hall.grant()
    hall.analyze()
    hall.advance(days=31)
    session = _data(_export(hall, tmp_path / "anna.zip"))["sessions"][0]
    assert "features" not in session
    assert session["insight"] is None
    assert session["decisions"][0]["content"] is None


# --- who gets one -----------------------------------------------------------------------------------------


def test_F26_unknown_and_erased_people_get_one_and_the_same_answer(hall: Hall, tmp_path: Path) -> None:
    """Asking for the package of a person who was erased says no more than of one who was never here."""
    hall.grant()
    hall.analyze()
    hall.platform.erase(subject="anna", caller=hall.caller)
    said = []
    for subject in ("anna", "nobody"):
        with pytest.raises(NotFound) as refused:
            hall.platform.export_person(subject=subject, out=tmp_path / "x.zip", caller=hall.caller)
        said.append(refused.value.to_dict())
    assert said[0] == said[1]
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize("when", ["while it is read", "while it is written"])
def test_F25_an_erasure_that_comes_in_between_wins_over_the_export(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A package is not handed out when the person is erased while it is made."""
    from sottovoce.adapters import export_file

    hall.grant()
    hall.analyze()

    def erase() -> None:
        hall.platform.erase(subject="anna", caller=hall.caller)

    write, unpatched = export_file.write_new, portable.pack

    def write_late(path: Path, data: bytes) -> None:
        write(path, data)
        erase()

    def pack_late(*given: Any, **named: Any) -> bytes:
        erase()
        return unpatched(*given, **named)

    written: list[Path] = []
    if when == "while it is read":
        monkeypatch.setattr(portable, "pack", pack_late)
        monkeypatch.setattr(export_file, "write_new", lambda path, data: written.append(path))
    else:
        monkeypatch.setattr(export_file, "write_new", write_late)
    with pytest.raises(Conflict, match="being erased"):
        hall.platform.export_person(subject="anna", out=tmp_path / "anna.zip", caller=hall.caller)
    assert list(tmp_path.glob("*.zip")) == []
    assert written == []


@pytest.mark.parametrize("when", ["while it is read", "while it is written"])
def test_F25_a_session_that_is_erased_meanwhile_is_in_no_package(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A package that holds a recording which was erased while it was made is not handed out; the next one has not got
    it."""
    from sottovoce.adapters import export_file

    hall.grant()
    gone, stays = hall.analyze().session_id, hall.analyze().session_id
    place, name = (portable, "pack") if when == "while it is read" else (export_file, "write_new")
    real = getattr(place, name)

    def late(*given: Any, **named: Any) -> Any:
        answer = real(*given, **named)
        monkeypatch.setattr(place, name, real)
        hall.platform.erase(subject="anna", session_id=gone, caller=hall.caller)
        return answer

    monkeypatch.setattr(place, name, late)
    with pytest.raises(Conflict) as refused:
        hall.platform.export_person(subject="anna", out=tmp_path / "anna.zip", caller=hall.caller)
    assert refused.value.reason == "session_erased"
    assert list(tmp_path.glob("*.zip")) == []
    hall.platform.export_person(subject="anna", out=tmp_path / "anna.zip", caller=hall.caller)
    data = json.loads(zipfile.ZipFile(tmp_path / "anna.zip").read("data.json"))
    assert [session["id"] for session in data["sessions"]] == [stays]


# --- the file ---------------------------------------------------------------------------------------------


def test_the_file_is_for_its_owner_alone_and_replaces_nothing(hall: Hall, tmp_path: Path) -> None:
    """The package is written readable by its owner alone, in one step, and never over another file."""
    hall.grant()
    out = tmp_path / "here" / "anna.zip"
    with pytest.raises(UsageError, match="folder"):
        hall.platform.export_person(subject="anna", out=out, caller=hall.caller)
    out.parent.mkdir()
    _export(hall, out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    before = out.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        hall.platform.export_person(subject="anna", out=out, caller=hall.caller)
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ["anna.zip"]


def test_without_anonymous_files_the_file_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sottovoce.adapters import export_file

    monkeypatch.setattr(export_file, "_linked", lambda *_: False)
    export_file.write_new(tmp_path / "a.zip", b"content")
    assert (tmp_path / "a.zip").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) == 0o600
    with pytest.raises(UsageError):
        export_file.write_new(tmp_path / "a.zip", b"other")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_M16_a_package_sealed_to_a_recipient_key_opens_with_its_private_half_only(
    hall: Hall, tmp_path: Path
) -> None:
    """A package that is sealed to a key says nothing to anybody else; its key stands in the log."""
    hall.grant()
    private = suites.generate_recipient(random_bytes=hall.adapters.entropy)
    document = recipients.public_document(private.public())
    made = hall.platform.export_person(
        subject="anna", out=tmp_path / "anna.sealed", to=document, caller=hall.caller
    )
    sealed = (tmp_path / "anna.sealed").read_bytes()
    assert b"anna" not in sealed
    assert made.sealed_to == private.public().key_id.hex()
    header = suites.parse_client_header(sealed)
    key = suites.open_content_key(recipients.parse_private(recipients.private_document(private)), header)
    body = suites.open_client_body(
        key, sealed[header.body_offset :], suite=header.suite, body_context=header.body_context()
    )
    (tmp_path / "anna.zip").write_bytes(body)
    verify_package(tmp_path / "anna.zip", home=hall.platform.home)
    with pytest.raises(IntegrityError):
        hall.platform.export_person(subject="anna", out=tmp_path / "b", to="{}", caller=hall.caller)


# --- tampering --------------------------------------------------------------------------------------------


def test_any_single_changed_byte_of_a_package_is_found() -> None:
    """Changing any one byte of a package makes it fail its check."""
    data = portable.pack({"a.json": b"{}", "b.csv": b"x,y\r\n"}, {"subject_id": "s"}, sign=_sign)
    assert set(portable.unpack(data, trusted=TRUSTED).members) == {"a.json", "b.csv"}
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises((IntegrityError, UnknownSigner)):
            portable.unpack(bytes(changed), trusted=TRUSTED)


@pytest.mark.parametrize("change", [{"a.json": b"[]"}, {"c.json": b"{}"}, {"a.json": None}])
def test_a_package_packed_anew_with_another_content_is_refused(change: dict[str, bytes | None]) -> None:
    """A zip that was unpacked, changed and packed again is not what was signed."""
    data = portable.pack({"a.json": b"{}", "b.csv": b"x"}, {"subject_id": "s"}, sign=_sign)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    anew = {name: content for name, content in {**members, **change}.items() if content is not None}
    with pytest.raises(IntegrityError) as refused:
        portable.unpack(portable._zip(anew), trusted=TRUSTED)
    assert refused.value.reason == "export_altered"


@settings(max_examples=40)
@given(st.data())
def test_cut_lengthened_and_reordered_packages_are_refused(data: st.DataObject) -> None:
    package = portable.pack({"a.json": b"{}", "b.csv": b"x"}, {"subject_id": "s"}, sign=_sign)
    cut = data.draw(st.integers(0, len(package) - 1))
    for changed in (package[:cut], package + b"x", b"x" + package):
        with pytest.raises((IntegrityError, UnknownSigner)):
            portable.unpack(changed, trusted=TRUSTED)


@pytest.mark.parametrize(
    "name", ["../x.json", "/x.json", "a/../../x.json", "C:\\x", "x\x00.json", "a/b/c.json"]
)
def test_hostile_names_doubles_and_compressed_members_are_refused(name: str) -> None:
    for names, method in (([name], zipfile.ZIP_STORED), (["a.json"], zipfile.ZIP_DEFLATED)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for each in names:
                archive.writestr(zipfile.ZipInfo("y"), b"") if "\x00" in each else archive.writestr(
                    each, b"0" * 99
                )
        with pytest.raises((IntegrityError, UnknownSigner)):
            portable.unpack(buffer.getvalue(), trusted=TRUSTED)


def test_C4b_a_package_is_never_believed_by_the_key_that_it_brings_along(hall: Hall, tmp_path: Path) -> None:
    """A package is checked against a key that was pinned before, never against one inside it."""
    data = portable.pack({"identity.json": b"{}"}, {"subject_id": "s"}, sign=_sign)
    (tmp_path / "foreign.zip").write_bytes(data)
    with pytest.raises(UnknownSigner):
        verify_package(tmp_path / "foreign.zip", home=hall.platform.home)
    other = _sign("consent", {"manifest_sha256": "0" * 64}).encode()
    with pytest.raises(IntegrityError):
        portable.unpack(portable._zip({"manifest.json": b"{}", "signature.json": other}), trusted=TRUSTED)


# --- taking in --------------------------------------------------------------------------------------------


@pytest.fixture
def other(new_hall: Callable[..., Hall], tmp_path: Path) -> Hall:
    made = new_hall(home=tmp_path / "other", seed=8)
    yield made
    made.platform.close()


def _moved(hall: Hall, other: Hall, tmp_path: Path, **given: Any) -> Any:
    out = tmp_path / f"{hashlib.sha256(str(given).encode()).hexdigest()[:8]}.zip"
    _export(hall, out)
    other.clock.advance(hall.clock.now() - other.clock.now())
    return other.platform.import_person(out, key=hall.platform.identity(), caller=other.caller, **given)


def test_C13a_a_package_can_be_taken_in_by_another_home(hall: Hall, other: Hall, tmp_path: Path) -> None:
    """A person can move: consents with their notices and results arrive as they were, and keep their date."""
    hall.grant()
    analysis = hall.analyze()
    hall.platform.refuse(subject="anna", purposes=["model_training"], evidence="said no", caller=hall.caller)
    outcome = _moved(hall, other, tmp_path)
    assert (outcome.consents, outcome.sessions, outcome.records, outcome.left_out) == (4, 1, 2, {})
    shown = other.platform.show(analysis.session_id, purpose="subject_access", caller=other.caller)
    assert shown.features == _stored(analysis.features)
    assert shown.quality == analysis.quality
    assert shown.insight == analysis.insight
    assert shown.expires_at == analysis.retention.expires_at
    here = {state.purpose: state.status for state in hall.platform.consents(subject="anna")}
    there = {state.purpose: state.status for state in other.platform.consents(subject="anna")}
    assert there == here
    again = _data(_export(other, tmp_path / "again.zip"))
    assert [one["evidence"] for one in again["consents"]] == [None, None, None, "said no"]
    left = [one.code for one in other.platform.fsck().findings]
    assert set(left) <= {"reserve_missing"}  # the fake home has no files for it
    assert "person.imported" in other.kinds_of_events()
    assert outcome.receipt_path is None or Path(outcome.receipt_path).name.startswith("rct_")


def test_X23_a_record_that_was_taken_in_has_a_key_of_its_own(hall: Hall, other: Hall, tmp_path: Path) -> None:
    """Nothing of the old home's keys or ciphertext is used in the new one."""
    hall.grant()
    session = hall.analyze().session_id
    _moved(hall, other, tmp_path)
    with hall.database.read() as tx, other.database.read() as elsewhere:
        before, after = tx.records.of_session(session), elsewhere.records.of_session(session)
    assert len(after) == 2
    assert not {one.id for one in before} & {one.id for one in after}
    assert not {one.body for one in before} & {one.body for one in after}


def test_C10a_a_promise_is_never_extended_by_moving(
    hall: Hall, new_hall: Callable[..., Hall], tmp_path: Path
) -> None:
    """Moving to a service that keeps longer, or shorter, never lets a result live longer than was promised."""
    hall.grant()
    analysis = hall.analyze()
    hall.advance(days=5)
    short = new_hall(home=tmp_path / "short", seed=9, features_days=10, insight_days=10)
    _moved(hall, short, tmp_path, subject="a")
    shown = short.platform.show(analysis.session_id, purpose="subject_access", caller=short.caller)
    assert shown.expires_at == hall.recordings()[0].received_at + timedelta(days=10)
    strict = new_hall(home=tmp_path / "strict", seed=11, features_days=7, insight_days=7)
    strict.clock.advance(hall.clock.now() - strict.clock.now())
    strict.grant()
    brief = strict.analyze()
    long = new_hall(home=tmp_path / "long", seed=12)
    _moved(strict, long, tmp_path, subject="c")
    shown = long.platform.show(brief.session_id, purpose="subject_access", caller=long.caller)
    assert shown.expires_at == brief.retention.expires_at == strict.clock.now() + timedelta(days=7)
    with long.database.read() as tx:
        (decision,) = tx.records.decisions_of_session(brief.session_id)
    assert decision.expires_at == shown.expires_at
    late = new_hall(home=tmp_path / "late", seed=10, features_days=5, insight_days=5)
    outcome = _moved(hall, late, tmp_path, subject="b")
    assert outcome.left_out == {"past its date": 1}
    short.platform.close()
    late.platform.close()


def test_a_foreign_notice_makes_nobody_elses_consent_outdated(
    hall: Hall, other: Hall, tmp_path: Path
) -> None:
    """Taking in one person never makes another person's consent invalid."""
    other.grant("ben")
    for version in ("2", "3"):
        hall.platform.grant(
            subject="anna", purposes=[RETENTION, VOICE_ANALYSIS, VOICE_RECORDING],
            notice=f"words {version}".encode(), notice_version=version, caller=hall.caller,
        )  # fmt: skip
    hall.analyze()
    outcome = _moved(hall, other, tmp_path)
    assert outcome.left_out == {"no consent that stands here to keep it": 1}
    other.analyze("ben")  # still allowed


def test_somebody_who_is_here_already_is_not_merged(hall: Hall, other: Hall, tmp_path: Path) -> None:
    """Two people are never merged: an id that is taken is refused, under another it is accepted."""
    hall.grant()
    hall.analyze()
    other.grant("anna")
    keys = len(list(other.platform.keyring.rows()))
    with pytest.raises(Conflict) as refused:
        _moved(hall, other, tmp_path)
    assert refused.value.reason == "subject_exists"
    assert len(list(other.platform.keyring.rows())) == keys
    assert _moved(hall, other, tmp_path, subject="anna-2").sessions == 1


def test_F30_what_was_erased_here_does_not_come_back_by_a_package(hall: Hall, tmp_path: Path) -> None:
    """An old package of a person who was erased is refused by the home that erased them."""
    hall.grant()
    hall.analyze()
    _export(hall, tmp_path / "old.zip")
    hall.platform.erase(subject="anna", caller=hall.caller)
    keys = len(list(hall.platform.keyring.rows()))
    with pytest.raises(Conflict) as refused:
        hall.platform.import_person(tmp_path / "old.zip", caller=hall.caller)
    assert refused.value.reason == "erased_here"
    assert len(list(hall.platform.keyring.rows())) == keys


def _repacked(package: portable.Package, change: Callable[[dict[str, Any]], None]) -> portable.Package:
    data = package.json("data.json")
    change(data)
    return portable.Package(
        {**package.members, "data.json": portable.to_json(data)}, package.manifest, package.signed
    )


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        *parts, last = path.split("/")
        for part in parts:
            data = data[int(part) if part.isdigit() else part]
        data[int(last) if last.isdigit() else last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sessions/0/features/values", {}),
        ("sessions/0/features/values/VoicedSegmentsPerSec", "NaN"),
        ("sessions/0/features/values/VoicedSegmentsPerSec", 1e300),
        ("sessions/0/id", "ses_../../../etc"),
        ("sessions/0/state", "received"),
        ("sessions/0/records", []),
        ("sessions/0/received_at", "2026-01-01"),
        ("sessions/0/insight/items", [{"name": "pitch_level", "value": True}]),
        ("sessions/0/insight/model_sha256", "0" * 64),
        ("sessions/0/quality", None),
        ("consents/0/action", "agree"),
        ("consents/0/notice_id", "ntc_" + "a" * 24),
        ("consents/0/occurred_at", "2099-01-01T00:00:00+00:00"),
        ("notices/0/sha256", "0" * 64),
        ("notices/0/purpose", "data_retention_30_days\u0000"),
        ("name", "\ud800"),
        ("name", 5),
        ("consents", None),
        ("subject_id", "anna"),
    ],
)
def test_a_signed_package_with_impossible_content_is_refused_as_a_whole(
    hall: Hall, other: Hall, tmp_path: Path, path: str, value: Any
) -> None:
    hall.grant()
    hall.analyze()
    _export(hall, tmp_path / "a.zip")
    package = verify_package(tmp_path / "a.zip", home=hall.platform.home)
    keys = len(list(other.platform.keyring.rows()))
    with pytest.raises((IntegrityError, UsageError)):
        other.platform._imports.take_in(_repacked(package, _set(path, value)), caller=other.caller)
    with other.database.read() as tx:
        assert tx.subjects.ids() == ()
    assert len(list(other.platform.keyring.rows())) == keys


def test_the_dates_of_a_package_are_aware(hall: Hall, tmp_path: Path) -> None:
    hall.grant()
    data = _data(_export(hall, tmp_path / "a.zip"))
    assert datetime.fromisoformat(data["made_at"]).tzinfo is not None
