"""What a fairness alarm leads to: an alarm row, an incident with its explanation, an audit event, webhook messages.

All in the caller's unit of work. One incident stands for one outcome of one deployment: a second group found while it
is open joins its timeline. It ends when somebody begins the comparison anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from custodes.db import ReadTx, WriteTx
from custodes.db.segments import Segment
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.ids import new_uuid7
from custodes.kernel.settings import FairnessSettings
from custodes.runtime.fairness import UNKNOWN_LANGUAGE
from custodes.runtime.store_fairness import PanelKey, StoredAlarm, StoredReading, insert_alarm
from policies.audit.intake import append_event
from policies.groups import Group, make_group
from policies.hooks.endpoint_store import list_endpoints
from policies.hooks.payload import console_link, incident_path
from policies.hooks.store import OutboxMessage, insert_message
from policies.incident_store import IncidentEvent, find_incident, insert_incident, insert_incident_event
from policies.incidents import MAX_SUMMARY_CHARACTERS, MAX_TITLE_CHARACTERS, Incident

POLICY_ID: Final = "fairness-monitor"
"""What stands for a policy in incidents that no policy opened."""
POLICY_VERSION: Final = "builtin"
EVENT: Final = "fairness.alarm"
_SHOWN_STRATA: Final = 3

PHRASES: Final = {
    "refused": "is refused",
    "negative": "is answered in a negative tone",
    "clipped": "gets answers that are cut off",
    "toxic": "gets toxic answers",
    "ungrounded": "gets answers without ground",
    "slow": "waits long",
}


@dataclass(frozen=True, slots=True)
class AlarmContext:
    """Whose alarm it is, and what everything in this unit of work says about the time."""

    key: PanelKey
    segment: Segment
    settings: FairnessSettings
    console_url: str
    now_ns: int


def raise_alarm(
    tx: WriteTx, context: AlarmContext, reading: StoredReading, onset_ns: int | None, standing: Sequence[StoredAlarm]
) -> StoredAlarm:
    """Store an alarm with everything it leads to; ``standing`` are the panel's earlier alarms."""
    now_ns = context.now_ns
    summary = explain_alarm(context.segment, reading)
    incident = _open_incident_of(tx, context.key.project, reading, standing)
    is_new = incident is None
    if incident is None:
        incident = _make_incident(context, reading, summary)
        insert_incident(tx, incident)
        opened = {"severity": incident.severity, "summary": incident.summary}
        _note(tx, incident.id, "opened", opened, now_ns)
    alarm = StoredAlarm(
        new_uuid7(now_ns), context.key, reading.group, reading.outcome, now_ns, onset_ns, incident.id, reading.body
    )
    insert_alarm(tx, alarm)
    _note(tx, incident.id, EVENT, {"summary": summary, **_numbers(alarm)}, now_ns)
    append_event(
        tx,
        action=EVENT,
        actor="fairness-monitor",
        role="system",
        object=f"incident/{incident.id}",
        data={"alarm": alarm.id, "opened": is_new, **_place(context), **_numbers(alarm)},
        at_ns=now_ns,
        project=context.key.project,
    )
    _tell(tx, context, incident, alarm, summary)
    return alarm


def explain_alarm(segment: Segment, reading: StoredReading) -> str:
    """Return what happened in words a person can act on; built from names and numbers only.

    Example: "support-bot (bot-v8): group:de is refused more often than everybody else, by 12.0 points (at least 8.1, at
    most 16.2) in 1,234 pairs since 2026-11-21T10:00:00Z. …"
    """
    recent = reading.body["recent"]
    more = "more often" if reading.body["higher"] else "less often"
    phrase = PHRASES.get(reading.outcome, f"has the outcome {reading.outcome}")
    where = f"{segment.service or '(no service)'} ({segment.deployment or 'no deployment'})"
    low, high = sorted((abs(recent["low"]), abs(recent["high"])))
    since = "" if recent["since_ns"] is None else f" since {ns_to_rfc3339(recent['since_ns'])[:19]}Z"
    sentence = (
        f"{where}: {reading.group} {phrase} {more} than everybody else, by {_points(abs(recent['gap']))} points "
        f"(at least {_points(low)}, at most {_points(high)}) in {recent['pairs']:,} pairs{since}."
    )
    strata = sorted((one for one in reading.body["strata"] if one["gap"] is not None), key=lambda one: -one["pairs"])[
        :_SHOWN_STRATA
    ]
    if len(reading.body["strata"]) > 1 and strata:
        shown = "; ".join(
            f"{_stratum_to_text(one['name'])}: {one['gap'] * 100:+.1f} points in {one['pairs']:,} pairs"
            for one in strata
        )
        sentence += f" Since the comparison began, {shown}."
    if not reading.body["audited"] and reading.body["made_by"]:
        sentence += f" How evenly the detector of {reading.body['made_by']} treats groups itself has not been audited."
    return sentence[:MAX_SUMMARY_CHARACTERS]


