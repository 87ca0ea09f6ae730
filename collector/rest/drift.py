"""``/drift``: what is watched for drift, what was found, what counts as usual, and Evidently's reports about it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi import Query as QueryParameters
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.auth import Principal
from collector.datasets.store import read_members
from collector.rest.dependencies import (
    Approver,
    Expected,
    IncidentHandler,
    Reader,
    WithServices,
    actor_of,
    json_response,
    page_response,
    revision_response,
)
from collector.rest.idempotency import IdempotentRoute
from collector.rest.parameters import Query, RangeQuery, parse_time
from collector.rest.queries.drift import (
    DriftFilter,
    list_episodes,
    list_monitors,
    list_points,
    list_reports,
    read_episode,
    read_report,
    reference_to_json,
    request_report,
)
from collector.rest.strict import confirm, require_log
from collector.services import Services
from custodes.db import ReadTx
from custodes.kernel.clock import DAY_NS
from custodes.kernel.errors import InvalidInputError
from custodes.kernel.ids import new_uuid7
from policies.actors import record
from policies.drift_references import judge_reference, pin_exchanges, propose_reference
from policies.store_drift_references import list_references

router = APIRouter(tags=["drift"], route_class=IdempotentRoute)

Name = Annotated[str, Field(min_length=1, max_length=256, pattern="^[^\\x00]+$")]
Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
_COURSE_NS = 7 * DAY_NS
# What Evidently makes is a page with scripts of its own: nothing it holds may act with this site's rights.
_SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
)


class MonitorsQuery(Query):
    """Which monitors; what is left out does not restrict."""

    service: Name | None = None
    deployment: Name | None = None
    monitor: Name | None = None
    state: Literal["drift", "watching", "learning", "damaged"] | None = None


class EpisodesQuery(Query):
    """Which stretches of drift; what is left out does not restrict."""

    service: Name | None = None
    deployment: Name | None = None
    monitor: Name | None = None
    state: Literal["standing", "ended"] | None = None


class CourseQuery(RangeQuery):
    """One monitor, numbered as ``GET /drift`` numbers it; the last seven days unless a range is given."""

    monitor_id: Number


class PlaceQuery(Query):
    """One deployment, or all."""

    place_id: Number | None = None


class ReportQuery(Query):
    """The reports of one stretch of drift, or all."""

    episode_id: Name | None = None


class Source(BaseModel):
    """What is to count as usual: the next exchanges, those of a period, or pinned ones, by ids or by a data set."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    kind: Literal["first", "period", "pinned"] = "first"
    begins: str | None = Field(default=None, alias="from", max_length=64)
    ends: str | None = Field(default=None, alias="to", max_length=64)
    exchanges: list[Annotated[str, Field(pattern="^[0-9a-f]{48}$")]] | None = Field(default=None, max_length=12_288)
    dataset: Name | None = None


class NewReference(BaseModel):
    """Which deployment, what is to count as usual there, and why the change is expected."""

    model_config = ConfigDict(extra="forbid")
    place_id: Number
    reason: str = Field(min_length=10, max_length=1000, pattern="^[^\\x00]+$")
    source: Source = Source()


class VerdictBody(BaseModel):
    """What the second person has to say."""

    model_config = ConfigDict(extra="forbid")
    comment: str = Field("", max_length=1000)


class NewReport(BaseModel):
    """Which monitor of embeddings, and for which stretch of drift, if any."""

    model_config = ConfigDict(extra="forbid")
    monitor_id: Number
    episode_id: Name | None = None


@router.get("/drift", summary="Drift monitors: what drifts first, each with its statistic and alarm line")
def get_drift(query: Annotated[MonitorsQuery, QueryParameters()], caller: Reader, services: WithServices) -> Response:
    """Return every monitor, and what is promised about false alarms."""
    wanted = DriftFilter(query.service, query.deployment, query.monitor, query.state)
    with services.db.read() as tx:
        rows = list_monitors(tx, caller.project, wanted)
    rules = services.settings.drift
    promised = {
        "enabled": rules.enabled,
        "exchanges_per_false_alarm": rules.exchanges_per_false_alarm,
        "reference_exchanges": rules.reference_exchanges,
    }
    return json_response({"rules": promised, "rows": rows})


@router.get("/drift/course", summary="One monitor's statistic over time, against its alarm line")
def get_course(query: Annotated[CourseQuery, QueryParameters()], caller: Reader, services: WithServices) -> Response:
    """Return at most the newest 1,000 minutes of the range."""
    span = query.to_range(services.clock(), default_ns=_COURSE_NS)
    with services.db.read() as tx:
        return json_response({"points": list_points(tx, caller.project, query.monitor_id, span)})


@router.get("/drift/episodes", summary="Stretches of drift, newest first")
def get_episodes(
    query: Annotated[EpisodesQuery, QueryParameters()], caller: Reader, services: WithServices
) -> Response:
    """Return at most 200, without their explanations."""
    wanted = DriftFilter(query.service, query.deployment, query.monitor, query.state)
    with services.db.read() as tx:
        return page_response(list_episodes(tx, caller.project, wanted), None)


@router.get("/drift/episodes/{episode_id}", summary="One stretch of drift with its explanation, map and reports")
def get_episode(episode_id: str, caller: Reader, services: WithServices) -> Response:
    """Return ids and numbers, never text: exchanges are read, and revealed, one by one."""
    with services.db.read() as tx:
        return json_response(read_episode(tx, caller.project, episode_id))


