"""Draws an offline drift run: the statistic with its alarms, the map, and which clusters changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from detectors.drift.explanation import Explanation
    from detectors.drift.offline import OfflineRun

_USUAL, _NEW, _QUIET = "#5b6b7a", "#c8442f", "#9aa7b2"
_MOST_POINTS = 20_000


def draw_run(run: OfflineRun, path: Path, *, first: int, alpha: float) -> None:
    """Write a PNG to ``path``; ``first`` is the number of the first exchange watched."""
    # The first import on a machine lists its fonts with programs of its own and writes a cache, so it waits until here.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        told = run.episodes[0].explanation if run.episodes else None
        figure = Figure(figsize=(10, 7 if told else 3.6), layout="constrained")
        if told is None:
            _draw_statistic(figure.subplots(), run, first, alpha)
        else:
            grid = figure.add_gridspec(2, 2)
            _draw_statistic(figure.add_subplot(grid[0, :]), run, first, alpha)
            _draw_map(figure.add_subplot(grid[1, 0]), told)
            _draw_clusters(figure.add_subplot(grid[1, 1]), told)
        figure.savefig(path, format="png", dpi=120)


def _draw_statistic(axes: Axes, run: OfflineRun, first: int, alpha: float) -> None:
    step = max(1, len(run.statistic) // _MOST_POINTS)
    # The largest of each stretch, so that no alarm falls between two points.
    usable = len(run.statistic) // step * step
    heights = run.statistic[:usable].reshape(-1, step).max(axis=1) if usable else np.zeros(0)
    axes.semilogy(first + np.arange(len(heights)) * step, np.maximum(heights, 1e-2), color=_USUAL, linewidth=0.8)
    axes.axhline(1.0 / alpha, color=_NEW, linewidth=0.8, linestyle="--")
    axes.annotate(f"alarm at {1 / alpha:,.0f}", (first, 1.3 / alpha), color=_NEW)
    for episode in run.episodes:
        axes.axvspan(episode.onset, max(episode.last, episode.at), color=_NEW, alpha=0.12, linewidth=0)
        axes.axvline(episode.at, color=_NEW, linewidth=1.0)
    axes.set(xlabel="exchange", ylabel="evidence of drift", title=_title(run))


def _title(run: OfflineRun) -> str:
    if not run.episodes:
        return "No drift found"
    one = run.episodes[0]
    more = f", and {len(run.episodes) - 1} more" if len(run.episodes) > 1 else ""
    return f"Drift found at {one.at:,}, probably since {one.onset:,}{more}"


def _draw_map(axes: Axes, told: Explanation) -> None:
    axes.scatter(told.reference_map[:, 0], told.reference_map[:, 1], s=8, color=_QUIET, label="reference", linewidths=0)
    axes.scatter(
        told.current_map[:, 0],
        told.current_map[:, 1],
        s=8,
        color=_NEW,
        label="since the onset",
        linewidths=0,
        alpha=0.8,
    )
    axes.set(title="Map on the reference's main directions", xticks=[], yticks=[])
    axes.legend(frameon=False, loc="best")


def _draw_clusters(axes: Axes, told: Explanation) -> None:
    places = np.arange(len(told.clusters))
    axes.barh(places - 0.2, [one.before for one in told.clusters], height=0.38, color=_QUIET, label="before")
    axes.barh(places + 0.2, [one.since for one in told.clusters], height=0.38, color=_NEW, label="since")
    axes.set_yticks(places, [f"cluster {one.cell}" for one in told.clusters])
    axes.invert_yaxis()
    axes.set(title="Share of traffic", xlabel="share")
    if told.clusters:
        axes.legend(frameon=False)
