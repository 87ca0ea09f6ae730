"""``/fairness``: what is read, and how a comparison begins anew."""

from __future__ import annotations

import zlib
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select

from custodes.db.segments import Segment, resolve_segments
from custodes.db.tables import fairness_alarm, fairness_gap, fairness_panel, fairness_reading, incident
from custodes.kernel.clock import MINUTE_NS, ns_to_minute
from policies.audit.reading import list_entries
from policies.audit.store import LeafFilter

INTERVAL = {"pairs": 900, "gap": 0.12, "low": 0.06, "high": 0.18, "family_low": 0.03, "family_high": 0.2}
FAMILY = "caller:group"


def add_gap(
    server: Any,
    *,
    group: str = "group:de",
    outcome: str = "refused",
    state: str = "gap",
    deployment: str = "bot-v8",
    project: str = "default",
    alarm: bool = False,
    low: float = 0.06,
) -> int:
    """Store what the monitor writes about one gap; return its segment's number."""
    wanted = Segment("support-bot", "prod", deployment, "m")
    interval = {**INTERVAL, "low": low, "since_ns": server.now_ns}
    body = {
        "n_group": 1_000, "n_others": 4_000, "unplaced": 0, "whole": interval, "recent": interval,
        "statistic": 1_234.5, "higher": True, "made_by": "refusal", "audited": False, "own_gap": None,
        "strata": [{"name": "en/1.0", "members": 1_000, "others": 4_000, "pairs": 900, "member_mean": 0.2,
                    "other_mean": 0.08, "gap": 0.12}],
    }  # fmt: skip
    with server.database.write() as tx:
        number = resolve_segments(tx, project, [wanted])[wanted]
        key = {"project_id": project, "segment_id": number, "family": FAMILY}
        name = {**key, "group_name": group, "outcome": outcome}
        times = {"began_ns": 1, "updated_ns": 2}
        tx.execute(tx.insert(fairness_panel).values(**key, body=zlib.compress(b"{}"), **times).on_conflict_do_nothing())
        tx.execute(fairness_reading.insert().values(**name, state=state, body=orjson.dumps(body), at_ns=server.now_ns))
        for age in (3, 1):
            ends = {"gap": 0.12, "low": low, "high": 0.18, "family_low": 0.03, "family_high": 0.2}
            minute = ns_to_minute(server.now_ns) - age
            tx.execute(fairness_gap.insert().values(**name, minute=minute, pairs=900 - age, withheld=False, **ends))
        if alarm:
            tx.execute(fairness_alarm.insert().values(
                id=f"alarm-{group}", **name, at_ns=server.now_ns, onset_ns=server.now_ns - MINUTE_NS,
                incident_id="i-1", body=orjson.dumps(body)))  # fmt: skip
    return number


class TestReading:
    def test_alarms_come_first_with_interval_strata_and_incident(self, server: Any) -> None:
        add_gap(server, outcome="slow", state="watching")
        number = add_gap(server, alarm=True)
        found = server.client("viewer").get("/api/v1/fairness").json()
        assert found["rules"] == {"enabled": True, "epsilon": 0.02, "alpha": 0.01, "min_pairs": 50}
        first, second = found["rows"]
        assert (first["state"], second["state"]) == ("gap", "watching")
        assert (first["segment_id"], first["service"], first["deployment"]) == (number, "support-bot", "bot-v8")
        assert (first["gap"], first["gap_low"], first["gap_high"], first["pairs"]) == (0.12, 0.06, 0.18, 900)
        assert (first["n_group"], first["n_others"], first["direction"]) == (1_000, 4_000, "higher")
        assert first["strata"] == [
            {"stratum": "en/1.0", "n_group": 1_000, "n_others": 4_000, "pairs": 900, "mean_group": 0.2,
             "mean_others": 0.08, "gap": 0.12}
        ]  # fmt: skip
        assert first["alarm"]["incident_id"] == "i-1"
        assert second["alarm"] is None

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"outcome": "slow"}, {"slow"}),
            ({"state": "gap"}, {"refused"}),
            ({"group": "group:fr"}, {"toxic"}),
            ({"deployment": "bot-v9"}, {"negative"}),
            ({"service": "nobody"}, set()),
        ],
    )
    def test_it_selects(self, server: Any, query: dict[str, str], expected: set[str]) -> None:
        add_gap(server)
        add_gap(server, outcome="slow", state="watching")
        add_gap(server, outcome="toxic", state="watching", group="group:fr")
        add_gap(server, outcome="negative", state="watching", deployment="bot-v9")
        rows = server.client("viewer").get("/api/v1/fairness", params=query).json()["rows"]
        assert {row["outcome"] for row in rows} == expected

    def test_other_projects_are_not_seen(self, local_server: Any) -> None:
        add_gap(local_server, project="other")
        assert local_server.client("viewer").get("/api/v1/fairness").json()["rows"] == []

    def test_the_course_of_a_gap_is_read_oldest_first(self, server: Any) -> None:
        number = add_gap(server)
        query = {"segment_id": number, "family": FAMILY, "group": "group:de", "outcome": "refused"}
        points = server.client("viewer").get("/api/v1/fairness/course", params=query).json()["points"]
        assert [one["pairs"] for one in points] == [897, 899]
        assert points[0]["gap_low"] == 0.06
        recent = {**query, "from": "now-2m"}
        assert len(server.client("viewer").get("/api/v1/fairness/course", params=recent).json()["points"]) == 1

    @pytest.mark.parametrize("query", [{"state": "nonsense"}, {"nonsense": "1"}, {"service": ""}])
    def test_a_mistake_is_named(self, local_server: Any, query: dict[str, str]) -> None:
        answer = local_server.client("viewer").get("/api/v1/fairness", params=query)
        assert answer.status_code == 400
        assert next(iter(query)) in answer.text

    def test_a_key_that_only_ingests_reads_nothing(self, local_server: Any) -> None:
        assert local_server.client("ingester").get("/api/v1/fairness").status_code == 403


