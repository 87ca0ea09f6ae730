"""The line that says how fresh a page is."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from ui.components.safe_text import md_escape
from ui.moments import clock_text


def updated_line(now: datetime, every_s: int) -> None:
    """Show when the numbers were read, by the server's clock, and how often they are read again."""
    st.caption(f":material/sync: Updated {md_escape(clock_text(now))} · every {every_s} s")