@router.get("/drift/references", summary="Versions of what counts as usual, newest first")
def get_references(query: Annotated[PlaceQuery, QueryParameters()], caller: Reader, services: WithServices) -> Response:
    """List the versions of one deployment, or of all."""
    with services.db.read() as tx:
        found = list_references(tx, caller.project, place_id=query.place_id)
    return page_response([reference_to_json(one) for one in found], None)


@router.post("/drift/references", status_code=201, summary="Say that a change is expected (strict audit)")
def post_reference(body: NewReference, caller: IncidentHandler, services: WithServices) -> Response:
    """Ask that something else counts as usual; it does once somebody else has approved."""
    require_log(services)
    source = _read_source(services, caller, body.source)
    actor = actor_of(caller)
    made, intake_id = propose_reference(
        services.db, caller.project, body.place_id, source, body.reason, actor, services.clock()
    )
    return revision_response({**reference_to_json(made), "audit": confirm(services, intake_id).to_json()}, 201)


@router.post("/drift/references/{reference_id}/approve", summary="Accept a change as expected (strict audit)")
def post_approval(
    reference_id: str, body: VerdictBody, caller: Approver, services: WithServices, expected: Expected
) -> Response:
    """Let every monitor of the deployment begin anew, and resolve what stands there."""
    return _judge(services, caller, reference_id, "approved", body.comment, expected)


@router.post("/drift/references/{reference_id}/reject", summary="Turn a proposed reference down (strict audit)")
def post_rejection(
    reference_id: str, body: VerdictBody, caller: Approver, services: WithServices, expected: Expected
) -> Response:
    """Leave what counts as usual as it is."""
    return _judge(services, caller, reference_id, "rejected", body.comment, expected)


@router.get("/drift/reports", summary="Evidently reports, newest first")
def get_reports(query: Annotated[ReportQuery, QueryParameters()], caller: Reader, services: WithServices) -> Response:
    """List reports without what they say."""
    with services.db.read() as tx:
        return page_response(list_reports(tx, caller.project, episode_id=query.episode_id), None)


@router.post("/drift/reports", status_code=202, summary="Ask for an Evidently report")
def post_report(body: NewReport, caller: IncidentHandler, services: WithServices) -> Response:
    """A worker makes it within a minute or so; ``GET /drift/reports`` says when it is ready."""
    now_ns = services.clock()
    report_id, actor = new_uuid7(now_ns), actor_of(caller)
    with services.db.write() as tx:
        request_report(tx, caller.project, body.monitor_id, body.episode_id, report_id, actor.name, now_ns)
        data = {"monitor_id": body.monitor_id, "episode_id": body.episode_id}
        record(tx, actor, "drift.report.requested", f"drift-report/{report_id}", data, caller.project, now_ns)
    return json_response({"id": report_id, "state": "requested"}, 202)


@router.get("/drift/reports/{report_id}/{form}", summary="One report as Evidently made it, as HTML or JSON")
def get_report(report_id: str, form: Literal["html", "json"], caller: Reader, services: WithServices) -> Response:
    """Return a file to keep; as a page it may run its own scripts and reach nothing."""
    with services.db.read() as tx:
        content = read_report(tx, caller.project, report_id, "html" if form == "html" else "body")
    headers = {"content-disposition": f'attachment; filename="drift-{report_id}.{form}"'}
    headers["content-security-policy"] = _SANDBOX
    return Response(content, media_type="text/html" if form == "html" else "application/json", headers=headers)


def _read_pinned(tx: ReadTx, project: str, asked: Source) -> dict[str, Any]:
    if asked.dataset is None:
        return {"kind": "pinned", "spans": pin_exchanges(tx, project, asked.exchanges or [])}
    members = read_members(tx, project, asked.dataset)
    if not members:
        raise InvalidInputError(f"there is no data set {asked.dataset} with exchanges")
    return {"kind": "pinned", "spans": pin_exchanges(tx, project, members), "dataset": asked.dataset}


def _read_source(services: Services, caller: Principal, asked: Source) -> dict[str, Any]:
    exchanges = services.settings.drift.reference_exchanges
    if asked.kind != "period" and (asked.begins is not None or asked.ends is not None):
        raise InvalidInputError("from and to go with kind: period")
    given = sum(one is not None for one in (asked.exchanges, asked.dataset))
    if given != (1 if asked.kind == "pinned" else 0):
        raise InvalidInputError("kind: pinned needs exchanges or a dataset, and nothing else has them")
    if asked.kind == "pinned":
        with services.db.read() as tx:
            return {**_read_pinned(tx, caller.project, asked), "exchanges": exchanges}
    if asked.kind == "period":
        now_ns = services.clock()
        if asked.begins is None:
            raise InvalidInputError("kind: period needs from, e.g. now-1d")
        from_ns = parse_time("from", asked.begins, now_ns)
        to_ns = parse_time("to", asked.ends or "now", now_ns)
        if from_ns >= to_ns:
            raise InvalidInputError("a period begins before it ends")
        return {"kind": "period", "from_ns": from_ns, "to_ns": to_ns, "exchanges": exchanges}
    return {"kind": "first", "exchanges": exchanges, "makers": []}


def _judge(
    services: Services,
    caller: Principal,
    reference_id: str,
    verdict: Literal["approved", "rejected"],
    comment: str,
    expected: int | None,
) -> Response:
    require_log(services)
    judged, intake_id = judge_reference(
        services.db,
        caller.project,
        reference_id,
        verdict,
        comment,
        actor_of(caller),
        services.clock(),
        expected,
        console_url=services.console_url,
    )
    return revision_response({**reference_to_json(judged), "audit": confirm(services, intake_id).to_json()})
