"""``/fairness``: gaps between groups of people, their course, and beginning a comparison anew."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi import Query as QueryParameters
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.auth import Principal
from collector.rest.dependencies import Activator, Reader, WithServices, json_response
from collector.rest.parameters import Query, RangeQuery
from collector.rest.queries.fairness import GapFilter, GapKey, list_gaps, list_points
from collector.rest.strict import confirm, require_log
from collector.services import Services
from collector.store_fairness import Restarted, restart_panel
from custodes.kernel.clock import DAY_NS
from policies.audit.intake import append_event

router = APIRouter(tags=["fairness"])

Name = Annotated[str, Field(min_length=1, max_length=256, pattern="^[^\\x00]+$")]
State = Literal["gap", "withheld", "watching", "within_tolerance", "too_few_data"]
_COURSE_NS = 7 * DAY_NS


class GapsQuery(Query):
    """Which gaps; what is left out does not restrict."""

    service: Name | None = None
    deployment: Name | None = None
    outcome: Name | None = None
    group: Name | None = None
    state: State | None = None


class CourseQuery(RangeQuery):
    """One gap, named as ``GET /fairness`` names it; the last seven days unless a range is given."""

    segment_id: int = Field(ge=0, le=2**63 - 1)
    family: Name
    group: Name
    outcome: Name


class Restart(BaseModel):
    """Which comparison begins anew, and why."""

    model_config = ConfigDict(extra="forbid")
    segment_id: int = Field(ge=0, le=2**63 - 1)
    family: Name
    reason: str = Field(min_length=3, max_length=500, pattern="^[^\\x00]+$", description="Why, e.g. fixed in v9.")


@router.get("/fairness", summary="Gaps between groups: alarms first, with intervals and strata")
def get_fairness(query: Annotated[GapsQuery, QueryParameters()], caller: Reader, services: WithServices) -> Response:
    """Return the newest reading of every gap, and what is tolerated."""
    wanted = GapFilter(query.service, query.deployment, query.outcome, query.group, query.state)
    with services.db.read() as tx:
        rows = list_gaps(tx, caller.project, wanted)
    rules = services.settings.fairness
    tolerated = {
        "enabled": rules.enabled,
        "epsilon": rules.epsilon,
        "alpha": rules.alpha,
        "min_pairs": rules.min_pairs,
    }
    return json_response({"rules": tolerated, "rows": rows})


@router.get("/fairness/course", summary="One gap over time, with its confidence sequence")
def get_course(query: Annotated[CourseQuery, QueryParameters()], caller: Reader, services: WithServices) -> Response:
    """Return at most the newest 1,000 points of the range."""
    span = query.to_range(services.clock(), default_ns=_COURSE_NS)
    key = GapKey(query.segment_id, query.family, query.group, query.outcome)
    with services.db.read() as tx:
        return json_response({"points": list_points(tx, caller.project, key, span)})


@router.post("/fairness/restart", summary="Begin a comparison anew (strict audit)")
def post_restart(body: Restart, caller: Activator, services: WithServices) -> Response:
    """Forget the sums of one deployment's family of groups, end its alarms and resolve their incidents."""
    require_log(services)
    ended, intake_id = _restart(services, caller, body)
    audit = confirm(services, intake_id).to_json()
    return json_response({"alarms": ended.alarms, "incidents": list(ended.incidents), "audit": audit})


def _restart(services: Services, caller: Principal, body: Restart) -> tuple[Restarted, int]:
    now_ns, project = services.clock(), caller.project
    with services.db.write() as tx:
        ended = restart_panel(
            tx,
            project,
            body.segment_id,
            body.family,
            actor=caller.actor,
            reason=body.reason,
            now_ns=now_ns,
            console_url=services.console_url,
        )
        intake_id = append_event(
            tx,
            action="fairness.restarted",
            actor=caller.actor,
            role=caller.role,
            object=f"fairness/{body.segment_id}/{body.family}",
            data={"reason": body.reason, "alarms": ended.alarms, "incidents": list(ended.incidents)},
            at_ns=now_ns,
            project=project,
        )
    return ended, intake_id
