"""The Verify button: recompute the log, say the verdict, and say how to check without trusting this server."""

from __future__ import annotations

import streamlit as st

from custodes_sdk.models import AuditVerification
from ui import session
from ui.components.safe_text import md_escape, safe_text
from ui.figures import count_text
from ui.moments import stamp_text

_RESULT = "audit_verification"
_LONGEST_MESSAGE = 600

_TITLES = {
    "intact": "The log is intact",
    "tampered": "The log has been tampered with",
    "forked": "The log has been forked",
    "truncated": "The log has been cut short",
    "stale": "The log's checkpoint is stale",
    "unverifiable": "The log could not be verified",
}


def verify_section(context: session.Context) -> None:
    """Offer to verify the whole log, and show the last verdict of this session."""
    st.header("Verify", anchor=False)
    st.caption(
        "The server hashes every entry again, rebuilds the tree, and compares it with the last signed checkpoint and "
        "its signature."
    )
    if st.button("Verify the whole log", icon=":material/verified_user:", key="verify"):
        with st.spinner("Hashing every entry"):
            st.session_state[_RESULT] = context.client.audit_verify()
    result: AuditVerification | None = st.session_state.get(_RESULT)
    if result is not None:
        _verdict(result)


def _verdict(result: AuditVerification) -> None:
    title = _TITLES.get(result.verdict, f"Verdict: {md_escape(result.verdict)}")
    checked = (
        f"{count_text(result.checked_leaves)} entries were checked against a signed tree of {count_text(result.size)}"
    )
    when = f", signed at {stamp_text(result.checkpoint_at)}" if result.checkpoint_at else ""
    body = f"{md_escape(result.message, limit=_LONGEST_MESSAGE)} {md_escape(checked + when, limit=300)}."
    if result.verdict == "intact":
        st.success(body, title=title, icon=":material/verified:")
    else:
        st.error(
            f"{body} Keep a copy of the data directory and compare it with an earlier export.",
            title=title,
            icon=":material/gpp_bad:",
        )
    if result.root:
        st.caption("Root hash of the tree that was rebuilt")
        safe_text(result.root)
    if result.how_to_verify_offline:
        st.subheader("Check it without trusting this server", anchor=False)
        st.caption("Run these where you keep the origin and the verifier key; they need neither server nor database.")
        safe_text("\n".join(result.how_to_verify_offline), lang="bash")
