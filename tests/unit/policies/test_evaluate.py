from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import orjson
import pytest
from sqlalchemy import func, select, update

from custodes.db import Database, open_database
from custodes.db.tables import audit_intake, incident, policy_state, policy_version
from custodes.kernel.clock import MINUTE_NS
from policies import notices
from policies.actors import Actor
from policies.conduct import Conduct
from policies.decision_store import Decision, insert_decision, list_decisions
from policies.evaluate import TickReport, evaluate_tick
from policies.hooks.endpoint_store import Endpoint, find_endpoint, insert_endpoint
from policies.hooks.store import list_messages
from policies.incident_store import list_incident_events, list_incidents
from policies.incidents import Incident
from policies.lifecycle import activate_policy, retire_policy, submit_policy
from policies.store import list_states

Traffic = Callable[..., None]
ALICE = Actor("alice", "author", waived=True)
CONSOLE = "http://console.example"
CONDUCT = Conduct(CONSOLE)
START = 29_000_000


@pytest.fixture
def active(database: Database, policy_text: str) -> str:
    """Activate the example policy with its endpoint; return its version."""
    return activate(database, policy_text)


def activate(database: Database, text: str, *, now_ns: int = 0) -> str:
    with database.write() as tx:
        if find_endpoint(tx, "default", "oncall") is None:
            insert_endpoint(tx, Endpoint("default", "oncall", "https://hooks.example/x", None, "active", now_ns))
    change = submit_policy(database, project_id="default", text=text, filename="p.yaml", actor=ALICE, now_ns=now_ns)
    activate_policy(
        database,
        project_id="default",
        policy_id=change.version.policy_id,
        version=change.version.version,
        actor=ALICE,
        now_ns=now_ns,
        conduct=CONDUCT,
    )
    return change.version.version


def tick(database: Database, minute: float) -> TickReport:
    return evaluate_tick(database, int((START + minute) * MINUTE_NS), "default", CONDUCT)


def decisions(database: Database) -> list[Decision]:
    with database.read() as tx:
        return list(reversed(list_decisions(tx, "default")))


def incidents(database: Database) -> list[Incident]:
    with database.read() as tx:
        return list_incidents(tx, "default")


def intake(database: Database) -> list[dict[str, object]]:
    with database.read() as tx:
        return [orjson.loads(row.body) for row in tx.execute(select(audit_intake).order_by(audit_intake.c.id))]


def toxic_hour(database: Database, traffic: Traffic) -> None:
    """Twenty toxic minutes and then forty clean ones, evaluated minute by minute."""
    for minute in range(60):
        traffic(START + minute, "toxicity", [0.95 if minute < 20 else 0.05] * 60)
        tick(database, minute + 1)


