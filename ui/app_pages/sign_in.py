"""The sign-in page: asks for an API key and keeps it in this browser session only."""

from __future__ import annotations

import streamlit as st

from custodes_sdk import Unauthorized
from ui import session
from ui.components import states


def render() -> None:
    """Ask for a key; the address stays as it is, so that after signing in the linked page opens."""
    with st.container(horizontal_alignment="center"), st.container(width=440):
        st.title("Sign in", anchor=False)
        if session.has_expired():
            st.warning(
                "Your session has ended. Sign in again to continue where you were.", icon=":material/lock_clock:"
            )
        st.caption(
            "Use an API key of your project. It is kept for this browser session only, and never in the address."
        )
        with st.form("sign_in", border=True):
            key = st.text_input("API key", type="password", key="sign_in_key", autocomplete="off")
            submitted = st.form_submit_button("Sign in", width="stretch")
        if submitted:
            states.guarded(lambda: _try_key(key.strip() if key else ""))
        st.caption("No key yet? Whoever runs the server creates one:")
        st.code("custodes key create --project default --role viewer", language="bash", wrap_lines=True)


def _try_key(key: str) -> None:
    if not key:
        st.error("Enter an API key.", icon=":material/key_off:")
        return
    try:
        session.sign_in(key)
    except Unauthorized:
        st.error(
            "The server does not accept this key. It may be mistyped, expired or revoked.", icon=":material/key_off:"
        )
        return
    st.rerun()
