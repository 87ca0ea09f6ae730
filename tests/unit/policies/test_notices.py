"""Who is told of what, by the kind of the endpoint: grouped or one by one, and of acknowledgements."""

from __future__ import annotations

import orjson
import pytest

from custodes.db import Database
from policies.actors import Actor
from policies.groups import make_group
from policies.handling import acknowledge
from policies.hooks.endpoint_store import Endpoint, insert_endpoint
from policies.hooks.store import OutboxMessage, list_messages
from policies.incident_store import insert_incident
from policies.incidents import Incident
from policies.notices import Notice, send_notices, tell_end

ANN = Actor("ann", "operator")


def add(database: Database, kind: str, *names: str) -> list[Incident]:
    """Store an endpoint of a kind, and incidents that the first of them leads."""
    made = [
        Incident(
            name, "default", "p", "v", make_group({"service": name}), "high", "new", "t", "s", 1, 1,
            lead_id=names[0], notified_ns=1,
        )
        for name in names
    ]  # fmt: skip
    with database.write() as tx:
        insert_endpoint(tx, Endpoint("default", "oncall", "https://a.example/", None, "active", 0, kind=kind))
        for one in made:
            insert_incident(tx, one)
    return made


def tell(database: Database, event: str, incidents: list[Incident]) -> None:
    notices = [Notice("oncall", event, one) for one in incidents]  # type: ignore[arg-type]
    with database.write() as tx:
        send_notices(tx, notices, console_url="https://c.example", now_ns=5)


def queued(database: Database) -> list[OutboxMessage]:
    with database.read() as tx:
        return sorted(list_messages(tx, "default"), key=lambda one: one.created_ns)


class TestGroups:
    @pytest.mark.parametrize("kind", ["webhook", "slack", "teams", "email", "cloudevents"])
    def test_people_get_one_message_of_incidents_that_began_together(self, database: Database, kind: str) -> None:
        tell(database, "incident.opened", add(database, kind, "a", "b", "c"))
        (message,) = queued(database)
        assert (message.incident_id, message.members) == ("a", ("a", "b", "c"))

    @pytest.mark.parametrize("kind", ["pagerduty", "alertmanager"])
    def test_what_keeps_alerts_gets_one_for_each_incident(self, database: Database, kind: str) -> None:
        incidents = add(database, kind, "a", "b", "c")
        tell(database, "incident.opened", incidents)
        tell(database, "incident.resolved", incidents[1:])
        found = [
            (one.incident_id, one.event_type, orjson.loads(one.body)["data"]["incident_id"]) for one in queued(database)
        ]
        assert sorted(found) == [
            ("a", "incident.opened", "a"),
            ("b", "incident.opened", "b"),
            ("b", "incident.resolved", "b"),
            ("c", "incident.opened", "c"),
            ("c", "incident.resolved", "c"),
        ]
        assert all(one.members == () for one in queued(database))


class TestAcknowledgement:
    @pytest.mark.parametrize(
        ("kind", "expected"), [("pagerduty", ["incident.acknowledged"]), ("webhook", []), ("slack", [])]
    )
    def test_paging_services_are_told_and_others_are_not(
        self, database: Database, kind: str, expected: list[str]
    ) -> None:
        tell(database, "incident.acknowledged", add(database, kind, "a"))
        assert [one.event_type for one in queued(database)] == expected

    def test_taking_an_incident_over_nobody_was_told_of_tells_nobody(self, database: Database) -> None:
        add(database, "pagerduty", "a")
        acknowledge(database, "default", "a", ANN, 9, None, console_url="https://c.example")
        assert queued(database) == []


class TestEnd:
    def test_the_end_is_told_to_whoever_was_told_of_the_incident(self, database: Database) -> None:
        (incident,) = add(database, "alertmanager", "a")
        tell(database, "incident.opened", [incident])
        with database.write() as tx:
            insert_endpoint(tx, Endpoint("default", "never-told", "https://a.example/", None, "active", 0))
            assert tell_end(tx, incident, console_url="https://c.example", now_ns=9) == 1
        assert [(one.endpoint_id, one.event_type) for one in queued(database)] == [
            ("oncall", "incident.opened"),
            ("oncall", "incident.resolved"),
        ]
