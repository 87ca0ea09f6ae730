"""Names and bytes of the C2SP tlog-tiles layout: where each hash and entry of a log of a given size lives.

A *tile* at level ``l`` holds up to 256 hashes, each the root over ``256**l`` leaves; a full tile's own root is one
hash of the tile above. The rightmost tile of a level is *partial* while it has fewer; a tile with no hash is never
written. An *entry bundle* holds the entries under one level-0 tile, each after its length as big-endian uint16.
Source: c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.audit.errors import TileError

TILE_BITS = 8
TILE_WIDTH = 1 << TILE_BITS
MAX_LEVEL = 63
MAX_ENTRY_BYTES = 0xFFFF
LENGTH_BYTES = 2
MAX_BUNDLE_BYTES = TILE_WIDTH * (LENGTH_BYTES + MAX_ENTRY_BYTES)
ENTRIES_LEVEL = -1
"""Stands for the entry bundles, which lie beside the levels as ``tile/entries``."""

_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class TileName:
    """One tile or entry bundle: ``level`` 0 to 63 or ``ENTRIES_LEVEL``, index ``n``, ``width`` 1 to 256."""

    level: int
    n: int
    width: int

    def __post_init__(self) -> None:
        if not (ENTRIES_LEVEL <= self.level <= MAX_LEVEL and self.n >= 0 and 1 <= self.width <= TILE_WIDTH):
            raise TileError(f"no tile has level {self.level}, index {self.n}, width {self.width}")

    @property
    def start(self) -> int:
        """Number of the first leaf hash (level 0) or entry in it."""
        return self.n * TILE_WIDTH

    def to_path(self) -> str:
        """Return the path below the log's prefix, e.g. ``tile/0/x001/x234/067.p/8``."""
        digits = f"{self.n:d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        index = "/".join(f"x{part}" for part in parts[:-1]) + ("/" if len(parts) > 1 else "") + parts[-1]
        level = "entries" if self.level == ENTRIES_LEVEL else str(self.level)
        return f"tile/{level}/{index}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")


def parse_path(path: str) -> TileName:
    """Return the tile that ``path`` names; raise ``TileError`` unless it is written in the one canonical way."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise TileError("not a tile path; expected e.g. tile/0/x001/067 or tile/entries/000.p/8")
    level, index, width = match.groups()
    name = TileName(
        level=ENTRIES_LEVEL if level == "entries" else int(level),
        n=int(index.replace("x", "").replace("/", "")),
        width=int(width) if width else TILE_WIDTH,
    )
    if name.to_path() != path:
        raise TileError(f"not a canonical tile path; that tile is {name.to_path()}")
    return name


def name_tile(level: int, n: int, size: int) -> TileName:
    """Return tile ``n`` of ``level`` as wide as a log of ``size`` leaves makes it; raise ``TileError`` if empty."""
    hashes = size >> TILE_BITS * max(level, 0)
    return TileName(level, n, min(TILE_WIDTH, hashes - n * TILE_WIDTH))


def list_tiles(size: int) -> Iterator[TileName]:
    """Yield every hash tile of a log of ``size`` leaves, level by level, left to right."""
    level = 0
    while (hashes := size >> TILE_BITS * level) > 0:
        for n in range(-(-hashes // TILE_WIDTH)):
            yield name_tile(level, n, size)
        level += 1


def list_bundles(first: int, end: int, size: int) -> Iterator[TileName]:
    """Yield the entry bundles of a log of ``size`` that hold the entries ``[first, end)``, left to right."""
    for n in range(first // TILE_WIDTH, -(-min(end, size) // TILE_WIDTH)):
        yield name_tile(ENTRIES_LEVEL, n, size)


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """Return the entry bundle of 1 to 256 entries of at most 65,535 bytes each."""
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise TileError(f"an entry bundle holds 1 to {TILE_WIDTH} entries, not {len(entries)}")
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise TileError(f"an entry has {len(entry)} bytes; a bundle holds at most {MAX_ENTRY_BYTES} each")
    return b"".join(len(entry).to_bytes(LENGTH_BYTES, "big") + entry for entry in entries)


def decode_entries(data: bytes) -> list[bytes]:
    """Return the entries of a bundle; raise ``TileError`` if it ends in the middle of one or holds more than 256."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise TileError(f"entry bundle ends inside its entry number {len(entries)}")
        entries.append(data[start:at])
    if len(entries) > TILE_WIDTH:
        raise TileError(f"entry bundle holds {len(entries)} entries, more than {TILE_WIDTH}")
    return entries
