"""What stands for and against a deployment: the verdict that deployers ask for before they go on.

Only policies that tell deployments apart speak, by ``group_by: [deployment]`` or by their scope. Missing evidence is
never a pass: without a policy that says ok, or with one that cannot tell, the verdict is inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import and_, select

from collector.rest.queries.reach import source_to_reach
from custodes.db import ReadTx
from custodes.db.tables import decision, incident, policy_state, policy_version
from custodes.kernel.clock import MINUTE_NS, ns_to_rfc3339

Verdict = Literal["ok", "fail", "inconclusive"]
STALE_NS = 5 * MINUTE_NS
"""How old an evaluation may be and still count."""


@dataclass(frozen=True, slots=True)
class _Voice:
    policy_id: str
    version: str
    state: str
    since_ns: int
    is_stale: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "policy_id": self.policy_id,
            "policy_version": self.version,
            "state": "stale" if self.is_stale else self.state,
            "since": ns_to_rfc3339(self.since_ns),
        }


def judge_deployment(tx: ReadTx, project: str, deployment: str, policy: str | None, now_ns: int) -> dict[str, Any]:
    """Return the verdict with its reason, policies, incidents and last decision; ``policy`` lets one speak alone."""
    voices = _voices(tx, project, deployment, policy, now_ns)
    incidents = _open_incidents(tx, project, deployment, policy)
    firing = [one for one in voices if one.state == "firing" and not one.is_stale]
    unsure = [one for one in voices if one.is_stale or one.state != "ok"]
    verdict: Verdict
    if firing or incidents:
        verdict, reason = "fail", f"{len(firing)} policies fire and {len(incidents)} incidents are open"
    elif not voices:
        verdict, reason = "inconclusive", "no active policy tells this deployment apart, or none has seen traffic of it"
    elif unsure:
        verdict, reason = "inconclusive", "; ".join(f"{one.policy_id} is {one.to_json()['state']}" for one in unsure)
    else:
        verdict, reason = "ok", f"{len(voices)} policies say ok"
    return {
        "verdict": verdict,
        "deployment": deployment,
        "reason": reason,
        "decision": _last_decision(tx, project, deployment, policy),
        "policies": [one.to_json() for one in voices],
        "incidents": incidents,
        "at": ns_to_rfc3339(now_ns),
    }


def _voices(tx: ReadTx, project: str, deployment: str, policy: str | None, now_ns: int) -> list[_Voice]:
    version, state = policy_version.c, policy_state.c
    together = and_(
        state.project_id == version.project_id, state.policy_id == version.policy_id, state.version == version.version
    )
    active = [version.project_id == project, version.state == "active"]
    if policy is not None:
        active.append(version.policy_id == policy)
    sources = tx.execute(select(version.policy_id, version.source).where(*active))
    scopes = {row.policy_id: dict(source_to_reach(row.source).scope) for row in sources}
    statement = (
        # The texts are not among the columns, or each would come once for every group.
        select(version.policy_id, version.version, version.evaluated_ns, version.kind)
        .add_columns(state.group_key, state.state, state.since_ns)
        .select_from(policy_version.join(policy_state, together))
        .where(*active)
        .order_by(version.policy_id, state.group_key)
    )
    found = []
    for row in tx.execute(statement):
        labels = {**scopes[row.policy_id], **orjson.loads(row.group_key)}
        if labels.get("deployment") != deployment:
            continue
        is_stale = row.evaluated_ns is None or now_ns - row.evaluated_ns > STALE_NS
        found.append(_Voice(row.policy_id, row.version, row.state, row.since_ns, is_stale))
    return found


def _open_incidents(tx: ReadTx, project: str, deployment: str, policy: str | None) -> list[str]:
    columns = incident.c
    statement = select(columns.id, columns.group_key).where(columns.project_id == project, columns.state != "resolved")
    if policy is not None:
        statement = statement.where(columns.policy_id == policy)
    rows = tx.execute(statement.order_by(columns.opened_ns, columns.id))
    return [row.id for row in rows if orjson.loads(row.group_key).get("deployment") == deployment]


def _last_decision(tx: ReadTx, project: str, deployment: str, policy: str | None) -> dict[str, Any] | None:
    columns = decision.c
    statement = select(decision).where(columns.project_id == project, columns.mode == "live")
    if policy is not None:
        statement = statement.where(columns.policy_id == policy)
    for row in tx.execute(statement.order_by(columns.at_ns.desc(), columns.id.desc()).limit(500)):
        if orjson.loads(row.group_key).get("deployment") == deployment:
            body = orjson.loads(row.body)
            return {
                "id": row.id,
                "policy_id": row.policy_id,
                "policy_version": row.version,
                "at": ns_to_rfc3339(row.at_ns),
                "to_state": row.to_state,
                "values": body.get("values", {}),
                "reason": body.get("reason"),
            }
    return None