def group_of(segment: Segment, outcome: str) -> Group:
    """Return the labels of an incident: where it is, and which outcome."""
    labels = {"service": segment.service, "environment": segment.environment, "deployment": segment.deployment}
    return make_group({**labels, "model": segment.model, "outcome": outcome})


def _open_incident_of(
    tx: ReadTx, project: str, reading: StoredReading, standing: Sequence[StoredAlarm]
) -> Incident | None:
    for alarm in reversed(standing):
        if alarm.outcome == reading.outcome and alarm.incident_id is not None:
            found = find_incident(tx, project, alarm.incident_id)
            if found is not None and found.state != "resolved":
                return found
    return None


def _make_incident(context: AlarmContext, reading: StoredReading, summary: str) -> Incident:
    title = f"Fairness: {reading.outcome} differs between groups in {context.segment.service or '(no service)'}"
    return Incident(
        id=new_uuid7(context.now_ns),
        project_id=context.key.project,
        policy_id=POLICY_ID,
        version=POLICY_VERSION,
        group=group_of(context.segment, reading.outcome),
        severity=context.settings.severity,
        state="new",
        title=title[:MAX_TITLE_CHARACTERS],
        summary=summary,
        opened_ns=context.now_ns,
        updated_ns=context.now_ns,
        # Its own message goes out with it, so nobody else need tell anybody.
        notified_ns=context.now_ns,
        notices=1,
    )


def _tell(tx: WriteTx, context: AlarmContext, incident: Incident, alarm: StoredAlarm, summary: str) -> None:
    wanted = context.settings.endpoints
    for endpoint in list_endpoints(tx, context.key.project):
        if endpoint.state != "active" or (wanted and endpoint.id not in wanted):
            continue
        message = OutboxMessage(
            id=f"msg_{new_uuid7(context.now_ns)}",
            project_id=context.key.project,
            endpoint_id=endpoint.id,
            event_type=EVENT,
            incident_id=incident.id,
            body=alarm_body(context, incident, alarm, summary),
            state="pending",
            attempts=0,
            created_ns=context.now_ns,
            next_attempt_ns=context.now_ns,
        )
        insert_message(tx, message)


def alarm_body(context: AlarmContext, incident: Incident, alarm: StoredAlarm, summary: str) -> bytes:
    """Return ``{type, timestamp, data}`` of ``fairness.alarm`` as JSON, far below 20 kB."""
    data = {
        "alarm_id": alarm.id,
        "incident_id": incident.id,
        "project": context.key.project,
        "policy_id": incident.policy_id,
        "severity": incident.severity,
        "title": incident.title,
        "summary": summary,
        **_place(context),
        **_numbers(alarm),
        "at": ns_to_rfc3339(alarm.at_ns),
        "onset": None if alarm.onset_ns is None else ns_to_rfc3339(alarm.onset_ns),
        "url": console_link(context.console_url, incident_path(incident.id)),
    }
    return orjson.dumps({"type": EVENT, "timestamp": ns_to_rfc3339(context.now_ns), "data": data})


def _place(context: AlarmContext) -> dict[str, str]:
    segment = context.segment
    return {
        "service": segment.service,
        "environment": segment.environment,
        "deployment": segment.deployment,
        "model": segment.model,
    }


def _numbers(alarm: StoredAlarm) -> dict[str, Any]:
    recent = alarm.body["recent"]
    return {
        "group": alarm.group,
        "outcome": alarm.outcome,
        "direction": "higher" if alarm.body["higher"] else "lower",
        "gap": recent["gap"],
        "gap_low": recent["low"],
        "gap_high": recent["high"],
        "pairs": recent["pairs"],
        "statistic": alarm.body["statistic"],
    }


def _note(tx: WriteTx, incident_id: str, kind: str, body: dict[str, Any], now_ns: int) -> None:
    insert_incident_event(tx, IncidentEvent(incident_id, now_ns, kind, "fairness-monitor", body))


def _stratum_to_text(name: str) -> str:
    """Return a stratum in words: ``en/1.0`` is prompts in en of kind 1.0."""
    language, _, topic = name.partition("/")
    spoken = "unknown language" if language == UNKNOWN_LANGUAGE else language
    return f"prompts in {spoken} of kind {topic}"


def _points(rate: float) -> str:
    return f"{rate * 100:.1f}"
