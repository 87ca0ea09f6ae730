"""The SQL of policies, their state, decisions and incidents. Functions never commit; rows never leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import Row, and_, delete, insert, or_, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import decision, incident, incident_event, policy_state, policy_version
from policies.engine.state import GroupState, json_to_state, state_to_json
from policies.groups import Group, key_to_group
from policies.incidents import Incident

VersionState = Literal["draft", "active", "retired"]


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One stored version of a policy with its source text."""

    project_id: str
    policy_id: str
    version: str
    source: str
    state: VersionState
    author: str
    created_ns: int
    activated_ns: int | None = None
    retired_ns: int | None = None


@dataclass(frozen=True, slots=True)
class StoredState:
    """The state of one group and the incident that is open for it, if any."""

    group: Group
    state: GroupState
    incident_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One recorded transition: the values it was taken on, why, and what it led to."""

    id: str
    project_id: str
    policy_id: str
    version: str
    group: Group
    at_ns: int
    from_state: str
    to_state: str
    values: Mapping[str, float | None]
    reason: str
    intents: tuple[Mapping[str, Any], ...]
    incident_id: str | None = None


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One entry of an incident's timeline."""

    incident_id: str
    at_ns: int
    kind: str
    actor: str
    body: Mapping[str, Any]


# Policy versions


def insert_policy_version(tx: WriteTx, version: PolicyVersion) -> None:
    """Store a new version; the unit of work raises ``ConflictError`` if this very version exists."""
    tx.execute(
        insert(policy_version).values(
            project_id=version.project_id,
            policy_id=version.policy_id,
            version=version.version,
            source=version.source,
            state=version.state,
            author=version.author,
            created_ns=version.created_ns,
            activated_ns=version.activated_ns,
            retired_ns=version.retired_ns,
        )
    )


def find_policy_version(
    tx: ReadTx, project_id: str, policy_id: str, version: str, *, lock: bool = False
) -> PolicyVersion | None:
    """Return one version, or ``None``. With ``lock`` nobody else can change it until the unit of work ends."""
    statement = select(policy_version).where(_is_version(project_id, policy_id, version))
    row = tx.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _row_to_version(row)


def list_policy_versions(
    tx: ReadTx,
    project_id: str | None = None,
    *,
    policy_id: str | None = None,
    state: VersionState | None = None,
) -> list[PolicyVersion]:
    """Return versions by project, policy and time, oldest first; ``None`` does not restrict."""
    columns = policy_version.c
    statement = select(policy_version).order_by(columns.project_id, columns.policy_id, columns.created_ns)
    wanted = ((columns.project_id, project_id), (columns.policy_id, policy_id), (columns.state, state))
    statement = statement.where(*(column == value for column, value in wanted if value is not None))
    return [_row_to_version(row) for row in tx.execute(statement)]


def lock_policy(tx: WriteTx, project_id: str, policy_id: str) -> list[PolicyVersion]:
    """Return every version of a policy, locked until the unit of work ends."""
    columns = policy_version.c
    statement = select(policy_version).where(columns.project_id == project_id, columns.policy_id == policy_id)
    return [_row_to_version(row) for row in tx.execute(statement.order_by(columns.version).with_for_update())]


def set_version_state(tx: WriteTx, version: PolicyVersion, state: VersionState, now_ns: int) -> None:
    """Move a version to ``state`` and note the time."""
    times: dict[str, int | None] = {"retired_ns": now_ns} if state == "retired" else {}
    if state == "active":
        times = {"activated_ns": now_ns, "retired_ns": None}
    where = _is_version(version.project_id, version.policy_id, version.version)
    tx.execute(update(policy_version).where(where).values(state=state, **times))


def _is_version(project_id: str, policy_id: str, version: str) -> Any:
    columns = policy_version.c
    return and_(columns.project_id == project_id, columns.policy_id == policy_id, columns.version == version)


