"""PagerDuty Events API v2: an alert for each incident, triggered, acknowledged and resolved under one ``dedup_key``.

The key is the incident's id, so a repeated or escalated incident changes its alert rather than opening another.
Source: developer.pagerduty.com, "Send an Alert Event"; at most 1,024 characters of summary, 255 of key, 512 kB in all.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from policies.errors import EndpointError
from policies.hooks.channels.channel import Channel, HttpCall, Setting, Target
from policies.hooks.channels.event import TEST_EVENT, Event, shorten

_ACTIONS = {
    "incident.opened": "trigger",
    "incident.escalated": "trigger",
    "incident.acknowledged": "acknowledge",
    "incident.resolved": "resolve",
    "fairness.alarm": "trigger",
    "drift.alarm": "trigger",
}
_SEVERITIES = {"critical": "critical", "high": "error", "medium": "warning", "low": "info"}
_ROUTING_KEY = re.compile(r"[A-Za-z0-9]{20,64}")


def format_pagerduty(event: Event, target: Target) -> tuple[HttpCall, ...]:
    """Return the one call that moves the incident's alert; a test opens an alert of its own and closes it at once."""
    if event.type == TEST_EVENT:
        key = f"custodes-test-{event.text('project')}-{event.text('endpoint')}"
        return tuple(_call(event, target, action, key) for action in ("trigger", "resolve"))
    action = _ACTIONS.get(event.type)
    if action is None or not event.incident_id:
        return ()
    return (_call(event, target, action, event.incident_id),)


def _call(event: Event, target: Target, action: str, key: str) -> HttpCall:
    document: dict[str, Any] = {
        "routing_key": target.secrets["routing_key"],
        "event_action": action,
        "dedup_key": shorten(key, 255),
    }
    if action == "trigger":
        document |= {
            "payload": {
                "summary": shorten(f"{event.headline}: {event.title}", 1024),
                "source": event.group.get("service") or event.text("project") or "custodes",
                "severity": _SEVERITIES.get(event.severity, "warning"),
                "timestamp": event.timestamp,
                "component": event.group.get("deployment") or None,
                "class": event.text("policy_id") or event.type,
                "custom_details": {"summary": event.summary, **{name.lower(): value for name, value in event.facts}},
            },
            "client": "Custodes",
        }
        document["payload"] = {name: value for name, value in document["payload"].items() if value is not None}
        if event.url:
            document |= {"client_url": event.url, "links": [{"href": event.url, "text": "Open in Custodes"}]}
    return HttpCall(target.url, {"content-type": "application/json"}, orjson.dumps(document))


def _check_routing_key(value: str) -> None:
    if _ROUTING_KEY.fullmatch(value) is None:
        raise EndpointError("a PagerDuty routing key is the 32 letters and digits of an Events API v2 integration")


PAGERDUTY = Channel(
    "pagerduty",
    "PagerDuty Events API v2",
    format_pagerduty,
    default_url="https://events.pagerduty.com/v2/enqueue",
    settings=(
        Setting(
            "routing_key",
            "integration key of an Events API v2 integration",
            secret=True,
            required=True,
            check=_check_routing_key,
        ),
    ),
    tracks=True,
    acknowledges=True,
    groups=False,
)
