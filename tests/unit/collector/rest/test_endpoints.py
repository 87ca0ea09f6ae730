"""``/endpoints``: the secret is shown once, changes are strict."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from custodes.db.tables import endpoint, outbox, project
from custodes.kernel.clock import HOUR_NS
from policies.audit.reading import list_entries
from policies.audit.store import LeafFilter
from policies.hooks.endpoint_store import disable_endpoint, find_endpoint
from policies.hooks.secrets import open_secrets

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


class TestKinds:
    def test_secrets_are_kept_and_never_shown(self, server: Any) -> None:
        client = server.client("operator")
        body = {"id": "pager", "kind": "pagerduty", "secrets": {"routing_key": "k" * 32}}
        created = client.post("/api/v1/endpoints", json=body)
        assert created.status_code == 201
        assert (created.json()["kind"], created.json()["url"]) == (
            "pagerduty",
            "https://events.pagerduty.com/v2/enqueue",
        )
        assert "secret" not in created.json()
        chat = {"id": "chat", "kind": "slack", "url": "https://hooks.slack.com/services/T/B/hush"}
        assert client.post("/api/v1/endpoints", json=chat).status_code == 201
        listed = client.get("/api/v1/endpoints")
        assert {row["id"]: row["url"] for row in listed.json()["rows"]}["chat"] == "https://hooks.slack.com/…"
        with server.database.read() as tx:
            leaves = list_entries(tx, LeafFilter(action="endpoint.created"))
            row = tx.execute(select(endpoint).where(endpoint.c.id == "chat")).one()
        for secret in (b"hush", b"k" * 32):
            assert secret not in created.content + listed.content
            assert not any(secret in leaf.body for leaf in leaves)
        assert not any("hush" in str(value) for value in row)

    def test_kinds_are_listed_with_what_they_take(self, local_server: Any) -> None:
        rows = local_server.client("operator").get("/api/v1/endpoint-kinds").json()["rows"]
        kinds = {row["kind"]: row for row in rows}
        assert set(kinds) == {"webhook", "cloudevents", "slack", "teams", "pagerduty", "alertmanager", "email"}
        (key,) = kinds["pagerduty"]["settings"]
        assert (key["name"], key["secret"], key["required"]) == ("routing_key", True, True)
        assert local_server.client("viewer").get("/api/v1/endpoint-kinds").status_code == 403

    def test_an_ed25519_endpoint_shows_its_public_key(self, local_server: Any) -> None:
        created = local_server.client("operator").post("/api/v1/endpoints", json=ONCALL | {"signing": "v1a"}).json()
        assert created["secret"].startswith("whsk_")
        assert [one[:5] for one in created["public_keys"]] == ["whpk_"]


class TestChange:
    def test_what_is_left_out_stays_and_the_endpoint_is_enabled(self, server: Any) -> None:
        client = server.client("operator")
        secret = client.post("/api/v1/endpoints", json=ONCALL).json()["secret"]
        with server.database.write() as tx:
            disable_endpoint(tx, "default", "oncall", "the receiver answered 410 Gone")
        seen = client.get("/api/v1/endpoints/oncall")
        assert (seen.json()["state"], seen.json()["disabled_reason"]) == ("disabled", "the receiver answered 410 Gone")
        changed = client.put(
            "/api/v1/endpoints/oncall", json={"url": "https://b.example/"}, headers={"if-match": seen.headers["etag"]}
        )
        assert changed.status_code == 200
        assert (changed.json()["state"], changed.json()["url"]) == ("active", "https://b.example/")
        assert "secret" not in changed.json()
        with server.database.read() as tx:
            found = find_endpoint(tx, "default", "oncall")
        assert found is not None
        assert open_secrets(server.secret_box, "default", "oncall", found.sealed) == {"signing": secret}

    def test_one_who_has_seen_another_state_is_refused(self, local_server: Any) -> None:
        client = local_server.client("operator")
        client.post("/api/v1/endpoints", json=ONCALL)
        for path, verb in (("", client.put), ("/rotate", client.post)):
            answer = verb(f"/api/v1/endpoints/oncall{path}", json={}, headers={"if-match": '"7"'})
            assert answer.status_code == 412

    def test_a_kind_need_not_be_said_again(self, local_server: Any) -> None:
        client = local_server.client("operator")
        client.post("/api/v1/endpoints", json={"id": "chat", "kind": "slack", "url": "https://hooks.slack.com/a"})
        moved = client.put("/api/v1/endpoints/chat", json={"url": "https://hooks.slack-gov.com/b"})
        assert (moved.status_code, moved.json()["url"]) == (200, "https://hooks.slack-gov.com/…")

    def test_the_kind_stays(self, local_server: Any) -> None:
        client = local_server.client("operator")
        client.post("/api/v1/endpoints", json=ONCALL)
        body = {"kind": "slack", "url": "https://hooks.slack.com/x"}
        assert client.put("/api/v1/endpoints/oncall", json=body).status_code == 409

    def test_a_rotation_shows_the_new_secret_once(self, server: Any) -> None:
        client = server.client("operator")
        old = client.post("/api/v1/endpoints", json=ONCALL).json()["secret"]
        headers = {"idempotency-key": "once"}
        rotated = client.post("/api/v1/endpoints/oncall/rotate", json={"overlap": "2h"}, headers=headers)
        assert rotated.status_code == 200
        assert rotated.json()["secret"].startswith("whsec_")
        assert rotated.json()["secret"] != old
        assert rotated.json()["rotating_until"] is not None
        again = client.post("/api/v1/endpoints/oncall/rotate", json={"overlap": "2h"}, headers=headers)
        assert again.json()["secret"] is None
        server.now_ns += 2 * HOUR_NS
        assert client.get("/api/v1/endpoints/oncall").json()["rotating_until"] is None
        with server.database.read() as tx:
            leaves = list_entries(tx, LeafFilter(object="endpoint/oncall"))
        assert [leaf.action for leaf in leaves] == ["endpoint.created", "endpoint.rotated"]


class TestMessages:
    @staticmethod
    def queue(server: Any, *names: str, state: str = "dead") -> None:
        with server.database.write() as tx:
            for name in names:
                values = {
                    "id": name,
                    "project_id": "default",
                    "endpoint_id": "oncall",
                    "event_type": "x",
                    "body": b"{}",
                }
                tx.execute(outbox.insert().values(**values, state=state, created_ns=0, next_attempt_ns=0))

    def test_dead_letters_are_listed_page_by_page_and_replayed_once(self, server: Any) -> None:
        client = server.client("operator")
        client.post("/api/v1/endpoints", json=ONCALL)
        self.queue(server, "msg_1", "msg_2", "msg_3")
        assert client.get("/api/v1/endpoints").json()["rows"][0]["dead"] == 3
        first = client.get("/api/v1/endpoints/oncall/deliveries", params={"state": "dead", "limit": 2}).json()
        assert [row["id"] for row in first["rows"]] == ["msg_3", "msg_2"]
        rest = {"state": "dead", "cursor": first["next_cursor"]}
        second = client.get("/api/v1/endpoints/oncall/deliveries", params=rest).json()
        assert ([row["id"] for row in second["rows"]], second["next_cursor"]) == (["msg_1"], None)
        assert "body" not in second["rows"][0]
        done = client.post("/api/v1/endpoints/oncall/replay", json={"messages": ["msg_1", "msg_9"]})
        assert done.status_code == 200
        assert (done.json()["replayed"], done.json()["skipped"]) == (["msg_1"], {"msg_9": "it is not dead"})
        assert done.json()["audit"]["seq"] >= 0
        again = client.post("/api/v1/endpoints/oncall/replay", json={"messages": ["msg_1"]}).json()
        assert (again["replayed"], again["audit"]) == ([], None)
        assert client.post("/api/v1/endpoints/oncall/replay", json={}).json()["replayed"] == ["msg_2", "msg_3"]
        with server.database.read() as tx:
            leaves = list_entries(tx, LeafFilter(action="endpoint.replayed"))
        assert len(leaves) == 2

    def test_a_test_reports_what_came_of_it(self, local_server: Any) -> None:
        client = local_server.client("operator")
        client.post("/api/v1/endpoints", json=ONCALL | {"url": "http://127.0.0.1:1/"})
        answer = client.post("/api/v1/endpoints/oncall/test")
        assert answer.status_code == 200
        assert (answer.json()["delivered"], answer.json()["detail"]) == (False, "the connection failed: ConnectError")
        shown = client.get("/api/v1/endpoints/oncall").json()
        assert (shown["breaker"]["failures"], shown["last_error"]) == (1, "the connection failed: ConnectError")

    def test_a_forbidden_address_is_reported_and_not_called(self, local_server: Any) -> None:
        client = local_server.client("operator")
        client.post("/api/v1/endpoints", json=ONCALL | {"url": "https://169.254.169.254/"})
        answer = client.post("/api/v1/endpoints/oncall/test").json()
        assert answer["delivered"] is False
        assert "may not reach" in answer["detail"]

    @pytest.mark.parametrize("role", ["viewer", "analyst", "author", "approver", "auditor"])
    def test_only_those_who_may_change_endpoints_send(self, local_server: Any, role: str) -> None:
        local_server.client("operator").post("/api/v1/endpoints", json=ONCALL)
        client = local_server.client(role)
        for path in ("test", "replay", "discard", "rotate"):
            assert client.post(f"/api/v1/endpoints/oncall/{path}", json={}).status_code == 403
        assert client.put("/api/v1/endpoints/oncall", json={}).status_code == 403


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
            {"id": "a"},
            ONCALL | {"secret": "mine"},
            ONCALL | {"kind": "pigeon"},
            ONCALL | {"secrets": {"nope": "hunter2"}, "kind": "slack"},
            ONCALL | {"kind": "pagerduty", "secrets": {"routing_key": "hunter2"}},
            ONCALL | {"kind": "pagerduty"},
            ONCALL | {"kind": "email"},
            ONCALL | {"options": {"color": "red"}},
            ONCALL | {"signing": "v2"},
        ],
    )
    def test_an_unusable_one_is_400(self, local_server: Any, body: dict[str, str]) -> None:
        answer = local_server.client("operator").post("/api/v1/endpoints", json=body)
        assert answer.status_code == 400
        assert "hunter2" not in answer.text

    def test_an_unknown_one_is_404(self, local_server: Any) -> None:
        client = local_server.client("operator")
        assert client.delete("/api/v1/endpoints/nope").status_code == 404
        assert client.get("/api/v1/endpoints/nope").status_code == 404
        assert client.get("/api/v1/endpoints/nope/deliveries").status_code == 404
        for path in ("test", "replay", "discard", "rotate"):
            assert client.post(f"/api/v1/endpoints/nope/{path}", json={}).status_code == 404

    def test_one_of_another_project_is_404(self, local_server: Any) -> None:
        local_server.client("operator").post("/api/v1/endpoints", json=ONCALL)
        with local_server.database.write() as tx:
            tx.execute(project.insert().values(id="other", created_ns=0))
        client = local_server.client("operator", "other")
        assert client.get("/api/v1/endpoints").json()["rows"] == []
        for path in ("test", "replay", "discard", "rotate"):
            assert client.post(f"/api/v1/endpoints/oncall/{path}", json={}).status_code == 404
