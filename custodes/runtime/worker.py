"""The worker: loads the detectors, then takes claims through ``scoring_line`` until it is stopped.

A failure costs time, not data: claimed batches come back when their lease runs out, and after
``worker.max_attempts`` claims they are set aside as failed, with every exchange "not assessed". What no time can mend,
such as a package that isn't installed or a model file that was changed, ends the worker with one clear error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from collector.content import Contents
from custodes.db import Database
from custodes.kernel.clock import SECOND_NS, Clock
from custodes.kernel.errors import ConfigurationError
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import WorkerSettings
from custodes.runtime.batches import read_backlog
from custodes.runtime.claims import Claims
from custodes.runtime.heartbeat import BEAT_NS, rest
from custodes.runtime.interpreter import step_back
from custodes.runtime.scoring import AfterScoring, Scorer, ScoringProfile
from custodes.runtime.scoring_line import ScoringLine

log = get_logger("worker")

_STOP_S = 10.0
_LONGEST_REST_S = 30.0
_REPEAT_S = 300.0


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
        after_scoring: AfterScoring | None = None,
    ) -> None:
        self._database = database
        self._after_scoring = after_scoring
        self._background = background
        self._contents = contents
        self._load = load
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._owner = owner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="custodes-worker", daemon=True)
        self._profile: ScoringProfile | None = None
        self._line: ScoringLine | None = None
        self._failure: str | None = None
        self._said_s = 0.0
        self._rest_s = settings.poll_s
        self._measured_ns = 0
        self.ready = threading.Event()
        self.broken = threading.Event()

    def start(self) -> None:
        """Begin loading models and scoring in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the claims in hand, then end; what takes longer than a few seconds is left to the next worker."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
            if self._thread.is_alive() and self._profile is not None:
                self._profile.close()
            self._thread.join()
            with self._database.write() as tx:
                rest(tx, self._owner)
        if self._profile is not None:
            self._profile.close()

    def problem(self) -> str | None:
        """Return why traffic isn't being scored right now; ``None`` when it is."""
        if self._failure is not None:
            return self._failure
        if not self.ready.is_set():
            return "the detectors are still loading"
        if not self._thread.is_alive():
            return "the worker thread ended"
        return None

    def profile(self) -> ScoringProfile | None:
        """Return the detectors once they are loaded; they may be asked from several threads."""
        return self._profile if self.ready.is_set() else None

    def prepare(self) -> ScoringLine:
        """Load the profile and warm it up; called by the thread, or directly by callers that step by hand."""
        if self._line is None:
            began = time.monotonic()
            profile = self._profile = self._load()
            profile.warm_up()
            scorer = Scorer(self._database, self._contents, profile, self._clock, self._owner, self._after_scoring)
            claims = Claims(self._database, self._settings, self._clock, self._owner)
            self._line = ScoringLine(claims, scorer, self._settings, self._metrics)
            for one in profile.identities():
                log.info("detector", extra=fields(name=one.name, version=one.version, digest=one.digest))
            seconds = round(time.monotonic() - began, 2)
            log.info("detectors loaded", extra=fields(profile=profile.name, device=profile.device, seconds=seconds))
            self.ready.set()
        return self._line

    def step(self) -> int:
        """Claim, score and commit once; return how many batches were claimed."""
        return self.prepare().step()

    def _run(self) -> None:
        if self._background:
            step_back()
        while not self._stop.is_set():
            try:
                self.prepare().run(self._stop, self._turn)
            except ConfigurationError as error:
                self._say(error)
                self.broken.set()
                return
            except Exception as error:
                if self._stop.is_set():
                    # Stopping took too long, so the detectors were ended under the claim in hand.
                    return
                self._say(error)
                self._stop.wait(self._rest_s)
                self._rest_s = min(_LONGEST_REST_S, self._rest_s * 2)

    def _turn(self) -> None:
        self._failure = None
        self._rest_s = self._settings.poll_s
        self._measure()

    def _say(self, error: Exception) -> None:
        """Log a failure when it is new, and again every few minutes while it lasts."""
        failure = f"the worker cannot score: {error}"
        now_s = time.monotonic()
        if failure != self._failure or now_s - self._said_s > _REPEAT_S:
            self._said_s = now_s
            log.error("the worker cannot score", extra=fields(error=type(error).__name__, detail=str(error)))
        self._failure = failure

    def _measure(self) -> None:
        """Every few seconds, measure what waits."""
        now_ns = self._clock()
        if now_ns - self._measured_ns < BEAT_NS:
            return
        self._measured_ns = now_ns
        with self._database.read() as tx:
            backlog = read_backlog(tx)
        self._metrics.batches_pending.set(backlog.batches)
        age_ns = 0 if backlog.oldest_ns is None else max(0, now_ns - backlog.oldest_ns)
        self._metrics.batch_age_s.set(age_ns / SECOND_NS)
