"""The database in SQL: portable tables and statements, SQLite for the embedded default.

database = SqliteDatabase(home / "sottovoce.db")
with database.begin() as tx:
    tx.jobs.put(Job("discard", session_id, due_at=tx.now()))
"""

from sottovoce.adapters.database.sqlite import SqliteDatabase

__all__ = ["SqliteDatabase"]
