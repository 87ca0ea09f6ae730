"""``/incidents`` and ``/decisions``: what opened, what people did about it, and why."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.auth import Principal
from collector.rest.dependencies import (
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
from collector.rest.parameters import PageQuery, decode_cursor, parse_time
from collector.rest.queries.incidents import (
    IncidentFilter,
    find_incident,
    incident_to_json,
    list_decisions,
    list_incidents,
    load_incident_parts,
)
from collector.rest.queries.worst_traces import load_worst_traces
from collector.services import Services
from custodes.db import Database
from custodes.kernel.errors import InvalidInputError, NotFoundError
from policies import handling
from policies.actors import Actor
from policies.conduct import conduct_of
from policies.incidents import Incident
from policies.rules.duration import parse_duration

router = APIRouter(tags=["incidents"], route_class=IdempotentRoute)
Severity = Literal["low", "medium", "high", "critical"]
Reason = Annotated[str, Field(min_length=3, max_length=1000)]


class IncidentQuery(PageQuery):
    """``state`` selects (``open`` is all but resolved); the range is over the time of opening."""

    state: Literal["new", "acknowledged", "escalating", "muted", "regressed", "resolved", "open", "all"] = "all"
    policy: str | None = Field(None, max_length=128)
    severity: Severity | None = None
    assignee: str | None = Field(None, max_length=128)
    label: Literal["true_alarm", "false_alarm", "none"] | None = None


class DecisionQuery(PageQuery):
    """``policy`` selects the decisions of one policy."""

    policy: str | None = Field(None, max_length=128)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class NewIncident(_Body):
    """Harm that no policy noticed. ``from`` is when it began, now without it."""

    title: str = Field(min_length=3, max_length=256)
    summary: str = Field("", max_length=2000)
    severity: Severity
    group: dict[Literal["service", "environment", "deployment", "model"], str] = Field(default_factory=dict)
    policy: str = Field("", max_length=128)
    start: str | None = Field(None, alias="from")


class IncidentChange(_Body):
    """What is left out stays as it is; ``null`` takes assignee or label away."""

    assignee: str | None = Field(None, min_length=1, max_length=128)
    severity: Severity | None = None
    label: Literal["true_alarm", "false_alarm"] | None = None


class MuteBody(_Body):
    """``until`` is a time, or ``duration`` says how long, like ``4h``."""

    until: str | None = None
    duration: str | None = None
    reason: Reason


class ReasonBody(_Body):
    """Why."""

    reason: Reason


class NoteBody(_Body):
    """A person's words."""

    text: str = Field(min_length=1, max_length=handling.MAX_NOTE_CHARACTERS)


class ClockBody(_Body):
    """Which duty, and since when people know that it applies; now without ``aware_at``."""

    name: str = Field(min_length=1, max_length=64)
    aware_at: str | None = None


