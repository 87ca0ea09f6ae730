"""``/feedback``: what people say about answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as QueryParameters
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.auth import Principal
from collector.rest.dependencies import Ingester, Reader, WithServices, json_response, page_response
from collector.rest.parameters import PageQuery, decode_cursor, encode_cursor, parse_time
from collector.store_feedback import Opinion, OpinionFilter, list_opinions, store_opinion
from custodes.kernel.errors import InvalidInputError
from custodes.kernel.ids import is_hex_id, new_uuid7

router = APIRouter(tags=["feedback"])

MAX_COMMENT_CHARACTERS = 10_000
_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


class NewFeedback(BaseModel):
    """An opinion about a trace, or one span of it: a label, a value, a comment, or several of them."""

    model_config = ConfigDict(extra="forbid")
    id: str | None = Field(None, pattern=_ID, description="A UUID of the sender's; the same one is stored once.")
    trace_id: str = Field(max_length=32)
    span_id: str | None = Field(None, max_length=16)
    label: str | None = Field(None, min_length=1, max_length=64, description="A short word such as wrong.")
    value: float | None = Field(None, allow_inf_nan=False, description="A number such as a rating.")
    comment: str | None = Field(None, min_length=1, max_length=MAX_COMMENT_CHARACTERS)
    user: str | None = Field(None, min_length=1, max_length=256, description="Who says it.")
    source: str | None = Field(None, min_length=1, max_length=64, description="Where it was said.")
    at: str | None = Field(None, max_length=40, description="When it was said, RFC 3339; now unless given.")

    def to_opinion(self, caller: Principal, now_ns: int) -> Opinion:
        """Return the opinion, or raise ``InvalidInputError`` naming what makes no sense."""
        trace_id, span_id = self.trace_id.lower(), (self.span_id or "").lower()
        if not is_hex_id(trace_id, 32):
            raise InvalidInputError(f"trace_id is 32 hex characters, not {self.trace_id!r}")
        if span_id and not is_hex_id(span_id, 16):
            raise InvalidInputError(f"span_id is 16 hex characters, not {self.span_id!r}")
        if self.label is None and self.value is None and self.comment is None:
            raise InvalidInputError("feedback says nothing; give a label, a value or a comment")
        texts = (self.label, self.comment, self.user, self.source)
        if any("\0" in text for text in texts if text is not None):
            raise InvalidInputError("feedback holds a NUL character; leave it out")
        return Opinion(
            id=self.id or new_uuid7(now_ns),
            trace_id=bytes.fromhex(trace_id),
            span_id=bytes.fromhex(span_id) if span_id else None,
            label=self.label,
            value=self.value,
            comment=self.comment,
            user_id=self.user,
            source=self.source or caller.actor,
            # A sender's clock may be ahead; nothing is said in the future.
            at_ns=now_ns if self.at is None else max(0, min(parse_time("at", self.at, now_ns), now_ns)),
        )


class FeedbackQuery(PageQuery):
    """A range by the time it was said, and a label."""

    label: str | None = Field(None, min_length=1, max_length=64)


@router.post("/feedback", status_code=201, summary="Say something about an answer")
def post_feedback(body: NewFeedback, caller: Ingester, services: WithServices) -> Response:
    """Store an opinion. 200 when one with this id is there already; the trace may arrive later."""
    now_ns = services.clock()
    opinion = body.to_opinion(caller, now_ns)
    created = store_opinion(services.db, services.contents, caller.project, opinion, now_ns)
    return json_response({"id": opinion.id, "created": created}, 201 if created else 200)


@router.get("/feedback", summary="What people said about answers, newest first")
def get_feedback(
    query: Annotated[FeedbackQuery, QueryParameters()], caller: Reader, services: WithServices
) -> Response:
    """List opinions. Comments are captured text and shown to the caller of ``--dev`` only."""
    from_ns, to_ns = query.bounds(services.clock())
    after = decode_cursor(query.cursor, int, str)
    place = None if after is None else (after[0], after[1])
    wanted = OpinionFilter(from_ns, to_ns, query.label, place)
    with services.db.read() as tx:
        rows, end = list_opinions(tx, services.contents, caller.project, wanted, query.limit, text_visible=caller.dev)
    return page_response(rows, None if end is None else encode_cursor(*end))
