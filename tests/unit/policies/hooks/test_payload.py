from __future__ import annotations

import orjson

from policies.groups import make_group
from policies.hooks.payload import console_link, incident_body, incident_path
from policies.incidents import Incident

INCIDENT = Incident(
    id="i-1",
    project_id="default",
    policy_id="toxicity-spike",
    version="sha256:0",
    group=make_group({"deployment": "bot-v7"}),
    severity="high",
    state="new",
    title="t",
    summary="s",
    opened_ns=1_795_860_000_000_000_000,
    updated_ns=0,
)


class TestIncidentBody:
    def test_has_type_timestamp_and_data_with_a_link(self) -> None:
        body = incident_body("incident.opened", INCIDENT, {"n": 80.0}, console_url="http://c.example/", at_ns=0)
        document = orjson.loads(body)
        assert set(document) == {"type", "timestamp", "data"}
        assert document["timestamp"] == "1970-01-01T00:00:00.000000Z"
        assert document["data"]["url"] == "http://c.example/go?to=%2Fincident%3Fid%3Di-1"
        assert document["data"]["group"] == {"deployment": "bot-v7"}
        assert document["data"]["resolved_at"] is None

    def test_stays_under_20_kb(self) -> None:
        values: dict[str, float | None] = {f"s{n}" * 32: n / 3 for n in range(500)}
        body = incident_body("incident.opened", INCIDENT, values, console_url="http://c", at_ns=0)
        assert len(body) < 20_000
        assert orjson.loads(body)["data"]["values"] == {}


class TestConsoleLink:
    def test_quotes_whatever_the_id_holds(self) -> None:
        link = console_link("http://c", incident_path("a&b=c/../?x#y"))
        assert link.count("?") == link.count("=") == 1
        assert "#" not in link
