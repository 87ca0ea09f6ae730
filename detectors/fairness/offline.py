"""Runs the monitor over a file's rows: what ``custodes fairness FILE`` does between reading and printing.

The panel is the one that watches live traffic, looking at every row. Only the groups are known beforehand here, so they
share the error probability equally. Of two groups one is watched, the rarer one: the other's gap is its mirror image.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from detectors.errors import TooManyGroupsError
from detectors.fairness.gap import Interval, Reading, StratumReading
from detectors.fairness.panel import Alarm, Arrival, FairnessRules, Hypothesis, Panel
from detectors.fairness.rows import NO_GROUP, OutcomeRows

MOST_GROUPS: Final = 64
TRAIL_POINTS: Final = 240
_PROGRESS_ROWS: Final = 100_000
_LARGEST_LOG: Final = 700.0


@dataclass(frozen=True, slots=True)
class TrailPoint:
    """The gap as it stood after ``row`` rows, since the first pair."""

    row: int
    interval: Interval


@dataclass(frozen=True, slots=True)
class FairnessReport:
    """What came out: one reading for each watched group and outcome, and the alarms in the order they were raised."""

    rules: FairnessRules
    rows: int
    panel: Panel
    readings: dict[Hypothesis, Reading]
    alarms: list[Alarm]
    trails: dict[Hypothesis, list[TrailPoint]]


def watched_groups(rows: OutcomeRows) -> list[str]:
    """Return the groups to compare with all others, by name; raise ``TooManyGroupsError`` above 64."""
    counts = Counter(place for place in rows.groups if place != NO_GROUP)
    if len(counts) > MOST_GROUPS:
        raise TooManyGroupsError(
            f"{len(counts)} groups, at most {MOST_GROUPS} can be compared; use fewer, larger groups"
        )
    names = sorted(rows.group_names)
    if len(names) != 2 or NO_GROUP in rows.groups:
        return names
    return [min(names, key=lambda name: (counts[rows.group_names.index(name)], -names.index(name)))]


def run_rows(
    rows: OutcomeRows, rules: FairnessRules, *, trail: bool = False, progress: Callable[[int], None] | None = None
) -> FairnessReport:
    """Return what the monitor says of ``rows``, looking after each; ``trail`` keeps the gap's course for a plot."""
    panel = Panel(rules, sorted(rows.outcomes), watched_groups(rows))
    group_sets = [frozenset({name}) for name in rows.group_names]
    nobody: frozenset[str] = frozenset()
    alarms: list[Alarm] = []
    trails: dict[Hypothesis, list[TrailPoint]] = {}
    every = max(1, math.ceil(len(rows) / TRAIL_POINTS))
    for row, (group, stratum) in enumerate(zip(rows.groups, rows.strata, strict=True)):
        arrival = Arrival(
            groups=nobody if group == NO_GROUP else group_sets[group],
            stratum=rows.stratum_names[stratum],
            outcomes={name: column[row] for name, column in rows.outcomes.items()},
            mark=row,
        )
        alarms += panel.observe(arrival)
        if trail and ((row + 1) % every == 0 or row + 1 == len(rows)):
            for key in _hypotheses(panel):
                trails.setdefault(key, []).append(TrailPoint(row + 1, panel.read(*key).whole))
        if progress is not None and (row + 1) % _PROGRESS_ROWS == 0:
            progress(row + 1)
    readings = {key: panel.read(*key) for key in _hypotheses(panel)}
    return FairnessReport(rules, len(rows), panel, readings, alarms, trails)


def _hypotheses(panel: Panel) -> list[Hypothesis]:
    return [(group, outcome) for group in panel.groups for outcome in panel.outcomes]


def render_report(report: FairnessReport) -> dict[str, Any]:
    """Return the report as plain JSON values, as documented for ``custodes fairness --json``."""
    return {
        "n": report.rows,
        "epsilon": report.rules.epsilon,
        "alpha": report.rules.alpha,
        "not_assessed": report.panel.not_assessed,
        "alarms": [_render_alarm(alarm) for alarm in report.alarms],
        "gaps": [
            {
                "group": group,
                "outcome": outcome,
                "state": report.panel.state(group, outcome, reading),
                "n_group": reading.members,
                "n_others": reading.others,
                "unplaced": reading.unplaced,
                **_render_interval(reading.whole),
                "recent": _render_interval(reading.recent),
                "statistic": to_statistic(reading.log_evidence),
                "strata": [_render_stratum(one) for one in reading.strata],
            }
            for (group, outcome), reading in report.readings.items()
        ],
    }


def to_statistic(log_evidence: float) -> float:
    """Return evidence as an e-value: an alarm needs 1/alpha. Cut off far above anything that matters."""
    return math.exp(min(log_evidence, _LARGEST_LOG))


def _render_alarm(alarm: Alarm) -> dict[str, Any]:
    return {
        "at": alarm.at,
        "onset": alarm.onset,
        "statistic": to_statistic(alarm.log_evidence),
        "group": alarm.group,
        "outcome": alarm.outcome,
        "direction": "higher" if alarm.higher else "lower",
        **{name: value for name, value in _render_interval(alarm.recent).items() if name != "since"},
    }


def _render_interval(one: Interval) -> dict[str, Any]:
    return {"pairs": one.pairs, "gap": one.gap, "gap_low": one.low, "gap_high": one.high, "since": one.since}


def _render_stratum(one: StratumReading) -> dict[str, Any]:
    return {
        "stratum": one.name,
        "n_group": one.members,
        "n_others": one.others,
        "pairs": one.pairs,
        "mean_group": one.member_mean,
        "mean_others": one.other_mean,
        "gap": one.gap,
    }
