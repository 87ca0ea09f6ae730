"""The outbox worker: claim, send outside any transaction, record. At least once, in at most ten attempts.

The messages of one incident reach an endpoint one at a time, in the order they were queued.

A process that dies between sending and recording leaves its lease to run out; the message is then
sent again under the same ``webhook-id``, by which receivers recognise it.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Protocol

from custodes.db import Database, WriteTx
from custodes.kernel.clock import SECOND_NS
from custodes.kernel.ids import new_uuid7
from policies.hooks.breaker import Breaker, BreakerRules, count_failure
from policies.hooks.endpoint_store import (
    Endpoint,
    claim_probe,
    disable_endpoint,
    drop_previous_keys,
    find_endpoint,
    set_breaker,
)
from policies.hooks.schedule import LIFETIME_NS, plan_retry
from policies.hooks.store import (
    Attempt,
    OutboxMessage,
    OutboxState,
    claim_due,
    dead_letter,
    list_overdue,
    record_attempt,
    release_message,
)
from policies.hooks.webhook import Delivered, Gone, Outcome, RetryLater, Untold
from policies.incident_store import IncidentEvent, insert_incident_event

DELIVERY_ACTOR = "webhook-delivery"
_SLACK_NS = 30 * SECOND_NS


class Sender(Protocol):
    """Makes one delivery attempt."""

    @property
    def timeout_s(self) -> float:
        """The longest an attempt takes."""
        ...

    def deliver(self, receiver: Endpoint, message_id: str, body: bytes, now_ns: int) -> Outcome:
        """Return the outcome of one attempt; never raise for what a receiver does."""
        ...


@dataclass(slots=True)
class DeliveryReport:
    """What one round did, for logs and metrics."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0
    released: int = 0
    opened: int = 0
    """Breakers that opened."""
    overdue: int = 0
    """Messages given up untried, because a breaker kept them back for too long."""

    @property
    def attempts(self) -> int:
        """How many messages were tried."""
        return self.delivered + self.retried + self.dead


def deliver_due(
    db: Database,
    now_ns: int,
    sender: Sender,
    *,
    rng: random.Random | None = None,
    limit: int = 8,
    rules: BreakerRules | None = None,
) -> DeliveryReport:
    """Try every due message once, up to ``limit``, and record each outcome in its own unit of work.

    After a failure the endpoint's other messages of this round are given back untried: a receiver that
    hangs costs one timeout a round, and the others are not kept waiting for it. Nothing goes to an endpoint whose
    breaker is open; half open, one message does.
    """
    jitter = rng or random.Random()
    round_ = _Round(db, now_ns, sender, jitter, rules or BreakerRules(), new_uuid7(now_ns), limit)
    round_.give_up_overdue()
    with db.write() as tx:
        claimed = claim_due(tx, round_.owner, now_ns=now_ns, lease_ns=round_.lease_ns, limit=limit)
    for message in claimed:
        round_.try_message(message)
    return round_.report


