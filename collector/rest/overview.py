"""``/overview`` and ``/timeseries``: what charts and the first page show, read from roll-ups only."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from collector.rest.dependencies import Reader, WithServices, json_response
from collector.rest.parameters import RangeQuery
from collector.rest.queries.overview import load_overview
from collector.rest.queries.timeseries import SeriesRequest, load_series
from custodes.kernel.clock import DAY_NS
from custodes.kernel.errors import InvalidInputError
from policies.rules.vocabulary import (
    EXCHANGES_METRIC,
    OPTIONAL_METRICS,
    QUANTITY_METRICS,
    SCORE_METRICS,
    Aggregation,
    parse_aggregation,
)

router = APIRouter(tags=["overview"])
METRICS = (*SCORE_METRICS, *OPTIONAL_METRICS, *QUANTITY_METRICS, EXCHANGES_METRIC)
AGGREGATIONS = ("count", "mean", "p50", "p90", "p95", "p99", "max", "rate_above", "not_assessed_ratio")
_SHORT_RATE = re.compile(r"rate_above:(.+)")


class SeriesQuery(RangeQuery):
    """One aggregation of one metric over a range."""

    metric: str = Field(description=f"One of {', '.join(METRICS)}.")
    agg: str = Field(description="count, mean, p50, p90, p95, p99, max, rate_above:x or not_assessed_ratio.")
    group_by: Literal["service", "environment", "deployment", "model", "none"] = "none"
    service: str | None = Field(None, max_length=256)
    step: int | None = Field(None, ge=60, multiple_of=60, description="Seconds per bucket, a multiple of 60.")

    def to_request(self, now_ns: int) -> SeriesRequest:
        """Return the request, or raise ``InvalidInputError`` naming the parameter that makes no sense."""
        if self.metric not in METRICS:
            raise InvalidInputError(f"metric {self.metric[:64]!r} is unknown; known are {', '.join(METRICS)}")
        aggregation = read_aggregation(self.agg)
        if self.metric == EXCHANGES_METRIC and aggregation.name != "count":
            raise InvalidInputError(f"agg {self.agg[:64]!r} has no meaning for exchanges; use count")
        group_by = None if self.group_by == "none" else self.group_by
        span = self.to_range(now_ns, default_ns=DAY_NS)
        return SeriesRequest(self.metric, aggregation, span, group_by, self.service, self.step)


def read_aggregation(written: str) -> Aggregation:
    """Return the aggregation of ``p95``, ``rate_above:0.8`` or ``rate_above(0.8)``; raise ``InvalidInputError``."""
    short = _SHORT_RATE.fullmatch(written)
    try:
        aggregation = parse_aggregation(f"rate_above({short[1]})" if short else written)
    except ValueError as error:
        raise InvalidInputError(f"agg {written[:64]!r} is unknown; known are {', '.join(AGGREGATIONS)}") from error
    if aggregation.name not in AGGREGATIONS:
        raise InvalidInputError(f"agg {written[:64]!r} cannot be drawn; known are {', '.join(AGGREGATIONS)}")
    return aggregation


@router.get("/overview", summary="Services worst first, totals, incidents, events and one sentence")
def get_overview(query: Annotated[RangeQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """Return the first page of the console; the range is the last 24 hours unless given."""
    now_ns = services.clock()
    span = query.to_range(now_ns, default_ns=DAY_NS)
    with services.db.read() as tx:
        return json_response(load_overview(tx, caller.project, span, now_ns))


@router.get("/timeseries", summary="One aggregation of one metric over time")
def get_timeseries(query: Annotated[SeriesQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """Return at most 300 buckets per group; the range is the last 24 hours unless given."""
    wanted = query.to_request(services.clock())
    with services.db.read() as tx:
        series = load_series(tx, caller.project, wanted)
    return json_response({"metric": query.metric, "agg": query.agg, **series})
