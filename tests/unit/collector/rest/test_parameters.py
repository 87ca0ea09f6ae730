"""Query parameters: times, ranges, cursors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collector.rest.parameters import (
    PageQuery,
    RangeQuery,
    TimeRange,
    decode_cursor,
    encode_cursor,
    parse_time,
)
from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, ns_to_rfc3339
from custodes.kernel.errors import InvalidInputError

NOW_NS = 1_795_300_000_000_000_000


def ask(**given_as: str) -> RangeQuery:
    return RangeQuery.model_validate({name.rstrip("_"): value for name, value in given_as.items()})


def error_of(call: Callable[[], object]) -> str | None:
    """Return the message of our error, ``None`` without one; any other error passes."""
    try:
        call()
    except InvalidInputError as error:
        return str(error)
    return None


class TestTimes:
    @pytest.mark.parametrize(
        ("written", "back_ns"),
        [
            ("now", 0),
            ("now-15m", 15 * MINUTE_NS),
            ("now-6h", 6 * HOUR_NS),
            ("now-7d", 7 * DAY_NS),
            ("now-30s", 30 * 10**9),
        ],
    )
    def test_relative_ones_count_back_from_now(self, written: str, back_ns: int) -> None:
        assert parse_time("from", written, NOW_NS) == NOW_NS - back_ns

    def test_absolute_ones_are_rfc_3339(self) -> None:
        assert parse_time("from", ns_to_rfc3339(NOW_NS), 0) == NOW_NS

    @given(st.text(max_size=30))
    def test_anything_else_is_our_error_that_names_the_parameter(self, written: str) -> None:
        caught = error_of(lambda: parse_time("from", written, NOW_NS))
        assert caught is None or caught.startswith("from is not a time")


class TestRanges:
    def test_the_default_ends_now(self) -> None:
        assert ask().to_range(NOW_NS, default_ns=DAY_NS) == TimeRange(NOW_NS - DAY_NS, NOW_NS)

    def test_the_default_start_counts_from_the_given_end(self) -> None:
        found = ask(to="now-1d").to_range(NOW_NS, default_ns=HOUR_NS)
        assert found == TimeRange(NOW_NS - DAY_NS - HOUR_NS, NOW_NS - DAY_NS)

    @pytest.mark.parametrize(("start", "end"), [("now", "now"), ("now", "now-1h"), ("now-400d", "now")])
    def test_empty_backward_and_endless_ones_are_refused(self, start: str, end: str) -> None:
        with pytest.raises(InvalidInputError, match="from"):
            RangeQuery.model_validate({"from": start, "to": end}).to_range(NOW_NS, default_ns=DAY_NS)

    def test_bounds_that_were_not_given_do_not_restrict(self) -> None:
        assert ask().bounds(NOW_NS) == (None, None)
        assert ask(to="now").bounds(NOW_NS) == (None, NOW_NS)

    def test_an_unknown_name_is_an_error(self) -> None:
        with pytest.raises(ValidationError):
            PageQuery.model_validate({"form": "now"})


class TestCursors:
    @given(st.integers(-(2**62), 2**62), st.integers(0, 2**62))
    def test_they_give_back_their_key(self, start_ns: int, row_id: int) -> None:
        assert decode_cursor(encode_cursor(start_ns, row_id), int, int) == (start_ns, row_id)

    @given(st.integers(0, 2**62), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40))
    def test_they_are_safe_in_an_address(self, at_ns: int, key: str) -> None:
        cursor = encode_cursor(at_ns, key)
        assert all(c.isascii() and (c.isalnum() or c in "-_") for c in cursor)
        assert decode_cursor(cursor, int, str) == (at_ns, key)

    @given(st.text(max_size=60))
    def test_anything_else_is_our_error(self, written: str) -> None:
        caught = error_of(lambda: decode_cursor(written, int, int))
        assert caught is None or caught.startswith("cursor")

    @pytest.mark.parametrize(
        "key", [(1,), (1, 2, 3), ("1", 2), (True, 2), (1.5, 2), (2**63, 1), (1, -(2**63)), (1, "a\0")]
    )
    def test_a_key_of_another_list_is_refused(self, key: tuple[object, ...]) -> None:
        with pytest.raises(InvalidInputError):
            decode_cursor(encode_cursor(*key), int, int)  # type: ignore[arg-type]

    def test_none_is_the_first_page(self) -> None:
        assert decode_cursor(None, int, int) is None
