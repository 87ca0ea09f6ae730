"""Judging an answer that is on the screen, with a better one where the reader has one."""

from __future__ import annotations

import streamlit as st

from custodes_sdk.models import Exchange
from ui import session
from ui.components.decide import attempt
from ui.components.safe_text import md_escape
from ui.moments import short_stamp_text

_VERDICTS = {"Good": "good", "Bad": "bad"}
_LONGEST_ANSWER = 20_000


def may_review(context: session.Context) -> bool:
    """Return whether the signed-in person may judge answers."""
    return "analyst" in (context.me.roles or (context.me.role,))


def review_section(context: session.Context, exchange: Exchange) -> None:
    """Show who has judged this answer, and a form for those who may; data sets are made of what stands here."""
    st.subheader("Review", anchor=False)
    found = context.client.reviews(exchange=exchange.id).rows
    for one in found:
        better = ", with a better answer" if one.corrected else ", better answer erased" if one.erased else ""
        when = f"{short_stamp_text(one.at)} UTC"
        st.caption(f"{md_escape(one.reviewer, limit=120)}: {md_escape(one.verdict)}{better}, {when}")
    if not found:
        st.caption("Nobody has judged this answer yet.")
    if may_review(context):
        _form(context, exchange.id)


def _form(context: session.Context, exchange_id: str) -> None:
    with st.form(f"review_{exchange_id}", border=True):
        chosen = st.segmented_control("The answer is", list(_VERDICTS), key=f"verdict_{exchange_id}")
        better = st.text_area(
            "A better answer, if you have one",
            key=f"better_{exchange_id}",
            max_chars=_LONGEST_ANSWER,
            help="It is captured text: encrypted, erased with the person it is about, shown nowhere but in data sets.",
        )
        sent = st.form_submit_button("Judge", icon=":material/rate_review:", type="primary")
    if not sent:
        return
    if chosen is None:
        st.error("Say whether the answer is good or bad.", icon=":material/edit_note:")
        return
    text = (better or "").strip() or None
    attempt(lambda: context.client.review(exchange_id, _VERDICTS[chosen], corrected=text), "Your judgement is stored.")
