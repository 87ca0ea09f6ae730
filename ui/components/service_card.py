"""One service on the overview: its state in words, four figures, and how they moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from custodes_sdk.models import MetricSummary, ServiceStatus
from ui.charts.spark import spark_chart, spark_frame
from ui.components.badges import SERVICE_STATES, show_badge
from ui.components.safe_text import md_escape
from ui.figures import count_text, metric_name, plural, score_text, share_text
from ui.moments import ago_text, milliseconds_text

_MOST_NAMES = 2


def service_card(service: ServiceStatus, now: datetime) -> None:
    """Show one service; a metric nothing was assessed for says so instead of showing a number."""
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader(md_escape(service.service or "unnamed service"), anchor=False, width="content")
            show_badge(SERVICE_STATES, service.status)
        st.caption(_facts(service, now))
        with st.grid(4, min_column_width=112, gap="small"):
            _score(service, "toxicity", [(point.t, point.toxicity_p95) for point in service.sparkline])
            _score(service, "hallucination", [(point.t, point.hallucination_p95) for point in service.sparkline])
            with st.container(gap="xxsmall"):
                st.metric("Exchanges", count_text(service.exchanges))
                _spark([(point.t, float(point.exchanges)) for point in service.sparkline], "Exchanges", score=False)
            st.metric(
                "Not assessed",
                share_text(service.not_assessed_ratio),
                help="Share of exchanges that no detector could judge, for example because no text was captured.",
            )


def _score(service: ServiceStatus, metric: str, points: list[tuple[datetime, float | None]]) -> None:
    summary = service.metrics.get(metric, MetricSummary())
    label = f"{metric_name(metric)} p95"
    with st.container(gap="xxsmall"):
        st.metric(
            label,
            score_text(summary.p95, "not_assessed"),
            help=f"95% of {plural(summary.n, 'assessed exchange')} scored at or below this. 0 is best, 1 is worst.",
        )
        _spark(points, label, score=True)


def _spark(points: Sequence[tuple[datetime, float | None]], label: str, *, score: bool) -> None:
    # A line needs two points; with fewer there is nothing to draw.
    if sum(value is not None for _, value in points) > 1:
        st.altair_chart(spark_chart(spark_frame(points), description=f"{label} over the time range", score=score))


def _facts(service: ServiceStatus, now: datetime) -> str:
    latency = service.metrics.get("latency_ms", MetricSummary()).p95
    facts = [
        md_escape(service.environment) if service.environment else "",
        _names(service.deployments),
        _names(service.models),
        f"latency p95 {md_escape(milliseconds_text(latency))}" if latency is not None else "",
        f"last trace {ago_text(service.last_seen, now)}" if service.last_seen else "no trace yet",
    ]
    return " · ".join(fact for fact in facts if fact)


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(md_escape(name, limit=40) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
