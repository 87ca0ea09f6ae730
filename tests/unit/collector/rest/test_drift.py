"""``/drift``: what is read, and how a change is accepted as expected by two people."""

from __future__ import annotations

import zlib
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select

from collector.datasets.store import insert_dataset
from custodes.db.segments import Segment, resolve_segments
from custodes.db.tables import (
    drift_episode,
    drift_monitor,
    drift_place,
    drift_point,
    drift_reference,
    drift_report,
    exchange,
    incident,
    span,
)
from custodes.kernel.clock import HOUR_NS, MINUTE_NS, ns_to_minute
from policies.audit.reading import list_entries
from policies.audit.store import LeafFilter

REASON = "Version 8 answers in French as well."
STORY = {"kind": "embedding", "onset": 3, "exchanges_since": 40, "separation": 0.97, "novel_share": 0.5, "through": 50,
         "clusters": [{"cell": 3, "before": 0.1, "since": 0.4, "examples": ["ab" * 24]}], "examples": ["ab" * 24],
         "map": {"reference": [[0.0, 1.0]], "current": [[2.0, 1.0]], "current_exchanges": ["ab" * 24]}}  # fmt: skip


def add_place(server: Any, *, deployment: str = "bot-v8", project: str = "default") -> int:
    labels = {"service": "bot", "environment": "prod", "deployment": deployment}
    with server.database.write() as tx:
        place = {"project_id": project, **labels, "seen": 500, "updated_ns": 1}
        number = int(tx.execute(drift_place.insert().values(**place).returning(drift_place.c.id)).scalar_one())
        tx.execute(drift_reference.insert().values(
            id=f"r-{number}", project_id=project, place_id=number, version=1, state="active",
            source=orjson.dumps({"kind": "first", "exchanges": 2000, "makers": []}), reason="first",
            requested_by="drift-monitor", created_ns=1,
        ))  # fmt: skip
    return number


def add_monitor(
    server: Any, place_id: int, name: str = "response", *, maker: str = "e1", statistic: float = 10.0,
    state: str = "watching", project: str = "default", updated_ns: int = 5,
) -> int:  # fmt: skip
    with server.database.write() as tx:
        values = {
            "project_id": project, "place_id": place_id, "name": name, "maker": maker, "reference_id": f"r-{place_id}",
            "state": state, "first_number": 0, "learned": 2000, "seen": 400, "statistic": statistic,
            "threshold": 400.0, "body": b"state", "mark": b"m" * 16, "began_ns": 1, "updated_ns": updated_ns,
        }  # fmt: skip
        number = int(tx.execute(drift_monitor.insert().values(**values).returning(drift_monitor.c.id)).scalar_one())
        for age in (3, 1):
            minute = ns_to_minute(server.now_ns) - age
            tx.execute(drift_point.insert().values(
                monitor_id=number, minute=minute, project_id=project, seen=7, statistic=statistic + age,
                threshold=400.0, alarms=0,
            ))  # fmt: skip
    return number


def add_episode(server: Any, place_id: int, monitor_id: int, *, name: str = "e-1", told: bool = True) -> str:
    with server.database.write() as tx:
        tx.execute(drift_episode.insert().values(
            id=name, project_id="default", place_id=place_id, monitor_id=monitor_id, reference_id=f"r-{place_id}",
            at_number=10, onset_number=3, last_number=50, at_ns=server.now_ns, last_ns=server.now_ns, repeats=4,
            statistic=444.0, threshold=400.0, view="fresh", body=orjson.dumps(STORY) if told else None,
            onset_ns=server.now_ns - MINUTE_NS, told_ns=server.now_ns if told else None, incident_id=f"i-{name}",
        ))  # fmt: skip
        tx.execute(incident.insert().values(
            id=f"i-{name}", project_id="default", policy_id="drift-monitor", version="builtin",
            group_key=f'{{"deployment":"{name}"}}', severity="medium", state="new", title="t", summary="s",
            opened_ns=server.now_ns, updated_ns=server.now_ns,
        ))  # fmt: skip
    return name


