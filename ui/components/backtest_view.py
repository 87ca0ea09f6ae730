"""A back-test as its reader needs it: what would have fired, against what is active, and against people's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from custodes_sdk.models import Backtest
from ui.components.incident_story import group_text, values_text
from ui.components.safe_text import show_hidden
from ui.components.tables import plain_table
from ui.figures import plural
from ui.moments import short_stamp_text, span_text

_MOST_FIRINGS = 20


def backtest_view(stored: Backtest) -> None:
    """Show one attached report. Fields that a server of another version leaves out are left out here too."""
    report = stored.report
    st.caption(
        f"{_moment_text(report.get('from'))} to {_moment_text(report.get('to'))} UTC, "
        f"{int(report.get('evaluations', 0)):,} evaluations, run {short_stamp_text(stored.created_at)}."
    )
    labels: Mapping[str, Any] = report.get("labels") or {}
    with st.container(horizontal=True):
        st.metric("Would fire", f"{int(report.get('firing', 0)):,}", border=True)
        st.metric("Time firing", span_text(float(report.get("firing_s", 0))), border=True)
        st.metric("Precision", _ratio_text(labels.get("precision")), border=True)
        st.metric("Recall", _ratio_text(labels.get("recall")), border=True)
    st.caption(_labels_text(labels))
    _chart(report)
    _firings(report.get("firings") or [])
    _comparison(report)


def _firings(firings: Sequence[Mapping[str, Any]]) -> None:
    if not firings:
        st.caption("Nothing would have fired.")
        return
    plain_table(
        [
            {
                "From (UTC)": _moment_text(one.get("from")),
                "Lasted": span_text(float(one.get("duration_s", 0))) + ("" if one.get("to") else ", still firing"),
                "Group": group_text(one.get("group") or {}),
                "Values": values_text(one.get("values") or {}),
            }
            for one in firings[:_MOST_FIRINGS]
        ],
        alt="What would have fired",
    )
    if len(firings) > _MOST_FIRINGS:
        st.caption(f"And {plural(len(firings) - _MOST_FIRINGS, 'more firing')}.")


def _chart(report: Mapping[str, Any]) -> None:
    """Show firings as bars in time: of this version above, of the active one alone below."""
    active: Mapping[str, Any] = report.get("active") or {}
    rows = _bars(report.get("firings") or [], "this version", report) + _bars(
        active.get("only_active") or [], "only the active version", report
    )
    if not rows:
        return
    frame = pd.DataFrame(rows)
    bars = (
        alt.Chart(frame, height=alt.Step(22))
        .mark_bar(cornerRadius=2)
        .encode(
            x=alt.X(
                "from:T",
                title="UTC",
                axis=alt.Axis(format="%d %b %H:%M", labelOverlap=True),
                scale=alt.Scale(type="utc", domain=[report["from"], report["to"]]),
            ),
            x2="to:T",
            y=alt.Y("group:N", title=None, axis=alt.Axis(labelLimit=260)),
            color=alt.Color("which:N", title=None, legend=alt.Legend(orient="top")),
            tooltip=["group:N", "which:N", "from:T", "to:T"],
        )
    )
    st.altair_chart(bars, alt="Firings over time")


def _bars(firings: Sequence[Mapping[str, Any]], which: str, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "group": show_hidden(group_text(one.get("group") or {}))[0],
            "which": which,
            "from": one["from"],
            "to": one.get("to") or report["to"],
        }
        for one in firings
        if one.get("from")
    ]


def _comparison(report: Mapping[str, Any]) -> None:
    active: Mapping[str, Any] | None = report.get("active")
    if active is not None and not active.get("same") and "both" in active:
        st.caption(
            f"The active version fires {plural(active['firing'], 'time')}: {active['both']} in common, "
            f"{len(active['only_candidate'])} only here, {len(active['only_active'])} only there."
        )
    recorded: Mapping[str, Any] = report.get("recorded") or {}
    if recorded.get("compared") and recorded.get("equal"):
        st.caption("It equals what live evaluation recorded.")
    elif recorded.get("compared"):
        st.error("It differs from what live evaluation recorded. Please report this.", icon=":material/report:")


def _labels_text(labels: Mapping[str, Any]) -> str:
    judged = int(labels.get("true_alarms", 0)) + int(labels.get("false_alarms", 0))
    if not judged and not labels.get("incidents"):
        return "No incident of this time is labelled, so precision and recall are unknown."
    return (
        f"{labels.get('true_alarms', 0)} true and {labels.get('false_alarms', 0)} false alarms, "
        f"{labels.get('unlabelled', 0)} without a label; {labels.get('found', 0)} of "
        f"{labels.get('incidents', 0)} true incidents found."
    )


def _ratio_text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0%}"


def _moment_text(written: object) -> str:
    return short_stamp_text(datetime.fromisoformat(written)) if isinstance(written, str) else "unknown"
