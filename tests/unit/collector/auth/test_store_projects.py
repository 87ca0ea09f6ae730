"""Projects in the database."""

from __future__ import annotations

from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from collector.auth.store import create_key
from collector.auth.store_projects import check_project_id, create_project, list_projects
from custodes.db import Database
from custodes.db.tables import audit_intake
from custodes.kernel.errors import ConflictError, InvalidInputError

NOW_NS = 1_795_300_000_000_000_000


def create(database: Database, project_id: str) -> None:
    with database.write() as tx:
        create_project(tx, project_id, actor="test", actor_role="admin", now_ns=NOW_NS)


def names(database: Database) -> list[str]:
    with database.read() as tx:
        return [one.id for one in list_projects(tx)]


class TestNames:
    @pytest.mark.parametrize("written", ["a", "support-bot", "team_1.eu", "0", "a" * 64])
    def test_it_takes_short_lower_case_names(self, written: str) -> None:
        assert check_project_id(written) == written

    @pytest.mark.parametrize(
        "written", ["", "A", "-a", "a-", ".", "a b", "a/b", "ä", "a" * 65, "a\n", "a\x00", "../etc", "a%2e"]
    )
    def test_it_refuses_every_other_saying_what_would_do(self, written: str) -> None:
        with pytest.raises(InvalidInputError, match="support-bot"):
            check_project_id(written)

    @given(st.text(max_size=80))
    def test_it_raises_our_error_only(self, written: str) -> None:
        with suppress(InvalidInputError):
            assert check_project_id(written).isascii()


class TestCreate:
    def test_it_is_listed_by_name_and_leaves_an_audit_event(self, database: Database) -> None:
        create(database, "zoo")
        create(database, "bot")
        assert names(database) == ["bot", "default", "zoo"]
        with database.read() as tx:
            event = orjson.loads(tx.execute(select(audit_intake.c.body)).scalars().first() or b"")
        assert (event["action"], event["object"], event["project"]) == ("project.created", "project/zoo", "zoo")

    def test_it_refuses_one_that_exists(self, database: Database) -> None:
        with pytest.raises(ConflictError, match="exists already"):
            create(database, "default")

    def test_a_key_cannot_make_a_project_of_a_bad_name(self, database: Database) -> None:
        with pytest.raises(InvalidInputError), database.write() as tx:
            create_key(tx, project_id="No Good", role="viewer", actor="t", actor_role="", now_ns=NOW_NS)
        assert names(database) == ["default"]
