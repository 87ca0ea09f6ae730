"""Three claims in hand at a time: one is read while the detectors judge another and a third is committed.

The detectors compute in a process of their own, so the database's work for one claim costs the next one nothing. What
goes wrong with a claim is settled batch by batch: one that cannot be scored must not hold back its neighbours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from custodes.kernel.errors import CustodesError, UnavailableError
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import WorkerSettings
from custodes.runtime.batches import ClaimedBatch
from custodes.runtime.claims import Claims
from custodes.runtime.heartbeat import Pulse
from custodes.runtime.scoring import ReadClaim, ScoredReport, Scorer
from detectors.model import ExchangeScores

log = get_logger("worker")


@dataclass(frozen=True, slots=True)
class _Taken:
    """A claim with what was read of it, or why that failed; ``since_s`` is when it was taken."""

    batches: list[ClaimedBatch]
    found: ReadClaim | Exception
    since_s: float


class ScoringLine:
    """Takes claims through reading, judging and committing."""

    def __init__(self, claims: Claims, scorer: Scorer, settings: WorkerSettings, metrics: Metrics) -> None:
        self._claims = claims
        self._scorer = scorer
        self._settings = settings
        self._metrics = metrics

    def step(self) -> int:
        """Take one claim through, one stage after the other; return how many batches it held."""
        taken = self._take()
        if taken.batches:
            with self._keep():
                self._commit(taken, self._judge(taken))
        return len(taken.batches)

    def run(self, stop: threading.Event, each_turn: Callable[[], None]) -> None:
        """Take claims through until ``stop``; ``each_turn`` is called between them, and when there are none.

        Raises ``UnavailableError`` when the database or the detectors cannot be used; batches in hand are given back,
        or come back when their lease runs out.
        """
        with ThreadPoolExecutor(2, "custodes-line") as side, self._keep():
            ahead: Future[_Taken] | None = side.submit(self._take)
            behind: Future[None] | None = None
            try:
                while ahead is not None:
                    taken = ahead.result()
                    ahead = None
                    if not taken.batches:
                        _settle(behind)
                        behind = None
                        each_turn()
                        ahead = None if stop.wait(self._settings.poll_s) else side.submit(self._take)
                        continue
                    if not stop.is_set():
                        ahead = side.submit(self._take)
                    judged = self._judge(taken)
                    _settle(behind)
                    behind = side.submit(self._commit, taken, judged)
                    each_turn()
                _settle(behind)
            finally:
                if ahead is not None:
                    self._release(ahead)

    def _keep(self) -> Pulse:
        return Pulse(self._claims.renew, self._settings.lease_s / 3)

    def _take(self) -> _Taken:
        since_s = time.monotonic()
        batches = self._claims.take()
        try:
            return _Taken(batches, self._scorer.read(batches), since_s)
        except Exception as error:
            return _Taken(batches, error, since_s)

    def _release(self, ahead: Future[_Taken]) -> None:
        """Give back what was taken and is not going to be judged."""
        try:
            self._claims.give_back(ahead.result().batches, None)
        except CustodesError as error:
            log.warning("batches come back when their lease runs out", extra=fields(error=str(error)))

    def _judge(self, taken: _Taken) -> list[ExchangeScores] | Exception:
        """Return what the detectors say, or what kept them from it; raise if that isn't the claim's fault."""
        try:
            if isinstance(taken.found, Exception):
                raise taken.found
            return self._scorer.judge(taken.found)
        except UnavailableError:
            self._claims.put_down(taken.batches)
            raise
        except Exception as error:
            return error

    def _commit(self, taken: _Taken, judged: list[ExchangeScores] | Exception) -> None:
        """Commit a claim; if anything but the outside world stands against it, try its batches alone."""
        try:
            if isinstance(judged, Exception):
                raise judged
            if isinstance(taken.found, Exception):
                raise taken.found
            self._count(self._scorer.commit(taken.found, judged))
        except UnavailableError:
            # Not the batches' fault: they come back when their lease runs out.
            raise
        except Exception as error:
            log.error(
                "scoring failed", exc_info=error, extra=fields(batches=len(taken.batches), error=type(error).__name__)
            )
            self._retry_alone(taken.batches)
        finally:
            self._claims.put_down(taken.batches)
            self._metrics.scoring_seconds.observe(time.monotonic() - taken.since_s)

    def _retry_alone(self, claimed: list[ClaimedBatch]) -> None:
        for batch in claimed:
            try:
                self._count(self._scorer.score([batch]))
            except UnavailableError:
                raise
            except Exception as error:
                kind = type(error).__name__
                reason = f"{kind}: {error}" if isinstance(error, CustodesError) else kind
                if batch.attempt < self._settings.max_attempts:
                    self._claims.give_back([batch], reason)
                    continue
                self._count(self._scorer.give_up([batch], reason))
                self._metrics.batches_failed.inc()
                log.error("batch set aside as failed", extra=fields(batch=batch.id, error=reason))

    def _count(self, report: ScoredReport) -> None:
        self._metrics.exchanges_scored.inc(report.exchanges)
        for (metric, state), n in report.states.items():
            self._metrics.scores.labels(metric=metric, state=state).inc(n)


def _settle(behind: Future[None] | None) -> None:
    """Wait for a commit that is under way, and raise what it raised."""
    if behind is not None:
        behind.result()
