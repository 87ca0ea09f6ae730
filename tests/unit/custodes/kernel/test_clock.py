"""Time: nanoseconds inside, RFC 3339 outside, nothing lost above a microsecond."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.clock import MINUTE_NS, SECOND_NS, ns_to_minute, ns_to_rfc3339, rfc3339_to_ns, system_clock

OTLP_TIMES = st.integers(min_value=0, max_value=2**64 - 1)


class TestNsToRfc3339:
    @pytest.mark.parametrize(
        ("ns", "text"),
        [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_255_200_000_000_000, "2026-11-21T10:00:00.000000Z"),
            (1_999, "1970-01-01T00:00:00.000001Z"),
            (SECOND_NS - 1, "1970-01-01T00:00:00.999999Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (2**64 - 1, "2554-07-21T23:34:33.709551Z"),
        ],
    )
    def test_it_writes_utc_and_cuts_below_a_microsecond(self, ns: int, text: str) -> None:
        assert ns_to_rfc3339(ns) == text

    @given(OTLP_TIMES)
    def test_it_comes_back_to_the_microsecond(self, ns: int) -> None:
        assert rfc3339_to_ns(ns_to_rfc3339(ns)) == ns // 1000 * 1000

    @given(OTLP_TIMES, OTLP_TIMES)
    def test_it_sorts_as_text_like_the_times_do(self, one: int, two: int) -> None:
        early, late = sorted((one, two))
        assert ns_to_rfc3339(early) <= ns_to_rfc3339(late)


class TestRfc3339ToNs:
    @pytest.mark.parametrize(
        ("text", "ns"),
        [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T19:00:00-05:00", 0),
            ("1970-01-01 00:00:01z", SECOND_NS),
            ("1970-01-01t00:00:00.5Z", SECOND_NS // 2),
            ("1970-01-01T00:00:00.123456789Z", 123_456_789),
            ("1970-01-01T00:00:00.1234567899999Z", 123_456_789),
            ("1969-12-31T23:59:59.5Z", -SECOND_NS // 2),
        ],
    )
    def test_it_reads_every_form_of_the_standard(self, text: str, ns: int) -> None:
        assert rfc3339_to_ns(text) == ns

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "now",
            "2026-11-21",
            "2026-11-21T10:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-21T24:00:01Z",
            "2026-11-21T10:00:00+25:00",
            "0000-01-01T00:00:00Z",
            "٢٠٢٦-11-21T10:00:00Z",
            "2026-11-21T10:00:00Z\n",
        ],
    )
    def test_it_refuses_what_is_no_time_and_names_it(self, text: str) -> None:
        with pytest.raises(ValueError, match="time") as caught:
            rfc3339_to_ns(text)
        assert repr(text) in str(caught.value)

    @given(st.text(max_size=40))
    def test_it_raises_nothing_but_value_error(self, text: str) -> None:
        with suppress(ValueError):
            rfc3339_to_ns(text)


class TestMinutes:
    @given(OTLP_TIMES)
    def test_it_finds_the_minute_that_contains_the_time(self, ns: int) -> None:
        minute = ns_to_minute(ns)
        assert minute * MINUTE_NS <= ns < (minute + 1) * MINUTE_NS


class TestSystemClock:
    def test_it_is_in_nanoseconds_since_1970(self) -> None:
        assert ns_to_rfc3339(system_clock()) > "2024-01-01"