@router.get("/incidents", summary="Incidents, newest first")
def get_incidents(query: Annotated[IncidentQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """List incidents by the time they opened."""
    from_ns, to_ns = query.bounds(services.clock())
    after = decode_cursor(query.cursor, int, str)
    chosen = IncidentFilter(query.state, query.policy, query.severity, query.assignee, query.label, from_ns, to_ns)
    with services.db.read() as tx:
        rows, cursor = list_incidents(tx, caller.project, chosen, after=after, limit=query.limit)
    return page_response(rows, cursor)


@router.get("/incidents/{incident_id}", summary="One incident with everything that belongs to it")
def get_incident(incident_id: str, caller: Reader, services: WithServices) -> Response:
    """Return timeline, decisions, deliveries, clocks, audit leaves, the policy and the worst traces."""
    with services.db.read() as tx:
        row = find_incident(tx, caller.project, incident_id)
        if row is None:
            raise NotFoundError(f"no incident {incident_id[:64]!r} in project {caller.project}")
        parts = load_incident_parts(tx, row, services.clock())
        traces = load_worst_traces(tx, caller.project, row)
    return revision_response({**incident_to_json(row), **parts, "traces": traces})


@router.post("/incidents", status_code=201, summary="Report an incident that no policy noticed")
def post_incident(body: NewIncident, caller: IncidentHandler, services: WithServices) -> Response:
    """Open an incident by hand."""
    now_ns = services.clock()
    from_ns = None if body.start is None else parse_time("from", body.start, now_ns)
    labels = {str(name): value for name, value in body.group.items()}
    report = handling.Report(body.title, body.summary, body.severity, labels, body.policy, from_ns)
    opened = handling.report_incident(services.db, caller.project, report, actor_of(caller), now_ns)
    return _shown(services, opened, 201)


@router.patch("/incidents/{incident_id}", summary="Assign, label, or change the severity")
def patch_incident(
    incident_id: str, body: IncidentChange, caller: IncidentHandler, services: WithServices, expected: Expected
) -> Response:
    """Change who looks after an incident, how severe it is, or whether it was a true alarm."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    if changes.get("severity", "low") is None:
        raise InvalidInputError("an incident has a severity; choose low, medium, high or critical")
    changed = handling.edit_incident(*_act(services, caller, incident_id), expected, **changes)
    return _shown(services, changed)


@router.post("/incidents/{incident_id}/acknowledge", summary="Take an incident over")
def post_acknowledgement(
    incident_id: str, caller: IncidentHandler, services: WithServices, expected: Expected
) -> Response:
    """Take an incident over: it no longer escalates or repeats itself."""
    action = _act(services, caller, incident_id)
    return _shown(services, handling.acknowledge(*action, expected, console_url=services.console_url))


@router.post("/incidents/{incident_id}/mute", summary="Keep an incident quiet until a time")
def post_mute(
    incident_id: str, body: MuteBody, caller: IncidentHandler, services: WithServices, expected: Expected
) -> Response:
    """Keep an incident quiet; its policy goes on being evaluated."""
    db, project, named, actor, now_ns = _act(services, caller, incident_id)
    until_ns = _until(body, now_ns)
    return _shown(services, handling.mute(db, project, named, until_ns, body.reason, actor, now_ns, expected))


@router.post("/incidents/{incident_id}/unmute", summary="End a mute early")
def post_unmute(incident_id: str, caller: IncidentHandler, services: WithServices, expected: Expected) -> Response:
    """Return the incident to the state it had before."""
    return _shown(services, handling.unmute(*_act(services, caller, incident_id), expected))


@router.post("/incidents/{incident_id}/escalate", summary="Ask for more help")
def post_escalation(
    incident_id: str, body: ReasonBody, caller: IncidentHandler, services: WithServices, expected: Expected
) -> Response:
    """Tell the incident's receivers that it escalates."""
    db, project, named, actor, now_ns = _act(services, caller, incident_id)
    conduct = conduct_of(services.settings)
    changed = handling.escalate_by_hand(db, project, named, body.reason, actor, now_ns, conduct, expected)
    return _shown(services, changed)


@router.post("/incidents/{incident_id}/resolve", summary="Resolve an incident that a person opened")
def post_resolution(
    incident_id: str, body: ReasonBody, caller: IncidentHandler, services: WithServices, expected: Expected
) -> Response:
    """Resolve an incident that was reported by hand."""
    db, project, named, actor, now_ns = _act(services, caller, incident_id)
    return _shown(services, handling.resolve_by_hand(db, project, named, body.reason, actor, now_ns, expected))


@router.post("/incidents/{incident_id}/notes", status_code=201, summary="Add a note to the timeline")
def post_note(incident_id: str, body: NoteBody, caller: IncidentHandler, services: WithServices) -> Response:
    """Add a person's words; the audit log records that, not what."""
    db, project, named, actor, now_ns = _act(services, caller, incident_id)
    return _shown(services, handling.add_note(db, project, named, body.text, actor, now_ns), 201)


@router.post("/incidents/{incident_id}/clocks", status_code=201, summary="Start the clock of a duty to report")
def post_clock(incident_id: str, body: ClockBody, caller: IncidentHandler, services: WithServices) -> Response:
    """Start a clock from when people became aware."""
    db, project, named, actor, now_ns = _act(services, caller, incident_id)
    aware_ns = now_ns if body.aware_at is None else parse_time("aware_at", body.aware_at, now_ns)
    known = handling.read_clocks(services.settings.policy.regulator_clocks)
    handling.start_clock(db, project, named, body.name, aware_ns, known, actor, now_ns)
    return _clocks(services, caller, incident_id, 201)


@router.post("/incidents/{incident_id}/clocks/{name}/report", summary="Note that a duty to report was done")
def post_report(incident_id: str, name: str, caller: IncidentHandler, services: WithServices) -> Response:
    """Stop a clock."""
    db, project, named, actor, now_ns = _act(services, caller, incident_id)
    handling.stop_clock(db, project, named, name, actor, now_ns)
    return _clocks(services, caller, incident_id)


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


def _act(services: Services, caller: Principal, incident_id: str) -> tuple[Database, str, str, Actor, int]:
    """Return what every function of ``policies.handling`` begins with."""
    return services.db, caller.project, incident_id, actor_of(caller), services.clock()


def _until(body: MuteBody, now_ns: int) -> int:
    if (body.until is None) == (body.duration is None):
        raise InvalidInputError("say until when, or for which duration: one of the two")
    if body.until is not None:
        return parse_time("until", body.until, now_ns)
    try:
        return now_ns + parse_duration(body.duration)
    except ValueError as error:
        raise InvalidInputError(f"duration: {error}") from error


def _shown(services: Services, incident: Incident, status: int = 200) -> Response:
    with services.db.read() as tx:
        row = find_incident(tx, incident.project_id, incident.id)
    return revision_response(incident_to_json(row), status)


def _clocks(services: Services, caller: Principal, incident_id: str, status: int = 200) -> Response:
    with services.db.read() as tx:
        row = find_incident(tx, caller.project, incident_id)
        parts = load_incident_parts(tx, row, services.clock())
    return json_response({"rows": parts["clocks"], "next_cursor": None}, status)
