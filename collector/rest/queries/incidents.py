"""Incidents and decisions, as the API shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Table, and_, func, or_, select

from collector.rest.parameters import encode_cursor
from custodes.db import ReadTx
from custodes.db.tables import (
    audit_leaf,
    decision,
    delivery_attempt,
    exchange_match,
    incident,
    incident_event,
    outbox,
    policy_version,
)
from custodes.kernel.clock import ns_to_rfc3339
from policies.incident_store import RegulatorClock, list_clocks

MAX_PARTS = 1_000
"""Most timeline entries, decisions, deliveries and leaves shown with one incident."""


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """Which incidents; ``None`` does not restrict, the state ``open`` is all but resolved. The range is of opening."""

    state: str = "all"
    policy: str | None = None
    severity: str | None = None
    assignee: str | None = None
    label: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions on a row."""
        columns = incident.c
        wanted = (
            (columns.policy_id, self.policy),
            (columns.severity, self.severity),
            (columns.assignee, self.assignee),
        )
        found = [column == value for column, value in wanted if value is not None]
        if self.state == "open":
            found.append(columns.state != "resolved")
        elif self.state != "all":
            found.append(columns.state == self.state)
        if self.label is not None:
            found.append(columns.label.is_(None) if self.label == "none" else columns.label == self.label)
        return found