def add_exchanges(server: Any, count: int, *, deployment: str = "bot-v8") -> list[str]:
    """Store scored exchanges, one a second up to now; return their ids."""
    ids = []
    with server.database.write() as tx:
        wanted = Segment("bot", "prod", deployment, "m")
        segment_id = resolve_segments(tx, "default", [wanted])[wanted]
        for number in range(count):
            trace_id, span_id = f"{number:032x}", f"{number + 1:016x}"
            at_ns = server.now_ns - number * 10**9
            tx.execute(exchange.insert().values(
                span_id=number + 1, project_id="default", trace_id=bytes.fromhex(trace_id), batch_id=1,
                segment_id=segment_id, at_ns=at_ns, received_ns=0, service="bot", scored_ns=1,
            ))  # fmt: skip
            tx.execute(span.insert().values(
                id=number + 1, project_id="default", trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(span_id),
                name="", kind=0, operation="chat", start_ns=at_ns, end_ns=at_ns, status=0, service="bot",
                environment="prod", deployment=deployment, provider="", model="m", dialect="", complete=True,
                dropped_attributes=0, completeness=1,
            ))  # fmt: skip
            ids.append(trace_id + span_id)
    return ids


def propose(server: Any, place_id: int, source: dict[str, Any] | None = None) -> Any:
    body = {"place_id": place_id, "reason": REASON} | ({} if source is None else {"source": source})
    return server.client("analyst").post("/api/v1/drift/references", json=body)


class TestReading:
    def test_what_drifts_comes_first_then_what_is_nearest_to_its_alarm_line(self, server: Any) -> None:
        place = add_place(server)
        learning = add_monitor(server, place, "hallucination", state="learning")
        calm = add_monitor(server, place, "prompt", statistic=1.0)
        near = add_monitor(server, place, "latency_ms", statistic=300.0)
        drifting = add_monitor(server, place, "response", statistic=2.0)
        add_episode(server, place, drifting)
        found = server.client("viewer").get("/api/v1/drift").json()
        assert found["rules"] == {
            "enabled": True,
            "exchanges_per_false_alarm": 100_000,
            "reference_exchanges": 2_000,
        }
        assert [row["monitor_id"] for row in found["rows"]] == [drifting, near, calm, learning]
        assert [row["state"] for row in found["rows"]] == ["drift", "watching", "watching", "learning"]
        first = found["rows"][0]
        assert (first["service"], first["deployment"], first["monitor"]) == ("bot", "bot-v8", "response")
        assert first["reference"] == {"id": f"r-{place}", "version": 1, "source": {"kind": "first", "exchanges": 2000}}
        assert first["episode"]["incident_id"] == "i-e-1"

    def test_a_monitor_of_a_former_encoder_is_not_current(self, local_server: Any) -> None:
        place = add_place(local_server)
        old = add_monitor(local_server, place, maker="e1", updated_ns=5)
        add_monitor(local_server, place, maker="e2", updated_ns=9)
        rows = local_server.client("viewer").get("/api/v1/drift").json()["rows"]
        assert {row["monitor_id"]: row["current"] for row in rows}[old] is False

    @pytest.mark.parametrize(
        ("query", "count"),
        [({"service": "bot"}, 2), ({"monitor": "prompt"}, 1), ({"deployment": "v9"}, 0), ({"state": "learning"}, 0)],
    )
    def test_it_selects(self, local_server: Any, query: dict[str, str], count: int) -> None:
        place = add_place(local_server)
        add_monitor(local_server, place)
        add_monitor(local_server, place, "prompt")
        assert len(local_server.client("viewer").get("/api/v1/drift", params=query).json()["rows"]) == count

    def test_the_course_is_oldest_first(self, server: Any) -> None:
        number = add_monitor(server, add_place(server))
        points = server.client("viewer").get(f"/api/v1/drift/course?monitor_id={number}").json()["points"]
        assert [(one["statistic"], one["threshold"], one["seen"]) for one in points] == [
            (13.0, 400.0, 7),
            (11.0, 400.0, 7),
        ]

    def test_an_episode_has_its_story_and_no_text(self, server: Any) -> None:
        place = add_place(server)
        add_episode(server, place, add_monitor(server, place))
        client = server.client("viewer")
        (row,) = client.get("/api/v1/drift/episodes?state=standing").json()["rows"]
        assert "explanation" not in row
        found = client.get(f"/api/v1/drift/episodes/{row['id']}").json()
        assert found["explanation"] == STORY
        assert (found["view"], found["repeats"], found["ended_at"]) == ("fresh", 4, None)
        assert client.get("/api/v1/drift/episodes?state=ended").json()["rows"] == []
        assert client.get("/api/v1/drift/episodes/nobody").status_code == 404

    def test_it_shows_nothing_of_another_project(self, server: Any) -> None:
        place = add_place(server, project="other")
        number = add_monitor(server, place, project="other")
        client = server.client("viewer")
        assert client.get("/api/v1/drift").json()["rows"] == []
        assert client.get(f"/api/v1/drift/course?monitor_id={number}").json()["points"] == []
        assert client.get(f"/api/v1/drift/references?place_id={place}").json()["rows"] == []
        assert propose(server, place).status_code == 404

    def test_it_needs_a_reader(self, local_server: Any) -> None:
        assert local_server.client("ingester").get("/api/v1/drift").status_code == 403


