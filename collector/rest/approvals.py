"""``/approvals``: what waits for a second person, and what people have said."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.rest.dependencies import (
    Approver,
    Reader,
    WithServices,
    actor_of,
    json_response,
    page_response,
)
from collector.rest.idempotency import IdempotentRoute
from collector.rest.parameters import Query as QueryModel
from collector.rest.queries.approvals import list_pending
from collector.rest.queries.policies import approval_to_json
from collector.rest.strict import confirm, require_log
from custodes.kernel.errors import InvalidInputError
from policies import handling
from policies.actions.gates import action_rules_of
from policies.actions.handling import approve_action, refuse_action
from policies.approval_store import list_approvals
from policies.conduct import conduct_of, review_of
from policies.drift_references import judge_reference
from policies.lifecycle import judge_policy

router = APIRouter(tags=["approvals"], route_class=IdempotentRoute)


class ApprovalQuery(QueryModel):
    """``pending`` is what waits, ``decided`` is what was said, newest first."""

    state: Literal["pending", "decided"] = "pending"


class VerdictOn(BaseModel):
    """A verdict on a policy version (``toxicity-spike@sha256:…``), a silence, a drift reference or an action."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["policy", "silence", "drift", "action"]
    subject: str = Field(min_length=1, max_length=256)
    verdict: Literal["approved", "rejected"] = "approved"
    comment: str = Field("", max_length=1000)


@router.get("/approvals", summary="What waits for a second person, or what people have said")
def get_approvals(query: Annotated[ApprovalQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """List what waits; ``mine`` says that the caller asked for it and so cannot decide it."""
    with services.db.read() as tx:
        if query.state == "decided":
            return page_response([approval_to_json(one) for one in list_approvals(tx, caller.project)], None)
        # The keyless caller of --dev may decide what it asked for itself.
        actor = "" if caller.dev else caller.actor
        return page_response(list_pending(tx, caller.project, actor, services.clock()), None)


@router.post("/approvals", status_code=201, summary="Approve or reject (strict audit)")
def post_verdict(body: VerdictOn, caller: Approver, services: WithServices) -> Response:
    """Decide one of the things that wait."""
    require_log(services)
    intake_id = _DECIDERS[body.kind](services, caller, body)
    audit = None if intake_id is None else confirm(services, intake_id).to_json()
    return json_response({"kind": body.kind, "subject": body.subject, "verdict": body.verdict, "audit": audit}, 201)


def _decide_policy(services: Any, caller: Any, body: VerdictOn) -> int | None:
    policy_id, separator, version = body.subject.partition("@")
    if not separator:
        raise InvalidInputError("name a policy version as ID@sha256:…")
    change = judge_policy(
        services.db,
        project_id=caller.project,
        policy_id=policy_id,
        version=version,
        verdict=body.verdict,
        comment=body.comment,
        actor=actor_of(caller),
        now_ns=services.clock(),
        conduct=conduct_of(services.settings),
        review=review_of(services.settings),
    )
    return change.intake_id


def _decide_action(services: Any, caller: Any, body: VerdictOn) -> int | None:
    caller.require("action_approve")
    place = (services.db, caller.project, body.subject, body.comment, actor_of(caller), services.clock())
    if body.verdict == "approved":
        return approve_action(*place, action_rules_of(services.settings)).intake_id
    return refuse_action(*place).intake_id


def _decide_silence(services: Any, caller: Any, body: VerdictOn) -> int | None:
    if body.verdict != "approved":
        raise InvalidInputError("a silence is approved, or ended with DELETE /silences/{id}")
    _, intake_id = handling.approve_silence(
        services.db, caller.project, body.subject, body.comment, actor_of(caller), services.clock()
    )
    return intake_id


def _decide_drift(services: Any, caller: Any, body: VerdictOn) -> int | None:
    _, intake_id = judge_reference(
        services.db,
        caller.project,
        body.subject,
        body.verdict,
        body.comment,
        actor_of(caller),
        services.clock(),
        console_url=services.console_url,
    )
    return intake_id


_DECIDERS = {"policy": _decide_policy, "silence": _decide_silence, "drift": _decide_drift, "action": _decide_action}
