"""``/projects``: what everything else belongs to.

A key belongs to one project, and so does its power. Only the administrators of the server's own project, ``default``,
may create projects, and they get the first admin key of each, this once: from then on the new project manages itself.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.auth import (
    SERVER_PROJECT,
    CreatedKey,
    Principal,
    ProjectRecord,
    create_key,
    create_project,
    list_projects,
)
from collector.rest.dependencies import ProjectAdministrator, WithServices, json_response, page_response
from collector.rest.keys import key_to_json
from collector.rest.strict import confirm, require_log
from custodes.db import WriteTx
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.errors import PermissionError_

router = APIRouter(tags=["projects"])


class NewProject(BaseModel):
    """A project to create."""

    model_config = ConfigDict(extra="forbid")
    id: str = Field(max_length=200)


@router.get("/projects", summary="The projects the caller may see")
def get_projects(caller: ProjectAdministrator, services: WithServices) -> Response:
    """List every project to an administrator of the server, and to any other its own."""
    with services.db.read() as tx:
        found = [one for one in list_projects(tx) if caller.administers_server or one.id == caller.project]
    return page_response([_project_to_json(one) for one in found], None)


@router.post("/projects", status_code=201, summary="Create a project and its first admin key (strict audit)")
def post_project(body: NewProject, caller: ProjectAdministrator, services: WithServices) -> Response:
    """Return the new project; ``admin_key.secret`` is the text of its first key, shown this once."""
    _require_server_admin(caller)
    require_log(services)
    now_ns = services.clock()
    with services.db.write() as tx:
        made = _create(tx, caller, body.id, now_ns)
    place = confirm(services, made.intake_id)
    key = {**key_to_json(made.record), "secret": made.text}
    shown = _project_to_json(ProjectRecord(body.id, now_ns))
    return json_response({**shown, "admin_key": key, "audit": place.to_json()}, 201)


def _require_server_admin(caller: Principal) -> None:
    if not caller.administers_server:
        raise PermissionError_(
            f"an administrator of project {caller.project!r} may not create projects; "
            f"use an admin key of project {SERVER_PROJECT!r}, or custodes project create on the server",
            role=caller.role,
            needed=("admin",),
        )


def _create(tx: WriteTx, caller: Principal, project_id: str, now_ns: int) -> CreatedKey:
    create_project(tx, project_id, actor=caller.actor, actor_role=caller.role, now_ns=now_ns)
    return create_key(
        tx,
        project_id=project_id,
        role="admin",
        actor=caller.actor,
        actor_role=caller.role,
        now_ns=now_ns,
        note="first admin key",
    )


def _project_to_json(one: ProjectRecord) -> dict[str, Any]:
    return {"id": one.id, "created_at": ns_to_rfc3339(one.created_ns)}
