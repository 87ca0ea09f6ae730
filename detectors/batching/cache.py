"""A bounded memory of what was read from which text, so that repeated texts cost a hash and not a forward pass.

System prompts, canned answers and retried calls repeat in real traffic. Keys are hashes, so the texts themselves are
not kept in memory longer than a batch.
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
    """Keeps the values that were used last, as many as weigh no more than ``capacity`` together.

    Safe to use from several threads. A capacity of 0 keeps nothing, and a value heavier than the whole capacity is not
    kept at all.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise ValueError(f"a cache's capacity cannot be negative, got {capacity}")
        self._capacity = capacity
        self._values: OrderedDict[bytes, tuple[Value, int]] = OrderedDict()
        self._weight = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def weight(self) -> int:
        """What the kept values weigh together."""
        return self._weight

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._values.clear()
            self._weight = 0

    def get(self, key: bytes) -> Value | None:
        """Return the value stored under ``key`` and mark it as used, or None."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: bytes, value: Value, weight: int = 1) -> None:
        """Store ``value``, forgetting the values unused for longest if there is no room."""
        with self._lock:
            replaced = self._values.pop(key, None)
            if replaced is not None:
                self._weight -= replaced[1]
            if weight > self._capacity:
                return
            self._values[key] = (value, weight)
            self._weight += weight
            while self._weight > self._capacity:
                _, (_, forgotten) = self._values.popitem(last=False)
                self._weight -= forgotten
