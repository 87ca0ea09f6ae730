"""Who hears of an action: the receivers of its incident, by webhook, and whoever an escalation reaches."""

from __future__ import annotations

from typing import Literal

import orjson

from custodes.db import WriteTx
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.ids import new_uuid7
from policies.actions.action import Action
from policies.actions.traces import WORKER, action_url
from policies.decision_store import list_notified
from policies.hooks.endpoint_store import find_endpoint
from policies.hooks.store import OutboxMessage, insert_message
from policies.incident_store import find_incident
from policies.notices import Notice, send_notices
from policies.tending import escalate

ActionNews = Literal["action.proposed", "action.dispatched", "action.verified", "review.requested"]


def news_of_sending(action: Action) -> ActionNews:
    """Return what is told when an action goes out: a review asks people for something."""
    return "review.requested" if action.kind == "review" else "action.dispatched"


def tell(tx: WriteTx, action: Action, event: ActionNews, console_url: str, now_ns: int) -> int:
    """Queue news of an action for the endpoints its policy names; return how many messages were queued."""
    body = action_body(action, event, console_url, now_ns)
    told = 0
    for name in list_notified(tx, action.project_id, action.incident_id):
        endpoint = find_endpoint(tx, action.project_id, name)
        if endpoint is None or endpoint.state != "active":
            continue
        message = OutboxMessage(
            id=f"msg_{new_uuid7(now_ns)}",
            project_id=action.project_id,
            endpoint_id=name,
            event_type=event,
            incident_id=action.incident_id,
            body=body,
            state="pending",
            attempts=0,
            created_ns=now_ns,
            next_attempt_ns=now_ns,
        )
        insert_message(tx, message)
        told += 1
    return told


def action_body(action: Action, event: str, console_url: str, now_ns: int) -> bytes:
    """Return ``{type, timestamp, data}`` about an action as JSON, far below 20 kB."""
    data = {
        "action_id": action.id,
        "project": action.project_id,
        "incident_id": action.incident_id,
        "policy_id": action.policy_id,
        "policy_version": action.version,
        "kind": action.kind,
        "target": dict(action.target),
        "state": action.state,
        "reason": action.reason,
        "from_version": action.from_version,
        "to_version": action.to_version,
        "deployment": action.deployment,
        "url": action_url(console_url, action.id),
    }
    return orjson.dumps({"type": event, "timestamp": ns_to_rfc3339(now_ns), "data": data})


def escalate_incident_of(tx: WriteTx, action: Action, console_url: str, now_ns: int) -> bool:
    """Ask for help where an action did not: the incident escalates, if it is open and does not do so already."""
    incident = find_incident(tx, action.project_id, action.incident_id, lock=True)
    if incident is None or not incident.is_open or incident.state == "escalating":
        return False
    reason = f"the {action.kind} ended as {action.state.replace('_', ' ')}: {action.reason}"
    changed = escalate(tx, incident, WORKER.name, WORKER.role, reason[:1000], now_ns)
    endpoints = list_notified(tx, action.project_id, action.incident_id)
    notices = [Notice(one, "incident.escalated", changed) for one in endpoints]
    send_notices(tx, notices, console_url=console_url, now_ns=now_ns)
    return True
