"""Sealed recordings on arrival: exactly once, as they came, and refused with a code of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sottovoce import app as house
from sottovoce.errors import (
    AudioRejected,
    Conflict,
    ConsentRequired,
    ExtractionFailed,
    IntegrityError,
    KeyUnavailable,
    NotFound,
    SottovoceError,
    StorageError,
    UsageError,
)
from sottovoce.model.corpus import Corpus, CorpusFile
from sottovoce.sealing import suites
from sottovoce.sealing.client_body import open_client_stream
from sottovoce.sealing.envelope import parse_header

VOICE = b"RIFF" + bytes(i * 7 % 251 for i in range(50_000))
OFFSETS = {2: 50 + 80 + 3144, 3: 50 + 1168 + 3144, 1: 50 + 512 + 3144}


@dataclass
class Inbox:
    """A home on fakes, a recipient key, and sealed files that were made elsewhere."""

    hall: Any
    folder: Path
    key_id: str
    document: str

    def seal(self, data: bytes = VOICE, *, contractor: str | None = "anna", name: str = "a.wav") -> Path:
        source = self.folder / name
        source.write_bytes(data)
        sealed = house.seal_file(source, to=self.document, out=self.folder / "out", contractor=contractor)
        return self.folder / "out" / sealed.place

    def take(self, path: Path, subject: str = "", **named: Any) -> Any:
        return self.hall.platform.ingest_file(path, subject=subject, **named)


@pytest.fixture(params=["x25519"])
def inbox(hall: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Inbox:
    hall.grant()
    made = hall.platform.create_recipient_key(suite=request.param)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return Inbox(hall, folder, made.key_id, made.document)


all_suites = pytest.mark.parametrize("inbox", ["xwing", "x25519", "rsa"], indirect=True)


def look_into_the_store(inbox: Inbox, seen: list[Any]) -> Callable[[], None]:
    """What is stored while the sealed child would be at work."""

    def look() -> None:
        body = inbox.hall.extractor.sources[-1]
        seen.append((body, os.pread(body.fd, 1 << 20, 0)))

    return look


@all_suites
def test_M16_on_arrival_only_the_content_key_is_opened_and_the_sealed_key_is_dropped(inbox: Inbox) -> None:
    """A sealed recording is stored as it came, behind the hash of its header; its content key is a key row like every
    other; nothing of the recipient's part is kept."""
    path = inbox.seal()
    seen: list[Any] = []
    inbox.hall.extractor.before = look_into_the_store(inbox, seen)
    taken = inbox.take(path)
    assert (taken.status, taken.source_bytes) == ("taken", len(VOICE))
    ((body, stored),) = seen
    wire = path.read_bytes()
    header = suites.parse_client_header(wire)
    kept = parse_header(stored)
    assert (kept.key_id, kept.client_hash) == (taken.session_id, header.body_context())
    assert stored[kept.body_offset :] == wire[header.body_offset :]
    assert header.sealed_key[:32] not in stored
    assert header.envelope_id not in stored
    out, at = bytearray(), [kept.body_offset]

    def read_into(buffer: memoryview) -> int:
        piece = stored[at[0] : at[0] + len(buffer)]
        buffer[: len(piece)] = piece
        at[0] += len(piece)
        return len(piece)

    open_client_stream(
        read_into, out.extend, content_key=body.key, suite=body.suite, client_hash=body.context
    )
    assert bytes(out) == VOICE
    assert inbox.hall.audio_left() == (0, 0)


def test_M16_destroying_the_row_kills_the_stored_audio(inbox: Inbox) -> None:
    """While a sealed recording waits, its key row is all that opens it: with the row gone nobody opens the body."""
    path = inbox.seal()
    inbox.hall.extractor.failing.append(ExtractionFailed(reason="child_crashed"))
    with pytest.raises(ExtractionFailed):
        inbox.take(path)
    assert inbox.hall.audio_left() == (1, 1)
    found = {finding.code for finding in inbox.hall.platform.fsck().findings}
    assert found <= {"reserve_missing"}  # these fakes keep no files
    (waiting,) = inbox.hall.recordings()
    inbox.hall.platform.keyring.destroy([waiting.id])
    with pytest.raises(KeyUnavailable):
        inbox.hall.platform.keyring.open_key(waiting.id)


def test_a_body_that_a_live_key_opens_is_found_by_fsck(inbox: Inbox) -> None:
    """A body that came sealed, and that another recording's key opens, is found like every other."""
    path = inbox.seal()
    inbox.hall.extractor.failing.append(ExtractionFailed(reason="child_crashed"))
    with pytest.raises(ExtractionFailed):
        inbox.take(path)
    (waiting,) = inbox.hall.recordings()
    keyring = inbox.hall.platform.keyring
    from sottovoce.usecases.keyring import NewKey

    other = NewKey("recording", "audio", waiting.subject_id, "ses_" + "z" * 24)
    keyring.adopt_key(other, keyring.open_key(waiting.id))
    keyring.destroy([waiting.id])
    assert "key_elsewhere" in {finding.code for finding in inbox.hall.platform.fsck().findings}