@dataclass(slots=True)
class _Round:
    """One round of deliveries by one process."""

    db: Database
    now_ns: int
    sender: Sender
    rng: random.Random
    rules: BreakerRules
    owner: str
    limit: int
    report: DeliveryReport = field(default_factory=DeliveryReport)
    failed: set[tuple[str, str]] = field(default_factory=set)

    @property
    def lease_ns(self) -> int:
        """How long the round may take before somebody else takes over what it claimed."""
        return int(self.limit * self.sender.timeout_s * SECOND_NS) + _SLACK_NS

    def give_up_overdue(self) -> None:
        """Dead-letter what a breaker has kept back for longer than ten attempts would have taken."""
        with self.db.read() as tx:
            overdue = list_overdue(tx, self.now_ns - LIFETIME_NS, self.now_ns)
        if not overdue:
            return
        with self.db.write() as tx:
            for message in overdue:
                reason = "the endpoint's circuit breaker kept it back for too long"
                if dead_letter(tx, message, reason, self.now_ns):
                    self.report.overdue += 1
                    _tell_incidents(tx, message, self.now_ns, "dead", message.attempts, reason)

    def try_message(self, message: OutboxMessage) -> None:
        """Send one claimed message and record what came of it, or give it back."""
        place = (message.project_id, message.endpoint_id)
        with self.db.read() as tx:
            receiver = find_endpoint(tx, *place)
        if receiver is None or receiver.state != "active" or place in self.failed or not self._may_try(receiver):
            with self.db.write() as tx:
                release_message(tx, message, self.owner)
            self.report.released += 1
            return
        started_s = time.monotonic()
        outcome = self.sender.deliver(receiver, message.id, message.body, self.now_ns)
        duration_ms = (time.monotonic() - started_s) * 1000
        if not isinstance(outcome, Delivered | Untold):
            self.failed.add(place)
        with self.db.write() as tx:
            self._record(tx, message, receiver, outcome, duration_ms)

    def _may_try(self, receiver: Endpoint) -> bool:
        """Return whether the breaker lets one through; half open, to whoever asks first."""
        state = receiver.breaker.state(self.now_ns)
        if state != "half_open":
            return state == "closed"
        with self.db.write() as tx:
            return claim_probe(tx, receiver, self.now_ns + self.lease_ns)

    def _record(
        self, tx: WriteTx, message: OutboxMessage, receiver: Endpoint, outcome: Outcome, duration_ms: float
    ) -> None:
        now_ns, used = self.now_ns, message.attempts + 1
        status = outcome.status if isinstance(outcome, Delivered | RetryLater | Gone) else None
        detail = describe_outcome(outcome)
        kind = type(outcome).__name__.lower()
        attempt = Attempt(message.id, message.tries + 1, now_ns, kind, status, duration_ms, detail)
        retry = None
        if isinstance(outcome, RetryLater):
            retry = plan_retry(used, now_ns, self.rng, retry_after_s=outcome.retry_after_s)
        done = isinstance(outcome, Delivered | Untold)
        state: OutboxState = "delivered" if done else "dead" if retry is None else "pending"
        if not record_attempt(tx, message, self.owner, attempt, state, retry):
            return  # The lease ran out and someone else has taken over; their record counts.
        self.report.delivered += state == "delivered"
        self.report.retried += state == "pending"
        self.report.dead += state == "dead"
        self.report.opened += note_outcome(tx, receiver, outcome, now_ns, self.rng, self.rules)
        if isinstance(outcome, Gone):
            disable_endpoint(tx, receiver.project_id, receiver.id, "the receiver answered 410 Gone")
        if state != "pending":
            _tell_incidents(tx, message, now_ns, state, used, detail)


def note_outcome(
    tx: WriteTx, receiver: Endpoint, outcome: Outcome, now_ns: int, rng: random.Random, rules: BreakerRules
) -> bool:
    """Move the breaker of an endpoint on by what an attempt came to; return whether it has opened just now."""
    current = find_endpoint(tx, receiver.project_id, receiver.id, lock=True)
    if current is None or isinstance(outcome, Untold):
        return False
    if current.previous is not None:
        drop_previous_keys(tx, current.project_id, current.id, now_ns)
    if isinstance(outcome, Delivered):
        set_breaker(tx, current, Breaker(), now_ns, error=None)
        return False
    breaker = current.breaker
    if isinstance(outcome, RetryLater):
        breaker = count_failure(breaker, now_ns, rng, rules, retry_after_s=outcome.retry_after_s)
    set_breaker(tx, current, breaker, now_ns, error=describe_outcome(outcome))
    return breaker.open_until_ns is not None and current.breaker.open_until_ns is None


def _tell_incidents(
    tx: WriteTx, message: OutboxMessage, now_ns: int, state: OutboxState, attempts: int, detail: str
) -> None:
    """Leave word on the timelines of the incidents that a finished message told about."""
    if message.incident_id is None:
        return
    body = {
        "endpoint": message.endpoint_id,
        "event": message.event_type,
        "message_id": message.id,
        "attempts": attempts,
        "detail": detail,
    }
    kind = "notification.delivered" if state == "delivered" else "notification.failed"
    for incident_id in message.members or (message.incident_id,):
        insert_incident_event(tx, IncidentEvent(incident_id, now_ns, kind, DELIVERY_ACTOR, body))


def describe_outcome(outcome: Outcome) -> str:
    """Return an outcome in words, without anything a receiver wrote."""
    if isinstance(outcome, Delivered):
        return f"answered {outcome.status}" + (f"; {outcome.note}" if outcome.note else "")
    return "answered 410" if isinstance(outcome, Gone) else outcome.reason
