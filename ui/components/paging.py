"""Filtering a list, and walking it page by page with keyset cursors."""

from __future__ import annotations

import streamlit as st


def given_text(value: str | None) -> str | None:
    """Return a filter's text without surrounding blanks, None when nothing is left."""
    return (value or "").strip() or None


def walked_cursors(name: str, filters: object) -> list[str | None]:
    """Return the cursors of the pages of list ``name`` walked so far, the last one being shown.

    A change of ``filters`` starts again at the first page, whose cursor is None.
    """
    kept = f"{name}_cursors"
    kept_for = f"{name}_cursors_for"
    if st.session_state.get(kept_for) != filters or kept not in st.session_state:
        st.session_state[kept_for] = filters
        st.session_state[kept] = [None]
    cursors: list[str | None] = st.session_state[kept]
    return cursors


def pager(name: str, following: str | None, words: tuple[str, str] = ("Newer", "Older")) -> None:
    """Show buttons to the page before and after of list ``name``; nothing when there is only one."""
    kept = f"{name}_cursors"
    cursors = st.session_state[kept]
    if len(cursors) == 1 and following is None:
        return

    # The state is read when the button is clicked, since a rerun in between may have replaced the list.
    def back() -> None:
        st.session_state[kept] = st.session_state[kept][:-1]

    def forward() -> None:
        st.session_state[kept] = [*st.session_state[kept], following]

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            words[0], icon=":material/chevron_left:", key=f"{name}_newer", disabled=len(cursors) == 1, on_click=back
        )
        st.button(
            words[1],
            icon=":material/chevron_right:",
            icon_position="right",
            key=f"{name}_older",
            disabled=following is None,
            on_click=forward,
        )
