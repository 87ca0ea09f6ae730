"""One exchange: verdicts with their detectors, the text they judged, and the marked evidence."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from custodes_sdk.models import EvidenceSpan, Exchange, Score
from ui import session
from ui.components.badges import SCORE_STATES, show_badge
from ui.components.reveal import reveal_form, revealed
from ui.components.review_form import review_section
from ui.components.safe_text import md_escape, safe_text, show_hidden
from ui.components.tables import plain_table
from ui.figures import metric_name, plural, reason_text, score_text, state_text

_ORDER = (
    "toxicity",
    "hallucination",
    "prompt_toxicity",
    "identity_attack",
    "prompt_injection",
    "context_injection",
    "secrets",
    "prompt_secrets",
    "pii",
    "prompt_pii",
    "refusal",
    "negative_tone",
)
_LONGEST_EXCERPT = 120


def exchange_section(context: session.Context, exchange: Exchange, *, number: int, of: int) -> None:
    """Show one exchange of a trace; when its text is not visible, say why and offer to reveal it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header("Verdict" if of == 1 else f"Verdict, exchange {number} of {of}", anchor=False, width="content")
        show_badge(SCORE_STATES, exchange.state)
    _verdicts(exchange)
    shown = exchange if exchange.text_visible else revealed(exchange.id) or exchange
    if not shown.text_visible:
        reveal_form(context, exchange.id)
        return
    _texts(shown)
    review_section(context, shown)


def exchange_scores(exchange: Exchange) -> str:
    """Return an exchange's assessed scores in one line, highest first."""
    assessed = [(score.value, metric) for metric, score in exchange.scores.items() if score.value is not None]
    return ", ".join(
        f"{metric_name(metric).lower()} {value:.2f}" for value, metric in sorted(assessed, reverse=True)[:2]
    )


def mark_spans(text: str, spans: Sequence[EvidenceSpan]) -> str:
    """Return ``text`` with each span in numbered brackets ``⟦1 …⟧``.

    A span that lies outside the text or overlaps the one before is not marked, so that no character is lost.
    """
    parts: list[str] = []
    position = 0
    for number, span in enumerate(spans, start=1):
        if not position <= span.start < span.end <= len(text):
            continue
        parts.append(f"{text[position : span.start]}⟦{number} {text[span.start : span.end]}⟧")
        position = span.end
    parts.append(text[position:])
    return "".join(parts)


def _verdicts(exchange: Exchange) -> None:
    if not exchange.scores:
        st.info("No detector has judged this exchange yet.", icon=":material/hourglass_top:")
        return
    known = [metric for metric in _ORDER if metric in exchange.scores]
    others = sorted(set(exchange.scores) - set(known))
    with st.grid(min_column_width=185, gap="small", border=True) as grid:
        for metric in [*known, *others]:
            with grid.cell(), st.container(gap="xsmall"):
                _verdict(metric, exchange.scores[metric])


def _verdict(metric: str, score: Score) -> None:
    st.metric(metric_name(metric), score_text(score.value, score.state))
    if score.state != "assessed":
        st.caption(f"Because {md_escape(reason_text(score.reason))}.")
    elif score.labels:
        labels = sorted(score.labels.items(), key=lambda pair: -(pair[1] or 0.0))[:3]
        st.caption(", ".join(f"{md_escape(state_text(name))} {md_escape(score_text(value))}" for name, value in labels))
    elif score.spans and metric == "hallucination":
        st.caption(f"{plural(len(score.spans), 'unsupported passage')}, marked below.")
    if score.detector is not None:
        st.caption(f"{md_escape(score.detector.name)} {md_escape(score.detector.version)}")


def _texts(exchange: Exchange) -> None:
    score = exchange.scores.get("hallucination")
    evidence = sorted(score.spans, key=lambda span: span.start) if score and score.spans else []
    with st.grid(2, min_column_width=360, gap="small"):
        with st.container(gap="xsmall"):
            st.subheader("Prompt", anchor=False)
            _text(exchange.prompt, "No prompt was captured.")
            _contexts(exchange)
        with st.container(gap="xsmall"):
            st.subheader("Response", anchor=False)
            response = exchange.response or ""
            _text(mark_spans(response, evidence) if response else None, "No response was captured.")
            if evidence:
                st.caption("Brackets mark passages that the retrieved context does not support.")
                _evidence_table(response, evidence)


def _contexts(exchange: Exchange) -> None:
    st.subheader("Retrieved context", anchor=False)
    if not exchange.contexts:
        st.caption("None was captured with this exchange.")
        return
    for document in exchange.contexts:
        safe_text(document_text(document))


def document_text(document: object) -> object:
    """Return the text of a retrieved document, whatever shape it was captured in."""
    if isinstance(document, dict):
        for field in ("content", "text", "page_content"):
            if isinstance(document.get(field), str):
                return document[field]
    return document


def _evidence_table(response: str, evidence: Sequence[EvidenceSpan]) -> None:
    rows = []
    for number, span in enumerate(evidence, start=1):
        excerpt, _ = show_hidden(response[span.start : span.end])
        rows.append(
            {
                "No.": str(number),
                "From": str(span.start),
                "To": str(span.end),
                "Unsupported": score_text(span.value),
                "Passage": excerpt if len(excerpt) <= _LONGEST_EXCERPT else f"{excerpt[:_LONGEST_EXCERPT]}…",
            }
        )
    plain_table(rows, alt="Unsupported passages, by character offsets of the response")


def _text(value: str | None, missing: str) -> None:
    if value is None:
        st.caption(missing)
    else:
        safe_text(value)
