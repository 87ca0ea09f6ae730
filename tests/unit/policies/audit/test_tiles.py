"""The tlog-tiles layout: the examples of the specification, then every small log, then malformed input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.errors import TileError
from policies.audit.tiles import (
    ENTRIES_LEVEL,
    TileName,
    decode_entries,
    encode_entries,
    list_bundles,
    list_tiles,
    name_tile,
    parse_path,
)

tile_names = st.builds(TileName, st.integers(-1, 63), st.integers(0, 2**55), st.integers(1, 256))


class TestPaths:
    @pytest.mark.parametrize(
        ("name", "path"),
        [
            (TileName(0, 1234067, 256), "tile/0/x001/x234/067"),
            (TileName(0, 0, 256), "tile/0/000"),
            (TileName(0, 999, 256), "tile/0/999"),
            (TileName(3, 1000, 1), "tile/3/x001/000.p/1"),
            (TileName(63, 5, 255), "tile/63/005.p/255"),
            (TileName(ENTRIES_LEVEL, 1234067, 256), "tile/entries/x001/x234/067"),
            (TileName(ENTRIES_LEVEL, 7, 8), "tile/entries/007.p/8"),
        ],
    )
    def test_it_writes_and_reads_the_path_of_the_specification(self, name: TileName, path: str) -> None:
        assert name.to_path() == path
        assert parse_path(path) == name

    @given(tile_names)
    def test_it_reads_back_every_path_it_writes(self, name: TileName) -> None:
        assert parse_path(name.to_path()) == name

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "tile/0/0",
            "tile/0/x000/001",
            "tile/00/001",
            "tile/64/001",
            "tile/-1/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/08",
            "tile/0/001.p/",
            "tile/0/x001",
            "tile/0/001/002",
            "tile/0/x001/x002",
            "/tile/0/001",
            "tile/0/001/",
            "tile/0/../001",
            "tile/0/٠٠١",
            "tile/data/001",
            "tile/0/001\n",
            "checkpoint",
        ],
    )
    def test_it_refuses_every_other_spelling(self, path: str) -> None:
        with pytest.raises(TileError):
            parse_path(path)

    @given(st.text())
    def test_it_raises_only_its_own_error(self, path: str) -> None:
        with pytest.raises(TileError):
            parse_path("tile/" + path + "?")

    @pytest.mark.parametrize(("level", "n", "width"), [(64, 0, 1), (-2, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
    def test_it_refuses_a_tile_that_cannot_be(self, level: int, n: int, width: int) -> None:
        with pytest.raises(TileError):
            TileName(level, n, width)


class TestLayout:
    def test_it_lays_out_seventy_thousand_leaves_as_the_specification_says(self) -> None:
        names = list(list_tiles(70_000))
        by_level = {level: [name for name in names if name.level == level] for level in range(3)}
        assert [name.width for name in by_level[0]] == [256] * 273 + [112]
        assert [name.width for name in by_level[1]] == [256, 17]
        assert [name.width for name in by_level[2]] == [1]
        assert len(names) == 277

    def test_it_gives_two_hundred_and_fifty_six_leaves_a_full_tile_and_one_above(self) -> None:
        assert list(list_tiles(256)) == [TileName(0, 0, 256), TileName(1, 0, 1)]

    def test_it_has_no_tile_for_an_empty_log(self) -> None:
        assert list(list_tiles(0)) == []

    @given(st.integers(1, 200_000))
    def test_it_gives_every_partial_tile_the_width_of_the_specification(self, size: int) -> None:
        for name in list_tiles(size):
            is_last = name.n == (size >> 8 * name.level) // 256
            assert name.width == ((size >> 8 * name.level) % 256 if is_last else 256)

    @pytest.mark.parametrize(
        ("first", "end", "size", "expected"),
        [
            (0, 0, 10, []),
            (0, 10, 10, [(0, 10)]),
            (0, 300, 300, [(0, 256), (1, 44)]),
            (256, 300, 300, [(1, 44)]),
            (0, 256, 300, [(0, 256)]),
            (300, 301, 1000, [(1, 256)]),
        ],
    )
    def test_it_names_the_bundles_of_a_range(
        self, first: int, end: int, size: int, expected: list[tuple[int, int]]
    ) -> None:
        assert [(name.n, name.width) for name in list_bundles(first, end, size)] == expected

    @pytest.mark.parametrize(("level", "n", "size"), [(0, 0, 0), (0, 1, 256), (1, 0, 255), (ENTRIES_LEVEL, 4, 1000)])
    def test_it_has_no_name_for_an_empty_tile(self, level: int, n: int, size: int) -> None:
        with pytest.raises(TileError):
            name_tile(level, n, size)


class TestEntryBundles:
    def test_it_writes_the_length_as_two_bytes_big_endian(self) -> None:
        assert encode_entries([b"ab", b"", b"x" * 258]) == b"\x00\x02ab" + b"\x00\x00" + b"\x01\x02" + b"x" * 258

    @given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
    def test_it_reads_back_what_it_writes(self, entries: list[bytes]) -> None:
        assert decode_entries(encode_entries(entries)) == entries

    @pytest.mark.parametrize("entries", [[], [b""] * 257, [b"x" * 65_536]])
    def test_it_refuses_to_write_what_cannot_be_a_bundle(self, entries: list[bytes]) -> None:
        with pytest.raises(TileError):
            encode_entries(entries)

    @pytest.mark.parametrize("data", [b"\x00", b"\x00\x02a", b"\x00\x01a\x00", b"\xff\xff", b"\x00\x00" * 257])
    def test_it_refuses_bytes_that_are_not_a_bundle(self, data: bytes) -> None:
        with pytest.raises(TileError):
            decode_entries(data)