def _row_to_version(row: Row[Any]) -> PolicyVersion:
    return PolicyVersion(
        row.project_id,
        row.policy_id,
        row.version,
        row.source,
        row.state,
        row.author,
        row.created_ns,
        row.activated_ns,
        row.retired_ns,
    )


# State of groups


def list_states(tx: ReadTx, project_id: str, policy_id: str, version: str) -> list[StoredState]:
    """Return the state of every group of one policy version, by group key."""
    statement = select(policy_state).where(_is_state_of(project_id, policy_id, version))
    return [_row_to_state(row) for row in tx.execute(statement.order_by(policy_state.c.group_key))]


def save_states(
    tx: WriteTx, project_id: str, policy_id: str, version: str, states: Sequence[StoredState], now_ns: int
) -> None:
    """Store the state of groups, replacing what was there."""
    statement = tx.insert(policy_state)
    replaced = ("state", "since_ns", "body", "evaluated_ns", "incident_id")
    statement = statement.on_conflict_do_update(
        index_elements=list(policy_state.primary_key.columns),
        set_={name: statement.excluded[name] for name in replaced},
    )
    rows = [
        {
            "project_id": project_id,
            "policy_id": policy_id,
            "version": version,
            "group_key": stored.group.key,
            "state": stored.state.state,
            "since_ns": now_ns if stored.state.since_ns is None else stored.state.since_ns,
            "body": state_to_json(stored.state),
            "evaluated_ns": now_ns if stored.state.evaluated_ns is None else stored.state.evaluated_ns,
            "incident_id": stored.incident_id,
        }
        for stored in states
    ]
    tx.execute_many(statement, rows)


def delete_states(tx: WriteTx, project_id: str, policy_id: str, version: str) -> None:
    """Forget the state of every group of one policy version."""
    tx.execute(delete(policy_state).where(_is_state_of(project_id, policy_id, version)))


def _is_state_of(project_id: str, policy_id: str, version: str) -> Any:
    columns = policy_state.c
    return and_(columns.project_id == project_id, columns.policy_id == policy_id, columns.version == version)


def _row_to_state(row: Row[Any]) -> StoredState:
    return StoredState(key_to_group(row.group_key), json_to_state(row.body), row.incident_id)


# Decisions


def insert_decision(tx: WriteTx, made: Decision) -> None:
    """Store one decision."""
    body = {"values": dict(made.values), "reason": made.reason, "intents": list(made.intents)}
    tx.execute(
        insert(decision).values(
            id=made.id,
            project_id=made.project_id,
            policy_id=made.policy_id,
            version=made.version,
            group_key=made.group.key,
            at_ns=made.at_ns,
            from_state=made.from_state,
            to_state=made.to_state,
            body=orjson.dumps(body),
            incident_id=made.incident_id,
        )
    )


def list_decisions(
    tx: ReadTx,
    project_id: str,
    *,
    policy_id: str | None = None,
    incident_id: str | None = None,
    before: tuple[int, str] | None = None,
    limit: int = 100,
) -> list[Decision]:
    """Return decisions, newest first; ``before`` is the ``(at_ns, id)`` of the last one already seen."""
    columns = decision.c
    statement = select(decision).where(columns.project_id == project_id)
    if policy_id is not None:
        statement = statement.where(columns.policy_id == policy_id)
    if incident_id is not None:
        statement = statement.where(columns.incident_id == incident_id)
    if before is not None:
        statement = statement.where(_is_before(columns.at_ns, columns.id, before))
    statement = statement.order_by(columns.at_ns.desc(), columns.id.desc()).limit(limit)
    return [_row_to_decision(row) for row in tx.execute(statement)]


def list_notified(tx: ReadTx, project_id: str, incident_id: str) -> list[str]:
    """Return the endpoints the policy named when the incident opened, from the decision that opened it."""
    columns = decision.c
    statement = select(columns.body).where(columns.project_id == project_id, columns.incident_id == incident_id)
    body = tx.execute(statement.order_by(columns.at_ns, columns.id).limit(1)).scalar_one_or_none()
    intents = [] if body is None else orjson.loads(body)["intents"]
    return [intent["endpoint"] for intent in intents if intent["kind"] == "notify"]


