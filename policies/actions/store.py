"""The SQL of actions, their events, evidence and switches. Functions never commit; rows never leave."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import orjson
from sqlalchemy import Row, and_, func, insert, or_, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import action, action_event, action_evidence, action_switch, dataset, incident
from custodes.kernel.clock import HOUR_NS
from custodes.kernel.errors import ConflictError, NotFoundError
from policies.actions.action import ENDED, FAILURES, IN_FLIGHT, PROMOTION, Action
from policies.actions.gates import ActionRules, Facts

EVERYWHERE = "*"
_BEGUN = ("approved", "snapshot")
_JSON = frozenset({"target", "terms", "finding"})
_PLAIN = tuple(one.name for one in fields(Action) if one.name not in _JSON)
_FIXED = frozenset(
    {"id", "project_id", "kind", "adapter", "policy_id", "version", "decision_id", "incident_id", "group_key"}
    | {"mode", "author", "idempotency_key", "target_key", "created_ns"}
)


@dataclass(frozen=True, slots=True)
class ActionEvent:
    """One entry of what happened to an action."""

    action_id: str
    at_ns: int
    kind: str
    actor: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether actions of a project, or of all (``*``), are stopped; by whom, and why."""

    project_id: str
    stopped: bool
    reason: str
    actor: str
    at_ns: int
    revision: int = 1


def insert_action(tx: WriteTx, made: Action) -> bool:
    """Store a new action; return False, changing nothing, when its episode has asked for it already."""
    values = {name: getattr(made, name) for name in _PLAIN}
    values |= {"target": orjson.dumps(dict(made.target)), "terms": orjson.dumps(dict(made.terms)), "finding": None}
    statement = tx.insert(action).values(**values).on_conflict_do_nothing(index_elements=["idempotency_key"])
    # What was inserted is asked for, because drivers do not agree on the row count of such a statement.
    return tx.execute(statement.returning(action.c.id)).first() is not None


def update_action(tx: WriteTx, changed: Action) -> None:
    """Store an action that is one revision on; raise ``ConflictError`` when somebody else was faster."""
    values = {name: getattr(changed, name) for name in _PLAIN if name not in _FIXED}
    values["finding"] = None if changed.finding is None else orjson.dumps(dict(changed.finding))
    where = and_(action.c.id == changed.id, action.c.revision == changed.revision - 1)
    if tx.execute(update(action).where(where).values(**values)).rowcount != 1:
        raise ConflictError(f"action {changed.id} changed meanwhile; read it again")


def find_action(tx: ReadTx, project_id: str, action_id: str) -> Action | None:
    """Return one action of the project, or ``None``."""
    found = find_any_action(tx, action_id)
    return found if found is not None and found.project_id == project_id else None


def require_action(tx: ReadTx, project_id: str, action_id: str) -> Action:
    """Return one action of the project; raise ``NotFoundError`` when there is none."""
    found = find_action(tx, project_id, action_id)
    if found is None:
        raise NotFoundError(f"no action {action_id[:64]!r} in project {project_id}")
    return found


def find_any_action(tx: ReadTx, action_id: str) -> Action | None:
    """Return one action of whatever project, or ``None``: for callbacks, which prove themselves by signature."""
    row = tx.execute(select(action).where(action.c.id == action_id)).first()
    return None if row is None else row_to_action(row)


def lock_action(tx: WriteTx, action_id: str) -> Action | None:
    """Return one action of whatever project, locked behind its incident; ``None`` when there is none.

    The engine locks an incident before its actions, and every step of an action writes to its incident's timeline:
    in any other order two of them could wait for each other.
    """
    columns = action.c
    incident_id = tx.execute(select(columns.incident_id).where(columns.id == action_id)).scalar()
    if incident_id:
        tx.execute(select(incident.c.id).where(incident.c.id == incident_id).with_for_update())
    row = tx.execute(select(action).where(columns.id == action_id).with_for_update()).first()
    return None if row is None else row_to_action(row)


