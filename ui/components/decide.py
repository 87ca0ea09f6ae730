"""Buttons and forms that change something: the server decides, the page says what it said.

Every action goes to the API with the signed-in person's key and the revision this page has shown, so that two people
who act at once do not overwrite each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from custodes_sdk import Conflict, Forbidden, Invalid, NotFound
from ui.components.safe_text import md_escape

_SAID = "decision_said"
LONGEST_COMMENT = 1000


def attempt(action: Callable[[], Any], done: str) -> None:
    """Do ``action`` and begin a new run that says ``done``; or say at once what the server refused."""
    try:
        action()
    except (Conflict, Forbidden, Invalid, NotFound) as error:
        st.error(md_escape(error.message, limit=400), icon=":material/block:")
        return
    st.session_state[_SAID] = done
    st.rerun()


def say_what_was_done() -> None:
    """Show what the last action on this page did, once."""
    said: str | None = st.session_state.pop(_SAID, None)
    if said is not None:
        st.success(said, icon=":material/check_circle:")


def comment_form(
    key: str, label: str, button: str, *, icon: str, least: int = 0, placeholder: str = "", primary: bool = False
) -> str | None:
    """Show a field and a button; return the text once it is sent and long enough, else ``None``."""
    with st.form(f"form_{key}", border=False, clear_on_submit=False):
        text = st.text_input(label, key=f"text_{key}", max_chars=LONGEST_COMMENT, placeholder=placeholder)
        sent = st.form_submit_button(button, icon=icon, type="primary" if primary else "secondary")
    if not sent:
        return None
    written = (text or "").strip()
    if len(written) < least:
        st.error(f"Write at least {least} characters.", icon=":material/edit_note:")
        return None
    return written
