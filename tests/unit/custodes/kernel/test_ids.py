"""Identifiers: UUIDv7 as RFC 9562 lays it out, and row numbers that rise."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.ids import RowIds, is_hex_id, new_uuid7


class TestNewUuid7:
    def test_it_has_the_layout_of_rfc_9562(self) -> None:
        made = uuid.UUID(new_uuid7(0x017F22E279B0 * 1_000_000))
        assert made.version == 7
        assert made.variant == uuid.RFC_4122
        assert str(made).startswith("017f22e2-79b0-7")

    @given(st.integers(min_value=0, max_value=2**47), st.integers(min_value=1, max_value=2**40))
    def test_it_sorts_by_millisecond(self, first_ms: int, later_ms: int) -> None:
        assert new_uuid7(first_ms * 1_000_000) < new_uuid7((first_ms + later_ms) * 1_000_000)

    def test_it_does_not_repeat_within_a_millisecond(self) -> None:
        assert len({new_uuid7(0) for _ in range(5_000)}) == 5_000


class TestRowIds:
    def test_it_gives_rising_positive_63_bit_numbers(self) -> None:
        ids = RowIds()
        given_out = [number for count in (1, 3, 5_000, 20_000, 1) for number in ids.take(count)]
        assert given_out == sorted(set(given_out))
        assert len(given_out) == 25_005
        assert given_out[0] > 0
        assert given_out[-1] < 2**63

    def test_it_gives_nothing_when_nothing_is_asked(self) -> None:
        ids = RowIds()
        assert ids.take(0) == []
        assert len(ids.take(2)) == 2

    def test_it_never_repeats_across_threads(self) -> None:
        ids = RowIds()
        with ThreadPoolExecutor(4) as pool:
            blocks = list(pool.map(ids.take, [500] * 40))
        assert len({number for block in blocks for number in block}) == 20_000


class TestIsHexId:
    @pytest.mark.parametrize(
        ("text", "valid"),
        [
            ("0af7651916cd43dd8448eb211c80319c", True),
            ("0AF7651916cd43dd8448eb211c80319c", False),
            ("0af7651916cd43dd8448eb211c80319", False),
            ("0" * 32, False),
            ("g" * 32, False),
            ("", False),
            ("١" * 32, False),
        ],
    )
    def test_it_accepts_lower_case_hex_that_is_not_all_zeros(self, text: str, valid: bool) -> None:
        assert is_hex_id(text, 32) is valid
