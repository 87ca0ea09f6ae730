"""``/models``: the detectors that have scored traffic."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from collector.rest.dependencies import Reader, WithServices, page_response
from collector.rest.queries.detectors import list_detectors

router = APIRouter(tags=["models"])


@router.get("/models", summary="Detectors by name, version and weights digest")
def get_models(_: Reader, services: WithServices) -> Response:
    """List every detector that ever wrote a score, newest first."""
    with services.db.read() as tx:
        return page_response(list_detectors(tx), None)
