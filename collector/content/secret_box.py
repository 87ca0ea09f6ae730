"""Secrets that the installation itself holds, such as an endpoint's signing key, encrypted under the master key.

They are encrypted whatever ``CUSTODES_PRIVACY__ENCRYPT`` says: that setting is about captured text.
"""

from __future__ import annotations

import threading

from collector.content.contents import open_master
from collector.content.master import MasterKey
from custodes.db.database import Database
from custodes.kernel.clock import Clock
from custodes.kernel.errors import UnavailableError
from custodes.kernel.settings import Settings

_VERSION = b"\x01"


class MasterSecretBox:
    """Seals and opens with the master key, which is read, or made, when it is first needed. Thread-safe.

    The first use must be outside any unit of work, because it may record a new key.
    """

    def __init__(self, database: Database, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._master: MasterKey | None = None

    def prepare(self) -> None:
        """Read or make the master key now; raise ``ConfigurationError`` when it cannot be used."""
        self._key()

    def seal(self, place: str, text: str) -> bytes:
        """Return ``text`` encrypted for ``place``, and for no other."""
        return _VERSION + self._key().seal(place, text.encode())

    def open(self, place: str, sealed: bytes) -> str:
        """Return the text that was sealed for ``place``; raise ``UnavailableError`` when this key does not open it."""
        plain = self._key().unseal(place, sealed[1:]) if sealed[:1] == _VERSION else None
        if plain is None:
            raise UnavailableError(
                "a secret in the database cannot be decrypted: it is damaged, or moved from another place; set it anew"
            )
        return plain.decode()

    def _key(self) -> MasterKey:
        with self._lock:
            if self._master is None:
                self._master = open_master(self._database, self._settings, self._clock)
            return self._master
