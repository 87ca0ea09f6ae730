"""The batches one worker holds: taken by lease, kept while they are worked on, put down or given back."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from custodes.db import Database
from custodes.kernel.clock import SECOND_NS, Clock
from custodes.kernel.settings import WorkerSettings
from custodes.runtime.batches import ClaimedBatch, claim_batches, mark_batches, renew_batches, still_held
from custodes.runtime.heartbeat import beat


class Claims:
    """What ``owner`` has in hand. Safe to use from several threads."""

    def __init__(self, database: Database, settings: WorkerSettings, clock: Clock, owner: str) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._owner = owner
        self._in_hand: list[ClaimedBatch] = []
        self._lock = threading.Lock()

    def take(self) -> list[ClaimedBatch]:
        """Lease batches that wait, oldest first; none if none wait."""
        now_ns = self._clock()
        lease_ns = int(self._settings.lease_s * SECOND_NS)
        with self._database.write() as tx:
            claimed = claim_batches(tx, self._owner, now_ns=now_ns, lease_ns=lease_ns, limit=self._settings.batches)
        with self._lock:
            self._in_hand += claimed
        return claimed

    def put_down(self, claimed: Sequence[ClaimedBatch]) -> None:
        """Stop renewing the lease of batches that are done, or that may go to another worker when it runs out."""
        with self._lock:
            self._in_hand = [batch for batch in self._in_hand if batch not in claimed]

    def give_back(self, claimed: Sequence[ClaimedBatch], reason: str | None) -> None:
        """Let others have the batches at once; ``reason`` is why they could not be scored, if that is so."""
        self.put_down(claimed)
        with self._database.write() as tx:
            mark_batches(tx, still_held(tx, self._owner, claimed), "ready", now_ns=self._clock(), error=reason)

    def renew(self) -> None:
        """Keep the batches in hand, and say that this worker lives."""
        now_ns = self._clock()
        with self._lock:
            held = list(self._in_hand)
        with self._database.write() as tx:
            if held:
                renew_batches(tx, self._owner, held, until_ns=now_ns + int(self._settings.lease_s * SECOND_NS))
            beat(tx, self._owner, now_ns=now_ns)
