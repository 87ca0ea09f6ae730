"""What a person can do about an incident: take it over, keep it quiet, judge it, start a regulator's clock."""

from __future__ import annotations

from functools import partial

import streamlit as st

from custodes_sdk.models import IncidentDetail, RegulatorClock
from ui import session
from ui.components.badges import LABELS
from ui.components.decide import attempt, comment_form
from ui.components.safe_text import md_escape
from ui.components.tables import plain_table
from ui.moments import short_stamp_text, span_text, stamp_text

_MUTES = {"1 hour": "1h", "4 hours": "4h", "1 day": "1d", "3 days": "3d"}
_JUDGED = "incident_judged"
_JUDGEMENTS = {"Not judged": None, "True alarm": "true_alarm", "False alarm": "false_alarm"}


def handle_incident(context: session.Context, incident: IncidentDetail) -> None:
    """Show who looks after the incident and what can be done about it."""
    st.header("Handling", anchor=False)
    st.caption(md_escape(handling_text(incident), limit=400))
    if incident.state != "resolved":
        _open_actions(context, incident)
    _judge(context, incident)
    with st.expander("Add a note", icon=":material/sticky_note_2:"):
        text = comment_form("note", "Note", "Add", icon=":material/add:", least=1)
        if text is not None:
            attempt(lambda: context.client.note_incident(incident.id, text), "The note is on the timeline.")
    _clocks(context, incident)


def handling_text(incident: IncidentDetail) -> str:
    """Return who looks after an incident and what is due next, in a sentence or two."""
    parts = [f"With {incident.assignee}." if incident.assignee else "Nobody has taken it over."]
    if incident.state == "muted" and incident.muted_until is not None:
        parts.append(f"Quiet until {stamp_text(incident.muted_until)}.")
    elif incident.escalates_at is not None:
        parts.append(f"It escalates at {stamp_text(incident.escalates_at)} unless somebody acknowledges it.")
    if incident.matches:
        parts.append(f"{incident.matches:,} exchanges match.")
    if incident.label and incident.labelled_by:
        parts.append(f"Judged by {incident.labelled_by}.")
    return " ".join(parts)


def _open_actions(context: session.Context, incident: IncidentDetail) -> None:
    client, revision = context.client, incident.revision
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if incident.state != "acknowledged" and st.button(
            "Acknowledge", icon=":material/visibility:", type="primary", key="acknowledge"
        ):
            attempt(lambda: client.acknowledge_incident(incident.id, revision=revision), "It is with you now.")
        if incident.state == "muted" and st.button("Unmute", icon=":material/notifications:", key="unmute"):
            attempt(lambda: client.unmute_incident(incident.id, revision=revision), "It is no longer muted.")
    with st.expander("Keep it quiet, or ask for help", icon=":material/notifications_paused:"):
        chosen = st.selectbox("For", list(_MUTES), index=1, key="mute_for")
        reason = comment_form("mute", "Why it may stay quiet", "Mute", icon=":material/notifications_paused:", least=3)
        if reason is not None:
            duration = _MUTES[chosen or "4 hours"]
            attempt(
                lambda: client.mute_incident(incident.id, duration=duration, reason=reason, revision=revision),
                "It stays quiet.",
            )
        if incident.state != "escalating":
            help_for = comment_form(
                "escalate", "What help is needed", "Escalate", icon=":material/priority_high:", least=3
            )
            if help_for is not None:
                attempt(
                    lambda: client.escalate_incident(incident.id, reason=help_for, revision=revision),
                    "Its receivers are told.",
                )
        if incident.origin == "person":
            over = comment_form("resolve", "Why it is over", "Resolve", icon=":material/check_circle:", least=3)
            if over is not None:
                attempt(lambda: client.resolve_incident(incident.id, reason=over, revision=revision), "It is resolved.")


def _judge(context: session.Context, incident: IncidentDetail) -> None:
    names = list(_JUDGEMENTS)
    shown = next((name for name, label in _JUDGEMENTS.items() if label == incident.label), names[0])
    key = f"judge_{incident.id}_{incident.revision}"

    # Judged on the click and not by what the control shows, which the server may have seen otherwise.
    def remember() -> None:
        st.session_state[_JUDGED] = st.session_state[key]

    st.segmented_control(
        "Was the alarm right? Back-tests are measured by this.",
        names,
        default=shown,
        required=True,
        key=key,
        on_change=remember,
    )
    chosen = st.session_state.pop(_JUDGED, None)
    if chosen is not None and chosen != shown:
        label = _JUDGEMENTS[chosen]
        said = "The judgement is gone." if label is None else f"Judged: {LABELS[label][0].lower()}."
        attempt(partial(context.client.change_incident, incident.id, revision=incident.revision, label=label), said)


def _clocks(context: session.Context, incident: IncidentDetail) -> None:
    with st.expander("Duties to report", icon=":material/timer:", expanded=bool(incident.clocks)):
        if incident.clocks:
            plain_table([_clock_row(context, one) for one in incident.clocks], alt="Clocks of duties to report")
        for number, one in enumerate(incident.clocks):
            if one.reported_at is None and st.button(
                f"Reported: {md_escape(one.name)}", icon=":material/outgoing_mail:", key=f"reported_{number}"
            ):
                attempt(partial(context.client.report_clock, incident.id, one.name), "The report is on record.")
        name = comment_form(
            "clock",
            "Name of the duty",
            "Start its clock now",
            icon=":material/timer:",
            least=3,
            placeholder="gdpr-breach",
        )
        if name is not None:
            attempt(lambda: context.client.start_clock(incident.id, name), "The clock runs.")


def _clock_row(context: session.Context, one: RegulatorClock) -> dict[str, str]:
    if one.reported_at is not None:
        left = f"reported {short_stamp_text(one.reported_at)}" + (" (late)" if one.overdue else "")
    elif one.overdue:
        left = f"overdue by {span_text((context.now - one.due_at).total_seconds())}"
    else:
        left = f"{span_text((one.due_at - context.now).total_seconds())} left"
    return {
        "Duty": one.name,
        "Aware since (UTC)": short_stamp_text(one.aware_at),
        "Due (UTC)": short_stamp_text(one.due_at),
        "Stands": left,
        "Started by": one.started_by or "unknown",
    }
