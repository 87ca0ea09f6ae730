"""Data keys: whose text is encrypted with which key, and for how long.

Text of a known person is under keys of that person, text of nobody known under a key of its project and day. A key
takes new text for 30 days (one day without a person) and at most 2^24 times in one process, so the random 96-bit nonces
of AES-GCM stay far below the 2^32 uses of one key that NIST SP 800-38D section 8.3 allows. Several processes may
each make a key for the same person; all of them are found and destroyed together.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from collector.content.master import ID_BYTES, KEY_BYTES, MasterKey
from collector.content.store import KeyRow, read_newest_keys
from custodes.db.database import Database
from custodes.kernel.clock import MINUTE_NS, Clock

DAY_NS = 24 * 60 * MINUTE_NS
SUBJECT_KEY_AGE_NS = 30 * DAY_NS
MAX_USES = 1 << 24
MAX_CACHED = 8_192
_TIME_BYTES = 6


@dataclass(slots=True)  # Not frozen, as in KeyRow.
class DataKey:
    """One key that encrypts content, and its row. No representation shows the key."""

    row: KeyRow
    cipher: AESGCM = field(repr=False)


@dataclass(slots=True)
class _Held:
    key: DataKey
    uses: int = 0


class KeyRing:
    """The keys that take new text, the latest 8,192 people's kept at hand. Thread-safe.

    A key that was destroyed elsewhere may stay at hand here, but nothing is stored under it: see
    ``Contents.keep_keys``, which calls :meth:`renew` then.
    """

    def __init__(self, database: Database, master: MasterKey, clock: Clock) -> None:
        self._database = database
        self._master = master
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str | None], _Held] = OrderedDict()
        self._used_up: set[bytes] = set()

    def take(self, project: str, uses: dict[str | None, int]) -> dict[str | None, DataKey]:
        """Return a key for each of these subjects, which will be used as often as given. Reads the database."""
        found = self._take_held(project, uses)
        missing = uses.keys() - found.keys()
        if missing:
            digests = {subject: self._digest(project, subject) for subject in missing}
            stored = self._read(project, digests)
            made = {one: stored.get(one) or self._make(project, digest) for one, digest in digests.items()}
            with self._lock:
                for subject, key in made.items():
                    found[subject] = self._hold(project, subject, key, uses[subject])
        return found

    def renew(self, project: str, subject: str | None, destroyed: Collection[bytes]) -> DataKey:
        """Return a key of this subject that isn't among the destroyed ones, a fresh one where need be."""
        with self._lock:
            held = self._held.get((project, subject))
            if held is not None and held.key.row.id not in destroyed:
                return held.key
            self._held.pop((project, subject), None)
            return self._hold(project, subject, self._make(project, self._digest(project, subject)), 1)

    def open(self, project: str, row: KeyRow) -> AESGCM | None:
        """Return the cipher of a stored key of ``project``; ``None`` when it is destroyed, foreign or damaged."""
        if row.wrapped is None or row.project != project:
            return None
        key = self._master.unwrap(project, row.id, row.wrapped)
        return None if key is None else AESGCM(key)

    def _take_held(self, project: str, uses: dict[str | None, int]) -> dict[str | None, DataKey]:
        now_ns = self._clock()
        found: dict[str | None, DataKey] = {}
        with self._lock:
            for subject, n in uses.items():
                place = (project, subject)
                held = self._held.get(place)
                if held is None:
                    continue
                if held.uses + n > MAX_USES:
                    self._used_up.add(held.key.row.id)
                if held.uses + n > MAX_USES or held.key.row.created_ns < oldest_ns(subject, now_ns):
                    del self._held[place]
                    continue
                held.uses += n
                self._held.move_to_end(place)
                found[subject] = held.key
        return found

    def _hold(self, project: str, subject: str | None, key: DataKey, uses: int) -> DataKey:
        """Keep ``key`` at hand unless another thread was quicker, and return the one kept. Needs the lock."""
        held = self._held.setdefault((project, subject), _Held(key))
        held.uses += uses
        while len(self._held) > MAX_CACHED:
            self._held.popitem(last=False)
        return held.key

    def _read(self, project: str, digests: dict[str | None, bytes | None]) -> dict[str | None, DataKey]:
        """Return the usable keys that are stored already; a key this process used up isn't taken again."""
        now_ns = self._clock()
        subjects = {digest: subject for subject, digest in digests.items()}
        named = [digest for digest in subjects if digest is not None]
        with self._database.read() as tx:
            rows = read_newest_keys(tx, project, named, oldest_ns("", now_ns))
            if None in subjects:
                rows.update(read_newest_keys(tx, project, None, oldest_ns(None, now_ns)))
        found: dict[str | None, DataKey] = {}
        for digest, row in rows.items():
            cipher = None if row.id in self._used_up else self.open(project, row)
            if cipher is not None:
                found[subjects[digest]] = DataKey(row, cipher)
        return found

    def _make(self, project: str, digest: bytes | None) -> DataKey:
        now_ns = self._clock()
        # The time first, as in a UUIDv7: ids that rise fill one page of their index after the other.
        random = os.urandom(ID_BYTES - _TIME_BYTES + KEY_BYTES)
        key_id, key = (now_ns // 1_000_000).to_bytes(_TIME_BYTES, "big") + random[:-KEY_BYTES], random[-KEY_BYTES:]
        row = KeyRow(key_id, project, digest, self._master.wrap(project, key_id, key), now_ns)
        return DataKey(row, AESGCM(key))

    def _digest(self, project: str, subject: str | None) -> bytes | None:
        return None if subject is None else self._master.digest_subject(project, subject)


def oldest_ns(subject: str | None, now_ns: int) -> int:
    """Return when a key must have been created to take new text now."""
    return now_ns - SUBJECT_KEY_AGE_NS if subject is not None else now_ns - now_ns % DAY_NS
