"""What people do about incidents, over HTTP: who may, what it answers, and what a second person is needed for."""

from __future__ import annotations

from typing import Any

import pytest

from collector.app import build_app
from policies.audit.reading import list_entries
from policies.audit.store import LeafFilter

SILENCE = {"matchers": {"policy": "tox"}, "reason": "load test until noon", "ends_at": "2999-01-01T00:00:00Z"}


def post(client: Any, path: str, body: Any = None, **headers: str) -> Any:
    return client.post(f"/api/v1/{path}", json={} if body is None else body, headers=headers)


def actions(server: Any) -> list[tuple[str, str]]:
    server.audit.flush()
    with server.database.read() as tx:
        leaves = list_entries(tx, LeafFilter())
    return [(one.action, one.object) for one in leaves if one.action.startswith(("incident.", "silence."))]


@pytest.fixture
def opened(server: Any) -> str:
    """An open incident of the policy ``tox``."""
    server.open_incident("i-1", group={"deployment": "v7"})
    return "i-1"


class TestIncidents:
    def test_are_acknowledged_muted_escalated_and_labelled(self, server: Any, opened: str) -> None:
        analyst = server.client("analyst")
        taken = post(analyst, f"incidents/{opened}/acknowledge", **{"if-match": '"1"'})
        assert (taken.status_code, taken.headers["etag"]) == (200, '"2"')
        assert taken.json()["state"] == "acknowledged"
        assert taken.json()["assignee"].startswith("key:")
        muted = post(analyst, f"incidents/{opened}/mute", {"duration": "4h", "reason": "known"}).json()
        assert (muted["state"], muted["muted_until"] > muted["opened_at"]) == ("muted", True)
        assert post(analyst, f"incidents/{opened}/unmute").json()["state"] == "acknowledged"
        assert post(analyst, f"incidents/{opened}/escalate", {"reason": "help"}).json()["state"] == "escalating"
        changes = {"label": "false_alarm", "assignee": None, "severity": "low"}
        edited = analyst.patch(f"/api/v1/incidents/{opened}", json=changes).json()
        assert {name: edited[name] for name in changes} == changes
        assert edited["labelled_by"].startswith("key:")
        noted = post(analyst, f"incidents/{opened}/notes", {"text": "Asked the vendor."})
        assert noted.status_code == 201
        shown = analyst.get(f"/api/v1/incidents/{opened}")
        assert shown.headers["etag"] == f'"{shown.json()["revision"]}"'
        kinds = [entry["kind"] for entry in shown.json()["timeline"]]
        assert kinds == [
            "acknowledged", "muted", "unmuted", "escalated", "assigned", "severity", "labelled", "note",
        ]  # fmt: skip
        assert [action for action, _ in actions(server)] == [
            "incident.acknowledged", "incident.muted", "incident.unmuted", "incident.escalated",
            "incident.assigned", "incident.severity", "incident.labelled", "incident.noted",
        ]  # fmt: skip

    def test_two_people_do_not_overwrite_each_other(self, server: Any, opened: str) -> None:
        one, two = server.client("analyst"), server.client("operator")
        assert post(one, f"incidents/{opened}/acknowledge", **{"if-match": '"1"'}).status_code == 200
        late = post(two, f"incidents/{opened}/acknowledge", **{"if-match": '"1"'})
        assert (late.status_code, late.json()["type"]) == (412, "urn:custodes:problem:changed")
        assert late.json()["error_id"]

    def test_a_repeated_click_counts_once(self, server: Any, opened: str) -> None:
        analyst = server.client("analyst")
        key = {"idempotency-key": "click-1"}
        first = post(analyst, f"incidents/{opened}/notes", {"text": "once"}, **key)
        second = post(analyst, f"incidents/{opened}/notes", {"text": "once"}, **key)
        assert first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true"
        assert len(analyst.get(f"/api/v1/incidents/{opened}").json()["timeline"]) == 1

    def test_are_reported_by_people_too(self, server: Any) -> None:
        operator = server.client("operator")
        body = {"title": "an insult", "severity": "high", "group": {"service": "bot"}, "from": "now-1h"}
        made = post(operator, "incidents", body)
        assert made.status_code == 201, made.text
        found = made.json()
        assert (found["origin"], found["state"], found["group"]) == ("person", "new", {"service": "bot"})
        assert post(operator, f"incidents/{found['id']}/resolve", {"reason": "answered"}).json()["state"] == "resolved"
        assert actions(server)[0] == ("incident.opened", f"incident/{found['id']}")

    def test_run_the_clock_of_a_duty_to_report(self, server: Any, opened: str) -> None:
        operator = server.client("operator")
        started = post(operator, f"incidents/{opened}/clocks", {"name": "gdpr-breach", "aware_at": "now-80h"})
        assert started.status_code == 201, started.text
        (clock,) = started.json()["rows"]
        assert (clock["name"], clock["overdue"], clock["reported_at"]) == ("gdpr-breach", True, None)
        (done,) = post(operator, f"incidents/{opened}/clocks/gdpr-breach/report").json()["rows"]
        assert done["reported_at"] is not None
        unknown = post(operator, f"incidents/{opened}/clocks", {"name": "mars"})
        assert (unknown.status_code, "ai-act-serious" in unknown.json()["detail"]) == (400, True)

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("mute", {"reason": "known"}),
            ("mute", {"reason": "known", "duration": "soon"}),
            ("mute", {"reason": "known", "duration": "1h", "until": "now"}),
            ("mute", {"reason": "known", "duration": "90d"}),
            ("mute", {"reason": "", "duration": "1h"}),
            ("escalate", {}),
            ("notes", {"text": ""}),
            ("clocks", {"name": "gdpr-breach", "aware_at": "yesterday"}),
        ],
    )
    def test_a_mistake_is_a_400_and_changes_nothing(self, local_server: Any, path: str, body: dict[str, Any]) -> None:
        local_server.open_incident("i-1", group={})
        analyst = local_server.client("analyst")
        assert post(analyst, f"incidents/i-1/{path}", body).status_code == 400
        assert analyst.get("/api/v1/incidents/i-1").json()["revision"] == 1
        assert analyst.patch("/api/v1/incidents/i-1", json={}).status_code == 400
        assert analyst.patch("/api/v1/incidents/i-1", json={"severity": None}).status_code == 400

    @pytest.mark.parametrize("role", ["viewer", "admin", "author", "auditor"])
    def test_readers_only_read(self, local_server: Any, role: Any) -> None:
        local_server.open_incident("i-1", group={})
        client = local_server.client(role)
        assert post(client, "incidents/i-1/acknowledge").status_code == 403
        assert post(client, "silences", SILENCE).status_code == 403
        assert client.get("/api/v1/silences").status_code == 200
        assert client.get("/api/v1/approvals").status_code == 200

    def test_belong_to_their_project(self, local_server: Any) -> None:
        local_server.open_incident("i-1", group={})
        stranger = local_server.client("operator", project="other")
        assert post(stranger, "incidents/i-1/acknowledge").status_code == 404


