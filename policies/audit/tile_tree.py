"""Grow a tree as tiles, and answer questions about it from tiles. Pure: tiles come in and go out as bytes.

``TileEdge`` is the writer's side: it keeps the partial tile of each level and says which tiles an append changes.
``TileTree`` is the reader's side: roots and proofs of a tree of a fixed size, reading O(log size) tiles each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from policies.audit.errors import TileError
from policies.audit.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    consistency_ranges,
    inclusion_ranges,
    node_hash,
    root_of,
    split_point,
)
from policies.audit.tiles import TILE_BITS, TILE_WIDTH, TileName, name_tile

ReadTile = Callable[[TileName], bytes]
"""A function that returns the bytes of a hash tile; it raises its own error where there is none."""


def tile_hashes(data: bytes) -> list[bytes]:
    """Return the hashes in a tile; raise ``TileError`` if the bytes are not whole hashes."""
    if len(data) % HASH_BYTES:
        raise TileError(f"a tile of {len(data)} bytes does not hold whole hashes of {HASH_BYTES}")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def edge_names(size: int) -> list[TileName]:
    """Return the partial tiles of a log of ``size``, by level: what ``TileEdge`` needs to go on from there."""
    names = []
    level = 0
    while (hashes := size >> TILE_BITS * level) > 0:
        if hashes % TILE_WIDTH:
            names.append(name_tile(level, hashes // TILE_WIDTH, size))
        level += 1
    return names


class TileEdge:
    """The right edge of a growing log: appends leaf hashes and reports every tile that came out different.

    Invariant: at each level the edge holds the hashes of the partial tile, ``size >> 8*level`` modulo 256 of them.
    """

    def __init__(self, size: int = 0, partial: Mapping[int, bytes] | None = None) -> None:
        self._size = size
        self._levels: dict[int, bytearray] = {level: bytearray(data) for level, data in (partial or {}).items()}
        self._finished: list[tuple[TileName, bytes]] = []
        self._touched: set[int] = set()
        expected = {name.level: name.width * HASH_BYTES for name in edge_names(size)}
        found = {level: len(data) for level, data in self._levels.items() if data}
        if found != expected:
            raise TileError(f"tiles of {found} bytes by level are not the edge of {size} leaves; expected {expected}")

    @property
    def size(self) -> int:
        """Number of leaves appended."""
        return self._size

    def append(self, hashed_leaf: bytes) -> None:
        """Add one leaf hash at the right."""
        self._size += 1
        level, value = 0, hashed_leaf
        while True:
            tile = self._levels.setdefault(level, bytearray())
            tile += value
            self._touched.add(level)
            if len(tile) < TILE_WIDTH * HASH_BYTES:
                return
            data = bytes(tile)
            tile.clear()
            number = (self._size >> TILE_BITS * level) // TILE_WIDTH - 1
            self._finished.append((TileName(level, number, TILE_WIDTH), data))
            value = root_of(tile_hashes(data))
            level += 1

    def to_frontier(self) -> Frontier:
        """Return the tree's frontier, computed from the partial tiles."""
        peaks: list[bytes] = []
        for level in sorted(self._levels, reverse=True):
            row = Frontier()
            for value in tile_hashes(bytes(self._levels[level])):
                row.append(value)
            peaks += tile_hashes(row.to_bytes())
        return Frontier(self._size, peaks)

    def take_writes(self) -> list[tuple[TileName, bytes]]:
        """Return each tile that changed since the last call, once, in its present width; full tiles first."""
        writes = self._finished
        for level in sorted(self._touched):
            if data := bytes(self._levels[level]):
                writes.append((name_tile(level, (self._size >> TILE_BITS * level) // TILE_WIDTH, self._size), data))
        self._finished, self._touched = [], set()
        return writes


class TileTree:
    """Roots and proofs of the tree of ``size`` leaves, from its tiles. Each tile is read once and kept.

    The answers are only as true as the tiles: check ``root`` against a signed checkpoint.
    """

    def __init__(self, size: int, read_tile: ReadTile) -> None:
        self._size = size
        self._read_tile = read_tile
        self._kept: dict[TileName, bytes] = {}

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        return self.range_root(0, self._size) if self._size else EMPTY_ROOT

    def range_root(self, lo: int, hi: int) -> bytes:
        """Return the root over leaves ``[lo, hi)``, a range that the tree's geometry contains."""
        count = hi - lo
        if count & (count - 1) == 0 and lo % count == 0:
            return self._perfect_root(lo, count)
        middle = lo + split_point(count)
        return node_hash(self.range_root(lo, middle), self.range_root(middle, hi))

    def inclusion_proof(self, index: int) -> list[bytes]:
        """Return the audit path of leaf ``index``."""
        return [self.range_root(lo, hi) for lo, hi in inclusion_ranges(index, self._size)]

    def consistency_proof(self, old_size: int) -> list[bytes]:
        """Return the proof that the tree of ``old_size`` leaves is a prefix of this one."""
        return [self.range_root(lo, hi) for lo, hi in consistency_ranges(old_size, self._size)]

    def _perfect_root(self, lo: int, count: int) -> bytes:
        level = (count.bit_length() - 1) // TILE_BITS
        first, hashes = lo >> TILE_BITS * level, count >> TILE_BITS * level
        name = name_tile(level, first // TILE_WIDTH, self._size)
        data = self._kept.get(name)
        if data is None:
            data = self._read_tile(name)
            if len(data) != name.width * HASH_BYTES:
                raise TileError(f"{name.to_path()} has {len(data)} bytes, expected {name.width * HASH_BYTES}")
            self._kept[name] = data
        at = first % TILE_WIDTH * HASH_BYTES
        return root_of(tile_hashes(data[at : at + hashes * HASH_BYTES]))
