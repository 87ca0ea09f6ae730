"""Silences: what stays quiet, why, and until when."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from custodes_sdk.models import Silence
from ui import session
from ui.components import states
from ui.components.badges import SILENCE_STATES, show_badge
from ui.components.decide import attempt, say_what_was_done
from ui.components.safe_text import md_escape
from ui.moments import short_stamp_text, span_text

_NAMES = ("policy", "severity", "service", "environment", "deployment", "model")
_DURATIONS = {"1 hour": 1, "4 hours": 4, "1 day": 24, "3 days": 72, "7 days": 168}
_SHORTEST_REASON = 10


def render(context: session.Context) -> None:
    """Show silences, the latest ending first, and a form for a new one."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Silences", anchor=False, width="content")
        everything = st.toggle("Those that are over, too", key="all", bind="query-params")
    say_what_was_done()
    st.caption("A silence keeps notifications back and nothing else: policies, incidents and the audit log go on.")
    found = context.client.silences(state="all" if everything else "current").rows
    if not found:
        states.empty("Nothing is silenced", "Every incident reaches its receivers.", icon=":material/notifications:")
    for number, one in enumerate(found):
        _card(context, one, number)
    _form(context)


def _card(context: session.Context, one: Silence, number: int) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            show_badge(SILENCE_STATES, "needs_approval" if one.needs_approval else one.state)
            matchers = ", ".join(f"{name} {value}" for name, value in sorted(one.matchers.items()))
            st.subheader(md_escape(matchers, limit=200), anchor=False, width="content")
        st.caption(md_escape(one.reason, limit=1000))
        ends = "ended" if one.state == "ended" else f"ends in {span_text((one.ends_at - context.now).total_seconds())}"
        by = f"Made by {one.author or 'unknown'}" + (f", approved by {one.approver}" if one.approver else "")
        holds = f"{by}; {ends}, {short_stamp_text(one.ends_at)} UTC. Holds for {', '.join(one.covers)}."
        st.caption(md_escape(holds, limit=500))
        if one.needs_approval:
            st.caption("High and critical incidents stay loud until somebody else approves it.")
            if one.author != context.me.actor and st.button(
                "Approve", icon=":material/how_to_reg:", key=f"ok_{number}"
            ):
                attempt(lambda: context.client.approve_silence(one.id, revision=one.revision), "It holds for all now.")
        if one.state != "ended" and st.button(
            "End it now", icon=":material/notifications_active:", key=f"end_{number}"
        ):
            attempt(lambda: context.client.end_silence(one.id, revision=one.revision), "The silence is over.")


def _form(context: session.Context) -> None:
    st.header("Keep something quiet", anchor=False)
    with st.form("new_silence", border=True):
        with st.grid(3, min_column_width=200, gap="small"):
            given = {name: st.text_input(name.capitalize(), key=f"m_{name}", max_chars=256) for name in _NAMES}
        reason = st.text_input(
            "Reason", key="silence_reason", max_chars=1000, placeholder="Why nobody needs to hear of it"
        )
        chosen = st.selectbox("For", list(_DURATIONS), index=1, key="silence_for")
        sent = st.form_submit_button("Silence", icon=":material/notifications_off:", type="primary")
    if not sent:
        return
    matchers = {name: value.strip() for name, value in given.items() if value and value.strip()}
    if not matchers or len((reason or "").strip()) < _SHORTEST_REASON:
        st.error(
            f"Fill in at least one of the fields, and a reason of {_SHORTEST_REASON} characters. "
            "An asterisk stands for any characters.",
            icon=":material/edit_note:",
        )
        return
    ends_at = context.now + timedelta(hours=_DURATIONS[chosen or "4 hours"])
    attempt(
        lambda: context.client.create_silence(matchers, reason=(reason or "").strip(), ends_at=ends_at),
        "The silence holds.",
    )
