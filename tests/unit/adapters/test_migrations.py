"""The schema: the migrations make exactly the tables of schema.py, and opening is quick when nothing is due."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.database import SqliteDatabase, migrate, schema
from sottovoce.adapters.database.engine import sqlite_engine
from sottovoce.errors import IntegrityError, SchemaNewer
from sottovoce.model.consent import ConsentEvent, NoticeVersion
from sottovoce.model.event import AuditEvent
from sottovoce.model.job import Job
from sottovoce.model.lineage import Departure, TrainingRound, TrainingUse
from sottovoce.model.log import ArchiveCut, ArchivedLeaf, SignedCheckpoint, TreeNode, WitnessMark
from sottovoce.model.mark import Mark
from sottovoce.model.recipient import Acknowledgement, Disclosure, FeedEntry, Recipient
from sottovoce.model.record import Decision, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording
from sottovoce.model.request import Case, ErasureRequest, Tombstone
from sottovoce.model.retention import ClockMark, RetentionRule
from sottovoce.model.subject import Subject
from sottovoce.model.tombstones import TombstoneHead

VALUES: dict[str, type[Any]] = {
    "subjects": Subject, "notices": NoticeVersion, "consent_events": ConsentEvent, "recordings": Recording,
    "records": SealedRecord, "decisions": Decision, "receipts": StoredReceipt, "requests": ErasureRequest,
    "tombstones": Tombstone, "events": AuditEvent, "jobs": Job, "tree_nodes": TreeNode,
    "checkpoints": SignedCheckpoint, "witness_marks": WitnessMark, "marks": Mark, "cases": Case,
    "archived_leaves": ArchivedLeaf, "archive_cuts": ArchiveCut,
    "recipients": Recipient, "disclosures": Disclosure, "feed_entries": FeedEntry,
    "acknowledgements": Acknowledgement,
    "retention_rules": RetentionRule, "clock_marks": ClockMark,
    "tombstones_applied": TombstoneHead, "training_rounds": TrainingRound, "training_uses": TrainingUse,
    "training_departures": Departure,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    database = SqliteDatabase(tmp_path / "data.db", reserve_bytes=1 << 16)
    database.close()
    return database.path


def _differences(path: Path, metadata: sa.MetaData) -> list[Any]:
    engine = sqlite_engine(path, busy_timeout_s=1)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, metadata)
    engine.dispose()
    return found


def test_the_migrations_make_the_tables_of_the_schema(path: Path) -> None:
    assert _differences(path, schema.metadata) == []


def test_a_change_without_a_migration_would_be_found(path: Path) -> None:
    for change in ("column", "table", "index", "type"):
        changed = sa.MetaData(naming_convention=schema.metadata.naming_convention)
        for table in schema.metadata.sorted_tables:
            table.to_metadata(changed)
        if change == "column":
            changed.tables["jobs"].append_column(sa.Column("note", sa.Text))
        elif change == "table":
            sa.Table("notes", changed, sa.Column("id", sa.Text, primary_key=True))
        elif change == "index":
            sa.Index("ix_jobs_due_at", changed.tables["jobs"].c.due_at)
        else:
            changed.tables["jobs"].c.due_at.type = sa.Text()
        assert _differences(path, changed), change


def test_the_indexes_and_keys_of_the_schema_are_in_the_file(path: Path) -> None:
    """Independent of alembic: SQLite's own list of indexes, and its foreign keys."""
    file = sqlite3.connect(path)
    indexes = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    wanted = {index.name for table in schema.metadata.sorted_tables for index in table.indexes}
    assert wanted <= indexes
    keys = {
        (table.name, row[2])
        for table in schema.metadata.sorted_tables
        for row in file.execute(f"PRAGMA foreign_key_list({table.name})")
    }
    file.close()
    assert keys == {
        (table.name, key.column.table.name)
        for table in schema.metadata.sorted_tables
        for key in table.foreign_keys
    }


