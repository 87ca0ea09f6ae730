"""``/endpoints``: where webhooks go."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.auth import Principal
from collector.rest.dependencies import EndpointReader, EndpointWriter, WithServices, json_response, page_response
from collector.rest.queries.endpoints import remove_endpoint
from collector.rest.strict import confirm, require_log
from collector.services import Services
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.errors import ConflictError
from policies.actors import Actor
from policies.endpoints import EndpointChange, list_project_endpoints, put_endpoint
from policies.hooks.store import Endpoint, find_endpoint

router = APIRouter(tags=["endpoints"])


class NewEndpoint(BaseModel):
    """A receiver of webhooks; ``id`` is the name policies use."""

    model_config = ConfigDict(extra="forbid")
    id: str = Field(pattern=r"^[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9])?$")
    url: str = Field(min_length=1, max_length=2048)


@router.get("/endpoints", summary="Webhook receivers, without their secrets")
def get_endpoints(caller: EndpointReader, services: WithServices) -> Response:
    """List the project's receivers by name."""
    found = list_project_endpoints(services.db, caller.project)
    return page_response([_endpoint_to_json(one) for one in found], None)


@router.post("/endpoints", status_code=201, summary="Create a webhook receiver (strict audit)")
def post_endpoint(body: NewEndpoint, caller: EndpointWriter, services: WithServices) -> Response:
    """Return the new receiver; ``secret`` signs its webhooks and is shown this once."""
    require_log(services)
    change = _create(services, caller, body)
    place = confirm(services, change.intake_id)
    shown = _endpoint_to_json(change.endpoint)
    return json_response({**shown, "secret": change.endpoint.secret, "audit": place.to_json()}, 201)


@router.delete("/endpoints/{endpoint_id}", summary="Remove a webhook receiver (strict audit)")
def delete_endpoint(endpoint_id: str, caller: EndpointWriter, services: WithServices) -> Response:
    """Remove a receiver; messages that still wait for it are given up."""
    require_log(services)
    with services.db.write() as tx:
        intake_id = remove_endpoint(tx, caller.project, endpoint_id, _actor(caller), services.clock())
    return json_response({"id": endpoint_id, "audit": confirm(services, intake_id).to_json()})


def _create(services: Services, caller: Principal, body: NewEndpoint) -> EndpointChange:
    """Store a new receiver; one that exists is a ``ConflictError``, since overwriting it would redirect its alarms."""
    with services.db.read() as tx:
        if find_endpoint(tx, caller.project, body.id) is not None:
            raise ConflictError(f"endpoint {body.id!r} exists already; delete it first, or take another name")
    return put_endpoint(
        services.db,
        project_id=caller.project,
        endpoint_id=body.id,
        url=body.url,
        secret=None,
        actor=_actor(caller),
        now_ns=services.clock(),
    )


def _actor(caller: Principal) -> Actor:
    return Actor(caller.actor, caller.role)


def _endpoint_to_json(one: Endpoint) -> dict[str, Any]:
    return {
        "id": one.id,
        "url": one.url,
        "state": one.state,
        "disabled_reason": one.disabled_reason,
        "created_at": ns_to_rfc3339(one.created_ns),
    }
