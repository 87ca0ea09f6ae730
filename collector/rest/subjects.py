"""``/subjects``: what people whose text is kept may ask for."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.erasure import MAX_REASON_CHARACTERS, MIN_REASON_CHARACTERS, erase_subject
from collector.rest.dependencies import Eraser, WithServices, actor_of, json_response
from collector.rest.idempotency import IdempotentRoute
from collector.rest.strict import confirm, require_log

router = APIRouter(tags=["subjects"], route_class=IdempotentRoute)


class EraseBody(BaseModel):
    """Whom to erase, by the user id their spans carry, and why. The id stands in no address and on no record."""

    model_config = ConfigDict(extra="forbid")
    user: str = Field(min_length=1, max_length=256)
    reason: str = Field(min_length=MIN_REASON_CHARACTERS, max_length=MAX_REASON_CHARACTERS)


@router.post("/subjects/erase", summary="Erase a person's captured text (strict audit)")
def post_erasure(body: EraseBody, caller: Eraser, services: WithServices) -> Response:
    """Destroy the keys of a person's text; the answer names the data sets that hold copies."""
    require_log(services)
    made = erase_subject(
        services.db, services.contents, caller.project, body.user, body.reason, actor_of(caller), services.clock()
    )
    return json_response({**made.to_json(), "audit": confirm(services, made.intake_id).to_json()})
