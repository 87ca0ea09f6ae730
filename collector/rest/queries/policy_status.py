"""Where policies stand, as seen from a part of the traffic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from sqlalchemy import and_, select

from collector.rest.queries.reach import covers_segment, source_to_reach
from custodes.db import ReadTx
from custodes.db.segments import Segment
from custodes.db.tables import policy_state, policy_version

WORST_FIRST = ("firing", "pending", "no_data", "ok")
"""The states a service can be in, worst first."""
_TELLING = ("firing", "pending", "error")


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One group of one active policy: the labels it stands for, scope included, and its state."""

    labels: tuple[tuple[str, str], ...]
    state: str


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """The groups of active policies that are firing, pending or in error, and how many policies are active."""

    active: int
    groups: tuple[GroupStatus, ...]

    def of(self, segments: Iterable[Segment]) -> str:
        """Return the worst state that concerns any of the segments: firing, pending, no_data or ok.

        An evaluation error counts as no data: nobody knows, and that is not a pass.
        """
        held = list(segments)
        found = {one.state for one in self.groups if any(covers_segment(one.labels, part) for part in held)}
        for state in ("firing", "pending"):
            if state in found:
                return state
        return "no_data" if "error" in found else "ok"


def load_policy_status(tx: ReadTx, project: str) -> PolicyStatus:
    """Return where the project's active policies stand; of their groups only those that are not simply ok."""
    version, state = policy_version.c, policy_state.c
    active = (version.project_id == project, version.state == "active")
    sources = select(version.policy_id, version.source).where(*active)
    scopes = {row.policy_id: source_to_reach(row.source).scope for row in tx.execute(sources)}
    same = and_(state.project_id == version.project_id, state.policy_id == version.policy_id)
    statement = (
        select(state.policy_id, state.group_key, state.state)
        .select_from(policy_state.join(policy_version, and_(same, state.version == version.version)))
        .where(*active, state.state.in_(_TELLING))
    )
    groups = []
    for row in tx.execute(statement):
        labels = {**dict(scopes[row.policy_id]), **orjson.loads(row.group_key)}
        groups.append(GroupStatus(tuple(sorted(labels.items())), row.state))
    return PolicyStatus(len(scopes), tuple(groups))
