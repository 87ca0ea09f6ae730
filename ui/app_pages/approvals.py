"""Approvals: what waits for a second person, and what people have said."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from custodes_sdk.models import PendingApproval, Verdict
from ui import session
from ui.components import states
from ui.components.badges import ACTION_STATES, POLICY_STATES, show_badge
from ui.components.decide import attempt, comment_form, say_what_was_done
from ui.components.incident_story import short_version
from ui.components.safe_text import md_escape
from ui.components.tables import plain_table
from ui.moments import short_stamp_text, span_text

_MOST_VERDICTS = 50


def render(context: session.Context) -> None:
    """Show what waits, oldest first, then the verdicts."""
    st.title("Approvals", anchor=False)
    say_what_was_done()
    waiting = context.client.pending_approvals().rows
    if not waiting:
        states.empty(
            "Nothing waits for approval",
            "New versions of policies and proposed actions appear here.",
            icon=":material/how_to_reg:",
        )
    for number, one in enumerate(waiting):
        _card(context, one, number)
    _verdicts(context.client.verdicts().rows)


def _card(context: session.Context, one: PendingApproval, number: int) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            if one.kind == "action":
                show_badge(ACTION_STATES, one.state)
                st.page_link(
                    context.pages["action"],
                    label=f"**{md_escape(one.reason or 'Action', limit=200)}**",
                    query_params={"id": one.subject},
                )
            elif one.kind == "policy" and one.policy_id is not None and one.version is not None:
                show_badge(POLICY_STATES, "break_glass" if one.expires_at else one.state)
                st.page_link(
                    context.pages["policy"],
                    label=f"**{md_escape(one.policy_id)}** {md_escape(short_version(one.version))}",
                    query_params={"id": one.policy_id, "version": one.version},
                )
            elif one.kind == "drift":
                st.badge("Expected change of traffic", icon=":material/trending_up:", color="blue")
            else:
                st.badge("Silence of severe incidents", icon=":material/notifications_off:", color="blue")
        since = span_text((context.now - one.since).total_seconds())
        asked = f"Asked for by {one.requested_by} {since} ago; {len(one.approvals)} of {one.needed or '?'} approvals."
        st.caption(md_escape(asked, limit=300))
        if one.kind in ("silence", "drift"):
            matchers = ", ".join(f"{name} {value}" for name, value in sorted(one.matchers.items()))
            st.caption(md_escape(f"{matchers}: {one.reason}", limit=500))
        if one.expires_at is not None:
            st.caption(f"Ends at {short_stamp_text(one.expires_at)} UTC.")
        if one.mine:
            st.caption("You asked for this or have decided already, so somebody else has to.")
            return
        comment = comment_form(f"approve_{number}", "Comment", "Approve", icon=":material/how_to_reg:", primary=True)
        if comment is not None:
            attempt(lambda: _approve(context, one, comment), "Your approval counts.")


def _approve(context: session.Context, one: PendingApproval, comment: str) -> None:
    if one.kind == "silence":
        context.client.approve_silence(one.subject, comment=comment)
    elif one.kind == "drift":
        context.client.approve_drift_reference(one.subject, comment=comment)
    elif one.kind == "action":
        context.client.approve_action(one.subject, comment=comment)
    elif one.policy_id is not None and one.version is not None:
        context.client.approve_policy(one.policy_id, one.version, comment=comment)


def _verdicts(verdicts: Sequence[Verdict]) -> None:
    st.header("Decided", anchor=False)
    if not verdicts:
        st.caption("Nobody has approved or rejected anything yet.")
        return
    plain_table(
        [
            {
                "When (UTC)": short_stamp_text(one.at),
                "Who": one.approver,
                "Verdict": one.verdict.replace("_", " ") + (" (alone)" if one.waived else ""),
                "On": _subject_text(one),
                "Asked for by": one.requested_by,
                "Comment": one.comment or "none",
            }
            for one in verdicts[:_MOST_VERDICTS]
        ],
        alt="Verdicts, newest first",
    )


def _subject_text(one: Verdict) -> str:
    name, separator, version = one.subject.partition("@")
    return f"{one.kind} {name} {short_version(version)}" if separator else f"{one.kind} {name}"
