"""Draws a reliability diagram as SVG: what was promised against what came true, with how much text stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

BINS: Final = 10
SIZE: Final = 360
MARGIN: Final = 48
COLOURS: Final = ("#1f5fa8", "#b8541a", "#3a7d44")


def bin_reliability(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = BINS
) -> list[tuple[float, float, int]]:
    """Return (mean probability, share that was true, count) of each equal-width bin that holds anything."""
    flags, values = np.asarray(truth, dtype=float), np.asarray(probabilities, dtype=float)
    places = np.minimum((values * bins).astype(int), bins - 1)
    return [
        (float(values[places == place].mean()), float(flags[places == place].mean()), int((places == place).sum()))
        for place in range(bins)
        if (places == place).any()
    ]


def draw_reliability(
    title: str, series: Mapping[str, Sequence[tuple[float, float, int]]], *, outcome: str = "unsupported"
) -> str:
    """Return the diagram, whose vertical axis is the share of ``outcome``.

    A point's area grows with the number of examples in its bin.
    """
    plot = SIZE - 2 * MARGIN

    def x(value: float) -> float:
        return round(MARGIN + plot * value, 1)

    def y(value: float) -> float:
        return round(SIZE - MARGIN - plot * value, 1)

    height = SIZE + 18 * len(series)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE}" height="{height}" viewBox="0 0 {SIZE} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{SIZE}" height="{height}" fill="#ffffff"/>',
        f'<text x="{SIZE / 2}" y="24" text-anchor="middle" font-size="14">{title}</text>',
        f'<rect x="{MARGIN}" y="{MARGIN}" width="{plot}" height="{plot}" fill="none" stroke="#999999"/>',
        f'<line x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}" stroke="#999999" stroke-dasharray="4 4"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        lines += [
            f'<text x="{x(tick)}" y="{SIZE - MARGIN + 16}" text-anchor="middle">{tick:g}</text>',
            f'<text x="{MARGIN - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>',
        ]
    lines += [
        f'<text x="{SIZE / 2}" y="{SIZE - 12}" text-anchor="middle">score</text>',
        f'<text x="14" y="{SIZE / 2}" text-anchor="middle" transform="rotate(-90 14 {SIZE / 2})">{outcome}</text>',
    ]
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        total = sum(count for _, _, count in points)
        path = " ".join(f"{x(promised)},{y(found)}" for promised, found, _ in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        lines += [
            f'<circle cx="{x(promised)}" cy="{y(found)}" r="{2 + 10 * (count / total) ** 0.5:.1f}" fill="{colour}" '
            'fill-opacity="0.55"/>'
            for promised, found, count in points
        ]
        row = SIZE + 18 * number
        lines.append(f'<circle cx="{MARGIN}" cy="{row}" r="5" fill="{colour}"/>')
        lines.append(f'<text x="{MARGIN + 12}" y="{row + 4}">{name}, {total} examples</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
