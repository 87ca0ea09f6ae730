"""The console's script: Streamlit runs it top to bottom for every interaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from custodes_sdk import Unauthorized
from ui import session
from ui.app_pages import (
    action,
    actions,
    approvals,
    audit,
    drift,
    endpoints,
    fairness,
    incident,
    incidents,
    overview,
    policies,
    policy,
    reviews,
    sign_in,
    silences,
    trace,
    traces,
)
from ui.components import states
from ui.components.safe_text import md_escape

_ASSETS = Path(__file__).with_name("assets")


def main() -> None:
    """Show the page the address names, for the person who is signed in."""
    st.set_page_config(page_title="Custodes", page_icon=str(_ASSETS / "mark.svg"), layout="wide")
    st.logo(str(_ASSETS / "wordmark.svg"), icon_image=str(_ASSETS / "mark.svg"), size="large")
    pages: dict[str, st.Page] = {}

    def page(
        path: str, render: Callable[[session.Context], None], title: str, icon: str, *, listed: bool = True
    ) -> st.Page:
        pages[path] = st.Page(
            lambda: _show(render, pages),
            title=title,
            icon=icon,
            url_path=path or "overview",
            default=path == "",
            visibility="visible" if listed else "hidden",
        )
        return pages[path]

    chosen = st.navigation(
        {
            "Monitor": [
                page("", overview.render, "Overview", ":material/monitoring:"),
                page("traces", traces.render, "Traces", ":material/account_tree:"),
                page("trace", trace.render, "Trace", ":material/account_tree:", listed=False),
                page("fairness", fairness.render, "Fairness", ":material/balance:"),
                page("drift", drift.render, "Drift", ":material/trending_up:"),
            ],
            "Respond": [
                page("incidents", incidents.render, "Incidents", ":material/notification_important:"),
                page("incident", incident.render, "Incident", ":material/notification_important:", listed=False),
                page("actions", actions.render, "Actions", ":material/restart_alt:"),
                page("action", action.render, "Action", ":material/restart_alt:", listed=False),
                page("reviews", reviews.render, "Reviews", ":material/rate_review:"),
                page("silences", silences.render, "Silences", ":material/notifications_off:"),
                page("endpoints", endpoints.render, "Endpoints", ":material/outbound:"),
            ],
            "Govern": [
                page("policies", policies.render, "Policies", ":material/policy:"),
                page("policy", policy.render, "Policy", ":material/policy:", listed=False),
                page("approvals", approvals.render, "Approvals", ":material/how_to_reg:"),
            ],
            "Assure": [page("audit", audit.render, "Audit", ":material/verified_user:")],
        }
    )
    chosen.run()


def _show(render: Callable[[session.Context], None], pages: dict[str, st.Page]) -> None:
    states.guarded(lambda: _show_signed_in(render, pages))


def _show_signed_in(render: Callable[[session.Context], None], pages: dict[str, st.Page]) -> None:
    try:
        me = session.current_me()
    except Unauthorized:
        sign_in.render()
        return
    _identity(me.actor, me.role, me.project, dev=me.dev)
    render(session.Context(client=session.current_client(), me=me, pages=pages, now=session.clock()))


def _identity(actor: str, role: str, project: str, *, dev: bool) -> None:
    with st.sidebar:
        st.caption(f"{md_escape(actor)} · {md_escape(role)}  \nProject {md_escape(project)}")
        if dev:
            st.badge("Development mode", icon=":material/construction:", color="yellow")
        elif st.button("Sign out", icon=":material/logout:", key="sign_out", type="tertiary"):
            session.sign_out()
            st.rerun()


if __name__ == "__main__":
    main()
