"""Gaps between groups with their intervals: many at a glance, and one over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from custodes_sdk.models import Gap, GapCourse

ROW_HEIGHT = 26
COURSE_HEIGHT = 260
# Contrast of at least 3 on the light and the dark background; shape and a word say the same as the colour.
_LINE, _BAND = "#4C78A8", "#7C8A99"
_STATES = {"Gap": "#C8442F", "Withheld": "#B26A00", "Watching": "#4C78A8", "Within tolerance": "#3A8A55",
           "Too few data": "#7C8A99"}  # fmt: skip


def gaps_to_frame(gaps: Sequence[Gap], names: Sequence[str], states: Sequence[str]) -> pd.DataFrame:
    """Return one row a gap that has pairs, in points: ``name``, ``state``, ``gap``, ``low``, ``high``, ``pairs``."""
    rows = [
        (name, state, gap.recent.gap * 100, gap.recent.gap_low * 100, gap.recent.gap_high * 100, gap.recent.pairs)
        for gap, name, state in zip(gaps, names, states, strict=True)
        if gap.recent.gap is not None
    ]
    return pd.DataFrame(rows, columns=["name", "state", "gap", "low", "high", "pairs"])


def gaps_chart(frame: pd.DataFrame, *, epsilon: float, description: str) -> alt.LayerChart:
    """Return a dot with its interval for each gap, over the band that is tolerated; in points from -100 to 100."""
    reach = float(max(frame["gap"].abs().max() * 1.6, epsilon * 300, 1.0)) if len(frame) else 1.0
    limit = min(100.0, max(reach, 5.0))
    order = list(frame["name"])
    x: Any = alt.X("low:Q", title="gap in points", scale=alt.Scale(domain=[-limit, limit], clamp=True))
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=320, labelOverlap=False))
    tooltip = [
        alt.Tooltip("name:N", title="Group"),
        alt.Tooltip("state:N", title="State"),
        alt.Tooltip("gap:Q", title="Gap, points", format="+.1f"),
        alt.Tooltip("low:Q", title="At least", format="+.1f"),
        alt.Tooltip("high:Q", title="At most", format="+.1f"),
        alt.Tooltip("pairs:Q", title="Pairs", format=","),
    ]
    colour = alt.Color(
        "state:N",
        scale=alt.Scale(domain=list(_STATES), range=list(_STATES.values())),
        legend=alt.Legend(title=None, orient="top"),
    )
    base: Any = alt.Chart(frame)
    band: Any = (
        alt.Chart(pd.DataFrame({"low": [-epsilon * 100], "high": [epsilon * 100]}))
        .mark_rect(opacity=0.18, color=_BAND)
        .encode(x="low:Q", x2="high:Q")
    )
    rules = base.mark_rule(strokeWidth=3).encode(x=x, x2="high:Q", y=y, color=colour, tooltip=tooltip)
    dots = base.mark_point(size=70, filled=True).encode(
        x="gap:Q", y=y, color=colour, shape=alt.Shape("state:N", legend=None), tooltip=tooltip
    )
    chart: Any = alt.layer(band, rules, dots).properties(
        height=max(80, ROW_HEIGHT * len(frame)), description=description
    )
    return chart  # type: ignore[no-any-return]


def course_to_frame(course: GapCourse) -> pd.DataFrame:
    """Return columns ``t`` (UTC) and, in points, ``gap``, ``low``, ``high``; and ``pairs``."""
    rows = [(one.at, one.gap * 100, one.gap_low * 100, one.gap_high * 100, one.pairs) for one in course.points]
    frame = pd.DataFrame(rows, columns=["t", "gap", "low", "high", "pairs"])
    frame["t"] = pd.to_datetime(frame["t"], utc=True)
    return frame


def course_chart(frame: pd.DataFrame, *, epsilon: float, description: str) -> alt.LayerChart:
    """Return one gap as a line inside its confidence sequence, between two lines that mark the tolerance."""
    # Early intervals span everything; the axis shows the later half well and cuts the rest off.
    late = frame.iloc[len(frame) // 2 :]
    top = float(max(late["high"].max(), epsilon * 200)) if len(frame) else 100.0
    bottom = float(min(late["low"].min(), -epsilon * 200)) if len(frame) else -100.0
    margin = 0.1 * (top - bottom)
    y: Any = alt.Y("low:Q", title="gap in points", scale=alt.Scale(domain=[bottom - margin, top + margin], clamp=True))
    x: Any = alt.X("t:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(tickCount=6, labelOverlap=True))
    tooltip = [
        alt.Tooltip("utcyearmonthdatehoursminutes(t):T", title="Time (UTC)"),
        alt.Tooltip("gap:Q", title="Gap, points", format="+.1f"),
        alt.Tooltip("low:Q", title="At least", format="+.1f"),
        alt.Tooltip("high:Q", title="At most", format="+.1f"),
        alt.Tooltip("pairs:Q", title="Pairs", format=","),
    ]
    base: Any = alt.Chart(frame)
    band = base.mark_area(opacity=0.25, color=_LINE).encode(x=x, y=y, y2="high:Q", tooltip=tooltip)
    line = base.mark_line(color=_LINE, point={"size": 18, "filled": True}).encode(x=x, y="gap:Q", tooltip=tooltip)
    tolerated: Any = (
        alt.Chart(pd.DataFrame({"edge": [-epsilon * 100, epsilon * 100]}))
        .mark_rule(strokeDash=[4, 4], color=_BAND)
        .encode(y="edge:Q")
    )
    chart: Any = alt.layer(band, line, tolerated).properties(height=COURSE_HEIGHT, description=description)
    return chart  # type: ignore[no-any-return]
