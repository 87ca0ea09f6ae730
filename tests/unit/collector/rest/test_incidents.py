"""``/incidents`` and ``/decisions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from collector.dialects.span import NormalSpan
from custodes.db.tables import decision, delivery_attempt, incident_event, outbox
from custodes.kernel.clock import MINUTE_NS, ns_to_rfc3339
from policies.audit.intake import append_event

Chat = Callable[..., NormalSpan]
POLICY = """
apiVersion: custodes/v1
kind: Policy
id: tox
owner: a@example.org
severity: high
signals: {t: {metric: toxicity, agg: p95, window: 5m}, n: {agg: count, window: 5m}}
group_by: [deployment]
when: "t > 0.8 && n > 1.0"
"""


def get(server: Any, path: str) -> Any:
    answer = server.client("viewer").get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def add_decision(
    server: Any, decision_id: str, at_ns: int, *, incident_id: str | None = None, policy: str = "tox"
) -> None:
    body = orjson.dumps({"values": {"t": 0.9, "n": None}, "reason": "because", "intents": []})
    with server.database.write() as tx:
        tx.execute(
            decision.insert().values(
                id=decision_id,
                project_id="default",
                policy_id=policy,
                version="sha256:1",
                group_key='{"deployment":"v7"}',
                at_ns=at_ns,
                from_state="pending",
                to_state="firing",
                body=body,
                incident_id=incident_id,
            )
        )


class TestLists:
    def fill(self, server: Any) -> None:
        for number in range(5):
            opened_ns = server.now_ns - number // 2 * MINUTE_NS
            resolved = {"state": "resolved", "resolved_ns": opened_ns + 1} if number % 2 else {}
            server.open_incident(f"i-{number}", group={"deployment": f"v{number}"}, opened_ns=opened_ns, **resolved)
            add_decision(server, f"d-{number}", opened_ns, policy="tox" if number % 2 else "other")

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("incidents", ["i-1", "i-0", "i-3", "i-2", "i-4"]),
            ("incidents?state=all", ["i-1", "i-0", "i-3", "i-2", "i-4"]),
            ("incidents?state=new", ["i-0", "i-2", "i-4"]),
            ("incidents?state=open", ["i-0", "i-2", "i-4"]),
            ("incidents?state=muted", []),
            ("incidents?policy=tox&severity=high&label=none&limit=1", ["i-1"]),
            ("incidents?assignee=ann", []),
            ("incidents?state=resolved", ["i-1", "i-3"]),
            ("incidents?to=now", ["i-3", "i-2", "i-4"]),
            ("incidents?from=now-1m", ["i-1", "i-0", "i-3", "i-2"]),
            ("decisions", ["d-1", "d-0", "d-3", "d-2", "d-4"]),
            ("decisions?policy=other", ["d-0", "d-2", "d-4"]),
            ("decisions?from=now-1m&to=now", ["d-3", "d-2"]),
        ],
    )
    def test_they_are_newest_first_and_filtered(self, server: Any, query: str, expected: list[str]) -> None:
        self.fill(server)
        assert [row["id"] for row in get(server, query)["rows"]] == expected

    @pytest.mark.parametrize("what", ["incidents", "decisions"])
    def test_their_pages_together_are_the_list(self, server: Any, what: str) -> None:
        self.fill(server)
        whole = [row["id"] for row in get(server, what)["rows"]]
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = get(server, f"{what}?limit=2{cursor and '&cursor=' + cursor}")
            found += [row["id"] for row in page["rows"]]
            cursor = page["next_cursor"]
        assert found == whole

    def test_a_decision_shows_the_values_it_was_taken_on(self, server: Any) -> None:
        add_decision(server, "d-1", server.now_ns, incident_id="i-1")
        assert get(server, "decisions")["rows"] == [
            {
                "id": "d-1",
                "policy_id": "tox",
                "policy_version": "sha256:1",
                "group": {"deployment": "v7"},
                "at": ns_to_rfc3339(server.now_ns),
                "from_state": "pending",
                "to_state": "firing",
                "mode": "live",
                "values": {"t": 0.9, "n": None},
                "reason": "because",
                "incident_id": "i-1",
            }
        ]

    @pytest.mark.parametrize("query", ["incidents?state=opne", "incidents?cursor=1", "decisions?polcy=x"])
    def test_a_mistake_is_a_400(self, local_server: Any, query: str) -> None:
        assert local_server.client("viewer").get(f"/api/v1/{query}").status_code == 400


class TestOneIncident:
    def test_it_shows_everything_that_belongs_to_it(self, server: Any) -> None:
        server.add_policy(POLICY)
        server.open_incident("i-1", group={"deployment": "v7"})
        add_decision(server, "d-1", server.now_ns, incident_id="i-1")
        with server.database.write() as tx:
            note = {"incident_id": "i-1", "actor": "policy-engine", "kind": "opened"}
            tx.execute(incident_event.insert().values(**note, at_ns=server.now_ns, body=b'{"severity":"high"}'))
            message = {"id": "msg_1", "project_id": "default", "endpoint_id": "oncall", "event_type": "incident.opened"}
            times = {"created_ns": server.now_ns, "next_attempt_ns": 0, "delivered_ns": server.now_ns + MINUTE_NS}
            state = {"incident_id": "i-1", "body": b"{}", "state": "delivered", "attempts": 1}
            tx.execute(outbox.insert().values(**message, **times, **state))
            tried = {"outbox_id": "msg_1", "n": 1, "at_ns": server.now_ns, "outcome": "delivered", "status": 200}
            tx.execute(delivery_attempt.insert().values(**tried, duration_ms=3.5, detail=""))
            told = {"actor": "e", "role": "system", "data": {}, "at_ns": server.now_ns, "project": "default"}
            for action, about in (("policy.decided", "d-1"), ("policy.decided", "d-2"), ("other", "d-1")):
                append_event(tx, action=action, object=f"decision/{about}", **told)
        server.audit.flush()
        found = get(server, "incidents/i-1")
        assert (found["id"], found["policy_version"], found["group"]) == ("i-1", "sha256:1", {"deployment": "v7"})
        assert found["timeline"] == [
            {
                "at": ns_to_rfc3339(server.now_ns),
                "kind": "opened",
                "actor": "policy-engine",
                "body": {"severity": "high"},
            }
        ]
        assert [one["id"] for one in found["decisions"]] == ["d-1"]
        delivery = found["deliveries"][0]
        assert (delivery["endpoint"], delivery["state"], delivery["attempts"]) == ("oncall", "delivered", 1)
        assert delivery["attempts_log"] == [
            {
                "n": 1,
                "at": ns_to_rfc3339(server.now_ns),
                "outcome": "delivered",
                "status": 200,
                "duration_ms": 3.5,
                "detail": "",
            }
        ]
        assert len(found["audit_seqs"]) == 1
        assert found["policy"] == {"id": "tox", "version": "sha256:1", "source": POLICY}
        assert found["traces"] == []

    def test_its_traces_are_the_worst_of_its_group_and_time(self, server: Any, chat: Chat) -> None:
        here = {"custodes.deployment": "v7"}
        server.add_policy(POLICY)
        server.store(
            *(chat(n, age_s=60 + n, resource=here) for n in range(25)),
            chat(50, resource={"custodes.deployment": "v6"}),
            chat(51, age_s=3600, resource=here),
        )
        server.score(lambda key: {"toxicity": int(key, 16) % 30 / 100, "hallucination": 0.99})
        server.open_incident("i-1", group={"deployment": "v7"})
        found = get(server, "incidents/i-1")["traces"]
        assert [row["scores"]["toxicity"] for row in found] == [n / 100 for n in range(25, 5, -1)]
        assert all(row["incident_ids"] == ["i-1"] for row in found)

    def test_one_of_another_project_is_not_there(self, local_server: Any) -> None:
        local_server.open_incident("i-1", group={}, project_id="second")
        assert local_server.client("viewer").get("/api/v1/incidents/i-1").status_code == 404

    def test_an_incident_whose_policy_cannot_be_read_is_shown_all_the_same(self, server: Any, chat: Chat) -> None:
        server.store(chat(0))
        server.score({"toxicity": 0.5})
        server.add_policy("kind: Future")
        server.open_incident("i-1", group={})
        found = get(server, "incidents/i-1")
        assert (found["policy"]["source"], len(found["traces"])) == ("kind: Future", 1)
