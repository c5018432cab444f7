"""seal, open and keys recipient at the command line: what is told, what is set aside, what stops it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce import app as house
from sottovoce.errors import KeyUnavailable, StorageError
from sottovoce.model.corpus import Corpus, CorpusFile, IngestOutcome, SetAside
from sottovoce.model.sealed_file import OpenedFile
from sottovoce.sealing import recipients, suites
from sottovoce.usecases.recipient_keys import RecipientKey

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def private() -> suites.RecipientPrivate:
    return suites.generate_recipient(suites.SUITE_X25519, random_bytes=os.urandom)


@pytest.fixture
def key(tmp_path: Path, private: suites.RecipientPrivate) -> Path:
    path = tmp_path / "key.json"
    path.write_text(recipients.public_document(private.public(), bytes(16)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "takes"
    (made / "anna").mkdir(parents=True)
    for name in ("anna/1.wav", "anna/2.wav", "bert_3.wav"):
        (made / name).write_bytes(b"RIFF" + os.urandom(2000))
    (made / "anna/link.wav").symlink_to("/etc/hostname")
    os.mkfifo(made / "anna/pipe.wav")
    (made / "old.sealed").write_bytes(b"\x02\x02")
    return made


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_folder_is_sealed_and_sealed_before(
    run: Callable[..., Any], folder: Path, key: Path, tmp_path: Path
) -> None:
    command = ("seal", str(folder), "--to", str(key), "--out", str(tmp_path / "out"), "--contractor", "c-17")
    done = run(*command)
    assert done.code == 1  # something was set aside
    assert "3 sealed" in words(done.out)
    assert "2 set aside not_a_file anna/link.wav, anna/pipe.wav" in words(done.out)
    assert "1 set aside sealed_already old.sealed" in words(done.out)
    assert house.contractor_prefix(key.read_text(), "c-17") in done.out
    assert "3 sealed before" in words(run(*command).out)
    assert len(list((tmp_path / "out").rglob("*.sealed"))) == 3


def test_discarded_sources_are_told_with_what_is_not_proven(
    run: Callable[..., Any], folder: Path, key: Path, tmp_path: Path
) -> None:
    """Unlinked is said, and that nobody has proven what the medium keeps."""
    done = run(
        "seal",
        str(folder / "anna/1.wav"),
        "--to",
        str(key),
        "--out",
        str(tmp_path / "out"),
        "--discard-source",
    )
    assert (done.code, (folder / "anna/1.wav").exists()) == (0, False)
    assert "1 source files unlinked, blocks not proven" in words(done.out)


def test_each_person_of_a_folder_has_a_folder(
    run: Callable[..., Any], folder: Path, key: Path, tmp_path: Path
) -> None:
    done = run(
        "seal",
        str(folder),
        "--to",
        str(key),
        "--out",
        str(tmp_path / "out"),
        "--subject-from",
        "name",
        "--json",
    )
    assert done.lines[-1]["folders"].keys() == {"anna", "bert"}
    assert done.lines[-1]["summary"] == {"sealed": 3, "set_aside": 3}
    named = {line["file"]: line["status"] for line in done.lines[:-1]}
    assert named == {"anna/1.wav": "sealed", "anna/2.wav": "sealed", "bert_3.wav": "sealed"}


def test_a_dry_run_names_the_folders_and_writes_nothing(
    run: Callable[..., Any], folder: Path, key: Path, tmp_path: Path
) -> None:
    done = run("seal", str(folder), "--to", str(key), "--out", str(tmp_path / "out"), "--dry-run", "--json")
    assert done.json["would_be_sealed"] == 3
    assert done.json["folders"] == {"-": house.contractor_prefix(key.read_text(), None)}
    assert not (tmp_path / "out").exists()


def test_F10_a_full_disk_stops_the_run(
    run: Callable[..., Any], folder: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would fail for every other recording ends the sealing, with its reason."""

    def full(*_: object, **__: object) -> Any:
        raise StorageError(reason="storage_full")

    monkeypatch.setattr(house.Desk, "seal", full)
    done = run("seal", str(folder), "--to", str(key), "--out", str(tmp_path / "out"), "--jobs", "1")
    assert done.code == 7
    assert "[storage_full]" in done.err


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--contractor", "a", "--subject-from", "name"], 2), (["--contractor", " "], 2), (["--jobs", "99"], 2),
        (["--subject-from", "/no/such.csv"], 4),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(
    run: Callable[..., Any], folder: Path, key: Path, tmp_path: Path, more: list[str], code: int
) -> None:
    done = run("seal", str(folder), "--to", str(key), "--out", str(tmp_path / "out"), *more)
    assert done.code == code
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_meant(
    run: Callable[..., Any], folder: Path, key: Path, tmp_path: Path
) -> None:
    out = ("--to", str(key), "--out", str(tmp_path / "out"))
    assert run("seal", str(folder), "--to", str(key), "--out", str(folder / "up")).code == 2
    assert run("seal", str(tmp_path / "gone.wav"), *out).code == 4
    assert run("seal", str(folder / "anna/1.wav"), *out, "--subject-from", "name").code == 2
    assert run("seal", str(folder / "anna/link.wav"), *out).code == 1
    assert (
        run("seal", str(folder), "--to", str(folder / "bert_3.wav"), "--out", str(tmp_path / "out")).code == 5
    )