@all_suites
def test_M16_each_envelope_is_taken_in_exactly_once(inbox: Inbox) -> None:
    """However often a sealed recording arrives, and under whatever name, one session comes of it."""
    path = inbox.seal()
    first, again = inbox.take(path), inbox.take(path)
    copy = path.with_name("another name.sealed")
    copy.write_bytes(path.read_bytes())
    assert [first.status, again.status, inbox.take(copy).status] == ["taken", "done_before", "done_before"]
    assert len(inbox.hall.extractor.sources) == 1
    assert len(inbox.hall.recordings()) == 1


def test_it_needs_no_suffix_to_be_known(inbox: Inbox) -> None:
    path = inbox.seal()
    renamed = path.rename(path.with_name("upload-17"))
    assert inbox.take(renamed).status == "taken"


def test_M16_no_consent_no_recording(inbox: Inbox) -> None:
    """A sealed recording of somebody who has not agreed is not stored, not even sealed."""
    path = inbox.seal(contractor="bert")
    with pytest.raises(ConsentRequired):
        inbox.take(path)
    assert inbox.hall.audio_left() == (0, 0)
    inbox.hall.grant("bert")
    assert inbox.take(path).status == "taken"


def test_what_fails_in_passing_is_taken_up_where_it_was_left(inbox: Inbox) -> None:
    path = inbox.seal()
    inbox.hall.extractor.failing.append(ExtractionFailed(reason="child_crashed"))
    with pytest.raises(ExtractionFailed):
        inbox.take(path)
    assert inbox.take(path).status == "taken"
    assert len(inbox.hall.recordings()) == 1
    assert inbox.hall.audio_left() == (0, 0)


def test_a_worker_may_have_done_it_meanwhile(inbox: Inbox) -> None:
    path = inbox.seal()
    inbox.hall.extractor.failing.append(ExtractionFailed(reason="child_crashed"))
    with pytest.raises(ExtractionFailed):
        inbox.take(path)
    inbox.hall.advance(seconds=10)
    assert inbox.hall.platform.work_next() is not None
    assert inbox.take(path).status == "done_before"


def test_a_recording_in_work_elsewhere_is_left_alone(inbox: Inbox) -> None:
    path, seen = inbox.seal(), []

    def second() -> None:
        inbox.hall.extractor.before = None
        with pytest.raises(Conflict) as refused:
            inbox.take(path)
        seen.append(refused.value.reason)

    inbox.hall.extractor.before = second
    assert inbox.take(path).status == "taken"
    assert seen == ["in_progress"]


def test_what_was_refused_for_what_it_is_stays_refused(inbox: Inbox) -> None:
    path = inbox.seal()
    inbox.hall.extractor.failing.append(AudioRejected(reason="too_short"))
    with pytest.raises(AudioRejected):
        inbox.take(path)
    again = inbox.take(path)
    assert (again.status, again.code) == ("refused_before", "too_short")
    assert inbox.hall.audio_left() == (0, 0)


def test_F10_a_full_disk_keeps_nothing_and_the_next_run_takes_it_in(inbox: Inbox) -> None:
    """A disk that is full on arrival leaves no body and no key; the sealed file is still there for the next run."""
    path = inbox.seal()
    honest = inbox.hall.bodies.writer

    def full(_: str) -> Any:
        raise StorageError(reason="storage_full")

    inbox.hall.bodies.writer = full
    with pytest.raises(StorageError):
        inbox.take(path)
    assert inbox.hall.audio_left() == (0, 0)
    inbox.hall.bodies.writer = honest
    assert inbox.take(path).status == "taken"


def test_C9e_the_sealed_file_goes_after_its_result_is_stored(inbox: Inbox) -> None:
    """With discard-source the sealed file is unlinked after the result is stored, and the audit log says so before."""
    path = inbox.seal()
    assert inbox.take(path, discard_source=True).source == "unlinked"
    assert not path.exists()
    assert "source.discarded" in inbox.hall.kinds_of_events()


# --- who speaks -------------------------------------------------------------------------------------------------


def test_the_note_and_the_manifest_have_to_agree(inbox: Inbox) -> None:
    named, unnamed = inbox.seal(), inbox.seal(VOICE + b"2", contractor=None, name="b.wav")
    assert inbox.take(named, "anna").status == "taken"
    with pytest.raises(UsageError) as refused:
        inbox.take(named, "bert")
    assert refused.value.reason == "subject_mismatch"
    with pytest.raises(UsageError) as refused:
        inbox.take(unnamed)
    assert refused.value.reason == "subject_unknown"
    assert inbox.take(unnamed, "anna").status == "taken"


