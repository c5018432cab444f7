"""The audit log on the real database: older homes get their tree, tampering by SQL is found."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from sottovoce import app
from sottovoce.adapters.clock_system import OsEntropy, SystemClock
from sottovoce.adapters.database import SqliteDatabase, schema
from sottovoce.adapters.database.engine import create_file, sqlite_engine, writing
from sottovoce.adapters.memory import (
    InlineExtractor,
    MemoryBlobs,
    MemoryKeys,
    MemoryKeyStore,
    MemoryLiveness,
    MemoryTombstones,
)
from sottovoce.audit.chain import GENESIS, chain_link
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings

CALLER = Caller(actor="tester", channel="test")


class Keys:
    """Keys that outlive a platform: the same home opened again."""

    def __init__(self) -> None:
        self.provider, self.long_lived, self.short_lived = MemoryKeys(), MemoryKeyStore(), MemoryKeyStore()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def opened(tmp_home: Path, keys: Keys) -> Iterator[Callable[[], app.Platform]]:
    made: list[app.Platform] = []
    tombstones = MemoryTombstones()

    def open_() -> app.Platform:
        for each in made:
            each.close()
        tmp_home.mkdir(exist_ok=True)
        database = SqliteDatabase(tmp_home / "sottovoce.db", reserve_bytes=1 << 16)
        adapters = app.Adapters(
            database=database, keys=keys.provider, long_lived=keys.long_lived, short_lived=keys.short_lived,
            bodies=MemoryBlobs(), receipt_copies=MemoryBlobs(), extractor=InlineExtractor(),
            liveness=MemoryLiveness(), clock=SystemClock(), entropy=OsEntropy(), closing=(database.close,),
            tombstones=tombstones,
        )  # fmt: skip
        made.append(app.assemble(adapters, Settings(home=tmp_home)))
        return made[-1]

    yield open_
    for each in made:
        each.close()


def write(platform: app.Platform, count: int) -> None:
    with platform._adapters.database.begin() as tx:
        scribe = platform._trail.of(None, caller=CALLER)
        for n in range(count):
            scribe.write(tx, "test.entry", details={"n": n} if n % 7 == 0 else None)
    platform._number()


def sql(home: Path, *statements: str) -> None:
    file = sqlite3.connect(home / "sottovoce.db")
    for statement in statements:
        file.execute(statement)
    file.commit()
    file.close()


def test_C29a_a_home_of_the_first_release_gets_its_tree_when_it_is_opened(
    tmp_home: Path, opened: Callable[[], app.Platform]
) -> None:
    """A home made by the first release keeps its log: at the next start its entries get their tree."""
    platform = opened()
    write(platform, 700)
    platform.close()
    copy = sqlite3.connect(tmp_home / "sottovoce.db")
    columns = [c.name for c in schema.events.c]
    rows = copy.execute(f"SELECT {', '.join(columns)} FROM events").fetchall()
    copy.close()
    for leftover in tmp_home.glob("sottovoce.db*"):
        leftover.unlink()
    _first_release(tmp_home / "sottovoce.db", columns, rows)
    again = opened()
    report = again.verify_audit()
    assert (report.intact, report.events) == (True, 700)
    line = again.show_audit(limit=1)[0]
    assert app.verify_proof(again.prove_audit(line.event_id).text, key=again.identity()).sequence == 701


def _first_release(path: Path, columns: list[str], rows: list[Any]) -> None:
    create_file(path)
    engine = sqlite_engine(path, busy_timeout_s=1)
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    file = sqlite3.connect(path)
    file.executemany(
        f"INSERT INTO events ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", rows
    )
    file.commit()
    file.close()


def test_C29b_numbering_that_a_power_cut_took_is_redone_with_the_same_outcome(
    tmp_home: Path, opened: Callable[[], app.Platform]
) -> None:
    """Numbers, links and tree that were lost with a power cut come out the same when they are made again, so a
    checkpoint that was already handed out still fits."""
    platform = opened()
    write(platform, 600)
    text = platform.checkpoint_audit()
    platform.close()
    sql(
        tmp_home,
        "UPDATE events SET sequence = NULL, link = NULL WHERE sequence > 250",
        "DELETE FROM tree_nodes",
        "DELETE FROM checkpoints",
    )
    report = opened().verify_audit(since=text)
    assert (report.intact, report.compared, report.unsequenced) == (True, 600, 0)


def rechain(home: Path) -> None:
    """What somebody with the database alone can do after an edit: make links and tree anew, drop what is signed."""
    from sottovoce.audit import tree
    from sottovoce.audit.rows import canonical_row
    from sottovoce.audit.verification import hashlib

    file = sqlite3.connect(home / "sottovoce.db")
    names = "id, tenant, at, kind, actor, channel, pseudonym, purpose, outcome, details_key_id, details, leaf, sequence"
    link, frontier = GENESIS, tree.Frontier()
    file.execute("DELETE FROM tree_nodes")
    file.execute("DELETE FROM checkpoints")
    for row in file.execute(f"SELECT {names}, link FROM events ORDER BY sequence").fetchall():
        leaf = hashlib.sha256(b"\0" + canonical_row(row)).digest()
        link = chain_link(link, leaf)
        file.execute("UPDATE events SET leaf = ?, link = ? WHERE id = ?", (leaf, link, row[0]))
        for node in frontier.extend([leaf]):
            file.execute(
                "INSERT INTO tree_nodes VALUES (?, ?, 'default', ?)", (node.level, node.number, node.hash)
            )
    file.commit()
    file.close()


STATEMENTS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "edit": (("UPDATE events SET outcome = 'refused' WHERE sequence = 100",), 100),
    "drop": (("DELETE FROM events WHERE sequence = 100",), 100),
    "swap": (
        (
            "UPDATE events SET sequence = -1 WHERE sequence = 100",
            "UPDATE events SET sequence = 100 WHERE sequence = 200",
            "UPDATE events SET sequence = 200 WHERE sequence = -1",
        ),
        100,
    ),
    "cut": (("DELETE FROM events WHERE sequence > 100", "DELETE FROM checkpoints", "DELETE FROM tree_nodes"), 101),
    "node": (("UPDATE tree_nodes SET hash = zeroblob(32) WHERE number = 1",), None),
    "checkpoint": (("UPDATE checkpoints SET text = replace(text, '—', '-')",), None),
    "type": (("UPDATE events SET at = 'yesterday' WHERE sequence = 100",), 100),
    "blob": (("UPDATE events SET kind = x'00ff' WHERE sequence = 100",), 100),
    "null": (("UPDATE events SET link = NULL WHERE sequence = 100",), 100),
}  # fmt: skip


@pytest.mark.parametrize("name", STATEMENTS)
def test_F34_tampering_by_sql_is_found(name: str, tmp_home: Path, opened: Callable[[], app.Platform]) -> None:
    """Whatever somebody does to the rows of the log with a database tool is found, and the entry is named."""
    platform = opened()
    write(platform, 600)
    text = platform.checkpoint_audit()
    platform.close()
    statements, first_bad = STATEMENTS[name]
    sql(tmp_home, *statements)
    report = opened().verify_audit(since=text)
    assert not report.intact
    assert report.first_bad == first_bad


def test_F34_a_whole_new_chain_by_sql_is_found_against_what_was_kept_outside(
    tmp_home: Path, opened: Callable[[], app.Platform]
) -> None:
    """A log whose every hash was made anew after an edit is found against a checkpoint that somebody kept."""
    platform = opened()
    write(platform, 300)
    kept = platform.checkpoint_audit()
    write(platform, 300)
    kept += "\n" + platform.checkpoint_audit()
    platform.close()
    sql(tmp_home, f"UPDATE events SET actor = 'nobody' WHERE sequence = {random.Random(5).randint(301, 600)}")
    rechain(tmp_home)
    again = opened()
    assert again.verify_audit().intact  # as it says itself: nothing outside was given
    report = again.verify_audit(since=kept)
    assert report.between == (300, 600)
    assert "after entry 300 and up to entry 600" in report.problem
