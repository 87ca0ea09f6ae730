"""The plots of ``bench fairness``: alarms of null streams over time, and delays against the formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.fairness_streams import NEVER

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_null(target: Path, pairs: int, alpha: float, curves: Mapping[str, NDArray[np.int64]]) -> None:
    """Draw which share of null streams had alarmed after how many pairs, beside the promised limit."""
    figure = _figure()
    pane = figure.subplots()
    for name, alarms in curves.items():
        hit = np.sort(alarms[alarms != NEVER])
        steps = np.arange(len(hit) + 1) / len(alarms)
        pane.step([1, *hit, pairs], [*steps, steps[-1]], where="post", label=name)
    pane.axhline(alpha, color="#b3261e", linestyle="--", label="promised: alpha")
    pane.set_xscale("log")
    pane.set_xlabel("pairs, one look at each")
    pane.set_ylabel("share of streams with any alarm")
    pane.legend(fontsize=8, loc="upper left")
    figure.savefig(target, format="png", dpi=110)


def draw_delays(target: Path, ratios: Mapping[float, Sequence[tuple[str, float]]]) -> None:
    """Draw mean delays divided by the formula, for each pair of rates and each alpha, beside the aim of 1.5."""
    figure = _figure()
    pane = figure.subplots()
    width = 0.8 / len(ratios)
    for number, (alpha, points) in enumerate(ratios.items()):
        places = np.arange(len(points)) + (number - (len(ratios) - 1) / 2) * width
        pane.bar(places, [ratio for _, ratio in points], width, label=f"alpha {alpha:g}")
        pane.set_xticks(np.arange(len(points)), [name for name, _ in points])
    pane.axhline(1.5, color="#b3261e", linestyle="--", label="aim")
    pane.set_xlabel("rate of the outcome in the group / among the others")
    pane.set_ylabel("mean delay / formula")
    pane.legend(fontsize=8)
    figure.savefig(target, format="png", dpi=110)


def _figure() -> Figure:
    # The first import on a machine lists its fonts with programs of its own and writes a cache, so it waits until here.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
