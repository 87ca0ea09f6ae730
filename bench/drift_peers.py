"""The rivals of the drift benchmark: how other monitors turn a stream into a statistic, exchange by exchange.

All see the same random Fourier features of the same embeddings, made from the reference. They have thresholds but no
guarantee: their run length is what one measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from custodes.runtime.evidently_batch import METHODS, run_batch_method

FloatArray = npt.NDArray[np.float64]

LOOK_EVERY = 200
WINDOW = 1000
PERMUTATIONS = 200


@dataclass(frozen=True, slots=True)
class Features:
    """Random Fourier features (n, 256) of a stream, and the reference's (m, 256)."""

    stream: FloatArray
    reference: FloatArray


def make_features(reference: FloatArray, stream: FloatArray, seed: int = 5) -> Features:
    """Return features of a Gaussian kernel as wide as the reference's median distance."""
    rng = np.random.default_rng(seed)
    few = reference[:300]
    squared = ((few[:, None, :] - few[None, :, :]) ** 2).sum(axis=2)
    width = np.sqrt(np.median(squared[squared > 0]))
    frequencies = rng.standard_normal((reference.shape[1], 256)) / width
    phases = rng.uniform(0, 2 * np.pi, 256)

    def turn(vectors: FloatArray) -> FloatArray:
        turned: FloatArray = np.sqrt(2.0 / 256) * np.cos(vectors @ frequencies + phases)
        return turned

    return Features(turn(stream), turn(reference))


def newma(features: Features, fast: float, slow: float) -> FloatArray:
    """Two exponential means of the features, both begun at the reference's; their squared distance (Keriven et al.)."""
    centred = features.stream - features.reference.mean(axis=0)
    means = [lfilter([rate], [1.0, rate - 1.0], centred, axis=0) for rate in (fast, slow)]
    distance: FloatArray = ((means[0] - means[1]) ** 2).sum(axis=1)
    return distance


def kernel_window(features: Features, length: int) -> FloatArray:
    """Squared distance of the last ``length`` exchanges' mean feature from the reference's: a sliding MMD."""
    centred = features.stream - features.reference.mean(axis=0)
    sums = np.concatenate([np.zeros((1, centred.shape[1])), np.cumsum(centred, axis=0)])
    path = np.zeros(len(centred))
    path[length - 1 :] = (((sums[length:] - sums[:-length]) / length) ** 2).sum(axis=1)
    return path


CONTINUOUS: Mapping[str, Callable[[Features], FloatArray]] = {
    "NEWMA 1/32, 1/256": lambda features: newma(features, 1 / 32, 1 / 256),
    "NEWMA 1/128, 1/1024": lambda features: newma(features, 1 / 128, 1 / 1024),
    "kernel window 50": lambda features: kernel_window(features, 50),
    "kernel window 200": lambda features: kernel_window(features, 200),
    "kernel window 800": lambda features: kernel_window(features, 800),
}


def permutation_p_value(features: Features, end: int, rng: np.random.Generator) -> float:
    """Return the p-value of an MMD permutation test of the 1,000 exchanges before ``end`` against the reference."""
    current = features.stream[max(0, end - WINDOW) : end]
    both = np.concatenate([features.reference, current])
    size, total = len(current), both.sum(axis=0)

    def distance(chosen: FloatArray) -> float:
        return float(((chosen / size - (total - chosen) / (len(both) - size)) ** 2).sum())

    seen = distance(current.sum(axis=0))
    shuffled = [distance(both[rng.permutation(len(both))[:size]].sum(axis=0)) for _ in range(PERMUTATIONS)]
    return (1 + sum(one >= seen for one in shuffled)) / (PERMUTATIONS + 1)


def evidently_looks(
    reference: FloatArray, stream: FloatArray, ends: list[int]
) -> dict[str, tuple[list[float], list[bool]]]:
    """Return, by method, score and verdict at each look at the last 1,000 exchanges before ``ends``."""
    found: dict[str, tuple[list[float], list[bool]]] = {name: ([], []) for name in (*METHODS, "mmd, bootstrap")}
    for end in ends:
        current = stream[max(0, end - WINDOW) : end]
        for name, (scores, verdicts) in found.items():
            method = name.removesuffix(", bootstrap")
            if method != name and len(verdicts) >= 20:
                continue  # A hundred resamples a look; twenty looks say enough.
            verdict = run_batch_method(method, reference, current, bootstrap=method != name)
            scores.append(verdict.score)
            verdicts.append(verdict.drifted)
    return found
