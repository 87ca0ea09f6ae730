"""``GET /me``: who the caller is."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from collector.rest.dependencies import Caller, json_response
from custodes import __version__

router = APIRouter(tags=["me"])


@router.get("/me", summary="The caller, as the audit log will name it")
def get_me(caller: Caller) -> Response:
    """Return the caller's name, project and roles."""
    return json_response(
        {
            "actor": caller.actor,
            "project": caller.project,
            "role": caller.role,
            "roles": list(caller.roles),
            "dev": caller.dev,
            "version": __version__,
        }
    )
