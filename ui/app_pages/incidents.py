"""Incidents: what went outside its limits, and whether it is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import streamlit as st

from custodes_sdk.models import Incident
from ui import session
from ui.components import states
from ui.components.badges import INCIDENT_STATES, LABELS, SEVERITIES, state_word
from ui.components.incident_story import group_text
from ui.components.paging import pager, walked_cursors
from ui.components.safe_text import show_hidden
from ui.components.tables import selected_row
from ui.components.window import RANGES, pick_range, range_start
from ui.figures import plural
from ui.moments import short_stamp_text, span_text

PAGE_ROWS = 50
_TABLE = "incidents_table"
_STATES = {"Open": "open", "Resolved": "resolved", "All": "all"}
# A shape per severity, so that rank shows without colour.
_MARKS = {"critical": "◆◆◆", "high": "◆◆◇", "medium": "◆◇◇", "low": "◇◇◇"}


def render(context: session.Context) -> None:
    """Show one page of incidents; a click on a row opens it."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Incidents", anchor=False, width="content")
        range_key = pick_range("7d")
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
    cursors = walked_cursors("incidents", (range_key, state))
    page = context.client.incidents(
        state=state, start=range_start(range_key), end="now", cursor=cursors[-1], limit=PAGE_ROWS
    )
    if page.rows:
        st.caption(f"{plural(len(page.rows), 'incident')}, newest first. Select a row to open it.")
        _table(context, page.rows)
    else:
        _none(context, chosen or "All", range_key)
    pager("incidents", page.next_cursor)


def incidents_to_frame(rows: Sequence[Incident], now: datetime) -> pd.DataFrame:
    """Return one row of words per incident; an open one's duration runs until ``now``."""
    return pd.DataFrame(
        [
            {
                "Severity": f"{_MARKS.get(row.severity, '')} {state_word(SEVERITIES, row.severity)}".strip(),
                "State": state_word(INCIDENT_STATES, row.state),
                "Title": show_hidden(row.title)[0],
                "Opened (UTC)": short_stamp_text(row.opened_at),
                "Lasted": span_text(((row.resolved_at or now) - row.opened_at).total_seconds()),
                "Resolved (UTC)": "still open" if row.resolved_at is None else short_stamp_text(row.resolved_at),
                "Where": show_hidden(group_text(row.group))[0],
                "Policy": show_hidden(row.policy_id or "reported by a person")[0],
                "With": show_hidden(row.assignee or "nobody")[0],
                "Judged": state_word(LABELS, row.label) if row.label else "not yet",
            }
            for row in rows
        ]
    )


def _table(context: session.Context, rows: Sequence[Incident]) -> None:
    def open_selected() -> None:
        index = selected_row(st.session_state.get(_TABLE), len(rows))
        if index is not None:
            st.switch_page(context.pages["incident"], query_params={"id": rows[index].id})

    st.dataframe(
        incidents_to_frame(rows, context.now),
        hide_index=True,
        height="content",
        key=_TABLE,
        on_select=open_selected,
        selection_mode="single-cell",
        column_config={
            "Severity": st.column_config.TextColumn(width=110),
            "State": st.column_config.TextColumn(width=85),
            "Title": st.column_config.TextColumn(width=330),
        },
        alt="Incidents, newest first",
    )


def _none(context: session.Context, chosen: str, range_key: str) -> None:
    answer = context.client.overview(start="now-15m", end="now")
    if answer.last_trace_at is None:
        sign_of_life = "No trace has been received yet, so there is nothing to watch."
    else:
        ago = span_text((answer.now - answer.last_trace_at).total_seconds())
        sign_of_life = f"Monitoring is on: the last trace came {ago} ago."
    what = "incident" if chosen == "All" else f"{chosen.lower()} incident"
    states.empty(f"No {what} in the last {RANGES[range_key]}", sign_of_life, icon=":material/check_circle:")
