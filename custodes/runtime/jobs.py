"""Scheduled jobs: policy evaluation, webhook delivery, audit sequencing, gauges.

The only module that imports APScheduler (3.11, memory job store). Several processes may run this;
the database lease ``policy-engine`` lets exactly one of them evaluate, and the audit sequencer and
the outbox lock their own rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from custodes.kernel.errors import CustodesError
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics

log = get_logger("jobs")


@dataclass(frozen=True, slots=True)
class Job:
    """Something that runs again and again, never twice at once, ``interval_s`` apart."""

    name: str
    run: Callable[[], None]
    interval_s: float


class Jobs:
    """Runs jobs on background threads until stopped; a job that fails is logged, counted and run again."""

    def __init__(self, jobs: list[Job], metrics: Metrics) -> None:
        self._metrics = metrics
        self._failures: dict[str, str] = {}
        pool = ThreadPoolExecutor(max_workers=max(1, len(jobs)))
        self._scheduler = BackgroundScheduler(executors={"default": pool}, timezone="UTC")
        for job in jobs:
            self._scheduler.add_job(
                self._guard(job),
                IntervalTrigger(seconds=job.interval_s, timezone="UTC"),
                id=job.name,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )

    def start(self) -> None:
        """Begin; every job first runs one interval from now."""
        self._scheduler.start()

    def stop(self) -> None:
        """Wait for running jobs to finish, then end."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def problems(self) -> list[str]:
        """Return, for every job whose last run failed, what happened."""
        return [f"job {name} failed: {reason}" for name, reason in sorted(self._failures.items())]

    def _guard(self, job: Job) -> Callable[[], None]:
        def run() -> None:
            try:
                job.run()
                self._failures.pop(job.name, None)
            except Exception as error:
                # A job must never unschedule itself by failing.
                self._failures[job.name] = str(error) if isinstance(error, CustodesError) else type(error).__name__
                self._metrics.job_failures.labels(job=job.name).inc()
                log.exception("job failed", extra=fields(job=job.name, error=type(error).__name__))

        return run
