"""``/datasets``: the manifests of data sets that were exported, and the training runs people ask for."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.datasets.store import list_datasets
from collector.rest.dependencies import ActionHandler, Reader, WithServices, actor_of, json_response, page_response
from collector.rest.idempotency import IdempotentRoute
from collector.rest.queries.actions import action_to_json
from collector.rest.strict import confirm, require_log
from custodes.db import ReadTx
from custodes.kernel.errors import NotFoundError
from policies.actions.proposals import propose_training

router = APIRouter(tags=["datasets"], route_class=IdempotentRoute)


class TrainBody(BaseModel):
    """Where to train: an adapter that starts jobs, and what it needs."""

    model_config = ConfigDict(extra="forbid")
    target: dict[str, str] = Field(min_length=1, max_length=16)


@router.get("/datasets", summary="Manifests of data sets, newest first")
def get_datasets(caller: Reader, services: WithServices) -> Response:
    """List the project's data sets."""
    with services.db.read() as tx:
        return page_response(list_datasets(tx, caller.project), None)


@router.get("/datasets/{dataset_id}", summary="The manifest of one data set")
def get_dataset(dataset_id: str, caller: Reader, services: WithServices) -> Response:
    """Return one manifest."""
    with services.db.read() as tx:
        return json_response(require_dataset(tx, caller.project, dataset_id))


@router.post("/datasets/{dataset_id}/train", status_code=201, summary="Propose a training run (strict audit)")
def post_training(dataset_id: str, body: TrainBody, caller: ActionHandler, services: WithServices) -> Response:
    """Ask for a training run; somebody else has to agree, under ``/actions``."""
    require_log(services)
    with services.db.read() as tx:
        found = require_dataset(tx, caller.project, dataset_id)
    named = {name: str(found[name]) for name in ("id", "sha256", "format")}
    made, intake_id = propose_training(
        services.db, caller.project, named, body.target, actor_of(caller), services.clock()
    )
    return json_response({**action_to_json(made), "audit": confirm(services, intake_id).to_json()}, 201)


def require_dataset(tx: ReadTx, project: str, dataset_id: str) -> dict[str, object]:
    """Return the manifest of a data set; raise ``NotFoundError`` when the project has none of that id."""
    found = list_datasets(tx, project, dataset_id=dataset_id)
    if not found:
        raise NotFoundError(f"no data set {dataset_id[:64]!r} in project {project}")
    return found[0]
