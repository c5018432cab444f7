"""Archives of the audit log: the contents go to a file, the proof stays, and a kill at any moment loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce import app
from sottovoce.audit.checkpoint import parse_checkpoint
from sottovoce.errors import Conflict, IntegrityError, NotFound, StorageError, UsageError
from sottovoce.model.subject import Caller

Hall = Any
CALLER = Caller(actor="tester", channel="test")


@dataclass
class MemoryFile:
    """A file that is a list of lines."""

    content: list[bytes] = field(default_factory=list)

    def write(self, lines: Iterable[bytes]) -> None:
        if self.content:
            raise Conflict("The file exists already.", reason="file_exists")
        self.content = list(lines)

    def lines(self) -> Iterator[bytes]:
        return iter(self.content)


def many(hall: Hall, count: int, *, subject: str | None = None) -> None:
    with hall.database.begin() as tx:
        person = None if subject is None else hall.platform._record.people.find(tx, subject)
        scribe = hall.platform._trail.of(person and person.id, caller=CALLER)
        for n in range(count):
            scribe.write(tx, "test.entry", details={"n": n})
    hall.platform._number()


def archived(hall: Hall, file: MemoryFile | None = None, **before: float) -> MemoryFile:
    """Everything older than so long ago, in a file."""
    file = file or MemoryFile()
    at = hall.clock.now() - timedelta(**before)
    hall.platform._archiving.archive(file, before=at, caller=CALLER)
    hall.platform._number()
    return file


@pytest.fixture
def old_hall(hall: Hall) -> Hall:
    """A hall with 300 entries of last year, and some of today."""
    hall.grant()
    many(hall, 300)
    hall.advance(days=365)
    hall.platform.sweep(caller=CALLER)
    many(hall, 5)
    return hall


def test_C29a_what_was_proven_before_an_archive_is_proven_after_it(old_hall: Hall) -> None:
    """Moving old entries to a file changes no checkpoint and no proof: those kept outside go on verifying, and new
    proofs lead over the archived part."""
    checkpoints = [old_hall.platform.checkpoint_audit()]
    many(old_hall, 300)
    checkpoints.append(old_hall.platform.checkpoint_audit())
    before = old_hall.platform.verify_audit()
    archived(old_hall, days=1)
    after = old_hall.platform.verify_audit(since="\n".join(checkpoints))
    assert after.intact
    assert after.compared == before.events
    assert after.archived > 300
    assert after.events == before.events + 1  # that it was archived
    event = old_hall.platform.show_audit(limit=1, caller=CALLER)[0].event_id
    proof = old_hall.platform.prove_audit(event, caller=CALLER)
    found = app.verify_proof(proof.text, key=old_hall.platform.identity())
    assert found.sequence == proof.sequence
    reopened = app.assemble(old_hall.adapters, old_hall.platform.settings)  # the tree is loaded anew
    assert reopened.verify_audit(since=checkpoints[1]).intact
    assert parse_checkpoint(reopened.checkpoint_audit()).size >= after.events


def test_the_next_archive_begins_where_the_last_one_ended(old_hall: Hall) -> None:
    first = archived(old_hall, days=1)
    old_hall.advance(days=30)
    many(old_hall, 3)
    second = archived(old_hall, hours=1)
    checks = [old_hall.platform._archiving.verify(file) for file in (first, second)]
    assert [check.first for check in checks] == [1, checks[0].last + 1]
    assert old_hall.platform.verify_audit().archived == checks[1].last


def test_an_archive_holds_the_entries_and_is_written_down(old_hall: Hall) -> None:
    with old_hall.database.read() as tx:
        wanted = [(event.id, event.kind) for event in tx.events.iterate()]
    file = archived(old_hall, days=1)
    kept = [json.loads(line) for line in file.content[2:]]
    assert [(entry["id"], entry["kind"]) for entry in kept] == wanted[: len(kept)]
    with old_hall.database.read() as tx:
        left = [event.id for event in tx.events.iterate()]
    assert left[: len(wanted) - len(kept)] == [id_ for id_, _ in wanted[len(kept) :]]
    assert old_hall.kinds_of_events()[-1] == "audit.archived"


def test_C29c_erasing_a_person_closes_their_entries_in_every_archive(hall: Hall) -> None:
    """The details of a person's entries open no more once the person is erased, in an archive as in the log."""
    hall.grant()
    many(hall, 3, subject="anna")
    hall.advance(days=40)
    many(hall, 1)
    with hall.database.read() as tx:
        entry = next(event for event in tx.events.iterate() if event.kind == "test.entry")
    assert hall.platform._trail.open_details(entry) == {"n": 0}
    file = archived(hall, days=1)
    hall.platform.erase(subject="anna", caller=CALLER)
    assert entry.details is not None
    assert any(entry.details.hex().encode() in line for line in file.content)
    assert hall.platform._trail.open_details(entry) is None
    hall.platform._archiving.verify(file)


