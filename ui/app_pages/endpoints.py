"""Endpoints: where messages go, which receivers fail, and sending again what was given up."""

from __future__ import annotations

import streamlit as st

from custodes_sdk.models import Endpoint, EndpointMessage, EndpointTrial
from ui import session
from ui.components import states
from ui.components.badges import ENDPOINT_STATES, show_badge
from ui.components.decide import attempt, say_what_was_done
from ui.components.endpoint_form import endpoint_form, rotate_button, show_new_secret
from ui.components.safe_text import md_escape
from ui.components.tables import plain_table
from ui.figures import plural
from ui.moments import milliseconds_text, short_stamp_text, span_text

_MOST_SHOWN = 20
_MAY_WRITE = frozenset({"operator", "admin"})


def render(context: session.Context) -> None:
    """Show every endpoint with its state and the messages that were given up."""
    st.title("Endpoints", anchor=False)
    say_what_was_done()
    show_new_secret()
    st.caption("Where messages about incidents go.")
    found = context.client.endpoints().rows
    if not found:
        states.empty("No endpoints yet", "Until there is one, nobody is told of incidents.", icon=":material/outbound:")
    for number, one in enumerate(found):
        _card(context, one, number)
    if _may_write(context):
        endpoint_form(context)


def state_of(one: Endpoint) -> str:
    """Return the one word for how an endpoint is: disabled, resting, trying or active."""
    if one.state == "disabled":
        return "disabled"
    return {"open": "resting", "half_open": "trying"}.get(one.breaker.state, "active")


def _card(context: session.Context, one: Endpoint, number: int) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            show_badge(ENDPOINT_STATES, state_of(one))
            st.subheader(md_escape(one.id), anchor=False, width="content")
            st.caption(md_escape(f"{one.kind}, {one.url}", limit=300), width="content")
        st.caption(md_escape(_story(context, one), limit=600))
        if one.last_error:
            st.warning(md_escape(one.last_error, limit=300), icon=":material/error:")
        may_write = _may_write(context)
        if may_write:
            with st.container(horizontal=True):
                tested = st.button("Send a test", icon=":material/send:", key=f"test_{number}")
                if one.signs:
                    rotate_button(context, one, number)
            if tested:
                _say(context.client.test_endpoint(one.id))
        if one.dead:
            _dead_letters(context, one, number, may_write=may_write)


def _may_write(context: session.Context) -> bool:
    return bool(_MAY_WRITE.intersection(context.me.roles or (context.me.role,)))


def _story(context: session.Context, one: Endpoint) -> str:
    """Return in a few sentences what is known of a receiver."""
    parts = []
    if one.state == "disabled":
        parts.append(f"Disabled: {one.disabled_reason or 'no reason is known'}.")
    elif one.breaker.open_until is not None:
        left = span_text(max(0.0, (one.breaker.open_until - context.now).total_seconds()))
        parts.append(f"Resting after {plural(one.breaker.failures, 'failure')} in a row; tried again in {left}.")
    delivered = "nothing yet" if one.last_delivered_at is None else f"{short_stamp_text(one.last_delivered_at)} UTC"
    parts.append(f"Last accepted: {delivered}.")
    if one.last_failed_at is not None:
        parts.append(f"Last failed: {short_stamp_text(one.last_failed_at)} UTC.")
    parts.append(f"{plural(one.pending, 'message')} waiting, {one.dead} given up.")
    if one.rotating_until is not None:
        parts.append(f"Two signing keys until {short_stamp_text(one.rotating_until)} UTC.")
    return " ".join(parts)


def _say(trial: EndpointTrial) -> None:
    took = milliseconds_text(trial.duration_ms)
    detail = md_escape(trial.detail, limit=300)
    if trial.delivered:
        st.success(f"The receiver accepted the test in {took}: {detail}", icon=":material/check_circle:")
    else:
        st.error(f"The receiver did not accept the test: {detail}", icon=":material/error:")


def _dead_letters(context: session.Context, one: Endpoint, number: int, *, may_write: bool) -> None:
    with st.expander(f"{plural(one.dead, 'message')} given up", icon=":material/mark_email_unread:"):
        found = context.client.endpoint_messages(one.id, state="dead", limit=_MOST_SHOWN).rows
        plain_table([_row(message) for message in found], alt=f"Messages given up for endpoint {number + 1}")
        if one.dead > len(found):
            st.caption(f"The newest {len(found)} of {one.dead}.")
        if (
            may_write
            and one.state != "disabled"
            and st.button("Send them again", icon=":material/replay:", key=f"replay_{number}")
        ):
            # The oldest ones come first, at most 500 a time, so the button may be needed again.
            attempt(lambda: context.client.replay_messages(one.id), "What was given up is sent again.")
        if may_write and st.button("Discard them", icon=":material/delete:", key=f"discard_{number}"):
            attempt(lambda: context.client.discard_messages(one.id), "What was given up is removed for good.")
        if one.state == "disabled":
            st.caption("Enable the endpoint first: custodes endpoint add NAME")


def _row(message: EndpointMessage) -> dict[str, str]:
    return {
        "Time": "unknown" if message.created_at is None else short_stamp_text(message.created_at),
        "Event": message.event,
        "Tried": plural(len(message.attempts), "time"),
        "Why": message.last_error or "unknown",
        "Message": message.id,
    }
