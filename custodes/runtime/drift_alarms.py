"""What a drift alarm leads to: an incident with its explanation, an audit event, webhook messages.

All in the caller's unit of work. One incident stands for one deployment: what else drifts there while it is open joins
its timeline. It is resolved when drift is not found any more, or when the change is accepted as expected.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from custodes.db import ReadTx, WriteTx
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.ids import new_uuid7
from custodes.kernel.settings_drift import DriftSettings
from custodes.runtime.drift_stories import NAMES, Story
from custodes.runtime.store_drift import Place
from custodes.runtime.store_drift_watch import StoredEpisode, list_open_incident_ids, tell_episode
from policies.audit.intake import append_event
from policies.groups import Group, make_group
from policies.hooks.endpoint_store import list_endpoints
from policies.hooks.payload import console_link, incident_path
from policies.hooks.store import OutboxMessage, insert_message
from policies.incident_store import (
    IncidentEvent,
    find_incident,
    insert_incident,
    insert_incident_event,
    list_silences,
    update_incident,
)
from policies.incidents import MAX_TITLE_CHARACTERS, Incident, resolve_incident
from policies.notices import tell_end
from policies.silences import find_silence

POLICY_ID: Final = "drift-monitor"
"""What stands for a policy in incidents that no policy opened."""
POLICY_VERSION: Final = "builtin"
EVENT: Final = "drift.alarm"


def raise_alarm(
    tx: WriteTx, episode: StoredEpisode, story: Story, settings: DriftSettings, console_url: str, now_ns: int
) -> str:
    """Store everything an episode leads to, and return its incident."""
    incident = _open_incident_of(tx, episode)
    is_new = incident is None
    if incident is None:
        incident = _make_incident(episode, story, settings, now_ns)
        insert_incident(tx, incident)
        opened = {"severity": incident.severity, "summary": incident.summary}
        _note(tx, incident.id, "opened", opened, now_ns)
    tell_episode(tx, episode.id, story.body, story.onset_ns, incident.id, now_ns)
    told = {"summary": story.summary, "episode_id": episode.id, **_numbers(episode, story)}
    _note(tx, incident.id, EVENT, told, now_ns)
    append_event(
        tx,
        action=EVENT,
        actor=POLICY_ID,
        role="system",
        object=f"incident/{incident.id}",
        data={"episode": episode.id, "opened": is_new, **_labels(episode.place), **_numbers(episode, story)},
        at_ns=now_ns,
        project=episode.place.project,
    )
    _tell(tx, episode, story, incident, settings, console_url, now_ns)
    return incident.id


def resolve_quiet(tx: WriteTx, episode: StoredEpisode, console_url: str, now_ns: int) -> None:
    """Note that an episode is over; resolve its incident, and say so, if nothing else at that place drifts."""
    incident_id = episode.incident_id
    if incident_id is None:
        return
    quiet = episode.place_seen - episode.last_number - 1
    body = {"monitor": episode.monitor.name, "quiet_exchanges": quiet}
    _note(tx, incident_id, "drift.over", body, now_ns)
    found = find_incident(tx, episode.place.project, incident_id, lock=True)
    if found is None or not found.is_open or incident_id in list_open_incident_ids(tx, episode.monitor.place_id):
        return
    reason = f"no drift was found in the last {quiet:,} exchanges"
    over = resolve_incident(found, reason, now_ns)
    update_incident(tx, over)
    _note(tx, incident_id, "resolved", {"reason": reason}, now_ns)
    tell_end(tx, over, console_url=console_url, now_ns=now_ns)


def group_of(place: Place) -> Group:
    """Return the labels of an incident: where it is."""
    return make_group(_labels(place))


def _open_incident_of(tx: ReadTx, episode: StoredEpisode) -> Incident | None:
    for incident_id in list_open_incident_ids(tx, episode.monitor.place_id):
        found = find_incident(tx, episode.place.project, incident_id)
        if found is not None and found.is_open:
            return found
    return None


def _make_incident(episode: StoredEpisode, story: Story, settings: DriftSettings, now_ns: int) -> Incident:
    name = NAMES.get(episode.monitor.name, episode.monitor.name.replace("_", " "))
    title = f"Drift: {name} changed in {episode.place.service or '(no service)'}"
    return Incident(
        id=new_uuid7(now_ns),
        project_id=episode.place.project,
        policy_id=POLICY_ID,
        version=POLICY_VERSION,
        group=group_of(episode.place),
        severity=settings.severity,
        state="new",
        title=title[:MAX_TITLE_CHARACTERS],
        summary=story.summary,
        opened_ns=now_ns,
        updated_ns=now_ns,
        # Its own message goes out with it, so nobody else need tell anybody.
        notified_ns=now_ns,
        notices=1,
    )


def _tell(
    tx: WriteTx,
    episode: StoredEpisode,
    story: Story,
    incident: Incident,
    settings: DriftSettings,
    console_url: str,
    now_ns: int,
) -> None:
    """Put a message for each receiver into the outbox, or note on the timeline why they are told nothing."""
    silences = list_silences(tx, episode.place.project, ending_after_ns=now_ns)
    silence = find_silence(silences, incident, {}, now_ns)
    if silence is not None:
        body = {"event": EVENT, "silence": silence.id, "reason": silence.reason}
        _note(tx, incident.id, "notification.silenced", body, now_ns)
        return
    if incident.state == "muted":
        _note(tx, incident.id, "notification.withheld", {"event": EVENT, "reason": "the incident is muted"}, now_ns)
        return
    message_body = alarm_body(episode, story, incident, console_url, now_ns)
    for endpoint in list_endpoints(tx, episode.place.project):
        if endpoint.state != "active" or (settings.endpoints and endpoint.id not in settings.endpoints):
            continue
        message = OutboxMessage(
            id=f"msg_{new_uuid7(now_ns)}",
            project_id=episode.place.project,
            endpoint_id=endpoint.id,
            event_type=EVENT,
            incident_id=incident.id,
            body=message_body,
            state="pending",
            attempts=0,
            created_ns=now_ns,
            next_attempt_ns=now_ns,
        )
        insert_message(tx, message)


def alarm_body(episode: StoredEpisode, story: Story, incident: Incident, console_url: str, now_ns: int) -> bytes:
    """Return ``{type, timestamp, data}`` of ``drift.alarm`` as JSON, far below 20 kB."""
    data = {
        "episode_id": episode.id,
        "incident_id": incident.id,
        "project": episode.place.project,
        "policy_id": incident.policy_id,
        "severity": incident.severity,
        "title": incident.title,
        "summary": story.summary,
        **_labels(episode.place),
        **_numbers(episode, story),
        "at": ns_to_rfc3339(episode.at_ns),
        "onset": None if story.onset_ns is None else ns_to_rfc3339(story.onset_ns),
        "url": console_link(console_url, incident_path(incident.id)),
    }
    return orjson.dumps({"type": EVENT, "timestamp": ns_to_rfc3339(now_ns), "data": data})


def _labels(place: Place) -> dict[str, str]:
    return {"service": place.service, "environment": place.environment, "deployment": place.deployment}


def _numbers(episode: StoredEpisode, story: Story) -> dict[str, Any]:
    return {
        "monitor": episode.monitor.name,
        "view": episode.view,
        "statistic": episode.statistic,
        "threshold": episode.threshold,
        "reference_version": episode.reference_version,
        "exchanges_since": story.body["exchanges_since"],
        "separation": story.body.get("separation"),
        "novel_share": story.body.get("novel_share"),
    }


def _note(tx: WriteTx, incident_id: str, kind: str, body: dict[str, Any], now_ns: int) -> None:
    insert_incident_event(tx, IncidentEvent(incident_id, now_ns, kind, POLICY_ID, body))