def test_the_version_that_is_written_is_the_newest_migration(path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [schema.HEAD]
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(schema.REVISIONS)
    file = sqlite3.connect(path)
    assert file.execute("SELECT version_num FROM alembic_version").fetchall() == [(schema.HEAD,)]
    file.close()


def test_the_columns_of_a_table_are_the_fields_of_its_value() -> None:
    assert set(VALUES) == {table.name for table in schema.metadata.sorted_tables}
    machinery = {"events": {"position"}}
    machinery |= {
        name: {"tenant"}
        for name in (
            "jobs",
            "tree_nodes",
            "checkpoints",
            "witness_marks",
            "archived_leaves",
            "archive_cuts",
            "tombstones_applied",
        )
    }
    for name, kind in VALUES.items():
        columns = set(schema.metadata.tables[name].c.keys())
        assert columns == {field.name for field in fields(kind)} | machinery.get(name, set()), name


def test_a_column_may_be_empty_where_the_field_may() -> None:
    from typing import get_type_hints

    for name, kind in VALUES.items():
        for field, hint in get_type_hints(kind).items():
            column = schema.metadata.tables[name].c[field]
            optional = type(None) in getattr(hint, "__args__", ())
            assert column.nullable == optional, f"{name}.{field}"


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE alembic_version SET version_num = '0002_of_tomorrow'", SchemaNewer),
        ("DELETE FROM alembic_version", IntegrityError),
        ("DROP TABLE alembic_version", IntegrityError),
        ("INSERT INTO alembic_version VALUES ('another')", IntegrityError),
    ],
)
def test_what_this_release_does_not_know_is_refused(
    path: Path, statement: str, error: type[Exception]
) -> None:
    file = sqlite3.connect(path)
    file.execute(statement)
    file.commit()
    file.close()
    with pytest.raises(error):
        SqliteDatabase(path)


def test_an_older_database_is_brought_up_to_date_in_one_transaction(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands for any older version: `upgrade` is called exactly once, and never for a database that is current."""
    called = []
    monkeypatch.setattr(migrate, "_upgrade", lambda engine: called.append(engine))
    SqliteDatabase(path).close()
    assert called == []
    monkeypatch.setattr(migrate, "HEAD", "9999")
    SqliteDatabase(path).close()
    assert len(called) == 1


def test_what_a_killed_creation_left_is_replaced(tmp_path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f"data.db.new{suffix}").write_bytes(b"half a database")
    SqliteDatabase(tmp_path / "data.db", reserve_bytes=1 << 16).close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data.db", "data.db.lock", "data.db.reserve"]


def test_a_folder_whose_name_needs_care_is_no_trouble(tmp_path: Path) -> None:
    home = tmp_path / "100 % ? # home"
    SqliteDatabase(home / "data.db", reserve_bytes=1 << 16).close()
    assert (home / "data.db").stat().st_size > 0
    assert [each.name for each in tmp_path.iterdir()] == ["100 % ? # home"]


def test_opening_what_is_up_to_date_does_not_import_alembic(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sottovoce.adapters.database import SqliteDatabase\n"
        "with SqliteDatabase(Path(sys.argv[1])).read() as tx: tx.recordings.count_by_state()\n"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 0


@given(at=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))])))
def test_an_instant_comes_back_to_the_microsecond(at: datetime) -> None:
    stored = schema.to_microseconds(at)
    assert schema.from_microseconds(stored) == at
    assert schema.from_microseconds(stored).utcoffset() == timedelta(0)
    # oracle: integer arithmetic on the parts of a timedelta
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    assert stored == (since.days * 86400 + since.seconds) * 10**6 + since.microseconds


def test_a_time_without_a_zone_is_no_instant() -> None:
    with pytest.raises(ValueError):
        schema.to_microseconds(datetime(2026, 1, 1))  # noqa: DTZ001


EXPLAINED = {
    "unfinished": ("SELECT id FROM recordings WHERE state = 'held' ORDER BY discard_by LIMIT 5", "recordings"),
    "due by promise": (
        "SELECT id FROM records WHERE kind = 'features' AND expires_at <= 5 ORDER BY expires_at LIMIT 5", "records",
    ),
    "due by policy": (
        "SELECT id FROM records WHERE kind = 'features' AND created_at <= 5 ORDER BY created_at LIMIT 5", "records",
    ),
    "decisions due": ("SELECT id FROM decisions WHERE expires_at <= 5 ORDER BY expires_at LIMIT 5", "decisions"),
    "jobs due": ("SELECT ref FROM jobs WHERE kind = 'discard' AND due_at <= 5 ORDER BY due_at LIMIT 5", "jobs"),
    "unsequenced": ("SELECT id FROM events WHERE sequence IS NULL ORDER BY position LIMIT 5", "events"),
    "head": ("SELECT link FROM events WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1", "events"),
    "consents": ("SELECT id FROM consent_events WHERE subject_id = 'x' ORDER BY sequence", "consent_events"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPLAINED)
def test_what_grows_is_found_by_an_index_and_not_sorted(path: Path, name: str) -> None:
    """Growth laws (faults.md 6): SQLite's own plan searches an index, scans nothing and needs no sort."""
    query, table = EXPLAINED[name]
    file = sqlite3.connect(path)
    plan = [row[3] for row in file.execute("EXPLAIN QUERY PLAN " + query)]
    file.close()
    assert plan[0].startswith(f"SEARCH {table} USING"), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan
