"""Who is told of what: notices about incidents become outbox rows, grouped, or stay back for a stated reason.

A notice that stays back leaves a note on the incident's timeline, so that quiet is always explained. Silences and
mutes act here and nowhere else: by now the policy has been evaluated, the incident changed and the audit event written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from custodes.db import WriteTx
from custodes.kernel.ids import new_uuid7
from policies.hooks.channels import CHANNELS, WEBHOOK, Channel
from policies.hooks.endpoint_store import Endpoint, find_endpoint
from policies.hooks.payload import incident_body
from policies.hooks.store import OutboxMessage, insert_message, is_waiting, list_told
from policies.incident_store import IncidentEvent, insert_incident_event, list_silences, mark_notified
from policies.incidents import Incident
from policies.silences import find_silence

ENGINE_ACTOR = "policy-engine"
EventName = Literal["incident.opened", "incident.escalated", "incident.acknowledged", "incident.resolved"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One incident event for one endpoint. ``muted`` and ``scope`` are what a silence and a mute need to know.

    ``reminder`` counts from 1 for a repetition, and is 0 for news.
    """

    endpoint: str
    event: EventName
    incident: Incident
    values: Mapping[str, Any] = field(default_factory=dict)
    scope: Mapping[str, str] = field(default_factory=dict)
    muted: bool = False
    reminder: int = 0


def send_notices(tx: WriteTx, notices: Iterable[Notice], *, console_url: str, now_ns: int) -> int:
    """Queue what may be told and note what may not; return how many messages were queued.

    Notices of one event, endpoint and group of incidents become one message, unless the endpoint's kind keeps an alert
    for each incident. That somebody took an incident over is told to kinds that want to know, and to no others.
    """
    given = list(notices)
    if not given:
        return 0
    receivers = _find_receivers(tx, given)
    given = [one for one in given if one.event != "incident.acknowledged" or _channel(receivers, one).acknowledges]
    if not given:
        return 0
    silences = list_silences(tx, given[0].incident.project_id, ending_after_ns=now_ns)
    groups: dict[tuple[str, EventName, str], list[Notice]] = defaultdict(list)
    told: dict[str, Incident] = {}
    for notice in given:
        incident = notice.incident
        silence = find_silence(silences, incident, notice.scope, now_ns)
        reason = _reason_to_stay_quiet(notice)
        if silence is not None:
            body = {"endpoint": notice.endpoint, "event": notice.event, "silence": silence.id, "reason": silence.reason}
            note(tx, incident.id, "notification.silenced", body, now_ns)
        elif reason is not None:
            body = {"endpoint": notice.endpoint, "event": notice.event, "reason": reason}
            note(tx, incident.id, "notification.withheld", body, now_ns)
        else:
            told[incident.id] = incident
            line_id = incident.lead_id if _channel(receivers, notice).groups else None
            groups[notice.endpoint, notice.event, line_id or incident.id].append(notice)
    opened = {one.incident.id for one in given if one.event == "incident.opened"}
    mark_notified(tx, sorted(opened & told.keys()), now_ns)
    return sum(
        _queue(tx, found, receivers[endpoint], line_id, console_url, now_ns)
        for (endpoint, _, line_id), found in groups.items()
    )


def tell_end(tx: WriteTx, incident: Incident, *, console_url: str, now_ns: int) -> int:
    """Queue the end of an incident for every endpoint that was told anything of it; return how many messages."""
    endpoints = list_told(tx, incident.project_id, incident.id)
    notices = [Notice(one, "incident.resolved", incident) for one in endpoints]
    return send_notices(tx, notices, console_url=console_url, now_ns=now_ns)


def note(tx: WriteTx, incident_id: str, kind: str, body: Mapping[str, Any], now_ns: int) -> None:
    """Append an entry of the engine to an incident's timeline."""
    insert_incident_event(tx, IncidentEvent(incident_id, now_ns, kind, ENGINE_ACTOR, body))


def _reason_to_stay_quiet(notice: Notice) -> str | None:
    if notice.muted:
        return "the incident is muted"
    if notice.event != "incident.opened" and notice.incident.notified_ns is None:
        return "nobody was told of its beginning"
    return None


def _find_receivers(tx: WriteTx, notices: list[Notice]) -> dict[str, Endpoint | None]:
    """Return the endpoints that notices of one project name."""
    project_id = notices[0].incident.project_id
    return {name: find_endpoint(tx, project_id, name) for name in {one.endpoint for one in notices}}


def _channel(receivers: Mapping[str, Endpoint | None], notice: Notice) -> Channel:
    receiver = receivers[notice.endpoint]
    return WEBHOOK if receiver is None else CHANNELS.get(receiver.kind, WEBHOOK)


def _queue(
    tx: WriteTx, notices: list[Notice], receiver: Endpoint | None, line_id: str, console_url: str, now_ns: int
) -> int:
    """Queue one message; ``line_id`` is the incident in whose line it stands, and which it is about if it can be."""
    main = next((one for one in notices if one.incident.id == line_id), notices[0])
    others = [one.incident for one in notices if one is not main]
    incidents = [main.incident, *others]
    if receiver is None or receiver.state != "active":
        for incident in incidents:
            note(tx, incident.id, "notification.skipped", _skipped(main.endpoint, receiver), now_ns)
        return 0
    if main.reminder and is_waiting(tx, main.incident.project_id, main.endpoint, line_id):
        return 0  # The one before has not arrived yet; a second would only wait behind it.
    message = OutboxMessage(
        id=f"msg_{new_uuid7(now_ns)}",
        project_id=main.incident.project_id,
        endpoint_id=main.endpoint,
        event_type=main.event,
        incident_id=line_id,
        body=incident_body(
            main.event,
            main.incident,
            main.values,
            console_url=console_url,
            at_ns=now_ns,
            others=others,
            reminder=main.reminder,
        ),
        state="pending",
        attempts=0,
        created_ns=now_ns,
        next_attempt_ns=now_ns,
        members=() if [one.id for one in incidents] == [line_id] else tuple(one.id for one in incidents),
    )
    insert_message(tx, message)
    for incident in incidents:
        body = {"endpoint": main.endpoint, "event": main.event, "message_id": message.id}
        note(tx, incident.id, "notification.queued", body, now_ns)
    return 1


def _skipped(endpoint: str, receiver: Endpoint | None) -> dict[str, Any]:
    reason = "no such endpoint" if receiver is None else f"disabled: {receiver.disabled_reason}"
    return {"endpoint": endpoint, "reason": reason}
