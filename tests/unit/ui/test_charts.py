"""Charts as pure functions from numbers to specifications."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes_sdk.models import Gap, GapCourse, GapInterval, GapPoint, Point, Series, Span, Timeseries
from ui.charts.gaps import course_chart, course_to_frame, gaps_chart, gaps_to_frame
from ui.charts.series import line_chart, timeseries_to_frame
from ui.charts.spark import spark_chart, spark_frame
from ui.charts.waterfall import order_spans, waterfall_chart, waterfall_frame, waterfall_rows

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def series(*values: float | None) -> Timeseries:
    points = tuple(Point(t=NOON + timedelta(minutes=index), value=value, n=3) for index, value in enumerate(values))
    return Timeseries(step_s=60, series=(Series(group="bot", points=points),))


def span(
    number: int, parent: int | None = None, start_ms: float = 0, length_ms: float | None = 10, **rest: Any
) -> Span:
    begin = NOON + timedelta(milliseconds=start_ms)
    return Span(
        span_id=str(number),
        parent_span_id=None if parent is None else str(parent),
        start=begin,
        end=None if length_ms is None else begin + timedelta(milliseconds=length_ms),
        duration_ms=length_ms,
        name=rest.pop("name", f"span {number}"),
        **rest,
    )


class TestLines:
    def test_it_keeps_a_gap_where_nothing_was_assessed(self) -> None:
        frame = timeseries_to_frame(series(0.1, None, 0.3))
        assert [math.isnan(value) for value in frame["value"]] == [False, True, False]

    def test_it_draws_scores_on_a_fixed_axis_and_names_itself(self) -> None:
        chart = line_chart(timeseries_to_frame(series(0.1)), title="T", description="D", score=True, groups=["bot"])
        spec = chart.to_dict()
        assert spec["encoding"]["y"]["scale"]["domain"] == [0, 1]
        assert spec["encoding"]["color"]["scale"]["domain"] == ["bot"]
        assert spec["description"] == "D"
        assert spec["mark"]["invalid"] == "break-paths-show-domains"

    def test_it_draws_counts_from_zero(self) -> None:
        chart = line_chart(timeseries_to_frame(series(9.0)), title="T", description="D", score=False, groups=["bot"])
        assert chart.to_dict()["encoding"]["y"]["scale"]["zero"] is True

    def test_it_copes_with_no_data(self) -> None:
        frame = timeseries_to_frame(Timeseries(step_s=60))
        assert list(frame.columns) == ["t", "group", "value", "n"]
        assert line_chart(frame, title="T", description="D", score=True, groups=[]).to_dict()


class TestSpark:
    def test_it_does_not_exaggerate_small_scores(self) -> None:
        spec = spark_chart(spark_frame([(NOON, 0.01), (NOON, 0.02)]), description="D", score=True).to_dict()
        assert spec["encoding"]["y"]["scale"]["domain"] == [0, 1.0]

    @pytest.mark.parametrize("values", [[0.0, 0.0], [None, None], []])
    def test_it_copes_with_nothing_to_draw(self, values: list[float | None]) -> None:
        chart = spark_chart(spark_frame([(NOON, value) for value in values]), description="D", score=False)
        assert chart.to_dict()["encoding"]["y"]["scale"]["domain"] == [0, 1.0]


class TestSpanOrder:
    def test_it_puts_parents_before_children_and_siblings_by_start(self) -> None:
        spans = [span(3, 1, start_ms=5), span(2, 1, start_ms=9), span(1), span(4, 3, start_ms=6)]
        assert [(found.span_id, depth) for found, depth in order_spans(spans)] == [
            ("1", 0), ("3", 1), ("4", 2), ("2", 1),
        ]  # fmt: skip

    def test_it_takes_a_span_without_its_parent_as_a_root(self) -> None:
        assert [depth for _, depth in order_spans([span(1, 99), span(2, 1)])] == [0, 1]

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12, unique_by=lambda pair: pair[0]))
    def test_it_shows_every_span_once_even_in_a_cycle(self, links: list[tuple[int, int]]) -> None:
        spans = [span(number, parent) for number, parent in links]
        assert sorted(found.span_id for found, _ in order_spans(spans)) == sorted(found.span_id for found in spans)

    def test_it_survives_a_very_deep_trace(self) -> None:
        spans = [span(number, number - 1 if number else None) for number in range(3_000)]
        assert order_spans(spans)[-1][1] == 2_999


class TestWaterfall:
    def test_it_measures_from_the_start_of_the_trace(self) -> None:
        frame = waterfall_frame([span(1, length_ms=100), span(2, 1, start_ms=40, length_ms=20)], {"2": "toxicity 0.93"})
        assert list(frame["start_ms"]) == [0, 40]
        assert list(frame["end_ms"]) == [100, 60]
        assert list(frame["scores"]) == ["none", "toxicity 0.93"]
        assert frame["name"].iloc[1] == "└ span 2"

    def test_it_says_when_a_span_has_no_end(self) -> None:
        frame = waterfall_frame([span(1, length_ms=None)], {})
        assert frame["note"].iloc[0] == "no end"
        assert frame["end_ms"].iloc[0] == 0

    def test_it_outlines_failed_spans_only(self) -> None:
        frame = waterfall_frame([span(1, status="error"), span(2, status="ok")], {})
        assert list(frame["failed"]) == [True, False]

    def test_it_keeps_a_name_from_becoming_an_expression(self) -> None:
        frame = waterfall_frame([span(1, name="'}[0]; alert(1) \\ \"")], {})
        expression = waterfall_chart(frame, description="D").to_dict()["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
        assert "alert" not in expression
        literal = expression.removeprefix("{0: '").removesuffix("'}[datum.value]")
        assert json.loads(f'"{literal}"') == "'}[0]; alert(1) \\ \""

    def test_it_shows_hidden_characters_in_names(self) -> None:
        assert waterfall_frame([span(1, name="a\u202eb")], {})["name"].iloc[0] == "a<U+202E>b"

    def test_it_draws_no_more_rows_than_a_browser_bears(self) -> None:
        assert len(waterfall_frame([span(number) for number in range(700)], {})) == 500

    def test_it_has_the_same_numbers_as_a_table(self) -> None:
        rows = waterfall_rows(waterfall_frame([span(1, length_ms=1284)], {}))
        assert rows == [
            {
                "Span": "span 1", "Kind": "Other", "Start (ms)": "0.0", "End (ms)": "1,284.0", "Duration": "1.28 s",
                "Scores": "none", "Status": "not failed",
            }
        ]  # fmt: skip

    def test_it_copes_with_no_span(self) -> None:
        assert waterfall_chart(waterfall_frame([], {}), description="D").to_dict()


def gap(**rest: Any) -> Gap:
    recent = GapInterval(pairs=100, gap=0.1, gap_low=0.04, gap_high=0.16)
    fields: dict[str, Any] = {"segment_id": 1, "family": "prompt", "group": "a:b", "outcome": "slow", "state": "gap",
                              "at": NOON, "recent": recent}  # fmt: skip
    return Gap(**{**fields, **rest})


class TestGaps:
    def test_it_draws_points_and_leaves_out_what_was_not_compared(self) -> None:
        empty = gap(recent=GapInterval())
        frame = gaps_to_frame([gap(), empty], ["x", "y"], ["Gap", "Watching"])
        assert frame.to_dict("records") == [
            {"name": "x", "state": "Gap", "gap": 10.0, "low": 4.0, "high": 16.0, "pairs": 100}
        ]

    def test_it_names_itself_and_keeps_zero_in_the_middle(self) -> None:
        spec = gaps_chart(gaps_to_frame([gap()], ["x"], ["Gap"]), epsilon=0.02, description="D").to_dict()
        assert spec["description"] == "D"
        low, high = spec["layer"][1]["encoding"]["x"]["scale"]["domain"]
        assert low == -high

    def test_it_draws_nothing_without_failing(self) -> None:
        json.dumps(gaps_chart(gaps_to_frame([], [], []), epsilon=0.0, description="D").to_dict(), allow_nan=False)

    def test_a_course_shows_the_later_half_well(self) -> None:
        points = tuple(
            GapPoint(at=NOON + timedelta(minutes=n), pairs=n, gap=0.1, gap_low=-1 + 0.1 * n, gap_high=0.2)
            for n in range(11)
        )
        frame = course_to_frame(GapCourse(points=points))
        spec = course_chart(frame, epsilon=0.02, description="D").to_dict()
        low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
        assert low > -80
        assert high > 20
        assert spec["layer"][0]["encoding"]["y"]["scale"]["clamp"] is True
