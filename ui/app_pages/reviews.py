"""Reviews: answers and alarms that nobody has judged yet, and what was judged."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from custodes_sdk.models import Review
from ui import session
from ui.components import states
from ui.components.incident_list import incident_cards
from ui.components.review_form import may_review
from ui.components.tables import plain_table
from ui.components.trace_table import trace_table
from ui.components.window import pick_range, range_start
from ui.figures import METRIC_NAMES, metric_name, plural
from ui.moments import short_stamp_text

_MOST_TRACES = 25
_MOST_INCIDENTS = 5
_MOST_REVIEWS = 50
_USUAL_SCORE = 0.8


def render(context: session.Context) -> None:
    """Show what is worth a look, alarms without a judgement, and the latest reviews."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Reviews", anchor=False, width="content")
        range_key = pick_range("7d")
    st.caption(
        "Data sets for fine-tuning are made of what people judged, and of nothing else. "
        + ("Open an answer to judge it." if may_review(context) else "Judging answers takes the role analyst.")
    )
    reviewed = context.client.reviews().rows
    _worth_a_look(context, range_key, {one.exchange[:32] for one in reviewed})
    _alarms(context, range_key)
    _judged(reviewed[:_MOST_REVIEWS])


def _worth_a_look(context: session.Context, range_key: str, reviewed: set[str]) -> None:
    st.header("Worth a look", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = st.selectbox("Metric", list(METRIC_NAMES), key="review_metric", format_func=metric_name, width=260)
        least = st.number_input(
            "Score at least", 0.0, 1.0, _USUAL_SCORE, step=0.05, format="%.2f", key="review_min", width=160
        )
    page = context.client.traces(
        start=range_start(range_key), end="now", metric=metric, minimum=least, limit=_MOST_TRACES
    )
    rows = [row for row in page.rows if row.trace_id not in reviewed]
    if not rows:
        states.empty("Nothing to look at", "Choose a longer time range, another metric or a lower score.")
        return
    st.caption(f"{plural(len(rows), 'trace')} without a review, newest first. Select a row to open it.")
    trace_table(rows, context.pages["trace"], key="reviews_table")


def _alarms(context: session.Context, range_key: str) -> None:
    found = context.client.incidents(
        state="all", label="none", start=range_start(range_key), end="now", limit=_MOST_INCIDENTS
    ).rows
    if found:
        st.header("Alarms nobody has judged", anchor=False)
        incident_cards(found, context.pages["incident"], context.now)


def _judged(reviews: Sequence[Review]) -> None:
    st.header("Judged lately", anchor=False)
    if not reviews:
        st.caption("Nothing yet.")
        return
    plain_table([_row(one) for one in reviews], alt="Reviews, newest first")


def _row(one: Review) -> dict[str, str]:
    better = "erased" if one.erased else "yes" if one.corrected else "no"
    return {
        "Time (UTC)": short_stamp_text(one.at),
        "Reviewer": one.reviewer,
        "Judged": one.verdict,
        "Better answer": better,
        "Trace": one.exchange[:32],
    }
