"""Draws what ``custodes fairness`` found: each gap with its confidence sequence over the rows, alarms and tolerance."""

from __future__ import annotations

from pathlib import Path

from detectors.fairness.offline import FairnessReport

MOST_PANES = 12
_INK, _BAND, _ALARM, _TOLERANCE = "#1f3a5f", "#9db8d9", "#b3261e", "#6b6b6b"


def draw_report(report: FairnessReport, target: Path) -> None:
    """Write a PNG with one pane for each group and outcome, at most 12: those with the strongest evidence.

    Raises ``OSError`` when the file cannot be written.
    """
    # The first import on a machine lists its fonts with programs of its own and writes a cache, so it waits until here.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    keys = sorted(report.trails, key=lambda key: -report.readings[key].log_evidence)[:MOST_PANES]
    figure = Figure(figsize=(9, max(3.0, 2.4 * len(keys))), layout="constrained")
    FigureCanvasAgg(figure)
    panes = figure.subplots(max(1, len(keys)), 1, squeeze=False, sharex=True)[:, 0]
    epsilon = report.rules.epsilon
    for pane, key in zip(panes, keys, strict=False):
        group, outcome = key
        trail = report.trails[key]
        rows = [point.row for point in trail]
        pane.fill_between(
            rows, [one.interval.low for one in trail], [one.interval.high for one in trail], color=_BAND, linewidth=0
        )
        seen = [(one.row, one.interval.gap) for one in trail if one.interval.gap is not None]
        pane.plot([row for row, _ in seen], [gap for _, gap in seen], color=_INK)
        pane.axhspan(-epsilon, epsilon, facecolor="none", edgecolor=_TOLERANCE, linestyle=":")
        for alarm in report.alarms:
            if (alarm.group, alarm.outcome) == key:
                pane.axvline(alarm.at, color=_ALARM)
                if alarm.onset is not None:
                    pane.axvline(alarm.onset, color=_ALARM, linestyle="--")
        # Dollar signs would be taken for formulas, and a name may be anything.
        title = f"{outcome} of {group} against all others".replace("$", r"\$")
        pane.set_title(title[:100], fontsize=10, loc="left")
        pane.set_ylim(*_limits([one.interval.low for one in trail], [one.interval.high for one in trail], epsilon))
        pane.set_ylabel("gap")
    panes[-1].set_xlabel("rows; solid red: alarm, dashed red: most likely beginning, dotted: tolerance")
    figure.savefig(target, format="png", dpi=110)


def _limits(lows: list[float], highs: list[float], epsilon: float) -> tuple[float, float]:
    """Return limits that show the last half of the course well; early intervals span everything."""
    half = len(lows) // 2
    low, high = min([*lows[half:], -2 * epsilon]), max([*highs[half:], 2 * epsilon])
    margin = 0.1 * (high - low) or 0.1
    return low - margin, high + margin
