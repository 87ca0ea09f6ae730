"""What people do with incidents and silences. Each call is one unit of work with timeline entry and audit event.

``expected`` is the revision the caller has seen; where the object has moved on since, ``StaleError`` is raised and
nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from custodes.db import Database, WriteTx
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.errors import ConflictError, InvalidInputError, StaleError
from custodes.kernel.ids import new_uuid7
from policies.actors import Actor, record
from policies.approval_store import Approval, insert_approval
from policies.conduct import Conduct, Review
from policies.decision_store import list_notified
from policies.groups import make_group
from policies.incident_store import (
    IncidentEvent,
    RegulatorClock,
    insert_incident,
    insert_incident_event,
    insert_silence,
    put_clock,
    report_clock,
    require_incident,
    require_silence,
    update_incident,
    update_silence,
)
from policies.incidents import (
    MAX_SUMMARY_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    Incident,
    Label,
    acknowledge_incident,
    assign_incident,
    change_severity,
    label_incident,
    mute_incident,
    resolve_incident,
    unmute_incident,
)
from policies.notices import Notice, send_notices
from policies.rules.duration import parse_duration
from policies.silences import Silence, check_silence
from policies.tending import escalate

MAX_NOTE_CHARACTERS = 4_000
KEEP: Any = object()
"""Stands for a field that is not to change."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a person says has happened, for an incident that no policy opened."""

    title: str
    summary: str
    severity: str
    labels: Mapping[str, str]
    policy_id: str = ""
    from_ns: int | None = None


def report_incident(db: Database, project_id: str, report: Report, actor: Actor, now_ns: int) -> Incident:
    """Open an incident by hand: harm that no policy noticed, which is what recall is measured by."""
    opened_ns = now_ns if report.from_ns is None else report.from_ns
    if opened_ns > now_ns:
        raise InvalidInputError("an incident cannot begin in the future")
    incident_id = new_uuid7(now_ns)
    incident = Incident(
        incident_id,
        project_id,
        report.policy_id,
        "",
        make_group(dict(report.labels)),
        report.severity,
        "new",
        report.title[:MAX_TITLE_CHARACTERS],
        report.summary[:MAX_SUMMARY_CHARACTERS],
        opened_ns,
        now_ns,
        origin="person",
        lead_id=incident_id,
        episode_ns=opened_ns,
        notified_ns=now_ns,
    )
    with db.write() as tx:
        insert_incident(tx, incident)
        body = {"severity": incident.severity, "summary": incident.summary}
        insert_incident_event(tx, IncidentEvent(incident_id, opened_ns, "opened", actor.name, body))
        record(
            tx, actor, "incident.opened", f"incident/{incident_id}", {"severity": incident.severity}, project_id, now_ns
        )
    return incident


def acknowledge(
    db: Database,
    project_id: str,
    incident_id: str,
    actor: Actor,
    now_ns: int,
    expected: int | None,
    *,
    console_url: str = "",
) -> Incident:
    """Take an incident over: it no longer escalates or repeats itself, and paging services are told so."""
    with db.write() as tx:
        incident = _lock(tx, project_id, incident_id, expected)
        changed = acknowledge_incident(incident, actor.name, now_ns)
        update_incident(tx, changed)
        _leave_trace(tx, changed, "acknowledged", {"was": incident.state}, actor, now_ns)
        endpoints = list_notified(tx, project_id, incident_id)
        notices = [Notice(one, "incident.acknowledged", changed) for one in endpoints]
        send_notices(tx, notices, console_url=console_url, now_ns=now_ns)
        return changed


def mute(
    db: Database,
    project_id: str,
    incident_id: str,
    until_ns: int,
    reason: str,
    actor: Actor,
    now_ns: int,
    expected: int | None,
) -> Incident:
    """Keep an incident quiet until a time. Its policy goes on being evaluated, and it is resolved as ever."""
    _require_reason(reason)
    body = {"until": ns_to_rfc3339(until_ns), "reason": reason}
    return _change(
        db,
        project_id,
        incident_id,
        actor,
        now_ns,
        expected,
        "muted",
        lambda incident: (mute_incident(incident, until_ns, now_ns), {"was": incident.state, **body}),
    )


def unmute(
    db: Database, project_id: str, incident_id: str, actor: Actor, now_ns: int, expected: int | None
) -> Incident:
    """End a mute early."""
    return _change(
        db,
        project_id,
        incident_id,
        actor,
        now_ns,
        expected,
        "unmuted",
        lambda incident: (unmute_incident(incident, now_ns), {}),
    )


def resolve_by_hand(
    db: Database, project_id: str, incident_id: str, reason: str, actor: Actor, now_ns: int, expected: int | None
) -> Incident:
    """Resolve an incident that a person opened; one of a policy resolves when the policy says so."""
    _require_reason(reason)

    def change(incident: Incident) -> tuple[Incident, dict[str, Any]]:
        if incident.origin != "person":
            raise ConflictError(
                f"incident {incident.id} belongs to a policy, which resolves it when it is clear; mute it meanwhile"
            )
        return resolve_incident(incident, reason, now_ns), {"reason": reason, "was": incident.state}

    return _change(db, project_id, incident_id, actor, now_ns, expected, "resolved", change)