# --- open -------------------------------------------------------------------------------------------------------


def test_open_with_a_private_file(
    run: Callable[..., Any], folder: Path, key: Path, tmp_path: Path, private: suites.RecipientPrivate
) -> None:
    run(
        "seal", str(folder / "anna"), "--to", str(key), "--out", str(tmp_path / "out"), "--contractor", "anna"
    )
    sealed = sorted(map(str, (tmp_path / "out").rglob("*.sealed")))
    (tmp_path / "private.json").write_text(recipients.private_document(private))
    command = ("open", *sealed, "--key", str(tmp_path / "private.json"), "--out", str(tmp_path / "clear"))
    done = run(*command, "--json")
    assert done.code == 0
    assert "warning: this writes recordings in clear" in done.err
    assert [line["subject"] for line in done.lines] == ["anna", "anna"]
    again = run(*command)
    assert again.code == 2
    assert again.err.count("[file_exists]") == 2
    assert run(*command, "--subject", "anna").code == 2


def test_open_with_the_home(run: Callable[..., Any], platform: Any) -> None:
    platform.answers["open_sealed_file"] = OpenedFile("/clear/x.wav", 17, "an\x1bna")
    done = run("open", "x.sealed", "--out", "/clear", "--subject", "anna")
    assert "/clear/x.wav 17 bytes" in words(done.out)
    assert "\x1b" not in done.out
    platform.fails["open_sealed_file"] = KeyUnavailable(reason="recipient_retired")
    assert run("open", "x.sealed", "--out", "/clear").code == 6


# --- keys recipient ---------------------------------------------------------------------------------------------


def a_key(private: suites.RecipientPrivate, **change: Any) -> RecipientKey:
    fields: dict[str, Any] = {
        "key_id": private.public().key_id.hex(), "state": "active", "suite": 2, "name": "agency", "created_at": NOON,
        "document": recipients.public_document(private.public(), bytes(16)),
    }  # fmt: skip
    return RecipientKey(**(fields | change))


@pytest.fixture
def made(platform: Any, private: suites.RecipientPrivate) -> RecipientKey:
    one = a_key(private)
    gone = RecipientKey("ab" * 32, "destroyed", destroyed_at=NOON)
    platform.answers |= {
        "create_recipient_key": one, "recipient_key": one, "recipient_keys": (one, gone),
        "retire_recipient_key": a_key(private, state="retiring", destroyed_at=NOON + timedelta(days=7)),
    }  # fmt: skip
    return one


def test_a_key_is_printed_to_be_handed_out(
    run: Callable[..., Any], made: RecipientKey, tmp_path: Path
) -> None:
    printed = run("keys", "recipient", "create", "--name", "agency")
    assert recipients.parse_public(printed.out).key_id.hex() == made.key_id
    out = tmp_path / "handed.json"
    assert run("keys", "recipient", "show", made.key_id[:6], "--out", str(out)).code == 0
    assert out.read_text() == made.document
    assert run("keys", "recipient", "create", "--out", str(out)).code == 2
    assert "private" not in printed.out


