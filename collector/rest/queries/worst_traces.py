"""The worst traces of an incident: inside its scope, group and time, by the scores its policy reads."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, func, select

from collector.rest.queries.reach import load_reaches_of
from collector.rest.queries.rollup_sums import load_segments
from collector.rest.queries.trace_rows import describe_traces
from custodes.db import ReadTx
from custodes.db.tables import exchange, score, trace
from custodes.kernel.clock import ns_to_minute
from policies.rules.vocabulary import JUDGED_METRICS

MAX_TRACES = 20


def load_worst_traces(tx: ReadTx, project: str, row: Any) -> list[dict[str, Any]]:
    """Return at most 20 traces for one row of ``incident``, highest score first.

    A policy that reads no score (only counts or latencies) is illustrated by all scores.
    """
    reach = load_reaches_of(tx, project, [row])[0]
    segments = [key for key, one in load_segments(tx, project).items() if reach.covers(one)]
    if not segments:
        return []
    minutes = [exchange.c.rolled_minute >= ns_to_minute(reach.from_ns)]
    if reach.to_ns is not None:
        minutes.append(exchange.c.rolled_minute <= ns_to_minute(reach.to_ns))
    worst = func.max(score.c.value)
    statement = (
        select(exchange.c.trace_id, worst)
        .join(score, and_(score.c.span_id == exchange.c.span_id, score.c.metric.in_(reach.metrics or JUDGED_METRICS)))
        .where(exchange.c.rolled_segment_id.in_(segments), *minutes, score.c.value.is_not(None))
        .group_by(exchange.c.trace_id)
        .order_by(worst.desc(), exchange.c.trace_id)
        .limit(MAX_TRACES)
    )
    ranked = [found.trace_id for found in tx.execute(statement)]
    stored = select(trace).where(trace.c.project_id == project, trace.c.trace_id.in_(ranked))
    rows = {found.trace_id: found for found in tx.execute(stored)} if ranked else {}
    return describe_traces(tx, project, [rows[one] for one in ranked if one in rows])
