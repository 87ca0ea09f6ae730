from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from policies.errors import EndpointError
from policies.hooks.channels import CHANNELS, Event, HttpCall, Target

PAGERDUTY = CHANNELS["pagerduty"]
KEY = "0123456789abcdefghijklmnopqrstuv"
INCIDENT = "019aa5c0-6a00-7c3e-9d52-0d6b6f0e2f11"
ADDRESS = "https://events.pagerduty.com/v2/enqueue"


def told(event: Event) -> list[dict[str, Any]]:
    calls = PAGERDUTY.format(event, Target(ADDRESS, secrets={"routing_key": KEY}))
    assert all(isinstance(call, HttpCall) and call.url == ADDRESS for call in calls)
    return [orjson.loads(call.body) for call in calls if isinstance(call, HttpCall)]


class TestFormat:
    def test_it_triggers_an_alert(self, event: Callable[..., Event]) -> None:
        url = "https://console.example.org/go?to=%2Fincident%3Fid%3D019aa5c0"
        assert told(event()) == [
            {
                "routing_key": KEY,
                "event_action": "trigger",
                "dedup_key": INCIDENT,
                "payload": {
                    "summary": "Incident opened: toxicity-spike: deployment=bot-v7",
                    "source": "default",
                    "severity": "error",
                    "timestamp": "2026-11-21T10:00:05.000000Z",
                    "component": "bot-v7",
                    "class": "toxicity-spike",
                    "custom_details": {
                        "summary": "toxicity-spike fired for deployment=bot-v7: n is 360 and tox_p95 is 0.953.",
                        "severity": "high",
                        "policy": "toxicity-spike",
                        "project": "default",
                        "deployment": "bot-v7",
                    },
                },
                "client": "Custodes",
                "client_url": url,
                "links": [{"href": url, "text": "Open in Custodes"}],
            }
        ]

    @pytest.mark.parametrize(
        ("type", "action"),
        [
            ("incident.escalated", "trigger"),
            ("fairness.alarm", "trigger"),
            ("incident.acknowledged", "acknowledge"),
            ("incident.resolved", "resolve"),
        ],
    )
    def test_it_moves_the_same_alert_on(self, event: Callable[..., Event], type: str, action: str) -> None:
        (document,) = told(event(type))
        assert (document["event_action"], document["dedup_key"]) == (action, INCIDENT)
        if action != "trigger":
            assert set(document) == {"routing_key", "event_action", "dedup_key"}

    @pytest.mark.parametrize(
        ("ours", "theirs"), [("critical", "critical"), ("high", "error"), ("medium", "warning"), ("low", "info")]
    )
    def test_it_translates_severities(self, event: Callable[..., Event], ours: str, theirs: str) -> None:
        assert told(event(severity=ours))[0]["payload"]["severity"] == theirs

    def test_a_test_closes_what_it_opens(self, event: Callable[..., Event]) -> None:
        documents = told(event("endpoint.test", endpoint="oncall", incident_id=None))
        assert [one["event_action"] for one in documents] == ["trigger", "resolve"]
        assert {one["dedup_key"] for one in documents} == {"custodes-test-default-oncall"}

    @pytest.mark.parametrize("type", ["audit.checkpoint", "review.requested", "incident.opened"])
    def test_it_is_told_of_nothing_that_could_not_be_closed(self, event: Callable[..., Event], type: str) -> None:
        assert told(event(type, incident_id=None)) == []

    def test_it_keeps_to_the_lengths(self, event: Callable[..., Event]) -> None:
        (document,) = told(event(title="x" * 5000, incident_id="y" * 500))
        assert len(document["payload"]["summary"]) <= 1024
        assert len(document["dedup_key"]) <= 255


class TestSettings:
    @pytest.mark.parametrize("secrets", [{}, {"routing_key": "short"}, {"routing_key": KEY, "other": "x"}])
    def test_it_refuses_what_cannot_work_and_shows_no_secret(self, secrets: dict[str, str]) -> None:
        with pytest.raises(EndpointError) as caught:
            PAGERDUTY.check_settings({}, secrets)
        assert KEY not in str(caught.value)
        assert "short" not in str(caught.value)

    def test_a_secret_is_no_option(self) -> None:
        with pytest.raises(EndpointError, match="no option 'routing_key'"):
            PAGERDUTY.check_settings({"routing_key": KEY}, {})
