"""The bounded queue: it never waits, never raises, loses nothing without counting it, and ends when told to."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes_sdk.sending.outbox import Bounds, Outbox
from custodes_sdk.sending.outcome import Delivered, Outcome, Refused, TooLarge, TryLater
from custodes_sdk.sending.quiet import QuietLog

FAST = Bounds(units=1000, batch=10, delay_s=0.001)


class Server:
    """Answers with a list of outcomes in turn, the last one for ever, and remembers what it was given."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes) or [Delivered()]
        self.batches: list[list[Any]] = []

    def __call__(self, batch: Sequence[Any]) -> Outcome:
        self.batches.append(list(batch))
        outcome = self.outcomes[min(len(self.batches), len(self.outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def holding(held: threading.Event) -> Callable[[Sequence[Any]], Outcome]:
    """A server that answers when ``held`` is set."""

    def deliver(_: Sequence[Any]) -> Outcome:
        held.wait(20)
        return Delivered()

    return deliver


def balanced(outbox: Outbox[Any]) -> bool:
    counts = outbox.counts()
    return counts.taken == counts.queued + counts.sent + sum(counts.lost.values())


class TestDelivery:
    def test_it_sends_everything_in_order_and_in_batches(self) -> None:
        server = Server()
        outbox = Outbox(server, name="x", bounds=FAST)
        for n in range(25):
            assert outbox.put(n)
        assert outbox.flush(5)
        assert [n for batch in server.batches for n in batch] == list(range(25))
        assert max(len(batch) for batch in server.batches) <= 10
        assert outbox.counts().sent == 25
        assert outbox.close(1)

    def test_a_batch_ends_before_it_grows_too_large(self) -> None:
        server = Server()
        outbox = Outbox(server, name="x", bounds=Bounds(batch=100, batch_bytes=25, delay_s=0.01))
        for n in range(5):
            outbox.put(n, 10)
        assert outbox.flush(5)
        assert max(len(batch) for batch in server.batches) <= 2
        outbox.close(1)

    def test_it_tries_again_after_what_may_pass(self) -> None:
        server = Server(TryLater("down", 0.05), TryLater("down", 0.05), Delivered())
        outbox = Outbox(server, name="x", bounds=FAST)
        outbox.put("a")
        assert outbox.flush(5)
        assert server.batches == [["a"], ["a"], ["a"]]
        assert outbox.counts().sent == 1
        outbox.close(1)

    @pytest.mark.parametrize(
        ("outcome", "lost"),
        [(Refused("no"), {"refused": 3}), (RuntimeError("x"), {"failed": 3}), (Delivered(2), {"refused": 2})],
    )
    def test_it_counts_what_cannot_be_sent(self, outcome: Any, lost: dict[str, int]) -> None:
        outbox = Outbox(Server(outcome), name="x", bounds=Bounds(batch=3, delay_s=5))
        for n in range(3):
            outbox.put(n)
        assert outbox.flush(5)
        assert outbox.counts().lost == lost
        assert balanced(outbox)
        outbox.close(1)

    def test_it_halves_what_is_too_large_until_one_alone_is(self) -> None:
        def deliver(batch: Sequence[int]) -> Outcome:
            return TooLarge() if len(batch) > 1 or batch[0] == 7 else Delivered()

        outbox = Outbox(deliver, name="x", bounds=Bounds(batch=10, delay_s=5))
        for n in range(10):
            outbox.put(n)
        assert outbox.flush(5)
        counts = outbox.counts()
        assert (counts.sent, counts.lost) == (9, {"refused": 1})
        outbox.close(1)


class TestBounds:
    def test_it_loses_what_does_not_fit_and_keeps_what_came_first(self) -> None:
        held = threading.Event()
        seen: list[int] = []

        def deliver(batch: Sequence[int]) -> Outcome:
            held.wait(10)
            seen.extend(batch)
            return Delivered()

        outbox = Outbox(deliver, name="x", bounds=Bounds(units=5, batch=1, delay_s=0))
        taken = [outbox.put(n) for n in range(50)]
        # One may be in the hands of the thread already.
        assert sum(taken) in (5, 6)
        assert taken[:5] == [True] * 5
        held.set()
        assert outbox.flush(5)
        assert seen == [n for n, was_taken in enumerate(taken) if was_taken]
        assert outbox.counts().lost == {"queue_full": 50 - sum(taken)}
        outbox.close(1)

    def test_it_bounds_bytes_too(self) -> None:
        held = threading.Event()
        outbox: Outbox[Any] = Outbox(holding(held), name="x", bounds=Bounds(size_bytes=100))
        assert outbox.put("a", 60)
        assert not outbox.put("b", 101)
        assert not outbox.put("c", 60)
        held.set()
        outbox.close(2)

    @settings(deadline=None, max_examples=30)
    @given(
        st.lists(st.integers(0, 50), max_size=60),
        st.lists(
            st.sampled_from(
                [Delivered(), Delivered(1), Delivered(99), Refused("no"), TooLarge(), TryLater("x", 0.0), ValueError()]
            ),
            max_size=8,
        ),
        st.integers(1, 20),
        st.integers(1, 8),
    )
    def test_whatever_the_server_says_every_unit_is_accounted_for(
        self, sizes: list[int], outcomes: list[Any], units: int, batch: int
    ) -> None:
        server = Server(*outcomes, Delivered())
        outbox = Outbox(server, name="x", bounds=Bounds(units=units, size_bytes=200, batch=batch, delay_s=0))
        for size in sizes:
            outbox.put(size, size)
        assert outbox.flush(10)
        counts = outbox.counts()
        assert counts.taken == len(sizes)
        assert counts.queued == 0
        assert counts.sent + sum(counts.lost.values()) == len(sizes)
        outbox.close(1)

    def test_many_threads_lose_no_count(self) -> None:
        outbox = Outbox(Server(), name="x", bounds=Bounds(units=500, batch=50, delay_s=0))

        def work() -> None:
            for n in range(2000):
                outbox.put(n)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outbox.flush(10)
        counts = outbox.counts()
        assert counts.taken == 8000
        assert counts.sent + counts.lost.get("queue_full", 0) == 8000
        outbox.close(1)


class TestEnding:
    @pytest.mark.parametrize("after", [0, 0.2])
    def test_it_ends_in_time_though_the_server_hangs(self, after: float) -> None:
        held = threading.Event()
        outbox: Outbox[Any] = Outbox(holding(held), name="x", bounds=FAST)
        for n in range(30):
            outbox.put(n)
        threading.Event().wait(after)
        started = time.monotonic()
        assert not outbox.close(0.3)
        assert time.monotonic() - started < 1
        assert outbox.counts().lost == {"unreachable": 30}
        held.set()

    def test_it_ends_in_time_though_the_server_is_down(self) -> None:
        outbox = Outbox(Server(TryLater("down")), name="x", bounds=FAST)
        outbox.put(1)
        started = time.monotonic()
        outbox.close(0.3)
        assert time.monotonic() - started < 1
        assert outbox.counts().lost == {"unreachable": 1}

    def test_what_comes_after_the_end_is_counted(self) -> None:
        outbox = Outbox(Server(), name="x", bounds=FAST)
        outbox.put(1)
        assert outbox.close(1)
        assert not outbox.put(2)
        assert outbox.close(1)
        assert outbox.counts().lost == {"closed": 1}
        assert balanced(outbox)

    def test_flush_gives_up_in_time(self) -> None:
        held = threading.Event()
        outbox: Outbox[Any] = Outbox(holding(held), name="x", bounds=FAST)
        outbox.put(1)
        started = time.monotonic()
        assert not outbox.flush(0.1)
        assert time.monotonic() - started < 1
        held.set()
        assert outbox.flush(5)
        outbox.close(1)

    def test_its_thread_ends_and_tidies_up(self) -> None:
        ended = threading.Event()
        outbox = Outbox(Server(), name="tidy", bounds=FAST, at_end=ended.set)
        outbox.put(1)
        outbox.close(2)
        assert ended.wait(2)
        assert "custodes-tidy" not in {thread.name for thread in threading.enumerate()}


class TestForks:
    def test_a_child_begins_empty_and_can_send(self) -> None:
        held = threading.Event()
        sent: list[int] = []

        def deliver(batch: Sequence[int]) -> Outcome:
            held.wait(20)
            sent.extend(batch)
            return Delivered()

        outbox = Outbox(deliver, name="x", bounds=FAST)
        outbox.put(1)
        reading, writing = os.pipe()
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            held.set()
            before = outbox.counts()
            outbox.put(2)
            outbox.flush(5)
            os.write(writing, repr((before.taken, sent)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        assert os.read(reading, 1000) == b"(0, [2])"
        os.close(reading)
        held.set()
        assert outbox.flush(5)
        assert sent == [1]
        outbox.close(1)


class TestReentrance:
    def test_a_destructor_may_put_while_a_put_is_under_way(self) -> None:
        outbox: Outbox[Any] = Outbox(Server(), name="x", bounds=Bounds(units=100_000, batch=10, delay_s=0))

        class Dying:
            def __init__(self) -> None:
                self.itself = self

            def __del__(self) -> None:
                outbox.put("last words")

        old = gc.get_threshold()
        gc.set_threshold(5)
        try:
            for n in range(3000):
                Dying()
                outbox.put([n])
        finally:
            gc.set_threshold(*old)
        # While the sending thread collects, collecting here does nothing: its destructors may still be at work.
        for _ in range(1000):
            gc.collect()
            if outbox.counts().taken == 6000:
                break
            threading.Event().wait(0.01)
        assert outbox.flush(10)
        assert outbox.counts().sent == 6000
        outbox.close(1)


class TestWarnings:
    def test_it_says_something_at_most_once_a_minute(self, caplog: pytest.LogCaptureFixture) -> None:
        now = [0.0]
        log = QuietLog(clock=lambda: now[0])
        with caplog.at_level(logging.WARNING, "custodes_sdk"):
            for _ in range(100):
                log.caution("lost %d", 1)
            now[0] = 61.0
            log.caution("lost %d", 2)
        assert [record.getMessage() for record in caplog.records] == [
            "lost 1",
            "lost 2",
            "99 warnings were left out since the last one",
        ]

    def test_a_broken_handler_does_not_reach_the_host(self) -> None:
        class Broken(logging.Handler):
            def handle(self, record: logging.LogRecord) -> bool:
                raise RuntimeError("no")

        logger = logging.getLogger("custodes_sdk")
        handler = Broken()
        logger.addHandler(handler)
        try:
            QuietLog().caution("x")
        finally:
            logger.removeHandler(handler)
