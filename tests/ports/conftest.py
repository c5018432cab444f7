"""What the suites of the ports share: an empty database of each kind, and a PostgreSQL server of its own for them.

Without its programs and the driver those tests are skipped, with the reason. The server listens on a socket in a
temporary folder and nowhere else; it is ended, and its folder removed, after the last test.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sottovoce.ports import Database

USER = "sottovoce"


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Empty, of each kind in turn."""
    from sottovoce.adapters.database import SqliteDatabase
    from sottovoce.adapters.database.postgres import PostgresDatabase
    from sottovoce.adapters.memory import MemoryDatabase

    opened: Database
    if request.param == "memory":
        opened = MemoryDatabase()
    elif request.param == "postgresql":
        opened = PostgresDatabase(request.getfixturevalue("new_postgres")())
    else:
        opened = SqliteDatabase(tmp_path / "data.db", reserve_bytes=1 << 16)
    yield opened
    opened.close()


def programs() -> Path:
    """The folder of initdb and pg_ctl; skips where there is none."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("not run: the driver psycopg is not installed (extra [postgres])")
    named = shutil.which("initdb")
    found = [Path(named).parent] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("not run: no PostgreSQL server is installed")
    return found[-1]


def as_somebody_else() -> list[str]:
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("not run: PostgreSQL does not run as root, and there is no setpriv")
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def url_of(folder: Path, name: str) -> str:
    return f"postgresql+psycopg://{USER}@/{name}?host={folder}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """The folder with the socket of a running server."""
    bin_folder, change_user = programs(), as_somebody_else()
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    folder.chmod(0o777)
    data = folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run([*change_user, *command], capture_output=True, check=False, cwd=folder)
        if done.returncode != 0:
            pytest.skip(f"not run: {Path(command[0]).name} failed here")

    try:
        run(
            str(bin_folder / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8",
            "--locale=C",
        )  # fmt: skip
        options = f"-k {folder} -c listen_addresses='' -c max_connections=60 -c fsync=off"
        run(
            str(bin_folder / "pg_ctl"),
            "-D",
            str(data),
            "-w",
            "-l",
            str(folder / "log"),
            "-o",
            options,
            "start",
        )
        try:
            yield folder
        finally:
            run(str(bin_folder / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres(postgres_server: Path) -> Iterator[Callable[..., str]]:
    """Gives the URL of a database with empty, up-to-date tables: always the same one, emptied, unless `own`."""
    from sottovoce.adapters.database import schema
    from sottovoce.adapters.database.postgres import PostgresDatabase

    admin = sa.create_engine(url_of(postgres_server, "postgres"), isolation_level="AUTOCOMMIT")
    shared = sa.create_engine(url_of(postgres_server, "shared"), poolclass=sa.NullPool)
    numbers = itertools.count()
    tables = ", ".join(table.name for table in schema.metadata.sorted_tables)

    def make(*, own: bool = False) -> str:
        if not own:
            with shared.begin() as connection:
                connection.exec_driver_sql("SET LOCAL lock_timeout = 5000")
                connection.exec_driver_sql(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
            return url_of(postgres_server, "shared")
        name = f"test_{next(numbers)}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        PostgresDatabase(url_of(postgres_server, name)).close()
        return url_of(postgres_server, name)

    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE shared")
    PostgresDatabase(url_of(postgres_server, "shared")).close()
    yield make
    admin.dispose()
