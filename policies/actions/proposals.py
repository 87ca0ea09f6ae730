"""From what the engine asks for to actions that wait, in the unit of work of the decision.

The key of the episode makes this safe to repeat: a policy that is evaluated twice, or by two processes, asks once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from custodes.db import Database, WriteTx
from custodes.kernel.errors import ConflictError, InvalidInputError
from custodes.kernel.ids import new_uuid7
from policies.actions.action import (
    ENDED,
    Action,
    ActionMode,
    ActionState,
    advance,
    make_idempotency_key,
    make_target_key,
)
from policies.actions.store import (
    insert_action,
    list_actions_of,
    list_trainings,
    lock_gates,
    reason_not_to_train,
    update_action,
)
from policies.actions.traces import ENGINE, leave_trace
from policies.actors import Actor
from policies.incidents import Incident
from policies.rules.compile import ActionSpec

TRAINERS = frozenset({"webhook", "github", "gitlab"})
"""Adapters that start jobs."""
ENDS_WITH_INCIDENT = frozenset({"rollback", "pause"})
"""Kinds that make no sense any more once the incident is over."""


def propose(
    tx: WriteTx, incident: Incident, spec: ActionSpec, *, author: str, decision_id: str, now_ns: int
) -> Action | None:
    """Store what an action of a policy asks for; ``None`` when this episode has asked before.

    In mode ``shadow`` it is stored as what would have been, and never moves. A target that cannot be told is stored
    as failed, with the reason: a proposal must not vanish.
    """
    target = {str(name): str(value) for name, value in cast(dict[str, Any], spec.body.get("target") or {}).items()}
    problem = ""
    try:
        target_key = make_target_key(spec.kind, incident.project_id, target)
    except InvalidInputError as error:
        target_key, problem = f"unusable/{incident.project_id}/{incident.policy_id}", str(error)
    episode = f"{incident.id}:{incident.episode_ns}"
    state: ActionState = "shadowed" if spec.mode == "shadow" else "proposed"
    made = Action(
        id=new_uuid7(now_ns),
        project_id=incident.project_id,
        kind=spec.kind,
        adapter=target.get("adapter", "people"),
        target_key=target_key,
        target=target,
        policy_id=incident.policy_id,
        version=incident.version,
        decision_id=decision_id,
        incident_id=incident.id,
        group_key=incident.group.key,
        mode=cast(ActionMode, spec.mode),
        state=state,
        author=author,
        idempotency_key=make_idempotency_key(incident.version, spec.kind, target_key, episode),
        terms=dict(spec.body),
        created_ns=now_ns,
        updated_ns=now_ns,
        next_ns=None if state == "shadowed" else now_ns,
        finished_ns=now_ns if state == "shadowed" else None,
    )
    if not insert_action(tx, made):
        return None
    leave_trace(tx, made, state, ENGINE, now_ns)
    if problem and state == "proposed":
        failed = advance(made, "failed", now_ns, problem)
        update_action(tx, failed)
        leave_trace(tx, failed, "failed", ENGINE, now_ns)
        return failed
    return made


def withdraw_proposals(tx: WriteTx, incident: Incident, reason: str, now_ns: int) -> int:
    """Cancel the rollbacks and pauses that still wait for somebody when their incident is over; return how many."""
    waiting = list_actions_of(tx, incident_id=incident.id, states=("proposed",))
    ended = [one for one in waiting if one.kind in ENDS_WITH_INCIDENT]
    for one in ended:
        cancelled = advance(one, "cancelled", now_ns, f"the incident ended before anybody agreed: {reason}")
        update_action(tx, cancelled)
        leave_trace(tx, cancelled, "cancelled", ENGINE, now_ns)
    return len(ended)


def withdraw_trainings(
    tx: WriteTx, project_id: str, dataset_ids: Collection[str], reason: str, actor: Actor, now_ns: int
) -> tuple[list[str], list[str]]:
    """Call off the training runs on these data sets that were not sent. Takes the lock of the gates.

    Returns the ids of those that were called off, and of those that were sent before: what they trained remembers.
    """
    lock_gates(tx)
    withdrawn, sent = [], []
    for one in list_trainings(tx, project_id, dataset_ids):
        if one.sent_ns is not None:
            sent.append(one.id)
        elif one.state not in ENDED:
            cancelled = advance(one, "cancelled", now_ns, reason)
            update_action(tx, cancelled)
            leave_trace(tx, cancelled, "cancelled", actor, now_ns)
            withdrawn.append(one.id)
    return withdrawn, sent


def propose_training(
    db: Database, project_id: str, dataset: Mapping[str, str], target: Mapping[str, str], actor: Actor, now_ns: int
) -> tuple[Action, int]:
    """Ask for a training run on a data set; somebody else has to agree. Returns it and its audit event's number.

    ``dataset`` holds ``id``, ``sha256`` and ``format``; ``target`` names an adapter that starts jobs. Raises
    ``ConflictError`` when this data set was sent to this target before, and when it holds text that was erased since.
    """
    if target.get("adapter") not in TRAINERS:
        raise InvalidInputError(f"training is started by one of {', '.join(sorted(TRAINERS))}")
    named = {**target, "dataset": dataset["id"], "sha256": dataset["sha256"]}
    target_key = make_target_key("finetune", project_id, named)
    made = Action(
        id=new_uuid7(now_ns),
        project_id=project_id,
        kind="finetune",
        adapter=target["adapter"],
        target_key=target_key,
        target=named,
        policy_id="",
        version="",
        decision_id="",
        incident_id="",
        group_key="{}",
        mode="propose",
        state="proposed",
        author=actor.name,
        idempotency_key=make_idempotency_key(dataset["sha256"], "finetune", target_key, project_id),
        terms={"kind": "finetune", "target": named, "mode": "propose"},
        created_ns=now_ns,
        updated_ns=now_ns,
        next_ns=now_ns,
    )
    with db.write() as tx:
        # An erasure that is under way sees this action, or is seen here.
        lock_gates(tx)
        against = reason_not_to_train(tx, project_id, dataset["id"])
        if against is not None:
            raise ConflictError(against)
        if not insert_action(tx, made):
            raise ConflictError("this data set was proposed to this trainer before; see the actions")
        return made, leave_trace(tx, made, "proposed", actor, now_ns, {"dataset": dict(dataset)})
