"""Run by alembic: apply the migrations to the connection that `migrate` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from sottovoce.adapters.database.schema import metadata


def run() -> None:
    connection = context.config.attributes["connection"]
    # SQLite's DDL is transactional once BEGIN is sent explicitly, as engine.py does.
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True
    )
    with context.begin_transaction():
        context.run_migrations()


run()