class TestRestart:
    def test_it_ends_alarms_and_incidents_and_forgets_the_sums(self, server: Any) -> None:
        number = add_gap(server, alarm=True)
        server.open_incident("i-1", group={}, policy_id="fairness-monitor", version="builtin")
        body = {"segment_id": number, "family": FAMILY, "reason": "fixed in v9"}
        answer = server.client("approver").post("/api/v1/fairness/restart", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["alarms"], found["incidents"]) == (1, ["i-1"])
        assert found["audit"]["seq"] < found["audit"]["checkpoint_size"]
        with server.database.read() as tx:
            assert tx.execute(select(func.count()).select_from(fairness_panel)).scalar_one() == 0
            assert tx.execute(select(func.count()).select_from(fairness_reading)).scalar_one() == 0
            assert tx.execute(select(fairness_alarm.c.ended_ns)).scalar_one() == server.now_ns
            row = tx.execute(select(incident)).one()
            leaves = [leaf.action for leaf in list_entries(tx, LeafFilter())]
        assert (row.state, "fixed in v9" in row.summary) == ("resolved", True)
        assert "fairness.restarted" in leaves
        assert server.client("viewer").get("/api/v1/fairness").json()["rows"] == []

    def test_the_course_stays(self, server: Any) -> None:
        number = add_gap(server)
        body = {"segment_id": number, "family": FAMILY, "reason": "new prompt"}
        assert server.client("operator").post("/api/v1/fairness/restart", json=body).status_code == 200
        with server.database.read() as tx:
            assert tx.execute(select(func.count()).select_from(fairness_gap)).scalar_one() == 2

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"family": "prompt"}, 404),
            ({"segment_id": 99}, 404),
            ({"reason": ""}, 400),
            ({"segment_id": -1}, 400),
            ({"segment_id": 2**63}, 400),
            ({"family": "a\0b"}, 400),
            ({"more": 1}, 400),
        ],
    )
    def test_a_mistake_changes_nothing(self, server: Any, change: dict[str, Any], status: int) -> None:
        number = add_gap(server)
        body = {"segment_id": number, "family": FAMILY, "reason": "fixed", **change}
        answer = server.client("approver").post("/api/v1/fairness/restart", json=body)
        assert answer.status_code == status, answer.text
        assert len(server.client("viewer").get("/api/v1/fairness").json()["rows"]) == 1

    @pytest.mark.parametrize("role", ["viewer", "analyst", "author", "admin", "auditor", "ingester"])
    def test_only_those_who_may_change_rules_begin_anew(self, local_server: Any, role: Any) -> None:
        number = add_gap(local_server)
        body = {"segment_id": number, "family": FAMILY, "reason": "fixed"}
        assert local_server.client(role).post("/api/v1/fairness/restart", json=body).status_code == 403
