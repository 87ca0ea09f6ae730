"""What ``streamlit run ui/app.py`` starts: the console's script behind its own route and security headers.

Streamlit finds ``app`` by reading this file, so the name and the literal ``st.App(...)`` call matter.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui.door import console_middleware, console_routes
from ui.failure import report_script_error

app = st.App(
    Path(__file__).with_name("main.py"),
    routes=console_routes(),
    middleware=console_middleware(),
    on_script_error=report_script_error,
)
