"""``/policies``: rules as versions. Authors submit, approvers and operators activate; every change is strict."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from collector.auth import Principal
from collector.rest.dependencies import Activator, Reader, Submitter, WithServices, json_response, page_response
from collector.rest.problems import finding_to_json
from collector.rest.queries.policies import list_policies, load_policy, version_to_json
from collector.rest.strict import confirm, require_log
from collector.services import Services
from custodes.kernel.errors import MalformedError, NotFoundError, UnsupportedError
from policies.check import lint_text
from policies.service import Actor, PolicyChange, activate_policy, retire_policy, submit_policy

router = APIRouter(tags=["policies"])
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
_YAML_BODY = {
    "requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}},
}


async def read_yaml(request: Request) -> str:
    """Return the body as text; raise ``UnsupportedError`` or ``MalformedError`` when it is no YAML text."""
    written = request.headers.get("content-type", "")
    if written.split(";", 1)[0].strip().lower() not in _YAML_TYPES:
        raise UnsupportedError(f"Content-Type {written[:100]!r} is not supported here; send application/yaml")
    try:
        return (await request.body()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("the policy is not UTF-8 text; save it as UTF-8") from error


PolicyText = Annotated[str, Depends(read_yaml)]


@router.get("/policies", summary="One row per policy with the state of its groups")
def get_policies(caller: Reader, services: WithServices) -> Response:
    """List policies by id."""
    with services.db.read() as tx:
        return page_response(list_policies(tx, caller.project), None)


@router.get("/policies/{policy_id}", summary="One policy with source and versions")
def get_policy(policy_id: str, caller: Reader, services: WithServices) -> Response:
    """Return one policy."""
    with services.db.read() as tx:
        found = load_policy(tx, caller.project, policy_id)
    if found is None:
        raise NotFoundError(f"no policy {policy_id[:128]!r} in project {caller.project}")
    return json_response(found)


@router.post(
    "/policies", status_code=201, summary="Submit a policy file as a draft (strict audit)", openapi_extra=_YAML_BODY
)
def post_policy(caller: Submitter, services: WithServices, text: PolicyText) -> Response:
    """Store a file that passes lint and its own tests; 200 when this very version was there already."""
    require_log(services)
    change = submit_policy(
        services.db,
        project_id=caller.project,
        text=text,
        filename="policy.yaml",
        actor=Actor(caller.actor, caller.role),
        now_ns=services.clock(),
    )
    findings = [finding_to_json(one) for one in lint_text(text, "policy.yaml")]
    row = _changed(services, change)
    return json_response({**row, "findings": findings}, 200 if change.intake_id is None else 201)


@router.post("/policies/{policy_id}/versions/{version}/activate", summary="Make a version active (strict audit)")
def post_activation(policy_id: str, version: str, caller: Activator, services: WithServices) -> Response:
    """Activate a version and retire the one before; activating the active version changes nothing."""
    require_log(services)
    change = activate_policy(services.db, policy_id=policy_id, version=version, **_who_and_when(services, caller))
    return json_response(_changed(services, change))


@router.post("/policies/{policy_id}/retire", summary="Stop evaluating a policy (strict audit)")
def post_retirement(policy_id: str, caller: Activator, services: WithServices) -> Response:
    """Retire the active version; its open incidents resolve with that reason."""
    require_log(services)
    change = retire_policy(services.db, policy_id=policy_id, **_who_and_when(services, caller))
    return json_response(_changed(services, change))


def _who_and_when(services: Services, caller: Principal) -> dict[str, Any]:
    return {
        "project_id": caller.project,
        "actor": Actor(caller.actor, caller.role),
        "now_ns": services.clock(),
        "console_url": services.console_url,
    }


def _changed(services: Services, change: PolicyChange) -> dict[str, Any]:
    """Return the row of a change, once its leaf is signed; ``audit`` is ``None`` when nothing changed."""
    audit = None if change.intake_id is None else confirm(services, change.intake_id).to_json()
    return {**version_to_json(change.version, {}), "audit": audit}
