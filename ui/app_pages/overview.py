"""Overview: is each service within its limits, and what needs a person?"""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from custodes_sdk.models import Overview
from ui import session
from ui.charts.series import line_chart, timeseries_to_frame
from ui.components import states
from ui.components.incident_list import incident_cards
from ui.components.live import updated_line
from ui.components.safe_text import md_escape
from ui.components.service_card import service_card
from ui.components.tables import plain_table
from ui.components.window import RANGES, is_long, pick_range, range_start, step_s
from ui.figures import count_text, plural, reason_text, share_text
from ui.moments import ago_text, short_stamp_text

REFRESH_S = 15

# metric, aggregation, title, whether it is a score in [0, 1]
_PANELS = (
    ("toxicity", "p95", "Toxicity, 95th percentile", True),
    ("hallucination", "p95", "Hallucination, 95th percentile", True),
    ("toxicity", "not_assessed_ratio", "Share not assessed for toxicity", True),
    ("exchanges", "count", "Exchanges", False),
)


def render(context: session.Context) -> None:
    """Show the overview; everything below the title is read again every 15 seconds."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Overview", anchor=False, width="content")
        range_key = pick_range()
    _live(context, range_key)


@st.fragment(run_every=REFRESH_S)
def _live(context: session.Context, range_key: str) -> None:
    states.guarded(partial(_body, context, range_key))


def _body(context: session.Context, range_key: str) -> None:
    answer = context.client.overview(start=range_start(range_key), end="now")
    updated_line(answer.now, REFRESH_S)
    if answer.last_trace_at is None and not answer.services:
        _connect(needs_key=not context.me.dev)
        return
    st.info(md_escape(answer.summary, limit=600), icon=":material/summarize:")
    _services(answer)
    _needs_you(context, answer)
    _totals(answer, range_key)
    _panels(context, range_key)
    _events(context, answer)


def _connect(*, needs_key: bool) -> None:
    states.empty(
        "Nothing has been received yet",
        "Point an OpenTelemetry exporter of your application at this server. This page fills itself.",
        icon=":material/sensors:",
    )
    st.subheader("Connect an application", anchor=False)
    st.code(
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={session.api_url()}\n"
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
        "export OTEL_SERVICE_NAME=my-service\n"
        "export OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"
        + ("\nexport OTEL_EXPORTER_OTLP_HEADERS=x-api-key=YOUR_KEY" if needs_key else ""),
        language="bash",
        wrap_lines=True,
    )
    if needs_key:
        st.caption("The key comes from whoever runs the server:")
        st.code("custodes key create --role ingester", language="bash")


def _services(answer: Overview) -> None:
    if not answer.services:
        last = (
            ""
            if answer.last_trace_at is None
            else f" The last trace came {ago_text(answer.last_trace_at, answer.now)}."
        )
        states.empty("No traffic in this time range", f"Choose a longer one.{last}", icon=":material/timeline:")
        return
    with st.grid(min_column_width=430, gap="small"):
        for service in answer.services:
            service_card(service, answer.now)


def _needs_you(context: session.Context, answer: Overview) -> None:
    st.header("What needs you", anchor=False)
    if answer.open_incidents:
        incident_cards(answer.open_incidents, context.pages["incident"], answer.now)
        return
    st.success("No incident is open.", icon=":material/check_circle:")


def _totals(answer: Overview, range_key: str) -> None:
    totals = answer.totals
    st.header("Scores and volume", anchor=False)
    sentence = (
        f"{plural(totals.traces, 'trace')} with {plural(totals.exchanges, 'exchange')} in the last {RANGES[range_key]}."
    )
    if totals.exchanges:
        sentence += f" {count_text(totals.assessed)} were assessed, {count_text(totals.not_assessed)} were not"
        sentence += f" ({share_text(totals.not_assessed / totals.exchanges)})."
    reasons = ", ".join(
        f"{reason_text(reason)}: {count_text(n)}"
        for reason, n in sorted(totals.not_assessed_reasons.items(), key=lambda pair: -pair[1])
    )
    st.caption(md_escape(f"{sentence} {f'Why not: {reasons}.' if reasons else ''}".strip(), limit=600))


def _panels(context: session.Context, range_key: str) -> None:
    frames: dict[str, pd.DataFrame] = {}
    groups: list[str] = []
    for metric, agg, title, _ in _PANELS:
        answer = context.client.timeseries(
            metric, agg, start=range_start(range_key), end="now", group_by="service", step_s=step_s(range_key)
        )
        frames[title] = timeseries_to_frame(answer)
        groups.extend(series.group for series in answer.series if series.group not in groups)
    if not groups:
        st.caption("No scores in this time range yet.")
        return
    with st.grid(2, min_column_width=330, gap="small", border=True) as grid:
        for _, _, title, score in _PANELS:
            with grid.cell():
                chart = line_chart(
                    frames[title],
                    title=title,
                    description=f"{title} by service over the last {RANGES[range_key]}",
                    score=score,
                    groups=sorted(groups),
                    long=is_long(range_key),
                )
                st.altair_chart(chart)
    with st.expander("Show these numbers", icon=":material/table_chart:"):
        st.dataframe(_latest(frames), hide_index=True, placeholder="not assessed", alt="The newest value of every line")


def _latest(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return, per service, the newest value each chart has."""
    columns = {}
    for title, frame in frames.items():
        known = frame.dropna(subset=["value"]).sort_values("t")
        columns[title] = known.groupby("group")["value"].last().round(3)
    return pd.DataFrame(columns).reset_index(names="Service")


def _events(context: session.Context, answer: Overview) -> None:
    st.header("Recent events", anchor=False)
    if not answer.recent_events:
        st.caption("No decision and no incident in this time range.")
        return
    plain_table(
        [
            {
                "Time (UTC)": short_stamp_text(event.at),
                "What": event.text,
                "Kind": event.kind.replace(".", " ").replace("_", " "),
            }
            for event in answer.recent_events
        ],
        alt="The newest decisions and incident changes",
    )
    st.page_link(context.pages["incidents"], label="All incidents", icon=":material/arrow_forward:")
