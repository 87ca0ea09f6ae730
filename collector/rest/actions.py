"""``/actions``: what policies asked for, who agreed, what was done, and whether it helped."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from collector.auth import Principal
from collector.rest.dependencies import (
    ActionApprover,
    ActionHandler,
    ActionStopper,
    Expected,
    Reader,
    WithServices,
    actor_of,
    json_response,
    page_response,
    revision_response,
)
from collector.rest.idempotency import IdempotentRoute
from collector.rest.parameters import PageQuery, decode_cursor
from collector.rest.queries.actions import (
    ActionFilter,
    action_to_json,
    list_actions,
    load_chain,
    switch_to_json,
)
from collector.rest.strict import confirm, require_log
from collector.services import Services
from custodes.db import Database
from custodes.kernel.errors import PermissionError_
from policies.actions import handling
from policies.actions.gates import action_rules_of
from policies.actions.handling import ActionChange
from policies.actions.promotion import propose_promotion
from policies.actions.store import find_any_action, list_switches, require_action
from policies.actions.webhook import read_callback
from policies.actors import Actor
from policies.hooks.endpoint_store import find_endpoint
from policies.hooks.sender import signing_keys

router = APIRouter(tags=["actions"], route_class=IdempotentRoute)
States = Literal[
    "all",
    "open",
    "shadowed",
    "proposed",
    "approved",
    "snapshot",
    "sent",
    "acknowledged",
    "verifying",
    "helped",
    "not_helped",
    "inconclusive",
    "refused",
    "cancelled",
    "failed",
]


class ActionQuery(PageQuery):
    """``open`` is every state that is no end; the range is over the time of asking."""

    state: States = "all"
    policy: str | None = Field(None, max_length=128)
    incident: str | None = Field(None, max_length=36)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CommentBody(_Body):
    """What the person who agrees has to say."""

    comment: str = Field("", max_length=1000)


class WhyBody(_Body):
    """Why."""

    reason: str = Field(min_length=3, max_length=1000)


class DoneBody(_Body):
    """What became of work that people do."""

    result: Literal["done", "failed"] = "done"
    detail: str = Field("", max_length=500)


class PromotionBody(_Body):
    """Which version is to serve where, why, and by which signals of a policy its traffic is judged."""

    target: dict[str, str] = Field(min_length=1, max_length=16)
    reason: str = Field(min_length=3, max_length=1000)
    policy: str | None = Field(None, max_length=128)
    verify: dict[str, str | int | float] | None = Field(None, max_length=8)


class SwitchBody(_Body):
    """``everywhere`` needs a key that administers the server."""

    stopped: bool
    reason: str = Field(min_length=3, max_length=1000)
    everywhere: bool = False


@router.get("/actions", summary="Actions, newest first")
def get_actions(query: Annotated[ActionQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """List actions by the time they were asked for."""
    from_ns, to_ns = query.bounds(services.clock())
    chosen = ActionFilter(query.state, query.policy, query.incident, from_ns, to_ns)
    after = decode_cursor(query.cursor, int, str)
    with services.db.read() as tx:
        rows, cursor = list_actions(tx, caller.project, chosen, after=after, limit=query.limit)
    return page_response(rows, cursor)


@router.post("/actions/promote", status_code=201, summary="Propose that a version serves (strict audit)")
def post_promotion(body: PromotionBody, caller: ActionHandler, services: WithServices) -> Response:
    """Ask for a promotion; somebody else has to agree."""
    require_log(services)
    place = (services.db, caller.project, body.target, body.reason, actor_of(caller), services.clock())
    made, intake_id = propose_promotion(*place, policy_id=body.policy, verify=body.verify)
    return json_response({**action_to_json(made), "audit": confirm(services, intake_id).to_json()}, 201)


@router.get("/actions/switch", summary="Whether actions are stopped")
def get_switch(caller: Reader, services: WithServices) -> Response:
    """Return the switches that hold for the project."""
    with services.db.read() as tx:
        found = list_switches(tx, caller.project)
    return json_response(
        {"stopped": any(one.stopped for one in found), "switches": [switch_to_json(one) for one in found]}
    )


@router.put("/actions/switch", summary="Stop all actions, or let them begin again (strict audit)")
def put_switch(body: SwitchBody, caller: ActionStopper, services: WithServices) -> Response:
    """Stop: at once, by few. Let begin again: only who may approve."""
    require_log(services)
    _require_switch(caller, body)
    made, intake_id = handling.set_switch(
        services.db,
        caller.project,
        body.stopped,
        body.reason,
        actor_of(caller),
        services.clock(),
        everywhere=body.everywhere,
    )
    return json_response({**switch_to_json(made), "audit": confirm(services, intake_id).to_json()})


@router.get("/actions/{action_id}", summary="One action with the whole chain it stands in")
def get_action(action_id: str, caller: Reader, services: WithServices) -> Response:
    """Return decision, incident, verdicts, events, evidence and audit leaves; the ETag is what ``If-Match`` takes."""
    with services.db.read() as tx:
        chain = load_chain(tx, require_action(tx, caller.project, action_id))
    return revision_response(chain)


@router.post("/actions/{action_id}/approve", summary="Agree to an action (strict audit)")
def post_approval(
    action_id: str, body: CommentBody, caller: ActionApprover, services: WithServices, expected: Expected
) -> Response:
    """Agree to an action of a policy somebody else wrote; it begins at once."""
    require_log(services)
    rules = action_rules_of(services.settings)
    place = (services.db, caller.project, action_id, body.comment, actor_of(caller), services.clock())
    return _shown(services, handling.approve_action(*place, rules, expected))


@router.post("/actions/{action_id}/refuse", summary="Turn an action down (strict audit)")
def post_refusal(
    action_id: str, body: WhyBody, caller: ActionApprover, services: WithServices, expected: Expected
) -> Response:
    """Turn an action down, with a reason."""
    require_log(services)
    return _shown(services, handling.refuse_action(*_act(services, caller, action_id, body.reason), expected))


@router.post("/actions/{action_id}/cancel", summary="Call an action off that was not sent (strict audit)")
def post_cancellation(
    action_id: str, body: WhyBody, caller: ActionHandler, services: WithServices, expected: Expected
) -> Response:
    """Call an action off; what was sent cannot be called back."""
    require_log(services)
    return _shown(services, handling.cancel_action(*_act(services, caller, action_id, body.reason), expected))


@router.post("/actions/{action_id}/done", summary="Say what became of work that people do (strict audit)")
def post_done(
    action_id: str, body: DoneBody, caller: ActionHandler, services: WithServices, expected: Expected
) -> Response:
    """Report an action that no adapter carries out."""
    require_log(services)
    said = (action_id, body.result, body.detail, actor_of(caller), services.clock())
    return _shown(services, handling.finish_by_hand(services.db, caller.project, *said, expected))


@router.post("/actions/{action_id}/callback", summary="Report an action, signed with the endpoint's secret")
async def post_callback(action_id: str, request: Request, services: WithServices) -> Response:
    """Take a signed callback; it needs no key, the signature is the proof."""
    body = await request.body()
    return await run_in_threadpool(_take_callback, services, action_id, dict(request.headers), body)


def _require_switch(caller: Principal, body: SwitchBody) -> None:
    if not body.stopped:
        caller.require("action_approve")
    if body.everywhere and not caller.administers_server:
        raise PermissionError_(
            "only an administrator of the server's own project stops actions everywhere; leave everywhere out, or use "
            "custodes action stop --everywhere on the server",
            role=caller.role,
            needed=("admin",),
        )


def _take_callback(services: Services, action_id: str, headers: dict[str, str], body: bytes) -> Response:
    with services.db.read() as tx:
        found = find_any_action(tx, action_id)
        name = "" if found is None or found.adapter != "webhook" else found.target.get("endpoint", "")
        endpoint = None if found is None else find_endpoint(tx, found.project_id, name)
    now_ns = services.clock()
    keys = [] if endpoint is None else signing_keys(services.secret_box, endpoint, now_ns)
    said = read_callback(action_id, headers, body, keys, now_ns)
    change = handling.report(services.db, action_id, said, now_ns)
    return json_response({"id": action_id, "state": change.action.state})


def _act(
    services: Services, caller: Principal, action_id: str, words: str
) -> tuple[Database, str, str, str, Actor, int]:
    return services.db, caller.project, action_id, words, actor_of(caller), services.clock()


def _shown(services: Services, change: ActionChange) -> Response:
    audit = None if change.intake_id is None else confirm(services, change.intake_id).to_json()
    return revision_response({**action_to_json(change.action), "audit": audit})
