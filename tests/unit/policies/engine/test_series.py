from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.errors import InvalidInputError, TooLargeError
from policies.engine.series import parse_series


class TestParseSeries:
    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("0.2x4 0.9x2", [0.2, 0.2, 0.2, 0.2, 0.9, 0.9]),
            ("80x3", [80.0, 80.0, 80.0]),
            ("1 _ 2", [1.0, None, 2.0]),
            ("_x2 .5", [None, None, 0.5]),
            ("-1e-3", [-0.001]),
            (7, [7.0]),
            (0.5, [0.5]),
        ],
    )
    def test_gives_one_value_per_step(self, written: str | int | float, expected: list[float | None]) -> None:
        assert parse_series(written) == expected

    @pytest.mark.parametrize(
        "written", ["", " ", "x4", "0.2x", "0.2 x 4", "nan", "inf", "1e999", "1x-2", "0.2*4", "__"]
    )
    def test_refuses_other_text(self, written: str) -> None:
        with pytest.raises(InvalidInputError, match=r"series|write V"):
            parse_series(written)

    @pytest.mark.parametrize("written", ["1x20001", "1x20000 1", "1x0", "1x000"])
    def test_bounds_the_number_of_steps(self, written: str) -> None:
        with pytest.raises(TooLargeError, match="20000"):
            parse_series(written)

    @given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 20)), min_size=1, max_size=8))
    def test_reads_back_any_list_of_runs(self, runs: list[tuple[float, int]]) -> None:
        values = parse_series(" ".join(f"{value!r}x{count}" for value, count in runs))
        expected = [value for value, count in runs for _ in range(count)]
        assert len(values) == len(expected)
        assert all(a is not None and math.isclose(a, b) for a, b in zip(values, expected, strict=True))

    @given(st.text(max_size=40))
    def test_lets_only_its_own_error_escape(self, written: str) -> None:
        try:
            values = parse_series(written)
        except InvalidInputError:
            return
        assert values
