"""Policies: the rules, where they stand, and which wait for review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from custodes_sdk.models import Policy
from ui import session
from ui.components import states
from ui.components.badges import POLICY_STATES, SERVICE_STATES, SEVERITIES, state_word
from ui.components.paging import given_text, pager, walked_cursors
from ui.components.safe_text import show_hidden
from ui.components.tables import selected_row
from ui.figures import plural
from ui.moments import short_stamp_text

_TABLE = "policies_table"
_WORST_FIRST = ("firing", "error", "pending", "no_data", "ok")


def render(context: session.Context) -> None:
    """Show every policy; a click on a row opens it."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Policies", anchor=False, width="content")
        st.page_link(context.pages["approvals"], label="What waits for approval", icon=":material/how_to_reg:")
    q = given_text(st.text_input("Name contains", key="policies_q", max_chars=64, width=320))
    page = context.client.policies(q=q, cursor=walked_cursors("policies", q)[-1])
    totals = page.totals
    if not page.rows and q is not None:
        states.empty("No such policy", "No policy has this in its name. Clear the field to see all of them.")
        return
    if not page.rows:
        states.empty(
            "No policy yet",
            "Write one, or take one from examples/policies, and submit it: custodes policy submit FILE",
            icon=":material/policy:",
        )
        return
    st.caption(
        f"{totals.get('active', 0)} of {plural(totals.get('policies', 0), 'policy', 'policies')} active, "
        f"{plural(totals.get('in_review', 0), 'version')} in review. Select a row to open it."
    )
    _table(context, page.rows)
    pager("policies", page.next_cursor, ("Previous", "Next"))


def policies_to_frame(rows: Sequence[Policy]) -> pd.DataFrame:
    """Return one row of words per policy."""
    return pd.DataFrame(
        [
            {
                "Policy": show_hidden(row.id)[0],
                "State": state_word(POLICY_STATES, row.state),
                "Now": groups_text(row),
                "Severity": state_word(SEVERITIES, row.severity or ""),
                "Kind": "each exchange" if row.kind == "ExchangePolicy" else "windows",
                "In review": str(row.in_review) if row.in_review else "none",
                "Owner": show_hidden(row.owner or "not named")[0],
                "Active since (UTC)": "not active" if row.activated_at is None else short_stamp_text(row.activated_at),
            }
            for row in rows
        ]
    )


def groups_text(policy: Policy) -> str:
    """Return where the groups of a policy stand, worst first: ``1 outside limits, 3 within limits``."""
    if policy.state not in ("active", "shadow", "approved"):
        return "not evaluated"
    counts = Counter(group.state for group in policy.groups)
    parts = [f"{counts[name]} {state_word(SERVICE_STATES, name).lower()}" for name in _WORST_FIRST if counts[name]]
    return ", ".join(parts) or "no group seen yet"


def _table(context: session.Context, rows: Sequence[Policy]) -> None:
    def open_selected() -> None:
        index = selected_row(st.session_state.get(_TABLE), len(rows))
        if index is not None:
            st.switch_page(context.pages["policy"], query_params={"id": rows[index].id})

    st.dataframe(
        policies_to_frame(rows),
        hide_index=True,
        height="content",
        key=_TABLE,
        on_select=open_selected,
        selection_mode="single-cell",
        column_config={
            "Policy": st.column_config.TextColumn(width=210),
            "State": st.column_config.TextColumn(width=95),
            "Now": st.column_config.TextColumn(width=230),
        },
        alt="Policies by name",
    )
