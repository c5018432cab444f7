"""A person's package: complete, signed, refused when changed, taken in elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.app import verify_package
from sottovoce.errors import Conflict, IntegrityError, NotFound, UnknownSigner, UsageError
from sottovoce.model.purpose import CONSENT_PURPOSES, VOICE_ANALYSIS, VOICE_RECORDING
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


# --- what is in it ----------------------------------------------------------------------------------------


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


def test_the_dates_of_a_package_are_aware(hall: Hall, tmp_path: Path) -> None:
    hall.grant()
    data = _data(_export(hall, tmp_path / "a.zip"))
    assert datetime.fromisoformat(data["made_at"]).tzinfo is not None
