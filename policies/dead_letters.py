"""Messages that were given up, and trying an endpoint by hand. Each call is one unit of work with its audit event."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from custodes.db import Database
from custodes.kernel.errors import ConflictError, InvalidInputError
from custodes.kernel.ids import new_uuid7
from policies.actors import Actor, record
from policies.endpoints import require_endpoint
from policies.hooks.breaker import BreakerRules
from policies.hooks.channels import require_channel
from policies.hooks.delivery import Sender, describe_outcome, note_outcome
from policies.hooks.endpoint_store import end_rest
from policies.hooks.payload import probe_body
from policies.hooks.store import has_later_delivered, lock_dead_letters, revive_messages
from policies.hooks.store_retention import delete_messages
from policies.hooks.webhook import Delivered, Gone, RetryLater

MOST_REPLAYED = 500
"""Messages that one call brings back."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay did: messages that are pending again (or discarded), and those left alone with the reason.

    ``intake_id`` is ``None`` when nothing changed, as when the same replay is asked for twice.
    """

    replayed: tuple[str, ...]
    skipped: Mapping[str, str]
    intake_id: int | None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a test message came to. Nothing of the receiver's answer is kept but its status."""

    delivered: bool
    status: int | None
    detail: str
    duration_ms: float


def replay_dead_letters(
    db: Database, project_id: str, endpoint_id: str, message_ids: Sequence[str] | None, actor: Actor, now_ns: int
) -> Replay:
    """Send dead messages of an endpoint again under their old ids, these or the oldest 500.

    A message that is not dead is left alone, so that asking twice changes nothing more. So is one to a receiver that
    keeps alerts open, when a later message of its incident has arrived there: it would open again what is over. The
    endpoint's breaker lets the first one through at once. Raises ``NotFoundError``, and ``ConflictError`` for an
    endpoint that is disabled.
    """
    if message_ids is not None and not 1 <= len(message_ids) <= MOST_REPLAYED:
        raise InvalidInputError(f"name 1 to {MOST_REPLAYED} messages, or none to replay all")
    found = require_endpoint(db, project_id, endpoint_id)
    if found.state != "active":
        raise ConflictError(f"endpoint {endpoint_id!r} is disabled: {found.disabled_reason}; enable it first")
    tracks = require_channel(found.kind).tracks
    with db.write() as tx:
        dead = lock_dead_letters(tx, project_id, endpoint_id, message_ids, limit=MOST_REPLAYED)
        skipped = {one: "it is not dead" for one in message_ids or () if one not in {message.id for message in dead}}
        chosen = []
        for message in dead:
            if tracks and has_later_delivered(tx, message):
                skipped[message.id] = "a later message of its incident has arrived"
            else:
                chosen.append(message.id)
        if not chosen:
            return Replay((), skipped, None)
        revive_messages(tx, chosen, now_ns)
        end_rest(tx, project_id, endpoint_id, now_ns)
        data = {"messages": len(chosen), "first": chosen[0], "last": chosen[-1]}
        intake_id = record(tx, actor, "endpoint.replayed", f"endpoint/{endpoint_id}", data, project_id, now_ns)
    return Replay(tuple(chosen), skipped, intake_id)


def discard_dead_letters(
    db: Database, project_id: str, endpoint_id: str, message_ids: Sequence[str] | None, actor: Actor, now_ns: int
) -> Replay:
    """Remove dead messages of an endpoint for good, these or the oldest 500, and return which.

    What is not dead is left alone. The audit log keeps who did it, and how many. Raises ``NotFoundError``.
    """
    if message_ids is not None and not 1 <= len(message_ids) <= MOST_REPLAYED:
        raise InvalidInputError(f"name 1 to {MOST_REPLAYED} messages, or none to discard all")
    require_endpoint(db, project_id, endpoint_id)
    with db.write() as tx:
        dead = [one.id for one in lock_dead_letters(tx, project_id, endpoint_id, message_ids, limit=MOST_REPLAYED)]
        skipped = {one: "it is not dead" for one in message_ids or () if one not in dead}
        if not dead:
            return Replay((), skipped, None)
        delete_messages(tx, dead)
        data = {"messages": len(dead), "first": dead[0], "last": dead[-1]}
        intake_id = record(tx, actor, "endpoint.discarded", f"endpoint/{endpoint_id}", data, project_id, now_ns)
    return Replay(tuple(dead), skipped, intake_id)


def try_endpoint(
    db: Database,
    sender: Sender,
    project_id: str,
    endpoint_id: str,
    actor: Actor,
    now_ns: int,
    *,
    console_url: str,
    rules: BreakerRules | None = None,
) -> Trial:
    """Send ``endpoint.test`` now, past a breaker that is open, and return what came of it.

    It is not queued and not repeated; success closes the breaker. Raises ``NotFoundError``.
    """
    found = require_endpoint(db, project_id, endpoint_id)
    body = probe_body(project_id, endpoint_id, console_url=console_url, at_ns=now_ns)
    started_s = time.monotonic()
    outcome = sender.deliver(found, f"msg_{new_uuid7(now_ns)}", body, now_ns)
    duration_ms = (time.monotonic() - started_s) * 1000
    status = outcome.status if isinstance(outcome, Delivered | RetryLater | Gone) else None
    delivered = isinstance(outcome, Delivered)
    with db.write() as tx:
        note_outcome(tx, found, outcome, now_ns, random.Random(), rules or BreakerRules())
        data = {"delivered": delivered, "status": status}
        record(tx, actor, "endpoint.tested", f"endpoint/{endpoint_id}", data, project_id, now_ns)
    return Trial(delivered, status, describe_outcome(outcome), duration_ms)
