"""What people do with incidents and silences, and who is told of what because of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from custodes.db import Database
from custodes.db.tables import audit_intake, outbox
from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError, StaleError
from policies import handling
from policies.actors import Actor
from policies.conduct import STRICT, Conduct, Review
from policies.decision_store import list_decisions
from policies.evaluate import Evaluator
from policies.hooks.endpoint_store import Endpoint, insert_endpoint
from policies.hooks.store import OutboxMessage, list_messages
from policies.incident_store import list_clocks, list_incident_events, list_incidents, list_silences
from policies.incidents import Incident
from policies.lifecycle import activate_policy, submit_policy

ANN, BEN = Actor("ann", "operator"), Actor("ben", "approver")
DEV = Actor("dev", "author", waived=True)
CONDUCT = Conduct("http://console.test")
START = 29_000_000
Traffic = Callable[..., None]


class Story:
    """A policy whose group fires as long as ``toxic`` minutes come."""

    def __init__(self, database: Database, traffic: Traffic, text: str) -> None:
        self.database, self.traffic = database, traffic
        self.minute = START
        self.evaluator = Evaluator(database, CONDUCT)
        with database.write() as tx:
            insert_endpoint(tx, Endpoint("default", "oncall", "https://hooks.example/x", None, "active", 0))
        quick = text.replace("window: 15m", "window: 1m").replace("for: 5m", "for: 0s", 1)
        quick = quick.replace("keep_firing_for: 10m", "keep_firing_for: 0s")
        quick = quick.replace("{at: 8m, state: pending}, {at: 10m, state: firing}", "{at: 8m, state: firing}")
        stored = submit_policy(database, project_id="default", text=quick, filename="p", actor=DEV, now_ns=0).version
        activate_policy(
            database, project_id="default", policy_id=stored.policy_id, version=stored.version, actor=DEV,
            now_ns=0, conduct=CONDUCT,
        )  # fmt: skip

    @property
    def now_ns(self) -> int:
        return self.minute * MINUTE_NS

    def play(self, *deployments: str, minutes: int = 1) -> None:
        """Evaluate minutes in which these deployments are toxic and the others calm."""
        for _ in range(minutes):
            for name in ("bot-v7", "bot-v8", "bot-v9"):
                self.traffic(self.minute, "toxicity", [0.95 if name in deployments else 0.1] * 60, deployment=name)
            self.minute += 1
            self.evaluator.tick(self.now_ns)

    def incidents(self) -> list[Incident]:
        with self.database.read() as tx:
            return list_incidents(tx, "default")

    def timeline(self, incident_id: str) -> list[str]:
        with self.database.read() as tx:
            return [event.kind for event in list_incident_events(tx, incident_id) if event.kind != "decision"]

    def messages(self) -> list[OutboxMessage]:
        with self.database.read() as tx:
            return list(reversed(list_messages(tx, "default")))

    def events(self) -> list[str]:
        return [message.event_type for message in self.messages()]

    def deliver(self) -> None:
        with self.database.write() as tx:
            tx.execute(update(outbox).values(state="delivered"))


@pytest.fixture
def story(database: Database, traffic: Traffic, policy_text: str) -> Story:
    return Story(database, traffic, policy_text)


def audited(database: Database) -> list[tuple[str, str]]:
    with database.read() as tx:
        bodies = [orjson.loads(row.body) for row in tx.execute(select(audit_intake).order_by(audit_intake.c.id))]
    return [(one["action"], one["actor"]) for one in bodies if one["action"].startswith(("incident.", "silence."))]


class TestGrouping:
    def test_incidents_that_begin_together_are_one_message(self, story: Story) -> None:
        story.play("bot-v7", "bot-v8", "bot-v9")
        incidents = story.incidents()
        assert len(incidents) == 3
        assert len({one.lead_id for one in incidents}) == 1
        (message,) = story.messages()
        data = orjson.loads(message.body)["data"]
        assert (data["incidents"], len(data["others"])) == (3, 2)
        assert data["incident_id"] == message.incident_id == incidents[0].lead_id
        assert {data["incident_id"], *(one["incident_id"] for one in data["others"])} == {one.id for one in incidents}
        for one in incidents:
            assert "notification.queued" in story.timeline(one.id)

    def test_one_that_follows_soon_joins_the_line_and_is_told_by_itself(self, story: Story) -> None:
        story.play("bot-v7")
        story.play("bot-v7", "bot-v8")
        assert len({one.lead_id for one in story.incidents()}) == 1
        assert story.events() == ["incident.opened", "incident.opened"]
        assert len({message.incident_id for message in story.messages()}) == 1
        story.play(minutes=1)
        (resolved,) = [one for one in story.messages() if one.event_type == "incident.resolved"]
        assert len(resolved.members) == 2

    def test_one_that_follows_later_stands_alone(self, story: Story) -> None:
        story.play("bot-v7", minutes=7)
        story.play("bot-v7", "bot-v8")
        assert len({one.lead_id for one in story.incidents()}) == 2


class TestAcknowledging:
    def test_is_on_the_timeline_and_in_the_audit_log(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        taken = handling.acknowledge(story.database, "default", opened.id, ANN, story.now_ns, opened.revision)
        assert (taken.state, taken.assignee) == ("acknowledged", "ann")
        assert story.timeline(opened.id)[-1] == "acknowledged"
        assert audited(story.database) == [("incident.acknowledged", "ann")]

    def test_refuses_a_stale_revision_and_an_unknown_incident(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        with pytest.raises(StaleError, match="revision 1, not 7"):
            handling.acknowledge(story.database, "default", opened.id, ANN, story.now_ns, 7)
        with pytest.raises(NotFoundError):
            handling.acknowledge(story.database, "default", "nothing", ANN, story.now_ns, None)

    def test_an_unattended_severe_incident_escalates_once(self, story: Story) -> None:
        story.play("bot-v7", minutes=33)
        assert story.events() == ["incident.opened", "incident.escalated"]
        assert [one.state for one in story.incidents()] == ["escalating"]
        assert audited(story.database) == [("incident.escalated", "policy-engine")]

    def test_an_attended_one_does_not(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        handling.acknowledge(story.database, "default", opened.id, ANN, story.now_ns, None)
        story.play("bot-v7", minutes=33)
        assert story.events() == ["incident.opened"]

    def test_people_escalate_too(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        handling.escalate_by_hand(
            story.database, "default", opened.id, "need help", ANN, story.now_ns, CONDUCT, opened.revision
        )
        assert story.events() == ["incident.opened", "incident.escalated"]
        with pytest.raises(ConflictError):
            handling.escalate_by_hand(story.database, "default", opened.id, "again", ANN, story.now_ns, CONDUCT, None)


class TestMuting:
    def test_keeps_quiet_and_decides_as_ever(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        handling.mute(story.database, "default", opened.id, story.now_ns + HOUR_NS, "known", ANN, story.now_ns, None)
        story.play("bot-v7", minutes=35)
        assert [one.state for one in story.incidents()] == ["muted"]
        story.play()
        assert [one.state for one in story.incidents()] == ["resolved"]
        assert story.events() == ["incident.opened"]
        assert "notification.withheld" in story.timeline(opened.id)
        with story.database.read() as tx:
            assert [one.to_state for one in list_decisions(tx, "default") if one.incident_id] == ["ok", "firing"]

    def test_ends_by_itself_and_what_was_due_then_happens(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        until_ns = story.now_ns + 40 * MINUTE_NS
        handling.mute(story.database, "default", opened.id, until_ns, "known", ANN, story.now_ns, None)
        story.play("bot-v7", minutes=41)
        assert story.timeline(opened.id)[-4:] == ["muted", "unmuted", "escalated", "notification.queued"]
        assert story.events() == ["incident.opened", "incident.escalated"]

    def test_ends_early(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        handling.mute(story.database, "default", opened.id, story.now_ns + HOUR_NS, "known", ANN, story.now_ns, None)
        assert handling.unmute(story.database, "default", opened.id, ANN, story.now_ns, None).state == "new"


class TestEditing:
    def test_assigns_labels_and_changes_the_severity(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        edited = handling.edit_incident(
            story.database, "default", opened.id, ANN, story.now_ns, 1, assignee="ben", severity="critical",
            label="true_alarm",
        )  # fmt: skip
        assert (edited.assignee, edited.severity, edited.label, edited.labelled_by) == (
            "ben", "critical", "true_alarm", "ann",
        )  # fmt: skip
        assert edited.revision == 4
        assert story.timeline(opened.id)[-3:] == ["assigned", "severity", "labelled"]
        cleared = handling.edit_incident(
            story.database, "default", opened.id, ANN, story.now_ns, None, assignee=None, label=None
        )
        assert (cleared.assignee, cleared.label, cleared.labelled_by) == (None, None, None)
        with pytest.raises(InvalidInputError, match="nothing to change"):
            handling.edit_incident(story.database, "default", opened.id, ANN, story.now_ns, None)

    def test_keeps_a_note_out_of_the_audit_log(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        handling.add_note(story.database, "default", opened.id, " Called Jo. ", ANN, story.now_ns)
        with story.database.read() as tx:
            assert list_incident_events(tx, opened.id)[-1].body == {"text": "Called Jo."}
            leaves = b"".join(tx.execute(select(audit_intake.c.body)).scalars())
        assert b"Jo" not in leaves
        assert audited(story.database) == [("incident.noted", "ann")]
        with pytest.raises(InvalidInputError):
            handling.add_note(story.database, "default", opened.id, "x" * 4001, ANN, story.now_ns)

    def test_resolves_by_hand_only_what_a_person_opened(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        with pytest.raises(ConflictError, match="belongs to a policy"):
            handling.resolve_by_hand(story.database, "default", opened.id, "over", ANN, story.now_ns, None)
        report = handling.Report("insult in a letter", "told by a customer", "high", {"service": "bot"})
        made = handling.report_incident(story.database, "default", report, ANN, story.now_ns)
        assert (made.origin, made.state) == ("person", "new")
        done = handling.resolve_by_hand(story.database, "default", made.id, "answered", ANN, story.now_ns, None)
        assert done.state == "resolved"
        with pytest.raises(InvalidInputError, match="future"):
            handling.report_incident(
                story.database, "default", handling.Report("t", "s", "low", {}, from_ns=story.now_ns + 1), ANN,
                story.now_ns,
            )  # fmt: skip


class TestClocks:
    KNOWN = handling.read_clocks(("gdpr-breach=72h", "ai-act-serious = 15d"))

    def test_run_from_when_people_knew_until_it_was_reported(self, story: Story) -> None:
        story.play("bot-v7")
        (opened,) = story.incidents()
        aware_ns = story.now_ns - HOUR_NS
        clock = handling.start_clock(
            story.database, "default", opened.id, "gdpr-breach", aware_ns, self.KNOWN, ANN, story.now_ns
        )
        assert clock.due_ns == aware_ns + 3 * DAY_NS
        handling.stop_clock(story.database, "default", opened.id, "gdpr-breach", BEN, story.now_ns)
        with story.database.read() as tx:
            (stored,) = list_clocks(tx, [opened.id])
        assert (stored.reported_by, stored.actor) == ("ben", "ann")
        with pytest.raises(ConflictError, match="already"):
            handling.stop_clock(story.database, "default", opened.id, "gdpr-breach", BEN, story.now_ns)
        with pytest.raises(NotFoundError):
            handling.stop_clock(story.database, "default", opened.id, "ai-act-serious", BEN, story.now_ns)
        with pytest.raises(InvalidInputError, match="known are gdpr-breach"):
            handling.start_clock(story.database, "default", opened.id, "x", 0, self.KNOWN, ANN, story.now_ns)

    @pytest.mark.parametrize("written", ["gdpr", "gdpr=", "=72h", "gdpr=soon"])
    def test_are_named_with_their_time(self, written: str) -> None:
        with pytest.raises(InvalidInputError, match="REGULATOR_CLOCKS"):
            handling.read_clocks((written,))


class TestSilences:
    MATCHERS = {"policy": "toxicity-spike"}  # noqa: RUF012

    def add(self, story: Story, minutes: int = 10, review: Review = STRICT, actor: Actor = ANN) -> Any:
        return handling.add_silence(
            story.database, "default", self.MATCHERS, "planned load test", story.now_ns,
            story.now_ns + minutes * MINUTE_NS, actor, story.now_ns, review,
        )  # fmt: skip

    def test_do_not_hold_for_a_severe_incident_until_somebody_else_agrees(self, story: Story) -> None:
        made = self.add(story)
        story.play("bot-v7")
        assert story.events() == ["incident.opened"]
        with pytest.raises(ConflictError, match="ann made this silence"):
            handling.approve_silence(story.database, "default", made.id, "", ANN, story.now_ns)
        approved, _ = handling.approve_silence(story.database, "default", made.id, "ok", BEN, story.now_ns)
        assert approved.covers_severe
        story.play("bot-v7", "bot-v8")
        assert story.events() == ["incident.opened"]
        quiet = next(one for one in story.incidents() if "bot-v8" in one.title)
        assert story.timeline(quiet.id) == ["opened", "action.proposed", "notification.silenced"]
        assert audited(story.database) == [("silence.created", "ann"), ("silence.approved", "ben")]
        with pytest.raises(ConflictError, match="already"):
            handling.approve_silence(story.database, "default", made.id, "", BEN, story.now_ns)

    def test_never_touch_evaluation_or_audit(self, story: Story) -> None:
        self.add(story, review=Review(four_eyes=False))
        story.play("bot-v7", minutes=2)
        story.play()
        with story.database.read() as tx:
            assert [one.to_state for one in list_decisions(tx, "default") if one.incident_id] == ["ok", "firing"]
            actions = [orjson.loads(row.body)["action"] for row in tx.execute(select(audit_intake))]
        assert actions.count("policy.decided") >= 2
        assert story.events() == []

    def test_tell_afterwards_what_is_still_open(self, story: Story) -> None:
        self.add(story, minutes=3, actor=DEV)
        story.play("bot-v7", minutes=2)
        assert story.events() == []
        story.play("bot-v7", minutes=1)
        assert story.events() == ["incident.opened"]
        story.play("bot-v7", minutes=3)
        story.play()
        assert story.events() == ["incident.opened", "incident.resolved"]

    def test_end_early(self, story: Story) -> None:
        made = self.add(story, minutes=100, actor=DEV)
        story.play("bot-v7", minutes=2)
        ended = handling.end_silence(story.database, "default", made.id, ANN, story.now_ns, made.revision)
        assert (ended.ended_by, ended.state(story.now_ns)) == ("ann", "ended")
        story.play("bot-v7")
        assert story.events() == ["incident.opened"]
        with pytest.raises(ConflictError, match="over already"):
            handling.end_silence(story.database, "default", made.id, ANN, story.now_ns)
        with story.database.read() as tx:
            assert list_silences(tx, "default", ending_after_ns=story.now_ns) == []
            assert len(list_silences(tx, "default")) == 1


class TestReminders:
    def test_come_round_while_nobody_attends(self, database: Database, traffic: Traffic, policy_text: str) -> None:
        story = Story(database, traffic, policy_text.replace("no_data:", "repeat_every: 5m\nno_data:"))
        story.play("bot-v7")
        for _ in range(11):
            story.deliver()
            story.play("bot-v7")
        data = [orjson.loads(message.body)["data"] for message in story.messages()]
        assert [one.get("reminder") for one in data] == [None, 1, 2]
        assert story.events() == ["incident.opened"] * 3
        (opened,) = story.incidents()
        handling.acknowledge(database, "default", opened.id, ANN, story.now_ns, None)
        story.deliver()
        story.play("bot-v7", minutes=10)
        assert len(story.events()) == 3

    def test_do_not_pile_up_behind_a_receiver_that_is_away(
        self, database: Database, traffic: Traffic, policy_text: str
    ) -> None:
        story = Story(database, traffic, policy_text.replace("no_data:", "repeat_every: 2m\nno_data:"))
        story.play("bot-v7", minutes=20)
        assert story.events() == ["incident.opened"]
