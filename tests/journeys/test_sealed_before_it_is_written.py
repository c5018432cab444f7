"""Recordings sealed on a contractor's machine, killed on the way, taken in elsewhere: nothing in clear anywhere."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile

from sottovoce.doors.cli.residue_search import Needles, audio_needles, family, marked_samples, search_memory

pytestmark = pytest.mark.slow

EACH = 10
SPEAKERS = {"contractor-17": "p225", "contractor-23": "p226"}
WINDOW_BYTES = 24


@pytest.fixture
def recordings(tmp_path: Path, shared_data: Path) -> Path:
    """Ten real recordings of each of two contractors, a folder for each, and what does not belong there."""
    folder = tmp_path / "recordings"
    found = sorted((shared_data / "vctk").glob("*.flac"))
    voices = sorted({path.name.split("_")[0] for path in found})
    for contractor, voice in zip(SPEAKERS, voices, strict=False):
        (folder / contractor).mkdir(parents=True)
        mine = [path for path in found if path.name.startswith(voice + "_")][:EACH]
        mine += [path for path in found if not path.name.startswith(tuple(voices[:2]))][: EACH - len(mine)]
        for number, path in enumerate(mine):
            shutil.copy(path, folder / contractor / f"{contractor} take {number}.flac")
    (folder / "contractor-17" / "link.flac").symlink_to("/etc/hostname")
    os.mkfifo(folder / "contractor-17" / "pipe.wav")
    (folder / "contractor-23" / "na\nme.wav").write_bytes(b"")
    return folder


@pytest.fixture
def clinic(cli_at: Callable[..., Any]) -> Any:
    """Who receives: a home with a recipient key, and the consents of both contractors."""
    cli = cli_at()
    for contractor in SPEAKERS:
        cli.grant(contractor)
    cli("keys", "recipient", "create", "--name", "agency", "--out", cli.folder / "agency.recipient.json")
    return cli


@pytest.fixture
def agency(cli_at: Callable[..., Any]) -> Any:
    """Who records: no home, and none is made."""
    return replace(cli_at(), named=False)


def windows_of(folder: Path) -> list[bytes]:
    """Some bytes of every recording, at places of their own."""
    dice, found = random.Random(1), []
    for path in sorted(folder.rglob("*.flac")):
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        for _ in range(8):
            at = dice.randrange(max(1, len(data) - WINDOW_BYTES))
            window = data[at : at + WINDOW_BYTES]
            if len(set(window)) > WINDOW_BYTES // 2:
                found.append(window)
    return found


def files_of(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


def in_clear(windows: list[bytes], *folders: Path) -> list[Path]:
    """Files that hold any of the windows."""
    return [path for path in files_of(*folders) if any(window in path.read_bytes() for window in windows)]


def sealed_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.sealed")}


def killed(cli: Any, *command: str | Path, when: Callable[[], bool]) -> None:
    """Start it, and kill it without a word once something has happened."""
    process = cli.start(*command, start_new_session=True)
    deadline = time.monotonic() + 60
    while not when() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def rows(home: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{home / 'sottovoce.db'}?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


def verified(home: Path) -> int:
    return int(rows(home, "SELECT count(*) FROM recordings WHERE state = 'verified'")[0][0])


def test_M16_sealed_killed_resumed_and_taken_in_with_nothing_in_clear(
    recordings: Path, clinic: Any, agency: Any
) -> None:
    """Twenty real recordings are sealed where they were made and taken in elsewhere, killed on both ways: each exactly
    once, no byte of audio in clear in what was uploaded or in the home."""
    key, upload = clinic.folder / "agency.recipient.json", agency.folder / "upload"
    seal = ("seal", recordings, "--to", key, "--out", upload, "--subject-from", "name")
    windows = windows_of(recordings)
    assert len(windows) > 100

    killed(agency, *seal, "--jobs", "1", when=lambda: len(list(upload.rglob("*.sealed"))) >= 3)
    before = sealed_files(upload)
    assert before
    assert in_clear(windows, upload) == []
    done = agency(*seal, "--json", code=1).lines[-1]
    assert done["summary"] == {
        "sealed": 2 * EACH - len(before), "sealed_before": len(before), "set_aside": 2, "failed": 1,
    }  # fmt: skip
    after = sealed_files(upload)
    assert len(after) == 2 * EACH
    assert {name: after[name] for name in before} == before
    assert len({path.parent for path in upload.rglob("*.sealed")}) == 2
    assert not agency.home.exists()

    ingest = ("ingest", upload, "--subject-from", "sealed")
    killed(clinic, *ingest, "--jobs", "2", when=lambda: verified(clinic.home) >= 3)
    assert in_clear(windows, clinic.home) == []
    taken = clinic(*ingest, "--json", "--discard-source").lines[-1]["summary"]
    assert taken["taken"] + taken["done_before"] == 2 * EACH
    assert taken["done_before"] >= 3
    assert rows(
        clinic.home, "SELECT state, count(*) FROM recordings WHERE failure IS NULL GROUP BY state"
    ) == [("verified", 2 * EACH)]
    kept = rows(clinic.home, "SELECT count(*) FROM records WHERE kind = 'features' GROUP BY session_id")
    assert kept == [(1,)] * (2 * EACH)
    assert sealed_files(upload) == {}

    assert in_clear(windows, upload, clinic.home) == []
    for path in files_of(clinic.home):
        assert b"contractor-17" not in path.read_bytes()
    control = clinic.home / "control"
    control.write_bytes(bytes(1000) + windows[5] + bytes(1000))
    assert in_clear(windows, clinic.home) == [control]
    control.unlink()
    clinic("fsck")
    clinic("audit", "verify")


def test_X25_whoever_lists_the_upload_learns_nobody_s_id(recordings: Path, clinic: Any, agency: Any) -> None:
    """Names, folders and contents of the upload hold no id of a contractor and no name of a file."""
    upload = agency.folder / "upload"
    agency(
        "seal", recordings, "--to", clinic.folder / "agency.recipient.json", "--out", upload, "--subject-from",
        "name", code=1,
    )  # fmt: skip
    for path in files_of(upload):
        seen = os.fsencode(path.relative_to(upload)) + path.read_bytes()
        assert b"contractor" not in seen
        assert b"take" not in os.fsencode(path.name)
    folder = clinic(
        "keys", "recipient", "show", *_key_ids(clinic), "--contractor", "contractor-17"
    ).out.strip()
    assert len(list((upload / folder).glob("*.sealed"))) == EACH


def _key_ids(clinic: Any) -> list[str]:
    return [key["key_id"] for key in clinic("keys", "recipient", "list", "--json").json]


@pytest.mark.parametrize("suite", ["xwing", "rsa"])
def test_M16_every_wrong_file_has_its_code_and_nothing_of_it_is_kept(
    cli_at: Callable[..., Any], jfk_path: Path, tmp_path: Path, suite: str
) -> None:
    """Cut, altered, swapped, copied, or sealed to somebody else or to a key that is gone: each is set aside with its
    own code, the good one is taken in."""
    cli = cli_at()
    cli.grant("anna")
    mine, gone, other = (tmp_path / f"{name}.json" for name in ("mine", "gone", "other"))
    for key in (gone, mine):
        cli("keys", "recipient", "create", "--suite", suite, "--out", key)
    cli("export", "new-key", "--private", tmp_path / "private.json", "--public", other)
    retired = json.loads(gone.read_text())["key_id"]
    names = ("good", "cut", "swapped", "flipped", "note")
    files = dict(zip(names, _sealed_copies(cli, jfk_path, tmp_path / "takes", mine, len(names)), strict=True))
    cli("keys", "recipient", "retire", retired, "--grace-days", "0")
    offset = 50 + {"xwing": 1168, "rsa": 512}[suite] + 3144
    wrong = {
        "copy": (files["good"], "envelope_replayed"),
        "cut": (files["cut"][:-3], "envelope_cut"),
        "other": (_sealed_copies(cli, jfk_path, tmp_path / "a", other, 1)[0], "recipient_unknown"),
        "retired": (_sealed_copies(cli, jfk_path, tmp_path / "b", gone, 1)[0], "recipient_retired"),
        # GCM commits to no key: the child finds it
        "swapped": (files["swapped"][:offset] + files["good"][offset:],
                    "envelope_swapped" if suite == "xwing" else "envelope_damaged"),
        "flipped": (_flipped(files["flipped"], len(files["flipped"]) - 100), "envelope_damaged"),
        "note": (_flipped(files["note"], offset - 100), "envelope_damaged"),
    }  # fmt: skip
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "a.sealed").write_bytes(files["good"])
    for name, (data, _) in wrong.items():
        (inbox / f"{name}.sealed").write_bytes(data)
    ingest = ("ingest", inbox, "--subject-from", "sealed", "--jobs", "1")
    cli(*ingest, "--report", tmp_path / "report.csv", code=1)
    with (tmp_path / "report.csv").open(newline="") as file:
        codes = {row["file"].removesuffix(".sealed"): row["code"] for row in csv.DictReader(file)}
    assert codes == {"a": "", **{name: code for name, (_, code) in wrong.items()}}
    assert verified(cli.home) == 1
    assert list((cli.home / "bodies").iterdir()) == []
    assert rows(cli.home, "SELECT count(*) FROM records WHERE kind = 'features'") == [(1,)]
    for name in ("cut", "flipped", "note", "swapped"):  # sent again as they were, they are taken in
        (inbox / f"{name}.sealed").write_bytes(files[name])
    cli(*ingest, code=1)
    assert verified(cli.home) == 5
    cli("fsck")


def _sealed_copies(cli: Any, recording: Path, folder: Path, key: Path, count: int) -> list[bytes]:
    """So many sealed files of the same recording, each from a file of its own."""
    folder.mkdir()
    for number in range(count):
        shutil.copy(recording, folder / f"{number}.flac")
    out = folder.with_name(folder.name + " sealed")
    cli("seal", folder, "--to", key, "--out", out, "--contractor", "anna")
    return list(sealed_files(out).values())


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_sealed_recording_is_opened_by_who_has_to_hear_it(
    cli_at: Callable[..., Any], jfk_path: Path, tmp_path: Path
) -> None:
    cli = cli_at()
    nobody = replace(cli, named=False)
    nobody("export", "new-key", "--private", tmp_path / "private.json", "--public", tmp_path / "public.json")
    nobody(
        "seal", jfk_path, "--to", tmp_path / "public.json", "--out", tmp_path / "up", "--contractor", "anna"
    )
    (sealed,) = (tmp_path / "up").rglob("*.sealed")
    command = ("open", sealed, "--key", tmp_path / "private.json", "--out", tmp_path / "clear")
    done = nobody(*command)
    assert "in clear" in done.err
    (clear,) = (tmp_path / "clear").iterdir()
    assert clear.read_bytes() == jfk_path.read_bytes()
    assert "[file_exists]" in nobody(*command, code=2).err
    assert "[recipient_unknown]" in cli("open", sealed, "--out", tmp_path / "clear", code=6).err


SERVICE = """
    import sys
    from pathlib import Path
    sys.path[:] = {path!r}
    import sottovoce
    control = bytearray(64)
    with open({control!r}, "rb", buffering=0) as file:
        file.readinto(control)
    platform = sottovoce.open(home={home!r})
    corpus = sottovoce.app.read_corpus(Path({upload!r}), "sealed")
    for file in platform.name_sealed({upload!r}, corpus).files:
        assert platform.ingest_file({upload!r} + "/" + file.path, subject=file.subject).status == "taken"
    print("done", flush=True)
    sys.stdin.read()
    platform.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory of other processes is read from /proc")
