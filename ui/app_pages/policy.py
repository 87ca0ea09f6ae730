"""Policy: one rule with its versions, what review has to know about each, and the proof that it ran."""

from __future__ import annotations

import streamlit as st

from custodes_sdk import NotFound
from custodes_sdk.models import PolicyDetail, PolicyReview, PolicyVersion, TallyHour
from ui import session
from ui.components import states
from ui.components.backtest_view import backtest_view
from ui.components.badges import POLICY_STATES, SERVICE_STATES, SEVERITIES, show_badge, state_word
from ui.components.decide import attempt, comment_form, say_what_was_done
from ui.components.incident_story import group_text, short_version
from ui.components.safe_text import md_escape, safe_text
from ui.components.tables import facts_table, plain_table
from ui.figures import plural
from ui.moments import short_stamp_text, stamp_text

_MOST_GROUPS = 50
_MOST_HOURS = 24


def render(context: session.Context) -> None:
    """Show the policy that ``?id=`` names, and of its versions the one that ``?version=`` names."""
    st.page_link(context.pages["policies"], label="Policies", icon=":material/arrow_back:")
    policy_id = st.query_params.get("id", "")
    if not policy_id:
        states.empty("No policy chosen", "Open one from the list.", icon=":material/policy:")
        return
    policy = context.client.policy(policy_id)
    st.title(md_escape(policy.id, limit=130), anchor=False)
    say_what_was_done()
    _facts(policy)
    version = _pick_version(policy)
    review = context.client.policy_version(policy.id, version.version)
    _review(context, review)
    if review.state in ("active", "shadow", "approved"):
        _groups(review)
    _tally(context, review)


def _facts(policy: PolicyDetail) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        show_badge(POLICY_STATES, policy.state)
        if policy.severity:
            show_badge(SEVERITIES, policy.severity)
        scope = ", ".join(f"{name} {value}" for name, value in sorted(policy.scope.items())) or "all traffic"
        st.caption(md_escape(f"{scope}. Owner {policy.owner or 'not named'}.", limit=300), width="content")


def _pick_version(policy: PolicyDetail) -> PolicyVersion:
    wanted = st.query_params.get("version")
    by_name = {one.version: one for one in policy.versions}
    names = list(by_name)
    chosen = st.selectbox(
        "Version",
        names,
        index=names.index(wanted) if wanted in by_name else names.index(policy.version),
        format_func=lambda name: _version_text(by_name[name]),
        key=f"version_of_{policy.id}",
    )
    return by_name[chosen or policy.version]


def _version_text(version: PolicyVersion) -> str:
    when = "" if version.created_at is None else f", {short_stamp_text(version.created_at)}"
    state = state_word(POLICY_STATES, version.state)
    return f"{short_version(version.version)} · {state} · by {version.author or 'unknown'}{when}"


def _review(context: session.Context, review: PolicyReview) -> None:
    st.header("Review", anchor=False)
    if review.expires_at is not None:
        st.warning(
            f"Activated without review. It ends at {stamp_text(review.expires_at)} unless somebody else approves it.",
            icon=":material/emergency:",
        )
    if review.missing:
        st.info(md_escape(f"Before it can become active: {review.missing}.", limit=400), icon=":material/checklist:")
    facts = {"Author": review.author or "unknown", "Version": review.version}
    if review.origin:
        facts["Comes from"] = (
            f"{review.origin.get('repository')} {review.origin.get('commit')} {review.origin.get('path')}"
        )
    for name, moment in (("Submitted", review.created_at), ("In shadow since", review.shadow_at)):
        if moment is not None:
            facts[name] = stamp_text(moment)
    if review.approvals_needed is not None:
        facts["Approvals"] = f"{len(review.approvals)} of {review.approvals_needed} needed"
    facts_table(facts, alt="Facts about this version")
    if review.approvals:
        plain_table(
            [
                {
                    "Who": one.approver,
                    "Verdict": one.verdict.replace("_", " ") + (" (alone)" if one.waived else ""),
                    "When (UTC)": short_stamp_text(one.at),
                    "Comment": one.comment or "none",
                }
                for one in review.approvals
            ],
            alt="Verdicts on this version",
        )
    _diff(context, review)
    with st.expander("Source", icon=":material/code:"):
        safe_text(review.source, lang="yaml")
    _backtest(context, review)
    _decide(context, review)


