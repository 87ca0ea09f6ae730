"""Keeps one row per trace: its bounds, its name, and what lists filter by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Boolean, ColumnElement, bindparam, case, func

from collector.store_spans import Arrival
from custodes.db.database import WriteTx
from custodes.db.tables import trace
from custodes.kernel.ids import RowIds


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
    rows = [_to_row(project, trace_id, members) for (project, trace_id), members in sorted(groups.items())]
    for row, row_id in zip(rows, row_ids.take(len(rows)), strict=True):
        row["id"] = row_id
    if rows:
        tx.execute_many(_statement(tx), rows)


def _to_row(project: str, trace_id: bytes, members: list[tuple[Arrival, bool]]) -> dict[str, Any]:
    arrivals = [arrival for arrival, _ in members]
    root = next((one for one in arrivals if one.span.parent_span_id is None), None)
    named = root or min(arrivals, key=lambda one: one.span.start_ns)
    exchanges = [one for one in arrivals if one.span.is_exchange]
    told = exchanges[0] if exchanges else named
    return {
        "project_id": project,
        "trace_id": trace_id,
        "start_ns": min(one.span.start_ns for one in arrivals),
        "end_ns": max(one.span.end_ns for one in arrivals),
        "name": named.name,
        "service": named.segment.service,
        "environment": named.segment.environment,
        "deployment": told.segment.deployment,
        "model": exchanges[0].segment.model if exchanges else "",
        "session_id": next((one.session_id for one in arrivals if one.session_id), None),
        "user_id": next((one.user_id for one in arrivals if one.user_id), None),
        "spans": sum(1 for _, is_fresh in members if is_fresh),
        "exchanges": sum(1 for one, is_fresh in members if one.span.is_exchange and (is_fresh or not one.was_exchange)),
        "rooted": root is not None,
        "judged": bool(exchanges),
    }


def _statement(tx: WriteTx) -> Any:
    """Return the upsert of one trace row; it takes ``rooted`` and ``judged`` beside the columns."""
    names = [column.name for column in trace.columns]
    statement = tx.insert(trace).values({name: bindparam(name) for name in names})
    new = statement.excluded
    least, greatest = (func.min, func.max) if tx.dialect == "sqlite" else (func.least, func.greatest)
    rooted, judged = bindparam("rooted", type_=Boolean), bindparam("judged", type_=Boolean)
    by_root = {name: _new_if(rooted, name, new) for name in ("name", "service", "environment")}
    # A deployment told by an exchange stays; one told by another span gives way to an exchange's.
    told = case((trace.c.model != "", trace.c.deployment), (judged, new.deployment), else_=_known("deployment", new))
    return statement.on_conflict_do_update(
        index_elements=["project_id", "trace_id"],
        set_={
            "start_ns": least(trace.c.start_ns, new.start_ns),
            "end_ns": greatest(trace.c.end_ns, new.end_ns),
            **by_root,
            "deployment": told,
            "model": _known("model", new),
            "session_id": func.coalesce(trace.c.session_id, new.session_id),
            "user_id": func.coalesce(trace.c.user_id, new.user_id),
            "spans": trace.c.spans + new.spans,
            "exchanges": trace.c.exchanges + new.exchanges,
        },
    )


def _new_if(flag: ColumnElement[bool], name: str, new: Any) -> ColumnElement[str]:
    return case((flag, new[name]), else_=_known(name, new))


def _known(name: str, new: Any) -> ColumnElement[str]:
    """Return the stored value unless it is empty."""
    return case((trace.c[name] != "", trace.c[name]), else_=new[name])
