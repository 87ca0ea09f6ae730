"""Keeps one row per trace: its bounds, its name, and what lists filter by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from collector.arrivals import Arrival
from custodes.db.database import WriteTx
from custodes.db.tables import trace
from custodes.kernel.ids import RowIds

_COLUMNS = (
    "id",
    "project_id",
    "trace_id",
    "start_ns",
    "end_ns",
    "name",
    "service",
    "environment",
    "deployment",
    "model",
    "session_id",
    "user_id",
    "spans",
    "exchanges",
    "rooted",
)


def _by_root(name: str) -> str:
    """Say that the root's value wins, and until it comes the first that is not empty."""
    known = f"CASE WHEN trace.{name} <> '' THEN trace.{name} ELSE excluded.{name} END"
    return f"{name} = CASE WHEN excluded.rooted THEN excluded.{name} ELSE {known} END"


# A deployment told by an exchange, which is what has a model, stays; one told by another span gives way to it.
_MERGE = f"""
ON CONFLICT (project_id, trace_id) DO UPDATE SET
  start_ns = CASE WHEN excluded.start_ns < trace.start_ns THEN excluded.start_ns ELSE trace.start_ns END,
  end_ns = CASE WHEN excluded.end_ns > trace.end_ns THEN excluded.end_ns ELSE trace.end_ns END,
  {_by_root("name")}, {_by_root("service")}, {_by_root("environment")},
  deployment = CASE WHEN trace.model <> '' THEN trace.deployment WHEN excluded.model <> '' THEN excluded.deployment
    WHEN trace.deployment <> '' THEN trace.deployment ELSE excluded.deployment END,
  model = CASE WHEN trace.model <> '' THEN trace.model ELSE excluded.model END,
  session_id = COALESCE(trace.session_id, excluded.session_id),
  user_id = COALESCE(trace.user_id, excluded.user_id),
  spans = trace.spans + excluded.spans,
  exchanges = trace.exchanges + excluded.exchanges,
  rooted = trace.rooted OR excluded.rooted
"""


def write_traces(tx: WriteTx, fresh: Iterable[Arrival], replaced: Iterable[Arrival], row_ids: RowIds) -> None:
    """Add spans to their traces, creating those that are new.

    Bounds only widen. The root span names the trace and its service whenever it arrives; until then the
    earliest span does. Model and deployment are those of the first exchange seen, session and user the
    first known. ``fresh`` and ``replaced`` are in the order of their keys.
    """
    groups: defaultdict[tuple[str, bytes], list[tuple[Arrival, bool]]] = defaultdict(list)
    for arrival in fresh:
        groups[arrival.project, arrival.trace_id].append((arrival, True))
    for arrival in replaced:
        groups[arrival.project, arrival.trace_id].append((arrival, False))
    ordered = sorted(groups.items(), key=lambda group: group[0])
    ids = row_ids.take(len(ordered))
    rows = [
        (row_id, project, trace_id, *_summarise(members))
        for row_id, ((project, trace_id), members) in zip(ids, ordered, strict=True)
    ]
    tx.bulk_insert(trace, _COLUMNS, rows, on_conflict=_MERGE)


def _summarise(members: list[tuple[Arrival, bool]]) -> tuple[object, ...]:
    """Return the values of ``_COLUMNS`` after the ids."""
    named = told = members[0][0]
    rooted = judged = False
    start_ns, end_ns = named.start_ns, named.end_ns
    session_id = user_id = None
    spans = exchanges = 0
    for one, is_fresh in members:
        spans += is_fresh
        start_ns = min(start_ns, one.start_ns)
        end_ns = max(end_ns, one.end_ns)
        if not rooted:
            if one.parent_span_id is None:
                named, rooted = one, True
            elif one.start_ns < named.start_ns:
                named = one
        if one.is_exchange:
            if not judged:
                told, judged = one, True
            exchanges += is_fresh or not one.was_exchange
        session_id = session_id or one.session_id
        user_id = user_id or one.user_id
    if not judged:
        told = named
    model = told.segment.model if judged else ""
    place = named.segment
    labels = (named.name, place.service, place.environment, told.segment.deployment, model)
    return (start_ns, end_ns, *labels, session_id, user_id, spans, exchanges, rooted)
