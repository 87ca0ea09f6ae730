"""Signs of life: a worker is live for half a minute after its last one."""

from __future__ import annotations

import threading

from custodes.db import Database
from custodes.kernel.clock import DAY_NS
from custodes.kernel.errors import UnavailableError
from custodes.runtime.heartbeat import TTL_NS, Pulse, beat, live_workers, rest


class TestHeartbeat:
    def test_it_counts_live_workers_until_their_time_is_over(self, database: Database) -> None:
        with database.write() as tx:
            beat(tx, "a", now_ns=0)
            beat(tx, "b", now_ns=10)
            assert live_workers(tx, now_ns=10) == 2
            assert live_workers(tx, now_ns=TTL_NS + 5) == 1
            assert live_workers(tx, now_ns=TTL_NS + 11) == 0

    def test_it_forgets_a_worker_that_stopped_or_died_long_ago(self, database: Database) -> None:
        with database.write() as tx:
            beat(tx, "stopped", now_ns=0)
            rest(tx, "stopped")
            assert live_workers(tx, now_ns=1) == 0
            beat(tx, "died", now_ns=0)
            beat(tx, "new", now_ns=2 * DAY_NS)
            assert live_workers(tx, now_ns=1) == 1  # "new" only: its lease ends later than 1, "died" is gone


class TestPulse:
    def test_it_beats_until_the_block_ends_also_after_a_failure(self) -> None:
        beats = threading.Semaphore(0)
        count = 0

        def run() -> None:
            nonlocal count
            count += 1
            beats.release()
            if count == 1:
                raise UnavailableError("not now")

        with Pulse(run, 0.01):
            for _ in range(3):
                assert beats.acquire(timeout=10)
        ended = count
        threading.Event().wait(0.1)
        assert count == ended
