"""How near monitors are to their alarm line, one monitor over time, and the map of a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from custodes_sdk.models import DriftCourse, DriftMap, DriftMonitor

ROW_HEIGHT = 26
COURSE_HEIGHT = 240
MAP_HEIGHT = 320
# Statistics begin at nothing and grow by factors; below this share of the line they are drawn as if there.
LEAST_SHARE = 1e-4
# Contrast of at least 3 on the light and the dark background; shape and a word say the same as the colour.
_LINE, _BAND, _ALARM = "#4C78A8", "#7C8A99", "#C8442F"
_STATES = {"Drift": "#C8442F", "Damaged": "#B26A00", "Watching": "#4C78A8", "Learning": "#7C8A99"}
_SIDES = {"usual": "#7C8A99", "since the change": "#C8442F"}


def monitors_to_frame(rows: Sequence[DriftMonitor], names: Sequence[str], states: Sequence[str]) -> pd.DataFrame:
    """Return one row a monitor: ``name``, ``state``, ``share`` of the alarm line, ``statistic``, ``threshold``."""
    found = [
        (name, state, max(LEAST_SHARE, row.statistic / row.threshold), row.statistic, row.threshold, row.seen)
        for row, name, state in zip(rows, names, states, strict=True)
        if row.threshold > 0.0
    ]
    return pd.DataFrame(found, columns=["name", "state", "share", "statistic", "threshold", "seen"])


def monitors_chart(frame: pd.DataFrame, *, description: str) -> alt.LayerChart:
    """Return a dot for each monitor on a scale of factors, before the line at which an alarm is raised."""
    top = float(max(10.0, frame["share"].max() * 2.0)) if len(frame) else 10.0
    x: Any = alt.X(
        "share:Q",
        title="statistic, as a share of the alarm line",
        scale=alt.Scale(type="log", domain=[LEAST_SHARE, top]),
        axis=alt.Axis(format="~g", values=[1e-4, 1e-3, 1e-2, 1e-1, 1, 10]),
    )
    y = alt.Y("name:N", sort=list(frame["name"]), title=None, axis=alt.Axis(labelLimit=320, labelOverlap=False))
    colour = alt.Color(
        "state:N",
        scale=alt.Scale(domain=list(_STATES), range=list(_STATES.values())),
        legend=alt.Legend(title=None, orient="top"),
    )
    tooltip = [
        alt.Tooltip("name:N", title="Monitor"),
        alt.Tooltip("state:N", title="State"),
        alt.Tooltip("statistic:Q", title="Statistic", format=",.4~g"),
        alt.Tooltip("threshold:Q", title="Alarm line", format=",.4~g"),
        alt.Tooltip("seen:Q", title="Exchanges", format=","),
    ]
    dots: Any = (
        alt.Chart(frame)
        .mark_point(size=70, filled=True)
        .encode(x=x, y=y, color=colour, shape=alt.Shape("state:N", legend=None), tooltip=tooltip)
    )
    line: Any = alt.Chart(pd.DataFrame({"share": [1.0]})).mark_rule(strokeDash=[4, 4], color=_ALARM).encode(x="share:Q")
    chart: Any = alt.layer(line, dots).properties(height=max(80, ROW_HEIGHT * len(frame)), description=description)
    return chart  # type: ignore[no-any-return]


def course_to_frame(course: DriftCourse) -> pd.DataFrame:
    """Return columns ``t`` (UTC), ``share`` of the alarm line, ``statistic``, ``threshold``, ``seen``, ``alarms``."""
    rows = [
        (one.at, max(LEAST_SHARE, one.statistic / one.threshold), one.statistic, one.threshold, one.seen, one.alarms)
        for one in course.points
        if one.threshold > 0.0
    ]
    frame = pd.DataFrame(rows, columns=["t", "share", "statistic", "threshold", "seen", "alarms"])
    frame["t"] = pd.to_datetime(frame["t"], utc=True)
    return frame


def course_chart(frame: pd.DataFrame, *, description: str) -> alt.LayerChart:
    """Return one monitor's statistic over time on a scale of factors, below the line at which an alarm is raised."""
    top = float(max(10.0, frame["share"].max() * 2.0)) if len(frame) else 10.0
    x: Any = alt.X("t:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(tickCount=6, labelOverlap=True))
    y: Any = alt.Y(
        "share:Q",
        title="share of the alarm line",
        scale=alt.Scale(type="log", domain=[LEAST_SHARE, top]),
        axis=alt.Axis(format="~g", values=[1e-4, 1e-3, 1e-2, 1e-1, 1, 10]),
    )
    tooltip = [
        alt.Tooltip("utcyearmonthdatehoursminutes(t):T", title="Time (UTC)"),
        alt.Tooltip("statistic:Q", title="Statistic", format=",.4~g"),
        alt.Tooltip("threshold:Q", title="Alarm line", format=",.4~g"),
        alt.Tooltip("seen:Q", title="Exchanges", format=","),
        alt.Tooltip("alarms:Q", title="Alarms", format=","),
    ]
    base: Any = alt.Chart(frame)
    line = base.mark_line(color=_LINE, point={"size": 18, "filled": True}).encode(x=x, y=y, tooltip=tooltip)
    alarms = (
        base.transform_filter("datum.alarms > 0")
        .mark_point(size=80, filled=True, shape="triangle-up", color=_ALARM, opacity=1.0)
        .encode(x=x, y=y, tooltip=tooltip)
    )
    limit: Any = (
        alt.Chart(pd.DataFrame({"share": [1.0]})).mark_rule(strokeDash=[4, 4], color=_ALARM).encode(y="share:Q")
    )
    chart: Any = alt.layer(line, alarms, limit).properties(height=COURSE_HEIGHT, description=description)
    return chart  # type: ignore[no-any-return]


def map_to_frame(drawn: DriftMap) -> pd.DataFrame:
    """Return one row a point: ``x``, ``y`` in spreads of the reference, and ``side``."""
    rows = [(*one[:2], "usual") for one in drawn.reference if len(one) >= 2]
    rows += [(*one[:2], "since the change") for one in drawn.current if len(one) >= 2]
    return pd.DataFrame(rows, columns=["x", "y", "side"])


def map_chart(frame: pd.DataFrame, *, description: str) -> alt.Chart:
    """Return points of usual exchanges and of those since the change, on the reference's two main directions."""
    sides = alt.Scale(domain=list(_SIDES), range=list(_SIDES.values()))
    axis = alt.Axis(labels=False, ticks=False, grid=True)
    chart: Any = (
        alt.Chart(frame)
        .mark_point(size=28, filled=True, opacity=0.55)
        .encode(
            x=alt.X("x:Q", title="first direction", axis=axis, scale=alt.Scale(zero=False)),
            y=alt.Y("y:Q", title="second direction", axis=axis, scale=alt.Scale(zero=False)),
            color=alt.Color("side:N", scale=sides, legend=alt.Legend(title=None, orient="top")),
            shape=alt.Shape("side:N", scale=alt.Scale(domain=list(_SIDES), range=["circle", "triangle-up"])),
        )
        .properties(height=MAP_HEIGHT, description=description)
    )
    return chart  # type: ignore[no-any-return]
