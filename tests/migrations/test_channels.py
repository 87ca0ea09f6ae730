"""What endpoints keep is encrypted on the way up, and readable again on the way down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from collector.content import MasterSecretBox
from custodes.db import Database, open_database
from custodes.db.migrate import downgrade, upgrade
from custodes.kernel.settings import Settings
from custodes.runtime.schema import upgrade_schema
from policies.actors import Actor
from policies.endpoints import EndpointSpec, create_endpoint, rotate_signing_key
from policies.hooks.endpoint_store import find_endpoint
from policies.hooks.secrets import open_secrets

BEFORE = "20261128_0011"
HUSH = "whsec_" + "c2VjcmV0" * 6


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the version before, with one endpoint and one message that was tried twice."""
    if request.param == "sqlite":
        database = open_database(f"sqlite:///{tmp_path / 'old.db'}")
    else:
        database = open_database(request.getfixturevalue("postgres_database_url"))
        downgrade(database, "base")
    upgrade(database, BEFORE)
    with database.write() as tx:
        tx.execute(text("INSERT INTO project (id, created_ns) VALUES ('default', 0)"))
        tx.execute(
            text(
                "INSERT INTO endpoint (project_id, id, url, secret, state, created_ns) "
                f"VALUES ('default', 'oncall', 'https://a.example/', '{HUSH}', 'active', 1)"
            )
        )
        tx.execute(
            text(
                "INSERT INTO outbox (id, project_id, endpoint_id, event_type, body, state, attempts, created_ns, "
                "next_attempt_ns) VALUES ('msg_1', 'default', 'oncall', 'x', '{}', 'pending', 2, 0, 0)"
            )
        )
    yield database
    database.dispose()


def box_for(database: Database, folder: Path) -> MasterSecretBox:
    return MasterSecretBox(database, Settings(data_dir=folder), lambda: 0)


def kept(database: Database, box: MasterSecretBox, name: str = "oncall") -> dict[str, str]:
    with database.read() as tx:
        found = find_endpoint(tx, "default", name)
    assert found is not None
    return open_secrets(box, "default", name, found.sealed)


class TestUp:
    def test_it_encrypts_what_exists(self, old: Database, tmp_path: Path) -> None:
        box = box_for(old, tmp_path)
        upgrade_schema(old, box)
        assert kept(old, box) == {"signing": HUSH}
        with old.read() as tx:
            row = tx.execute(text("SELECT * FROM endpoint")).one()
            assert (row.kind, row.url, row.state, row.failures) == ("webhook", "https://a.example/", "active", 0)
            assert not any("whsec" in str(value) for value in row)
            assert tx.execute(text("SELECT tries FROM outbox")).scalar_one() == 2

    # PostgreSQL keeps old rows until a vacuum.
    @pytest.mark.parametrize("old", ["sqlite"], indirect=True)
    def test_it_leaves_no_plain_secret_in_the_file(self, old: Database, tmp_path: Path) -> None:
        upgrade_schema(old, box_for(old, tmp_path))
        with old.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        old.dispose()
        assert HUSH.encode() not in (tmp_path / "old.db").read_bytes()

    def test_it_needs_no_key_where_there_is_no_endpoint(self, old: Database, tmp_path: Path) -> None:
        with old.write() as tx:
            tx.execute(text("DELETE FROM endpoint"))
        upgrade_schema(old, box_for(old, tmp_path / "nowhere"))
        assert not (tmp_path / "nowhere").exists()

    def test_it_starts_from_before_there_were_keys(self, old: Database, tmp_path: Path) -> None:
        downgrade(old, "20261121_0001")
        box = box_for(old, tmp_path)
        upgrade_schema(old, box)
        assert kept(old, box) == {"signing": HUSH}

    def test_it_says_what_to_do_where_it_has_no_key(self, old: Database) -> None:
        with pytest.raises(RuntimeError, match="custodes db upgrade"):
            upgrade(old)


class TestDown:
    def test_it_decrypts_and_comes_up_again(self, old: Database, tmp_path: Path) -> None:
        box, actor = box_for(old, tmp_path), Actor("ann", "operator")
        upgrade_schema(old, box)
        slack = EndpointSpec("slack", "https://hooks.slack.com/services/T/B/token")
        create_endpoint(old, box, "default", "chat", slack, actor, 2)
        fresh = rotate_signing_key(old, box, "default", "oncall", 10, actor, 3).secret
        downgrade(old, BEFORE, secret_box=box)
        with old.read() as tx:
            rows = {row.id: row for row in tx.execute(text("SELECT * FROM endpoint"))}
        assert rows["oncall"].secret == f"{fresh} {HUSH}"
        assert (rows["chat"].secret, rows["chat"].state, rows["chat"].url) == (
            "",
            "disabled",
            "https://hooks.slack.com/…",
        )
        upgrade_schema(old, box)
        assert kept(old, box) == {"signing": f"{fresh} {HUSH}"}
