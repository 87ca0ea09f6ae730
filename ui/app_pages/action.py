"""Action: the whole chain of one, from the scores that decided to whether it helped."""

from __future__ import annotations

import json

import streamlit as st

from custodes_sdk.models import ActionDetail
from ui import session
from ui.components import states
from ui.components.action_words import action_title, finding_facts
from ui.components.badges import ACTION_STATES, show_badge
from ui.components.decide import attempt, comment_form, say_what_was_done
from ui.components.incident_story import body_facts, group_text, short_version, values_text
from ui.components.safe_text import md_escape, safe_text
from ui.components.tables import facts_table, plain_table
from ui.figures import count_text, state_text
from ui.moments import short_stamp_text

_SHORTEST_REASON = 3
_STOPPABLE = frozenset({"proposed", "approved", "snapshot"})


def render(context: session.Context) -> None:
    """Show the action that ``?id=`` names."""
    st.page_link(context.pages["actions"], label="Actions", icon=":material/arrow_back:")
    action_id = st.query_params.get("id", "")
    if not action_id:
        states.empty("No action chosen", "Open one from the list.", icon=":material/restart_alt:")
        return
    action = context.client.action(action_id)
    _header(action)
    say_what_was_done()
    _decide(context, action)
    _led_to_it(context, action)
    _events(action)
    _verification(action)
    _evidence(action)
    _leaves(context, action)


def _header(action: ActionDetail) -> None:
    st.title(md_escape(action_title(action), limit=160), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        show_badge(ACTION_STATES, action.state)
        st.caption(md_escape(f"mode {action.mode}", limit=60), width="content")
    if action.reason:
        st.info(md_escape(action.reason, limit=1_000), icon=":material/summarize:")
    for one in action.switches:
        if one.stopped:
            st.error(md_escape(f"Actions are stopped by {one.actor}: {one.reason}", limit=400), icon=":material/block:")


def _decide(context: session.Context, action: ActionDetail) -> None:
    if action.state == "proposed":
        if action.planned_at is None:
            st.caption("Being planned: in some seconds it says which version serves and which it would go to.")
        elif action.author == context.me.actor and not context.me.dev:
            st.caption("You asked for this, or wrote the policy that does, so somebody else has to agree.")
        else:
            _approve(context, action)
    elif action.state == "sent" and action.adapter == "people":
        detail = comment_form("done", "What was done", "It is done", icon=":material/task_alt:", primary=True)
        if detail is not None:
            attempt(
                lambda: context.client.finish_action(action.id, detail=detail, revision=action.revision), "Recorded."
            )
    if action.state in _STOPPABLE:
        with st.expander("Turn it down or call it off", icon=":material/block:"):
            _stop(context, action)


def _approve(context: session.Context, action: ActionDetail) -> None:
    comment = comment_form("approve", "Comment", "Approve", icon=":material/how_to_reg:", primary=True)
    if comment is not None:
        attempt(
            lambda: context.client.approve_action(action.id, comment=comment, revision=action.revision),
            "It begins now.",
        )


def _stop(context: session.Context, action: ActionDetail) -> None:
    if action.state == "proposed":
        why = comment_form("refuse", "Reason", "Refuse", icon=":material/block:", least=_SHORTEST_REASON)
        if why is not None:
            attempt(lambda: context.client.refuse_action(action.id, reason=why, revision=action.revision), "Refused.")
        return
    reason = comment_form("cancel", "Reason", "Call it off", icon=":material/close:", least=_SHORTEST_REASON)
    if reason is not None:
        attempt(lambda: context.client.cancel_action(action.id, reason=reason, revision=action.revision), "Called off.")


def _led_to_it(context: session.Context, action: ActionDetail) -> None:
    st.header("What led to it", anchor=False)
    if action.decision is not None:
        one = action.decision
        said = (
            f"Policy {one.policy_id} (version {short_version(one.policy_version)}) decided at "
            f"{short_stamp_text(one.at)} UTC for {group_text(action.group)}, "
            f"when {values_text(one.values)}: {one.reason}."
        )
        st.info(md_escape(said, limit=600), icon=":material/gavel:")
    if action.incident is not None:
        st.page_link(
            context.pages["incident"],
            label=f"Incident: {md_escape(action.incident.title, limit=160)}",
            icon=":material/notification_important:",
            query_params={"id": action.incident.id},
        )
    share = "unknown" if action.traffic_share is None else f"{action.traffic_share:.0%}"
    facts_table(
        {
            "Target": ", ".join(f"{state_text(name)} {value}" for name, value in sorted(action.target.items())),
            "Serving when it was planned": action.from_version or "not known",
            "To go to": action.to_version or "not known",
            "Share of the traffic": share,
            "Asked for by": action.author or "unknown",
            "Agreed to by": (action.approver or "nobody yet") + (" (alone)" if action.waived else ""),
        },
        alt="What the action is about",
    )
    if action.approvals:
        plain_table(
            [
                {
                    "When (UTC)": short_stamp_text(one.at),
                    "Who": one.approver,
                    "Verdict": one.verdict,
                    "Comment": one.comment or "none",
                }
                for one in action.approvals
            ],
            alt="Who agreed or did not",
        )


def _events(action: ActionDetail) -> None:
    st.header("What was done", anchor=False)
    plain_table(
        [
            {
                "When (UTC)": short_stamp_text(event.at),
                "Step": state_text(event.kind).capitalize(),
                "Who": event.actor,
                "Detail": "; ".join(
                    f"{name}: {value}" for name, value in body_facts(event.body).items() if name != "State"
                ),
            }
            for event in action.events
        ],
        alt="Every step of the action, oldest first",
    )


def _verification(action: ActionDetail) -> None:
    st.header("Whether it helped", anchor=False)
    facts = finding_facts(action.finding)
    if not facts:
        st.caption("Nothing has been looked at yet.")
        return
    facts_table(facts, alt="What verification saw")


def _evidence(action: ActionDetail) -> None:
    st.header("Evidence taken before", anchor=False)
    if action.evidence is None:
        st.caption("It is taken once somebody has agreed, before anything is done.")
        return
    st.caption(md_escape(f"SHA-256 {action.evidence_digest}, as the audit log has it.", limit=160))
    with st.expander("Snapshot", icon=":material/photo_camera:"):
        safe_text(json.dumps(action.evidence, indent=2, sort_keys=True), lang="json")


def _leaves(context: session.Context, action: ActionDetail) -> None:
    st.header("Audit entries", anchor=False)
    if not action.audit_seqs:
        st.caption("Not under a signed checkpoint yet; that takes a second.")
    with st.container(horizontal=True):
        for seq in action.audit_seqs:
            st.page_link(
                context.pages["audit"],
                label=f"No\\. {count_text(seq)}",
                icon=":material/verified_user:",
                query_params={"seq": str(seq)},
                width="content",
            )
