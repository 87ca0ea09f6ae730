"""Asking to see captured text: a reason first, a record in the audit log, then the text for this session."""

from __future__ import annotations

import streamlit as st

from custodes_sdk import Forbidden, Invalid
from custodes_sdk.models import Exchange
from ui import session
from ui.components.safe_text import md_escape

SHORTEST_REASON = 10
_LONGEST_REASON = 500
_REVEALED = "revealed_exchanges"


def revealed(exchange_id: str) -> Exchange | None:
    """Return the exchange with its text if this session has revealed it."""
    found: Exchange | None = st.session_state.get(_REVEALED, {}).get(exchange_id)
    return found


def reveal_form(context: session.Context, exchange_id: str) -> None:
    """Explain that the text is hidden, and show it after a reason of at least 10 characters has been recorded."""
    st.info(
        "Captured text is hidden. Scores and timings don't need it. If you have to read it, say why: your name, the "
        "time and the reason go into the audit log before the text is shown.",
        title="Text hidden",
        icon=":material/visibility_off:",
    )
    with st.form(f"reveal_{exchange_id}", border=True):
        reason = st.text_input(
            "Reason",
            key=f"reason_{exchange_id}",
            max_chars=_LONGEST_REASON,
            placeholder=f"At least {SHORTEST_REASON} characters, for example the incident you work on",
        )
        submitted = st.form_submit_button("Reveal text", icon=":material/visibility:")
    if submitted:
        _reveal(context, exchange_id, (reason or "").strip())


def _reveal(context: session.Context, exchange_id: str, reason: str) -> None:
    if len(reason) < SHORTEST_REASON:
        st.error(f"Give a reason of at least {SHORTEST_REASON} characters.", icon=":material/edit_note:")
        return
    try:
        answer = context.client.reveal(exchange_id, reason)
    except (Forbidden, Invalid) as error:
        st.error(md_escape(error.message, limit=300), icon=":material/lock:")
        return
    st.session_state.setdefault(_REVEALED, {})[exchange_id] = answer.exchange
    if answer.audit is not None:
        st.toast(f"Recorded as audit entry {answer.audit.seq:,}.", icon=":material/verified_user:")
    st.rerun()
