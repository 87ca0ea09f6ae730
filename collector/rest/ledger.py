"""``/ledger`` and ``/coverage``: what became of what arrived, and what could not be judged."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from collector.rest.dependencies import Reader, WithServices, json_response, page_response
from collector.rest.parameters import PageQuery, RangeQuery, decode_cursor, encode_cursor
from collector.rest.queries.coverage import load_coverage
from collector.rest.queries.ledger import LedgerMinute, load_ledger, load_ledger_minutes
from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, ns_to_rfc3339

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


class MinutesQuery(PageQuery):
    """A range, by minute of arrival, and a service."""

    service: str | None = Field(None, max_length=256)


@router.get("/ledger/minutes", summary="The loss ledger by minute and service, latest first")
def get_minutes(query: Annotated[MinutesQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """Return one row per minute and service; the range is the last hour unless given."""
    span = query.to_range(services.clock(), default_ns=HOUR_NS)
    after = decode_cursor(query.cursor, int, str)
    with services.db.read() as tx:
        found = load_ledger_minutes(
            tx,
            caller.project,
            from_ns=span.from_ns,
            # The minute that begins at this very moment has begun.
            to_ns=span.to_ns + 1 if query.end is None else span.to_ns,
            service=query.service,
            after=None if after is None else (after[0], after[1]),
            limit=query.limit + 1,
        )
    return _minutes_response(found, query.limit)


def _minutes_response(found: list[LedgerMinute], limit: int) -> Response:
    shown = found[:limit]
    rows = [
        {"minute": ns_to_rfc3339(one.minute * MINUTE_NS), "service": one.service, **one.totals.to_json()}
        for one in shown
    ]
    return page_response(rows, encode_cursor(shown[-1].minute, shown[-1].service) if len(found) > limit else None)


@router.get("/coverage", summary="How complete each service's telemetry is, and what to change")
def get_coverage(query: Annotated[RangeQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """Return one row per service; the range is the last 24 hours unless given, and what is dated after them."""
    now_ns = services.clock()
    span = query.to_range(now_ns, default_ns=DAY_NS)
    with services.db.read() as tx:
        found = load_coverage(tx, caller.project, span.from_ns, span.to_ns, now_ns)
    return page_response([one.to_json() for one in found], None)
