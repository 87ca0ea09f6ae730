import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift.blocks import BLOCKS
from detectors.drift.embeddings import SHARES, EmbeddingMonitor
from detectors.drift.fresh import GROUP, STAGGERS
from detectors.drift.packing import pack
from detectors.drift.ranks import rank_and_extend
from detectors.drift.reference import Reference, build_reference, reference_from_bytes
from detectors.errors import DriftFormatError, DriftInputError, DriftStateError, OtherEncoderError
from tests.unit.detectors.drift.conftest import DIM, ENCODER, usual


def advance(monitor: EmbeddingMonitor, rows: npt.NDArray[np.float64]) -> list[int]:
    return [one.at for one in monitor.advance(monitor.read(rows, encoder=ENCODER)).alarms]


class TestBatches:
    @settings(max_examples=10, deadline=None)
    @given(st.lists(st.integers(1, 90), min_size=1, max_size=12), st.integers(0, 2**32))
    def test_it_ends_in_the_same_bytes_whatever_the_batches(
        self, reference: Reference, cuts: list[int], seed: int
    ) -> None:
        rows = usual(np.random.default_rng(seed), 300)
        rows[np.random.default_rng(seed + 1).random(300) < 0.1] = np.nan
        whole, parts = (EmbeddingMonitor(reference, alpha=1e-3) for _ in range(2))
        trace = whole.advance(whole.read(rows, encoder=ENCODER)).statistic
        traces = []
        place = 0
        for cut in [*cuts, 300]:
            readings = parts.read(rows[place : place + cut], encoder=ENCODER)
            traces.append(parts.advance(readings).statistic)
            place += cut
        assert parts.to_bytes() == whole.to_bytes()
        assert np.array_equal(np.concatenate(traces), trace)

    @pytest.mark.parametrize("cut", [1, 7, 8, 1023, 1024, 1025, 2500])
    def test_it_continues_bit_for_bit_after_a_crash(self, reference: Reference, cut: int) -> None:
        rows = usual(np.random.default_rng(2), 2600)
        whole, before = (EmbeddingMonitor(reference, alpha=1e-9, seed=4) for _ in range(2))
        advance(whole, rows)
        advance(before, rows[:cut])
        restored = EmbeddingMonitor.from_bytes(before.to_bytes(), reference)
        assert restored.to_bytes() == before.to_bytes()
        advance(restored, rows[cut:])
        assert restored.to_bytes() == whole.to_bytes()

    def test_it_keeps_a_state_of_a_few_kilobytes_whatever_the_length(self, reference: Reference) -> None:
        monitor = EmbeddingMonitor(reference, alpha=1e-9)
        advance(monitor, usual(np.random.default_rng(3), 100))
        early = len(monitor.to_bytes())
        advance(monitor, usual(np.random.default_rng(3), 5000))
        assert early < 16_000
        assert len(monitor.to_bytes()) < 16_000


class TestDetection:
    @pytest.mark.parametrize(("kind", "within"), [("moved", 250), ("unseen", 24), ("one kind", 200), ("wider", 200)])
    def test_it_finds_drift_soon_and_says_since_when(self, reference: Reference, kind: str, within: int) -> None:
        rng = np.random.default_rng(5)
        rows = usual(rng, 1200)
        if kind == "moved":
            rows[800:] += 0.8 * np.eye(DIM)[2] + 0.8 * np.eye(DIM)[5]
        elif kind == "unseen":
            rows[800:] = 9.0 * np.eye(DIM)[1] + rng.normal(size=(400, DIM))
        elif kind == "one kind":
            few = usual(rng, 4000)
            rows[800:] = few[few[:, 0] > np.quantile(few[:, 0], 0.85)][:400]
        else:
            rows[800:] = rows[800:] * 1.5
        alarms = EmbeddingMonitor(reference, alpha=1e-4, seed=2)
        found = alarms.advance(alarms.read(rows, encoder=ENCODER)).alarms
        assert found, kind
        assert 800 <= found[0].at < 800 + within
        assert found[0].statistic >= 1e4
        assert abs(found[0].onset - 800) < 150

    def test_it_goes_on_watching_after_an_alarm(self, reference: Reference) -> None:
        rng = np.random.default_rng(6)
        rows = usual(rng, 900)
        rows[300:500] += 3.0
        rows[700:] += 3.0
        found = advance(EmbeddingMonitor(reference, alpha=1e-4), rows)
        assert any(300 <= at < 500 for at in found)
        assert any(700 <= at < 900 for at in found)


