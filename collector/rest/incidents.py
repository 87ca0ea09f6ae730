"""``/incidents`` and ``/decisions``."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from collector.rest.dependencies import Reader, WithServices, json_response, page_response
from collector.rest.parameters import PageQuery, decode_cursor
from collector.rest.queries.incidents import (
    find_incident,
    incident_to_json,
    list_decisions,
    list_incidents,
    load_incident_parts,
)
from collector.rest.queries.worst_traces import load_worst_traces
from custodes.kernel.errors import NotFoundError

router = APIRouter(tags=["incidents"])


class IncidentQuery(PageQuery):
    """``state`` selects; the range is over the time of opening."""

    state: Literal["new", "resolved", "all"] = "all"


class DecisionQuery(PageQuery):
    """``policy`` selects the decisions of one policy."""

    policy: str | None = Field(None, max_length=128)


@router.get("/incidents", summary="Incidents, newest first")
def get_incidents(query: Annotated[IncidentQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """List incidents by the time they opened."""
    from_ns, to_ns = query.bounds(services.clock())
    after = decode_cursor(query.cursor, int, str)
    state = None if query.state == "all" else query.state
    with services.db.read() as tx:
        rows, cursor = list_incidents(
            tx, caller.project, state=state, from_ns=from_ns, to_ns=to_ns, after=after, limit=query.limit
        )
    return page_response(rows, cursor)


@router.get("/incidents/{incident_id}", summary="One incident with everything that belongs to it")
def get_incident(incident_id: str, caller: Reader, services: WithServices) -> Response:
    """Return timeline, decisions, deliveries, audit leaves, the policy and the worst traces."""
    with services.db.read() as tx:
        row = find_incident(tx, caller.project, incident_id)
        if row is None:
            raise NotFoundError(f"no incident {incident_id[:64]!r} in project {caller.project}")
        parts = load_incident_parts(tx, row)
        return json_response({**incident_to_json(row), **parts, "traces": load_worst_traces(tx, caller.project, row)})


@router.get("/decisions", summary="Changes of policy state, newest first")
def get_decisions(query: Annotated[DecisionQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """List decisions with the values they were taken on."""
    from_ns, to_ns = query.bounds(services.clock())
    after = decode_cursor(query.cursor, int, str)
    with services.db.read() as tx:
        rows, cursor = list_decisions(
            tx, caller.project, policy=query.policy, from_ns=from_ns, to_ns=to_ns, after=after, limit=query.limit
        )
    return page_response(rows, cursor)
