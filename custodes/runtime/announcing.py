"""``audit.checkpoint``: the signed head of the audit log, sent to where somebody else keeps it.

Whoever keeps a head can prove later that the log was cut off, forked or rebuilt since; nobody who can write to this
database can take it back.
"""

from __future__ import annotations

from typing import Final

import orjson

from custodes.db import Database, WriteTx
from custodes.db.leases import acquire_lease, check_lease
from custodes.kernel.clock import SECOND_NS, Clock, ns_to_rfc3339
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.settings import Settings
from policies.audit.checkpoint import Checkpoint
from policies.audit.keys import LogKey
from policies.audit.reading import checkpoint_to_object, read_checkpoint
from policies.hooks.endpoint_store import find_endpoint
from policies.hooks.payload import console_link
from policies.hooks.store import OutboxMessage, has_message, insert_message

EVENT: Final = "audit.checkpoint"
LEASE = "audit-announce"
_TTL_NS = 60 * SECOND_NS

log = get_logger("announcing")


class AnnounceCheckpoints:
    """Queues the latest checkpoint for every endpoint of the settings, once for each size of the log."""

    def __init__(self, database: Database, settings: Settings, key: LogKey, clock: Clock, owner: str) -> None:
        self._database = database
        self._places = [_read_place(name) for name in settings.audit.endpoints]
        self._console_url = settings.console_url
        self._key = key
        self._clock = clock
        self._owner = owner

    def run(self) -> None:
        """Queue what has not been told, or do nothing while another process leads or nobody is to be told."""
        if not self._places:
            return
        now_ns = self._clock()
        with self._database.write() as tx:
            held = acquire_lease(tx, LEASE, self._owner, now_ns=now_ns, ttl_ns=_TTL_NS)
        if held is None:
            return
        with self._database.write() as tx:
            check_lease(tx, held)
            checkpoint = read_checkpoint(tx)
            body = checkpoint_body(checkpoint, self._key, self._console_url, now_ns)
            for project, name in self._places:
                self._queue(tx, project, name, checkpoint.size, body, now_ns)

    def _queue(self, tx: WriteTx, project: str, name: str, size: int, body: bytes, now_ns: int) -> None:
        endpoint = find_endpoint(tx, project, name)
        if endpoint is None or endpoint.state != "active":
            log.warning("no endpoint to send checkpoints to", extra=fields(project=project, endpoint=name))
            return
        message_id = f"msg_checkpoint_{size}_{project}_{name}"[:64]
        if not has_message(tx, message_id):
            insert_message(
                tx, OutboxMessage(message_id, project, name, EVENT, None, body, "pending", 0, now_ns, now_ns)
            )


def checkpoint_body(checkpoint: Checkpoint, key: LogKey, console_url: str, now_ns: int) -> bytes:
    """Return ``{type, timestamp, data}`` with what ``custodes audit checkpoint --json`` prints."""
    shown = checkpoint_to_object(checkpoint, key.verifier)
    data = {
        **shown,
        "severity": "low",
        "title": f"Audit log at {checkpoint.size:,} entries",
        "summary": f"The root is {shown['root']}. Keep this where the log cannot be written from.",
        "url": console_link(console_url, "/audit"),
    }
    return orjson.dumps({"type": EVENT, "timestamp": ns_to_rfc3339(now_ns), "data": data})


def _read_place(text: str) -> tuple[str, str]:
    project, separator, name = text.partition("/")
    return (project, name) if separator else ("default", text)
