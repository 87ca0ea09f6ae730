"""CloudEvents 1.0 in structured mode: our own event in the envelope that event brokers know, signed like a webhook.

Source: cloudevents/spec 1.0.2, "JSON Event Format" and "HTTP Protocol Binding" section 3.2.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import orjson

from policies.errors import EndpointError
from policies.hooks.channels.channel import Channel, HttpCall, Setting, Target
from policies.hooks.channels.event import Event

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
_URI_REFERENCE = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")


def format_cloudevents(event: Event, target: Target) -> tuple[HttpCall, ...]:
    """Return one call. ``source`` and ``id`` together are the same at every attempt, and at no other event."""
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": target.options.get("source") or f"/custodes/projects/{quote(event.text('project') or '-', safe='')}",
        "type": f"custodes.{event.type}",
        "time": event.timestamp,
        "datacontenttype": "application/json",
        "data": dict(event.data),
    }
    if event.incident_id:
        envelope["subject"] = f"incident/{event.incident_id}"
    return (HttpCall(target.url, {"content-type": CONTENT_TYPE}, orjson.dumps(envelope)),)


def _check_source(value: str) -> None:
    if _URI_REFERENCE.fullmatch(value) is None:
        raise EndpointError("source is a URI reference, e.g. https://custodes.example.org or /custodes")


CLOUDEVENTS = Channel(
    "cloudevents",
    "CloudEvents 1.0 over HTTP, structured mode",
    format_cloudevents,
    settings=(
        Setting("source", "what events name as their source, /custodes/projects/… without it", check=_check_source),
    ),
    signs=True,
)
