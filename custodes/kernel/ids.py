"""Identifiers: UUID version 7 for things we create, 63-bit row numbers for rows written in bulk.

Sources: RFC 9562 section 5.7 (UUIDv7). Trace and span ids come from the caller and are lower-case hex.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid


def new_uuid7(now_ns: int | None = None) -> str:
    """Return a new UUIDv7 as text; ids made in later milliseconds sort after earlier ones."""
    milliseconds = (time.time_ns() if now_ns is None else now_ns) // 1_000_000
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= secrets.randbits(12) << 64
    value |= 0b10 << 62
    value |= secrets.randbits(62)
    return str(uuid.UUID(int=value))


class RowIds:
    """Gives out row numbers that are unique across processes without asking the database.

    A number is 41 bits of milliseconds since 2024, 10 random bits chosen per instance and 12 bits of
    sequence, so numbers from one instance rise strictly and two instances collide only if they drew
    the same 10 bits and the same millisecond; the primary key then refuses the row and the
    transaction is tried again.
    """

    _EPOCH_MS = 1_704_067_200_000

    def __init__(self) -> None:
        self._instance = secrets.randbits(10)
        self._lock = threading.Lock()
        self._last = 0

    def take(self, count: int) -> list[int]:
        """Return ``count`` fresh, rising row numbers."""
        with self._lock:
            base = (((time.time_ns() // 1_000_000) - self._EPOCH_MS) << 12) | 0
            start = max(base, self._last + 1)
            self._last = start + count - 1
        return [(((n >> 12) << 22) | (self._instance << 12) | (n & 0xFFF)) for n in range(start, start + count)]


def is_hex_id(text: str, length: int) -> bool:
    """Return whether ``text`` is lower-case hex of exactly ``length`` characters and not all zeros."""
    return len(text) == length and all(c in "0123456789abcdef" for c in text) and any(c != "0" for c in text)
