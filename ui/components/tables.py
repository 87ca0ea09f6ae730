"""Facts and small tables as real HTML tables, with every cell escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pandas as pd
import streamlit as st

from ui.components.safe_text import md_escape

_LONGEST_CELL = 400


def facts_table(facts: Mapping[str, str], *, alt: str) -> None:
    """Show name and value pairs. Values are data: Markdown in them is inert."""
    frame = pd.DataFrame([(md_escape(name), _cell(value)) for name, value in facts.items()], columns=["Fact", "Value"])
    st.table(frame, border="horizontal", hide_index=True, hide_header=True, alt=alt)


def plain_table(rows: Sequence[Mapping[str, str]], *, alt: str) -> None:
    """Show rows that share their keys as columns. Names and cells may be data: Markdown in them is inert."""
    frame = pd.DataFrame([{md_escape(name): _cell(value) for name, value in row.items()} for row in rows])
    st.table(frame, border="horizontal", hide_index=True, alt=alt)


def selected_row(state: object, rows: int) -> int | None:
    """Return which row a table's selection state points at, None when nothing valid is selected."""
    selection = cast(Any, state).get("selection", {}) if hasattr(state, "get") else {}
    cells = selection.get("cells") or []
    index = cells[0][0] if cells else None
    return index if isinstance(index, int) and 0 <= index < rows else None


def _cell(value: str) -> str:
    return md_escape(value, limit=_LONGEST_CELL)
