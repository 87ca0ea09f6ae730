import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift.scalar import ScalarMonitor
from detectors.errors import DriftInputError, DriftStateError


class TestScalarMonitor:
    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.sampled_from([0.0, 0.2, 0.9, 1.0, float("nan")]), max_size=200), st.integers(1, 50))
    def test_it_ends_in_the_same_bytes_whatever_the_batches(self, values: list[float], cut: int) -> None:
        whole, parts = ScalarMonitor(alpha=0.01, settle=5), ScalarMonitor(alpha=0.01, settle=5)
        trace, _ = whole.advance(values)
        cuts = [parts.advance(values[n : n + cut])[0] for n in range(0, len(values), cut)]
        assert whole.to_bytes() == parts.to_bytes()
        assert np.array_equal(trace, np.concatenate([np.zeros(0), *cuts]))

    def test_it_continues_bit_for_bit_after_a_crash(self) -> None:
        values = np.random.default_rng(0).gamma(2.0, 300.0, size=900)
        whole, halved = ScalarMonitor(alpha=0.01, scale="positive"), ScalarMonitor(alpha=0.01, scale="positive")
        whole.advance(values)
        halved.advance(values[:417])
        restored = ScalarMonitor.from_bytes(halved.to_bytes())
        restored.advance(values[417:])
        assert restored.to_bytes() == whole.to_bytes()

    @pytest.mark.parametrize(("after", "direction"), [(1.4, "up"), (0.7, "down")])
    def test_it_finds_a_change_either_way_and_says_since_when(self, after: float, direction: str) -> None:
        rng = np.random.default_rng(1)
        latency = rng.lognormal(6.0, 0.5, size=3000)
        latency[2000:] *= after
        _, alarms = ScalarMonitor(alpha=1e-6, scale="positive").advance(latency)
        assert [one.direction for one in alarms[:1]] == [direction]
        assert 2000 <= alarms[0].at < 2200
        assert abs(alarms[0].onset - 2000) < 60

    def test_it_finds_a_refusal_rate_that_doubles(self) -> None:
        rng = np.random.default_rng(2)
        refused = rng.random(8000) < np.where(np.arange(8000) < 4000, 0.05, 0.1)
        _, alarms = ScalarMonitor(alpha=1e-6).advance(refused.astype(float))
        assert 4000 <= alarms[0].at < 5500

    def test_it_is_not_alarmed_by_a_constant(self) -> None:
        trace, alarms = ScalarMonitor(alpha=1e-3).advance(np.full(20_000, 0.5))
        assert alarms == ()
        assert trace.max() == 0.0

    def test_it_takes_missing_values_for_nothing(self) -> None:
        monitor = ScalarMonitor(alpha=1e-3)
        trace, alarms = monitor.advance([float("nan"), float("inf"), -float("inf")] * 100)
        assert (monitor.seen, monitor.unusable, trace.max(), alarms) == (0, 300, 0.0, ())

    def test_it_puts_what_lies_outside_the_scale_at_its_end(self) -> None:
        monitor = ScalarMonitor(alpha=1e-3, scale="positive")
        monitor.advance([-5.0, 0.0, 1e300])
        assert monitor.seen == 3

    @pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
    def test_it_refuses_an_alpha_that_is_no_rate(self, alpha: float) -> None:
        with pytest.raises(DriftInputError, match="alpha"):
            ScalarMonitor(alpha=alpha)

    def test_it_finds_damaged_bytes(self) -> None:
        data = bytearray(ScalarMonitor(alpha=0.1).to_bytes())
        data[-3] ^= 1
        with pytest.raises(DriftStateError, match="damaged"):
            ScalarMonitor.from_bytes(bytes(data))

    def test_it_keeps_its_run_length(self) -> None:
        # Ville for restarts: P(alarm within 1,000) <= 1,000 · alpha = 0.2. Of 200 streams more than 60 would have
        # chance below 1e-3 (binomial), so this fails once in a thousand changes of the seed at worst.
        rng = np.random.default_rng(3)
        alarmed = 0
        for seed in range(200):
            _, alarms = ScalarMonitor(alpha=2e-4, settle=20, seed=seed).advance(rng.beta(2, 5, size=1020))
            alarmed += bool(alarms)
        assert alarmed <= 60
