"""Traces as a table whose rows open the trace."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pandas as pd
import streamlit as st

from custodes_sdk.models import TraceRow
from ui.components.safe_text import show_hidden
from ui.components.tables import selected_row
from ui.figures import NOT_ASSESSED, metric_name, score_text
from ui.moments import milliseconds_text, short_stamp_text

_FIRST_METRICS = ("toxicity", "hallucination", "prompt_toxicity")
# A shade grows with the score; no value is singled out as a limit, since limits belong to policies.
_SHADE = "background-color: rgba(217, 72, 15, {:.2f})"
_DARKEST = 0.55


def traces_to_frame(rows: Sequence[TraceRow]) -> pd.DataFrame:
    """Return one row of words and numbers per trace; a missing score is the word for its state."""
    metrics = [metric for metric in _FIRST_METRICS if any(metric in row.states or metric in row.scores for row in rows)]
    records = []
    for row in rows:
        record = {
            "Start (UTC)": short_stamp_text(row.start),
            "Service": _name(row.service),
        }
        for metric in metrics:
            record[metric_name(metric)] = score_text(row.scores.get(metric), row.states.get(metric))
        record |= {
            "Duration": milliseconds_text(row.duration_ms),
            "Incident": "yes" if row.incident_ids else "no",
            "Deployment": _name(row.deployment),
            "Model": _name(row.model),
            "Spans": str(row.spans),
            "Trace": row.trace_id,
        }
        records.append(record)
    return pd.DataFrame(records)


def shade(cell: object) -> str:
    """Return the cell style for a score written as text: deeper for higher, none for a word."""
    try:
        value = float(str(cell))
    except ValueError:
        return ""
    return _SHADE.format(_DARKEST * min(1.0, max(0.0, value))) if value >= 0.01 else ""


def trace_table(rows: Sequence[TraceRow], page: st.Page, *, key: str) -> None:
    """Show traces; a click on a row opens ``page`` with that trace's id."""
    frame = traces_to_frame(rows)
    scores: list[Hashable] = [metric_name(metric) for metric in _FIRST_METRICS if metric_name(metric) in frame.columns]

    def open_selected() -> None:
        index = selected_row(st.session_state.get(key), len(rows))
        if index is not None:
            st.switch_page(page, query_params={"id": rows[index].trace_id})

    st.dataframe(
        frame.style.map(shade, subset=scores),
        hide_index=True,
        height="content",
        key=key,
        on_select=open_selected,
        selection_mode="single-cell",
        column_config={
            **{str(name): st.column_config.TextColumn(alignment="right", width=105) for name in [*scores, "Duration"]},
            "Start (UTC)": st.column_config.TextColumn(pinned=True, width=150),
            "Spans": st.column_config.TextColumn(alignment="right", width=60),
            "Incident": st.column_config.TextColumn(width=70),
            "Trace": st.column_config.TextColumn(width=260),
        },
        placeholder=NOT_ASSESSED,
        alt="Traces, newest first",
    )


def _name(name: str | None) -> str:
    return show_hidden(name)[0] if name else "unknown"
