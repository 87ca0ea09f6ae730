"""The small line under a figure: its course over the window, on an axis that doesn't exaggerate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd

HEIGHT = 36
# Grey with a contrast of at least 3 on the light and the dark background.
COLOUR = "#7C8A99"


def spark_frame(points: Sequence[tuple[datetime, float | None]]) -> pd.DataFrame:
    """Return columns ``t`` (UTC) and ``value`` (NaN where nothing was assessed)."""
    frame = pd.DataFrame(points, columns=["t", "value"])
    frame["t"] = pd.to_datetime(frame["t"], utc=True)
    frame["value"] = frame["value"].astype(float)
    return frame


def spark_chart(frame: pd.DataFrame, *, description: str, score: bool) -> alt.Chart:
    """Return a line without axes. A score is drawn on [0, 1], a count from 0; a NaN breaks the line."""
    highest = frame["value"].max()
    top = 1.0 if score or not highest > 0 else float(highest) * 1.1
    chart: Any = (
        alt.Chart(frame)
        .mark_line(strokeWidth=1.8, color=COLOUR, point={"size": 8, "filled": True, "color": COLOUR})
        .encode(
            x=alt.X("t:T", axis=None),
            y=alt.Y("value:Q", axis=None, scale=alt.Scale(domain=[0, top])),
            tooltip=[
                alt.Tooltip("utchoursminutes(t):T", title="Time (UTC)"),
                alt.Tooltip("value:Q", title="Value", format=".2f" if score else ",.0f"),
            ],
        )
        .properties(height=HEIGHT, padding={"left": 0, "right": 0, "top": 2, "bottom": 2}, description=description)
        .configure_view(stroke=None)
    )
    return chart  # type: ignore[no-any-return]