def test_X16_M16_a_sealed_recording_is_in_no_memory_but_the_child_s(
    cli_at: Callable[..., Any], tmp_path: Path
) -> None:
    """After sealed recordings were taken in, no piece of their audio is found in the memory of the process that took
    them in, nor of any other that still runs; a control that was planted there is found."""
    cli = cli_at()
    cli.grant("anna")
    cli("keys", "recipient", "create", "--out", tmp_path / "key.json")
    samples = marked_samples(17, samples=3 * 16_000)
    soundfile.write(tmp_path / "clip.wav", samples, 16_000, subtype="PCM_16")
    upload = tmp_path / "upload"
    cli("seal", tmp_path / "clip.wav", "--to", tmp_path / "key.json", "--out", upload, "--contractor", "anna")
    control = os.urandom(64)
    (tmp_path / "control").write_bytes(control)
    program = textwrap.dedent(SERVICE).format(
        path=sys.path, control=str(tmp_path / "control"), home=str(cli.home), upload=str(upload)
    )
    service = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=cli.environ
    )
    try:
        assert service.stdout is not None
        assert service.stdout.readline() == b"done\n"
        processes = family(service.pid)
        seen = search_memory(processes, Needles((control,)))
        if seen.unreadable:
            pytest.skip("not run: the memory of other processes cannot be read here")
        assert seen.found, "the search found not even the control"
        assert not search_memory(processes, Needles(tuple(audio_needles(samples)))).found
    finally:
        service.communicate(b"")