def escalate_by_hand(
    db: Database,
    project_id: str,
    incident_id: str,
    reason: str,
    actor: Actor,
    now_ns: int,
    conduct: Conduct,
    expected: int | None,
) -> Incident:
    """Ask for more help: the incident's receivers are told that it escalates."""
    _require_reason(reason)
    with db.write() as tx:
        incident = _lock(tx, project_id, incident_id, expected)
        changed = escalate(tx, incident, actor.name, actor.role, reason, now_ns)
        endpoints = list_notified(tx, project_id, incident_id)
        notices = [Notice(one, "incident.escalated", changed) for one in endpoints]
        send_notices(tx, notices, console_url=conduct.console_url, now_ns=now_ns)
        return changed


def edit_incident(
    db: Database,
    project_id: str,
    incident_id: str,
    actor: Actor,
    now_ns: int,
    expected: int | None,
    *,
    assignee: str | None = KEEP,
    severity: str = KEEP,
    label: Label | None = KEEP,
) -> Incident:
    """Change who looks after an incident, how severe it is, or whether it was a true alarm."""
    edits: list[tuple[str, dict[str, Any], Callable[[Incident], Incident]]] = []
    if assignee is not KEEP:
        edits.append(("assigned", {"to": assignee}, lambda one: assign_incident(one, assignee, now_ns)))
    if severity is not KEEP:
        edits.append(("severity", {"to": severity}, lambda one: change_severity(one, severity, now_ns)))
    if label is not KEEP:
        edits.append(("labelled", {"as": label}, lambda one: label_incident(one, label, actor.name, now_ns)))
    if not edits:
        raise InvalidInputError("nothing to change: give assignee, severity or label")
    with db.write() as tx:
        incident = _lock(tx, project_id, incident_id, expected)
        for kind, body, edit in edits:
            changed = edit(incident)
            before = getattr(incident, {"assigned": "assignee", "labelled": "label"}.get(kind, kind))
            was = {} if before is None else {"was": before}
            update_incident(tx, changed)
            _leave_trace(tx, changed, kind, {**was, **body}, actor, now_ns)
            incident = changed
        return incident


def add_note(
    db: Database, project_id: str, incident_id: str, text: str, actor: Actor, now_ns: int, expected: int | None = None
) -> Incident:
    """Add a person's words to the timeline. The audit log records that, not what: notes may name people."""
    if not 1 <= len(text.strip()) <= MAX_NOTE_CHARACTERS:
        raise InvalidInputError(f"a note has 1 to {MAX_NOTE_CHARACTERS} characters")
    with db.write() as tx:
        incident = _lock(tx, project_id, incident_id, expected)
        changed = replace(incident, updated_ns=now_ns, revision=incident.revision + 1)
        update_incident(tx, changed)
        insert_incident_event(tx, IncidentEvent(incident_id, now_ns, "note", actor.name, {"text": text.strip()}))
        record(tx, actor, "incident.noted", f"incident/{incident_id}", {}, project_id, now_ns)
        return changed


def start_clock(
    db: Database,
    project_id: str,
    incident_id: str,
    name: str,
    aware_ns: int,
    known: Mapping[str, int],
    actor: Actor,
    now_ns: int,
) -> RegulatorClock:
    """Start the clock of a duty to report, from when people became aware. ``known`` maps names to their time in ns."""
    if name not in known:
        raise InvalidInputError(f"unknown clock {name[:64]!r}; known are {', '.join(known)}")
    if aware_ns > now_ns:
        raise InvalidInputError("nobody can have become aware in the future")
    with db.write() as tx:
        incident = require_incident(tx, project_id, incident_id, lock=True)
        clock = RegulatorClock(incident_id, name, aware_ns, aware_ns + known[name], actor.name)
        put_clock(tx, clock)
        body = {"name": name, "aware_at": ns_to_rfc3339(aware_ns), "due_at": ns_to_rfc3339(clock.due_ns)}
        _leave_trace(tx, incident, "clock", body, actor, now_ns)
        return clock


def stop_clock(db: Database, project_id: str, incident_id: str, name: str, actor: Actor, now_ns: int) -> None:
    """Note that a duty to report was done."""
    with db.write() as tx:
        incident = require_incident(tx, project_id, incident_id, lock=True)
        report_clock(tx, incident_id, name, actor.name, now_ns)
        _leave_trace(tx, incident, "reported", {"name": name}, actor, now_ns)


