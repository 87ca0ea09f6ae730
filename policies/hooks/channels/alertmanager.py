"""Alertmanager API v2: one alert for each incident, ended when the incident is.

Labels say which alert it is, so they hold only what stays the same; but people route by severity, which can be changed
meanwhile. An ending is therefore sent for every severity, of which Alertmanager ignores those it does not know.
An alert without ``endsAt`` would end by itself after five minutes; ours names a time far off, moved on by reminders.
Source: prometheus/alertmanager, api/v2/openapi.yaml, ``postableAlerts``.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta
from typing import Any

import orjson

from policies.errors import EndpointError
from policies.hooks.channels.channel import Channel, HttpCall, Setting, Target
from policies.hooks.channels.event import TEST_EVENT, Event
from policies.rules.duration import parse_duration

PATH = "/api/v2/alerts"
_BEGINS = frozenset({"incident.opened", "incident.escalated", "fairness.alarm", "drift.alarm"})
_ENDS = "incident.resolved"
_SEVERITIES = ("low", "medium", "high", "critical")
_DEFAULT_HOLD = "7d"
_TEST_HOLD_S = 60


def format_alertmanager(event: Event, target: Target) -> tuple[HttpCall, ...]:
    """Return the one call that begins, renews or ends the incident's alert."""
    if event.type == TEST_EVENT:
        alerts = [_alert(event, event.timestamp, _later(event.timestamp, _TEST_HOLD_S), event.severity)]
    elif event.type in _BEGINS and event.incident_id:
        hold_s = parse_duration(target.options.get("hold", _DEFAULT_HOLD)) / 1e9
        alerts = [_alert(event, _start(event), _later(event.timestamp, hold_s), event.severity)]
    elif event.type == _ENDS and event.incident_id:
        end = event.text("resolved_at") or event.timestamp
        alerts = [_alert(event, _start(event), end, severity) for severity in _SEVERITIES]
    else:
        return ()
    headers = {"content-type": "application/json", **_authorization(target)}
    return (HttpCall(_alerts_url(target.url), headers, orjson.dumps(alerts)),)


def _alert(event: Event, start: str, end: str, severity: str) -> dict[str, Any]:
    labels = {_label(name): value for name, value in event.group.items()}
    labels |= {
        "alertname": event.text("policy_id") or event.type,
        "severity": severity,
        "project": event.text("project"),
        "incident": event.incident_id,
        "source": "custodes",
    }
    annotations = {"title": event.title, "summary": event.summary, "console": event.url}
    alert: dict[str, Any] = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": start,
        "endsAt": end,
    }
    return alert | ({"generatorURL": event.url} if event.url else {})


def _start(event: Event) -> str:
    return event.text("opened_at") or event.text("at") or event.timestamp


def _later(moment: str, seconds: float) -> str:
    begun = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (begun + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _label(name: str) -> str:
    """Return a name as Alertmanager takes it: ``[a-zA-Z_][a-zA-Z0-9_]*``."""
    plain = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return plain if plain[:1].isalpha() or plain[:1] == "_" else f"_{plain}"


def _alerts_url(url: str) -> str:
    base = url.rstrip("/")
    return base if base.endswith(PATH) else base + PATH


def _authorization(target: Target) -> dict[str, str]:
    token, username = target.secrets.get("token"), target.options.get("username")
    if token is not None:
        return {"authorization": f"Bearer {token}"}
    if username is None:
        return {}
    pair = f"{username}:{target.secrets.get('password', '')}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _check_hold(value: str) -> None:
    try:
        found = parse_duration(value)
    except ValueError as error:
        raise EndpointError(f"hold: {error}") from error
    if found == 0:
        raise EndpointError("hold is how long an alert lasts without news, e.g. 7d; it cannot be 0")


def _check_token(value: str) -> None:
    if not value.isascii() or " " in value:
        raise EndpointError("a token has no blanks and no characters beyond ASCII")


def _check_username(value: str) -> None:
    if ":" in value:
        raise EndpointError("a user name holds no colon")


ALERTMANAGER = Channel(
    "alertmanager",
    "Alertmanager API v2",
    format_alertmanager,
    settings=(
        Setting("hold", f"how long an alert lasts without news, {_DEFAULT_HOLD} without it", check=_check_hold),
        Setting("username", "for Basic authentication, with the secret password", check=_check_username),
        Setting("password", "for Basic authentication", secret=True),
        Setting("token", "for Bearer authentication", secret=True, check=_check_token),
    ),
    tracks=True,
    groups=False,
)
