"""The same schema and the same audit log on PostgreSQL as on SQLite."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from sottovoce.adapters import memory
from sottovoce.adapters.archive_file import LocalArchiveFile
from sottovoce.adapters.database import SqliteDatabase, schema
from sottovoce.adapters.database.postgres import PostgresDatabase
from sottovoce.app import Adapters, Platform, assemble
from sottovoce.errors import IntegrityError, SchemaNewer, StorageError
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings
from sottovoce.usecases.record import Ask

ALL = ("voice_recording", "voice_analysis", "data_retention_30_days")
CALLER = Caller(actor="tester", channel="test")


class Instant(memory.InlineExtractor):
    """Answers at once."""

    def level(self) -> Any:
        return "rlimits"

    def extract(self, source: object, options: object) -> Extraction:
        vector = FeatureVector(tuple(20.0 + i / 7 for i in range(88)), "compat", "egemaps-88/1", 16000)
        return Extraction(vector, Quality(11.0, 500, 0.0, 31.5, "wav/pcm_16", 16000, 1, "0"))


def hall_on(database: Any, home: Path, clock: memory.FixedClock) -> Platform:
    home.mkdir()
    adapters = Adapters(
        database=database, keys=memory.MemoryKeys(), long_lived=memory.MemoryKeyStore(),
        short_lived=memory.MemoryKeyStore(), bodies=memory.MemoryBlobs(clock=clock.now),
        receipt_copies=memory.MemoryBlobs(clock=clock.now), extractor=Instant(),
        liveness=memory.MemoryLiveness(), clock=clock, entropy=memory.SeededEntropy(7),
    )  # fmt: skip
    return assemble(adapters, Settings(home=home))


def live(platform: Platform) -> None:
    """A little of everything that writes."""
    platform.grant(subject="anna", purposes=ALL, caller=CALLER)
    data = io.BytesIO(bytes(range(256)) * 8)
    platform._record.submit(data.readinto, Ask(subject="anna"), caller=CALLER)
    outcome = platform.work_next(caller=CALLER)
    assert outcome is not None
    for _ in range(300):
        platform.show(outcome.session_id, purpose="subject_access", caller=CALLER)
    platform.withdraw(subject="anna", purposes=ALL[2:], caller=CALLER)
    platform.grant(subject="berta", purposes=ALL, caller=CALLER)
    platform.sweep(caller=CALLER)
    platform.erase(subject="anna", caller=CALLER)


def test_the_migrations_make_the_tables_of_the_schema_on_a_server(new_postgres: Callable[[], str]) -> None:
    engine = sa.create_engine(new_postgres())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_C29a_the_log_is_the_same_on_a_server_as_in_a_file(
    new_postgres: Callable[[], str], tmp_path: Path
) -> None:
    """The same history gives an audit log that verifies, can be proven and archived, on SQLite and PostgreSQL alike."""
    found = []
    for name in ("file", "server"):
        offset = [timedelta(0)]
        database: Any = (
            SqliteDatabase(tmp_path / "data.db", offset=lambda at=offset: at[0], reserve_bytes=1 << 16)
            if name == "file"
            else PostgresDatabase(new_postgres(), offset=lambda at=offset: at[0])
        )
        platform = hall_on(database, tmp_path / name, memory.FixedClock())
        live(platform)
        kept = platform.checkpoint_audit()
        offset[0] += timedelta(days=2)
        platform.grant(subject="berta", purposes=ALL, caller=CALLER)
        with database.read() as tx:
            before = tx.now() - timedelta(days=1)
        file = LocalArchiveFile(tmp_path / f"{name}.archive")
        archived = platform._archiving.archive(file, before=before, caller=CALLER)
        assert platform._archiving.verify(file) == replace(
            archived, until=platform._archiving.verify(file).until
        )
        report = platform.verify_audit(since=kept)
        assert report.intact, report.problem
        assert report.archived == archived.last >= 300
        with database.read() as tx:
            kinds = [event.kind for event in tx.events.iterate()]
        found.append((report.events, report.archived, kinds))
        database.close()
    assert found[0] == found[1]


def test_F34_tampering_by_sql_is_found_on_a_server(new_postgres: Callable[[], str], tmp_path: Path) -> None:
    """An entry edited in the tables of the server is named."""
    url = new_postgres()
    database = PostgresDatabase(url)
    platform = hall_on(database, tmp_path / "home", memory.FixedClock())
    platform.grant(subject="anna", purposes=ALL, caller=CALLER)
    platform.grant(subject="berta", purposes=ALL, caller=CALLER)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET kind = 'consent.refuse' WHERE sequence = 2")
    engine.dispose()
    assert platform.verify_audit().first_bad == 2
    database.close()


def test_what_is_no_database_of_ours_is_refused(new_postgres: Callable[..., str]) -> None:
    url = new_postgres(own=True)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaNewer):
        PostgresDatabase(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    with pytest.raises(IntegrityError):
        PostgresDatabase(url)
    engine.dispose()
    with pytest.raises(StorageError) as raised:
        PostgresDatabase(url.replace("test_", "no_such_"))
    assert "no_such_" not in str(raised.value)