def test_options_may_stand_before_the_verb(
    run: Callable[..., Any], made: RecipientKey, platform: Any
) -> None:
    done = run("--home", "/home-of-tests", "--json", "keys", "recipient", "list")
    assert [one["state"] for one in done.json] == ["active", "destroyed"]
    assert platform.opened_with == [Path("/home-of-tests")]
    assert made.key_id[:16] in run("keys", "recipient", "list").out


def test_the_folder_of_a_contractor_can_be_asked_for(run: Callable[..., Any], made: RecipientKey) -> None:
    done = run("keys", "recipient", "show", "ab", "--contractor", "c-17")
    assert done.out.strip() == house.contractor_prefix(made.document or "", "c-17")


def test_retiring_says_when_what_is_lost(
    run: Callable[..., Any], made: RecipientKey, platform: Any, private: suites.RecipientPrivate
) -> None:
    """Who retires a key is told in how many days what was sealed to it and not taken in is lost."""
    would = run("keys", "recipient", "retire", "ab", "--dry-run")
    assert "would be destroyed in 7 days" in would.out
    assert "retire_recipient_key" not in platform.verbs_asked()
    done = run("keys", "recipient", "retire", "ab")
    assert "2026-01-09" in done.out
    assert "what is not taken in by then is lost" in done.out
    platform.answers["retire_recipient_key"] = a_key(private, state="destroyed", document=None)
    assert "is destroyed" in run("keys", "recipient", "retire", "ab", "--grace-days", "0").out
    platform.answers["recipient_key"] = RecipientKey(made.key_id, "destroyed", destroyed_at=NOON)
    assert run("keys", "recipient", "show", "ab").code == 4


# --- ingest -----------------------------------------------------------------------------------------------------


def test_ingest_asks_the_notes_who_speaks(run: Callable[..., Any], platform: Any, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for name in ("x/1.sealed", "x/2.sealed"):
        (tmp_path / name).write_bytes(b"")
    named = Corpus(
        (CorpusFile("x/1.sealed", "anna", sealed=True),), (SetAside("x/2.sealed", "recipient_unknown", ""),)
    )
    platform.answers |= {
        "name_sealed": named, "unwilling": frozenset(), "footprint": (), "models_to_run": (),
        "ingest_file": IngestOutcome("taken", "ses_" + "a" * 24, "left_in_place", 1000),
    }  # fmt: skip
    done = run("ingest", str(tmp_path), "--subject-from", "sealed", "--jobs", "1", "--json")
    assert done.code == 1
    summary = json.loads(done.out.splitlines()[-1])
    assert summary["summary"] == {"set_aside": 1, "taken": 1}
    assert summary["not_taken"][0]["code"] == "recipient_unknown"
    asked = [named for verb, _, named in platform.asked if verb == "ingest_file"]
    assert [one["subject"] for one in asked] == ["anna"]


def test_a_key_that_is_gone_concerns_one_file_only(
    run: Callable[..., Any], platform: Any, tmp_path: Path
) -> None:
    for name in ("1.sealed", "2.sealed"):
        (tmp_path / name).write_bytes(b"")
    files = tuple(CorpusFile(name, "anna", sealed=True) for name in ("1.sealed", "2.sealed"))
    platform.answers |= {
        "name_sealed": Corpus(files), "unwilling": frozenset(), "footprint": (), "models_to_run": (),
        "ingest_file": IngestOutcome("taken", "ses_" + "a" * 24, "left_in_place", 1000),
    }  # fmt: skip
    platform.fails[str(tmp_path / "1.sealed")] = KeyUnavailable(reason="recipient_retired")
    done = run("ingest", str(tmp_path), "--subject-from", "name", "--jobs", "1", "--json")
    assert done.lines[-1]["summary"] == {"failed": 1, "taken": 1}
