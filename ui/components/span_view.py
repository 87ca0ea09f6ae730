"""One span: its facts, the messages it carried, the documents it retrieved, and its attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from custodes_sdk.models import Message, Span
from ui.components.exchange_view import document_text
from ui.components.safe_text import md_escape, safe_text, show_hidden
from ui.components.tables import facts_table, plain_table
from ui.figures import cost_text, plural, tokens_text
from ui.moments import milliseconds_text

_LONGEST_ATTRIBUTE = 300


def span_section(span: Span, *, text_visible: bool) -> None:
    """Show one span. Captured text goes through ``safe_text`` only; when it is hidden, that is said."""
    if not span.complete:
        st.warning("This span has not ended, or its end was never received.", icon=":material/pending:")
    if span.dropped_attributes:
        st.warning(
            f"The exporter dropped {plural(span.dropped_attributes, 'attribute')}; what is shown may be incomplete.",
            icon=":material/content_cut:",
        )
    facts, messages, documents, attributes = st.tabs(["Facts", "Messages", "Retrieved documents", "Attributes"])
    with facts:
        _facts(span)
    with messages:
        _messages(span, text_visible)
    with documents:
        _documents(span, text_visible)
    with attributes:
        _attributes(span.attributes)


def _facts(span: Span) -> None:
    with st.grid(2, min_column_width=320, gap=("small", "medium")):
        facts_table(
            {
                "Span": span.span_id,
                "Operation": span.operation,
                "Status": span.status or "unset",
                "Duration": milliseconds_text(span.duration_ms),
                "Time to first token": milliseconds_text(span.ttft_ms),
                "Convention": span.dialect or "unknown",
            },
            alt="Facts about this span",
        )
        facts_table(
            {
                "Model": span.model or "none",
                "Provider": span.provider or "unknown",
                "Input tokens": tokens_text(span.input_tokens),
                "Output tokens": tokens_text(span.output_tokens),
                "Cost": cost_text(span.cost_usd),
                "Finish reasons": ", ".join(span.finish_reasons or ()) or "unknown",
            },
            alt="More facts about this span",
        )


def _messages(span: Span, text_visible: bool) -> None:
    if span.input_messages is None and span.output_messages is None:
        st.caption(_absent("messages", text_visible))
        return
    for title, messages in (("Input", span.input_messages), ("Output", span.output_messages)):
        st.subheader(title, anchor=False)
        if not messages:
            st.caption("None was captured.")
        for message in messages or ():
            _message(message)


def _message(message: Message) -> None:
    st.caption(f"Role: {md_escape(message.role or 'unknown')}")
    for part in message.parts:
        content = part.get("content")
        if part.get("type") == "text" and isinstance(content, str):
            safe_text(content)
        else:
            st.caption(f"Part: {md_escape(str(part.get('type', 'unknown')))}")
            safe_text(part)


def _documents(span: Span, text_visible: bool) -> None:
    documents: Sequence[object] | None = span.retrieved_documents
    if documents is None:
        st.caption(_absent("documents", text_visible))
        return
    if not documents:
        st.caption("This span retrieved nothing.")
    for number, document in enumerate(documents, start=1):
        identity = document.get("id") if isinstance(document, dict) else None
        st.caption(f"Document {number}{f': {md_escape(str(identity))}' if identity else ''}")
        safe_text(document_text(document))


def _attributes(attributes: Mapping[str, Any]) -> None:
    if not attributes:
        st.caption("No attributes besides the facts.")
        return
    plain_table(
        [{"Name": name, "Value": _short(value)} for name, value in sorted(attributes.items())], alt="Span attributes"
    )


def _short(value: object) -> str:
    shown, _ = show_hidden(str(value))
    return shown if len(shown) <= _LONGEST_ATTRIBUTE else f"{shown[:_LONGEST_ATTRIBUTE]}…"


def _absent(what: str, text_visible: bool) -> str:
    if text_visible:
        return f"No {what} were captured on this span."
    return f"Captured {what} are hidden for your role. Reveal an exchange above to read its text."