def list_due_actions(tx: ReadTx, now_ns: int, limit: int = 50) -> list[Action]:
    """Return the actions that the worker has to look at, the longest due first."""
    columns = action.c
    statement = select(action).where(columns.next_ns <= now_ns, columns.state.not_in(ENDED))
    return [row_to_action(row) for row in tx.execute(statement.order_by(columns.next_ns, columns.id).limit(limit))]


def list_actions_of(tx: WriteTx, *, incident_id: str, states: Sequence[str]) -> list[Action]:
    """Return, locked, the actions of an incident that are in one of some states."""
    columns = action.c
    statement = select(action).where(columns.incident_id == incident_id, columns.state.in_(states))
    return [row_to_action(row) for row in tx.execute(statement.order_by(columns.id).with_for_update())]


def list_begun(tx: WriteTx, project_id: str) -> list[Action]:
    """Return, locked, the actions that were agreed to and not sent yet; of every project for ``*``."""
    columns = action.c
    statement = select(columns.id).where(columns.state.in_(_BEGUN))
    if project_id != EVERYWHERE:
        statement = statement.where(columns.project_id == project_id)
    numbers = list(tx.execute(statement.order_by(columns.incident_id, columns.id)).scalars())
    locked = [lock_action(tx, number) for number in numbers]
    return [one for one in locked if one is not None and one.state in _BEGUN]


def row_to_action(row: Row[Any]) -> Action:
    """Return the action of a row."""
    plain = {name: getattr(row, name) for name in _PLAIN}
    finding = None if row.finding is None else orjson.loads(row.finding)
    return Action(**plain, target=orjson.loads(row.target), terms=orjson.loads(row.terms), finding=finding)


# Gates


def lock_gates(tx: WriteTx) -> None:
    """Make every decision about what may begin wait for the one before it, in all processes."""
    made = tx.insert(action_switch).values(project_id=EVERYWHERE, stopped=False, reason="", actor="", at_ns=0)
    tx.execute(made.on_conflict_do_nothing())
    tx.execute(select(action_switch.c.revision).where(action_switch.c.project_id == EVERYWHERE).with_for_update())


def read_facts(tx: ReadTx, one: Action, rules: ActionRules, now_ns: int) -> Facts:
    """Return what the gates need to know about an action now; call it under ``lock_gates``."""
    columns = action.c
    on_target = and_(columns.target_key == one.target_key, columns.id != one.id)
    in_flight = tx.execute(select(columns.id).where(on_target, columns.state.in_(IN_FLIGHT)).limit(1)).scalar()
    # A rollback need not wait because the version it takes back was promoted a moment ago.
    counting = and_(on_target, columns.kind != PROMOTION) if one.kind == "rollback" else on_target
    last_ns = tx.execute(select(func.max(columns.sent_ns)).where(counting)).scalar()
    recent = and_(columns.project_id == one.project_id, columns.approved_ns > now_ns - HOUR_NS, columns.id != one.id)
    counted = select(func.count()).select_from(action)
    ends = [
        row.state
        for row in tx.execute(
            select(columns.state).where(
                columns.project_id == one.project_id,
                columns.sent_ns.is_not(None),
                columns.finished_ns > now_ns - rules.recent_ns,
            )
        )
    ]
    return Facts(
        stopped=_why_stopped(tx, one.project_id),
        in_flight=in_flight,
        last_sent_ns=last_ns,
        begun_by_policy=tx.execute(counted.where(recent, columns.policy_id == one.policy_id)).scalar_one(),
        begun_in_project=tx.execute(counted.where(recent)).scalar_one(),
        left=read_left(tx, one.target_key, now_ns - rules.avoid_ns),
        ended=len(ends),
        failed=sum(state in FAILURES for state in ends),
        stale=reason_not_to_train(tx, one.project_id, one.target.get("dataset")),
    )


def reason_not_to_train(tx: ReadTx, project_id: str, dataset_id: str | None) -> str | None:
    """Return why a data set must not be trained on: somebody whose text is in it was erased. Else ``None``."""
    if dataset_id is None:
        return None
    columns = dataset.c
    statement = select(columns.id).where(
        columns.project_id == project_id, columns.id == dataset_id, columns.erased_ns.is_not(None)
    )
    if tx.execute(statement).first() is None:
        return None
    return f"data set {dataset_id} holds text of somebody who was erased since; export a new one"


