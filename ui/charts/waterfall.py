"""The span waterfall: when each operation of a trace ran, indented as it was called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd

from custodes_sdk.models import Span
from ui.components.safe_text import show_hidden
from ui.moments import milliseconds_text

ROW_HEIGHT = 28
MOST_ROWS = 500
_LONGEST_NAME = 44
_COLUMNS = ["row", "name", "kind", "start_ms", "end_ms", "note", "scores", "failed", "span_id"]
_MOST_INDENT = 6

OPERATION_KINDS = {
    "chat": "Model call",
    "text_completion": "Model call",
    "generate_content": "Model call",
    "embeddings": "Embedding",
    "retrieval": "Retrieval",
    "execute_tool": "Tool",
    "invoke_agent": "Agent",
    "create_agent": "Agent",
    "invoke_workflow": "Agent",
}
KINDS = ["Agent", "Model call", "Retrieval", "Tool", "Embedding", "Other"]


def order_spans(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    """Return every span once with its depth, parents before children, siblings by start time.

    A span whose parent is missing counts as a root; so does one span of a parent cycle, so that none is lost.
    """
    by_id = {span.span_id: span for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.start, span.span_id)):
        parent = span.parent_span_id if span.parent_span_id in by_id else None
        children.setdefault(parent, []).append(span)
    ordered: list[tuple[Span, int]] = []
    seen: set[str] = set()

    def visit(root: Span) -> None:
        waiting = [(root, 0)]
        while waiting:
            span, depth = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            ordered.append((span, depth))
            waiting.extend((child, depth + 1) for child in reversed(children.get(span.span_id, [])))

    for root in [*children.get(None, []), *spans]:
        if root.span_id not in seen:
            visit(root)
    return ordered


def waterfall_frame(spans: Sequence[Span], scores: Mapping[str, str]) -> pd.DataFrame:
    """Return one row per span in call order, times in milliseconds since the trace began.

    ``scores`` gives a span's scores in words, by span id. Columns: ``row``, ``name``, ``kind``, ``start_ms``,
    ``end_ms``, ``note`` (the duration), ``scores``, ``failed``, ``span_id``.
    """
    ordered = order_spans(spans)[:MOST_ROWS]
    begin = min((span.start for span, _ in ordered), default=None)
    rows = []
    for number, (span, depth) in enumerate(ordered):
        start_ms = _milliseconds(begin, span.start)
        length_ms = _length_ms(span)
        rows.append(
            {
                "row": number,
                "name": _branch(depth) + short_name(span.name),
                "kind": OPERATION_KINDS.get(span.operation, "Other"),
                "start_ms": start_ms,
                "end_ms": start_ms + (length_ms or 0.0),
                "note": "no end" if length_ms is None else milliseconds_text(length_ms),
                "scores": scores.get(span.span_id, "none"),
                "failed": span.status == "error",
                "span_id": span.span_id,
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def waterfall_rows(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Return the waterfall's numbers as words, for the table that stands in for the chart."""
    return [
        {
            "Span": str(row["name"]),
            "Kind": str(row["kind"]),
            "Start (ms)": f"{row['start_ms']:,.1f}",
            "End (ms)": f"{row['end_ms']:,.1f}",
            "Duration": str(row["note"]),
            "Scores": str(row["scores"]),
            "Status": "failed" if row["failed"] else "not failed",
        }
        for row in frame.to_dict("records")
    ]


def waterfall_chart(frame: pd.DataFrame, *, description: str) -> alt.LayerChart:
    """Return bars from start to end, coloured by kind of operation; a failed span has a red outline."""
    names = frame.set_index("row")["name"].to_dict()
    # Rows are numbers, so that equal names stay apart; the axis shows the names.
    labels = "{" + ", ".join(f"{row}: {_vega_string(name)}" for row, name in names.items()) + "}[datum.value]"
    y = alt.Y(
        "row:O",
        title=None,
        axis=alt.Axis(
            labelExpr=labels,
            labelAlign="left",
            labelOverlap=False,
            labelPadding=158,
            labelLimit=154,
            ticks=False,
            domain=False,
            minExtent=160,
        ),
    )
    longest = float(frame["end_ms"].max()) if len(frame) else 1.0
    x = alt.X(
        "start_ms:Q",
        title="Milliseconds since the trace began",
        scale=alt.Scale(domain=[0, max(longest, 0.001) * 1.3], nice=False),
        axis=alt.Axis(tickCount=6, grid=True),
    )
    base: Any = alt.Chart(frame)
    bars = base.mark_bar(cornerRadius=2, height=ROW_HEIGHT - 14, minBandSize=2).encode(
        x=x,
        x2="end_ms:Q",
        y=y,
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=KINDS),
            legend=alt.Legend(title=None, orient="top", columns=2, values=sorted(set(frame["kind"]))),
        ),
        stroke=alt.condition("datum.failed", alt.value("#D92D20"), alt.value(None)),
        strokeWidth=alt.condition("datum.failed", alt.value(2), alt.value(0)),
        tooltip=[
            alt.Tooltip("name:N", title="Span"),
            alt.Tooltip("kind:N", title="Kind"),
            alt.Tooltip("start_ms:Q", title="Start (ms)", format=",.1f"),
            alt.Tooltip("end_ms:Q", title="End (ms)", format=",.1f"),
            alt.Tooltip("scores:N", title="Scores"),
        ],
    )
    notes = base.mark_text(align="left", dx=6, fontSize=12, color="#7C8A99").encode(x="end_ms:Q", y=y, text="note:N")
    # Legend, axis and its title take the rest.
    height = ROW_HEIGHT * len(frame) + 128
    chart: alt.LayerChart = (bars + notes).properties(height=height, description=description)
    return chart


def short_name(name: str) -> str:
    """Return a span's name in one line with hidden characters shown, cut to fit the chart."""
    shown, _ = show_hidden(" ".join(name.split()))
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…"


def _branch(depth: int) -> str:
    # Vega trims leading blanks, so depth is drawn.
    return "" if depth == 0 else "\u2514" + "\u2500" * (min(depth, _MOST_INDENT) - 1) + " "


def _length_ms(span: Span) -> float | None:
    if span.duration_ms is not None:
        return max(0.0, span.duration_ms)
    return None if span.end is None else max(0.0, _milliseconds(span.start, span.end))


def _milliseconds(begin: datetime | None, moment: datetime) -> float:
    return 0.0 if begin is None else (moment - begin).total_seconds() * 1000


def _vega_string(text: str) -> str:
    """Return ``text`` as a string literal of Vega's expression language, so that a name can't become code."""
    return "'" + "".join(f"\\u{ord(unit):04x}" for unit in _utf16(text)) + "'"


def _utf16(text: str) -> list[str]:
    raw = text.encode("utf-16-be", "surrogatepass")
    return [chr(int.from_bytes(raw[index : index + 2], "big")) for index in range(0, len(raw), 2)]
