"""The composition root: settings in, a running process out.

``build`` is one straight function on purpose: what depends on what can be read from top to bottom, and
every part registers how it is stopped right after it was made. ``stop`` runs those in reverse.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from fastapi import FastAPI

from collector.app import Services, build_app
from collector.auth import Authenticator
from collector.auth.store import ensure_first_admin_key
from collector.content import MasterSecretBox, open_contents
from collector.intake import Intake
from collector.ledger_figures import LedgerFigures
from collector.limits import IngestLimits
from collector.otlp_grpc import GrpcServer
from collector.prices import PriceBooks
from collector.signals import SignalIntake
from custodes.db import Database, open_database
from custodes.kernel.clock import Clock, system_clock
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.runtime.acting import CarryOutActions
from custodes.runtime.announcing import AnnounceCheckpoints
from custodes.runtime.auditing import open_audit_log
from custodes.runtime.drift import DriftHook
from custodes.runtime.drift_reports import MakeReports
from custodes.runtime.drift_watch import WatchDrift
from custodes.runtime.exchange_hook import ExchangeHook
from custodes.runtime.fairness import FairnessHook
from custodes.runtime.fairness_probes import ProbeFairness
from custodes.runtime.fairness_watch import WatchFairness
from custodes.runtime.heartbeat import live_workers
from custodes.runtime.ingest_health import CHECK_EVERY_S, WatchIngest
from custodes.runtime.jobs import Job, Jobs
from custodes.runtime.models import find_configured_devices, load_configured_profile
from custodes.runtime.schema import prepare_schema
from custodes.runtime.scoring import in_turn
from custodes.runtime.tasks import EvaluatePolicies, SendWebhooks, SequenceAudit, make_sender, measure_queues
from custodes.runtime.tidying import EVERY_S as TIDY_EVERY_S
from custodes.runtime.tidying import RemoveOldMessages
from custodes.runtime.worker import Worker
from policies.audit.log import AuditLog

log = get_logger("runtime")

DEFAULT_PROJECT = "default"


@dataclass(slots=True)
class App:
    """A built process: its parts, and how to start and stop them in order."""

    settings: Settings
    database: Database
    metrics: Metrics
    audit: AuditLog
    secret_box: MasterSecretBox
    api: FastAPI | None = None
    grpc: GrpcServer | None = None
    intake: Intake | None = None
    workers: list[Worker] = field(default_factory=list)
    first_admin_key: str | None = None
    _starts: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    _stops: list[tuple[str, Callable[[], None]]] = field(default_factory=list)

    @property
    def worker(self) -> Worker | None:
        """The first worker, if this process works; there is one for each device."""
        return self.workers[0] if self.workers else None

    def start(self) -> None:
        """Start every part; if one cannot start, stop those that did and raise."""
        for name, start in self._starts:
            try:
                start()
            except BaseException:
                log.error("could not start", extra=fields(part=name))
                self.stop()
                raise

    def stop(self) -> None:
        """Stop every part in reverse order. Safe to call twice; one failing part does not keep the others."""
        while self._stops:
            name, stop = self._stops.pop()
            try:
                stop()
            except Exception:
                log.exception("could not stop cleanly", extra=fields(part=name))

    def add(self, name: str, start: Callable[[], None] | None, stop: Callable[[], None]) -> None:
        """Register a part's start and stop."""
        if start is not None:
            self._starts.append((name, start))
        self._stops.append((name, stop))


