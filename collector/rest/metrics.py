"""``/metrics`` below the API: the GenAI metrics that clients and inference servers sent."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from collector.rest.dependencies import Reader, WithServices, json_response, page_response
from collector.rest.parameters import RangeQuery
from collector.rest.queries.metrics import MetricRequest, list_metrics, load_metric
from custodes.kernel.clock import HOUR_NS
from custodes.kernel.errors import InvalidInputError

router = APIRouter(tags=["metrics"])
MAX_GROUP_NAMES = 4


class MetricQuery(RangeQuery):
    """One metric over a range, the last hour unless given."""

    step: int | None = Field(None, ge=1, le=31 * 86_400, description="Seconds per bucket.")
    service: str | None = Field(None, max_length=256)
    group_by: str | None = Field(
        None, max_length=512, description="service or names of attributes, at most four, separated by commas."
    )

    def to_request(self, name: str, now_ns: int) -> MetricRequest:
        """Return the request, or raise ``InvalidInputError`` naming the parameter that makes no sense."""
        names = tuple(dict.fromkeys(part.strip() for part in (self.group_by or "").split(",") if part.strip()))
        if len(names) > MAX_GROUP_NAMES:
            raise InvalidInputError(f"group_by names {len(names)} attributes; at most {MAX_GROUP_NAMES}")
        return MetricRequest(name, self.to_range(now_ns, default_ns=HOUR_NS), self.step, self.service, names)


@router.get("/metrics", summary="The GenAI metrics that arrived")
def get_metrics(caller: Reader, services: WithServices) -> Response:
    """List metrics with their services and attributes."""
    with services.db.read() as tx:
        return page_response(list_metrics(tx, caller.project), None)


@router.get("/metrics/{name}", summary="One metric over time")
def get_metric(name: str, query: Annotated[MetricQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """Return figures per bucket and group: count, sum, mean, p50, p95 of distributions, else a value."""
    wanted = query.to_request(name, services.clock())
    with services.db.read() as tx:
        return json_response(load_metric(tx, caller.project, wanted))
