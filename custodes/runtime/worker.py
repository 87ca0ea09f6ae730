"""The worker loop: claim, score, commit, again; one thread, stopped by an event.

A failure costs time, not data: the claimed batches go back after their lease, and after
``worker.max_attempts`` claims they are set aside as failed, with every exchange "not assessed".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from collector.content import Contents
from custodes.db import Database
from custodes.kernel.clock import SECOND_NS, Clock
from custodes.kernel.errors import CustodesError, UnavailableError
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import WorkerSettings
from custodes.runtime.batches import (
    ClaimedBatch,
    claim_batches,
    mark_batches,
    read_backlog,
    renew_batches,
    still_held,
)
from custodes.runtime.heartbeat import BEAT_NS, Pulse, beat, rest
from custodes.runtime.interpreter import step_back
from custodes.runtime.scoring import ScoredReport, Scorer, ScoringProfile

log = get_logger("worker")


class Worker:
    """Scores whatever arrives until it is stopped; with ``background`` it gives way to the other threads."""

    def __init__(
        self,
        database: Database,
        contents: Contents,
        load: Callable[[], ScoringProfile],
        settings: WorkerSettings,
        *,
        clock: Clock,
        metrics: Metrics,
        owner: str,
        background: bool = False,
    ) -> None:
        self._database = database
        self._background = background
        self._contents = contents
        self._load = load
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._owner = owner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="custodes-worker", daemon=True)
        self._scorer: Scorer | None = None
        self._failure: str | None = None
        self._beat_ns = 0
        self.ready = threading.Event()

    def start(self) -> None:
        """Begin loading models and scoring in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch in hand, then end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
            with self._database.write() as tx:
                rest(tx, self._owner)

    def problem(self) -> str | None:
        """Return why traffic isn't being scored right now; ``None`` when it is."""
        if self._failure is not None:
            return self._failure
        if not self.ready.is_set():
            return "the detectors are still loading"
        if not self._thread.is_alive():
            return "the worker thread ended"
        return None

    def prepare(self) -> Scorer:
        """Load the profile and warm it up; called by the thread, or directly by callers that step by hand."""
        if self._scorer is None:
            began = time.monotonic()
            profile = self._load()
            profile.warm_up()
            self._scorer = Scorer(self._database, self._contents, profile, self._clock, self._owner)
            names = ",".join(f"{one.name}@{one.version}" for one in profile.identities())
            seconds = round(time.monotonic() - began, 2)
            log.info("detectors loaded", extra=fields(profile=profile.name, detectors=names, seconds=seconds))
            self.ready.set()
        return self._scorer

    def step(self) -> int:
        """Claim and score once; return how many batches were claimed."""
        scorer = self.prepare()
        now_ns = self._clock()
        lease_ns = int(self._settings.lease_s * SECOND_NS)
        with self._database.write() as tx:
            claimed = claim_batches(tx, self._owner, now_ns=now_ns, lease_ns=lease_ns, limit=self._settings.batches)
        if not claimed:
            return 0
        began = time.monotonic()
        with Pulse(lambda: self._renew(claimed), self._settings.lease_s / 3):
            try:
                self._count(scorer.score(claimed))
            except UnavailableError:
                # Not the batches' fault: they come back when their lease runs out.
                raise
            except Exception as error:
                # Whatever went wrong, it must not end the loop: the batches are tried again alone.
                log.exception("scoring failed", extra=fields(batches=len(claimed), error=type(error).__name__))
                self._retry_alone(scorer, claimed)
        self._metrics.scoring_seconds.observe(time.monotonic() - began)
        return len(claimed)

    def _renew(self, claimed: list[ClaimedBatch]) -> None:
        """Keep the batches in hand, and say that this worker lives."""
        now_ns = self._clock()
        with self._database.write() as tx:
            renew_batches(tx, self._owner, claimed, until_ns=now_ns + int(self._settings.lease_s * SECOND_NS))
            beat(tx, self._owner, now_ns=now_ns)

    def _retry_alone(self, scorer: Scorer, claimed: list[ClaimedBatch]) -> None:
        """Try every batch by itself, so that one that cannot be scored does not hold back its neighbours."""
        for batch in claimed:
            try:
                self._count(scorer.score([batch]))
            except UnavailableError:
                raise
            except Exception as error:
                reason = (
                    f"{type(error).__name__}: {error}" if isinstance(error, CustodesError) else type(error).__name__
                )
                if batch.attempt >= self._settings.max_attempts:
                    self._count(scorer.give_up([batch], reason))
                    self._metrics.batches_failed.inc()
                    log.error("batch set aside as failed", extra=fields(batch=batch.id, error=reason))
                    continue
                with self._database.write() as tx:
                    mark_batches(
                        tx,
                        still_held(tx, self._owner, [batch]),
                        "ready",
                        now_ns=self._clock(),
                        error=reason,
                    )

    def _count(self, report: ScoredReport) -> None:
        self._metrics.exchanges_scored.inc(report.exchanges)
        for (metric, state), n in report.states.items():
            self._metrics.scores.labels(metric=metric, state=state).inc(n)

    def _run(self) -> None:
        if self._background:
            step_back()
        while not self._stop.is_set():
            try:
                worked = self.step()
                self._failure = None
                self._measure()
            except Exception as error:
                self._failure = f"the worker cannot score: {error}"
                log.error("worker step failed", extra=fields(error=type(error).__name__, detail=str(error)))
                worked = 0
                self._stop.wait(min(5.0, self._settings.poll_s * 8))
            if not worked:
                self._stop.wait(self._settings.poll_s)

    def _measure(self) -> None:
        """Every few seconds: give a sign of life and measure what waits."""
        now_ns = self._clock()
        if now_ns - self._beat_ns < BEAT_NS:
            return
        self._beat_ns = now_ns
        with self._database.write() as tx:
            beat(tx, self._owner, now_ns=now_ns)
        with self._database.read() as tx:
            backlog = read_backlog(tx)
        self._metrics.batches_pending.set(backlog.batches)
        age_ns = 0 if backlog.oldest_ns is None else max(0, now_ns - backlog.oldest_ns)
        self._metrics.batch_age_s.set(age_ns / SECOND_NS)
