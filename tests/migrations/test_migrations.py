"""The migrations go up, down and up again, and arrive at exactly the tables the code declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from custodes.db import Database, open_database
from custodes.db.migrate import current_revision, downgrade, head_revision, migrations_folder, upgrade
from custodes.db.tables import METADATA
from custodes.kernel.errors import DatabaseError


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    else:
        database = open_database(request.getfixturevalue("postgres_database_url"))
        downgrade(database, "base")
    yield database
    database.dispose()


class TestMigrations:
    def test_it_goes_up_down_and_up_again(self, empty_database: Database) -> None:
        assert current_revision(empty_database) is None
        upgrade(empty_database)
        assert current_revision(empty_database) == head_revision()
        downgrade(empty_database, "base")
        left = set(inspect(empty_database.engine).get_table_names()) - {"alembic_version"}
        assert left == set()
        upgrade(empty_database)
        assert set(METADATA.tables) <= set(inspect(empty_database.engine).get_table_names())

    def test_it_arrives_at_the_declared_tables(self, empty_database: Database) -> None:
        upgrade(empty_database)
        with empty_database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, METADATA) == []

    def test_it_has_one_head_and_dated_file_names(self) -> None:
        script = ScriptDirectory(str(migrations_folder()))
        assert len(script.get_heads()) == 1
        for revision in script.walk_revisions():
            assert Path(revision.path).name.startswith(revision.revision)
            assert revision.revision[:8].isdigit()

    @pytest.mark.parametrize("statement", ["UPDATE audit_leaf SET body = 'x'", "DELETE FROM audit_leaf"])
    def test_it_makes_audit_leaves_append_only(self, empty_database: Database, statement: str) -> None:
        upgrade(empty_database)
        with empty_database.write() as tx:
            tx.execute(
                text(
                    "INSERT INTO audit_leaf (seq, intake_id, body, hash, at_ns, action, actor, object, project_id) "
                    "VALUES (0, 1, 'b', 'h', 0, 'a', 'a', 'o', 'p')"
                )
            )
        with pytest.raises(Exception, match="append-only") as caught, empty_database.write() as tx:
            tx.execute(text(statement))
        assert caught.type.__name__ in {"ConflictError", DatabaseError.__name__}
