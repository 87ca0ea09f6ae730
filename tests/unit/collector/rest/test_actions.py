"""Actions and gates over HTTP: the chain, who may decide, callbacks, the switch, and the verdict for deployers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import insert, update

from custodes.db.tables import action, policy_state, policy_version
from custodes.kernel.clock import MINUTE_NS
from policies.actions.action import Action
from policies.actions.store import insert_action
from policies.actors import Actor
from policies.endpoints import put_endpoint
from policies.hooks.signing import sign_headers

TERMS = {"kind": "rollback", "target": {"adapter": "mlflow", "model": "bot", "alias": "champion"}, "limits": {}}

NEW_TARGET = {"adapter": "mlflow", "model": "bot", "alias": "champion", "to": "7"}


def post(client: Any, path: str, body: Any = None, **headers: str) -> Any:
    return client.post(f"/api/v1/{path}", json={} if body is None else body, headers=headers)


def make(server: Any, action_id: str = "a-1", **changes: Any) -> Action:
    made = Action(
        id=action_id,
        project_id="default",
        kind="rollback",
        adapter="mlflow",
        target_key=f"mlflow/bot/{action_id}",
        target=TERMS["target"],  # type: ignore[arg-type]
        policy_id="tox",
        version="sha256:1",
        decision_id="d-1",
        incident_id="i-1",
        group_key='{"deployment":"v7"}',
        mode="propose",
        state="proposed",
        author="ann",
        idempotency_key=action_id,
        terms=TERMS,
        created_ns=server.now_ns,
        updated_ns=server.now_ns,
        planned_ns=server.now_ns,
        from_version="7",
        to_version="6",
    )
    made = replace(made, **changes)
    with server.database.write() as tx:
        assert insert_action(tx, made)
    return made


@pytest.fixture
def proposed(server: Any) -> Action:
    """A planned rollback of an open incident."""
    server.open_incident("i-1", group={"deployment": "v7"})
    return make(server)


class TestActions:
    def test_are_listed_and_shown_with_their_chain(self, server: Any, proposed: Action) -> None:
        viewer = server.client("viewer")
        (row,) = viewer.get("/api/v1/actions?state=open").json()["rows"]
        assert (row["id"], row["state"], row["from_version"], row["to_version"]) == ("a-1", "proposed", "7", "6")
        assert viewer.get("/api/v1/actions?state=helped").json()["rows"] == []
        shown = viewer.get("/api/v1/actions/a-1")
        assert shown.headers["etag"] == '"1"'
        chain = shown.json()
        assert chain["incident"]["id"] == "i-1"
        assert (chain["decision"], chain["evidence"], chain["approvals"]) == (None, None, [])
        assert viewer.get("/api/v1/actions/nope").status_code == 404
        assert server.client("viewer", "other").get("/api/v1/actions/a-1").status_code in (401, 404)

    def test_begin_when_an_approver_agrees(self, server: Any, proposed: Action) -> None:
        answer = post(server.client("approver"), "actions/a-1/approve", {"comment": "yes"}, **{"if-match": '"1"'})
        assert (answer.status_code, answer.json()["state"]) == (200, "approved")
        assert answer.json()["audit"]["checkpoint_size"] > answer.json()["audit"]["seq"]
        chain = server.client("viewer").get("/api/v1/actions/a-1").json()
        assert [one["verdict"] for one in chain["approvals"]] == ["approved"]
        assert chain["audit_seqs"] == [answer.json()["audit"]["seq"]]

    def test_are_decided_among_the_approvals_too(self, server: Any, proposed: Action) -> None:
        approver = server.client("approver")
        (waiting,) = approver.get("/api/v1/approvals").json()["rows"]
        assert (waiting["kind"], waiting["reason"]) == ("action", "rollback of bot@champion from 7 to 6")
        said = post(
            approver, "approvals", {"kind": "action", "subject": "a-1", "verdict": "rejected", "comment": "no need"}
        )
        assert said.status_code == 201
        assert server.client("viewer").get("/api/v1/actions/a-1").json()["state"] == "refused"

    @pytest.mark.parametrize("role", ["viewer", "analyst", "author", "operator", "admin", "auditor"])
    def test_need_an_approver(self, server: Any, proposed: Action, role: str) -> None:
        assert post(server.client(role), "actions/a-1/approve").status_code == 403

    def test_refuse_a_second_look_and_a_second_verdict(self, server: Any, proposed: Action) -> None:
        approver = server.client("approver")
        assert post(approver, "actions/a-1/approve", **{"if-match": '"7"'}).status_code == 412
        assert post(approver, "actions/a-1/refuse", {"reason": "no need"}).status_code == 200
        again = post(approver, "actions/a-1/approve")
        assert (again.status_code, again.json()["type"]) == (409, "urn:custodes:problem:conflict")

    def test_are_called_off_by_an_operator(self, server: Any, proposed: Action) -> None:
        answer = post(server.client("operator"), "actions/a-1/cancel", {"reason": "maintenance"})
        assert (answer.json()["state"], answer.json()["reason"]) == ("cancelled", "maintenance")


class TestPromotion:
    def test_is_proposed_by_who_may_act_on_the_record(self, server: Any) -> None:
        body = {"target": NEW_TARGET, "reason": "held-out loss fell"}
        assert post(server.client("viewer"), "actions/promote", body).status_code == 403
        made = post(server.client("operator"), "actions/promote", body)
        assert (made.status_code, made.json()["kind"], made.json()["state"]) == (201, "promotion", "proposed")
        assert made.json()["audit"]["checkpoint_size"] > 0
        assert post(server.client("operator"), "actions/promote", body).status_code == 409
        chain = server.client("viewer").get(f"/api/v1/actions/{made.json()['id']}").json()
        assert (chain["decision"], chain["incident"]) == (None, None)
        assert chain["events"][0]["body"]["reason"] == "held-out loss fell"

    def test_needs_a_version_and_a_reason(self, server: Any) -> None:
        operator = server.client("operator")
        body = {"target": {**NEW_TARGET, "to": ""}, "reason": "held-out loss fell"}
        assert post(operator, "actions/promote", body).status_code == 400
        assert post(operator, "actions/promote", {"target": NEW_TARGET, "reason": ""}).status_code == 400


class TestSwitch:
    def test_stops_by_few_and_lets_begin_again_by_approvers_only(self, server: Any, proposed: Action) -> None:
        operator, approver = server.client("operator"), server.client("approver")
        body = {"stopped": True, "reason": "drill"}
        assert server.client("viewer").put("/api/v1/actions/switch", json=body).status_code == 403
        assert operator.put("/api/v1/actions/switch", json=body).json()["stopped"] is True
        refused = post(approver, "actions/a-1/approve")
        assert refused.status_code == 409
        assert "actions are stopped: drill" in refused.json()["detail"]
        assert operator.put("/api/v1/actions/switch", json={"stopped": False, "reason": "over"}).status_code == 403
        assert approver.put("/api/v1/actions/switch", json={"stopped": False, "reason": "over"}).status_code == 200
        assert post(approver, "actions/a-1/approve").status_code == 200

    def test_holds_everywhere_only_for_the_servers_administrators(self, server: Any) -> None:
        body = {"stopped": True, "reason": "drill", "everywhere": True}
        assert server.client("operator").put("/api/v1/actions/switch", json=body).status_code == 403
        answer = server.client("admin").put("/api/v1/actions/switch", json=body)
        assert answer.json()["scope"] == "everywhere"
        assert server.client("viewer").get("/api/v1/actions/switch").json()["stopped"] is True


class TestCallback:
    @pytest.fixture
    def sent(self, server: Any) -> str:
        """An action that went to an endpoint; return the endpoint's secret."""
        server.open_incident("i-1", group={"deployment": "v7"})
        change = put_endpoint(
            server.database, server.secret_box, project_id="default", endpoint_id="deployer",
            url="https://deploy.example/x", secret=None, actor=Actor("o", "operator"), now_ns=1,
        )  # fmt: skip
        make(server, adapter="webhook", target={"adapter": "webhook", "endpoint": "deployer"})
        place = {"approver": "bob", "approved_ns": 1, "snapshot_ns": 2, "evidence_digest": "e", "sent_ns": 3}
        for state in ("approved", "snapshot", "sent"):
            with server.database.write() as tx:
                tx.execute(
                    update(action).values(state=state, **(place if state == "sent" else {**place, "sent_ns": None}))
                )
        assert change.secret is not None
        return change.secret

    def call(self, server: Any, secret: str, body: Any, *, at: int = 0) -> Any:
        raw = orjson.dumps(body)
        headers = sign_headers(secret, "msg_1", server.now_ns // 10**9 + at, raw)
        return server.client().post("/api/v1/actions/a-1/callback", content=raw, headers=headers)

    def test_acknowledges_what_was_done_once(self, server: Any, sent: str) -> None:
        body = {"action_id": "a-1", "result": "done", "detail": "rolled back"}
        assert self.call(server, sent, body).json() == {"id": "a-1", "state": "acknowledged"}
        assert self.call(server, sent, body).status_code == 200
        assert self.call(server, sent, {**body, "result": "failed"}).status_code == 409

    def test_takes_no_callback_that_is_not_signed_now_for_this_action(self, server: Any, sent: str) -> None:
        body = {"action_id": "a-1", "result": "done"}
        other = "whsec_" + "A" * 44
        assert self.call(server, other, body).status_code == 401
        assert self.call(server, sent, body, at=-301).status_code == 401
        assert server.client().post("/api/v1/actions/a-1/callback", json=body).status_code == 401
        assert server.client().post("/api/v1/actions/none/callback", json=body).status_code == 401
        assert self.call(server, sent, {**body, "action_id": "a-2"}).status_code == 400
        # Our own message, sent back at us, says nothing about a result.
        assert self.call(server, sent, {"type": "action.dispatched", "data": {}}).status_code == 400


class TestGates:
    def speak(self, server: Any, state: str, *, evaluated_ns: int | None = None, policy: str = "tox") -> None:
        source = f"apiVersion: custodes/v1\nkind: Policy\nid: {policy}\nowner: a\nseverity: low\n"
        place = {"project_id": "default", "policy_id": policy, "version": "sha256:1"}
        with server.database.write() as tx:
            tx.execute(
                insert(policy_version).values(
                    **place, source=source, state="active", author="a", created_ns=1,
                    evaluated_ns=server.now_ns if evaluated_ns is None else evaluated_ns,
                )
            )  # fmt: skip
            group = orjson.dumps({"deployment": "v7"}).decode()
            tx.execute(insert(policy_state).values(**place, group_key=group, state=state, since_ns=1, body=b"{}"))

    def ask(self, server: Any, query: str = "") -> Any:
        return server.client("viewer").get(f"/api/v1/gates/v7{query}")

    @pytest.mark.parametrize(
        ("state", "verdict", "status"),
        [
            ("ok", "ok", 200),
            ("firing", "fail", 409),
            ("pending", "inconclusive", 409),
            ("no_data", "inconclusive", 409),
            ("error", "inconclusive", 409),
        ],
    )
    def test_say_what_the_policies_say(self, server: Any, state: str, verdict: str, status: int) -> None:
        self.speak(server, state)
        answer = self.ask(server)
        assert (answer.status_code, answer.json()["verdict"]) == (200, verdict)
        assert self.ask(server, "?http=1").status_code == status
        rollback = self.ask(server, "?http=1&hook=rollback").status_code
        assert rollback == (200 if verdict == "fail" else 409)

    def test_are_inconclusive_when_nobody_looked(self, server: Any) -> None:
        assert self.ask(server).json()["verdict"] == "inconclusive"
        self.speak(server, "ok", evaluated_ns=server.now_ns - 6 * MINUTE_NS)
        answer = self.ask(server).json()
        assert (answer["verdict"], answer["reason"]) == ("inconclusive", "tox is stale")

    def test_need_every_policy_to_agree(self, server: Any) -> None:
        self.speak(server, "ok")
        self.speak(server, "no_data", policy="hall")
        assert self.ask(server).json()["verdict"] == "inconclusive"
        assert self.ask(server, "?policy=tox").json()["verdict"] == "ok"

    def test_fail_while_an_incident_of_the_deployment_is_open(self, server: Any) -> None:
        self.speak(server, "ok")
        server.open_incident("i-9", group={"deployment": "v8"})
        assert self.ask(server).json()["verdict"] == "ok"
        server.open_incident("i-1", group={"deployment": "v7"})
        answer = self.ask(server).json()
        assert (answer["verdict"], answer["incidents"]) == ("fail", ["i-1"])

    def test_answer_hooks_that_post(self, server: Any) -> None:
        self.speak(server, "ok")
        answer = server.client("viewer").post(
            "/api/v1/gates/v7?http=1", json={"name": "podinfo", "phase": "Progressing"}
        )
        assert answer.status_code == 200
