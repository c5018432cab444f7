"""The inventory of tables: nobody's rows are forgotten, exporters and erasers do what they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sottovoce.adapters.database import SqliteDatabase, registry, schema
from sottovoce.model.consent import ConsentAction
from sottovoce.model.recording import RecordingState
from sottovoce.model.subject import SubjectState

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
TABLES = schema.metadata.sorted_tables
# planted with a name, though they hold nobody's rows
NOBODYS = {
    "recipients", "feed_entries", "acknowledgements", "notices", "checkpoints", "witness_marks", "archive_cuts",
    "retention_rules", "clock_marks",
    "training_rounds", "training_departures",
}  # fmt: skip


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    database = SqliteDatabase(tmp_path / "data.db", reserve_bytes=1 << 16)
    with database.begin() as tx:
        yield tx._connection
    database.close()


def _any_value(column: sa.Column[Any], person: str) -> Any:
    """A value that fits the column, and names the person where the column names one."""
    if isinstance(column.type, schema.Word):
        return next(iter(column.type.kind))
    if isinstance(column.type, schema.Instant):
        return T0
    if column.name == "notice_id":
        return None
    if column.name in ("subject_id", "pseudonym"):
        return person
    if column.name == "recipient_id":
        return f"id of {person}"
    if column.name in ("session_id", "ref"):
        return f"session of {person}"
    if isinstance(column.type, sa.Text):
        return f"{column.name} of {person}"
    return {bytes: b"\x00\xff", bool: True, int: 1}[column.type.python_type]


def _plant(connection: sa.Connection, person: str) -> None:
    """One row in every table, filled by the types of its columns: also in a table that is yet to be invented."""
    for table in TABLES:
        row = {
            c.name: _any_value(c, person) for c in table.c if not (c.primary_key and c.autoincrement is True)
        }
        if table.name in ("subjects", "tombstones"):
            row["id"] = person
        if table.name == "recordings":
            row["id"] = f"session of {person}"
        if table.name == "events":
            row["sequence"] = None
        # keys that are numbers we give: another one for each person
        row |= {c.name: sum(person.encode()) for c in table.primary_key if c.autoincrement is False}
        connection.execute(table.insert().values(row))


def test_C13b_no_table_with_a_persons_column_lacks_an_exporter_or_an_eraser() -> None:
    """Every table that holds anything of a person can be exported and erased, or says why its rows stay."""
    assert registry.faults(TABLES) == []


def test_C13b_a_forgotten_table_is_found() -> None:
    """A table or column that somebody adds without an exporter and an eraser is noticed."""
    metadata = sa.MetaData()
    notes = sa.Table("notes", metadata, sa.Column("id", sa.Text), sa.Column("subject_id", sa.Text))
    calls = sa.Table("calls", metadata, sa.Column("id", sa.Text), sa.Column("pseudonym", sa.Text))
    plain = sa.Table("plain", metadata, sa.Column("id", sa.Text))
    assert registry.faults([*TABLES, notes]) == ["notes: not in the registry"]
    forgotten = registry.Entry(table=calls, what="x", nobody="they say")
    assert registry.faults([calls], [forgotten]) == ["calls: column pseudonym has no exporter and no eraser"]
    wrong = registry.Entry(table=plain, what="x", subject="owner", sealed=("secret",))
    assert registry.faults([plain], [wrong]) == [
        "plain: there is no column owner",
        "plain: there is no column secret",
    ]
    silent = registry.Entry(table=plain, what="x")
    assert registry.faults([plain], [silent]) == [
        "plain: neither a subject column nor the reason why there is none"
    ]
    assert registry.faults([], [silent]) == ["plain: in the registry, but no table"]


def test_every_bytes_column_of_a_persons_table_is_declared_sealed_or_a_hash() -> None:
    """Law 7: what is said of a person is ciphertext; only hashes of the audit log are bytes in clear."""
    for entry in registry.REGISTRY:
        stored = {column.name for column in entry.table.c if isinstance(column.type, sa.LargeBinary)}
        clear = {"events": {"leaf", "link"}, "notices": {"text"}, "tree_nodes": {"hash"},
                 "archived_leaves": {"leaf"}, "tombstones_applied": {"hash"}}.get(entry.table.name, set())  # fmt: skip
        assert stored - clear == set(entry.sealed)


def test_C5c_no_column_is_made_for_a_name_a_file_or_a_path() -> None:
    """The tables have no place for a person's name, a telephone number or the name of a file in clear."""
    words = {"name", "file", "filename", "path", "phone", "email", "address", "transcript", "external"}
    for table in TABLES:
        for column in table.c:
            if not isinstance(column.type, sa.LargeBinary):
                assert not words & set(column.name.split("_")), f"{table.name}.{column.name}"


