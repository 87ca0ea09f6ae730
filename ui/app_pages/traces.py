"""Traces: find the ones that matter."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from ui import session
from ui.components import states
from ui.components.paging import given_text, pager, walked_cursors
from ui.components.trace_table import trace_table
from ui.components.window import pick_range, range_start
from ui.figures import METRIC_NAMES, metric_name, state_text

PAGE_ROWS = 50
_LONGEST_QUERY = 200
_ANY = "any"
_STATES = ("assessed", "not_assessed", "pending")


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """What the reader asked for; every field is in the address."""

    range_key: str
    service: str | None
    model: str | None
    metric: str | None
    minimum: float | None
    state: str | None
    query: str | None


def render(context: session.Context) -> None:
    """Show the filter bar and one page of matching traces."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Traces", anchor=False, width="content")
        range_key = pick_range("24h")
    chosen = _filter_bar(range_key)
    cursors = walked_cursors("traces", chosen)
    page = context.client.traces(
        start=range_start(chosen.range_key),
        end="now",
        service=chosen.service,
        model=chosen.model,
        metric=chosen.metric,
        minimum=chosen.minimum,
        state=chosen.state,
        query=chosen.query,
        cursor=cursors[-1],
        limit=PAGE_ROWS,
    )
    if not page.rows:
        states.empty(
            "No trace matches",
            "Choose a longer time range or remove a filter.",
            icon=":material/search_off:",
        )
    else:
        first = (len(cursors) - 1) * PAGE_ROWS
        st.caption(f"Traces {first + 1:,} to {first + len(page.rows):,}, newest first. Select a row to open it.")
        trace_table(page.rows, context.pages["trace"], key="traces_table")
    pager("traces", page.next_cursor)


def _filter_bar(range_key: str) -> TraceFilter:
    with st.grid(min_column_width=180, gap="small", vertical_alignment="bottom"):
        query = st.text_input(
            "Search",
            key="q",
            bind="query-params",
            max_chars=_LONGEST_QUERY,
            placeholder="Part of an id or name",
            icon=":material/search:",
        )
        service = st.text_input(
            "Service", key="service", bind="query-params", max_chars=_LONGEST_QUERY, placeholder="Any"
        )
        model = st.text_input("Model", key="model", bind="query-params", max_chars=_LONGEST_QUERY, placeholder="Any")
        metric = st.selectbox(
            "Metric",
            [_ANY, *METRIC_NAMES],
            key="metric",
            bind="query-params",
            format_func=lambda name: "Any" if name == _ANY else metric_name(name),
        )
        minimum = st.number_input(
            "Score at least",
            min_value=0.0,
            max_value=1.0,
            value=None,
            step=0.05,
            format="%.2f",
            key="min",
            bind="query-params",
            placeholder="Any",
            disabled=metric == _ANY,
        )
        state = st.selectbox(
            "Assessment",
            [_ANY, *_STATES],
            key="state",
            bind="query-params",
            format_func=lambda name: "Any" if name == _ANY else state_text(name).capitalize(),
        )
    return TraceFilter(
        range_key=range_key,
        service=given_text(service),
        model=given_text(model),
        metric=None if metric == _ANY else metric,
        minimum=None if metric == _ANY else minimum,
        state=None if state == _ANY else state,
        query=given_text(query),
    )
