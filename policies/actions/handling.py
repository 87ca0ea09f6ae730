"""What people, and receivers of requests, do to actions. Each call is one unit of work with events and audit event.

``expected`` is the revision the caller has seen; where the action has moved on since, ``StaleError`` is raised and
nothing changes. Every decision that something may begin takes the same lock, so two of them see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from custodes.db import Database, WriteTx
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError, StaleError
from custodes.kernel.ids import new_uuid7
from policies.actions.action import Action, ActionState, advance, approve
from policies.actions.gates import ActionRules, reason_against
from policies.actions.promotion import make_way
from policies.actions.store import (
    EVERYWHERE,
    Switch,
    list_begun,
    list_switches,
    lock_action,
    lock_gates,
    put_switch,
    read_facts,
    update_action,
)
from policies.actions.traces import leave_trace
from policies.actions.webhook import Callback, plain
from policies.actors import Actor, record
from policies.approval_store import Approval, insert_approval, list_approvals

RECEIVER = "receiver"


@dataclass(frozen=True, slots=True)
class ActionChange:
    """An action after a change, and the intake number of its audit event; ``None`` when nothing had to change."""

    action: Action
    intake_id: int | None


def approve_action(
    db: Database,
    project_id: str,
    action_id: str,
    comment: str,
    actor: Actor,
    now_ns: int,
    rules: ActionRules,
    expected: int | None = None,
) -> ActionChange:
    """Agree to an action; it begins at once. Raises ``ConflictError`` where a rule of safety speaks against it."""
    with db.write() as tx:
        lock_gates(tx)
        found = _lock(tx, project_id, action_id, expected)
        changed = approve(found, actor.name, now_ns, waived=actor.waived or not rules.four_eyes)
        if found.kind == "rollback":
            make_way(tx, found, actor, now_ns)
        against = reason_against(found, read_facts(tx, found, rules, now_ns), rules, now_ns)
        if against is not None:
            raise ConflictError(f"action {action_id} cannot begin: {against}")
        _insert_verdict(tx, changed, actor, comment, "approved", now_ns)
        update_action(tx, changed)
        said = {"comment": comment.strip()} | ({"waived": True} if changed.waived else {})
        return ActionChange(changed, leave_trace(tx, changed, "approved", actor, now_ns, said))


def refuse_action(
    db: Database, project_id: str, action_id: str, comment: str, actor: Actor, now_ns: int, expected: int | None = None
) -> ActionChange:
    """Turn an action down, with a reason. Its author may do so too: that harms nobody."""
    if len(comment.strip()) < 3:
        raise InvalidInputError("say why, in 3 characters or more")
    with db.write() as tx:
        found = _lock(tx, project_id, action_id, expected)
        changed = advance(found, "refused", now_ns, comment.strip())
        _insert_verdict(tx, changed, actor, comment, "rejected", now_ns)
        update_action(tx, changed)
        return ActionChange(changed, leave_trace(tx, changed, "refused", actor, now_ns))


def cancel_action(
    db: Database, project_id: str, action_id: str, reason: str, actor: Actor, now_ns: int, expected: int | None = None
) -> ActionChange:
    """Call an action off that has not been sent; what was sent cannot be called back."""
    if len(reason.strip()) < 3:
        raise InvalidInputError("say why, in 3 characters or more")
    with db.write() as tx:
        found = _lock(tx, project_id, action_id, expected)
        changed = advance(found, "cancelled", now_ns, reason.strip())
        update_action(tx, changed)
        return ActionChange(changed, leave_trace(tx, changed, "cancelled", actor, now_ns))


def finish_by_hand(
    db: Database,
    project_id: str,
    action_id: str,
    result: str,
    detail: str,
    actor: Actor,
    now_ns: int,
    expected: int | None = None,
) -> ActionChange:
    """Say what became of work that people do themselves: ``done`` or ``failed``."""
    with db.write() as tx:
        found = _lock(tx, project_id, action_id, expected)
        if found.adapter != "people":
            raise ConflictError(f"action {action_id} is carried out by {found.adapter}, which reports for itself")
        return _finish(tx, found, result, detail, actor, now_ns, None)


def report(db: Database, action_id: str, said: Callback, now_ns: int) -> ActionChange:
    """Take in a signed callback. The same report again changes nothing; another one is a ``ConflictError``."""
    with db.write() as tx:
        found = lock_action(tx, action_id)
        if found is None or found.adapter != "webhook":
            raise ConflictError(f"action {action_id[:36]} takes no callback")
        actor = Actor(f"{RECEIVER}:{found.target.get('endpoint', '')}"[:128], "receiver")
        reported = "failed" if found.state == "failed" else "done"
        if found.acknowledged_ns is not None or found.state == "failed":
            if said.result == reported:
                return ActionChange(found, None)
            raise ConflictError(f"action {action_id} was reported as {reported} before")
        return _finish(tx, found, said.result, plain(said.detail), actor, now_ns, said.external_id)


def set_switch(
    db: Database, project_id: str, stopped: bool, reason: str, actor: Actor, now_ns: int, *, everywhere: bool = False
) -> tuple[Switch, int]:
    """Stop every action, or let them begin again. Stopping calls off what was agreed to and not sent.

    Returns the switch and the intake number of its audit event. While it is off the database itself refuses every step
    towards acting; what was sent already is still followed and verified.
    """
    if len(reason.strip()) < 3:
        raise InvalidInputError("say why, in 3 characters or more")
    place = EVERYWHERE if everywhere else project_id
    with db.write() as tx:
        lock_gates(tx)
        made = Switch(place, stopped, reason.strip(), actor.name, now_ns)
        called_off = 0
        if stopped:
            for one in list_begun(tx, place):
                cancelled = advance(one, "cancelled", now_ns, f"actions were stopped: {made.reason}")
                update_action(tx, cancelled)
                leave_trace(tx, cancelled, "cancelled", actor, now_ns)
                called_off += 1
        put_switch(tx, made)
        data = {"scope": place, "reason": made.reason, "cancelled": called_off}
        kind = "actions.stopped" if stopped else "actions.resumed"
        intake_id = record(tx, actor, kind, f"switch/{place}", data, project_id, now_ns)
        shown = next((one for one in list_switches(tx, project_id) if one.project_id == place), made)
        return shown, intake_id


def _lock(tx: WriteTx, project_id: str, action_id: str, expected: int | None) -> Action:
    found = lock_action(tx, action_id)
    if found is None or found.project_id != project_id:
        raise NotFoundError(f"no action {action_id[:64]!r} in project {project_id}")
    if expected is not None and expected != found.revision:
        raise StaleError(f"action {action_id} is at revision {found.revision}, not {expected}; read it again")
    return found


def _finish(
    tx: WriteTx, found: Action, result: str, detail: str, actor: Actor, now_ns: int, external_id: str | None
) -> ActionChange:
    if found.state != "sent":
        raise ConflictError(f"action {found.id} is {found.state}; there is nothing to report")
    state: ActionState = "acknowledged" if result == "done" else "failed"
    more: dict[str, Any] = {} if external_id is None else {"external_id": external_id}
    if state == "acknowledged":
        more["next_ns"] = now_ns
    changed = advance(found, state, now_ns, detail, **more)
    update_action(tx, changed)
    return ActionChange(changed, leave_trace(tx, changed, state, actor, now_ns))


def _insert_verdict(tx: WriteTx, action: Action, actor: Actor, comment: str, verdict: Any, now_ns: int) -> None:
    given = [
        one
        for one in list_approvals(tx, action.project_id, kind="action", subjects=[action.id])
        if one.approver == actor.name
    ]
    if given:
        raise ConflictError(f"{actor.name} has given a verdict already: {given[0].verdict}")
    made = Approval(
        new_uuid7(now_ns),
        action.project_id,
        "action",
        action.id,
        action.author,
        actor.name,
        verdict,
        comment.strip()[:1000],
        now_ns,
        waived=actor.name == action.author,
    )
    insert_approval(tx, made)
