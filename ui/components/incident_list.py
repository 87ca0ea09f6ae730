"""Incidents as cards with a link each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from custodes_sdk.models import Incident
from ui.components.badges import SEVERITIES, show_badge
from ui.components.safe_text import md_escape
from ui.moments import span_text


def incident_cards(incidents: Sequence[Incident], page: st.Page, now: datetime) -> None:
    """Show one card per incident: severity, title as link, summary, since when."""
    for incident in incidents:
        with st.container(border=True, gap="xsmall"):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                show_badge(SEVERITIES, incident.severity)
                st.page_link(page, label=f"**{md_escape(incident.title)}**", query_params={"id": incident.id})
            since = span_text((now - incident.opened_at).total_seconds())
            st.caption(f"{md_escape(incident.summary, limit=240)} Open for {since}.")
