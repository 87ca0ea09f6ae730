"""Keys that proved good a moment ago, in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from collector.auth.principal import Principal

MAX_KEYS = 10_000
"""Most keys remembered; beyond it all are forgotten and learnt again. Only good keys are ever remembered."""


@dataclass(frozen=True, slots=True)
class RememberedKey:
    """A good key: who it is, until when by the monotonic timer, and until when by the wall clock in unix ns."""

    key_id: str
    principal: Principal
    until: int
    trusted_until_ns: int


class RememberedKeys:
    """Good keys by the SHA-256 of their text. Thread-safe.

    A key that is forgotten while somebody is checking it is not remembered by that check: what was read before the
    change must not outlive it. Hence :meth:`put` takes the :meth:`ticket` that was drawn before reading.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[bytes, RememberedKey] = {}
        self._forgotten = 0

    def get(self, key_hash: bytes) -> RememberedKey | None:
        """Return what is remembered under this hash, whether or not its time has run out."""
        return self._keys.get(key_hash)

    def ticket(self) -> int:
        """Return a number for :meth:`put`; draw it before the key is read."""
        return self._forgotten

    def put(self, key_hash: bytes, key: RememberedKey, ticket: int) -> None:
        """Remember a good key, unless any key was forgotten since ``ticket`` was drawn."""
        with self._lock:
            if ticket != self._forgotten:
                return
            if len(self._keys) >= MAX_KEYS:
                self._keys.clear()
            self._keys[key_hash] = key

    def forget(self, key_id: str) -> None:
        """Forget the key with this id."""
        with self._lock:
            self._forgotten += 1
            self._keys = {hashed: key for hashed, key in self._keys.items() if key.key_id != key_id}
