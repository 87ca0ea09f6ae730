"""``/endpoints``: the secret is shown once, changes are strict."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from custodes.db.tables import outbox
from policies.audit.reading import list_entries
from policies.audit.store import LeafFilter

ONCALL = {"id": "oncall", "url": "https://example.org/hook"}


class TestLife:
    def test_it_is_created_listed_and_removed(self, server: Any) -> None:
        client = server.client("operator")
        created = client.post("/api/v1/endpoints", json=ONCALL)
        assert created.status_code == 201
        secret = created.json()["secret"]
        assert secret.startswith("whsec_")
        listed = client.get("/api/v1/endpoints")
        assert [(row["id"], row["url"], row["state"]) for row in listed.json()["rows"]] == [
            ("oncall", "https://example.org/hook", "active")
        ]
        assert secret not in listed.text
        assert client.delete("/api/v1/endpoints/oncall").status_code == 200
        assert client.get("/api/v1/endpoints").json()["rows"] == []
        with server.database.read() as tx:
            leaves = list_entries(tx, LeafFilter(object="endpoint/oncall"))
        assert [leaf.action for leaf in leaves] == ["endpoint.created", "endpoint.removed"]
        assert not any(secret.encode() in leaf.body for leaf in leaves)

    def test_what_waits_for_a_removed_one_is_given_up(self, server: Any) -> None:
        client = server.client("admin")
        client.post("/api/v1/endpoints", json=ONCALL)
        message = {"id": "m", "project_id": "default", "endpoint_id": "oncall", "event_type": "x", "state": "pending"}
        with server.database.write() as tx:
            tx.execute(outbox.insert().values(**message, body=b"{}", created_ns=0, next_attempt_ns=0))
        client.delete("/api/v1/endpoints/oncall")
        with server.database.read() as tx:
            assert tx.execute(select(outbox.c.state)).scalar_one() == "dead"


class TestRefusals:
    def test_a_name_that_is_taken_is_409_and_keeps_its_secret(self, local_server: Any) -> None:
        client = local_server.client("operator")
        client.post("/api/v1/endpoints", json=ONCALL)
        again = client.post("/api/v1/endpoints", json=ONCALL | {"url": "https://attacker.example/"})
        assert again.status_code == 409
        assert "whsec_" not in again.text
        assert client.get("/api/v1/endpoints").json()["rows"][0]["url"] == ONCALL["url"]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"id": "On Call", "url": "https://example.org"},
            {"id": "a", "url": "ftp://example.org"},
            {"id": "a", "url": "https://user:hunter2@example.org"},
            {"id": "a", "url": ""},
            ONCALL | {"secret": "mine"},
        ],
    )
    def test_an_unusable_one_is_400(self, local_server: Any, body: dict[str, str]) -> None:
        answer = local_server.client("operator").post("/api/v1/endpoints", json=body)
        assert answer.status_code == 400
        assert "hunter2" not in answer.text

    def test_an_unknown_one_is_404(self, local_server: Any) -> None:
        assert local_server.client("operator").delete("/api/v1/endpoints/nope").status_code == 404
