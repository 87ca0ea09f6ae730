"""The drift monitors' false alarms over long streams, against the bound that docs/decisions/0008 proves.

Streams are far longer than their reference: where a finite reference was reused as if it were fresh, these fail.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from detectors.drift.embeddings import EmbeddingMonitor
from detectors.drift.reference import build_reference
from detectors.drift.scalar import ScalarMonitor

FloatArray = npt.NDArray[np.float64]
# A test of a true bound fails by chance less often than this.
CHANCE = 1e-3


def largest_count(trials: int, probability: float) -> int:
    """Return the smallest count that a binomial exceeds with a probability below ``CHANCE``."""
    below = 0.0
    for count in range(trials + 1):
        below += math.comb(trials, count) * probability**count * (1 - probability) ** (trials - count)
        if 1 - below < CHANCE:
            return count
    return trials


def heavy(rng: np.random.Generator, count: int) -> FloatArray:
    """Skewed, heavy-tailed and clustered rows: as far from Gaussian as embeddings are."""
    centres = np.random.default_rng(1).standard_t(3, size=(5, 24))
    rows: FloatArray = centres[rng.choice(5, p=[0.5, 0.3, 0.15, 0.04, 0.01], size=count)]
    rows += rng.gamma(0.5, 1.0, size=rows.shape) * rng.choice([-0.3, 1.0], size=rows.shape)
    return rows


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestEmbeddingMonitor:
    @pytest.mark.parametrize(("rows", "length", "streams"), [(100, 5000, 40), (1000, 20_000, 12)])
    def test_it_keeps_its_bound_on_streams_much_longer_than_the_reference(
        self, rows: int, length: int, streams: int
    ) -> None:
        bound = 0.25
        alpha = 2 * bound / length
        alarmed = 0
        for seed in range(streams):
            rng = np.random.default_rng(seed)
            reference = build_reference(heavy(rng, rows), encoder="e", seed=seed)
            monitor = EmbeddingMonitor(reference, alpha=alpha, seed=seed)
            alarmed += bool(monitor.advance(monitor.read(heavy(rng, length), encoder="e")).alarms)
        assert alarmed <= largest_count(streams, bound)


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestScalarMonitor:
    @pytest.mark.parametrize("kind", ["binary", "lognormal", "few values"])
    def test_it_keeps_its_bound(self, kind: str) -> None:
        bound, length, streams = 0.25, 20_000, 60
        alarmed = 0
        for seed in range(streams):
            rng = np.random.default_rng(seed)
            values = {
                "binary": (rng.random(length) < 0.02).astype(np.float64),
                "lognormal": rng.lognormal(6, 1, size=length),
                "few values": rng.choice([0.0, 0.1, 1.0], size=length),
            }[kind]
            scale = "positive" if kind == "lognormal" else "unit"
            monitor = ScalarMonitor(alpha=bound / length, scale=scale, settle=50, seed=seed)  # type: ignore[arg-type]
            alarmed += bool(monitor.advance(values)[1])
        assert alarmed <= largest_count(streams, bound)


class TestTheTrap:
    def test_it_would_fail_if_ranks_were_taken_against_a_pool_that_does_not_grow(self) -> None:
        # The reason for all this: ranks against a fixed sample of 100 are not uniform, and a bet on them grows.
        rng = np.random.default_rng(5)
        alarmed = 0
        for _ in range(20):
            calibration = np.sort(rng.normal(size=100))
            ranks = (np.searchsorted(calibration, rng.normal(size=20_000)) + rng.random(20_000)) / 101
            for tilt in (-0.2, 0.2):
                wealth = np.cumsum(np.log1p(tilt * (2 * ranks - 1)))
                alarmed += bool(
                    (wealth - np.minimum.accumulate(np.concatenate([[0.0], wealth[:-1]]))).max() > math.log(1e6)
                )
        assert alarmed >= 10