class TestEvaluateTick:
    def test_takes_a_policy_from_ok_over_firing_back_to_ok(
        self, database: Database, traffic: Traffic, active: str
    ) -> None:
        toxic_hour(database, traffic)
        made = decisions(database)
        states = [(one.from_state, one.to_state, one.at_ns // MINUTE_NS - START) for one in made]
        # The first whole minute is seen at 1. Toxic minutes leave the 15-minute p95 at 34, ten minutes pass.
        assert states == [("ok", "pending", 1), ("pending", "firing", 6), ("firing", "ok", 44)]
        assert made[1].values == {"n": 360.0, "tox_p95": pytest.approx(0.95, abs=1 / 128)}
        (one,) = incidents(database)
        assert (one.state, one.severity, one.policy_id) == ("resolved", "high", "toxicity-spike")
        assert one.group.render() == "deployment=bot-v7"
        assert made[1].incident_id == made[2].incident_id == one.id

    def test_writes_timeline_outbox_and_audit_events(self, database: Database, traffic: Traffic, active: str) -> None:
        toxic_hour(database, traffic)
        (one,) = incidents(database)
        with database.read() as tx:
            timeline = [(event.kind, event.actor) for event in list_incident_events(tx, one.id)]
            messages = list(reversed(list_messages(tx, "default", incident_id=one.id)))
        assert [kind for kind, _ in timeline] == [
            "opened",
            "decision",
            "action.proposed",
            "notification.queued",
            "escalated",
            "notification.queued",
            "resolved",
            "action.cancelled",
            "decision",
            "notification.queued",
        ]
        events = ["incident.opened", "incident.escalated", "incident.resolved"]
        assert [message.event_type for message in messages] == events
        body = orjson.loads(messages[0].body)
        assert body["type"] == "incident.opened"
        assert body["timestamp"].endswith("Z")
        assert body["data"]["url"] == f"{CONSOLE}/go?to=%2Fincident%3Fid%3D{one.id}"
        assert body["data"]["values"]["n"] == 360.0
        logged = [event for event in intake(database) if event["action"] == "policy.decided"]
        assert [event["to"] for event in logged] == ["pending", "firing", "ok"]
        assert logged[1]["incident"] == one.id
        assert logged[1]["policy_version"] == active

    def test_does_nothing_the_second_time_in_a_minute(self, database: Database, traffic: Traffic, active: str) -> None:
        traffic(START, "toxicity", [0.95] * 60)
        assert tick(database, 1).decisions == 1
        assert tick(database, 1.5).groups == 0
        assert tick(database, 0.5).groups == 0

    def test_reopens_an_incident_whose_group_fires_again_soon(
        self, database: Database, traffic: Traffic, active: str
    ) -> None:
        toxic_hour(database, traffic)
        for minute in range(60, 70):
            traffic(START + minute, "toxicity", [0.95] * 600)
            tick(database, minute + 1)
        assert [one.state for one in incidents(database)] == ["regressed"]

    def test_keeps_an_incident_open_when_traffic_stops(self, database: Database, traffic: Traffic, active: str) -> None:
        for minute in range(60):
            if minute < 10:
                traffic(START + minute, "toxicity", [0.95] * 60)
            tick(database, minute + 1)
        assert [one.is_open for one in incidents(database)] == [True]

    def test_survives_a_restart_at_any_minute(
        self, database: Database, database_url: str, traffic: Traffic, active: str
    ) -> None:
        for minute in range(60):
            traffic(START + minute, "toxicity", [0.95 if minute < 20 else 0.05] * 60)
            another = open_database(database_url)
            evaluate_tick(another, (START + minute + 1) * MINUTE_NS, None, CONDUCT)
            another.dispose()
        assert [one.to_state for one in decisions(database)] == ["pending", "firing", "ok"]

    def test_watches_every_group_for_itself(self, database: Database, traffic: Traffic, active: str) -> None:
        for minute in range(10):
            traffic(START + minute, "toxicity", [0.95] * 60)
            traffic(START + minute, "toxicity", [0.05] * 60, deployment="bot-v8")
            tick(database, minute + 1)
        with database.read() as tx:
            states = {
                one.group.render(): one.state.state for one in list_states(tx, "default", "toxicity-spike", active)
            }
        assert states == {"deployment=bot-v7": "firing", "deployment=bot-v8": "ok"}
        assert len(incidents(database)) == 1

    def test_notes_a_missing_or_disabled_endpoint_on_the_incident(
        self, database: Database, traffic: Traffic, policy_text: str
    ) -> None:
        activate(database, policy_text.replace("oncall", "nobody"))
        for minute in range(10):
            traffic(START + minute, "toxicity", [0.95] * 60)
            tick(database, minute + 1)
        (one,) = incidents(database)
        with database.read() as tx:
            bodies = [event.body for event in list_incident_events(tx, one.id) if event.kind == "notification.skipped"]
            assert list_messages(tx, "default") == []
        assert bodies == [{"endpoint": "nobody", "reason": "no such endpoint"}]

    def test_writes_all_or_nothing(
        self, database: Database, traffic: Traffic, active: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for minute in range(5):
            traffic(START + minute, "toxicity", [0.95] * 60)
            tick(database, minute + 1)
        before = (decisions(database), len(intake(database)))

        class PowerCut(BaseException):
            pass

        def fail(*_: object) -> None:
            raise PowerCut

        traffic(START + 5, "toxicity", [0.95] * 60)
        with monkeypatch.context() as patched:
            # The outbox row is the last thing written for an incident.
            patched.setattr(notices, "insert_message", fail)
            with pytest.raises(PowerCut):
                tick(database, 6)
        assert (decisions(database), len(intake(database))) == before
        assert incidents(database) == []
        assert tick(database, 6).opened == 1

    def test_reports_a_damaged_policy_and_evaluates_the_others(
        self, database: Database, traffic: Traffic, policy_text: str
    ) -> None:
        version = activate(database, policy_text)
        activate(database, policy_text.replace("id: toxicity-spike", "id: another"))
        traffic(START, "toxicity", [0.95] * 60)
        tick(database, 1)
        with database.write() as tx:
            tx.execute(update(policy_state).where(policy_state.c.version == version).values(body=b"{}"))
        report = tick(database, 2)
        assert [(one.policy_id, "policy state" in one.message) for one in report.failures] == [("toxicity-spike", True)]
        assert report.policies == 1

    def test_lets_two_evaluators_do_the_work_once(self, database: Database, traffic: Traffic, active: str) -> None:
        for minute in range(8):
            traffic(START + minute, "toxicity", [0.95] * 60)
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda _, at=minute + 1: tick(database, at), range(4)))
        assert [one.to_state for one in decisions(database)] == ["pending", "firing"]
        with database.read() as tx:
            assert tx.execute(select(func.count()).select_from(incident)).scalar_one() == 1

    def test_ignores_drafts_and_other_projects(self, database: Database, traffic: Traffic, policy_text: str) -> None:
        submit_policy(database, project_id="default", text=policy_text, filename="p", actor=ALICE, now_ns=0)
        traffic(START, "toxicity", [0.95] * 60)
        assert tick(database, 1).policies == 0
        assert evaluate_tick(database, (START + 1) * MINUTE_NS, "other", CONDUCT).policies == 0


class TestRetirement:
    def test_of_a_version_resolves_its_incident_and_tells_the_receivers(
        self, database: Database, traffic: Traffic, active: str
    ) -> None:
        for minute in range(8):
            traffic(START + minute, "toxicity", [0.95] * 60)
            tick(database, minute + 1)
        now_ns = (START + 9) * MINUTE_NS
        retire_policy(
            database,
            project_id="default",
            policy_id="toxicity-spike",
            actor=ALICE,
            now_ns=now_ns,
            conduct=CONDUCT,
        )
        (one,) = incidents(database)
        assert one.state == "resolved"
        assert one.summary.endswith("the policy was retired.")
        with database.read() as tx:
            assert list_messages(tx, "default")[0].event_type == "incident.resolved"
        assert tick(database, 10).policies == 0

    @pytest.mark.parametrize("way_out", ["retire", "activate another"])
    def test_of_a_version_that_no_longer_compiles_does_the_same(
        self, database: Database, traffic: Traffic, active: str, policy_text: str, way_out: str
    ) -> None:
        for minute in range(8):
            traffic(START + minute, "toxicity", [0.95] * 60)
            tick(database, minute + 1)
        with database.write() as tx:
            tx.execute(update(policy_version).where(policy_version.c.version == active).values(source="kind: Older"))
        assert [one.policy_id for one in tick(database, 9).failures] == ["toxicity-spike"]
        # Later decisions on the incident, e.g. after an error, tell nobody.
        later = replace(decisions(database)[-1], id="later", at_ns=(START + 9) * MINUTE_NS, intents=())
        with database.write() as tx:
            insert_decision(tx, later)
        now_ns = (START + 10) * MINUTE_NS
        if way_out == "retire":
            retire_policy(
                database,
                project_id="default",
                policy_id="toxicity-spike",
                actor=ALICE,
                now_ns=now_ns,
                conduct=CONDUCT,
            )
        else:
            activate(database, policy_text.replace("keep_firing_for: 10m", "keep_firing_for: 9m"), now_ns=now_ns)
        (one,) = incidents(database)
        assert one.state == "resolved"
        with database.read() as tx:
            messages = [(message.endpoint_id, message.event_type) for message in list_messages(tx, "default")]
        assert messages == [("oncall", "incident.resolved"), ("oncall", "incident.opened")]
        assert decisions(database)[-1].version == active
        assert tick(database, 11).failures == []
