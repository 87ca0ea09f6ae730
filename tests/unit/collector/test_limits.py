"""What bounds requests that run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.auth import DEV_PRINCIPAL, Principal
from collector.limits import InflightBytes, IngestLimits, KeyLimits, MemoryGate
from custodes.kernel.errors import OverloadedError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings

ALICE = Principal("key:alice", "default", "ingester", ("ingester",))
BOB = Principal("key:bob", "default", "ingester", ("ingester",))


def refusals(metrics: Metrics, limit: str) -> float:
    return float(metrics.ingest_refusals.labels(limit)._value.get())


class TestInflightBytes:
    def test_it_refuses_what_does_not_fit_and_says_so(self) -> None:
        metrics = Metrics()
        account = InflightBytes(100, metrics)
        with account.open() as first, account.open() as second:
            first.grow(60)
            second.grow(40)
            assert metrics.registry.get_sample_value("custodes_ingest_inflight_bytes") == 100
            with pytest.raises(OverloadedError, match="CUSTODES_INGEST__MAX_INFLIGHT_BYTES") as caught:
                second.grow(1)
            assert caught.value.retry_after_s <= 5
            first.shrink(1)
            second.grow(1)
        assert refusals(metrics, "inflight_bytes") == 1

    def test_one_that_is_larger_than_the_limit_goes_in_alone(self) -> None:
        account = InflightBytes(100, Metrics())
        with account.open() as large, account.open() as small:
            large.grow(90)
            large.grow(90)
            with pytest.raises(OverloadedError):
                small.grow(1)
        with account.open() as small, account.open() as large:
            small.grow(1)
            with pytest.raises(OverloadedError):
                large.grow(101)

    def test_everything_is_given_back_at_the_end_even_of_a_failure(self) -> None:
        def fail() -> None:
            with account.open() as held:
                held.grow(70)
                held.shrink(20)
                raise RuntimeError

        account = InflightBytes(100, Metrics())
        with pytest.raises(RuntimeError):
            fail()
        assert account._used == 0

    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), max_size=40))
    def test_it_never_holds_more_than_the_limit_or_one_body(self, moves: list[tuple[int, int]]) -> None:
        account = InflightBytes(100, Metrics())
        held = [0] * 5
        with account.open() as a, account.open() as b, account.open() as c, account.open() as d, account.open() as e:
            reservations = [a, b, c, d, e]
            for which, size in moves:
                try:
                    reservations[which].grow(size)
                    held[which] += size
                except OverloadedError:
                    assert sum(held) + size > 100
                assert account._used == sum(held)
                assert sum(held) <= 100 or sum(1 for one in held if one) == 1


class TestMemoryGate:
    def run(self, work: Callable[[MemoryGate], object], capacity: int = 10) -> None:
        async def main() -> None:
            gate = MemoryGate(capacity)
            result = work(gate)
            assert asyncio.iscoroutine(result)
            await asyncio.wait_for(result, 10)
            assert gate._used == 0

        asyncio.run(main())

    def test_it_lets_in_what_fits_and_the_rest_in_order(self) -> None:
        async def work(gate: MemoryGate) -> None:
            inside: list[int] = []
            order: list[int] = []

            async def one(name: int, weight: int) -> None:
                async with gate.hold(weight):
                    inside.append(weight)
                    order.append(name)
                    assert sum(inside) <= 10 or len(inside) == 1
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    inside.remove(weight)

            await asyncio.gather(*(one(n, weight) for n, weight in enumerate([4, 4, 50, 3, 10, 1, 0, 9])))
            assert order == sorted(order)

        self.run(work)

    def test_one_that_gives_up_waiting_leaves_no_trace(self) -> None:
        async def work(gate: MemoryGate) -> None:
            async def enter() -> None:
                async with gate.hold(8):
                    await asyncio.Event().wait()

            async with gate.hold(8):
                waiting = asyncio.create_task(enter())
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            async with gate.hold(10):
                pass

        self.run(work)

    def test_one_that_gives_up_as_it_is_let_in_leaves_no_trace(self) -> None:
        async def work(gate: MemoryGate) -> None:
            async def enter() -> None:
                async with gate.hold(8):
                    raise AssertionError("it was cancelled before")

            async with gate.hold(8):
                waiting = asyncio.create_task(enter())
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        self.run(work)


class TestConcurrency:
    def test_a_key_has_so_many_requests_at_a_time(self) -> None:
        metrics = Metrics()
        keys = KeyLimits(IngestSettings(max_concurrent=2), metrics)
        with keys.enter(ALICE), keys.enter(ALICE):
            with pytest.raises(OverloadedError, match="CUSTODES_INGEST__MAX_CONCURRENT"), keys.enter(ALICE):
                pass
            with keys.enter(BOB):
                pass
        with keys.enter(ALICE):
            pass
        assert refusals(metrics, "key_concurrency") == 1
        assert not keys._running

    def test_its_own_number_comes_before_the_setting(self) -> None:
        keys = KeyLimits(IngestSettings(max_concurrent=1), Metrics())
        own = replace(ALICE, max_concurrent=2)
        with keys.enter(own), keys.enter(own), pytest.raises(OverloadedError), keys.enter(own):
            pass
        none = replace(ALICE, max_concurrent=0)
        with pytest.raises(OverloadedError), keys.enter(none):
            pass


class TestRate:
    def make(self, rate: float = 100.0) -> tuple[KeyLimits, list[float], Metrics]:
        now, metrics = [0.0], Metrics()
        return KeyLimits(IngestSettings(max_spans_per_s=rate), metrics, lambda: now[0]), now, metrics

    def refused_for(self, keys: KeyLimits, caller: Principal = ALICE) -> float:
        """Return how long the caller is told to wait, 0 when it is let in."""
        try:
            with keys.enter(caller):
                return 0.0
        except OverloadedError as error:
            return error.retry_after_s

    def test_there_is_none_by_default(self) -> None:
        keys = KeyLimits(IngestSettings(), Metrics())
        keys.charge(ALICE, 10**9)
        assert self.refused_for(keys) == 0

    def test_a_key_pays_for_what_it_sent_before_it_sends_more(self) -> None:
        keys, now, metrics = self.make()
        assert self.refused_for(keys) == 0
        keys.charge(ALICE, 400)
        with pytest.raises(OverloadedError, match="CUSTODES_INGEST__MAX_SPANS_PER_S"), keys.enter(ALICE):
            pass
        assert self.refused_for(keys) == 3.0
        assert self.refused_for(keys, BOB) == 0
        now[0] = 2.9
        assert self.refused_for(keys) == 1.0
        now[0] = 3.1
        assert self.refused_for(keys) == 0
        assert refusals(metrics, "key_rate") == 3

    def test_nobody_is_told_to_wait_longer_than_exporters_do(self) -> None:
        keys, _, _ = self.make()
        keys.charge(ALICE, 1_000_000)
        assert self.refused_for(keys) == 5.0

    def test_idle_time_saves_up_one_second(self) -> None:
        keys, now, _ = self.make()
        now[0] = 1_000.0
        keys.charge(ALICE, 150)
        assert self.refused_for(keys) == 1.0
        now[0] = 1_000.51
        assert self.refused_for(keys) == 0

    def test_its_own_rate_comes_before_the_setting_and_0_means_none(self) -> None:
        keys, _, _ = self.make()
        slow, free = replace(ALICE, max_spans_per_s=10.0), replace(BOB, max_spans_per_s=0.0)
        for caller in (slow, free):
            keys.charge(caller, 40)
        assert self.refused_for(keys, slow) == 3.0
        assert self.refused_for(keys, free) == 0

    @given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 500)), min_size=1, max_size=50))
    def test_on_average_it_holds(self, sends: list[tuple[float, int]]) -> None:
        keys, now, _ = self.make(rate=100.0)
        sent = 0
        for pause, spans in sends:
            now[0] += pause
            if self.refused_for(keys) == 0:
                keys.charge(ALICE, spans)
                sent += spans
        assert sent <= 100 + now[0] * 100 + 500


class TestIngestLimits:
    def test_a_request_counts_for_its_key_and_its_bytes(self) -> None:
        limits = IngestLimits(IngestSettings(max_concurrent=1, max_inflight_bytes=1024), Metrics())
        with limits.admit(DEV_PRINCIPAL) as reservation:
            reservation.grow(1000)
            with pytest.raises(OverloadedError), limits.admit(DEV_PRINCIPAL):
                pass
            with limits.admit(ALICE) as other, pytest.raises(OverloadedError):
                other.grow(25)
        assert limits.inflight._used == 0
