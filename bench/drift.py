"""Drift: run lengths to false alarms, delays and cost, beside Evidently, MMD windows, NEWMA and a permutation test.

Streams are real sentences (bench/drift_corpus.py), each with a reference of its own. Sizes: ``BENCH_DRIFT_STREAMS``
null streams of ``BENCH_DRIFT_LENGTH`` exchanges, the first ``BENCH_DRIFT_PEER_STREAMS`` of which calibrate all
methods alike, and ``BENCH_DRIFT_SEEDS`` streams for each kind of drift. Shares and run lengths come with 95 %
intervals. Writes plots into ``bench/results/``.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, chi2

from bench.drift_corpus import Corpus, load_corpus
from bench.drift_peers import (
    CONTINUOUS,
    LOOK_EVERY,
    WINDOW,
    Features,
    evidently_looks,
    make_features,
    permutation_p_value,
)
from bench.drift_plots import plot_delays, plot_run_lengths
from bench.measurement import Measurement
from custodes.runtime.evidently_batch import run_batch_method
from detectors.drift.directions import Teacher
from detectors.drift.embeddings import EmbeddingMonitor
from detectors.drift.reference import Reference, build_reference

ONLY_WHEN_NAMED = True
FloatArray = npt.NDArray[np.float64]
OURS = "Custodes"
REFERENCE = 2000
# A change comes after 1,000 to 2,023 exchanges: anywhere in the blocks that a monitor learns from.
BEFORE = 1000
_PHASES = 1024
RUN_LENGTH = 10_000.0
ALPHA = 1e-4
STREAMS = int(os.environ.get("BENCH_DRIFT_STREAMS", "60"))
PEER_STREAMS = int(os.environ.get("BENCH_DRIFT_PEER_STREAMS", "24"))
LENGTH = int(os.environ.get("BENCH_DRIFT_LENGTH", "100000"))
SEEDS = int(os.environ.get("BENCH_DRIFT_SEEDS", "20"))
EVIDENTLY_LOOKS = int(os.environ.get("BENCH_DRIFT_EVIDENTLY_LOOKS", "12"))
_ENCODER = "bench"
_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Drift:
    """A kind of drift: what comes after the change, how long to wait, and the divergence in nats if it is known."""

    name: str
    draw: Callable[[Corpus, np.random.Generator, int], FloatArray]
    horizon: int
    divergence: float | None = None


@dataclass(frozen=True, slots=True)
class Peaks:
    """Where a statistic's path reached new heights: its first passage of any threshold can be read off."""

    at: npt.NDArray[np.int64]
    height: FloatArray
    length: int

    def passage(self, threshold: float) -> int | None:
        """Return the first exchange at which the path was at least ``threshold``, from 0."""
        place = int(np.searchsorted(self.height, threshold))
        return int(self.at[place]) if place < len(self.at) else None


def find_peaks(path: FloatArray) -> Peaks:
    """Return the new heights of a path."""
    highest = np.maximum.accumulate(path)
    new = np.flatnonzero(np.concatenate([[True], highest[1:] > highest[:-1]]))
    return Peaks(new, highest[new], len(path))


def run_length(peaks: list[Peaks], threshold: float) -> float:
    """Return the average run length to the first passage, streams that never pass counted as far as they go."""
    passages = [one.passage(threshold) for one in peaks]
    hits = sum(one is not None for one in passages)
    waited = sum(one.length if hit is None else hit + 1 for one, hit in zip(peaks, passages, strict=True))
    return waited / hits if hits else math.inf