def test_a_recording_without_a_note_needs_a_name(inbox: Inbox) -> None:
    """What a browser has sealed has no note (wire version 1): it is taken in by a manifest."""
    from sottovoce.sealing import recipients

    public = recipients.parse_public(inbox.document)
    path = inbox.folder / "from-a-browser"
    path.write_bytes(suites.seal_to(public, VOICE, envelope_id=bytes(range(16)), random_bytes=os.urandom))
    with pytest.raises(UsageError):
        inbox.take(path)
    taken = inbox.take(path, "anna")
    assert (taken.status, taken.source_bytes) == ("taken", len(VOICE))


# --- what is wrong ----------------------------------------------------------------------------------------------


def damaged(path: Path, make: Callable[[bytes], bytes]) -> Path:
    other = path.with_name("damaged.sealed")
    other.write_bytes(make(path.read_bytes()))
    return other


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda data: (
        data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :] if at >= 0 else flipped(len(data) + at)(data)
    )


OFFSET = OFFSETS[2]
WRONG: Sequence[tuple[str, Callable[[bytes], bytes], str]] = [
    ("version", flipped(0), "envelope_unknown"),
    ("suite", flipped(1), "envelope_unknown"),
    ("recipient", flipped(5), "recipient_unknown"),
    ("envelope id", flipped(40), "envelope_damaged"),
    ("sealed key", flipped(60), "envelope_damaged"),
    ("note", flipped(OFFSET - 1), "envelope_damaged"),
    ("salt", flipped(OFFSET), "envelope_swapped"),
    ("empty", lambda _: b"", "envelope_cut"),
    ("cut in the fixed part", lambda data: data[:20], "envelope_cut"),
    ("cut in the sealed key", lambda data: data[:100], "envelope_cut"),
    ("cut in the note", lambda data: data[: OFFSET - 5], "envelope_cut"),
    ("cut at the body", lambda data: data[:OFFSET], "envelope_cut"),
    ("cut in the body", lambda data: data[:-1], "envelope_cut"),
    ("more behind it", lambda data: data + b"x", "envelope_damaged"),
]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_M16_what_is_not_whole_is_refused_before_anything_is_stored(
    inbox: Inbox, make: Callable[[bytes], bytes], reason: str
) -> None:
    """A sealed file that was cut, altered or sealed to somebody else is refused with its own code; nothing is kept."""
    with pytest.raises((IntegrityError, KeyUnavailable)) as refused:
        inbox.take(damaged(inbox.seal(), make))
    assert refused.value.public_code == reason
    assert inbox.hall.recordings() == ()
    assert inbox.hall.audio_left() == (0, 0)


def test_X25_the_header_of_one_with_the_body_of_another_is_refused(inbox: Inbox) -> None:
    """A recording cannot be filed under somebody else by giving it another one's header."""
    inbox.hall.grant("bert")
    one, two = inbox.seal(), inbox.seal(VOICE[::-1], contractor="bert", name="b.wav")
    swapped = one.with_name("swapped.sealed")
    swapped.write_bytes(one.read_bytes()[:OFFSET] + two.read_bytes()[OFFSET:])
    with pytest.raises(IntegrityError) as refused:
        inbox.take(swapped)
    assert refused.value.reason == "envelope_swapped"


def test_a_flipped_bit_in_the_body_is_found_by_the_child_and_nothing_is_kept(inbox: Inbox) -> None:
    path = damaged(inbox.seal(), flipped(-1))
    inbox.hall.extractor.failing.append(IntegrityError())  # as the child answers (tests/ports, journeys)
    with pytest.raises(IntegrityError) as refused:
        inbox.take(path)
    assert refused.value.reason == "envelope_damaged"
    assert inbox.hall.audio_left() == (0, 0)


