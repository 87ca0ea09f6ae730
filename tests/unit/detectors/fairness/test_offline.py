from __future__ import annotations

import json
import math
import random
from array import array

import pytest

from detectors.errors import TooManyGroupsError
from detectors.fairness.offline import render_report, run_rows, to_statistic, watched_groups
from detectors.fairness.panel import FairnessRules
from detectors.fairness.rows import NO_GROUP, OutcomeRows


def make_rows(seed: int, n: int, rates: dict[str, float], *, change: int = 0, before: float = 0.05) -> OutcomeRows:
    rng = random.Random(seed)
    rows = OutcomeRows(group_names=list(rates), stratum_names=["s", "t"])
    outcomes = array("d")
    for row in range(n):
        group = rng.randrange(len(rates))
        rows.groups.append(group)
        rows.strata.append(rng.randrange(2))
        outcomes.append(float(rng.random() < (before if row < change else list(rates.values())[group])))
    rows.outcomes = {"outcome": outcomes}
    return rows


class TestWatchedGroups:
    def test_of_two_groups_the_rarer_one_is_watched(self) -> None:
        rows = OutcomeRows(group_names=["a", "b"], groups=array("i", [0, 0, 1]))
        assert watched_groups(rows) == ["b"]

    def test_with_rows_of_no_group_both_are(self) -> None:
        assert watched_groups(OutcomeRows(group_names=["b", "a"], groups=array("i", [0, 1, NO_GROUP]))) == ["a", "b"]

    def test_too_many_are_refused(self) -> None:
        rows = OutcomeRows(group_names=[str(one) for one in range(65)], groups=array("i", range(65)))
        with pytest.raises(TooManyGroupsError, match="65 groups"):
            watched_groups(rows)


class TestRunRows:
    def test_it_finds_a_regression_and_when_it_began(self) -> None:
        report = run_rows(make_rows(1, 16_000, {"a": 0.05, "b": 0.2}, change=8_000), FairnessRules())
        (alarm,) = report.alarms
        assert 8_000 < alarm.at < 10_000
        assert alarm.onset is not None
        assert abs(alarm.onset - 8_000) < 600

    def test_equal_groups_raise_no_alarm(self) -> None:
        assert run_rows(make_rows(2, 40_000, {"a": 0.1, "b": 0.1, "c": 0.1}), FairnessRules()).alarms == []

    def test_a_trail_ends_with_the_final_reading(self) -> None:
        report = run_rows(make_rows(3, 1_001, {"a": 0.1, "b": 0.1, "c": 0.1}), FairnessRules(), trail=True)
        for key, points in report.trails.items():
            assert points[-1].row == 1_001
            assert points[-1].interval == report.readings[key].whole

    def test_a_file_of_one_group_compares_nothing(self) -> None:
        report = run_rows(make_rows(4, 500, {"a": 0.5}), FairnessRules())
        assert report.alarms == []
        assert render_report(report)["gaps"][0]["state"] == "too_few_data"


class TestRenderReport:
    def test_it_is_plain_json_with_rows_from_zero(self) -> None:
        report = run_rows(make_rows(5, 6_000, {"a": 0.05, "b": 0.3}), FairnessRules())
        rendered = json.loads(json.dumps(render_report(report), allow_nan=False))
        assert rendered["n"] == 6_000
        (alarm,) = rendered["alarms"]
        assert 0 <= alarm["onset"] <= alarm["at"] < 6_000
        assert alarm["statistic"] >= 100
        assert {"group", "outcome", "direction", "gap", "gap_low", "gap_high", "pairs"} <= alarm.keys()
        assert [one["stratum"] for one in rendered["gaps"][0]["strata"]] == ["s", "t"]

    def test_a_statistic_is_always_finite(self) -> None:
        assert math.isfinite(to_statistic(1e9))
        assert to_statistic(-1e9) == 0.0
