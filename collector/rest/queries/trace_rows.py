"""Lists of traces: one query for the page, three more for everything that is shown beside each trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, false, func, literal, not_, or_, select

from collector.rest.parameters import encode_cursor
from collector.rest.queries.reach import IncidentReach, load_reaches
from custodes.db import ReadTx
from custodes.db.segments import Segment
from custodes.db.tables import exchange, score, segment, trace
from custodes.kernel.clock import ns_to_rfc3339
from policies.rules.vocabulary import SCORE_METRICS

_FEW_SCORES = 5_000


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Which traces to list; ``None`` does not restrict. Times are unix nanoseconds, from inclusive, to exclusive.

    ``minimum`` and ``maximum`` bound a score of ``metric``. ``text`` is looked for in ids and names, never in
    captured text. ``after`` is the ``(start_ns, id)`` of the last row already seen.
    """

    from_ns: int | None = None
    to_ns: int | None = None
    service: str | None = None
    model: str | None = None
    session: str | None = None
    user: str | None = None
    metric: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    state: str | None = None
    text: str | None = None
    after: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Exchanges:
    """What is known about the exchanges of one trace."""

    pending: int
    segments: frozenset[Segment]


def list_traces(tx: ReadTx, project: str, wanted: TraceFilter, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of traces, newest first, and the cursor of the next page (``None`` at the end)."""
    statement = select(trace).where(trace.c.project_id == project, *_conditions(tx, project, wanted))
    statement = statement.order_by(trace.c.start_ns.desc(), trace.c.id.desc()).limit(limit + 1)
    found = list(tx.execute(statement))
    rows = found[:limit]
    cursor = encode_cursor(rows[-1].start_ns, rows[-1].id) if len(found) > limit else None
    return describe_traces(tx, project, rows), cursor


def describe_traces(tx: ReadTx, project: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the public form of rows of ``trace``, in the same order, with three queries whatever their number."""
    if not rows:
        return []
    trace_ids = [row.trace_id for row in rows]
    exchanges = _load_exchanges(tx, project, trace_ids)
    scores = _load_scores(tx, project, trace_ids)
    reaches = load_reaches(tx, project, min(row.start_ns for row in rows), max(row.end_ns for row in rows))
    return [_row_to_json(row, exchanges.get(row.trace_id), scores[row.trace_id], reaches) for row in rows]


def trace_segments(tx: ReadTx, project: str, trace_ids: Sequence[bytes]) -> dict[bytes, frozenset[Segment]]:
    """Return the segments of the exchanges of each trace."""
    return {key: value.segments for key, value in _load_exchanges(tx, project, trace_ids).items()}


def _conditions(tx: ReadTx, project: str, wanted: TraceFilter) -> list[ColumnElement[bool]]:
    columns = trace.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.from_ns is not None:
        conditions.append(columns.start_ns >= wanted.from_ns)
    if wanted.to_ns is not None:
        conditions.append(columns.start_ns < wanted.to_ns)
    if wanted.after is not None:
        start_ns, row_id = wanted.after
        conditions.append(or_(columns.start_ns < start_ns, and_(columns.start_ns == start_ns, columns.id < row_id)))
    for own, dimension, value in (
        (columns.service, segment.c.service, wanted.service),
        (columns.model, segment.c.model, wanted.model),
    ):
        if value is not None:
            conditions.append(or_(own == value, _has_segment(tx, project, dimension == value)))
    if wanted.session is not None:
        conditions.append(columns.session_id == wanted.session)
    if wanted.user is not None:
        conditions.append(columns.user_id == wanted.user)
    if wanted.minimum is not None or wanted.maximum is not None:
        conditions.append(_has_score_inside(tx, project, wanted))
    if wanted.state is not None:
        conditions.append(_is_in_state(wanted.state, wanted.metric))
    elif wanted.metric is not None and wanted.minimum is None and wanted.maximum is None:
        conditions.append(_has_score(score.c.metric == wanted.metric))
    if wanted.text is not None:
        conditions.append(_contains(tx, wanted.text))
    return conditions


def _has_segment(tx: ReadTx, project: str, matches: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether an exchange of the trace lies in a matching segment; a trace may pass through several services."""
    ids = list(tx.execute(select(segment.c.id).where(segment.c.project_id == project, matches)).scalars())
    return _has_exchange(exchange.c.segment_id.in_(ids)) if ids else false()


def _has_exchange(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    here = and_(exchange.c.trace_id == trace.c.trace_id, exchange.c.project_id == trace.c.project_id)
    return exists(select(literal(1)).select_from(exchange).where(here, *conditions).correlate(trace))


def _has_score(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether an exchange of the trace has a matching score; nested, so that both steps go down a primary key."""
    scored = select(literal(1)).select_from(score).where(score.c.span_id == exchange.c.span_id, *conditions)
    return _has_exchange(exists(scored.correlate(exchange)))


def _has_score_inside(tx: ReadTx, project: str, wanted: TraceFilter) -> ColumnElement[bool]:
    """Whether the trace has a score inside the bounds.

    Few such scores are looked up by value and lead to their traces; many are met soon on the way from the newest trace
    backwards. Either plan is a hundred times slower where the other belongs, and the planner cannot know.
    """
    bounds = _score_bounds(wanted)
    first = select(literal(1)).select_from(score).where(*bounds).limit(_FEW_SCORES + 1).subquery()
    if tx.execute(select(func.count()).select_from(first)).scalar_one() > _FEW_SCORES:
        return _has_score(*bounds)
    matching = select(exchange.c.trace_id).join(score, score.c.span_id == exchange.c.span_id)
    return trace.c.trace_id.in_(matching.where(exchange.c.project_id == project, *bounds))


def _score_bounds(wanted: TraceFilter) -> list[ColumnElement[bool]]:
    bounds: list[ColumnElement[bool]] = [score.c.metric == wanted.metric]
    if wanted.minimum is not None:
        bounds.append(score.c.value >= wanted.minimum)
    if wanted.maximum is not None:
        bounds.append(score.c.value <= wanted.maximum)
    return bounds


def _is_in_state(state: str, metric: str | None) -> ColumnElement[bool]:
    """With a metric, the state the row shows for it; without, whether anything in the trace is in that state."""
    pending = _has_exchange(exchange.c.scored_ns.is_(None))
    if metric is None:
        return pending if state == "pending" else _has_score(score.c.state == state)
    assessed = _has_score(score.c.metric == metric, score.c.state == "assessed")
    if state == "assessed":
        return assessed
    if state == "pending":
        return and_(not_(assessed), pending)
    return and_(not_(assessed), not_(pending), _has_score(score.c.metric == metric))


def _contains(tx: ReadTx, text: str) -> ColumnElement[bool]:
    columns = trace.c
    named = (columns.name, columns.service, columns.session_id, columns.user_id)
    hexed = func.hex(columns.trace_id) if tx.dialect == "sqlite" else func.encode(columns.trace_id, "hex")
    return or_(*(column.icontains(text, autoescape=True) for column in (hexed, *named)))


def _load_exchanges(tx: ReadTx, project: str, trace_ids: Sequence[bytes]) -> dict[bytes, _Exchanges]:
    pending = func.sum(case((exchange.c.scored_ns.is_(None), 1), else_=0)).label("pending")
    columns = (segment.c.service, segment.c.environment, segment.c.deployment, segment.c.model)
    statement = (
        select(exchange.c.trace_id, pending, *columns)
        .join(segment, segment.c.id == exchange.c.segment_id)
        .where(exchange.c.project_id == project, exchange.c.trace_id.in_(trace_ids))
        .group_by(exchange.c.trace_id, exchange.c.segment_id, *columns)
    )
    counts: dict[bytes, int] = defaultdict(int)
    segments: dict[bytes, set[Segment]] = defaultdict(set)
    for row in tx.execute(statement):
        counts[row.trace_id] += int(row.pending)
        segments[row.trace_id].add(Segment(row.service, row.environment, row.deployment, row.model))
    return {key: _Exchanges(counts[key], frozenset(found)) for key, found in segments.items()}


def _load_scores(tx: ReadTx, project: str, trace_ids: Sequence[bytes]) -> dict[bytes, dict[str, float | None]]:
    """Return the highest value of every metric of each trace; ``None`` where it was never assessed."""
    statement = (
        select(exchange.c.trace_id, score.c.metric, func.max(score.c.value).label("highest"))
        .join(score, score.c.span_id == exchange.c.span_id)
        .where(exchange.c.project_id == project, exchange.c.trace_id.in_(trace_ids))
        .group_by(exchange.c.trace_id, score.c.metric)
    )
    found: dict[bytes, dict[str, float | None]] = defaultdict(dict)
    for row in tx.execute(statement):
        found[row.trace_id][row.metric] = row.highest
    return found


def _row_to_json(
    row: Any, exchanges: _Exchanges | None, scores: dict[str, float | None], reaches: Sequence[IncidentReach]
) -> dict[str, Any]:
    pending = exchanges is not None and exchanges.pending > 0
    segments = exchanges.segments if exchanges is not None else frozenset()
    return {
        "trace_id": row.trace_id.hex(),
        "name": row.name,
        "start": ns_to_rfc3339(row.start_ns),
        "duration_ms": (row.end_ns - row.start_ns) / 1e6,
        "service": row.service,
        "environment": row.environment,
        "deployment": row.deployment,
        "model": row.model,
        "session_id": row.session_id,
        "user_id": row.user_id,
        "spans": row.spans,
        "exchanges": row.exchanges,
        "states": _states(scores, pending),
        "scores": {metric: value for metric, value in sorted(scores.items()) if value is not None},
        "incident_ids": [reach.id for reach in reaches if reach.touches(row.start_ns, row.end_ns, segments)],
    }


def _states(scores: dict[str, float | None], pending: bool) -> dict[str, str]:
    """Return one state per metric: assessed if any exchange was, else pending while one waits, else not assessed."""
    metrics = sorted({*scores, *(SCORE_METRICS if pending else ())})
    missing = "pending" if pending else "not_assessed"
    return {metric: missing if scores.get(metric) is None else "assessed" for metric in metrics}
