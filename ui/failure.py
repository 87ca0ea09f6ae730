"""What happens when a page itself fails: people see a reference, the details go to the log."""

from __future__ import annotations

import logging
import secrets

import streamlit as st

_LOG = logging.getLogger("custodes.console")


def report_script_error(error: BaseException) -> bool:
    """Log the place of ``error`` under a fresh reference and show that reference; True hides Streamlit's own display.

    The exception's message is not logged: it may quote captured text.
    """
    reference = f"console-{secrets.token_hex(4)}"
    _LOG.error("console page failed: %s %s at %s", reference, type(error).__name__, _place(error))
    st.error(
        "This page could not be drawn. Reload it. If that doesn't help, look for this reference in the console's log.",
        icon=":material/error:",
    )
    st.code(reference, language=None)
    return True


def _place(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "unknown" if frame is None else f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
