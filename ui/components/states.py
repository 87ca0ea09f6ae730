"""What a page shows when there is nothing to show, or no way to get it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from custodes_sdk import CustodesSdkError, Forbidden, Invalid, NotFound, ServerUnavailable, Unauthorized
from ui import session
from ui.components.safe_text import md_escape
from ui.moments import clock_text

_LONGEST_DETAIL = 300


def guarded(body: Callable[[], None]) -> None:
    """Run ``body``; every failure of the API becomes a message that says what to do. Nothing else is caught."""
    try:
        body()
    except Unauthorized:
        session.sign_out(expired=True)
        st.rerun()
    except ServerUnavailable as error:
        _unavailable(error)
    except Forbidden as error:
        _problem(
            "Your role does not allow this",
            "Ask an administrator of this project for a role that does.",
            error,
            icon=":material/lock:",
        )
    except NotFound as error:
        _problem(
            "Not found",
            "It may have been removed by retention, or the link is mistyped.",
            error,
            icon=":material/search_off:",
        )
    except Invalid as error:
        _problem(
            "The server cannot use this address or filter",
            "Correct the link or the filters; trying again as it is cannot help.",
            error,
            icon=":material/link_off:",
            retry=False,
        )
    except CustodesSdkError as error:
        _problem("The server could not answer", "Try again in a moment.", error, icon=":material/error:")


def empty(title: str, next_step: str, *, icon: str = ":material/inbox:") -> None:
    """Say why there is nothing here, and what to do about it."""
    with st.container(border=True, horizontal_alignment="center", gap="xsmall"):
        st.space("small")
        st.subheader(title, anchor=False, text_alignment="center", icon=icon)
        st.caption(next_step, text_alignment="center")
        st.space("small")


def _unavailable(error: ServerUnavailable) -> None:
    now = clock_text(session.clock())
    st.error(
        f"Last tried at {now}. {md_escape(error.message, limit=_LONGEST_DETAIL)} "
        "Traffic is still scored if the server itself is running; only this view is affected.",
        title="Monitoring server unreachable",
        icon=":material/cloud_off:",
    )
    _retry()


def _problem(title: str, next_step: str, error: CustodesSdkError, *, icon: str, retry: bool = True) -> None:
    st.error(f"{md_escape(error.message, limit=_LONGEST_DETAIL)} {next_step}", title=title, icon=icon)
    if error.error_id:
        st.caption(f"Reference for the server's log: {md_escape(error.error_id)}")
    if retry:
        _retry()


def _retry() -> None:
    # A click reruns the script, and the rerun is the retry.
    st.button("Try again", icon=":material/refresh:", key="try_again")