def _row_to_decision(row: Row[Any]) -> Decision:
    body = orjson.loads(row.body)
    return Decision(
        row.id,
        row.project_id,
        row.policy_id,
        row.version,
        key_to_group(row.group_key),
        row.at_ns,
        row.from_state,
        row.to_state,
        body["values"],
        body["reason"],
        tuple(body["intents"]),
        row.incident_id,
    )


def _is_before(time: Any, key: Any, before: tuple[int, str]) -> Any:
    return or_(time < before[0], and_(time == before[0], key < before[1]))


# Incidents


def insert_incident(tx: WriteTx, opened: Incident) -> None:
    """Store a new incident."""
    tx.execute(
        insert(incident).values(
            id=opened.id,
            project_id=opened.project_id,
            policy_id=opened.policy_id,
            version=opened.version,
            group_key=opened.group.key,
            severity=opened.severity,
            state=opened.state,
            title=opened.title,
            summary=opened.summary,
            opened_ns=opened.opened_ns,
            updated_ns=opened.updated_ns,
            resolved_ns=opened.resolved_ns,
        )
    )


def update_incident(tx: WriteTx, changed: Incident) -> None:
    """Store the changed state, summary and times of an incident."""
    tx.execute(
        update(incident)
        .where(incident.c.id == changed.id)
        .values(
            state=changed.state,
            summary=changed.summary,
            updated_ns=changed.updated_ns,
            resolved_ns=changed.resolved_ns,
        )
    )


def find_incident(tx: ReadTx, project_id: str, incident_id: str) -> Incident | None:
    """Return one incident of the project, or ``None``."""
    statement = select(incident).where(incident.c.project_id == project_id, incident.c.id == incident_id)
    row = tx.execute(statement).first()
    return None if row is None else _row_to_incident(row)


def list_incidents(
    tx: ReadTx,
    project_id: str,
    *,
    state: str | None = None,
    policy_id: str | None = None,
    before: tuple[int, str] | None = None,
    limit: int = 100,
) -> list[Incident]:
    """Return incidents, newest first; ``before`` is the ``(opened_ns, id)`` of the last one already seen."""
    columns = incident.c
    statement = select(incident).where(columns.project_id == project_id)
    if state is not None:
        statement = statement.where(columns.state == state)
    if policy_id is not None:
        statement = statement.where(columns.policy_id == policy_id)
    if before is not None:
        statement = statement.where(_is_before(columns.opened_ns, columns.id, before))
    statement = statement.order_by(columns.opened_ns.desc(), columns.id.desc()).limit(limit)
    return [_row_to_incident(row) for row in tx.execute(statement)]


def insert_incident_event(tx: WriteTx, event: IncidentEvent) -> None:
    """Append one entry to an incident's timeline."""
    tx.execute(
        insert(incident_event).values(
            incident_id=event.incident_id,
            at_ns=event.at_ns,
            kind=event.kind,
            actor=event.actor,
            body=orjson.dumps(event.body),
        )
    )


def list_incident_events(tx: ReadTx, incident_id: str) -> list[IncidentEvent]:
    """Return an incident's timeline, oldest first."""
    columns = incident_event.c
    statement = select(incident_event).where(columns.incident_id == incident_id).order_by(columns.at_ns, columns.id)
    return [
        IncidentEvent(row.incident_id, row.at_ns, row.kind, row.actor, orjson.loads(row.body))
        for row in tx.execute(statement)
    ]


def _row_to_incident(row: Row[Any]) -> Incident:
    return Incident(
        row.id,
        row.project_id,
        row.policy_id,
        row.version,
        key_to_group(row.group_key),
        row.severity,
        row.state,
        row.title,
        row.summary,
        row.opened_ns,
        row.updated_ns,
        row.resolved_ns,
    )
