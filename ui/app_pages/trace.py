"""Trace: what happened, how it was judged, and on which evidence."""

from __future__ import annotations

import streamlit as st

from custodes_sdk.models import Span, Trace
from ui import session
from ui.charts.waterfall import MOST_ROWS, order_spans, short_name, waterfall_chart, waterfall_frame, waterfall_rows
from ui.components import states
from ui.components.decide import say_what_was_done
from ui.components.exchange_view import exchange_scores, exchange_section
from ui.components.safe_text import md_escape
from ui.components.span_view import span_section
from ui.components.tables import facts_table, plain_table
from ui.figures import cost_text, plural, tokens_text
from ui.moments import milliseconds_text, stamp_text


def render(context: session.Context) -> None:
    """Show the trace that ``?id=`` names."""
    st.page_link(context.pages["traces"], label="Traces", icon=":material/arrow_back:")
    trace_id = st.query_params.get("id", "")
    if not trace_id:
        states.empty("No trace chosen", "Open one from the list of traces.", icon=":material/account_tree:")
        return
    trace = context.client.trace(trace_id)
    if not trace.spans:
        st.title("Trace", anchor=False)
        states.empty("This trace has no spans", "They may have expired by retention.", icon=":material/account_tree:")
        return
    _header(context, trace)
    say_what_was_done()
    for number, exchange in enumerate(trace.exchanges, start=1):
        exchange_section(context, exchange, number=number, of=len(trace.exchanges))
    if not trace.exchanges:
        st.info("This trace holds no model call, so there is nothing to score.", icon=":material/info:")
    _waterfall(trace)
    _spans(trace)


def _header(context: session.Context, trace: Trace) -> None:
    root, _ = order_spans(trace.spans)[0]
    st.title(md_escape(root.name or "Trace"), anchor=False)
    begin = min(span.start for span in trace.spans)
    end = max((span.end or span.start) for span in trace.spans)
    calls = [span for span in trace.spans if span.input_tokens is not None or span.output_tokens is not None]
    costs = [span.cost_usd for span in trace.spans if span.cost_usd is not None]
    left = {
        "Trace": trace.trace_id,
        "Started": stamp_text(begin),
        "Duration": milliseconds_text((end - begin).total_seconds() * 1000),
        "Service": _first(trace, "service"),
        "Deployment": _first(trace, "deployment"),
        "Model": _first(trace, "model"),
    }
    right = {
        "Environment": _first(trace, "environment"),
        "Provider": _first(trace, "provider"),
        "Session": _first(trace, "session_id"),
        "User": _first(trace, "user_id"),
        "Tokens in / out": f"{_tokens(calls, 'input_tokens')} / {_tokens(calls, 'output_tokens')}",
        "Cost": cost_text(sum(costs) if costs else None),
    }
    with st.grid(2, min_column_width=320, gap=("small", "medium")):
        facts_table(left, alt="Facts about this trace")
        facts_table(right, alt="More facts about this trace")
    for incident_id in trace.incident_ids:
        st.page_link(
            context.pages["incident"],
            label=f"Part of incident {md_escape(incident_id)}",
            icon=":material/notification_important:",
            query_params={"id": incident_id},
        )


def _waterfall(trace: Trace) -> None:
    st.header("What took time", anchor=False)
    scores = {exchange.span_id: exchange_scores(exchange) for exchange in trace.exchanges}
    frame = waterfall_frame(trace.spans, {span_id: text for span_id, text in scores.items() if text})
    st.altair_chart(
        waterfall_chart(
            frame, description=f"Waterfall of {plural(len(frame), 'span')}; the table below has the numbers"
        )
    )
    if trace.truncated:
        st.caption("The trace has more spans than the server shows.")
    if len(trace.spans) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS} of {len(trace.spans):,} spans are drawn.")
    with st.expander("Show as a table", icon=":material/table_chart:"):
        plain_table(waterfall_rows(frame), alt="Spans in call order")


def _spans(trace: Trace) -> None:
    st.header("Spans", anchor=False)
    ordered = order_spans(trace.spans)
    calls = {exchange.span_id for exchange in trace.exchanges}
    first = next((index for index, (span, _) in enumerate(ordered) if span.span_id in calls), 0)
    chosen = st.selectbox(
        "Span",
        range(len(ordered)),
        index=first,
        key="span",
        format_func=lambda index: _option(*ordered[index]),
    )
    span_section(ordered[chosen][0], text_visible=trace.text_visible)


def _option(span: Span, depth: int) -> str:
    return f"{'– ' * min(depth, 6)}{short_name(span.name)} ({milliseconds_text(span.duration_ms)})"


def _first(trace: Trace, field: str) -> str:
    values = sorted({str(getattr(span, field)) for span in trace.spans if getattr(span, field)})
    if not values:
        return "unknown"
    return values[0] if len(values) == 1 else f"{values[0]} and {len(values) - 1} more"


def _tokens(spans: list[Span], field: str) -> str:
    counts = [getattr(span, field) for span in spans if getattr(span, field) is not None]
    return tokens_text(sum(counts) if counts else None)
