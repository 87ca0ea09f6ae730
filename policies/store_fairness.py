"""Signals about gaps between groups of people, from what the fairness monitors wrote minute by minute.

A gap that was read within the window before the present minute counts, in its newest reading; without one there is no
data. ``fairness_gap_low`` is positive when some group has more of the outcome than everybody else by at least so much,
``fairness_gap_high`` negative when some group has less. Of several groups of people, deployments and axes the
strongest end counts, taken from intervals that hold for all groups of a panel together; for one group of people by
name, its own interval. Gaps that the detector alone could have made are left out.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import and_, func, select

from custodes.db import ReadTx
from custodes.db.tables import fairness_gap, segment
from custodes.kernel.clock import MINUTE_NS, ns_to_minute
from policies.groups import Group, make_group
from policies.rules.compile import CompiledPolicy, SignalSpec
from policies.rules.vocabulary import FAIRNESS_AGGREGATIONS, FAIRNESS_OUTCOMES


def read_fairness_signals(
    tx: ReadTx, project_id: str, policy: CompiledPolicy, now_ns: int
) -> dict[Group, dict[str, float | None]]:
    """Return the policy's fairness signals for every group of traffic that has a reading in some window."""
    found: defaultdict[Group, dict[str, float | None]] = defaultdict(dict)
    for spec in policy.signals:
        if spec.aggregation.name in FAIRNESS_AGGREGATIONS:
            for group, value in _read(tx, project_id, policy, spec, now_ns).items():
                found[group][spec.name] = value
    return dict(found)


def _read(tx: ReadTx, project_id: str, policy: CompiledPolicy, spec: SignalSpec, now_ns: int) -> dict[Group, float]:
    is_low = spec.aggregation.name == "fairness_gap_low"
    values: defaultdict[Group, list[float]] = defaultdict(list)
    for row in _newest(tx, project_id, policy, spec, now_ns):
        if row.withheld:
            continue
        group = make_group({name: getattr(row, f"segment_{name}") for name in policy.group_by})
        alone = row.low if is_low else row.high
        together = row.family_low if is_low else row.family_high
        values[group].append(together if spec.people is None else alone)
    choose = max if is_low else min
    return {group: choose(ends) for group, ends in values.items()}


def _newest(tx: ReadTx, project_id: str, policy: CompiledPolicy, spec: SignalSpec, now_ns: int) -> list[Any]:
    gap, end_minute = fairness_gap.c, ns_to_minute(now_ns)
    keys = (gap.segment_id, gap.family, gap.group_name)
    inside = [
        gap.project_id == project_id,
        gap.outcome == FAIRNESS_OUTCOMES[spec.metric],
        gap.minute >= end_minute - spec.window_ns // MINUTE_NS,
        gap.minute < end_minute,
    ]
    if spec.people is not None:
        inside.append(gap.group_name == spec.people)
    newest = select(*keys, func.max(gap.minute).label("minute")).where(*inside).group_by(*keys).subquery()
    same = and_(
        gap.segment_id == newest.c.segment_id,
        gap.family == newest.c.family,
        gap.group_name == newest.c.group_name,
        gap.minute == newest.c.minute,
    )
    columns = [segment.c[name].label(f"segment_{name}") for name in policy.group_by]
    statement = (
        select(gap.low, gap.high, gap.family_low, gap.family_high, gap.withheld, *columns)
        .select_from(fairness_gap.join(newest, same).join(segment, segment.c.id == gap.segment_id))
        .where(gap.project_id == project_id, gap.outcome == FAIRNESS_OUTCOMES[spec.metric])
        .where(*(segment.c[name] == value for name, value in policy.scope))
    )
    return list(tx.execute(statement))
