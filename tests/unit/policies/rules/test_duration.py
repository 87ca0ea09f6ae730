from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from policies.rules.duration import duration_to_text, parse_duration


class TestParseDuration:
    @pytest.mark.parametrize(
        ("written", "expected_ns"),
        [
            ("15m", 15 * MINUTE_NS),
            ("1h", HOUR_NS),
            ("1h30m", 90 * MINUTE_NS),
            ("2d", 2 * DAY_NS),
            ("90s", 90 * SECOND_NS),
            ("1d2h3m4s", DAY_NS + 2 * HOUR_NS + 3 * MINUTE_NS + 4 * SECOND_NS),
            ("0", 0),
            (0, 0),
            ("0m", 0),
        ],
    )
    def test_reads_numbers_with_units(self, written: object, expected_ns: int) -> None:
        assert parse_duration(written) == expected_ns

    @pytest.mark.parametrize(
        "written", ["", "5", 5, "m", "5 m", "-5m", "1.5h", "5m5h", "5M", None, True, False, [], "٥m", "5m\n", "500d"]
    )
    def test_refuses_everything_else(self, written: object) -> None:
        with pytest.raises(ValueError, match=r"duration|400 days"):
            parse_duration(written)

    @given(st.integers(min_value=0, max_value=400 * 24 * 3600))
    def test_reads_back_what_it_writes(self, seconds: int) -> None:
        assert parse_duration(duration_to_text(seconds * SECOND_NS)) == seconds * SECOND_NS
