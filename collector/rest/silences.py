"""``/silences``: which incidents stay quiet, why, and until when. Nothing stays silent for ever."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.rest.dependencies import (
    Expected,
    Reader,
    SilenceApprover,
    Silencer,
    WithServices,
    actor_of,
    page_response,
    revision_response,
)
from collector.rest.idempotency import IdempotentRoute
from collector.rest.parameters import Query as QueryModel
from collector.rest.parameters import parse_time
from collector.rest.strict import confirm, require_log
from custodes.kernel.clock import ns_to_rfc3339
from policies import handling
from policies.conduct import review_of
from policies.incident_store import list_silences, require_silence
from policies.incidents import SEVERE
from policies.silences import Silence

router = APIRouter(tags=["silences"], route_class=IdempotentRoute)


class SilenceQuery(QueryModel):
    """``current`` leaves out those that are over."""

    state: Literal["current", "all"] = "current"


class NewSilence(BaseModel):
    """``matchers`` map policy, severity, service, environment, deployment or model to a value, with ``*`` for any."""

    model_config = ConfigDict(extra="forbid")
    matchers: dict[str, str] = Field(min_length=1, max_length=6)
    reason: str = Field(min_length=10, max_length=1000)
    starts_at: str = "now"
    ends_at: str


class ApprovalBody(BaseModel):
    """What the second person has to say."""

    model_config = ConfigDict(extra="forbid")
    comment: str = Field("", max_length=1000)


@router.get("/silences", summary="Silences, the latest ending first")
def get_silences(query: Annotated[SilenceQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """List silences; those that are over only when asked for."""
    now_ns = services.clock()
    with services.db.read() as tx:
        found = list_silences(tx, caller.project, ending_after_ns=now_ns if query.state == "current" else None)
    return page_response([silence_to_json(one, now_ns) for one in found], None)


@router.get("/silences/{silence_id}", summary="One silence")
def get_silence(silence_id: str, caller: Reader, services: WithServices) -> Response:
    """Return one silence; its ETag is what ``If-Match`` takes."""
    with services.db.read() as tx:
        found = require_silence(tx, caller.project, silence_id)
    return revision_response(silence_to_json(found, services.clock()))


@router.post("/silences", status_code=201, summary="Keep the receivers of matching incidents quiet for a time")
def post_silence(body: NewSilence, caller: Silencer, services: WithServices) -> Response:
    """Make a silence; severe incidents stay loud until somebody else approves it."""
    now_ns = services.clock()
    starts_ns = parse_time("starts_at", body.starts_at, now_ns)
    ends_ns = parse_time("ends_at", body.ends_at, now_ns)
    review = review_of(services.settings)
    made = handling.add_silence(
        services.db, caller.project, body.matchers, body.reason, starts_ns, ends_ns, actor_of(caller), now_ns, review
    )
    return revision_response(silence_to_json(made, now_ns), 201)


@router.post("/silences/{silence_id}/approve", summary="Agree that severe incidents stay quiet too (strict audit)")
def post_silence_approval(
    silence_id: str, body: ApprovalBody, caller: SilenceApprover, services: WithServices, expected: Expected
) -> Response:
    """Approve a silence somebody else made."""
    require_log(services)
    now_ns = services.clock()
    changed, intake_id = handling.approve_silence(
        services.db, caller.project, silence_id, body.comment, actor_of(caller), now_ns, expected
    )
    audit = confirm(services, intake_id).to_json()
    return revision_response({**silence_to_json(changed, now_ns), "audit": audit})


@router.delete("/silences/{silence_id}", summary="End a silence now")
def delete_silence(silence_id: str, caller: Silencer, services: WithServices, expected: Expected) -> Response:
    """End a silence; what it kept quiet and is still open is told at the next evaluation."""
    now_ns = services.clock()
    ended = handling.end_silence(services.db, caller.project, silence_id, actor_of(caller), now_ns, expected)
    return revision_response(silence_to_json(ended, now_ns))


def silence_to_json(one: Silence, now_ns: int) -> dict[str, Any]:
    """Return one silence as the API shows it. ``covers`` are the severities it holds for now."""
    severities = ("low", "medium", "high", "critical")
    return {
        "id": one.id,
        "matchers": dict(one.matchers),
        "reason": one.reason,
        "state": one.state(now_ns),
        "covers": [name for name in severities if one.covers_severe or name not in SEVERE],
        "needs_approval": one.needs_approval() and one.state(now_ns) != "ended",
        "author": one.author,
        "approver": one.approver,
        "created_at": ns_to_rfc3339(one.created_ns),
        "starts_at": ns_to_rfc3339(one.starts_ns),
        "ends_at": ns_to_rfc3339(one.ends_ns),
        "ended_at": None if one.ended_ns is None else ns_to_rfc3339(one.ended_ns),
        "ended_by": one.ended_by,
        "revision": one.revision,
    }
