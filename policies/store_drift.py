"""Signals about drift, from what the drift monitors wrote minute by minute.

``drift_alarm`` is how many monitors of a group's traffic raised an alarm within the window before the present minute:
those of the embeddings of prompts and responses, or the one of a number that ``metric`` names. Without a monitor that
watched within the window there is no data: one that still learns what is usual says nothing.

A monitor watches a whole deployment, so for a policy that asks by model it counts for every model of the deployment.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import and_, func, select

from custodes.db import ReadTx
from custodes.db.tables import drift_monitor, drift_place, drift_point, segment
from custodes.kernel.clock import MINUTE_NS, ns_to_minute
from policies.groups import Group, make_group
from policies.rules.compile import CompiledPolicy, SignalSpec
from policies.rules.vocabulary import DRIFT_ALARM, EMBEDDING_METRIC

EMBEDDED_MONITORS = ("prompt", "response")


def read_drift_signals(
    tx: ReadTx, project_id: str, policy: CompiledPolicy, now_ns: int
) -> dict[Group, dict[str, float | None]]:
    """Return the policy's drift signals for every group of traffic that was watched in some window."""
    found: defaultdict[Group, dict[str, float | None]] = defaultdict(dict)
    for spec in policy.signals:
        if spec.aggregation.name == DRIFT_ALARM:
            for group, value in _read(tx, project_id, policy, spec, now_ns).items():
                found[group][spec.name] = value
    return dict(found)


def _read(tx: ReadTx, project_id: str, policy: CompiledPolicy, spec: SignalSpec, now_ns: int) -> dict[Group, float]:
    point, monitor, place, end_minute = drift_point.c, drift_monitor.c, drift_place.c, ns_to_minute(now_ns)
    names = EMBEDDED_MONITORS if spec.metric == EMBEDDING_METRIC else (spec.metric,)
    by_model = "model" in policy.group_by or "model" in dict(policy.scope)
    labels = {name: segment.c[name] if by_model else place[name] for name in policy.group_by}
    tables = drift_point.join(drift_monitor, monitor.id == point.monitor_id).join(
        drift_place, place.id == monitor.place_id
    )
    if by_model:
        same = (segment.c[name] == place[name] for name in ("project_id", "service", "environment", "deployment"))
        tables = tables.join(segment, and_(*same))
    statement = (
        select(monitor.id, func.sum(point.alarms).label("alarms"), *(one.label(f"l_{n}") for n, one in labels.items()))
        .select_from(tables)
        .where(
            point.project_id == project_id,
            point.minute >= end_minute - spec.window_ns // MINUTE_NS,
            point.minute < end_minute,
            monitor.name.in_(names),
            *((segment.c[name] if by_model else place[name]) == value for name, value in policy.scope),
        )
        .group_by(monitor.id, *labels.values())
    )
    values: defaultdict[Group, float] = defaultdict(float)
    for row in tx.execute(statement):
        values[make_group({name: getattr(row, f"l_{name}") for name in labels})] += float(row.alarms > 0)
    return dict(values)
