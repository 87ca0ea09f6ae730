"""``/traces``: the list, and one trace with its spans and exchanges."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from collector.rest.dependencies import Reader, WithServices, json_response, page_response
from collector.rest.parameters import PageQuery, decode_cursor
from collector.rest.queries.trace_detail import load_trace
from collector.rest.queries.trace_rows import TraceFilter, list_traces
from custodes.kernel.errors import InvalidInputError, NotFoundError
from custodes.kernel.ids import is_hex_id
from policies.rules.vocabulary import OPTIONAL_METRICS, SCORE_METRICS

router = APIRouter(tags=["traces"])
_METRICS = (*SCORE_METRICS, *OPTIONAL_METRICS)


class TraceQuery(PageQuery):
    """Filters of the list; all that are given must hold."""

    service: str | None = Field(None, max_length=256, description="A service the trace passed through.")
    model: str | None = Field(None, max_length=256, description="A model that was called in the trace.")
    session: str | None = Field(None, max_length=256)
    user: str | None = Field(None, max_length=256)
    metric: str | None = Field(None, description=f"One of {', '.join(_METRICS)}.")
    min: float | None = Field(None, ge=0, le=1, description="Lowest score of metric, inclusive.")
    max: float | None = Field(None, ge=0, le=1, description="Highest score of metric, inclusive.")
    state: Literal["assessed", "not_assessed", "pending"] | None = None
    q: str | None = Field(None, min_length=1, max_length=256, description="Part of an id or name; never captured text.")

    def to_filter(self, now_ns: int) -> TraceFilter:
        """Return the filter, or raise ``InvalidInputError`` naming the parameter that makes no sense."""
        if self.metric is not None and self.metric not in _METRICS:
            raise InvalidInputError(f"metric {self.metric[:64]!r} is unknown; known are {', '.join(_METRICS)}")
        if self.metric is None and (self.min is not None or self.max is not None):
            raise InvalidInputError("min and max bound the score of a metric; give metric too, e.g. metric=toxicity")
        after = decode_cursor(self.cursor, int, int)
        from_ns, to_ns = self.bounds(now_ns)
        return TraceFilter(
            from_ns=from_ns,
            to_ns=to_ns,
            service=self.service,
            model=self.model,
            session=self.session,
            user=self.user,
            metric=self.metric,
            minimum=self.min,
            maximum=self.max,
            state=self.state,
            text=self.q,
            after=None if after is None else (after[0], after[1]),
        )


@router.get("/traces", summary="Traces, newest first")
def get_traces(query: Annotated[TraceQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """List traces with their worst scores."""
    wanted = query.to_filter(services.clock())
    with services.db.read() as tx:
        rows, cursor = list_traces(tx, caller.project, wanted, query.limit)
    return page_response(rows, cursor)


@router.get("/traces/{trace_id}", summary="One trace: spans, exchanges, scores")
def get_trace(trace_id: str, caller: Reader, services: WithServices) -> Response:
    """Return one trace. Captured text is there for the caller of ``--dev`` only."""
    if not is_hex_id(trace_id.lower(), 32):
        raise InvalidInputError(f"a trace id is 32 hex characters, not {trace_id[:64]!r}")
    with services.db.read() as tx:
        found = load_trace(tx, services.contents, caller.project, bytes.fromhex(trace_id), text_visible=caller.dev)
    if found is None:
        raise NotFoundError(f"no trace {trace_id} in project {caller.project}")
    return json_response(found)
