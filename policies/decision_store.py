"""The SQL of decisions and of the exchanges that matched. Functions never commit; rows never leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import Row, and_, insert, or_, select

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import decision, exchange_match
from policies.engine.state import GroupState, plain_to_state, state_to_plain
from policies.groups import Group, key_to_group
from policies.store import VersionKey

Mode = Literal["live", "shadow"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One recorded transition: the values it was taken on, why, what it led to, and the state it left behind."""

    id: str
    project_id: str
    policy_id: str
    version: str
    group: Group
    at_ns: int
    from_state: str
    to_state: str
    values: Mapping[str, Any]
    reason: str
    intents: tuple[Mapping[str, Any], ...]
    incident_id: str | None = None
    mode: Mode = "live"
    state: GroupState | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """An exchange that an ExchangePolicy matched."""

    span_row_id: int
    group: Group
    at_ns: int
    incident_id: str | None = None


def insert_decision(tx: WriteTx, made: Decision) -> None:
    """Store one decision."""
    body: dict[str, Any] = {"values": dict(made.values), "reason": made.reason, "intents": list(made.intents)}
    if made.state is not None:
        body["state"] = state_to_plain(made.state)
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
            mode=made.mode,
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
        statement = statement.where(
            or_(columns.at_ns < before[0], and_(columns.at_ns == before[0], columns.id < before[1]))
        )
    statement = statement.order_by(columns.at_ns.desc(), columns.id.desc()).limit(limit)
    return [_row_to_decision(row) for row in tx.execute(statement)]


def list_version_decisions(tx: ReadTx, key: VersionKey, from_ns: int, to_ns: int) -> list[Decision]:
    """Return what one version decided in [from, to), oldest first."""
    columns = decision.c
    statement = (
        select(decision)
        .where(_is_of(key), columns.at_ns >= from_ns, columns.at_ns < to_ns)
        .order_by(columns.at_ns, columns.id)
    )
    return [_row_to_decision(row) for row in tx.execute(statement)]


def list_notified(tx: ReadTx, project_id: str, incident_id: str) -> list[str]:
    """Return the endpoints the policy named when the incident last began to fire, from the decision that did it."""
    columns = decision.c
    statement = select(columns.body).where(
        columns.project_id == project_id, columns.incident_id == incident_id, columns.to_state == "firing"
    )
    # Later decisions on the incident, e.g. after an error, tell nobody.
    for body in tx.execute(statement.order_by(columns.at_ns.desc(), columns.id.desc())).scalars():
        intents = orjson.loads(body)["intents"]
        if any(intent["kind"] == "open_incident" for intent in intents):
            return [intent["endpoint"] for intent in intents if intent["kind"] == "notify"]
    return []


def record_matches(tx: WriteTx, key: VersionKey, matches: Sequence[Match]) -> None:
    """Store which exchanges matched; one that is there already stays as it is."""
    project_id, policy_id, version = key
    tx.execute_many(
        tx.insert(exchange_match).on_conflict_do_nothing(),
        [
            {
                "span_id": one.span_row_id,
                "policy_id": policy_id,
                "version": version,
                "project_id": project_id,
                "group_key": one.group.key,
                "at_ns": one.at_ns,
                "incident_id": one.incident_id,
            }
            for one in matches
        ],
    )


def find_matched(tx: ReadTx, key: VersionKey, span_row_ids: Sequence[int]) -> set[int]:
    """Return which of these exchanges the version matched before."""
    columns = exchange_match.c
    statement = select(columns.span_id).where(
        columns.policy_id == key[1], columns.version == key[2], columns.span_id.in_(span_row_ids)
    )
    return set(tx.execute(statement).scalars())


def _is_of(key: VersionKey) -> Any:
    columns = decision.c
    return and_(columns.project_id == key[0], columns.policy_id == key[1], columns.version == key[2])


def _row_to_decision(row: Row[Any]) -> Decision:
    body = orjson.loads(row.body)
    state = body.get("state")
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
        row.mode,
        None if state is None else plain_to_state(state),
    )