class TestExpectedChange:
    def test_it_is_asked_for_by_one_person_and_accepted_by_another(self, server: Any) -> None:
        place = add_place(server)
        number = add_monitor(server, place)
        add_episode(server, place, number)
        add_episode(server, place, number, name="e-2", told=False)
        asked = propose(server, place)
        assert asked.status_code == 201
        made = asked.json()
        assert (made["version"], made["state"], made["source"]) == (2, "proposed", {"kind": "first", "exchanges": 2000})
        # Nothing has changed yet.
        assert server.client("viewer").get("/api/v1/drift").json()["rows"][0]["state"] == "drift"
        (waiting,) = server.client("approver").get("/api/v1/approvals").json()["rows"]
        assert (waiting["kind"], waiting["subject"], waiting["reason"]) == ("drift", made["id"], REASON)
        path = f"/api/v1/drift/references/{made['id']}/approve"
        judged = server.client("approver").post(path, json={"comment": "As announced."})
        assert judged.status_code == 200, judged.text
        assert judged.json()["state"] == "active"
        (row,) = server.client("viewer").get("/api/v1/drift").json()["rows"]
        assert (row["state"], row["learned"], row["seen"], row["reference"]["version"]) == ("learning", 0, 0, 2)
        with server.database.read() as tx:
            assert list(tx.execute(select(incident.c.state)).scalars()) == ["resolved", "resolved"]
            assert set(tx.execute(select(drift_episode.c.ended_as)).scalars()) == {"expected"}
            (first, body) = tx.execute(select(drift_monitor.c.first_number, drift_monitor.c.body)).one()
            actions = [one.action for one in list_entries(tx, LeafFilter(), limit=20)]
        assert (first, body) == (500, None)
        assert {"drift.reference.proposed", "drift.reference.approved"} <= set(actions)
        versions = server.client("viewer").get(f"/api/v1/drift/references?place_id={place}").json()["rows"]
        assert [(one["version"], one["state"]) for one in versions] == [(2, "active"), (1, "superseded")]

    def test_nobody_accepts_what_they_asked_for_themselves(self, server: Any) -> None:
        approver = server.client("approver")
        made = approver.post("/api/v1/drift/references", json={"place_id": add_place(server), "reason": REASON}).json()
        path = f"/api/v1/drift/references/{made['id']}/approve"
        assert approver.get("/api/v1/approvals").json()["rows"][0]["mine"] is True
        refused = approver.post(path, json={})
        assert refused.status_code == 409
        assert "somebody else" in refused.json()["detail"]
        assert server.client("viewer").post(path, json={}).status_code == 403

    def test_it_can_be_turned_down_and_asked_for_again(self, server: Any) -> None:
        place = add_place(server)
        made = propose(server, place).json()
        assert propose(server, place).status_code == 409
        body = {"kind": "drift", "subject": made["id"], "verdict": "rejected", "comment": "Not announced."}
        assert server.client("approver").post("/api/v1/approvals", json=body).status_code == 201
        again = server.client("approver").post(f"/api/v1/drift/references/{made['id']}/approve", json={})
        assert again.status_code == 409
        assert propose(server, place).json()["version"] == 3

    def test_a_stale_revision_changes_nothing(self, local_server: Any) -> None:
        made = propose(local_server, add_place(local_server)).json()
        path = f"/api/v1/drift/references/{made['id']}/approve"
        assert local_server.client("approver").post(path, json={}, headers={"if-match": '"7"'}).status_code == 412

    def test_a_period_needs_exchanges_in_it(self, server: Any) -> None:
        place = add_place(server)
        add_exchanges(server, 70)
        short = propose(server, place, {"kind": "period", "from": "now-30s"})
        assert (short.status_code, "has 30 exchanges" in short.json()["detail"]) == (400, True)
        made = propose(server, place, {"kind": "period", "from": "now-1h", "to": "now"})
        assert made.status_code == 201
        assert made.json()["source"]["kind"] == "period"
        with server.database.read() as tx:
            source = orjson.loads(tx.execute(select(drift_reference.c.source).where(
                drift_reference.c.version == 2)).scalar_one())  # fmt: skip
        assert source["to_ns"] - source["from_ns"] == HOUR_NS

    def test_a_pinned_data_set_names_exchanges_that_are_there(self, server: Any) -> None:
        place = add_place(server)
        ids = add_exchanges(server, 64)
        assert propose(server, place, {"kind": "pinned", "exchanges": ids[:63]}).status_code == 400
        missing = propose(server, place, {"kind": "pinned", "exchanges": [*ids, "f" * 48]})
        assert "f" * 48 in missing.json()["detail"]
        made = propose(server, place, {"kind": "pinned", "exchanges": ids})
        assert made.json()["source"] == {"kind": "pinned", "exchanges": 64}

    def test_a_data_set_is_pinned_by_its_id(self, server: Any) -> None:
        place = add_place(server)
        ids = add_exchanges(server, 64)
        made_of = [(bytes.fromhex(one[:32]), bytes.fromhex(one[32:])) for one in ids]
        for project, name in (("default", "d-1"), ("other", "d-2")):
            manifest = {"id": name, "author": "ann", "format": "sft", "rows": 65, "sha256": "0" * 64}
            with server.database.write() as tx:
                # A row twice: an exchange counts once.
                insert_dataset(tx, project, manifest, [*made_of, made_of[0]], 1)
        made = propose(server, place, {"kind": "pinned", "dataset": "d-1"})
        assert made.json()["source"] == {"kind": "pinned", "exchanges": 64, "dataset": "d-1"}
        with server.database.read() as tx:
            stored = tx.execute(select(drift_reference.c.source).where(drift_reference.c.version == 2)).scalar_one()
            rows = list(tx.execute(select(span.c.id).order_by(span.c.id)).scalars())
        assert sorted(orjson.loads(stored)["spans"]) == rows
        # Data sets of other projects are not there.
        unknown = propose(server, place, {"kind": "pinned", "dataset": "d-2"})
        assert (unknown.status_code, "no data set d-2" in unknown.json()["detail"]) == (400, True)

    @pytest.mark.parametrize(
        "source",
        [
            {"kind": "period"},
            {"kind": "period", "from": "yesterday"},
            {"kind": "period", "from": "now", "to": "now-1h"},
            {"kind": "first", "from": "now-1h"},
            {"kind": "pinned"},
            {"kind": "first", "exchanges": []},
            {"kind": "first", "dataset": "d-1"},
            {"kind": "pinned", "dataset": "d-1", "exchanges": ["ab" * 24]},
        ],
    )
    def test_a_mistake_is_a_400(self, local_server: Any, source: dict[str, Any]) -> None:
        assert propose(local_server, add_place(local_server), source).status_code == 400

    def test_the_reason_is_not_optional(self, local_server: Any) -> None:
        body = {"place_id": add_place(local_server), "reason": "so"}
        assert local_server.client("analyst").post("/api/v1/drift/references", json=body).status_code in (400, 422)


