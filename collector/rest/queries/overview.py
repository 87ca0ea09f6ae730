"""The overview: services worst first, totals, incidents, recent events and one sentence that sums it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from collector.rest.parameters import TimeRange
from collector.rest.queries.incidents import IncidentFilter, list_incidents
from collector.rest.queries.ledger import load_ledger
from collector.rest.queries.policy_status import PolicyStatus, load_policy_status
from collector.rest.queries.reach import load_open_reaches
from collector.rest.queries.services import describe_services, load_services
from custodes.db import ReadTx
from custodes.db.tables import incident, ingest_batch, outbox, policy_version, trace
from custodes.kernel.clock import ns_to_rfc3339

MAX_OPEN_INCIDENTS = 50
MAX_EVENTS = 20


def load_overview(tx: ReadTx, project: str, span: TimeRange, now_ns: int) -> dict[str, Any]:
    """Return everything the first page shows; an empty project gives an answer that says so."""
    last_ns = tx.execute(select(func.max(trace.c.start_ns)).where(trace.c.project_id == project)).scalar_one()
    policies = load_policy_status(tx, project)
    services = describe_services(load_services(tx, project, span), span, policies, load_open_reaches(tx, project))
    totals = _load_totals(tx, project, span)
    incidents, _ = list_incidents(tx, project, IncidentFilter("open"), limit=MAX_OPEN_INCIDENTS)
    return {
        "from": ns_to_rfc3339(span.from_ns),
        "to": ns_to_rfc3339(span.to_ns),
        "now": ns_to_rfc3339(now_ns),
        "last_trace_at": None if last_ns is None else ns_to_rfc3339(last_ns),
        "summary": summarise(services, totals, policies, last_ns),
        "totals": totals,
        "services": services,
        "open_incidents": incidents,
        "recent_events": _load_events(tx, project, span),
    }


def summarise(
    services: Sequence[Mapping[str, Any]], totals: Mapping[str, Any], policies: PolicyStatus, last_ns: int | None
) -> str:
    """Return one sentence that is true of the data and of nothing else."""
    if last_ns is None:
        return "No traces yet: point an OTLP exporter at /v1/traces on this server."
    busy = [one for one in services if one["exchanges"]]
    if not busy and not totals["exchanges"]:
        return f"No exchanges in this time range; the last trace started at {ns_to_rfc3339(last_ns)[:19]}Z."
    judged = totals["assessed"] + totals["not_assessed"]
    coverage = f"{_share(totals['assessed'], judged)} of them assessed" if judged else "none scored yet"
    traffic = f"{totals['exchanges']:,} exchanges, {coverage}"
    troubled = [one for one in services if one["status"] in ("firing", "pending")]
    if troubled:
        worst = troubled[0]
        verb = "an open incident" if worst["status"] == "firing" else "a condition that is about to raise an alarm"
        others = f" and {len(troubled) - 1} more" if len(troubled) > 1 else ""
        return f"{worst['service'] or 'An unnamed service'} has {verb}{others}; {traffic}."
    if not policies.active:
        return f"No policy is active, so nothing can raise an alarm; {traffic}."
    silent = sum(one["status"] == "no_data" for one in services)
    calm = f"{len(services) - silent} of {len(services)} services within every policy"
    return f"{calm}{f', {silent} without data' if silent else ''}; {traffic}."


def _share(part: int, whole: int) -> str:
    # Whole percents, but never "100 %" while something is missing, nor "0 %" while something is there.
    percent = part * 100 // whole
    return "under 1 %" if part and not percent else f"{percent} %"


def _load_totals(tx: ReadTx, project: str, span: TimeRange) -> dict[str, Any]:
    started = (trace.c.start_ns >= span.from_ns, trace.c.start_ns < span.to_ns)
    statement = select(func.count()).select_from(trace).where(trace.c.project_id == project, *started)
    traces = tx.execute(statement).scalar_one()
    ledger = load_ledger(tx, project, from_ns=span.from_ns, to_ns=span.to_ns)
    arrived = (ingest_batch.c.received_ns >= span.from_ns, ingest_batch.c.received_ns < span.to_ns)
    waiting = select(func.coalesce(func.sum(ingest_batch.c.exchanges), 0)).where(
        ingest_batch.c.state != "done", ingest_batch.c.project_id == project, *arrived
    )
    pending = int(tx.execute(waiting).scalar_one())
    return {
        "traces": traces,
        "exchanges": ledger.counts["assessed"] + ledger.counts["not_assessed"] + pending,
        "pending": pending,
        "assessed": ledger.counts["assessed"],
        "not_assessed": ledger.counts["not_assessed"],
        "not_assessed_reasons": dict(sorted(ledger.not_assessed.items())),
    }


def _load_events(tx: ReadTx, project: str, span: TimeRange) -> list[dict[str, Any]]:
    """Return what happened in the range, newest first: incidents, deliveries and policy changes."""
    found: list[tuple[int, str, str, str | None]] = []
    for column, kind in ((incident.c.opened_ns, "incident.opened"), (incident.c.resolved_ns, "incident.resolved")):
        rows = _newest(tx, project, incident, column, span)
        found += [(getattr(row, column.name), kind, row.title, row.id) for row in rows]
    for row in _newest(tx, project, outbox, outbox.c.delivered_ns, span):
        text = f"{row.event_type} delivered to {row.endpoint_id}"
        found.append((row.delivered_ns, "webhook.delivered", text, row.incident_id))
    times = ((policy_version.c.activated_ns, "policy.activated"), (policy_version.c.retired_ns, "policy.retired"))
    for column, kind in times:
        rows = _newest(tx, project, policy_version, column, span)
        found += [(getattr(row, column.name), kind, row.policy_id, None) for row in rows]
    newest = sorted(found, key=lambda one: (-one[0], one[1], one[2]))[:MAX_EVENTS]
    return [
        {"at": ns_to_rfc3339(at), "kind": kind, "text": text, "incident_id": about} for at, kind, text, about in newest
    ]


def _newest(tx: ReadTx, project: str, table: Any, column: Any, span: TimeRange) -> list[Any]:
    inside = (column >= span.from_ns, column < span.to_ns)
    statement = select(table).where(table.c.project_id == project, *inside).order_by(column.desc()).limit(MAX_EVENTS)
    return list(tx.execute(statement))
