"""Audit: what was done, by whom, and whether the record is intact."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from custodes_sdk.models import AuditEntry, AuditStatus
from ui import session
from ui.components import states
from ui.components.audit_entry import entry_section
from ui.components.audit_verdict import verify_section
from ui.components.paging import given_text, pager, walked_cursors
from ui.components.safe_text import safe_text, show_hidden
from ui.components.tables import selected_row
from ui.figures import count_text, plural
from ui.moments import short_stamp_text, stamp_text

PAGE_ROWS = 50
_TABLE = "audit_table"
_LONGEST_FILTER = 200


def render(context: session.Context) -> None:
    """Show the log's state, a way to verify it, and its entries; ``?seq=`` opens one entry."""
    st.title("Audit log", anchor=False)
    status = context.client.audit_status()
    seq = st.query_params.get("seq", "")
    if seq:
        _one_entry(context, seq, status)
        return
    _status(status)
    if status.size == 0:
        states.empty(
            "The log is empty",
            "Its first entry is written with the first batch of traffic or the first change of a policy.",
            icon=":material/history_edu:",
        )
        return
    verify_section(context)
    _entries(context)


def _one_entry(context: session.Context, seq: str, status: AuditStatus) -> None:
    st.page_link(context.pages["audit"], label="All entries", icon=":material/arrow_back:")
    if not seq.isascii() or not seq.isdecimal() or len(seq) > 15:
        states.empty("No such entry", "An entry's number is a whole number from 0.", icon=":material/search_off:")
        return
    entry_section(context, int(seq), status)


def _status(status: AuditStatus) -> None:
    with st.grid(3, min_column_width=170, gap="small", border=True):
        st.metric("Signed entries", count_text(status.size))
        st.metric("Not yet signed", count_text(status.pending))
        st.metric(
            "Last checkpoint", "none yet" if status.checkpoint_at is None else stamp_text(status.checkpoint_at)[11:]
        )
    with st.grid(2, min_column_width=320, gap="small"):
        _code("Origin", status.origin)
        _code("Verifier key", status.key)
    _code("Root hash", status.root or "none yet")
    st.caption(
        "Auditors take origin and key from their own records, not from this page, "
        "and verify an export without this server."
    )


def _code(label: str, value: str) -> None:
    with st.container(gap="xxsmall"):
        st.caption(label)
        safe_text(value)


def _entries(context: session.Context) -> None:
    st.header("Entries", anchor=False)
    with st.grid(min_column_width=180, gap="small"):
        action = st.text_input(
            "What", key="action", bind="query-params", max_chars=_LONGEST_FILTER, placeholder="Any action"
        )
        actor = st.text_input("Who", key="actor", bind="query-params", max_chars=_LONGEST_FILTER, placeholder="Anyone")
        subject = st.text_input(
            "Object", key="object", bind="query-params", max_chars=_LONGEST_FILTER, placeholder="Any object"
        )
    filters = tuple(map(given_text, (action, actor, subject)))
    cursors = walked_cursors("audit", filters)
    page = context.client.audit_entries(
        cursor=cursors[-1], limit=PAGE_ROWS, order="desc", action=filters[0], actor=filters[1], object=filters[2]
    )
    if page.rows:
        st.caption(f"{plural(len(page.rows), 'entry', 'entries')}, newest first. Select a row for its proof.")
        _table(context, page.rows)
    else:
        states.empty("No entry matches", "Change or clear the filters.", icon=":material/search_off:")
    pager("audit", page.next_cursor)


def _table(context: session.Context, entries: Sequence[AuditEntry]) -> None:
    def open_selected() -> None:
        index = selected_row(st.session_state.get(_TABLE), len(entries))
        if index is not None:
            st.switch_page(context.pages["audit"], query_params={"seq": str(entries[index].seq)})

    st.dataframe(
        entries_to_frame(entries),
        hide_index=True,
        height="content",
        key=_TABLE,
        on_select=open_selected,
        selection_mode="single-cell",
        column_config={
            "No.": st.column_config.TextColumn(alignment="right", width=80, pinned=True),
            "Time (UTC)": st.column_config.TextColumn(width=150),
            "What": st.column_config.TextColumn(width=170),
            "Who": st.column_config.TextColumn(width=170),
            "Object": st.column_config.TextColumn(width=320),
        },
        alt="Audit entries, newest first",
    )


def entries_to_frame(entries: Sequence[AuditEntry]) -> pd.DataFrame:
    """Return one row of words per entry."""
    return pd.DataFrame(
        [
            {
                "No.": count_text(entry.seq),
                "Time (UTC)": short_stamp_text(entry.time),
                "What": show_hidden(entry.action)[0],
                "Who": show_hidden(entry.actor or "unknown")[0],
                "Object": show_hidden(entry.object or "none")[0],
                "Role": show_hidden(entry.role or "unknown")[0],
            }
            for entry in entries
        ]
    )
