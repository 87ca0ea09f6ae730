"""What a person can do about drift: say that the change is expected, accept that, ask for an Evidently report."""

from __future__ import annotations

import streamlit as st

from custodes_sdk.models import DriftEpisode, DriftMonitor, DriftReference, DriftReport
from ui import session
from ui.components.badges import REFERENCE_STATES, state_word
from ui.components.decide import attempt, comment_form
from ui.components.drift_story import source_text
from ui.components.safe_text import md_escape
from ui.components.tables import plain_table
from ui.figures import count_text
from ui.moments import short_stamp_text, stamp_text

_SOURCES = {
    "The next exchanges": {"kind": "first"},
    "The last hour": {"kind": "period", "from": "now-1h", "to": "now"},
    "The last day": {"kind": "period", "from": "now-1d", "to": "now"},
    "The last seven days": {"kind": "period", "from": "now-7d", "to": "now"},
}
_NEXT = "The next exchanges"
_MOST_VERSIONS = 10


def expect_change(context: session.Context, one: DriftMonitor) -> None:
    """Show the versions of what counts as usual for a deployment, and offer a new one."""
    st.header("What counts as usual", anchor=False)
    versions = context.client.drift_references(one.place_id).rows
    plain_table(
        [_version_row(version) for version in versions[:_MOST_VERSIONS]],
        alt="Versions of the reference, newest first",
    )
    waiting = next((version for version in versions if version.state == "proposed"), None)
    if waiting is not None:
        _decide(context, waiting)
        return
    with st.expander("This change is expected", icon=":material/thumb_up:", expanded=one.state == "drift"):
        st.caption(
            "All monitors of this deployment begin anew, and its drift incidents are resolved, once somebody else "
            "has approved."
        )
        chosen = st.selectbox("From now on, usual is", list(_SOURCES), key="drift_source")
        reason = comment_form(
            "drift_expected",
            "Why the change is expected",
            "This change is expected",
            icon=":material/thumb_up:",
            least=10,
            placeholder="Version 8 answers in French as well.",
            primary=True,
        )
        if reason is not None:
            source = _SOURCES[chosen or _NEXT]
            attempt(
                lambda: context.client.propose_drift_reference(one.place_id, reason, source),
                "It counts once somebody else has approved.",
            )


def _decide(context: session.Context, waiting: DriftReference) -> None:
    st.caption(
        md_escape(
            f"Version {waiting.version} waits for approval: {source_text(waiting.source)}. Asked for by "
            f"{waiting.requested_by}: {waiting.reason}",
            limit=1_200,
        )
    )
    if waiting.requested_by == context.me.actor and not context.me.dev:
        st.caption("You asked for this, so somebody else has to decide.")
        return
    comment = comment_form("drift_approve", "Comment", "Approve the change", icon=":material/how_to_reg:", primary=True)
    if comment is not None:
        attempt(
            lambda: context.client.approve_drift_reference(waiting.id, comment=comment, revision=waiting.revision),
            "The monitors begin anew.",
        )
    refusal = comment_form("drift_reject", "Why not", "Turn it down", icon=":material/block:", least=3)
    if refusal is not None:
        attempt(
            lambda: context.client.reject_drift_reference(waiting.id, comment=refusal, revision=waiting.revision),
            "It was turned down.",
        )


def _version_row(one: DriftReference) -> dict[str, str]:
    return {
        "Version": str(one.version),
        "State": state_word(REFERENCE_STATES, one.state),
        "Usual is": source_text(one.source),
        "Why": one.reason or "not recorded",
        "Asked for by": one.requested_by,
        "Decided by": one.decided_by or "nobody yet",
        "When (UTC)": stamp_text(one.decided_at or one.created_at),
    }


def reports(context: session.Context, episode: DriftEpisode) -> None:
    """Show the Evidently reports about a stretch of drift, and offer another one."""
    st.subheader("Evidently report", anchor=False)
    st.caption("For reading beside the alarm. Its own tests are made for one look and ignore how often one looks.")
    for one in episode.reports:
        _report(context, one)
    if st.button("Make a report", icon=":material/lab_profile:", key="drift_report"):
        attempt(
            lambda: context.client.request_drift_report(episode.monitor_id, episode.id),
            "A worker makes it; come back in a minute.",
        )


def _report(context: session.Context, one: DriftReport) -> None:
    if one.state == "failed":
        st.warning(md_escape(one.error or "It could not be made.", limit=300), icon=":material/error:")
        return
    if one.state != "ready":
        st.caption("A report has been asked for and is not ready yet.")
        return
    made = "unknown" if one.ready_at is None else short_stamp_text(one.ready_at)
    rows = f"{count_text(one.rows_before or 0)} usual exchanges and {count_text(one.rows_since or 0)} since"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(md_escape(f"Made {made}: {rows}."), width="content")
        for form, mime in (("html", "text/html"), ("json", "application/json")):
            # The file is fetched when somebody wants it, not whenever the page is drawn.
            st.download_button(
                form.upper(),
                data=lambda form=form: context.client.drift_report(one.id, form),  # type: ignore[misc]
                file_name=f"drift-{one.id[:8]}.{form}",
                mime=mime,
                icon=":material/download:",
                key=f"report_{one.id}_{form}",
            )
