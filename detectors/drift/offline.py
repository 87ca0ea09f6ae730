"""Runs the live drift monitor over a finished stream, and says what it found: ``custodes drift`` between reading and
printing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.drift.directions import Teacher
from detectors.drift.embeddings import Alarm, EmbeddingMonitor
from detectors.drift.explanation import Explanation, explain
from detectors.drift.reference import Reference

# An alarm this soon after another is the same drift, found again.
_SAME_EPISODE: Final = 1000
# Explanations look at what came since the last alarm, at most so many exchanges.
_EXPLAINED: Final = 8192
_BATCH: Final = 4096


@dataclass(frozen=True, slots=True)
class Episode:
    """One stretch of drift. ``at`` is its first alarm, ``last`` the last one, ``repeats`` how many followed the
    first.
    """

    at: int
    onset: int
    statistic: float
    view: str
    last: int
    repeats: int
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class OfflineRun:
    """``statistic`` is the monitor's after each exchange of the stream (n,); episodes in the order of the stream."""

    statistic: npt.NDArray[np.float64]
    episodes: tuple[Episode, ...]
    unusable: int


def run_offline(
    reference: Reference,
    vectors: npt.NDArray[Any],
    *,
    encoder: str,
    alpha: float,
    first: int = 0,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> OfflineRun:
    """Watch ``vectors`` ``(n, dim)`` in order. Exchanges are numbered from ``first``.

    Raises OtherEncoderError if the vectors do not belong to the reference.
    """
    teacher = Teacher(reference)
    monitor = EmbeddingMonitor(reference, alpha=alpha, seed=seed, teacher=teacher)
    traces = []
    alarms: list[list[Alarm]] = []
    for start in range(0, len(vectors), _BATCH):
        advance = monitor.advance(monitor.read(vectors[start : start + _BATCH], encoder=encoder))
        traces.append(advance.statistic)
        for alarm in advance.alarms:
            if alarms and alarm.at - alarms[-1][-1].at <= _SAME_EPISODE:
                alarms[-1].append(alarm)
            else:
                alarms.append([alarm])
        if progress is not None:
            progress(min(len(vectors), start + _BATCH))
    statistic = np.concatenate(traces) if traces else np.zeros(0)
    episodes = []
    after = 0
    for same in alarms:
        begin, end = same[0], same[-1]
        since = max(after, begin.at + 1 - _EXPLAINED)
        numbers = np.arange(since, end.at + 1) + first
        told = explain(reference, vectors[since : end.at + 1], numbers, onset=first + begin.onset, teacher=teacher)
        # What came after the first alarm may sharpen the picture, but a change that was found had begun.
        onset = min(told.onset, first + begin.at)
        episodes.append(
            Episode(first + begin.at, onset, begin.statistic, begin.view, first + end.at, len(same) - 1, told)
        )
        after = end.at + 1
    return OfflineRun(statistic, tuple(episodes), monitor.unusable)


def render_episode(episode: Episode) -> dict[str, Any]:
    """Return plain JSON values of an alarm, as ``custodes drift --json`` prints it."""
    told = episode.explanation
    return {
        "at": episode.at,
        "onset": episode.onset,
        "statistic": episode.statistic,
        "view": episode.view,
        "last": episode.last,
        "repeats": episode.repeats,
        "explanation": render_explanation(told),
    }


def render_explanation(told: Explanation) -> dict[str, Any]:
    """Return plain JSON values of an explanation: names and numbers, never text."""
    return {
        "onset": told.onset,
        "exchanges_since": told.since,
        "separation": round(told.separation, 4),
        "novel_share": round(told.novel, 4),
        "clusters": [
            {
                "cell": one.cell,
                "before": round(one.before, 4),
                "since": round(one.since, 4),
                "examples": list(one.examples),
            }
            for one in told.clusters
        ],
        "examples": list(told.examples),
        "map": {
            "reference": np.round(told.reference_map, 3).tolist(),
            "current": np.round(told.current_map, 3).tolist(),
            "current_numbers": list(told.current_numbers),
        },
    }
