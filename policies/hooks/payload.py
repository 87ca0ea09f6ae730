"""Webhook bodies: thin, under 20 kB, built from names and numbers, never from captured text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from custodes.kernel.clock import ns_to_rfc3339
from policies.incidents import Incident

MAX_BODY_BYTES = 20_000


def incident_path(incident_id: str) -> str:
    """Return the console's path of an incident, relative to its root."""
    return f"/incident?id={quote(incident_id, safe='')}"


def console_link(console_url: str, path: str) -> str:
    """Return the link that opens the console at ``path`` after signing in."""
    return f"{console_url.rstrip('/')}/go?to={quote(path, safe='')}"


def incident_body(
    event: str,
    incident: Incident,
    values: Mapping[str, Any],
    *,
    console_url: str,
    at_ns: int,
    others: Sequence[Incident] = (),
    reminder: int = 0,
) -> bytes:
    """Return ``{type, timestamp, data}`` for an incident event as JSON under 20 kB.

    ``others`` are incidents that began or ended together with this one and are told in the same message. ``values`` and
    the end of ``others`` are left out where the body would grow past the limit; the links lead to them.
    """
    data: dict[str, object] = {
        "incident_id": incident.id,
        "project": incident.project_id,
        "policy_id": incident.policy_id,
        "policy_version": incident.version,
        "severity": incident.severity,
        "state": incident.state,
        "title": incident.title,
        "summary": incident.summary,
        "group": dict(incident.group.labels),
        "opened_at": ns_to_rfc3339(incident.opened_ns),
        "resolved_at": None if incident.resolved_ns is None else ns_to_rfc3339(incident.resolved_ns),
        "url": console_link(console_url, incident_path(incident.id)),
        "values": dict(values),
    }
    if reminder:
        data["reminder"] = reminder
    if others:
        data["incidents"] = 1 + len(others)
        data["others"] = [_other_to_json(one, console_url) for one in others]
    while True:
        body = orjson.dumps({"type": event, "timestamp": ns_to_rfc3339(at_ns), "data": data})
        if len(body) < MAX_BODY_BYTES:
            return body
        data = _smaller(data)


def probe_body(project_id: str, endpoint_id: str, *, console_url: str, at_ns: int) -> bytes:
    """Return ``{type, timestamp, data}`` of ``endpoint.test``, which tells that somebody wanted to see it arrive."""
    data = {
        "endpoint": endpoint_id,
        "project": project_id,
        "severity": "low",
        "title": f"Test of endpoint {endpoint_id}",
        "summary": "Somebody asked Custodes to send this. Nothing is wrong, and nothing needs to be done.",
        "url": console_link(console_url, "/endpoints"),
    }
    return orjson.dumps({"type": "endpoint.test", "timestamp": ns_to_rfc3339(at_ns), "data": data})


def _other_to_json(incident: Incident, console_url: str) -> dict[str, object]:
    return {
        "incident_id": incident.id,
        "title": incident.title,
        "group": dict(incident.group.labels),
        "url": console_link(console_url, incident_path(incident.id)),
    }


def _smaller(data: Mapping[str, object]) -> dict[str, object]:
    """Return the same data with the values gone, then with half of the others."""
    others = data.get("others")
    if data["values"] or not isinstance(others, list) or not others:
        return {**data, "values": {}}
    return {**data, "others": others[: len(others) // 2]}
