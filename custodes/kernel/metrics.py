"""The process's own metrics, in Prometheus text form at ``/metrics``.

``Metrics`` is built once by the composition root and handed to the parts; nothing registers itself
on import. ``docs/metrics.md`` lists every name; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Every counter, gauge and histogram of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._refreshers: list[Callable[[], None]] = []
        make = self.registry
        self.requests = Counter("custodes_otlp_requests", "OTLP requests by outcome", ["signal", "code"], registry=make)
        self.spans_received = Counter("custodes_spans_received", "Spans in well-formed requests", registry=make)
        self.spans_stored = Counter("custodes_spans_stored", "Spans committed for the first time", registry=make)
        self.spans_duplicate = Counter("custodes_spans_duplicate", "Spans that were stored already", registry=make)
        self.spans_rejected = Counter("custodes_spans_rejected", "Spans refused", ["reason"], registry=make)
        self.log_records = Counter("custodes_log_records", "Log records by outcome", ["outcome"], registry=make)
        self.metric_points = Counter("custodes_metric_points", "Metric points by outcome", ["outcome"], registry=make)
        self.ledger_spans = Counter(
            "custodes_ledger_spans",
            "The loss ledger in the database: received, stored, duplicates and rejected spans",
            ["project", "service", "kind", "reason"],
            registry=make,
        )
        self.ledger_exchanges = Gauge(
            "custodes_ledger_exchanges",
            "The loss ledger in the database: exchanges seen, assessed, not_assessed and pending",
            ["project", "service", "state", "reason"],
            registry=make,
        )
        self.dialect_failures = Counter(
            "custodes_dialect_failures",
            "Spans a dialect could not read for a mistake of ours",
            ["dialect"],
            registry=make,
        )
        self.ingest_queue_spans = Gauge("custodes_ingest_queue_spans", "Spans waiting for commit", registry=make)
        self.ingest_queue_age_s = Gauge(
            "custodes_ingest_queue_age_seconds", "Age of the oldest waiting request", registry=make
        )
        self.ingest_overloads = Counter(
            "custodes_ingest_overloads", "Requests answered 503 since the queue was full", registry=make
        )
        self.ingest_inflight_bytes = Gauge(
            "custodes_ingest_inflight_bytes", "Bytes of bodies taken in and not yet answered", registry=make
        )
        self.ingest_refusals = Counter(
            "custodes_ingest_refusals", "Requests refused by a limit, to be sent again", ["limit"], registry=make
        )
        self.commit_seconds = Histogram(
            "custodes_ingest_commit_seconds", "Seconds from intake to commit", registry=make
        )
        self.content_masked = Counter(
            "custodes_content_masked", "Values masked in captured text before it was stored", ["kind"], registry=make
        )
        self.batches_pending = Gauge("custodes_batches_pending", "Ingest batches that wait for scoring", registry=make)
        self.batch_age_s = Gauge(
            "custodes_batches_oldest_age_seconds", "Age of the oldest unscored batch", registry=make
        )
        self.batches_failed = Counter(
            "custodes_batches_failed", "Batches set aside after repeated failure", registry=make
        )
        self.exchanges_scored = Counter(
            "custodes_exchanges_scored", "Exchanges that went through the detectors", registry=make
        )
        self.scores = Counter("custodes_scores", "Scores written", ["metric", "state"], registry=make)
        self.scoring_seconds = Histogram(
            "custodes_scoring_seconds", "Seconds a scoring transaction took, models included", registry=make
        )
        self.evaluations = Counter(
            "custodes_policy_evaluations",
            "Policy groups evaluated, those among them without data or with an error, and policies that failed",
            ["outcome"],
            registry=make,
        )
        self.policy_lag_s = Gauge(
            "custodes_policy_lag_seconds", "Age of the last minute that policies were evaluated at", registry=make
        )
        self.fairness_alarms = Counter(
            "custodes_fairness_alarms", "Gaps between groups beyond the tolerance", ["outcome"], registry=make
        )
        self.fairness_standing = Gauge(
            "custodes_fairness_standing_alarms", "Fairness alarms nobody has begun anew after", registry=make
        )
        self.fairness_damaged = Counter(
            "custodes_fairness_damaged_states", "Stored fairness states that could not be read", registry=make
        )
        self.drift_alarms = Counter("custodes_drift_alarms", "Drift alarms raised", ["monitor"], registry=make)
        self.drift_standing = Gauge(
            "custodes_drift_standing_episodes", "Stretches of drift that have not ended", registry=make
        )
        self.drift_damaged = Counter(
            "custodes_drift_damaged_states", "Stored drift states that could not be read", registry=make
        )
        self.probe_calls = Counter("custodes_probe_calls", "Calls of counterfactual probes", ["outcome"], registry=make)
        self.deliveries = Counter("custodes_webhook_attempts", "Webhook delivery attempts", ["outcome"], registry=make)
        self.actions = Counter("custodes_actions", "Actions that entered a state", ["state"], registry=make)
        self.outbox_pending = Gauge("custodes_outbox_pending", "Webhook messages not yet delivered", registry=make)
        self.outbox_age_s = Gauge(
            "custodes_outbox_oldest_age_seconds", "Age of the oldest undelivered message", registry=make
        )
        self.outbox_dead = Gauge("custodes_outbox_dead", "Webhook messages that were given up", registry=make)
        self.breakers_open = Gauge(
            "custodes_webhook_breakers_open", "Endpoints whose circuit breaker is open or half open", registry=make
        )
        self.breaker_openings = Counter(
            "custodes_webhook_breaker_openings", "Circuit breakers of endpoints that opened", registry=make
        )
        self.audit_size = Gauge("custodes_audit_log_size", "Leaves under the latest signed checkpoint", registry=make)
        self.audit_pending = Gauge(
            "custodes_audit_intake_pending", "Audit events not yet under a checkpoint", registry=make
        )
        self.http_requests = Counter("custodes_http_requests", "REST requests", ["method", "code"], registry=make)
        self.job_failures = Counter("custodes_job_failures", "Background job runs that failed", ["job"], registry=make)

    def refresh_with(self, refresh: Callable[[], None]) -> None:
        """Call ``refresh`` before every :meth:`render`, for figures that are read when they are asked for."""
        self._refreshers.append(refresh)

    def render(self) -> bytes:
        """Return the metrics in Prometheus text exposition format."""
        for refresh in self._refreshers:
            refresh()
        return generate_latest(self.registry)
