"""Actions: what policies asked for, how it stands, and the switch that stops all of it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from custodes_sdk.models import Action, ActionSwitches
from ui import session
from ui.components import states
from ui.components.action_words import action_title
from ui.components.badges import ACTION_STATES, state_word
from ui.components.decide import attempt, comment_form, say_what_was_done
from ui.components.paging import pager, walked_cursors
from ui.components.safe_text import md_escape, show_hidden
from ui.components.tables import selected_row
from ui.figures import plural
from ui.moments import short_stamp_text

PAGE_ROWS = 50
_TABLE = "actions_table"
_STATES = {"Under way": "open", "All": "all"}
_SHORTEST_REASON = 3


def render(context: session.Context) -> None:
    """Show one page of actions; a click on a row opens it."""
    st.title("Actions", anchor=False)
    say_what_was_done()
    _switch(context, context.client.action_switch())
    chosen = st.segmented_control(
        "State",
        list(_STATES),
        default="All",
        required=True,
        key="show",
        bind="query-params",
        label_visibility="collapsed",
    )
    state = _STATES.get(chosen or "All", "all")
    cursors = walked_cursors("actions", (state,))
    page = context.client.actions(state=state, cursor=cursors[-1], limit=PAGE_ROWS)
    if page.rows:
        st.caption(f"{plural(len(page.rows), 'action')}, newest first. Select a row to open it.")
        _table(context, page.rows)
    else:
        what = "under way" if state == "open" else "yet"
        states.empty(f"No action {what}", "Policies ask for them when they fire.", icon=":material/restart_alt:")
    pager("actions", page.next_cursor)


def actions_to_frame(rows: Sequence[Action]) -> pd.DataFrame:
    """Return one row of words per action."""
    return pd.DataFrame(
        [
            {
                "State": state_word(ACTION_STATES, row.state),
                "What": show_hidden(action_title(row))[0],
                "Asked for (UTC)": "unknown" if row.created_at is None else short_stamp_text(row.created_at),
                "Policy": show_hidden(row.policy_id)[0],
                "Agreed to by": show_hidden(row.approver or "nobody")[0],
                "Mode": row.mode,
                "Why it stands there": show_hidden(row.reason or "as expected")[0],
            }
            for row in rows
        ]
    )


def _table(context: session.Context, rows: Sequence[Action]) -> None:
    def open_selected() -> None:
        index = selected_row(st.session_state.get(_TABLE), len(rows))
        if index is not None:
            st.switch_page(context.pages["action"], query_params={"id": rows[index].id})

    st.dataframe(
        actions_to_frame(rows),
        hide_index=True,
        height="content",
        key=_TABLE,
        on_select=open_selected,
        selection_mode="single-cell",
        alt="Actions, newest first",
    )


def _switch(context: session.Context, found: ActionSwitches) -> None:
    for one in found.switches:
        if one.stopped:
            said = f"Actions are stopped ({one.scope}) by {one.actor}: {one.reason}"
            st.error(md_escape(said, limit=400), icon=":material/front_hand:")
    label, icon = (
        ("Let actions begin again", ":material/play_arrow:")
        if found.stopped
        else (
            "Stop all actions",
            ":material/front_hand:",
        )
    )
    with st.expander(label, icon=icon):
        if not found.stopped:
            st.caption("What was agreed to and not sent is called off; what was sent is still followed.")
        reason = comment_form("switch", "Reason", label, icon=icon, least=_SHORTEST_REASON)
    if reason is None:
        return
    if found.stopped:
        attempt(lambda: context.client.resume_actions(reason=reason), "Actions may begin again.")
    else:
        attempt(lambda: context.client.stop_actions(reason=reason), "Actions are stopped.")