def list_actions_on(tx: ReadTx, target_key: str) -> list[Action]:
    """Return the actions on a target, whoever asked for them, oldest first."""
    statement = select(action).where(action.c.target_key == target_key)
    return [row_to_action(row) for row in tx.execute(statement.order_by(action.c.created_ns, action.c.id))]


def list_trainings(tx: ReadTx, project_id: str, dataset_ids: Collection[str]) -> list[Action]:
    """Return the training runs that anybody asked for on these data sets, oldest first."""
    columns = action.c
    statement = select(action).where(columns.project_id == project_id, columns.kind == "finetune")
    rows = tx.execute(statement.order_by(columns.created_ns, columns.id))
    return [one for one in map(row_to_action, rows) if one.target.get("dataset") in dataset_ids]


def read_left(tx: ReadTx, target_key: str, since_ns: int) -> frozenset[str]:
    """Return the versions of a target that actions have left since a time: there is no way back to them."""
    columns = action.c
    statement = select(columns.from_version).where(
        columns.target_key == target_key,
        columns.sent_ns > since_ns,
        columns.kind == "rollback",
        columns.from_version.is_not(None),
        or_(columns.acknowledged_ns.is_not(None), columns.state == "sent"),
    )
    return frozenset(str(row[0]) for row in tx.execute(statement))


# Switches


def list_switches(tx: ReadTx, project_id: str) -> list[Switch]:
    """Return the switches that hold for a project; one that was never used is not among them."""
    columns = action_switch.c
    where = and_(columns.project_id.in_((project_id, EVERYWHERE)), columns.actor != "")
    rows = tx.execute(select(action_switch).where(where).order_by(columns.project_id))
    return [Switch(**row._mapping) for row in rows]


def put_switch(tx: WriteTx, made: Switch) -> None:
    """Store how a switch stands."""
    values = {one.name: getattr(made, one.name) for one in fields(Switch) if one.name != "revision"}
    statement = tx.insert(action_switch).values(**values)
    changes = {name: statement.excluded[name] for name in ("stopped", "reason", "actor", "at_ns")}
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["project_id"], set_={**changes, "revision": action_switch.c.revision + 1}
        )
    )


def _why_stopped(tx: ReadTx, project_id: str) -> str | None:
    columns = action_switch.c
    where = and_(columns.stopped, columns.project_id.in_((project_id, EVERYWHERE)))
    row = tx.execute(select(columns.actor, columns.reason).where(where).limit(1)).first()
    return None if row is None else f"{row.reason} ({row.actor})"


# Events and evidence


def insert_action_event(tx: WriteTx, event: ActionEvent) -> None:
    """Append to what happened to an action."""
    tx.execute(
        insert(action_event).values(
            action_id=event.action_id,
            at_ns=event.at_ns,
            kind=event.kind,
            actor=event.actor,
            body=orjson.dumps(dict(event.body)),
        )
    )


def list_action_events(tx: ReadTx, action_id: str) -> list[ActionEvent]:
    """Return what happened to an action, oldest first."""
    columns = action_event.c
    rows = tx.execute(select(action_event).where(columns.action_id == action_id).order_by(columns.id))
    return [ActionEvent(row.action_id, row.at_ns, row.kind, row.actor, orjson.loads(row.body)) for row in rows]


def insert_evidence(tx: WriteTx, action_id: str, body: bytes, now_ns: int) -> str:
    """Store the evidence taken before an action, and return its SHA-256."""
    tx.execute(insert(action_evidence).values(action_id=action_id, at_ns=now_ns, body=body))
    return hashlib.sha256(body).hexdigest()


def find_evidence(tx: ReadTx, action_id: str) -> bytes | None:
    """Return the evidence of an action, or ``None`` where none was taken yet."""
    body = tx.execute(select(action_evidence.c.body).where(action_evidence.c.action_id == action_id)).scalar()
    return None if body is None else bytes(body)
