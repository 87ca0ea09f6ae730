"""Incident: what happened, who was told, and on which evidence."""

from __future__ import annotations

import streamlit as st

from custodes_sdk.models import Decision, Delivery, IncidentDetail
from ui import session
from ui.components import states
from ui.components.action_words import action_title
from ui.components.badges import (
    ACTION_STATES,
    DELIVERY_STATES,
    INCIDENT_STATES,
    LABELS,
    OUTCOMES,
    SERVICE_STATES,
    SEVERITIES,
    show_badge,
    state_word,
)
from ui.components.decide import say_what_was_done
from ui.components.drift_story import monitor_name
from ui.components.incident_actions import handle_incident
from ui.components.incident_story import group_text, short_version, story, timeline, value_text
from ui.components.safe_text import md_escape, safe_text
from ui.components.tables import plain_table
from ui.components.trace_table import trace_table
from ui.figures import count_text, plural, state_text
from ui.moments import clock_text, milliseconds_text, short_stamp_text, stamp_text

_MOST_LEAVES = 24
_MOST_ACTIONS = 20


def render(context: session.Context) -> None:
    """Show the incident that ``?id=`` names."""
    st.page_link(context.pages["incidents"], label="Incidents", icon=":material/arrow_back:")
    incident_id = st.query_params.get("id", "")
    if not incident_id:
        states.empty("No incident chosen", "Open one from the list.", icon=":material/notification_important:")
        return
    incident = context.client.incident(incident_id)
    _header(context, incident)
    say_what_was_done()
    handle_incident(context, incident)
    _decisions(incident)
    _actions(context, incident)
    with st.grid(2, min_column_width=360, gap="medium"):
        with st.container():
            st.header("What happened", anchor=False)
            timeline(incident.timeline)
        with st.container():
            st.header("Who was told", anchor=False)
            _deliveries(incident)
    _traces(context, incident)
    _policy(incident)
    _leaves(context, incident)


def _header(context: session.Context, incident: IncidentDetail) -> None:
    st.title(md_escape(incident.title, limit=160), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        show_badge(SEVERITIES, incident.severity)
        show_badge(INCIDENT_STATES, incident.state)
        if incident.label:
            show_badge(LABELS, incident.label)
        st.caption(md_escape(group_text(incident.group), limit=200), width="content")
    st.info(md_escape(story(incident), limit=1_000), icon=":material/summarize:")
    _drift(context, incident)
    for one in incident.grouped:
        st.page_link(
            context.pages["incident"],
            label=f"Told together with: {md_escape(one.title, limit=160)}",
            icon=":material/link:",
            query_params={"id": one.id},
        )


def _drift(context: session.Context, incident: IncidentDetail) -> None:
    """Lead to what the drift monitors know: explanation, map, how to accept the change, and Evidently's reports."""
    labels = {"drift.alarm": ("What changed", ":material/trending_up:"),
              "drift.report": ("Evidently report", ":material/lab_profile:")}  # fmt: skip
    for entry in incident.timeline:
        episode, monitor = entry.body.get("episode_id"), entry.body.get("monitor")
        if entry.kind in labels and isinstance(episode, str) and isinstance(monitor, str):
            label, icon = labels[entry.kind]
            st.page_link(
                context.pages["drift"],
                label=md_escape(f"{label}: {monitor_name(monitor).lower()}"),
                icon=icon,
                query_params={"episode": episode},
            )


def _decisions(incident: IncidentDetail) -> None:
    st.header("Decisions", anchor=False)
    if not incident.decisions:
        st.caption("No decision has been recorded for this incident.")
        return
    names = sorted({name for decision in incident.decisions for name in decision.values})
    plain_table(
        [_decision_row(decision, names) for decision in incident.decisions],
        alt="State changes of the policy, with the values they were decided on",
    )


def _actions(context: session.Context, incident: IncidentDetail) -> None:
    found = context.client.actions(incident=incident.id, limit=_MOST_ACTIONS).rows
    if not found:
        return
    st.header("Actions", anchor=False)
    for one in found:
        with st.container(horizontal=True, vertical_alignment="center"):
            show_badge(ACTION_STATES, one.state)
            st.page_link(
                context.pages["action"], label=md_escape(action_title(one), limit=160), query_params={"id": one.id}
            )


def _decision_row(decision: Decision, names: list[str]) -> dict[str, str]:
    states_of = SERVICE_STATES
    row = {
        "Time (UTC)": short_stamp_text(decision.at),
        "From": state_word(states_of, decision.from_state),
        "To": state_word(states_of, decision.to_state),
    }
    row |= {name: value_text(decision.values.get(name)) for name in names}
    row["Why"] = decision.reason or "not recorded"
    row["Policy version"] = short_version(decision.policy_version)
    return row


def _deliveries(incident: IncidentDetail) -> None:
    if not incident.deliveries:
        st.caption("No webhook endpoint is configured in this policy, so nobody was told.")
    for number, delivery in enumerate(incident.deliveries):
        _delivery(delivery, number)


def _delivery(delivery: Delivery, number: int) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader(md_escape(delivery.endpoint), anchor=False, width="content")
            show_badge(DELIVERY_STATES, delivery.state)
        when = f", delivered at {stamp_text(delivery.delivered_at)}" if delivery.delivered_at else ""
        st.caption(
            md_escape(
                f"{delivery.event_type}, {plural(delivery.attempts, 'attempt')}{when}. Message {delivery.id}", limit=300
            )
        )
        if delivery.last_error and delivery.delivered_at is None:
            st.warning(md_escape(delivery.last_error, limit=300), icon=":material/error:")
        if delivery.attempts_log:
            plain_table(
                [
                    {
                        "No.": str(attempt.n),
                        "Time": clock_text(attempt.at),
                        "Outcome": OUTCOMES.get(attempt.outcome, state_text(attempt.outcome)),
                        "Status": "no answer" if attempt.status is None else str(attempt.status),
                        "Took": milliseconds_text(attempt.duration_ms),
                    }
                    for attempt in delivery.attempts_log
                ],
                alt=f"Attempts to deliver message {number + 1}",
            )


def _traces(context: session.Context, incident: IncidentDetail) -> None:
    st.header("Affected traces", anchor=False)
    if not incident.traces:
        st.caption("No trace of this incident's window and group is stored any more.")
        return
    st.caption(f"The {plural(len(incident.traces), 'worst trace')} in its window and group. Select a row to open it.")
    trace_table(incident.traces, context.pages["trace"], key="incident_traces")


def _policy(incident: IncidentDetail) -> None:
    st.header("Policy", anchor=False)
    if incident.policy is None or not incident.policy.source:
        st.caption("The policy's text is not available.")
        return
    with st.expander(f"Source of {md_escape(incident.policy.id)}", icon=":material/policy:"):
        safe_text(incident.policy.source, lang="yaml")


def _leaves(context: session.Context, incident: IncidentDetail) -> None:
    st.header("Audit entries", anchor=False)
    if not incident.audit_seqs:
        st.caption("No audit entry refers to this incident yet.")
        return
    st.caption("Each of these is a leaf of the audit log; open one to see its proof.")
    with st.container(horizontal=True):
        for seq in incident.audit_seqs[:_MOST_LEAVES]:
            st.page_link(
                context.pages["audit"],
                label=f"No\\. {count_text(seq)}",
                icon=":material/verified_user:",
                query_params={"seq": str(seq)},
                width="content",
            )
    if len(incident.audit_seqs) > _MOST_LEAVES:
        st.caption(f"and {count_text(len(incident.audit_seqs) - _MOST_LEAVES)} more")
