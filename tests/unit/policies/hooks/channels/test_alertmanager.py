from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
import pytest

from policies.errors import EndpointError
from policies.hooks.channels import CHANNELS, Event, HttpCall, Target

ALERTMANAGER = CHANNELS["alertmanager"]
BASE = "https://alerts.example.org"


def call_of(event: Event, **target: Any) -> HttpCall:
    (call,) = ALERTMANAGER.format(event, Target(target.pop("url", BASE), **target))
    assert isinstance(call, HttpCall)
    return call


def alerts(event: Event, **target: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(call_of(event, **target).body)
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class TestFormat:
    def test_it_begins_an_alert(self, event: Callable[..., Event]) -> None:
        url = "https://console.example.org/go?to=%2Fincident%3Fid%3D019aa5c0"
        assert call_of(event()).url == f"{BASE}/api/v2/alerts"
        assert alerts(event()) == [
            {
                "labels": {
                    "alertname": "toxicity-spike",
                    "severity": "high",
                    "project": "default",
                    "incident": "019aa5c0-6a00-7c3e-9d52-0d6b6f0e2f11",
                    "source": "custodes",
                    "deployment": "bot-v7",
                },
                "annotations": {
                    "title": "toxicity-spike: deployment=bot-v7",
                    "summary": "toxicity-spike fired for deployment=bot-v7: n is 360 and tox_p95 is 0.953.",
                    "console": url,
                },
                "startsAt": "2026-11-21T10:00:00.000000Z",
                "endsAt": "2026-11-28T10:00:05.000000Z",
                "generatorURL": url,
            }
        ]

    def test_it_ends_the_alert_whatever_became_of_its_severity(self, event: Callable[..., Event]) -> None:
        (begun,) = alerts(event(severity="medium"))
        ended = alerts(event("incident.resolved", severity="critical", resolved_at="2026-11-21T11:00:00.000000Z"))
        (same,) = [one for one in ended if one["labels"] == begun["labels"]]
        assert same["endsAt"] == "2026-11-21T11:00:00.000000Z"
        assert moment(same["startsAt"]) < moment(same["endsAt"])
        assert {one["labels"]["severity"] for one in ended} == {"low", "medium", "high", "critical"}

    @pytest.mark.parametrize("type", ["incident.opened", "incident.resolved", "fairness.alarm", "endpoint.test"])
    def test_it_keeps_to_the_schema_of_postable_alerts(self, event: Callable[..., Event], type: str) -> None:
        group = {"über-label.x": "a", "1st": "b", "": "c", "model": 3}
        for alert in alerts(event(type, group=group, endpoint="oncall")):
            assert set(alert) <= {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}
            assert alert["labels"]["alertname"]
            for name, value in [*alert["labels"].items(), *alert["annotations"].items()]:
                assert re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name)
                assert isinstance(value, str)
                assert value
            assert moment(alert["startsAt"]) <= moment(alert["endsAt"])

    def test_an_alert_lasts_as_long_as_it_is_told_to(self, event: Callable[..., Event]) -> None:
        (alert,) = alerts(event(), options={"hold": "1h"})
        assert alert["endsAt"] == "2026-11-21T11:00:05.000000Z"

    @pytest.mark.parametrize(
        ("options", "secrets", "expected"),
        [
            ({}, {}, None),
            ({}, {"token": "t0k"}, "Bearer t0k"),
            ({"username": "u"}, {"password": "p"}, "Basic " + base64.b64encode(b"u:p").decode()),
        ],
    )
    def test_it_logs_in(
        self, event: Callable[..., Event], options: dict[str, str], secrets: dict[str, str], expected: str | None
    ) -> None:
        assert call_of(event(), options=options, secrets=secrets).headers.get("authorization") == expected

    @pytest.mark.parametrize("url", [BASE, f"{BASE}/", f"{BASE}/api/v2/alerts"])
    def test_it_finds_the_path_below_a_base(self, event: Callable[..., Event], url: str) -> None:
        assert call_of(event(), url=url).url == f"{BASE}/api/v2/alerts"

    @pytest.mark.parametrize("type", ["incident.acknowledged", "audit.checkpoint"])
    def test_it_is_not_told_of_what_begins_and_ends_nothing(self, event: Callable[..., Event], type: str) -> None:
        assert ALERTMANAGER.format(event(type), Target(BASE)) == ()


@pytest.mark.parametrize("options", [{"hold": "long"}, {"hold": "0"}, {"username": "a:b"}, {"color": "red"}])
def test_unusable_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(EndpointError):
        ALERTMANAGER.check_settings(options, {})


@pytest.mark.parametrize("token", ["two words", "ümlaut"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(EndpointError) as caught:
        ALERTMANAGER.check_settings({}, {"token": token})
    assert token not in str(caught.value)
