from __future__ import annotations

import pytest

from custodes.kernel.clock import MINUTE_NS
from policies.actions.handling import approve_action
from policies.actions.store import find_evidence
from policies.hooks.store import list_messages
from policies.incident_store import list_incident_events, list_incidents
from tests.unit.policies.actions.conftest import APPROVER, Stage
from tests.unit.policies.actions.servers import MlflowServer

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def approve(stage: Stage, comment: str = "agreed") -> None:
    one = stage.actions()[-1]
    approve_action(stage.db, "default", one.id, comment, APPROVER, stage.clock(), stage.rules)


class TestRollback:
    def test_goes_from_a_toxic_hour_over_one_approval_to_helped(self, rollback: Stage, registry: MlflowServer) -> None:
        rollback.work()
        planned = rollback.one()
        assert (planned.state, planned.from_version, planned.to_version) == ("proposed", "3", "2")
        assert planned.deployment == "support-bot-v2"
        assert planned.traffic_share == 1.0
        assert registry.writes() == []

        approve(rollback)
        rollback.work()
        assert registry.alias("support-bot", "champion") == "2"
        assert rollback.one().state == "verifying"
        assert len(rollback.confirmed) == 1

        rollback.clock.forward(10 * 60)
        rollback.serve([0.05] * 60, minutes=5)
        rollback.work()
        done = rollback.one()
        assert (done.state, done.reason) == ("helped", "tox_p95 < 0.60 holds on 300 values from support-bot-v2")
        assert done.finding is not None
        assert done.finding["n"] == 300
        assert rollback.story(done.id) == [
            "proposed", "planned", "approved", "snapshot", "sent", "attempted", "acknowledged", "verifying", "helped",
        ]  # fmt: skip

    def test_leaves_every_step_in_the_audit_log_and_on_the_incident(self, rollback: Stage) -> None:
        rollback.work()
        approve(rollback)
        rollback.work()
        one = rollback.one()
        kinds = [leaf["action"] for leaf in rollback.leaves()]
        assert kinds == [f"action.{kind}" for kind in rollback.story(one.id)]
        approved = next(leaf for leaf in rollback.leaves() if leaf["action"] == "action.approved")
        assert (approved["actor"], approved["role"], approved["comment"]) == ("bob", "approver", "agreed")
        assert approved["object"] == f"action/{one.id}"
        assert approved["decision"] == one.decision_id
        with rollback.db.read() as tx:
            (incident,) = list_incidents(tx, "default")
            timeline = [event.kind for event in list_incident_events(tx, incident.id)]
            messages = [message.event_type for message in list_messages(tx, "default", incident_id=incident.id)]
        assert [kind for kind in timeline if kind.startswith("action.")] == kinds
        assert messages[::-1] == ["incident.opened", "action.proposed", "action.dispatched"]


@on_sqlite
class TestSteps:
    def test_takes_evidence_before_it_acts(self, rollback: Stage) -> None:
        rollback.work()
        approve(rollback)
        rollback.work()
        one = rollback.one()
        with rollback.db.read() as tx:
            body = find_evidence(tx, one.id)
        assert body is not None
        assert b'"serving":{"planned_at"' in body
        assert one.snapshot_ns is not None
        assert one.sent_ns is not None
        assert one.snapshot_ns <= one.sent_ns
        snapshot = next(leaf for leaf in rollback.leaves() if leaf["action"] == "action.snapshot")
        assert snapshot["sha256"] == one.evidence_digest

    def test_judges_by_the_restored_versions_traffic_alone(self, rollback: Stage) -> None:
        rollback.work()
        approve(rollback)
        rollback.work()
        rollback.clock.forward(10 * 60)
        rollback.serve([0.05] * 600, minutes=5, deployment="bot-v7")
        rollback.work()
        assert rollback.one().state == "verifying"
        rollback.serve([0.95] * 60, minutes=5)
        rollback.work()
        assert rollback.one().state == "not_helped"

    def test_escalates_when_nobody_can_tell(self, rollback: Stage) -> None:
        rollback.work()
        approve(rollback)
        rollback.work()
        rollback.clock.forward(71 * 60)
        rollback.work()
        one = rollback.one()
        assert (one.state, one.reason) == (
            "inconclusive",
            "0 of 50 values from support-bot-v2 so far; the time is over",
        )
        with rollback.db.read() as tx:
            (incident,) = list_incidents(tx, "default")
        assert incident.state == "escalating"

    def test_does_nothing_when_somebody_else_has_moved_the_alias(self, rollback: Stage, registry: MlflowServer) -> None:
        rollback.work()
        approve(rollback)
        registry.set_alias("support-bot", "champion", "1")
        rollback.work()
        one = rollback.one()
        assert one.state == "failed"
        assert "is version 1, not 3" in one.reason
        assert registry.moves == []

    def test_cancels_a_proposal_that_nobody_decided(self, rollback: Stage, registry: MlflowServer) -> None:
        rollback.work()
        rollback.clock.forward(86_400)
        rollback.work()
        one = rollback.one()
        assert (one.state, one.reason) == ("cancelled", "nobody decided in time")
        assert registry.writes() == []

    def test_withdraws_a_proposal_when_the_incident_is_over(self, rollback: Stage) -> None:
        for minute in range(7, 60):
            rollback.traffic(rollback.clock.now_ns // MINUTE_NS + minute - 7, "toxicity", [0.05] * 60)
            rollback.tick(minute + 1)
        assert rollback.one().state == "cancelled"
        assert "the incident ended before anybody agreed" in rollback.one().reason
