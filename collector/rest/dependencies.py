"""What handlers ask for: the services, the caller with a permission, and the way an answer is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast

import orjson
from fastapi import Depends, Header
from starlette.requests import Request
from starlette.responses import Response

from collector.auth import Authenticator, Permission, Principal
from collector.services import Services
from custodes.kernel.errors import InvalidInputError
from policies.actors import Actor


def get_services(request: Request) -> Services:
    """Return the services of the application that serves this request."""
    return cast(Services, request.app.state.services)


def get_authenticator(request: Request) -> Authenticator:
    """Return what checks the keys of this application's callers."""
    return cast(Authenticator, request.app.state.authenticator)


def authenticate_request(request: Request) -> Principal:
    """Return who sent the request; raise ``AuthenticationError`` otherwise. May read the database."""
    client = request.client
    return get_authenticator(request).authenticate(request.headers, None if client is None else client.host)


def need(permission: Permission) -> Callable[[Principal], Principal]:
    """Return a dependency that gives the caller if it holds ``permission``."""

    def check(principal: Annotated[Principal, Depends(authenticate_request)]) -> Principal:
        principal.require(permission)
        return principal

    return check


def json_response(payload: Any, status: int = 200) -> Response:
    """Return ``payload`` as JSON. A number that is not finite becomes null, as orjson writes it."""
    return Response(orjson.dumps(payload), status, media_type="application/json")


def revision_response(payload: Mapping[str, Any], status: int = 200) -> Response:
    """Return an object as JSON, with its ``revision`` as the entity tag that ``If-Match`` takes."""
    response = json_response(payload, status)
    response.headers["etag"] = f'"{payload["revision"]}"'
    return response


def read_if_match(if_match: Annotated[str | None, Header(max_length=64)] = None) -> int | None:
    """Return the revision in ``If-Match``; ``None`` where the caller takes whatever is there."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInputError('If-Match is the ETag of an earlier answer, e.g. "3"')
    return int(text)


def actor_of(caller: Principal) -> Actor:
    """Return the caller as the audit log names it; the keyless caller of ``--dev`` needs nobody's approval."""
    return Actor(caller.actor, caller.role, waived=caller.dev)


def page_response(rows: list[dict[str, Any]], next_cursor: str | None) -> Response:
    """Return one page of a list."""
    return json_response({"rows": rows, "next_cursor": next_cursor})


Expected = Annotated[int | None, Depends(read_if_match)]
WithServices = Annotated[Services, Depends(get_services)]
WithAuthenticator = Annotated[Authenticator, Depends(get_authenticator)]
Caller = Annotated[Principal, Depends(authenticate_request)]
Ingester = Annotated[Principal, Depends(need("ingest"))]
Reader = Annotated[Principal, Depends(need("read"))]
Revealer = Annotated[Principal, Depends(need("reveal"))]
Submitter = Annotated[Principal, Depends(need("policy_submit"))]
Backtester = Annotated[Principal, Depends(need("policy_backtest"))]
Approver = Annotated[Principal, Depends(need("policy_approve"))]
Activator = Annotated[Principal, Depends(need("policy_activate"))]
IncidentHandler = Annotated[Principal, Depends(need("incident_write"))]
Silencer = Annotated[Principal, Depends(need("silence_write"))]
SilenceApprover = Annotated[Principal, Depends(need("silence_approve"))]
Reviewer = Annotated[Principal, Depends(need("review_write"))]
ActionApprover = Annotated[Principal, Depends(need("action_approve"))]
ActionHandler = Annotated[Principal, Depends(need("action_write"))]
ActionStopper = Annotated[Principal, Depends(need("action_stop"))]
Eraser = Annotated[Principal, Depends(need("erase"))]
EndpointReader = Annotated[Principal, Depends(need("endpoint_read"))]
EndpointWriter = Annotated[Principal, Depends(need("endpoint_write"))]
KeyAdministrator = Annotated[Principal, Depends(need("keys"))]
ProjectAdministrator = Annotated[Principal, Depends(need("projects"))]
PriceWriter = Annotated[Principal, Depends(need("prices"))]
AuditReader = Annotated[Principal, Depends(need("audit_read"))]
