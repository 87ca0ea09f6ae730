"""Small synthetic traffic, so that tests of the monitors need no model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from detectors.drift.reference import Reference, build_reference

DIM = 12
ENCODER = "test-encoder"


def usual(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Traffic of three kinds in twelve dimensions."""
    centres = np.random.default_rng(99).normal(size=(3, DIM)) * 2.0
    return centres[rng.integers(3, size=count)] + rng.normal(size=(count, DIM))


@pytest.fixture(scope="session")
def reference() -> Reference:
    return build_reference(usual(np.random.default_rng(0), 400), encoder=ENCODER, seed=1)
