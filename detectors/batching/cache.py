"""A bounded memory of what was read from which text, so that repeated texts cost a hash and not a forward pass.

System prompts, canned answers and retried calls repeat in real traffic. Keys are 128-bit hashes, so the texts
themselves are not kept in memory longer than a batch.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


def text_key(text: str) -> bytes:
    """Return 16 bytes that identify ``text``; lone surrogates are kept apart from each other."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class LruCache(Generic[Value]):
    """Keeps the ``capacity`` values that were used last. Safe to use from several threads; capacity 0 keeps nothing."""

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise ValueError(f"a cache's capacity cannot be negative, got {capacity}")
        self._capacity = capacity
        self._values: OrderedDict[bytes, Value] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> Value | None:
        """Return the value stored under ``key`` and mark it as used, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: bytes, value: Value) -> None:
        """Store ``value``, forgetting the value unused for longest if there is no room."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._capacity:
                self._values.popitem(last=False)