def test_fsck_takes_archived_entries_for_no_loss(old_hall: Hall) -> None:
    """A recording whose entries are in an archive is not taken for one without entries."""
    old_hall.analyze()
    old_hall.advance(days=20)
    many(old_hall, 1)
    archived(old_hall, hours=1)
    findings = [f for f in old_hall.platform.fsck(caller=CALLER).findings if f.code != "reserve_missing"]
    assert findings == []


# --- what is refused ---------------------------------------------------------------------------------------


def test_what_cannot_be_archived_is_refused_and_changes_nothing(old_hall: Hall) -> None:
    archiving, now = old_hall.platform._archiving, old_hall.clock.now()
    with pytest.raises(UsageError):
        archiving.archive(MemoryFile(), before=now + timedelta(days=1), caller=CALLER)
    with pytest.raises(NotFound):
        archiving.archive(MemoryFile(), before=now - timedelta(days=4000), caller=CALLER)
    with pytest.raises(Conflict):
        archived(old_hall, MemoryFile([b"something\n"]), days=1)
    assert old_hall.platform.verify_audit().archived == 0


def test_the_newest_entry_always_stays(old_hall: Hall) -> None:
    """The log never becomes empty by an archive: numbers go on where they were."""
    old_hall.advance(hours=1)
    report = old_hall.platform.verify_audit()
    archived(old_hall, minutes=1)
    assert old_hall.platform.verify_audit().archived == report.events - 1


def test_F34_a_log_that_was_tampered_with_is_not_archived(old_hall: Hall) -> None:
    """Nothing leaves a log that is not what was written."""
    with old_hall.database.begin() as tx:
        rows = tx._tables.events.rows
        edited = next(event for event in rows.values() if event.sequence == 7)
        tx._tables.events.put(edited.id, replace(edited, kind="nothing.happened"))
    file = MemoryFile()
    with pytest.raises(IntegrityError, match="entry 7 was edited"):
        archived(old_hall, file, days=1)
    assert file.content == []


@pytest.mark.parametrize("what", ["mark", "cut", "leaf", "contents", "tail"])
def test_F34_tampering_with_what_an_archive_left_is_found(what: str, old_hall: Hall) -> None:
    """Who takes contents out of the log without a signed cut, or changes what an archive left of it, is found."""
    file = archived(old_hall, days=1)
    with old_hall.database.begin() as tx:
        tables = tx._tables
        (cut,) = tables.archive_cuts.rows.values()
        if what == "mark":
            tables.archive_cuts.drop([cut.size])
        elif what == "cut":
            tables.archive_cuts.put(cut.size, replace(cut, text=cut.text.replace("archive", "Archive", 1)))
        elif what == "leaf":
            tables.archived_leaves.put(9, replace(tables.archived_leaves.rows[9], leaf=bytes(32)))
        elif what == "contents":
            first = min(tables.events.rows.values(), key=lambda event: event.sequence or 10**9)
            tables.archived_leaves.put(
                first.sequence,
                replace(tables.archived_leaves.rows[1], sequence=first.sequence, leaf=first.leaf),
            )
            tables.events.drop([first.id])
        else:
            tables.archived_leaves.drop([cut.size])
    assert not old_hall.platform.verify_audit().intact
    if what == "leaf":
        with pytest.raises(IntegrityError, match="entry 9 is not the one"):
            old_hall.platform._archiving.verify(file)


