"""Removes delivered messages once they are older than the settings keep them."""

from __future__ import annotations

from custodes.db import Database
from custodes.db.leases import acquire_lease, check_lease
from custodes.kernel.clock import DAY_NS, SECOND_NS, Clock
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.settings_webhook import WebhookSettings
from policies.hooks.store_retention import remove_old_messages

LEASE = "outbox-retention"
EVERY_S = 600.0
_AT_ONCE = 500
_MOST_IN_A_RUN = 100
_TTL_NS = 60 * SECOND_NS

log = get_logger("tidying")


class RemoveOldMessages:
    """Removes what is old, some hundreds of messages to a unit of work, if this process holds the lease."""

    def __init__(self, database: Database, settings: WebhookSettings, clock: Clock, owner: str) -> None:
        self._database = database
        self._keep_ns = int(settings.retention_days * DAY_NS)
        self._clock = clock
        self._owner = owner

    def run(self) -> None:
        """Remove what is due; what is left over after a hundred units of work waits for the next run."""
        removed = 0
        for _ in range(_MOST_IN_A_RUN):
            now_ns = self._clock()
            with self._database.write() as tx:
                held = acquire_lease(tx, LEASE, self._owner, now_ns=now_ns, ttl_ns=_TTL_NS)
            if held is None:
                return
            with self._database.write() as tx:
                check_lease(tx, held)
                n = remove_old_messages(tx, now_ns - self._keep_ns, limit=_AT_ONCE)
            removed += n
            if n < _AT_ONCE:
                break
        if removed:
            log.info("delivered messages were removed", extra=fields(messages=removed))
