"""``/ledger`` and ``/coverage``: what became of what arrived, and what could not be judged."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from collector.rest.dependencies import Reader, WithServices, json_response, page_response
from collector.rest.parameters import RangeQuery
from collector.rest.queries.coverage import coverage_rows
from collector.rest.queries.ledger import load_ledger
from custodes.kernel.clock import DAY_NS

router = APIRouter(tags=["ledger"])


class LedgerQuery(RangeQuery):
    """A range, by minute of arrival, and a service; without them everything is counted."""

    service: str | None = Field(None, max_length=256)


@router.get("/ledger", summary="What became of every span that arrived")
def get_ledger(query: Annotated[LedgerQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """Return counts with ``received = stored + duplicates + rejected``."""
    from_ns, to_ns = query.bounds(services.clock())
    with services.db.read() as tx:
        totals = load_ledger(tx, caller.project, from_ns=from_ns, to_ns=to_ns, service=query.service)
    return json_response(totals.to_json())


@router.get("/coverage", summary="How complete each service's telemetry is, and what to change")
def get_coverage(query: Annotated[RangeQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """Return one row per service; the range is the last 24 hours unless given."""
    span = query.to_range(services.clock(), default_ns=DAY_NS)
    with services.db.read() as tx:
        return page_response(coverage_rows(tx, caller.project, span.from_ns, span.to_ns), None)
