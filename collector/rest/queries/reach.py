"""Which traffic an incident is about: its policy's scope, its group's labels, and its time.

The time starts before the incident opened, by the longest window of the policy's signals plus its ``for``: the
traffic that raised the alarm lies there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import or_, select

from custodes.db import ReadTx
from custodes.db.keys import is_one_of
from custodes.db.segments import Segment
from custodes.db.tables import incident, policy_version
from custodes.kernel.clock import HOUR_NS, MINUTE_NS
from policies.errors import PolicyError
from policies.groups import make_group
from policies.rules.document import PolicyDocument
from policies.rules.load import parse_policy
from policies.rules.vocabulary import SCORE_METRICS, parse_aggregation, resolve_metric

MAX_INCIDENTS = 200
"""Most incidents looked at beside one page of traces; the newest are taken."""

_UNKNOWN_LOOK_BACK_NS = HOUR_NS
_LONGEST_LOOK_BACK_NS = 48 * HOUR_NS
_TEXTS_KEPT = 16_384


@dataclass(frozen=True, slots=True)
class PolicyReach:
    """What a policy document says about reach. ``metrics`` are the scores its signals read, in the file's order."""

    scope: tuple[tuple[str, str], ...] = ()
    look_back_ns: int = _UNKNOWN_LOOK_BACK_NS
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IncidentReach:
    """The traffic of one incident: labels that must match and a time range; ``to_ns`` of ``None`` is still open."""

    id: str
    labels: tuple[tuple[str, str], ...]
    from_ns: int
    to_ns: int | None
    metrics: tuple[str, ...]

    def touches(self, start_ns: int, end_ns: int, segments: Iterable[Segment]) -> bool:
        """Return whether a trace with these times and segments is part of the incident's traffic."""
        if end_ns < self.from_ns or (self.to_ns is not None and start_ns > self.to_ns):
            return False
        return any(self.covers(one) for one in segments)

    def covers(self, one: Segment) -> bool:
        """Return whether a segment has every label."""
        return covers_segment(self.labels, one)


def covers_segment(labels: Iterable[tuple[str, str]], one: Segment) -> bool:
    """Return whether a segment has every label; group keys shorten long values, so both forms count.

    What is no dimension of segments, such as the outcome of a fairness incident, does not restrict.
    """
    return all(value in _label_forms(name, getattr(one, name)) for name, value in labels if hasattr(one, name))


def load_reaches(tx: ReadTx, project: str, from_ns: int, to_ns: int) -> list[IncidentReach]:
    """Return the incidents, newest first, whose traffic may lie in the range."""
    still_open = or_(incident.c.resolved_ns.is_(None), incident.c.resolved_ns >= from_ns)
    statement = (
        select(incident)
        .where(incident.c.project_id == project, incident.c.opened_ns <= to_ns + _LONGEST_LOOK_BACK_NS, still_open)
        .order_by(incident.c.opened_ns.desc(), incident.c.id.desc())
        .limit(MAX_INCIDENTS)
    )
    return load_reaches_of(tx, project, list(tx.execute(statement)))


def load_open_reaches(tx: ReadTx, project: str) -> list[IncidentReach]:
    """Return the incidents that are open now, newest first."""
    statement = (
        select(incident)
        .where(incident.c.project_id == project, incident.c.state != "resolved")
        .order_by(incident.c.opened_ns.desc(), incident.c.id.desc())
        .limit(MAX_INCIDENTS)
    )
    return load_reaches_of(tx, project, list(tx.execute(statement)))


def load_reaches_of(tx: ReadTx, project: str, rows: Sequence[Any]) -> list[IncidentReach]:
    """Return the reach of rows of ``incident``, in the same order."""
    policies = _load_policies(tx, project, {(row.policy_id, row.version) for row in rows})
    return [incident_reach(row, policies.get((row.policy_id, row.version), PolicyReach())) for row in rows]


def incident_reach(row: Any, policy: PolicyReach) -> IncidentReach:
    """Return the reach of one row of ``incident`` under its policy."""
    group: Mapping[str, str] = orjson.loads(row.group_key)
    labels = tuple(sorted({**dict(policy.scope), **group}.items()))
    return IncidentReach(row.id, labels, row.opened_ns - policy.look_back_ns, row.resolved_ns, policy.metrics)


@lru_cache(maxsize=_TEXTS_KEPT)
def source_to_reach(source: str) -> PolicyReach:
    """Return the reach of a policy's text; a text this version cannot read reaches everything for one hour.

    Pure; a text is read once, because reading takes a millisecond and every page of the console needs all of them.
    """
    try:
        document = parse_policy(source, "policy")
    except PolicyError:
        return PolicyReach()
    scope = tuple(document.scope.model_dump(exclude_none=True).items())
    if not isinstance(document, PolicyDocument):
        # Its exchanges are those that matched; the traffic around them is of no concern.
        return PolicyReach(scope, MINUTE_NS, tuple(name for name in SCORE_METRICS if f"score.{name}" in document.when))
    windows = [signal.window_ns for signal in document.signals.values()]
    look_back_ns = min(max(windows, default=0) + document.for_ns, _LONGEST_LOOK_BACK_NS)
    metrics = [resolve_metric(parse_aggregation(one.agg), one.metric) for one in document.signals.values()]
    scores = dict.fromkeys(metric for metric in metrics if metric in SCORE_METRICS)
    return PolicyReach(scope, look_back_ns, tuple(scores))


def _label_forms(name: str, value: str) -> tuple[str, str]:
    return value, make_group({name: value}).labels[0][1]


def _load_policies(tx: ReadTx, project: str, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], PolicyReach]:
    if not wanted:
        return {}
    columns = policy_version.c
    statement = select(columns.policy_id, columns.version, columns.source).where(
        columns.project_id == project, is_one_of((columns.policy_id, columns.version), sorted(wanted), leading=1)
    )
    return {(row.policy_id, row.version): source_to_reach(row.source) for row in tx.execute(statement)}
