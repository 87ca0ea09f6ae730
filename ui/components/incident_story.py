"""An incident in plain words, and its course step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import streamlit as st

from custodes_sdk.models import Delivery, IncidentDetail, TimelineEntry
from ui.components.badges import SERVICE_STATES, state_word
from ui.components.safe_text import md_escape
from ui.figures import plural, state_text
from ui.moments import clock_text, span_text, stamp_text

_SHORT_VERSION = 12
_LONGEST_DETAIL = 600
STEP_ICONS = {
    "opened": ":material/notifications_active:",
    "escalated": ":material/priority_high:",
    "decision": ":material/gavel:",
    "resolved": ":material/check_circle:",
    "regressed": ":material/replay:",
    "acknowledged": ":material/visibility:",
    "assigned": ":material/person:",
    "severity": ":material/tune:",
    "labelled": ":material/label:",
    "muted": ":material/notifications_paused:",
    "unmuted": ":material/notifications:",
    "note": ":material/sticky_note_2:",
    "clock": ":material/timer:",
    "reported": ":material/outgoing_mail:",
    "notification.silenced": ":material/notifications_off:",
    "notification.withheld": ":material/notifications_off:",
    "notification.queued": ":material/outbox:",
    "notification.delivered": ":material/mark_email_read:",
    "notification.failed": ":material/unsubscribe:",
    "notification.skipped": ":material/notifications_off:",
    "action.proposed": ":material/front_hand:",
    "action.shadowed": ":material/visibility:",
    "action.planned": ":material/route:",
    "action.held": ":material/front_hand:",
    "action.approved": ":material/how_to_reg:",
    "action.refused": ":material/block:",
    "action.cancelled": ":material/close:",
    "action.snapshot": ":material/photo_camera:",
    "action.sent": ":material/outbox:",
    "action.attempted": ":material/outbox:",
    "action.acknowledged": ":material/task_alt:",
    "action.verifying": ":material/hourglass_top:",
    "action.helped": ":material/check_circle:",
    "action.not_helped": ":material/error:",
    "action.inconclusive": ":material/help:",
    "action.failed": ":material/report:",
}


def story(incident: IncidentDetail) -> str:
    """Return what happened in two or three plain sentences, made only of recorded facts."""
    if incident.summary and incident.origin != "person" and not (incident.policy_version or "").startswith("sha256:"):
        # No policy opened it but a monitor, which says itself what it found.
        return f"{incident.summary} {_ending(incident)} {_notified(incident.deliveries)}".strip()
    policy = f"Policy {incident.policy_id}" if incident.origin != "person" else "A person"
    if incident.origin != "person" and incident.policy_version is not None:
        policy += f" (version {short_version(incident.policy_version)})"
    opened = f"{policy} opened this incident at {stamp_text(incident.opened_at)}"
    if incident.group:
        opened += f" for {group_text(incident.group)}"
    firing = [decision for decision in incident.decisions if decision.to_state == "firing"]
    if firing:
        opened += f", when {values_text(firing[0].values)}"
    if incident.episode_at is not None and incident.episode_at > incident.opened_at:
        opened += f". It came back at {stamp_text(incident.episode_at)}"
    return f"{opened}. {_ending(incident)} {_notified(incident.deliveries)}".strip()


def _ending(incident: IncidentDetail) -> str:
    if incident.resolved_at is None:
        return "It is still open."
    begun = incident.episode_at or incident.opened_at
    length = span_text((incident.resolved_at - begun).total_seconds())
    return f"It was resolved after {length}, at {stamp_text(incident.resolved_at)}."


def short_version(version: str | None) -> str:
    """Return the start of a policy version's hash, enough to tell versions apart."""
    return "unknown" if version is None else version.removeprefix("sha256:")[:_SHORT_VERSION]


def group_text(group: Mapping[str, object]) -> str:
    """Return a policy group in words: ``deployment support-bot-v7, environment prod``."""
    return ", ".join(f"{state_text(name)} {value}" for name, value in sorted(group.items())) or "the whole scope"


def values_text(values: Mapping[str, object]) -> str:
    """Return signal values in words: ``tox_p95 was 0.91, n was 212``."""
    return (
        ", ".join(f"{name} was {value_text(value)}" for name, value in sorted(values.items()))
        or "no value was recorded"
    )


def value_text(value: object) -> str:
    """Return one signal value; a missing one is ``no data``."""
    if value is None:
        return "no data"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def timeline(entries: Sequence[TimelineEntry]) -> None:
    """Show what happened as a vertical line of steps, oldest first."""
    if not entries:
        st.caption("Nothing has been recorded yet.")
    day: datetime | None = None
    for number, entry in enumerate(entries):
        kind = state_text(entry.kind.replace(".", " ")).capitalize()
        label = f"{md_escape(_when(entry.at, day))} · **{md_escape(kind)}**"
        if entry.actor:
            label += f" by {md_escape(entry.actor)}"
        with st.expander(
            label,
            type="step",
            icon=STEP_ICONS.get(entry.kind, ":material/radio_button_checked:"),
            expanded=True,
            key=f"step_{number}",
        ):
            detail = " · ".join(f"{name}: {value}" for name, value in body_facts(entry.body).items())
            st.caption(md_escape(detail, limit=_LONGEST_DETAIL) if detail else "No further detail was recorded.")
        day = entry.at


def body_facts(body: Mapping[str, object]) -> dict[str, str]:
    """Return a timeline entry's body as facts, without ids; one level of nesting is written out."""
    facts: dict[str, str] = {}
    for name, value in body.items():
        if name.endswith("_id"):
            continue
        if name in ("from", "to") and isinstance(value, str):
            facts[state_text(name).capitalize()] = state_word(SERVICE_STATES, value)
        elif isinstance(value, Mapping):
            facts[state_text(name).capitalize()] = ", ".join(
                f"{key} {value_text(inner)}" for key, inner in value.items()
            )
        else:
            facts[state_text(name).capitalize()] = value_text(value)
    return facts


def _when(moment: datetime, previous: datetime | None) -> str:
    same_day = previous is not None and previous.date() == moment.date()
    return clock_text(moment) if same_day else stamp_text(moment)


def _notified(deliveries: Sequence[Delivery]) -> str:
    if not deliveries:
        return "No webhook was configured for it."
    delivered = sum(delivery.delivered_at is not None for delivery in deliveries)
    return f"{delivered} of {plural(len(deliveries), 'webhook message')} delivered."