def share_interval(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of Clopper and Pearson for a share."""
    low = float(beta.ppf(0.025, hits, trials - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def run_length_interval(hits: int, watched: float) -> tuple[float, float]:
    """Return the 95 % interval of an average run length, for alarms that come at a constant rate while watched."""
    low = 2.0 * watched / float(chi2.ppf(0.975, 2 * hits + 2))
    high = 2.0 * watched / float(chi2.ppf(0.025, 2 * hits)) if hits else math.inf
    return low, high


def threshold_for(peaks: list[Peaks], wanted: float) -> float:
    """Return the lowest height seen whose measured run length is at least ``wanted``."""
    heights = np.unique(np.concatenate([one.height for one in peaks]))
    low, high = 0, len(heights) - 1
    while low < high:
        middle = (low + high) // 2
        if run_length(peaks, float(heights[middle])) >= wanted:
            high = middle
        else:
            low = middle + 1
    return float(heights[low])


def measure() -> list[Measurement]:
    """Return run lengths, delays at equal run length, and cost."""
    corpus = load_corpus()
    references = [_reference(corpus, seed) for seed in range(max(STREAMS, SEEDS))]
    peaks = _null_peaks(corpus, references)
    results = _null_measurements(peaks)
    # All methods on the same streams.
    thresholds = {name: threshold_for(ones[:PEER_STREAMS], RUN_LENGTH) for name, ones in peaks.items()}
    results.append(Measurement(f"{OURS}: threshold at a measured run length of 10,000", thresholds[OURS], ""))
    delays = {drift.name: _delays(corpus, references, drift, thresholds) for drift in drifts()}
    for drift in drifts():
        results += _delay_measurements(drift, delays[drift.name])
    results += _looks(corpus, references)
    results += _cost(corpus, references[0])
    plot_run_lengths(peaks, OURS)
    plot_delays(delays)
    return results


def drifts() -> list[Drift]:
    """Return the kinds of drift that are measured."""

    def mix(field: str, share: float) -> Callable[[Corpus, np.random.Generator, int], FloatArray]:
        def draw(corpus: Corpus, rng: np.random.Generator, count: int) -> FloatArray:
            drawn = corpus.draw(rng, count)
            new: FloatArray = getattr(corpus, field)
            chosen = rng.random(count) < share
            drawn[chosen] = new[rng.integers(len(new), size=int(chosen.sum()))]
            return drawn

        return draw

    def ramp(corpus: Corpus, rng: np.random.Generator, count: int) -> FloatArray:
        drawn = corpus.draw(rng, count)
        chosen = rng.random(count) < np.minimum(0.5, 0.5 * np.arange(count) / 2000)
        drawn[chosen] = corpus.topic[rng.integers(len(corpus.topic), size=int(chosen.sum()))]
        return drawn

    shares = ((0.01, 4000), (0.02, 4000), (0.05, 4000), (0.1, 4000), (0.2, 2000), (0.5, 1000))
    return [
        *[Drift(f"new topic {share:.0%}", mix("topic", share), horizon) for share, horizon in shares],
        Drift("new topic, 0 to 50 % over 2,000", ramp, 3000),
        Drift("tweets 20 % to 40 %", lambda c, rng, n: c.draw(rng, n, tweets=0.4), 2000, _bernoulli(0.4, 0.2)),
        Drift("tweets 20 % to 60 %", lambda c, rng, n: c.draw(rng, n, tweets=0.6), 1000, _bernoulli(0.6, 0.2)),
        Drift("terse answers 30 %", mix("terse", 0.3), 2000),
        Drift("assistant style 30 %", mix("assistant", 0.3), 2000),
        Drift("German 5 %", mix("german", 0.05), 2000),
        Drift("German 100 %", mix("german", 1.0), 500),
    ]


def _bernoulli(new: float, old: float) -> float:
    return new * math.log(new / old) + (1 - new) * math.log((1 - new) / (1 - old))


def _reference(corpus: Corpus, seed: int) -> tuple[FloatArray, Reference, Teacher]:
    vectors = corpus.draw(np.random.default_rng(10_000 + seed), REFERENCE)
    reference = build_reference(vectors, encoder=_ENCODER, seed=seed)
    return vectors, reference, Teacher(reference)


def _our_path(reference: Reference, teacher: Teacher, stream: FloatArray, seed: int) -> FloatArray:
    # So small an alpha never alarms: the path goes on, and any threshold can be read off.
    monitor = EmbeddingMonitor(reference, alpha=1e-200, seed=seed, teacher=teacher)
    return monitor.advance(monitor.read(stream, encoder=_ENCODER)).statistic


def _null_peaks(corpus: Corpus, references: list[tuple[FloatArray, Reference, Teacher]]) -> dict[str, list[Peaks]]:
    peaks: dict[str, list[Peaks]] = {name: [] for name in (OURS, *CONTINUOUS)}
    for seed in range(STREAMS):
        vectors, reference, teacher = references[seed]
        stream = corpus.draw(np.random.default_rng(20_000 + seed), LENGTH)
        monitor = EmbeddingMonitor(reference, alpha=1e-200, seed=seed, teacher=teacher)
        paths = [
            monitor.advance(monitor.read(stream[first : first + _CHUNK], encoder=_ENCODER)).statistic
            for first in range(0, LENGTH, _CHUNK)
        ]
        peaks[OURS].append(find_peaks(np.concatenate(paths)))
        if seed < PEER_STREAMS:
            features = make_features(vectors, stream)
            for name, peer in CONTINUOUS.items():
                peaks[name].append(find_peaks(peer(features)))
        print(f"  null stream {seed + 1} of {STREAMS}", flush=True)
    return peaks


def _null_measurements(peaks: Mapping[str, list[Peaks]]) -> list[Measurement]:
    ours = peaks[OURS]
    results = [
        Measurement("null streams, each with a reference of its own", float(len(ours)), "streams"),
        Measurement("null streams that gave every method its threshold", float(min(STREAMS, PEER_STREAMS)), "streams"),
        Measurement("exchanges in each null stream", float(ours[0].length), "exchanges"),
        Measurement("streams of each kind of drift, each with a reference of its own", float(SEEDS), "streams"),
    ]
    for alpha in (1e-3, 1e-4, 1e-5, 1e-6):
        name = f"{OURS}, alpha {alpha:g}"
        passages = [one.passage(1 / alpha) for one in ours]
        hits = sum(one is not None for one in passages)
        low, high = share_interval(hits, len(ours))
        results += [
            Measurement(f"{name}: streams with an alarm", hits / len(ours), "share"),
            Measurement(f"{name}: streams with an alarm, at least", low, "share"),
            Measurement(f"{name}: streams with an alarm, at most", high, "share"),
            Measurement(
                f"{name}: streams with an alarm, promised at most", min(1.0, ours[0].length * alpha / 2), "share"
            ),
        ]
        length = run_length(ours, 1 / alpha)
        # Without any alarm the run length is at least all that was watched.
        watched = sum(one.length if hit is None else hit + 1 for one, hit in zip(ours, passages, strict=True))
        unit = "exchanges" if hits else "exchanges watched (no alarm)"
        value = length if hits else float(watched)
        results.append(Measurement(f"{name}: run length (promised {1 / alpha:,.0f})", value, unit))
        low, high = run_length_interval(hits, watched)
        results.append(Measurement(f"{name}: run length, at least", low, "exchanges"))
        if math.isfinite(high):
            results.append(Measurement(f"{name}: run length, at most", high, "exchanges"))
    return results


def _delays(
    corpus: Corpus,
    references: list[tuple[FloatArray, Reference, Teacher]],
    drift: Drift,
    thresholds: Mapping[str, float],
) -> dict[str, list[int | None]]:
    """Return the delay of each stream by method; ``None`` where the horizon was reached first."""
    found: dict[str, list[int | None]] = {}
    for seed in range(SEEDS):
        vectors, reference, teacher = references[seed]
        rng = np.random.default_rng(30_000 + seed)
        before = BEFORE + int(rng.integers(_PHASES))
        stream = np.concatenate([corpus.draw(rng, before), drift.draw(corpus, rng, drift.horizon)])
        ours = _our_path(reference, teacher, stream, seed)
        paths: dict[str, tuple[FloatArray, float]] = {
            f"{OURS}, alpha {ALPHA:g}": (ours, 1 / ALPHA),
            OURS: (ours, thresholds[OURS]),
        }
        features = make_features(vectors, stream)
        for name, peer in CONTINUOUS.items():
            paths[name] = (peer(features), thresholds[name])
        for name, (path, threshold) in paths.items():
            hits = np.flatnonzero(path[before:] >= threshold)
            found.setdefault(name, []).append(int(hits[0]) + 1 if len(hits) else None)
    print(f"  {drift.name}: {', '.join(f'{name} {_median(ones):.0f}' for name, ones in found.items())}", flush=True)
    return found


def _median(delays: list[int | None]) -> float:
    return float(np.median([math.inf if one is None else one for one in delays]))


def _delay_measurements(drift: Drift, delays: Mapping[str, list[int | None]]) -> list[Measurement]:
    results = [
        Measurement(f"{drift.name}: median delay, {name}", min(_median(ones), float(drift.horizon)), "exchanges")
        for name, ones in delays.items()
    ]
    best = min(_median(ones) for name, ones in delays.items() if not name.startswith(OURS))
    if math.isfinite(best) and math.isfinite(_median(delays[OURS])):
        results.append(Measurement(f"{drift.name}: ours over the best peer", _median(delays[OURS]) / best, "×"))
    if drift.divergence is not None:
        bound = math.log(1 / ALPHA) / drift.divergence
        results.append(
            Measurement(
                f"{drift.name}: ours over ln(1/alpha)/KL", _median(delays[f"{OURS}, alpha {ALPHA:g}"]) / bound, "×"
            )
        )
    return results


def _looks(corpus: Corpus, references: list[tuple[FloatArray, Reference, Teacher]]) -> list[Measurement]:
    """Return how often looks every 200 exchanges at the last 1,000 alarm when nothing has changed."""
    vectors, _, _ = references[0]
    rng = np.random.default_rng(40_000)
    ends = [WINDOW + LOOK_EVERY * look for look in range(EVIDENTLY_LOOKS)]
    stream = corpus.draw(rng, ends[-1])
    results = []
    for name, (_, verdicts) in evidently_looks(vectors, stream, ends).items():
        rate = sum(verdicts) / len(verdicts)
        results.append(Measurement(f"Evidently {name}: looks that alarm on unchanged traffic", rate, "share"))
        first = verdicts.index(True) if any(verdicts) else None
        if first is not None:
            results.append(Measurement(f"Evidently {name}: first false alarm", float(ends[first]), "exchanges"))
    features = make_features(vectors, stream)
    p_values = [permutation_p_value(features, end, rng) for end in ends]
    rate = sum(one <= 0.05 for one in p_values) / len(p_values)
    results.append(Measurement("MMD permutation test at 5 %: looks that alarm on unchanged traffic", rate, "share"))
    return results


def _cost(corpus: Corpus, chosen: tuple[FloatArray, Reference, Teacher]) -> list[Measurement]:
    """Return CPU time per exchange: ours, and Evidently's MMD with 10,000 exchanges in its kernel every 200."""
    _, reference, teacher = chosen
    rng = np.random.default_rng(50_000)
    stream = corpus.draw(rng, 8000)
    began = time.process_time()
    _our_path(reference, teacher, stream, 0)
    ours = (time.process_time() - began) / len(stream)
    half = 5000
    began = time.process_time()
    run_batch_method("mmd", corpus.draw(rng, half), corpus.draw(rng, half))
    theirs = (time.process_time() - began) / LOOK_EVERY
    return [
        Measurement("CPU an exchange, Custodes", ours * 1e6, "µs"),
        Measurement("CPU an exchange, Evidently MMD, 5,000 against 5,000 every 200", theirs * 1e6, "µs"),
        Measurement("Evidently MMD over Custodes", theirs / ours, "×"),
    ]


__all__ = [
    "Features",
    "Peaks",
    "find_peaks",
    "measure",
    "run_length",
    "run_length_interval",
    "share_interval",
    "threshold_for",
]
