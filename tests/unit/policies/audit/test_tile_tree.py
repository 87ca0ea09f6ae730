"""Growing and reading trees as tiles must agree with the tree over a plain list, at every size and step."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.audit.errors import ProofError, TileError
from policies.audit.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from policies.audit.tile_tree import TileEdge, TileTree, edge_names
from policies.audit.tiles import TileName, list_tiles


def leaves(count: int) -> list[bytes]:
    """Return ``count`` distinct leaf hashes."""
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


class Shelf:
    """Tiles as a store keeps them: one row per (level, n), the widest data seen."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], bytes] = {}

    def save(self, writes: Iterable[tuple[TileName, bytes]]) -> None:
        for name, data in writes:
            assert len(data) == name.width * 32
            assert data.startswith(self.rows.get((name.level, name.n), b""))
            self.rows[name.level, name.n] = data

    def load(self, name: TileName) -> bytes:
        return self.rows[name.level, name.n][: name.width * 32]


def grow(hashes: list[bytes], steps: Iterable[int]) -> Shelf:
    """Append the hashes in steps, resuming each time from what the shelf holds, as the sequencer does."""
    shelf, size = Shelf(), 0
    for step in steps:
        edge = TileEdge(size, {name.level: shelf.load(name) for name in edge_names(size)})
        for value in hashes[size : size + step]:
            edge.append(value)
        shelf.save(edge.take_writes())
        size = edge.size
    assert size == len(hashes)
    return shelf


class TestTileEdge:
    @pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537])
    def test_it_writes_exactly_the_tiles_of_the_layout(self, size: int) -> None:
        shelf = grow(leaves(size), [size])
        assert {(name.level, name.n): name.width * 32 for name in list_tiles(size)} == {
            place: len(data) for place, data in shelf.rows.items()
        }

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
    def test_it_gives_the_same_tiles_however_the_appends_are_split(self, steps: list[int]) -> None:
        hashes = leaves(sum(steps))
        assert grow(hashes, steps).rows == grow(hashes, [len(hashes)]).rows

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 1500))
    def test_it_holds_the_frontier_of_the_tree(self, size: int) -> None:
        edge, frontier = TileEdge(), Frontier()
        for value in leaves(size):
            edge.append(value)
            frontier.append(value)
        assert edge.to_frontier().to_bytes() == frontier.to_bytes()

    @pytest.mark.parametrize(
        ("size", "partial"),
        [(1, {}), (1, {0: bytes(64)}), (0, {0: bytes(32)}), (256, {}), (256, {0: bytes(32), 1: bytes(32)})],
    )
    def test_it_refuses_tiles_that_are_not_the_edge_of_the_size(self, size: int, partial: dict[int, bytes]) -> None:
        with pytest.raises(TileError):
            TileEdge(size, partial)

    def test_it_reports_a_tile_once(self) -> None:
        edge = TileEdge()
        edge.append(leaf_hash(b""))
        assert [name for name, _ in edge.take_writes()] == [TileName(0, 0, 1)]
        assert edge.take_writes() == []


class TestTileTree:
    @pytest.mark.parametrize("size", [1, 2, 3, 200, 256, 257, 300, 512, 700])
    def test_it_gives_the_roots_and_proofs_of_the_plain_tree(self, size: int) -> None:
        hashes = leaves(size)
        tree = TileTree(size, grow(hashes, [size]).load)
        assert tree.root() == root_of(hashes)
        for index in range(0, size, 37):
            assert tree.inclusion_proof(index) == inclusion_proof(hashes, index)
        for old in range(0, size + 1, 41):
            assert tree.consistency_proof(old) == consistency_proof(hashes, old)

    def test_it_proves_across_three_levels(self) -> None:
        size = 65_536 + 256 + 3
        hashes = leaves(size)
        tree = TileTree(size, grow(hashes, [size]).load)
        root = root_of(hashes)
        assert tree.root() == root
        for index in (0, 255, 256, 65_535, 65_536, 65_791, 65_792, size - 1):
            verify_inclusion(index, size, hashes[index], tree.inclusion_proof(index), root)
        for old in (1, 256, 65_535, 65_536, 65_537, size):
            verify_consistency(old, size, root_of(hashes[:old]), root, tree.consistency_proof(old))

    def test_it_reads_an_older_tree_from_tiles_that_grew_since(self) -> None:
        hashes = leaves(600)
        shelf = grow(hashes, [600])
        for size in (1, 255, 256, 400, 512, 599):
            assert TileTree(size, shelf.load).root() == root_of(hashes[:size])

    def test_it_refuses_a_tile_of_the_wrong_length(self) -> None:
        with pytest.raises(TileError):
            TileTree(3, lambda _: bytes(64)).root()

    def test_it_has_no_proof_for_a_leaf_outside(self) -> None:
        with pytest.raises(ProofError):
            TileTree(3, lambda _: bytes(96)).inclusion_proof(3)