def test_a_file_that_grows_while_it_is_taken_in_is_read_to_its_end_and_no_further(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, honest = inbox.seal(), os.preadv
    whole = path.stat().st_size

    def growing(fd: int, buffers: list[memoryview], offset: int) -> int:
        with path.open("ab") as file:
            file.write(bytes(100_000))
        return honest(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", growing)
    assert inbox.take(path).status == "taken"
    (taken,) = inbox.hall.recordings()
    assert taken.body_bytes < whole


def test_a_retired_key_says_so(inbox: Inbox) -> None:
    path = inbox.seal()
    inbox.hall.platform.retire_recipient_key(inbox.key_id, grace_days=1)
    inbox.hall.advance(days=2)
    with pytest.raises(KeyUnavailable) as refused:
        inbox.take(path)
    assert refused.value.reason == "recipient_retired"


def test_a_recording_larger_than_the_limit_is_not_stored(new_hall: Any, tmp_path: Path) -> None:
    hall = new_hall(max_body_bytes=10_000)
    hall.grant()
    made = hall.platform.create_recipient_key(suite="x25519")
    small = Inbox(hall, tmp_path, made.key_id, made.document)
    with pytest.raises(AudioRejected) as refused:
        small.take(small.seal())
    assert refused.value.reason == "too_large"
    assert hall.recordings() == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.one_of(st.binary(max_size=300), st.tuples(st.sampled_from([1, 2]), st.binary(max_size=6000))))
def test_any_bytes_are_refused_by_an_error_of_ours(inbox: Inbox, data: bytes | tuple[int, bytes]) -> None:
    path = inbox.folder / "any.sealed"
    path.write_bytes(data if isinstance(data, bytes) else bytes([data[0], 2]) + data[1])
    with pytest.raises(SottovoceError):
        inbox.take(path)


# --- a whole folder ---------------------------------------------------------------------------------------------


def test_M16_a_replay_and_a_stranger_s_file_are_set_aside_and_the_others_named(inbox: Inbox) -> None:
    """In a folder of sealed files each is taken once: copies, strangers' files and damaged ones are set aside."""
    path = inbox.seal()
    out = inbox.folder / "out"
    (out / "zzzz").mkdir()
    (out / "a-plain.wav").write_bytes(VOICE)
    (out / "zzzz" / "copy.sealed").write_bytes(path.read_bytes())
    (out / "zzzz" / "cut.sealed").write_bytes(path.read_bytes()[:-1])
    (out / "zzzz" / "stranger.sealed").write_bytes(flipped(5)(path.read_bytes()))
    corpus = inbox.hall.platform.name_sealed(out, house.read_corpus(out, "name"))
    assert [(file.subject, file.sealed) for file in corpus.files] == [("a", False), ("anna", True)]
    assert {aside.path: aside.code for aside in corpus.set_aside} == {
        "zzzz/copy.sealed": "envelope_replayed", "zzzz/cut.sealed": "envelope_cut",
        "zzzz/stranger.sealed": "recipient_unknown",
    }  # fmt: skip
    alone = house.read_corpus(out, "sealed")
    assert [aside.code for aside in alone.set_aside] == ["not_sealed"]
    assert alone.subjects() == ()


def test_a_manifest_names_sealed_files_too(inbox: Inbox) -> None:
    path = inbox.seal(contractor=None)
    corpus = Corpus((CorpusFile(path.name, "anna", sealed=True),))
    named = inbox.hall.platform.name_sealed(path.parent, corpus)
    assert [file.subject for file in named.files] == ["anna"]
    gone = Corpus((CorpusFile("gone.sealed", "anna", sealed=True),))
    assert inbox.hall.platform.name_sealed(path.parent, gone).set_aside[0].code == "file_missing"


def test_keys_that_nobody_can_open_are_not_the_file_s_fault(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = inbox.seal()

    def locked(*_: object) -> Any:
        raise KeyUnavailable(reason="passphrase_needed")

    monkeypatch.setattr(type(inbox.hall.platform._recipient_keys), "private", locked)
    with pytest.raises(KeyUnavailable):
        inbox.hall.platform.name_sealed(path.parent, house.read_corpus(path.parent, "sealed"))


# --- opening in clear -------------------------------------------------------------------------------------------


@all_suites
def test_opening_with_the_home_s_key_is_consented_to_and_written_down(inbox: Inbox) -> None:
    path = inbox.seal()
    opened = inbox.hall.platform.open_sealed_file(path, out=inbox.folder / "clear")
    assert Path(opened.path).read_bytes() == VOICE
    assert "sealed.opened" in inbox.hall.kinds_of_events()
    log = inbox.hall.platform.access_log(subject="anna")
    assert [entry.read for entry in log if entry.kind == "sealed.opened"] == [True]


def test_M16_nobody_s_recording_is_opened_in_clear_without_their_consent(inbox: Inbox) -> None:
    """With the keys of a home a recording is opened only of somebody who is known and agrees to recordings."""
    unknown, named = inbox.seal(contractor="bert"), inbox.seal(VOICE + b"2", contractor=None, name="b.wav")
    clear = inbox.folder / "clear"
    with pytest.raises(NotFound):
        inbox.hall.platform.open_sealed_file(unknown, out=clear)
    with pytest.raises(UsageError):
        inbox.hall.platform.open_sealed_file(named, out=clear)
    inbox.hall.platform.withdraw(subject="anna", purposes=["voice_recording"])
    with pytest.raises(ConsentRequired):
        inbox.hall.platform.open_sealed_file(named, out=clear, subject="anna")
    assert not clear.exists()
    assert "sealed.opened" not in inbox.hall.kinds_of_events()