def list_incidents(
    tx: ReadTx,
    project: str,
    chosen: IncidentFilter,
    *,
    after: tuple[int, str] | None = None,
    limit: int,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of incidents, newest first, and the next cursor."""
    page = _page(incident, incident.c.opened_ns, chosen.from_ns, chosen.to_ns, after)
    statement = select(incident).where(incident.c.project_id == project, *page, *chosen.conditions())
    statement = statement.order_by(incident.c.opened_ns.desc(), incident.c.id.desc())
    found = list(tx.execute(statement.limit(limit + 1)))
    rows = found[:limit]
    cursor = encode_cursor(rows[-1].opened_ns, rows[-1].id) if len(found) > limit else None
    return [incident_to_json(row) for row in rows], cursor


def list_decisions(
    tx: ReadTx,
    project: str,
    *,
    policy: str | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    after: tuple[int, str] | None = None,
    limit: int,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of decisions, newest first, and the next cursor."""
    conditions = [decision.c.project_id == project, *_page(decision, decision.c.at_ns, from_ns, to_ns, after)]
    if policy is not None:
        conditions.append(decision.c.policy_id == policy)
    statement = select(decision).where(*conditions).order_by(decision.c.at_ns.desc(), decision.c.id.desc())
    found = list(tx.execute(statement.limit(limit + 1)))
    rows = found[:limit]
    cursor = encode_cursor(rows[-1].at_ns, rows[-1].id) if len(found) > limit else None
    return [decision_to_json(row) for row in rows], cursor


def find_incident(tx: ReadTx, project: str, incident_id: str) -> Any | None:
    """Return the row of an incident, for the other functions here; ``None`` when the project has none."""
    return tx.execute(select(incident).where(incident.c.project_id == project, incident.c.id == incident_id)).first()


def load_incident_parts(tx: ReadTx, row: Any, now_ns: int) -> dict[str, Any]:
    """Return what belongs to an incident: timeline, decisions, deliveries, clocks, audit leaves, policy and company."""
    decisions = load_decisions_of(tx, row.project_id, [row.id])
    return {
        "timeline": _load_timeline(tx, row.id),
        "decisions": decisions,
        "deliveries": _load_deliveries(tx, row),
        "clocks": [_clock_to_json(one, now_ns) for one in list_clocks(tx, [row.id])],
        "matches": _count_matches(tx, row),
        "grouped": _load_company(tx, row),
        "audit_seqs": _load_audit_seqs(tx, row.id, [one["id"] for one in decisions]),
        "policy": _load_policy(tx, row),
    }


def load_decisions_of(tx: ReadTx, project: str, incident_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the decisions of some incidents, oldest first."""
    if not incident_ids:
        return []
    statement = (
        select(decision)
        .where(decision.c.project_id == project, decision.c.incident_id.in_(incident_ids))
        .order_by(decision.c.at_ns, decision.c.id)
        .limit(MAX_PARTS)
    )
    return [decision_to_json(row) for row in tx.execute(statement)]


def incident_to_json(row: Any) -> dict[str, Any]:
    """Return one row of the list of incidents."""
    return {
        "id": row.id,
        "policy_id": row.policy_id,
        "policy_version": row.version,
        "group": orjson.loads(row.group_key),
        "severity": row.severity,
        "state": row.state,
        "title": row.title,
        "summary": row.summary,
        "opened_at": ns_to_rfc3339(row.opened_ns),
        "updated_at": ns_to_rfc3339(row.updated_ns),
        "resolved_at": _time(row.resolved_ns),
        "origin": row.origin,
        "revision": row.revision,
        "lead_id": row.lead_id,
        "assignee": row.assignee,
        "label": row.label,
        "labelled_by": row.labelled_by,
        "episode_at": _time(row.episode_ns),
        "acknowledged_at": _time(row.acknowledged_ns),
        "escalates_at": _time(row.escalate_ns),
        "muted_until": _time(row.muted_until_ns),
        "notified_at": _time(row.notified_ns),
    }


def decision_to_json(row: Any) -> dict[str, Any]:
    """Return one row of the list of decisions."""
    body = orjson.loads(row.body)
    return {
        "id": row.id,
        "policy_id": row.policy_id,
        "policy_version": row.version,
        "group": orjson.loads(row.group_key),
        "at": ns_to_rfc3339(row.at_ns),
        "from_state": row.from_state,
        "to_state": row.to_state,
        "mode": row.mode,
        "values": body.get("values", {}),
        "reason": body.get("reason"),
        "incident_id": row.incident_id,
    }


def _page(
    table: Table, time: Any, from_ns: int | None, to_ns: int | None, after: tuple[int, str] | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if from_ns is not None:
        conditions.append(time >= from_ns)
    if to_ns is not None:
        conditions.append(time < to_ns)
    if after is not None:
        conditions.append(or_(time < after[0], and_(time == after[0], table.c.id < after[1])))
    return conditions


def _load_timeline(tx: ReadTx, incident_id: str) -> list[dict[str, Any]]:
    columns = incident_event.c
    statement = select(incident_event).where(columns.incident_id == incident_id).order_by(columns.at_ns, columns.id)
    return [
        {"at": ns_to_rfc3339(row.at_ns), "kind": row.kind, "actor": row.actor, "body": orjson.loads(row.body)}
        for row in tx.execute(statement.limit(MAX_PARTS))
    ]


def _load_deliveries(tx: ReadTx, about: Any) -> list[dict[str, Any]]:
    """Return the messages that tell of an incident; those of its group stand in the line of the one that leads it."""
    incident_id = about.lead_id or about.id
    messages = select(outbox).where(outbox.c.incident_id == incident_id).order_by(outbox.c.created_ns, outbox.c.id)
    rows = [
        row
        for row in tx.execute(messages.limit(MAX_PARTS))
        if about.id in ([incident_id] if row.members is None else orjson.loads(row.members))
    ]
    attempts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    tried = (
        select(delivery_attempt)
        .join(outbox, outbox.c.id == delivery_attempt.c.outbox_id)
        .where(outbox.c.incident_id == incident_id)
        .order_by(delivery_attempt.c.outbox_id, delivery_attempt.c.n)
    )
    for row in tx.execute(tried.limit(MAX_PARTS)):
        attempts[row.outbox_id].append(
            {
                "n": row.n,
                "at": ns_to_rfc3339(row.at_ns),
                "outcome": row.outcome,
                "status": row.status,
                "duration_ms": row.duration_ms,
                "detail": row.detail,
            }
        )
    return [
        {
            "id": row.id,
            "endpoint": row.endpoint_id,
            "event_type": row.event_type,
            "state": row.state,
            "attempts": row.attempts,
            "created_at": ns_to_rfc3339(row.created_ns),
            "delivered_at": None if row.delivered_ns is None else ns_to_rfc3339(row.delivered_ns),
            "last_error": row.last_error,
            "attempts_log": attempts[row.id],
        }
        for row in rows
    ]


def _clock_to_json(clock: RegulatorClock, now_ns: int) -> dict[str, Any]:
    return {
        "name": clock.name,
        "aware_at": ns_to_rfc3339(clock.aware_ns),
        "due_at": ns_to_rfc3339(clock.due_ns),
        "reported_at": _time(clock.reported_ns),
        "started_by": clock.actor,
        "reported_by": clock.reported_by,
        "overdue": clock.due_ns < (now_ns if clock.reported_ns is None else clock.reported_ns),
    }


def _count_matches(tx: ReadTx, row: Any) -> int:
    """Return how many exchanges an ExchangePolicy has matched for this incident."""
    statement = select(func.count()).select_from(exchange_match).where(exchange_match.c.incident_id == row.id)
    return int(tx.execute(statement).scalar_one())


def _load_company(tx: ReadTx, row: Any) -> list[dict[str, Any]]:
    """Return the other incidents that were notified together with this one."""
    columns = incident.c
    statement = select(columns.id, columns.title, columns.state, columns.severity).where(
        columns.project_id == row.project_id, columns.lead_id == (row.lead_id or row.id), columns.id != row.id
    )
    return [
        dict(one._mapping) for one in tx.execute(statement.order_by(columns.opened_ns, columns.id).limit(MAX_PARTS))
    ]


def _time(ns: int | None) -> str | None:
    return None if ns is None else ns_to_rfc3339(ns)


def _load_audit_seqs(tx: ReadTx, incident_id: str, decision_ids: Sequence[str]) -> list[int]:
    """Return the numbers of the leaves about the incident and its decisions.

    Narrowed by action first: that is what the index holds, and leaves about traffic are by far the most.
    """
    objects = [f"incident/{incident_id}", *(f"decision/{one}" for one in decision_ids)]
    about = or_(audit_leaf.c.action.startswith("policy."), audit_leaf.c.action.startswith("incident."))
    statement = select(audit_leaf.c.seq).where(about, audit_leaf.c.object.in_(objects)).order_by(audit_leaf.c.seq)
    return [int(seq) for seq in tx.execute(statement.limit(MAX_PARTS)).scalars()]


def _load_policy(tx: ReadTx, row: Any) -> dict[str, Any]:
    columns = policy_version.c
    statement = select(columns.source).where(
        columns.project_id == row.project_id, columns.policy_id == row.policy_id, columns.version == row.version
    )
    source = tx.execute(statement).scalar_one_or_none()
    return {"id": row.policy_id, "version": row.version, "source": source or ""}
