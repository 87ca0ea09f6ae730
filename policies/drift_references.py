""" "This change is expected": a new drift reference, asked for by one person and accepted by another.

Accepting one lets every monitor of the deployment begin anew, ends what stands there and resolves its incidents. Each
call is one unit of work with its audit event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from custodes.db import Database, ReadTx, WriteTx
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.errors import ConflictError, InvalidInputError, StaleError
from custodes.kernel.ids import new_uuid7
from policies.actors import Actor, record
from policies.approval_store import Approval, Verdict, insert_approval
from policies.incident_store import IncidentEvent, find_incident, insert_incident_event, update_incident
from policies.incidents import resolve_incident
from policies.notices import tell_end
from policies.store_drift_references import (
    DriftPlace,
    DriftReference,
    count_period,
    decide_reference,
    end_episodes,
    find_span_rows,
    insert_reference,
    list_references,
    next_version,
    require_place,
    require_reference,
    restart_monitors,
    supersede_references,
)

LEAST_EXCHANGES: Final = 64
MOST_PINNED: Final = 12_288


def propose_reference(
    db: Database,
    project_id: str,
    place_id: int,
    source: Mapping[str, Any],
    reason: str,
    actor: Actor,
    now_ns: int,
) -> tuple[DriftReference, int]:
    """Ask that something else counts as usual for a deployment; return the version and the event's intake number.

    ``source`` is as in :class:`DriftReference`, a pinned one as checked by :func:`pin_exchanges`. Raises
    ``InvalidInputError`` where it has too few exchanges, ``ConflictError`` while another version waits.
    """
    with db.write() as tx:
        place = require_place(tx, project_id, place_id, lock=True)
        _check_source(tx, place, source)
        waiting = list_references(tx, project_id, place_id=place_id, state="proposed")
        if waiting:
            raise ConflictError(f"version {waiting[0].version} waits for approval already; decide that one first")
        made = DriftReference(
            id=new_uuid7(now_ns),
            project_id=project_id,
            place_id=place_id,
            version=next_version(tx, place_id),
            state="proposed",
            source=dict(source),
            reason=reason,
            requested_by=actor.name,
            created_ns=now_ns,
            decided_by=None,
            decided_ns=None,
            revision=1,
        )
        insert_reference(tx, made)
        intake_id = _record(tx, "drift.reference.proposed", place, made, actor, now_ns, {"reason": reason})
    return made, intake_id


def judge_reference(
    db: Database,
    project_id: str,
    reference_id: str,
    verdict: Verdict,
    comment: str,
    actor: Actor,
    now_ns: int,
    expected: int | None = None,
    *,
    console_url: str,
) -> tuple[DriftReference, int]:
    """Accept a proposed version or turn it down, as somebody else than who asked; return it and the intake number.

    Whoever was told of an incident that is over thereby is told so, with links into ``console_url``.
    """
    with db.write() as tx:
        place = require_place(tx, project_id, require_reference(tx, project_id, reference_id).place_id, lock=True)
        found = require_reference(tx, project_id, reference_id)
        if expected is not None and expected != found.revision:
            raise StaleError(f"drift reference {reference_id} has changed; read it again")
        if found.state != "proposed":
            raise ConflictError(f"drift reference {reference_id} is {found.state}; nothing is left to decide")
        if actor.name == found.requested_by and not actor.waived:
            raise ConflictError(f"{actor.name} asked for this reference; somebody else has to decide")
        given = Approval(
            new_uuid7(now_ns),
            project_id,
            "drift",
            reference_id,
            found.requested_by,
            actor.name,
            verdict,
            comment,
            now_ns,
            waived=actor.name == found.requested_by,
        )
        insert_approval(tx, given)
        data: dict[str, Any] = {"requested_by": found.requested_by, "comment": comment}
        if verdict == "approved":
            data |= _put_into_force(tx, place, found, actor, console_url, now_ns)
        else:
            decide_reference(tx, found, "rejected", actor.name, now_ns)
        intake_id = _record(tx, f"drift.reference.{verdict}", place, found, actor, now_ns, data)
        return require_reference(tx, project_id, reference_id), intake_id


def pin_exchanges(tx: ReadTx, project_id: str, exchange_ids: Sequence[str]) -> list[int]:
    """Return the span rows of a pinned data set; raise ``InvalidInputError`` naming an exchange that is not there."""
    wanted = list(dict.fromkeys(exchange_ids))
    if not LEAST_EXCHANGES <= len(wanted) <= MOST_PINNED:
        raise InvalidInputError(f"a pinned reference has {LEAST_EXCHANGES} to {MOST_PINNED:,} different exchanges")
    found = find_span_rows(tx, project_id, wanted)
    missing = [one for one in wanted if one not in found]
    if missing:
        raise InvalidInputError(f"{len(missing)} of these exchanges are not stored, the first is {missing[0]}")
    return [found[one] for one in wanted]


def _check_source(tx: ReadTx, place: DriftPlace, source: Mapping[str, Any]) -> None:
    if source["kind"] == "period":
        count = count_period(tx, place, source["from_ns"], source["to_ns"])
        if count < LEAST_EXCHANGES:
            raise InvalidInputError(f"that period has {count} exchanges; a reference needs {LEAST_EXCHANGES}")


def _put_into_force(
    tx: WriteTx, place: DriftPlace, reference: DriftReference, actor: Actor, console_url: str, now_ns: int
) -> dict[str, Any]:
    supersede_references(tx, place.id)
    decide_reference(tx, reference, "active", actor.name, now_ns)
    monitors = restart_monitors(tx, place, reference.id, now_ns)
    reason = f"the change was accepted as expected: {reference.reason}"
    resolved = []
    for incident_id in end_episodes(tx, place.id, now_ns):
        found = find_incident(tx, place.project_id, incident_id, lock=True)
        if found is not None and found.is_open:
            over = resolve_incident(found, reason, now_ns)
            update_incident(tx, over)
            insert_incident_event(tx, IncidentEvent(incident_id, now_ns, "resolved", actor.name, {"reason": reason}))
            tell_end(tx, over, console_url=console_url, now_ns=now_ns)
            resolved.append(incident_id)
    return {"monitors": monitors, "incidents": resolved}


def source_to_json(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reference is made of, as the API and the audit log show it."""
    if source["kind"] == "period":
        return {"kind": "period", "from": ns_to_rfc3339(source["from_ns"]), "to": ns_to_rfc3339(source["to_ns"])}
    if source["kind"] == "pinned":
        named = {"dataset": source["dataset"]} if "dataset" in source else {}
        return {"kind": "pinned", "exchanges": len(source["spans"]), **named}
    return {"kind": "first", "exchanges": source["exchanges"]}


def _record(
    tx: WriteTx,
    action: str,
    place: DriftPlace,
    reference: DriftReference,
    actor: Actor,
    now_ns: int,
    data: Mapping[str, Any],
) -> int:
    where = {"service": place.service, "environment": place.environment, "deployment": place.deployment}
    told = {**where, "version": reference.version, "source": source_to_json(reference.source), **data}
    return record(tx, actor, action, f"drift-reference/{reference.id}", told, place.project_id, now_ns)
