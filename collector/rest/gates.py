"""``/gates/{deployment}``: whether a deployer may go on. It asks; the credentials to act stay with it.

Argo Rollouts reads the document (``jsonPath: "{$.verdict}"``); inconclusive pauses there for a human. Flagger and
scripts read the status with ``?http=1``. Flagger's hooks are POSTs, and to its ``rollback`` hook 2xx means "roll back":
hence ``?hook=rollback``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from collector.rest.dependencies import Reader, WithServices, json_response
from collector.rest.parameters import Query as QueryModel
from collector.rest.queries.gates import judge_deployment

router = APIRouter(tags=["gates"])


class GateQuery(QueryModel):
    """``http=1`` puts the verdict into the status; ``hook=rollback`` turns its sense round; ``policy`` speaks alone."""

    http: bool = False
    hook: Literal["gate", "rollback"] = "gate"
    policy: str | None = Field(None, max_length=128)


@router.get("/gates/{deployment}", summary="Whether a deployment may go on")
def get_gate(deployment: str, query: Annotated[GateQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """Return the verdict; with ``http=1`` 200 means go on (for ``hook=rollback``: roll back) and 409 does not."""
    with services.db.read() as tx:
        found = judge_deployment(tx, caller.project, deployment, query.policy, services.clock())
    wanted = "ok" if query.hook == "gate" else "fail"
    return json_response(found, 200 if not query.http or found["verdict"] == wanted else 409)


@router.post("/gates/{deployment}", summary="The same, for hooks that post")
def post_gate(
    deployment: str, query: Annotated[GateQuery, Query()], caller: Reader, services: WithServices
) -> Response:
    """Return the verdict as GET does; the body is not read, and nothing changes."""
    return get_gate(deployment, query, caller, services)
