from __future__ import annotations

import orjson
import pytest
from sqlalchemy import select

from collector.content import MasterSecretBox
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
    def put(
        database: Database, box: MasterSecretBox, url: str, secret: str | None = None, name: str = "oncall"
    ) -> EndpointChange:
        return put_endpoint(
            database, box, project_id="default", endpoint_id=name, url=url, secret=secret, actor=ALICE, now_ns=5
        )

    def test_makes_a_secret_and_keeps_it_when_only_the_address_changes(
        self, database: Database, secret_box: MasterSecretBox
    ) -> None:
        created = self.put(database, secret_box, "https://a.example/hook")
        assert created.secret is not None
        assert created.secret.startswith("whsec_")
        assert "whsec_" not in repr(created)
        moved = self.put(database, secret_box, "https://b.example/hook")
        assert (moved.secret, created.is_new_secret, moved.is_new_secret) == (created.secret, True, False)
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
    def test_refuses_unusable_values(
        self, database: Database, secret_box: MasterSecretBox, url: str, secret: str | None, name: str
    ) -> None:
        with pytest.raises(EndpointError):
            self.put(database, secret_box, url, secret, name)
        assert list_project_endpoints(database, "default") == []
