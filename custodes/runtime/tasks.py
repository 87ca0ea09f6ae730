"""What the scheduled jobs do: evaluate policies, deliver webhooks, sequence the audit log, measure queues."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select

from custodes.db import Database
from custodes.db.leases import acquire_lease, renew_lease
from custodes.db.rollup_versions import read_policy_clock
from custodes.db.tables import audit_intake, outbox
from custodes.kernel.clock import MINUTE_NS, SECOND_NS, Clock, ns_to_minute
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.kernel.settings_webhook import WebhookSettings
from policies.audit.log import AuditLog
from policies.conduct import conduct_of
from policies.evaluate import Evaluator
from policies.hooks.address import AddressRules, system_resolver, within
from policies.hooks.breaker import breaker_rules
from policies.hooks.delivery import deliver_due
from policies.hooks.endpoint_store import count_breakers
from policies.hooks.mail import MailSender
from policies.hooks.secrets import SecretBox
from policies.hooks.sender import ChannelSender
from policies.hooks.webhook import WebhookSender

log = get_logger("tasks")


class EvaluatePolicies:
    """Evaluates every policy that is active or in shadow, if this process leads.

    The lease ``policy-engine`` is held by one process; its token is checked again inside each commit,
    so that a leader that was paused and lost the lease writes nothing. Minutes that nobody evaluated, because no
    process ran or the database was away, are evaluated late and in order, as far back as the settings say.
    """

    def __init__(self, database: Database, settings: Settings, clock: Clock, metrics: Metrics, owner: str) -> None:
        self._database = database
        self._evaluator = Evaluator(database, conduct_of(settings))
        self._catch_up = int(settings.policy.catch_up_s * SECOND_NS) // MINUTE_NS
        self._ttl_ns = int(max(30.0, 3 * settings.policy.interval_s) * SECOND_NS)
        self._clock = clock
        self._metrics = metrics
        self._owner = owner

    def run(self) -> None:
        """Evaluate what is due at the present, or do nothing while another process leads."""
        now_ns = self._clock()
        for minute in self._missed(ns_to_minute(now_ns)):
            if not self._tick(minute * MINUTE_NS):
                return
        self.run_at(now_ns)

    def run_at(self, now_ns: int) -> None:
        """Evaluate once as of ``now_ns``, or do nothing while another process leads."""
        self._tick(now_ns)

    def _missed(self, minute: int) -> range:
        """Return the minutes before ``minute`` that nobody has evaluated, oldest first."""
        with self._database.read() as tx:
            known = read_policy_clock(tx)
        return range(minute if known is None else max(known.minute + 1, minute - self._catch_up), minute)

    def _tick(self, now_ns: int) -> bool:
        """Evaluate as of ``now_ns``; return whether this process leads. The lease lasts from the present on."""
        with self._database.write() as tx:
            held = acquire_lease(tx, "policy-engine", self._owner, now_ns=self._clock(), ttl_ns=self._ttl_ns)
        if held is None:
            return False
        # Renewed in every unit of work: with thousands of policies a tick takes longer than the lease lasts.
        report = self._evaluator.tick(
            now_ns, guard=lambda tx: renew_lease(tx, held, now_ns=self._clock(), ttl_ns=self._ttl_ns)
        )
        count = self._metrics.evaluations
        count.labels(outcome="evaluated").inc(report.groups)
        count.labels(outcome="no_data").inc(report.no_data)
        count.labels(outcome="error").inc(report.errors)
        count.labels(outcome="failed").inc(len(report.failures))
        for failure in report.failures:
            log.error("a policy could not be evaluated", extra=fields(policy=failure.policy_id, error=failure.message))
        if report.decisions:
            log.info(
                "policy decisions",
                extra=fields(decisions=report.decisions, opened=report.opened, resolved=report.resolved),
            )
        return True


class SendWebhooks:
    """Delivers what is due from the outbox."""

    def __init__(
        self, database: Database, settings: WebhookSettings, box: SecretBox, clock: Clock, metrics: Metrics
    ) -> None:
        self._database = database
        self._sender = make_sender(settings, box)
        self._rules = breaker_rules(settings)
        self._clock = clock
        self._metrics = metrics

    def run(self) -> None:
        """Make one attempt for the messages that are due."""
        report = deliver_due(self._database, self._clock(), self._sender, rules=self._rules)
        self._metrics.deliveries.labels(outcome="delivered").inc(report.delivered)
        self._metrics.deliveries.labels(outcome="retry").inc(report.retried)
        self._metrics.deliveries.labels(outcome="dead").inc(report.dead)
        self._metrics.breaker_openings.inc(report.opened)


def make_sender(settings: WebhookSettings, box: SecretBox) -> ChannelSender:
    """Return the sender that the settings describe; raise ``ConfigurationError`` for a bad network in them."""
    rules = AddressRules.of(
        settings.allowed_private_cidrs, allow_http=settings.allow_http, ports=settings.allowed_ports
    )
    for_mail = replace(rules, ports=frozenset(settings.allowed_mail_ports))
    timeout_s = settings.timeout_s
    resolver = within(system_resolver, timeout_s)
    return ChannelSender(
        WebhookSender(rules, timeout_s=timeout_s, resolver=resolver),
        MailSender(for_mail, timeout_s=timeout_s, resolver=resolver),
        box,
    )


class SequenceAudit:
    """Turns audit events into leaves under a signed checkpoint."""

    def __init__(self, audit: AuditLog, metrics: Metrics) -> None:
        self._audit = audit
        self._metrics = metrics

    def run(self) -> None:
        """Integrate and sign what waits."""
        checkpoint = self._audit.flush()
        if checkpoint is not None:
            self._metrics.audit_size.set(checkpoint.size)


def measure_queues(database: Database, metrics: Metrics, clock: Clock) -> None:
    """Set the gauges of the outbox and the audit intake."""
    with database.read() as tx:
        waiting = tx.execute(
            select(func.count().label("n"), func.min(outbox.c.created_ns).label("oldest_ns")).where(
                outbox.c.state == "pending"
            )
        ).one()
        events = tx.execute(select(func.count()).select_from(audit_intake)).scalar_one()
        dead = tx.execute(select(func.count()).select_from(outbox).where(outbox.c.state == "dead")).scalar_one()
        breakers = count_breakers(tx)
        clocked = read_policy_clock(tx)
    metrics.outbox_dead.set(dead)
    metrics.breakers_open.set(breakers)
    metrics.outbox_pending.set(waiting.n)
    metrics.outbox_age_s.set(0 if waiting.oldest_ns is None else max(0, clock() - waiting.oldest_ns) / SECOND_NS)
    metrics.audit_pending.set(events)
    if clocked is not None:
        metrics.policy_lag_s.set(max(0, clock() - clocked.minute * MINUTE_NS) / SECOND_NS)
