"""What the doctor says about those who send: what arrives, what is refused, and the setting to change.

Covers every project. What was stored is read from the database; whole requests that were refused are known to the
running server only, which counts them at ``/metrics``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from collector.auth.store_projects import list_projects
from collector.coverage import ServiceCoverage
from collector.remedies import REFUSAL_REMEDIES, REJECTION_REMEDIES
from collector.rest.queries.arrivals import count_dated_back
from collector.rest.queries.coverage import load_coverage
from collector.rest.queries.ledger import LedgerKey, ServiceKey, find_services, sum_ledger
from custodes.db import Database
from custodes.kernel.clock import DAY_NS, HOUR_NS, ns_to_minute
from custodes.runtime.finding import Finding

_MAX_SERVICES = 200
_OTHER = "further services"
_REQUESTS = "custodes_otlp_requests"
# What gRPC calls the statuses that the remedies are listed by.
_GRPC_CODES = {
    "INVALID_ARGUMENT": "400",
    "UNAUTHENTICATED": "401",
    "PERMISSION_DENIED": "403",
    "DEADLINE_EXCEEDED": "408",
    "RESOURCE_EXHAUSTED": "413",
    "UNAVAILABLE": "503",
}


def examine_exporters(database: Database, now_ns: int) -> Iterator[Finding]:
    """Yield one finding per service of the last day, and one per reason for refused spans in the last hour."""
    since = ns_to_minute(now_ns - HOUR_NS)
    with database.read() as tx:
        projects = [one.id for one in list_projects(tx)]
        coverage = {name: load_coverage(tx, name, now_ns - DAY_NS, now_ns, now_ns) for name in projects}
        named = find_services(tx, from_minute=since, limit=_MAX_SERVICES)
        ledger = sum_ledger(tx, named, _OTHER, from_minute=since)
        seen = {(project, one.service) for project, services in coverage.items() for one in services}
        dated_back = count_dated_back(tx, set(named) - seen, now_ns - HOUR_NS)
    if not ledger and not any(coverage.values()):
        text = "no traffic in the last 24 hours"
        advice = "set OTEL_EXPORTER_OTLP_ENDPOINT to this server's address and send something"
        yield Finding("warning", "exporters", text, advice)
    for project, services in coverage.items():
        for one in services:
            yield _coverage_finding(_subject(project, one.service, projects), one)
    yield from _dated_elsewhere(dated_back, projects)
    yield from _refused_spans(ledger, projects)


def examine_refusals(metrics_text: str) -> Iterator[Finding]:
    """Yield one finding per status with which a server refused OTLP requests since it started.

    ``metrics_text`` is what the server answers at ``/metrics``.
    """
    refused: Counter[tuple[str, str]] = Counter()
    for family in text_string_to_metric_families(metrics_text):
        if family.name != _REQUESTS:
            continue
        for sample in family.samples:
            code = sample.labels.get("code", "")
            if sample.name.endswith("_total") and not code.startswith("2") and code != "OK" and sample.value:
                refused[code, sample.labels.get("signal", "")] += int(sample.value)
    for (code, signal), number in sorted(refused.items()):
        text = f"{number} requests were answered {code} since the server started"
        remedy = REFUSAL_REMEDIES.get(_GRPC_CODES.get(code, code), "see the server's log")
        yield Finding("warning", f"refused {signal}", text, remedy)


def _coverage_finding(subject: str, one: ServiceCoverage) -> Finding:
    hints = one.hints()
    return Finding("warning" if hints else "ok", subject, _coverage_text(one), "\n".join(hints))


def _coverage_text(one: ServiceCoverage) -> str:
    if not one.exchanges:
        return f"{one.orphans} log events with messages, and no span they belong to"
    parts = [f"{one.with_text / one.exchanges:.0%} of {one.exchanges} exchanges carry text"]
    if one.newest_traces is not None:
        parts.append(f"in the newest {one.newest_traces} traces")
    if one.dialects:
        parts.append(f"as {', '.join(name for name, _ in one.dialects.most_common())}")
    counted = {
        "whose text came as log events": one.text_from_logs,
        "dropped attributes": one.dropped,
        "with unreadable content": one.unreadable,
        "incomplete": one.incomplete,
        "without token usage": one.missing_usage,
        "without cost": one.missing_cost,
        "log events without span": one.orphans,
    }
    parts += [f"{number} {words}" for words, number in counted.items() if number]
    skew_ms = one.clock_skew_ms()
    if skew_ms:
        parts.append(f"clock {abs(skew_ms) / 1000:.1f} s {'ahead' if skew_ms > 0 else 'behind, or late exports'}")
    return ", ".join(parts)


def _dated_elsewhere(dated_back: dict[ServiceKey, int], projects: list[str]) -> Iterator[Finding]:
    """Yield services whose exchanges arrived in the last hour and are dated so early that coverage cannot see them."""
    for (project, service), number in sorted(dated_back.items()):
        yield Finding(
            "warning",
            _subject(project, service, projects),
            f"{number} exchanges arrived in the last hour that are dated more than a day ago",
            "old data is being sent again, or the client's clock is behind: synchronise it by NTP",
        )


def _refused_spans(ledger: Counter[LedgerKey], projects: list[str]) -> Iterator[Finding]:
    for (project, service, kind, reason), number in sorted(ledger.items()):
        if kind == "rejected" and number:
            yield Finding(
                "warning",
                _subject(project, service, projects),
                f"{number} spans were refused in the last hour: {reason}",
                REJECTION_REMEDIES.get(reason, "see the table of reasons in docs/ingest.md"),
            )


def _subject(project: str, service: str, projects: list[str]) -> str:
    name = f"exporter of {service or 'an unnamed service'}"
    return f"{name} in project {project}" if len(projects) > 1 else name
