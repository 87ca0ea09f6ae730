"""The outbox worker: claim, send outside any transaction, record. At least once, in at most ten attempts.

The messages of one incident reach an endpoint one at a time, in the order they were queued.

A process that dies between sending and recording leaves its lease to run out; the message is then
sent again under the same ``webhook-id``, by which receivers recognise it.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Protocol

from custodes.db import Database, WriteTx
from custodes.kernel.clock import SECOND_NS
from custodes.kernel.ids import new_uuid7
from policies.hooks.schedule import plan_retry
from policies.hooks.store import (
    Attempt,
    Endpoint,
    OutboxMessage,
    OutboxState,
    claim_due,
    disable_endpoint,
    find_endpoint,
    record_attempt,
    release_message,
)
from policies.hooks.webhook import Delivered, Gone, Outcome, RetryLater
from policies.incident_store import IncidentEvent, insert_incident_event

DELIVERY_ACTOR = "webhook-delivery"
_SLACK_NS = 30 * SECOND_NS


class Sender(Protocol):
    """Makes one delivery attempt."""

    @property
    def timeout_s(self) -> float:
        """The longest an attempt takes."""
        ...

    def send(self, url: str, secret: str, message_id: str, body: bytes, now_ns: int) -> Outcome:
        """Return the outcome of one attempt; never raise for what a receiver does."""
        ...


@dataclass(slots=True)
class DeliveryReport:
    """What one round did, for logs and metrics."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0
    released: int = 0

    @property
    def attempts(self) -> int:
        """How many messages were tried."""
        return self.delivered + self.retried + self.dead


def deliver_due(
    db: Database, now_ns: int, sender: Sender, *, rng: random.Random | None = None, limit: int = 8
) -> DeliveryReport:
    """Try every due message once, up to ``limit``, and record each outcome in its own unit of work.

    After a failure the endpoint's other messages of this round are given back untried: a receiver that
    hangs costs one timeout a round, and the others are not kept waiting for it.
    """
    owner = new_uuid7(now_ns)
    jitter = rng or random.Random()
    lease_ns = int(limit * sender.timeout_s * SECOND_NS) + _SLACK_NS
    with db.write() as tx:
        claimed = claim_due(tx, owner, now_ns=now_ns, lease_ns=lease_ns, limit=limit)
    report = DeliveryReport()
    failed: set[tuple[str, str]] = set()
    for message in claimed:
        place = (message.project_id, message.endpoint_id)
        with db.read() as tx:
            receiver = find_endpoint(tx, *place)
        if receiver is None or receiver.state != "active" or place in failed:
            with db.write() as tx:
                release_message(tx, message, owner)
            report.released += 1
            continue
        started_s = time.monotonic()
        outcome = sender.send(receiver.url, receiver.secret, message.id, message.body, now_ns)
        duration_ms = (time.monotonic() - started_s) * 1000
        if not isinstance(outcome, Delivered):
            failed.add(place)
        with db.write() as tx:
            _record(tx, message, owner, receiver, outcome, now_ns, duration_ms, jitter, report)
    return report


def _record(
    tx: WriteTx,
    message: OutboxMessage,
    owner: str,
    receiver: Endpoint,
    outcome: Outcome,
    now_ns: int,
    duration_ms: float,
    rng: random.Random,
    report: DeliveryReport,
) -> None:
    number = message.attempts + 1
    status = None if not isinstance(outcome, Delivered | RetryLater | Gone) else outcome.status
    detail = _describe(outcome)
    attempt = Attempt(message.id, number, now_ns, type(outcome).__name__.lower(), status, duration_ms, detail)
    retry = None
    if isinstance(outcome, RetryLater):
        retry = plan_retry(number, now_ns, rng, retry_after_s=outcome.retry_after_s)
    state: OutboxState = "delivered" if isinstance(outcome, Delivered) else "dead" if retry is None else "pending"
    if not record_attempt(tx, message, owner, attempt, state, retry):
        return  # The lease ran out and someone else has taken over; their record counts.
    report.delivered += state == "delivered"
    report.retried += state == "pending"
    report.dead += state == "dead"
    if isinstance(outcome, Gone):
        disable_endpoint(tx, receiver.project_id, receiver.id, "the receiver answered 410 Gone")
    if message.incident_id is not None and state != "pending":
        body = {
            "endpoint": receiver.id,
            "event": message.event_type,
            "message_id": message.id,
            "attempts": number,
            "detail": detail,
        }
        kind = "notification.delivered" if state == "delivered" else "notification.failed"
        for incident_id in message.members or (message.incident_id,):
            insert_incident_event(tx, IncidentEvent(incident_id, now_ns, kind, DELIVERY_ACTOR, body))


def _describe(outcome: Outcome) -> str:
    if isinstance(outcome, Delivered):
        return f"answered {outcome.status}"
    return "answered 410" if isinstance(outcome, Gone) else outcome.reason
