"""Small multiples over time: one line per group, a gap where nothing was assessed."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from custodes_sdk.models import Timeseries

HEIGHT = 240


def timeseries_to_frame(answer: Timeseries) -> pd.DataFrame:
    """Return columns ``t`` (UTC), ``group``, ``value`` (NaN where nothing was assessed) and ``n``."""
    rows = [(point.t, series.group, point.value, point.n) for series in answer.series for point in series.points]
    frame = pd.DataFrame(rows, columns=["t", "group", "value", "n"])
    frame["t"] = pd.to_datetime(frame["t"], utc=True)
    frame["value"] = frame["value"].astype(float)
    return frame


def line_chart(
    frame: pd.DataFrame, *, title: str, description: str, score: bool, groups: list[str], long: bool = False
) -> alt.Chart:
    """Return lines over time, coloured by group in the fixed order ``groups``.

    A score's axis is fixed to [0, 1]. ``description`` is the accessible name. A NaN value breaks its line.
    ``long`` labels the time axis with dates instead of times of day.
    """
    scale = alt.Scale(domain=[0, 1]) if score else alt.Scale(zero=True, nice=True)
    tooltip = [
        alt.Tooltip("utchoursminutes(t):T", title="Time (UTC)"),
        alt.Tooltip("group:N", title="Group"),
        alt.Tooltip("value:Q", title=title, format=".2f" if score else ",.0f"),
        alt.Tooltip("n:Q", title="Exchanges", format=","),
    ]
    chart: Any = (
        alt.Chart(frame)
        .mark_line(strokeWidth=2, point={"size": 16, "filled": True}, invalid="break-paths-show-domains")
        .encode(
            x=alt.X(
                "t:T",
                title=None,
                scale=alt.Scale(type="utc"),
                axis=alt.Axis(tickCount=5, format="%d %b" if long else "%H:%M", labelOverlap=True, grid=False),
            ),
            y=alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4)),
            color=alt.Color(
                "group:N",
                scale=alt.Scale(domain=groups),
                legend=alt.Legend(
                    title=None, orient="top", offset=2, padding=0, symbolType="stroke", labelLimit=150, columns=2
                ),
            ),
            tooltip=tooltip,
        )
        .properties(
            title=alt.TitleParams(title, anchor="start", fontSize=14, offset=4), height=HEIGHT, description=description
        )
    )
    return chart  # type: ignore[no-any-return]
