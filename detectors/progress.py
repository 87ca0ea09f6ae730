"""Where scoring is, written down so that another process can see whether it still moves.

A hung thread cannot be ended, and one that hangs inside C code, such as a regular expression, holds the interpreter's
lock and stops every other thread with it. So progress goes into shared memory, and who watches it is another process.

Two things go on at once: the shared encoder reads the next exchanges while the detectors judge the present ones. Each
has a slot of three 64-bit numbers: the stage (0 reads; a member's position in the profile + 1 judges; -1 is idle), the
position of the exchange in hand, and a count that moves with every sign of life.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, overload

Element = TypeVar("Element")

READING: Final = 0
JUDGING: Final = 1
IDLE: Final = -1
READING_STAGE: Final = 0
_SLOT: Final = struct.Struct("<qqq")
PROGRESS_BYTES: Final = 2 * _SLOT.size


@dataclass(frozen=True, slots=True)
class Position:
    """A slot as it was when looked at."""

    stage: int
    index: int
    beat: int


class Buffer(Protocol):
    """Writable memory: a ``bytearray`` or an ``mmap``."""

    def __getitem__(self, place: slice, /) -> bytes | bytearray: ...

    def __setitem__(self, place: slice, value: bytes, /) -> None: ...


class Progress:
    """Written by the process that scores. Each slot is written by one thread at a time, beats by any."""

    def __init__(self) -> None:
        self._buffer: Buffer = bytearray(PROGRESS_BYTES)
        self._beats = [0, 0]
        self._stages = [IDLE, IDLE]
        self._indices = [0, 0]
        self._write(READING)
        self._write(JUDGING)

    def attach(self, buffer: Buffer) -> None:
        """Write into ``buffer`` of ``PROGRESS_BYTES`` from now on, as one that another process can see."""
        self._buffer = buffer
        self._write(READING)
        self._write(JUDGING)

    def enter(self, slot: int, stage: int, index: int = 0) -> None:
        """Say what begins now."""
        self._stages[slot] = stage
        self._indices[slot] = index
        self.beat(slot)

    def leave(self, slot: int) -> None:
        """Say that it ended."""
        self.enter(slot, IDLE)

    def beat(self, slot: int) -> None:
        """Give a sign of life."""
        self._beats[slot] += 1
        self._write(slot)

    def watch(self, members: Sequence[Element], slot: int, positions: Sequence[int]) -> Sequence[Element]:
        """Return ``members`` so that taking one out says which exchange is in hand, by its entry in ``positions``."""
        return _Watched(members, self, slot, positions)

    def at(self, slot: int, index: int) -> None:
        """Say which exchange is in hand."""
        self._indices[slot] = index
        self.beat(slot)

    def _write(self, slot: int) -> None:
        place = slice(slot * _SLOT.size, (slot + 1) * _SLOT.size)
        self._buffer[place] = _SLOT.pack(self._stages[slot], self._indices[slot], self._beats[slot])


def read_positions(buffer: Buffer) -> tuple[Position, Position]:
    """Return both slots, reading and judging; for the process that watches."""
    reading, judging = (
        Position(*_SLOT.unpack(bytes(buffer[slice(slot * _SLOT.size, (slot + 1) * _SLOT.size)])))
        for slot in (READING, JUDGING)
    )
    return reading, judging


class _Watched(Sequence[Element]):
    """A sequence that reports which of its members is taken."""

    def __init__(self, members: Sequence[Element], progress: Progress, slot: int, positions: Sequence[int]) -> None:
        self._members = members
        self._progress = progress
        self._slot = slot
        self._positions = positions

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, place: int) -> Element: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Element]: ...

    def __getitem__(self, place: int | slice) -> Element | Sequence[Element]:
        if isinstance(place, slice):
            return _Watched(self._members[place], self._progress, self._slot, self._positions[place])
        member = self._members[place]
        self._progress.at(self._slot, self._positions[place])
        return member

    def __iter__(self) -> Iterator[Element]:
        for position, member in zip(self._positions, self._members, strict=True):
            self._progress.at(self._slot, position)
            yield member