def process_name() -> str:
    """Return a name for this process that no other one has: host, process id and a random part."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"[:60]


def build(settings: Settings, *, serve: bool, work: bool, clock: Clock = system_clock) -> App:
    """Build a process that serves the API, works (scores, evaluates, delivers, sequences), or both.

    Raises ``ConfigurationError`` or ``UnavailableError`` when the data directory, the database, the
    audit key or the log's state is unusable, or a worker lacks torch or its device; nothing is left running then.
    """
    # Before anything is opened: without a device nothing this process takes in could ever be scored.
    devices = find_configured_devices(settings) if work else ()
    owner = process_name()
    metrics = Metrics()
    database = open_database(
        settings.database_url,
        pool_size=settings.database.pool_size,
        busy_timeout_s=settings.database.busy_timeout_s,
    )
    secret_box = MasterSecretBox(database, settings, clock)
    prepare_schema(database, DEFAULT_PROJECT, secret_box, now_ns=clock(), embedded=serve and work)
    audit = open_audit_log(settings, database, clock)
    audit.verify_state()
    contents = open_contents(database, settings, metrics, clock)
    app = App(settings, database, metrics, audit, secret_box)
    app.add("database", None, database.dispose)

    if work:
        for number, device in enumerate(devices):
            worker = Worker(
                database,
                contents,
                partial(load_configured_profile, settings, device=device, of_devices=len(devices)),
                settings.worker,
                clock=clock,
                metrics=metrics,
                owner=process_name() if number else owner,
                background=serve,
                after_scoring=in_turn(
                    ExchangeHook(settings),
                    FairnessHook(settings.fairness, metrics),
                    DriftHook(settings.drift, metrics),
                ),
            )
            app.workers.append(worker)
            app.add(f"worker on {device}", worker.start, worker.stop)
        jobs = _build_jobs(settings, database, secret_box, audit, metrics, clock, owner, app.workers[0])
        app.add("jobs", jobs.start, jobs.stop)
    if serve:
        with database.write() as tx:
            app.first_admin_key = ensure_first_admin_key(tx, now_ns=clock(), project_id=DEFAULT_PROJECT)
        app.intake = Intake(database, contents, settings.ingest, metrics, clock, PriceBooks(database, clock))
        app.add("intake", app.intake.start, app.intake.stop)
        services = Services(
            db=database,
            settings=settings,
            clock=clock,
            metrics=metrics,
            intake=app.intake,
            signals=SignalIntake(database, contents, settings.ingest, metrics, clock),
            limits=IngestLimits(settings.ingest, metrics),
            contents=contents,
            secret_box=secret_box,
            sender=make_sender(settings.webhook, secret_box),
            audit=audit,
            readiness=_make_readiness(app, clock, jobs if work else None),
            console_url=settings.console_url,
        )
        metrics.refresh_with(LedgerFigures(database, metrics, clock).refresh)
        # One for every listener of the process: a key revoked over HTTP is refused over gRPC at its next request.
        authenticator = Authenticator(database, clock, dev=settings.dev)
        app.api = build_app(services, authenticator)
        if settings.grpc.enabled:
            app.grpc = GrpcServer(services, authenticator, settings.grpc_host, settings.grpc.port)
            app.add("grpc", app.grpc.start, app.grpc.stop)
    return app


def _build_jobs(
    settings: Settings,
    database: Database,
    secret_box: MasterSecretBox,
    audit: AuditLog,
    metrics: Metrics,
    clock: Clock,
    owner: str,
    worker: Worker,
) -> Jobs:
    evaluate = EvaluatePolicies(database, settings, clock, metrics, owner)
    send = SendWebhooks(database, settings.webhook, secret_box, clock, metrics)
    sequence = SequenceAudit(audit, metrics)
    announce = AnnounceCheckpoints(database, settings, audit.key, clock, owner)
    act = CarryOutActions(database, settings, secret_box, audit, clock, metrics, owner)
    watch = WatchFairness(database, settings, clock, metrics, owner)
    drift = WatchDrift(database, settings, clock, metrics, owner)
    tidy = RemoveOldMessages(database, settings.webhook, clock, owner)
    probes = []
    if settings.probe.enabled:
        ask = ProbeFairness(database, settings, clock, metrics, owner, worker.profile)
        probes.append(Job("probes", ask.run, settings.probe.interval_s))
    return Jobs(
        [
            *probes,
            Job("fairness", watch.run, settings.fairness.interval_s),
            Job("drift", drift.run, settings.drift.interval_s),
            Job("drift-reports", MakeReports(database, settings, clock, owner).run, 20.0),
            Job("policies", evaluate.run, settings.policy.interval_s),
            Job("webhooks", send.run, settings.webhook.poll_s),
            Job("outbox-retention", tidy.run, TIDY_EVERY_S),
            Job("actions", act.run, settings.action.poll_s),
            Job("audit", sequence.run, settings.audit.checkpoint_s),
            Job("audit-announce", announce.run, settings.audit.announce_s),
            Job("ingest-health", WatchIngest(database, settings, clock, owner).run, CHECK_EVERY_S),
            Job("gauges", lambda: measure_queues(database, metrics, clock), 5.0),
        ],
        metrics,
    )


def _make_readiness(app: App, clock: Clock, jobs: Jobs | None) -> Callable[[], list[str]]:
    """Return a function that lists why traffic would not be accepted and scored; empty means ready."""

    def reasons() -> list[str]:
        found: list[str] = []
        if app.workers:
            problems = (worker.problem() for worker in app.workers)
            found += dict.fromkeys(problem for problem in problems if problem is not None)
        else:
            with app.database.read() as tx:
                if not live_workers(tx, now_ns=clock()):
                    found.append("no worker is running; start one with: custodes work")
        if jobs is not None:
            found += jobs.problems()
        return found

    return reasons