class TestSilences:
    def test_need_a_second_person(self, server: Any) -> None:
        from custodes.kernel.clock import HOUR_NS, ns_to_rfc3339

        body = SILENCE | {"ends_at": ns_to_rfc3339(server.now_ns + 4 * HOUR_NS)}
        operator, other = server.client("operator"), server.client("approver")
        made = post(operator, "silences", body)
        assert made.status_code == 201, made.text
        found = made.json()
        assert (found["state"], found["covers"], found["needs_approval"]) == ("active", ["low", "medium"], True)
        (waiting,) = other.get("/api/v1/approvals").json()["rows"]
        assert (waiting["kind"], waiting["subject"], waiting["mine"]) == ("silence", found["id"], False)
        assert operator.get("/api/v1/approvals").json()["rows"][0]["mine"] is True
        assert post(operator, f"silences/{found['id']}/approve").status_code == 409
        approved = post(other, f"silences/{found['id']}/approve", {"comment": "fine"}, **{"if-match": '"1"'}).json()
        assert approved["covers"] == ["low", "medium", "high", "critical"]
        assert approved["audit"]["seq"] < approved["audit"]["checkpoint_size"]
        assert other.get("/api/v1/approvals").json()["rows"] == []
        (verdict,) = other.get("/api/v1/approvals?state=decided").json()["rows"]
        assert (verdict["kind"], verdict["verdict"], verdict["comment"]) == ("silence", "approved", "fine")
        ended = operator.delete(f"/api/v1/silences/{found['id']}")
        assert ended.json()["state"] == "ended"
        assert operator.get("/api/v1/silences").json()["rows"] == []
        assert len(operator.get("/api/v1/silences?state=all").json()["rows"]) == 1
        assert [action for action, _ in actions(server)] == ["silence.created", "silence.approved", "silence.ended"]

    @pytest.mark.parametrize(
        "change",
        [
            {"matchers": {}},
            {"matchers": {"polcy": "tox"}},
            {"matchers": {"policy": "*"}},
            {"reason": "quiet"},
            {"ends_at": "now-1h"},
            {"ends_at": None},
            {"extra": 1},
        ],
    )
    def test_are_refused_when_they_would_hide_too_much(self, local_server: Any, change: dict[str, Any]) -> None:
        operator = local_server.client("operator")
        assert post(operator, "silences", {**SILENCE, **change}).status_code == 400
        assert operator.get("/api/v1/silences?state=all").json()["rows"] == []


