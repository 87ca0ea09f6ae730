"""What a formatter sees of an event: names and numbers under fixed keys, whatever else a body may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

TEST_EVENT = "endpoint.test"
HEADLINES: Mapping[str, str] = {
    "incident.opened": "Incident opened",
    "incident.escalated": "Incident escalated",
    "incident.resolved": "Incident resolved",
    "incident.acknowledged": "Incident acknowledged",
    "fairness.alarm": "Fairness alarm",
    "drift.alarm": "Drift alarm",
    "action.proposed": "Action proposed",
    "action.dispatched": "Action sent",
    "action.verified": "Action verified",
    "review.requested": "Review requested",
    "audit.checkpoint": "Audit checkpoint",
    "ingest.degraded": "Intake degraded",
    TEST_EVENT: "Test message",
}
_PLACES = ("service", "environment", "deployment", "model", "outcome")


@dataclass(frozen=True, slots=True)
class Event:
    """One event on its way. ``id`` is the message's, the same at every attempt; ``body`` is the whole of it as JSON.

    Every text comes back as one line without control characters, so that nothing in it can end a header or a block.
    """

    id: str
    type: str
    timestamp: str
    data: Mapping[str, Any]
    body: bytes

    @property
    def headline(self) -> str:
        """What happened, in two or three words."""
        if self.data.get("reminder"):
            return "Incident still open"
        return HEADLINES.get(self.type, self.type)

    @property
    def title(self) -> str:
        """What it is about."""
        if self.text("title"):
            return self.text("title")
        # Actions have no title of their own.
        to = f" to {self.text('to_version')}" if self.text("to_version") else ""
        return f"{self.text('kind')}{to}" if self.text("kind") else self.headline

    @property
    def summary(self) -> str:
        """A sentence built from names and numbers; may be empty."""
        return self.text("summary") or self.text("reason")

    @property
    def severity(self) -> str:
        """``low``, ``medium``, ``high`` or ``critical``; empty where the event has none."""
        return self.text("severity")

    @property
    def url(self) -> str:
        """Where the console shows it; empty or an http address."""
        link = self.text("url")
        return link if link.startswith(("https://", "http://")) else ""

    @property
    def incident_id(self) -> str:
        """The incident it is about; empty for other events."""
        return self.text("incident_id")

    @property
    def group(self) -> dict[str, str]:
        """Which group of traffic it is about, by label."""
        found = self.data.get("group")
        if isinstance(found, Mapping):
            return {str(name): one_line(value) for name, value in found.items() if value not in (None, "")}
        return {name: self.text(name) for name in _PLACES if self.text(name)}

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What a reader wants to know beside the summary, at most ten pairs of name and text."""
        facts = [("Severity", self.severity), ("Policy", self.text("policy_id")), ("Project", self.text("project"))]
        facts += [(name.capitalize(), value) for name, value in self.group.items()]
        others = self.data.get("incidents")
        if isinstance(others, int) and others > 1:
            facts.append(("Incidents", str(others)))
        return [(name, value) for name, value in facts if value][:10]

    def text(self, name: str) -> str:
        """Return a text of the data as one line; empty where there is none."""
        value = self.data.get(name)
        return "" if value is None or isinstance(value, Mapping | list) else one_line(value)


def read_event(message_id: str, body: bytes) -> Event:
    """Return the event in an outbox body."""
    document = orjson.loads(body)
    return Event(message_id, str(document["type"]), str(document.get("timestamp", "")), document.get("data", {}), body)


def one_line(value: object) -> str:
    """Return a value as one line: control and format characters become spaces, runs of blanks one blank."""
    return " ".join("".join(one if one.isprintable() else " " for one in str(value)).split())


def shorten(text: str, most: int) -> str:
    """Return ``text`` in at most ``most`` characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"
