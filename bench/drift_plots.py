"""The pictures of the drift benchmark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.drift import Peaks

_FOLDER = Path(__file__).resolve().parent / "results"
_STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
_OURS, _PEERS = "#c8442f", ("#5b6b7a", "#9aa7b2", "#3d6f8e", "#6fa3bf", "#b7c9a8", "#7a8f63")


def plot_run_lengths(peaks: Mapping[str, Sequence[Peaks]], ours: str) -> None:
    """Draw the measured run length of our monitor against the promised one."""
    from bench.drift import run_length  # noqa: PLC0415

    promised = np.geomspace(10, 1e5, 40)
    measured = [run_length(list(peaks[ours]), float(one)) for one in promised]
    with _drawing("drift-run-length.png", (5.2, 4)) as axes:
        known = [math.isfinite(one) for one in measured]
        axes.loglog(promised[known], [one for one in measured if math.isfinite(one)], color=_OURS, label="measured")
        axes.loglog(promised, promised, color=_PEERS[0], linestyle="--", linewidth=0.9, label="promised: 1/alpha")
        axes.set(
            xlabel="1/alpha (exchanges)", ylabel="average run length to a false alarm", title="Nothing has changed"
        )
        axes.legend(frameon=False)


def plot_delays(delays: Mapping[str, Mapping[str, Sequence[int | None]]]) -> None:
    """Draw median delays at equal run length by kind of drift."""
    methods = list(next(iter(delays.values())))
    with _drawing("drift-delays.png", (9, 5.2)) as axes:
        places = np.arange(len(delays))
        for index, method in enumerate(methods):
            medians = [_median(by_method[method]) for by_method in delays.values()]
            ours = method.startswith("Custodes")
            axes.plot(
                places,
                medians,
                marker="o" if ours else ".",
                linestyle="--" if "alpha" in method else "-",
                linewidth=1.6 if ours else 0.9,
                color=_OURS if ours else _PEERS[index % len(_PEERS)],
                label=method,
            )
        axes.set_yscale("log")
        axes.set_xticks(places, list(delays), rotation=35, ha="right")
        axes.set(
            ylabel="median delay (exchanges)", title="Delay at a measured run length of 10,000; gaps: not found in time"
        )
        axes.legend(frameon=False, fontsize=8)


@contextmanager
def _drawing(name: str, size: tuple[float, float]) -> Iterator[Axes]:
    # The first import on a machine lists its fonts with programs of its own and writes a cache, so it waits until here.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure.subplots()
        figure.savefig(_FOLDER / name, dpi=130)


def _median(delays: Sequence[int | None]) -> float:
    middle = float(np.median([math.inf if one is None else one for one in delays]))
    return middle if math.isfinite(middle) else math.nan