def _diff(context: session.Context, review: PolicyReview) -> None:
    if review.state == "active":
        return
    try:
        diff = context.client.policy_diff(review.id, review.version)
    except NotFound:
        st.caption("No version is active, so there is nothing to compare with.")
        return
    st.subheader("Against the active version", anchor=False)
    rules = [one for one in diff.changes if not one.field.startswith("tests")]
    if len(rules) < len(diff.changes):
        st.caption(f"{plural(len(diff.changes) - len(rules), 'change')} in its tests.")
    if not rules:
        st.caption("No other difference." if diff.changes else "No difference.")
        return
    plain_table(
        [
            {
                "Field": one.field,
                "Change": one.change,
                "Active": "absent" if one.change == "added" else str(one.before),
                "This version": "absent" if one.change == "removed" else str(one.after),
            }
            for one in rules
        ],
        alt="Fields that differ from the active version",
    )


def _backtest(context: session.Context, review: PolicyReview) -> None:
    st.subheader("Back-test", anchor=False)
    if review.backtest_id is None:
        st.caption("No back-test is attached.")
    else:
        backtest_view(context.client.policy_backtest(review.id, review.version))
    if review.state in ("draft", "shadow", "approved") and st.button(
        "Run over the last 7 days", icon=":material/history:", key="run_backtest"
    ):
        attempt(lambda: context.client.run_backtest(review.id, review.version), "The back-test is attached.")


def _decide(context: session.Context, review: PolicyReview) -> None:
    client, named, revision = context.client, (review.id, review.version), review.revision
    in_review = review.state in ("draft", "shadow", "approved")
    may_activate = review.state == "approved" or (review.state == "draft" and context.me.dev)
    if may_activate and st.button("Activate", icon=":material/play_arrow:", type="primary", key="activate"):
        attempt(lambda: client.activate_policy(*named, revision=revision), "The version is active.")
    if review.state == "shadow" or review.expires_at is not None:
        comment = comment_form("approve", "Comment", "Approve", icon=":material/how_to_reg:", primary=True)
        if comment is not None:
            attempt(lambda: client.approve_policy(*named, comment=comment, revision=revision), "Your approval counts.")
    if not in_review:
        return
    with st.expander("Turn down, or activate without review", icon=":material/emergency:"):
        reason = comment_form("reject", "Reason", "Reject", icon=":material/close:", least=10)
        if reason is not None:
            attempt(lambda: client.reject_policy(*named, comment=reason, revision=revision), "The version is rejected.")
        st.caption(
            "Break-glass activates at once on one approver's word, for 24 hours or until somebody else approves."
        )
        urgent = comment_form("break_glass", "Why now", "Break glass", icon=":material/emergency:", least=10)
        if urgent is not None:
            attempt(lambda: client.break_glass(*named, comment=urgent, revision=revision), "The version is active.")


def _groups(review: PolicyReview) -> None:
    st.header("Where its groups stand", anchor=False)
    if not review.groups:
        st.caption("No group has been seen yet.")
        return
    plain_table(
        [
            {
                "Group": group_text(one.group),
                "State": state_word(SERVICE_STATES, one.state),
                "Since (UTC)": "unknown" if one.since is None else short_stamp_text(one.since),
            }
            for one in review.groups[:_MOST_GROUPS]
        ],
        alt="Groups of this policy and their states",
    )
    if len(review.groups) > _MOST_GROUPS:
        st.caption(f"And {plural(len(review.groups) - _MOST_GROUPS, 'more group')}.")


def _tally(context: session.Context, review: PolicyReview) -> None:
    st.header("Proof that it ran", anchor=False)
    hours = [one for one in context.client.policy_tally(review.id).rows if one.version == review.version]
    if not hours:
        st.caption("This version has not been evaluated in the last 24 hours.")
        return
    gaps = sum(60 - one.minutes for one in hours[1:-1])
    if gaps:
        st.warning(
            f"{plural(gaps, 'minute')} of these hours were not evaluated.", icon=":material/running_with_errors:"
        )
    plain_table([_hour_row(one) for one in hours[-_MOST_HOURS:]], alt="Evaluations of this version by hour")


def _hour_row(one: TallyHour) -> dict[str, str]:
    return {
        "Hour (UTC)": short_stamp_text(one.hour),
        "Minutes": f"{one.minutes} of 60",
        "Evaluations": f"{one.evaluations:,}",
        "No data": f"{one.no_data:,}",
        "Errors": f"{one.errors:,}",
        "Began to fire": f"{one.firings:,}",
    }