class TestApprovals:
    def test_decide_versions_by_name(self, local_server: Any) -> None:
        source = (
            "apiVersion: custodes/v1\nkind: Policy\nid: tox\nowner: o\nseverity: low\n"
            "signals: {n: {agg: count, window: 5m}}\nwhen: n > 5.0\n"
            "tests: [{name: t, step: 1m, series: {n: '9'}, expect: [{at: 0m, state: firing}]}]\n"
        )
        author, approver = local_server.client("author"), local_server.client("approver")
        draft = author.post("/api/v1/policies", content=source, headers={"content-type": "application/yaml"}).json()
        assert approver.get("/api/v1/approvals").json()["rows"] == []
        post(author, f"policies/tox/versions/{draft['version']}/backtest")
        (waiting,) = approver.get("/api/v1/approvals").json()["rows"]
        assert (waiting["policy_id"], waiting["state"], waiting["needed"]) == ("tox", "shadow", 1)
        body = {"kind": "policy", "subject": waiting["subject"], "comment": "yes"}
        decided = post(approver, "approvals", body)
        assert (decided.status_code, decided.json()["verdict"]) == (201, "approved")
        assert decided.json()["audit"]["seq"] >= 0
        assert post(author, "approvals", body).status_code == 403
        assert post(approver, "approvals", {"kind": "policy", "subject": "tox"}).status_code == 400
        gone = post(approver, "approvals", {"kind": "policy", "subject": "nope@sha256:1"})
        assert gone.status_code == 404
        rejected = post(approver, "approvals", {"kind": "silence", "subject": "s", "verdict": "rejected"})
        assert rejected.status_code == 400

    def test_nothing_is_decided_while_the_log_is_down(self, local_server: Any) -> None:
        class Down:
            def flush(self) -> None:
                from policies.audit.errors import LogStateError

                raise LogStateError("forked")

        app = build_app(local_server.services(audit=Down()))
        approver = local_server.client("approver", app=app)
        body = {"kind": "policy", "subject": "tox@sha256:1"}
        assert post(approver, "approvals", body).status_code == 503
