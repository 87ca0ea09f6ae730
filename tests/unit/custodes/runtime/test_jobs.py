"""Scheduled jobs: they repeat, never overlap, and survive their own failures."""

from __future__ import annotations

import threading

from custodes.kernel.errors import UnavailableError
from custodes.kernel.metrics import Metrics
from custodes.runtime.jobs import Job, Jobs


class TestJobs:
    def test_it_runs_a_job_again_after_it_failed_and_names_the_failure_meanwhile(self) -> None:
        again = threading.Event()
        seen: list[list[str]] = []
        runs = 0

        def run() -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                raise UnavailableError("the moon is down")
            seen.append(jobs.problems())
            again.set()

        metrics = Metrics()
        jobs = Jobs([Job("moon", run, 0.05)], metrics)
        jobs.start()
        assert again.wait(10)
        jobs.stop()
        assert seen[0] == ["job moon failed: the moon is down"]
        assert jobs.problems() == []
        assert metrics.registry.get_sample_value("custodes_job_failures_total", {"job": "moon"}) == 1.0

    def test_it_never_runs_a_job_twice_at_once(self) -> None:
        lock = threading.Lock()
        overlaps = 0
        rounds = threading.Semaphore(0)

        def run() -> None:
            nonlocal overlaps
            if not lock.acquire(blocking=False):
                overlaps += 1
                return
            threading.Event().wait(0.05)
            lock.release()
            rounds.release()

        jobs = Jobs([Job("slow", run, 0.01)], Metrics())
        jobs.start()
        for _ in range(3):
            assert rounds.acquire(timeout=10)
        jobs.stop()
        assert overlaps == 0