class TestBadInput:
    def test_it_does_not_let_embeddings_that_say_nothing_alarm_or_change_evidence(self, reference: Reference) -> None:
        monitor = EmbeddingMonitor(reference, alpha=1e-3)
        advance(monitor, usual(np.random.default_rng(7), 100))
        statistic = monitor.statistic
        broken = np.zeros((3000, DIM))
        broken[1000:2000] = np.nan
        broken[2000:, 3] = np.inf
        assert advance(monitor, broken) == []
        assert (monitor.statistic, monitor.seen, monitor.unusable) == (statistic, 100, 3000)

    def test_it_watches_constant_embeddings_without_an_alarm(self) -> None:
        constant = build_reference(np.ones((200, 6)), encoder=ENCODER)
        monitor = EmbeddingMonitor(constant, alpha=1e-4)
        assert advance(monitor, np.ones((5000, 6))) == []
        # And still sees when they are no longer constant.
        assert advance(monitor, np.ones((400, 6)) + np.eye(6)[2])

    def test_it_refuses_another_encoder_and_another_length(self, reference: Reference) -> None:
        monitor = EmbeddingMonitor(reference, alpha=1e-3)
        with pytest.raises(OtherEncoderError, match="another-encoder"):
            monitor.read(np.ones((1, DIM)), encoder="another-encoder")
        with pytest.raises(OtherEncoderError, match="length 12"):
            monitor.read(np.ones((1, DIM + 1)), encoder=ENCODER)

    def test_it_refuses_states_and_readings_of_another_reference(self, reference: Reference) -> None:
        other = build_reference(usual(np.random.default_rng(8), 100), encoder=ENCODER)
        monitor = EmbeddingMonitor(other, alpha=1e-3)
        with pytest.raises(DriftStateError, match="another reference"):
            EmbeddingMonitor.from_bytes(monitor.to_bytes(), reference)
        with pytest.raises(DriftStateError, match="another reference"):
            EmbeddingMonitor(reference, alpha=1e-3).advance(monitor.read(np.ones((1, DIM)), encoder=ENCODER))

    def test_it_tells_bytes_of_another_release_from_damaged_ones(self, reference: Reference) -> None:
        with pytest.raises(DriftFormatError, match="embedding-monitor has the format of another release"):
            EmbeddingMonitor.from_bytes(pack("embedding-monitor", {}, {}), reference)
        with pytest.raises(DriftFormatError, match="reference has the format of another release"):
            reference_from_bytes(pack("reference", {}, {}))
        with pytest.raises(DriftStateError, match="expected a stored reference-2, found a embedding-monitor-2"):
            reference_from_bytes(EmbeddingMonitor(reference, alpha=1e-3).to_bytes())

    def test_it_finds_damaged_bytes(self, reference: Reference) -> None:
        data = bytearray(EmbeddingMonitor(reference, alpha=1e-3).to_bytes())
        data[100] ^= 1
        with pytest.raises(DriftStateError, match="damaged"):
            EmbeddingMonitor.from_bytes(bytes(data), reference)

    def test_it_takes_an_empty_batch(self, reference: Reference) -> None:
        monitor = EmbeddingMonitor(reference, alpha=1e-3)
        assert advance(monitor, np.ones((0, DIM))) == []

    @pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0, float("nan")])
    def test_it_refuses_an_alpha_that_is_no_rate(self, reference: Reference, alpha: float) -> None:
        with pytest.raises(DriftInputError, match="alpha"):
            EmbeddingMonitor(reference, alpha=alpha)


class TestGuarantee:
    def test_it_shares_alpha_among_its_views(self) -> None:
        assert SHARES.sum() == pytest.approx(1.0)

    def test_it_uses_each_held_out_row_once_between_two_restarts(self, reference: Reference) -> None:
        fresh = EmbeddingMonitor(reference, alpha=1e-9)._fresh
        groups, rows = fresh._groups_in_cycle, fresh._rows
        firsts = [group % groups * rows for group in range(3 * groups)]
        for stagger in range(STAGGERS):
            restarts = [g for g in range(3 * groups) if (g + stagger * groups // STAGGERS) % groups == 0]
            for begin, end in itertools.pairwise(restarts):
                used = [row for first in firsts[begin:end] for row in range(first, first + rows)]
                assert len(used) == len(set(used))
                assert max(used) < len(reference.held)
        assert GROUP * groups >= 100

    @pytest.mark.parametrize("view", range(3))
    def test_its_blocks_are_fair_whatever_taught_them(self, view: int) -> None:
        # A block ranks among held-out rows that had no part in its direction, so its first ranks are uniform over
        # references, also when what taught it was strange.
        found = []
        for seed in range(60):
            rng = np.random.default_rng([7, seed])
            reference = build_reference(usual(rng, 96), encoder=ENCODER, seed=seed)
            monitor = EmbeddingMonitor(reference, alpha=1e-9, seed=seed)
            length = BLOCKS[view]
            strange = usual(rng, length)
            strange[::3] += rng.normal(size=DIM)
            monitor.advance(monitor.read(strange, encoder=ENCODER))
            bins = monitor._blocks.bins(monitor.read(usual(rng, 32), encoder=ENCODER).whole)
            pool = monitor._pools[3 + view][None, :].copy()
            found.append(rank_and_extend(pool, bins[:, view : view + 1], rng.random((32, 1)))[:, 0])
        ranks = np.stack(found)
        # Ranks are uniform, to four standard errors.
        assert abs(ranks.mean() - 0.5) < 4 / np.sqrt(12 * ranks.size)
        assert abs((ranks > 0.9).mean() - 0.1) < 4 * 0.3 / np.sqrt(ranks.size)

    def test_it_keeps_its_promise_with_a_small_reference_and_a_long_stream(self) -> None:
        # Small references are where reusing a finite one goes wrong; these streams are fifteen times as long. The bound
        # is P(alarm within 1,500) <= 1,500 · alpha / 2 = 0.15; more than 6 of 12 has a chance below 0.001.
        alarmed = 0
        for seed in range(12):
            rng = np.random.default_rng(100 + seed)
            small = build_reference(usual(rng, 100), encoder=ENCODER, seed=seed)
            alarmed += bool(advance(EmbeddingMonitor(small, alpha=2e-4, seed=seed), usual(rng, 1500)))
        assert alarmed <= 6