class TestReports:
    def test_one_is_asked_for_and_read_when_it_is_ready(self, server: Any) -> None:
        place = add_place(server)
        number = add_monitor(server, place)
        add_episode(server, place, number)
        asked = server.client("analyst").post("/api/v1/drift/reports", json={"monitor_id": number, "episode_id": "e-1"})
        assert (asked.status_code, asked.json()["state"]) == (202, "requested")
        report_id = asked.json()["id"]
        client = server.client("viewer")
        assert client.get(f"/api/v1/drift/reports/{report_id}/html").status_code == 404
        with server.database.write() as tx:
            tx.execute(drift_report.update().values(
                state="ready", html=zlib.compress(b"<p>hello"), body=zlib.compress(b"{}"), ready_ns=9, rows_before=70,
                rows_since=80,
            ))  # fmt: skip
        page = client.get(f"/api/v1/drift/reports/{report_id}/html")
        assert page.text == "<p>hello"
        assert page.headers["content-security-policy"].startswith("sandbox")
        assert page.headers["content-disposition"].startswith("attachment")
        assert client.get(f"/api/v1/drift/reports/{report_id}/json").json() == {}
        (listed,) = client.get("/api/v1/drift/reports?episode_id=e-1").json()["rows"]
        assert (listed["state"], listed["rows_since"]) == ("ready", 80)
        assert client.get("/api/v1/drift/episodes/e-1").json()["reports"] == [listed]

    def test_numbers_have_none(self, local_server: Any) -> None:
        number = add_monitor(local_server, add_place(local_server), "latency_ms")
        asked = local_server.client("analyst").post("/api/v1/drift/reports", json={"monitor_id": number})
        assert asked.status_code == 404
        with local_server.database.read() as tx:
            assert tx.execute(select(func.count()).select_from(drift_report)).scalar_one() == 0
