from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.errors import OutcomeLineError
from detectors.fairness.rows import NO_GROUP, read_rows


class TestJsonLines:
    def test_it_reads_groups_outcomes_and_strata(self) -> None:
        rows = read_rows(
            ['{"group": "a", "outcome": 1, "stratum": "s"}\n', "\n", '{"group": "b", "outcome": 0.25}\n'], is_csv=False
        )
        assert rows.group_names == ["a", "b"]
        assert list(rows.groups) == [0, 1]
        assert rows.stratum_names == ["s", ""]
        assert list(rows.outcomes["outcome"]) == [1.0, 0.25]

    def test_it_takes_booleans_and_numbers_as_names(self) -> None:
        rows = read_rows(['{"group": true, "outcome": true}', '{"group": 7, "outcome": false}'], is_csv=False)
        assert rows.group_names == ["true", "7"]
        assert list(rows.outcomes["outcome"]) == [1.0, 0.0]

    def test_no_group_is_nobody_in_particular(self) -> None:
        assert list(read_rows(['{"group": null, "outcome": 1}'], is_csv=False).groups) == [NO_GROUP]

    @pytest.mark.parametrize("outcome", ["null", "NaN"])
    def test_an_outcome_that_was_not_assessed_stays_in_its_row(self, outcome: str) -> None:
        rows = read_rows([f'{{"group": "a", "outcome": {outcome}}}'], is_csv=False)
        assert len(rows) == 1
        assert math.isnan(rows.outcomes["outcome"][0])

    def test_it_reads_several_outcomes_by_name(self) -> None:
        rows = read_rows(
            ['{"group": "a", "outcome": {"slow": 1}}', '{"group": "a", "outcome": {"slow": 0, "refused": 1}}'],
            is_csv=False,
        )
        assert list(rows.outcomes["slow"]) == [1.0, 0.0]
        assert math.isnan(rows.outcomes["refused"][0])
        assert rows.outcomes["refused"][1] == 1.0

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("{", "not JSON"),
            ("[" * 100_000, "not JSON"),
            ("[1]", "must be an object"),
            ('{"outcome": 1}', "field 'group': is missing"),
            ('{"group": "a"}', "field 'outcome': is missing"),
            ('{"group": ["a"], "outcome": 1}', "field 'group': must be"),
            ('{"group": "a", "outcome": "1"}', "field 'outcome': must be a number"),
            ('{"group": "a", "outcome": 7}', "divide by the largest"),
            ('{"group": "a", "outcome": Infinity}', "must be in"),
            ('{"group": "a", "outcome": -0.1}', "must be in"),
            ('{"group": "a", "outcome": 1, "stratum": {}}', "field 'stratum': must be"),
        ],
    )
    def test_a_line_that_cannot_be_compared_is_named(self, line: str, problem: str) -> None:
        with pytest.raises(OutcomeLineError, match=problem) as caught:
            read_rows(['{"group": "a", "outcome": 0}', line], is_csv=False)
        assert caught.value.line_no == 2

    @given(st.lists(st.text(max_size=40), max_size=5), st.booleans())
    def test_only_our_error_escapes(self, lines: list[str], is_csv: bool) -> None:
        with contextlib.suppress(OutcomeLineError):
            read_rows(lines, is_csv=is_csv)


class TestCsv:
    def test_it_reads_by_the_header(self) -> None:
        rows = read_rows(["stratum,outcome,group\n", "s,1,a\n", "s,,b\n", "s,true,\n"], is_csv=True)
        assert rows.group_names == ["a", "b"]
        assert list(rows.groups) == [0, 1, NO_GROUP]
        assert rows.outcomes["outcome"][0] == 1.0
        assert math.isnan(rows.outcomes["outcome"][1])
        assert rows.outcomes["outcome"][2] == 1.0

    @pytest.mark.parametrize(
        ("lines", "problem"),
        [
            (["group,value\n", "a,1\n"], "lacks outcome"),
            (["group,outcome\n", "a\n"], "as many cells"),
            (["group,outcome\n", "a,1,2\n"], "as many cells"),
            (["group,outcome\n", "a,yes\n"], "must be a number"),
            (["group,outcome\n", "a,50\n"], "must be in"),
            ([], "lacks group and outcome"),
        ],
    )
    def test_a_file_that_cannot_be_read_is_an_error(self, lines: list[str], problem: str) -> None:
        with pytest.raises(OutcomeLineError, match=problem):
            read_rows(lines, is_csv=True)