def test_F34_an_archive_of_a_log_that_was_cut_off_since_is_told(old_hall: Hall) -> None:
    """An archive shows that the log beside it has lost its end."""
    file = MemoryFile()
    archived_up_to = len(archived(old_hall, file, days=1).content) - 2
    with old_hall.database.begin() as tx:
        tx._tables.events.drop_where(lambda event: True)
        tx._tables.archived_leaves.drop_where(lambda leaf: leaf.sequence > archived_up_to - 3)
    with pytest.raises(IntegrityError, match="the log ends before"):
        old_hall.platform._archiving.verify(file)


# --- ended in the middle -----------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Mortal:
    """A database that ends the process before its nth writing transaction, in it, or after it."""

    inner: Any
    at: str
    left: int = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Any]:
        if self.at == "before":
            raise Killed
        with self.inner.begin(durable=durable) as tx:
            yield tx
            if self.at == "in":
                raise Killed
        raise Killed

    def tidy(self) -> None:
        raise Killed


@dataclass
class MortalFile(MemoryFile):
    """A file whose disk is full, whose bytes change on their way to it, or whose process ends when it is written."""

    at: str = "after"

    def write(self, lines: Iterable[bytes]) -> None:
        content = list(lines)
        if self.at == "full":
            raise StorageError("The archive cannot be written there.", reason="archive_not_written")
        self.content = content if self.at == "after" else [*content[:5], b"{}\n", *content[6:]]
        if self.at == "after":
            raise Killed


@pytest.mark.parametrize("at", ["before", "in", "after"])
def test_I9_an_archiving_that_is_killed_loses_nothing(at: str, old_hall: Hall) -> None:
    """Whenever an archiving ends, every entry is in the log or in a durable, verified file, and it can be repeated."""
    entries = old_hall.platform.verify_audit().events
    archiving, file = old_hall.platform._archiving, MemoryFile()
    mortal = replace(archiving, database=Mortal(old_hall.database, at))
    with pytest.raises(Killed):
        mortal.archive(file, before=old_hall.clock.now() - timedelta(days=1), caller=CALLER)
    report = old_hall.platform.verify_audit()
    assert report.intact
    assert len(file.content) - 2 == archiving.verify(file).last
    if at == "after":
        assert report.archived == archiving.verify(file).last
    else:
        assert (report.archived, report.events) == (0, entries)
        assert archived(old_hall, days=1).content[2:] == file.content[2:]
        assert old_hall.platform.verify_audit().intact


@pytest.mark.parametrize(
    ("at", "error"), [("full", StorageError), ("after", Killed), ("changed", IntegrityError)]
)
def test_I9_nothing_leaves_the_log_before_its_file_was_read_back(
    at: str, error: type[BaseException], old_hall: Hall
) -> None:
    """A file that is not written, or not as it was meant, takes nothing out of the log."""
    entries = old_hall.platform.verify_audit().events
    with pytest.raises(error):
        archived(old_hall, MortalFile(at=at), days=1)
    report = old_hall.platform.verify_audit()
    assert (report.intact, report.archived, report.events) == (True, 0, entries)


def test_two_who_archive_at_once_take_each_entry_once(old_hall: Hall) -> None:
    """Of two archives of the same part one is taken, the other told so."""
    archiving, files = old_hall.platform._archiving, [MemoryFile(), MemoryFile()]

    @dataclass
    class Meanwhile(MemoryFile):
        then: Callable[[], object] = lambda: None

        def lines(self) -> Iterator[bytes]:
            self.then()
            return super().lines()

    slow = Meanwhile(then=lambda: files[0].content or archived(old_hall, files[0], days=1))
    with pytest.raises(Conflict, match="archived a part of the log meanwhile"):
        archiving.archive(slow, before=old_hall.clock.now() - timedelta(days=1), caller=CALLER)
    assert old_hall.platform.verify_audit().intact


def test_a_stranger_verifies_an_archive_offline(old_hall: Hall, tmp_path: Path) -> None:
    """With the file and the pinned identity an archive is verified without the home; with another identity it is
    not."""
    path = tmp_path / "old.archive"
    before = old_hall.clock.now() - timedelta(days=1)
    made = old_hall.platform.archive_audit(path, before=before, caller=CALLER)
    assert app.verify_archive(path, key=old_hall.platform.identity()).last == made.last
    assert old_hall.platform.verify_archive(path).root == made.root
    path.write_bytes(path.read_bytes().replace(b"test.entry", b"test.antry", 1))
    with pytest.raises(IntegrityError):
        app.verify_archive(path, key=old_hall.platform.identity())
