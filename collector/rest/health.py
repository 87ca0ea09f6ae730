"""Whether the process lives, whether it works, and its metrics. These three need no key and show no traffic."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from collector.rest.dependencies import WithServices, json_response

router = APIRouter(tags=["health"])
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/healthz", summary="200 whenever the process answers")
def get_health() -> Response:
    """Say that the process is alive; nothing is checked."""
    return json_response({"alive": True})


@router.get("/readyz", summary="200 only when traffic is accepted and scored, else 503 with the reasons")
def get_readiness(services: WithServices) -> Response:
    """Say whether traffic would be accepted and scored now."""
    reasons = services.readiness()
    return json_response({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


@router.get("/metrics", summary="Prometheus metrics")
def get_metrics(services: WithServices) -> Response:
    """Return the process's own metrics in Prometheus text format."""
    return Response(services.metrics.render(), media_type=METRICS_TYPE)
