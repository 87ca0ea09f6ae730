"""Times and durations as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.moments import ago_text, clock_text, milliseconds_text, span_text, stamp_text

NOON = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)


class TestClock:
    def test_it_shows_utc_and_says_so(self) -> None:
        elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
        assert clock_text(elsewhere) == "12:00:05 UTC"
        assert stamp_text(elsewhere) == "2026-11-21 12:00:05 UTC"

    def test_it_names_an_unknown_time(self) -> None:
        assert stamp_text(None) == "unknown"


class TestSpans:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0 s"),
            (-5, "0 s"),
            (59.9, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (12_000, "3 h 20 min"),
            (86_400, "1 d"),
            (90_000, "1 d 1 h"),
        ],
    )
    def test_it_uses_the_two_largest_units(self, seconds: float, text: str) -> None:
        assert span_text(seconds) == text

    def test_it_counts_back_from_now(self) -> None:
        assert ago_text(NOON - timedelta(seconds=12), NOON) == "12 s ago"

    @given(st.floats(min_value=-1e9, max_value=1e12))
    def test_it_always_has_a_unit(self, seconds: float) -> None:
        assert span_text(seconds).split()[-1] in ("s", "min", "h", "d")


class TestMilliseconds:
    @pytest.mark.parametrize(
        ("value", "text"),
        [(None, "unknown"), (0.25, "0.25 ms"), (38.4, "38 ms"), (999.6, "1.00 s"), (1284.0, "1.28 s")],
    )
    def test_it_picks_a_readable_unit(self, value: float | None, text: str) -> None:
        assert milliseconds_text(value) == text
