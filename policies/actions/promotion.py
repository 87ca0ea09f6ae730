"""Promotions: people ask for another version to serve, and somebody else agrees. No policy can ask for one.

Otherwise as a rollback: planned, compared with what serves, moved once, read back, and judged on the new version's own
traffic by the signals of a policy. It never stands in the way of a rollback: agreeing to one ends the judging.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from custodes.db import Database, WriteTx
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from custodes.kernel.ids import new_uuid7
from policies.actions.action import (
    ENDED,
    PROMOTION,
    Action,
    advance,
    make_idempotency_key,
    make_target_key,
)
from policies.actions.judgement import read_predicate
from policies.actions.store import insert_action, list_actions_on, update_action
from policies.actions.traces import leave_trace
from policies.actors import Actor
from policies.evaluate import compile_version
from policies.rules.document import GuardedAction
from policies.store import PolicyVersion, list_policy_versions

ADAPTERS = frozenset({"mlflow", "vllm", "webhook", "github", "gitlab"})
"""Adapters that move to a version."""
MIN_REASON_CHARACTERS = 3


def propose_promotion(
    db: Database,
    project_id: str,
    target: Mapping[str, str],
    reason: str,
    actor: Actor,
    now_ns: int,
    *,
    policy_id: str | None = None,
    verify: Mapping[str, Any] | None = None,
) -> tuple[Action, int]:
    """Ask for a version to serve; somebody else has to agree. Returns the action and its audit event's number.

    ``target`` names it by ``to`` or ``to_alias``. ``verify`` is what policies write there; it reads signals of the
    active version of policy ``policy_id``. Raises ``InvalidInputError`` for what cannot be carried out or verified, and
    ``ConflictError`` while another promotion on the target is open.
    """
    named = dict(target)
    if named.get("adapter") not in ADAPTERS:
        raise InvalidInputError(f"a version is promoted by one of {', '.join(sorted(ADAPTERS))}")
    if not (named.get("to") or named.get("to_alias")):
        raise InvalidInputError("say what to promote: target.to names a version, target.to_alias an alias of one")
    if len(reason.strip()) < MIN_REASON_CHARACTERS:
        raise InvalidInputError(f"say why, in {MIN_REASON_CHARACTERS} characters or more")
    if (policy_id is None) != (verify is None):
        raise InvalidInputError("verify goes with the policy whose signals it reads")
    terms: dict[str, Any] = {"kind": PROMOTION, "target": named, "mode": "propose"}
    if verify is not None:
        terms["verify"] = dict(verify)
    version = None if policy_id is None else _find_active(db, project_id, policy_id)
    _check_terms(terms, version)
    action_id, target_key = new_uuid7(now_ns), make_target_key(PROMOTION, project_id, named)
    made = Action(
        id=action_id,
        project_id=project_id,
        kind=PROMOTION,
        adapter=named["adapter"],
        target_key=target_key,
        target=named,
        policy_id="" if version is None else version.policy_id,
        version="" if version is None else version.version,
        decision_id="",
        incident_id="",
        group_key="{}",
        mode="propose",
        state="proposed",
        author=actor.name,
        idempotency_key=make_idempotency_key("", PROMOTION, target_key, action_id),
        terms=terms,
        created_ns=now_ns,
        updated_ns=now_ns,
        next_ns=now_ns,
    )
    with db.write() as tx:
        waiting = [one for one in list_actions_on(tx, target_key) if one.kind == PROMOTION and one.state not in ENDED]
        if waiting:
            raise ConflictError(f"promotion {waiting[0].id} of the same target is {waiting[0].state}")
        insert_action(tx, made)
        return made, leave_trace(tx, made, "proposed", actor, now_ns, {"reason": reason.strip()[:1000]})


def make_way(tx: WriteTx, rollback: Action, actor: Actor, now_ns: int) -> None:
    """End the judging of a promotion on the target of a rollback that somebody agrees to."""
    for one in list_actions_on(tx, rollback.target_key):
        if one.kind == PROMOTION and one.state in ("acknowledged", "verifying"):
            ended = advance(one, "inconclusive", now_ns, f"rollback {rollback.id} was agreed to meanwhile")
            update_action(tx, ended)
            leave_trace(tx, ended, "inconclusive", actor, now_ns)


def _find_active(db: Database, project_id: str, policy_id: str) -> PolicyVersion:
    with db.read() as tx:
        found = list_policy_versions(tx, project_id, policy_id=policy_id, state="active")
    if not found:
        raise NotFoundError(f"no version of policy {policy_id[:128]!r} is active in project {project_id}")
    return found[0]


def _check_terms(terms: Mapping[str, Any], version: PolicyVersion | None) -> None:
    try:
        written = GuardedAction.model_validate({**terms, "kind": "rollback"})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InvalidInputError(problems) from error
    if version is None or written.verify is None:
        return
    policy = compile_version(version)
    names = sorted(one.name for one in policy.signals)
    if policy.kind != "Policy" or read_predicate(written.verify.expr, names) is None:
        known = ", ".join(names) or "none"
        raise InvalidInputError(
            f"verify.expr is comparisons of signals of {version.policy_id} ({known}) joined by && and ||, with a point "
            "in every number"
        )
