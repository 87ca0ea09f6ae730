from __future__ import annotations

import orjson
import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.tables import audit_intake
from policies.actors import Actor
from policies.endpoints import EndpointChange, list_project_endpoints, put_endpoint
from policies.errors import EndpointError

ALICE = Actor("alice", "operator")


def audited(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as tx:
        rows = tx.execute(select(audit_intake.c.body).order_by(audit_intake.c.id))
        events = [orjson.loads(row.body) for row in rows]
    return [(event["action"], event["actor"], event["object"]) for event in events]


class TestPutEndpoint:
    @staticmethod
    def put(database: Database, url: str, secret: str | None = None, name: str = "oncall") -> EndpointChange:
        return put_endpoint(
            database, project_id="default", endpoint_id=name, url=url, secret=secret, actor=ALICE, now_ns=5
        )

    def test_makes_a_secret_and_keeps_it_when_only_the_address_changes(self, database: Database) -> None:
        created = self.put(database, "https://a.example/hook").endpoint
        assert created.secret.startswith("whsec_")
        assert "whsec_" not in repr(created)
        moved = self.put(database, "https://b.example/hook").endpoint
        assert moved.secret == created.secret
        assert [one.url for one in list_project_endpoints(database, "default")] == ["https://b.example/hook"]
        assert [event[0] for event in audited(database)] == ["endpoint.created", "endpoint.changed"]

    @pytest.mark.parametrize(
        ("url", "secret", "name"),
        [
            ("ftp://a.example", None, "oncall"),
            ("https://user:pw@a.example/", None, "oncall"),
            ("https://a.example/", "secret", "oncall"),
            ("https://a.example/", "whsec_AAAA", "oncall"),
            ("https://a.example/", None, ""),
            ("https://a.example/", None, "x" * 65),
        ],
    )
    def test_refuses_unusable_values(self, database: Database, url: str, secret: str | None, name: str) -> None:
        with pytest.raises(EndpointError):
            self.put(database, url, secret, name)
        assert list_project_endpoints(database, "default") == []
