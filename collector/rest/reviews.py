"""``/reviews``: what people judge answers to be. The better answers they write are captured text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.rest.dependencies import Reader, Reviewer, WithServices, actor_of, json_response, page_response
from collector.rest.idempotency import IdempotentRoute
from collector.rest.parameters import Query as QueryModel
from collector.store_reviews import MAX_CORRECTED_CHARACTERS, Review, add_review, list_reviews
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.errors import InvalidInputError
from custodes.kernel.ids import is_hex_id, new_uuid7

router = APIRouter(tags=["reviews"], route_class=IdempotentRoute)
MOST_ROWS = 500


class ReviewQuery(QueryModel):
    """``exchange`` selects the reviews of one."""

    exchange: str | None = Field(None, max_length=48)


class NewReview(BaseModel):
    """A judgement, and a better answer where the reviewer has one."""

    model_config = ConfigDict(extra="forbid")
    exchange: str = Field(min_length=48, max_length=48)
    verdict: Literal["good", "bad"]
    corrected: str | None = Field(None, min_length=1, max_length=MAX_CORRECTED_CHARACTERS)


@router.get("/reviews", summary="What people judged answers to be, newest first")
def get_reviews(query: Annotated[ReviewQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """List reviews; whether there is a better answer is said, its text is not."""
    place = None if query.exchange is None else _place(query.exchange)
    with services.db.read() as tx:
        found = list_reviews(tx, services.contents, caller.project, place=place, limit=MOST_ROWS, with_text=True)
    return page_response([_review_to_json(one) for one in found], None)


@router.post("/reviews", status_code=201, summary="Judge an answer")
def post_review(body: NewReview, caller: Reviewer, services: WithServices) -> Response:
    """Store a judgement; a person's latest one counts."""
    now_ns = services.clock()
    trace_id, span_id = _place(body.exchange)
    made = Review(new_uuid7(now_ns), trace_id, span_id, caller.actor, body.verdict, now_ns, body.corrected)
    add_review(services.db, services.contents, caller.project, made, actor_of(caller))
    return json_response(_review_to_json(made), 201)


def _place(exchange_id: str) -> tuple[bytes, bytes]:
    public_id = exchange_id.lower()
    if not (is_hex_id(public_id[:32], 32) and is_hex_id(public_id[32:], 16)):
        raise InvalidInputError("an exchange id is 48 hex characters (trace id, then span id)")
    return bytes.fromhex(public_id[:32]), bytes.fromhex(public_id[32:])


def _review_to_json(one: Review) -> dict[str, Any]:
    return {
        "id": one.id,
        "exchange": one.trace_id.hex() + one.span_id.hex(),
        "reviewer": one.reviewer,
        "verdict": one.verdict,
        "corrected": one.corrected is not None,
        "erased": one.is_erased,
        "at": ns_to_rfc3339(one.at_ns),
    }