def test_C5d_every_table_has_a_tenant() -> None:
    """Each row says to which tenant it belongs, from the first version of the database on."""
    for table in TABLES:
        assert "tenant" in table.c, table.name
        assert not table.c.tenant.nullable, table.name


def test_X06_the_export_holds_every_row_of_the_person_and_of_nobody_else(connection: sa.Connection) -> None:
    """What a person is given holds their rows of every table, and nothing of another person's."""
    _plant(connection, "ada")
    _plant(connection, "ben")
    package = registry.export_subject(connection, "ada", pseudonym="ada")
    assert set(package) == {table.name for table in TABLES} - NOBODYS - {
        "tree_nodes",
        "archived_leaves",
        "tombstones_applied",
    }
    text = json.dumps(package)  # plain values only
    assert "ben" not in text
    for rows in package.values():
        assert len(rows) == 1
    assert "events" not in registry.export_subject(connection, "ada", pseudonym=None)
    assert registry.export_subject(connection, "nobody", pseudonym="nobody") == {}


def test_an_exported_row_has_every_column_as_a_plain_value(connection: sa.Connection) -> None:
    _plant(connection, "ada")
    package = registry.export_subject(connection, "ada", pseudonym="ada")
    for table in TABLES:
        if table.name in package:
            assert set(package[table.name][0]) == set(table.c.keys())
    row = package["records"][0]
    assert base64.b64decode(row["body"]) == b"\x00\xff"
    assert row["created_at"] == "2026-03-01T12:00:00.123456+00:00"
    assert package["subjects"][0]["state"] == str(next(iter(SubjectState)))
    assert package["consent_events"][0]["action"] == str(next(iter(ConsentAction)))
    assert package["recordings"][0]["state"] == str(next(iter(RecordingState)))
    assert type(package["recordings"][0]["state"]) is str


def _counts(connection: sa.Connection, person: str) -> dict[str, int]:
    """Independent of the registry: rows in which any column names the person."""
    found = {}
    for table in TABLES:
        named = [c.contains(person) for c in table.c if isinstance(c.type, sa.Text) and c.name != "tenant"]
        query = sa.select(sa.func.count()).select_from(table).where(sa.or_(sa.false(), *named))
        found[table.name] = connection.execute(query).scalar_one()
    return {name: count for name, count in found.items() if count}


def test_erasing_leaves_the_rows_with_a_reason_to_stay_and_no_others(connection: sa.Connection) -> None:
    _plant(connection, "ada")
    _plant(connection, "ben")
    before = _counts(connection, "ben")
    counted = registry.count_subject(connection, "ada")
    assert registry.erase_subject(connection, "ada") == counted
    kept = {entry.table.name for entry in registry.REGISTRY if entry.kept}
    assert kept == {"cases", "requests", "tombstones", "events"}
    assert set(_counts(connection, "ada")) == kept | NOBODYS
    assert _counts(connection, "ben") == before
    assert registry.count_subject(connection, "ada") == {}


def test_erasing_a_session_leaves_the_person(connection: sa.Connection) -> None:
    _plant(connection, "ada")
    assert registry.erase_session(connection, "session of ben") == {}
    assert registry.erase_session(connection, "session of ada") == dict.fromkeys(
        ["jobs", "receipts", "marks", "training_uses", "disclosures", "records", "decisions", "recordings"], 1
    )
    assert registry.count_subject(connection, "ada") == {"consent_events": 1, "subjects": 1}


def test_every_entry_says_in_plain_words_what_its_rows_are() -> None:
    for entry in registry.REGISTRY:
        assert len(entry.what.split()) > 3, entry.table.name


def test_the_documentation_lists_every_table_as_the_registry_does(repo_root: Path) -> None:
    page = (repo_root / "docs" / "reference" / "database.md").read_text(encoding="utf-8")
    documented = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| `")}
    for entry in registry.REGISTRY:
        line = documented[f"`{entry.table.name}`"]
        for part in (entry.what, entry.nobody, entry.kept, entry.subject or "", *entry.sealed):
            assert part in line, f"{entry.table.name}: {part}"
    assert {f"`{table.name}`" for table in TABLES} <= set(documented)