def read_clocks(written: Sequence[str]) -> dict[str, int]:
    """Return the clocks of a setting written like ``gdpr-breach=72h``; raise ``InvalidInputError`` for others."""
    clocks = {}
    for one in written:
        name, separator, duration = one.partition("=")
        try:
            clocks[name.strip()] = parse_duration(duration.strip())
        except ValueError as error:
            raise InvalidInputError(f"CUSTODES_POLICY__REGULATOR_CLOCKS: {one!r}: {error}") from error
        if not separator or not name.strip():
            raise InvalidInputError(f"CUSTODES_POLICY__REGULATOR_CLOCKS: write name=time, not {one!r}")
    return clocks


# Silences


def add_silence(
    db: Database,
    project_id: str,
    matchers: Mapping[str, str],
    reason: str,
    starts_ns: int,
    ends_ns: int,
    actor: Actor,
    now_ns: int,
    review: Review,
) -> Silence:
    """Keep the receivers of matching incidents quiet for a time. Severe ones stay loud until somebody else agrees."""
    check_silence(matchers, reason, starts_ns, ends_ns, now_ns)
    made = Silence(
        new_uuid7(now_ns),
        project_id,
        dict(matchers),
        reason.strip(),
        actor.name,
        now_ns,
        starts_ns,
        ends_ns,
        waived=actor.waived or not review.four_eyes,
    )
    with db.write() as tx:
        insert_silence(tx, made)
        _record_silence(tx, "silence.created", made, actor, now_ns, matchers=dict(matchers), reason=made.reason)
    return made


def approve_silence(
    db: Database, project_id: str, silence_id: str, comment: str, actor: Actor, now_ns: int, expected: int | None = None
) -> tuple[Silence, int]:
    """Agree, as a second person, that severe incidents stay quiet too; return it and the event's intake number."""
    with db.write() as tx:
        found = require_silence(tx, project_id, silence_id, lock=True)
        _require_revision(found.revision, expected, f"silence {silence_id}")
        if found.state(now_ns) == "ended":
            raise ConflictError(f"silence {silence_id} is over")
        if found.covers_severe:
            raise ConflictError(f"silence {silence_id} holds for severe incidents already")
        if actor.name == found.author:
            raise ConflictError(f"{actor.name} made this silence; somebody else has to approve it")
        given = Approval(
            new_uuid7(now_ns), project_id, "silence", silence_id, found.author, actor.name, "approved", comment, now_ns
        )
        insert_approval(tx, given)
        changed = replace(found, approver=actor.name, revision=found.revision + 1)
        update_silence(tx, changed)
        return changed, _record_silence(tx, "silence.approved", changed, actor, now_ns, author=found.author)


def end_silence(
    db: Database, project_id: str, silence_id: str, actor: Actor, now_ns: int, expected: int | None = None
) -> Silence:
    """End a silence now; what it kept quiet and is still open is told at the next evaluation."""
    with db.write() as tx:
        found = require_silence(tx, project_id, silence_id, lock=True)
        _require_revision(found.revision, expected, f"silence {silence_id}")
        if found.state(now_ns) == "ended":
            raise ConflictError(f"silence {silence_id} is over already")
        changed = replace(found, ended_ns=now_ns, ended_by=actor.name, revision=found.revision + 1)
        update_silence(tx, changed)
        _record_silence(tx, "silence.ended", changed, actor, now_ns)
        return changed


def _change(
    db: Database,
    project_id: str,
    incident_id: str,
    actor: Actor,
    now_ns: int,
    expected: int | None,
    kind: str,
    change: Callable[[Incident], tuple[Incident, dict[str, Any]]],
) -> Incident:
    with db.write() as tx:
        incident = _lock(tx, project_id, incident_id, expected)
        changed, body = change(incident)
        update_incident(tx, changed)
        _leave_trace(tx, changed, kind, body, actor, now_ns)
        return changed


def _lock(tx: WriteTx, project_id: str, incident_id: str, expected: int | None) -> Incident:
    incident = require_incident(tx, project_id, incident_id, lock=True)
    _require_revision(incident.revision, expected, f"incident {incident_id}")
    return incident


def _require_revision(revision: int, expected: int | None, what: str) -> None:
    if expected is not None and expected != revision:
        raise StaleError(f"{what} is at revision {revision}, not {expected}; read it again")


def _require_reason(reason: str) -> None:
    if not 3 <= len(reason.strip()) <= 1000:
        raise InvalidInputError("a reason has 3 to 1000 characters")


def _leave_trace(
    tx: WriteTx, incident: Incident, kind: str, body: Mapping[str, Any], actor: Actor, now_ns: int
) -> None:
    insert_incident_event(tx, IncidentEvent(incident.id, now_ns, kind, actor.name, body))
    record(tx, actor, f"incident.{kind}", f"incident/{incident.id}", body, incident.project_id, now_ns)


def _record_silence(tx: WriteTx, action: str, silence: Silence, actor: Actor, now_ns: int, **data: Any) -> int:
    facts = {"until": ns_to_rfc3339(silence.ends_ns), **data}
    return record(tx, actor, action, f"silence/{silence.id}", facts, silence.project_id, now_ns)
