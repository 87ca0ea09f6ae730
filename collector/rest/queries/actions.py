"""Actions as the API shows them: rows of the list, and one with the whole chain it stands in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import and_, or_, select

from collector.rest.parameters import encode_cursor
from collector.rest.queries.incidents import decision_to_json, incident_to_json
from collector.rest.queries.policies import approval_to_json
from custodes.db import ReadTx
from custodes.db.tables import action, audit_leaf, decision, incident
from custodes.kernel.clock import ns_to_rfc3339
from policies.actions.action import ENDED, Action
from policies.actions.store import Switch, find_evidence, list_action_events, list_switches, row_to_action
from policies.approval_store import list_approvals

_OPEN = "open"
_TIMES = ("created", "updated", "planned", "approved", "snapshot", "sent", "acknowledged")
_LATER = ("verify_from", "verify_until", "finished")


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """Which actions; ``None`` does not restrict, ``open`` is every state that is no end. The range is of asking."""

    state: str = "all"
    policy: str | None = None
    incident: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None


def list_actions(
    tx: ReadTx, project: str, chosen: ActionFilter, *, after: tuple[int, str] | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of actions, newest first, and the next cursor."""
    columns = action.c
    statement = select(action).where(columns.project_id == project)
    if chosen.state == _OPEN:
        statement = statement.where(columns.state.not_in(ENDED))
    elif chosen.state != "all":
        statement = statement.where(columns.state == chosen.state)
    if chosen.policy is not None:
        statement = statement.where(columns.policy_id == chosen.policy)
    if chosen.incident is not None:
        statement = statement.where(columns.incident_id == chosen.incident)
    if chosen.from_ns is not None:
        statement = statement.where(columns.created_ns >= chosen.from_ns)
    if chosen.to_ns is not None:
        statement = statement.where(columns.created_ns < chosen.to_ns)
    if after is not None:
        statement = statement.where(
            or_(columns.created_ns < after[0], and_(columns.created_ns == after[0], columns.id < after[1]))
        )
    found = list(tx.execute(statement.order_by(columns.created_ns.desc(), columns.id.desc()).limit(limit + 1)))
    rows = found[:limit]
    cursor = encode_cursor(rows[-1].created_ns, rows[-1].id) if len(found) > limit else None
    return [action_to_json(row_to_action(row)) for row in rows], cursor


def list_waiting(tx: ReadTx, project: str) -> list[Action]:
    """Return the actions that wait for somebody to agree, oldest first."""
    columns = action.c
    statement = select(action).where(
        columns.project_id == project, columns.state == "proposed", columns.planned_ns.is_not(None)
    )
    return [row_to_action(row) for row in tx.execute(statement.order_by(columns.created_ns, columns.id))]


def load_chain(tx: ReadTx, one: Action) -> dict[str, Any]:
    """Return everything an action stands in: the decision and its values, the incident, verdicts, events, evidence.

    ``audit_seqs`` are the leaves about the action, its decision and its incident.
    """
    body = find_evidence(tx, one.id)
    made = tx.execute(select(decision).where(decision.c.id == one.decision_id)).first()
    about = tx.execute(select(incident).where(incident.c.id == one.incident_id)).first()
    events = list_action_events(tx, one.id)
    return {
        **action_to_json(one),
        "decision": None if made is None else decision_to_json(made),
        "incident": None if about is None else incident_to_json(about),
        "approvals": [
            approval_to_json(given) for given in list_approvals(tx, one.project_id, kind="action", subjects=[one.id])
        ],
        "events": [
            {"at": ns_to_rfc3339(event.at_ns), "kind": event.kind, "actor": event.actor, "body": dict(event.body)}
            for event in events
        ],
        "evidence": None if body is None else orjson.loads(body),
        "audit_seqs": _audit_seqs(tx, [f"action/{one.id}", f"decision/{one.decision_id}"]),
        "switches": [switch_to_json(switch) for switch in list_switches(tx, one.project_id)],
    }


def action_to_json(one: Action) -> dict[str, Any]:
    """Return one row of the list of actions."""
    times = {f"{name}_at": _time(getattr(one, f"{name}_ns")) for name in (*_TIMES, *_LATER)}
    return {
        "id": one.id,
        "kind": one.kind,
        "adapter": one.adapter,
        "target": dict(one.target),
        "state": one.state,
        "mode": one.mode,
        "reason": one.reason,
        "policy_id": one.policy_id,
        "policy_version": one.version,
        "decision_id": one.decision_id,
        "incident_id": one.incident_id,
        "group": orjson.loads(one.group_key),
        "author": one.author,
        "approver": one.approver,
        "waived": one.waived,
        "from_version": one.from_version,
        "to_version": one.to_version,
        "deployment": one.deployment,
        "traffic_share": one.traffic_share,
        "external_id": one.external_id,
        "evidence_digest": one.evidence_digest,
        "finding": None if one.finding is None else dict(one.finding),
        "terms": dict(one.terms),
        "revision": one.revision,
        **times,
    }


def switch_to_json(one: Switch) -> dict[str, Any]:
    """Return how a switch stands."""
    return {
        "scope": "everywhere" if one.project_id == "*" else one.project_id,
        "stopped": one.stopped,
        "reason": one.reason,
        "actor": one.actor,
        "at": ns_to_rfc3339(one.at_ns),
    }


def _audit_seqs(tx: ReadTx, objects: Sequence[str]) -> list[int]:
    """Narrowed by action first: that is what the index holds."""
    about = or_(audit_leaf.c.action.startswith("action."), audit_leaf.c.action.startswith("policy."))
    statement = select(audit_leaf.c.seq).where(about, audit_leaf.c.object.in_(objects)).order_by(audit_leaf.c.seq)
    return [int(seq) for seq in tx.execute(statement).scalars()]


def _time(ns: int | None) -> str | None:
    return None if ns is None else ns_to_rfc3339(ns)
