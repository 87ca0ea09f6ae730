"""Endpoints and messages as the API shows them: never a secret, never a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from custodes.kernel.clock import ns_to_rfc3339
from policies.dead_letters import Trial
from policies.hooks.channels import CHANNELS, Channel
from policies.hooks.endpoint_store import Endpoint
from policies.hooks.store import Attempt, OutboxMessage


def endpoint_to_json(one: Endpoint, counts: Mapping[str, int], now_ns: int) -> dict[str, Any]:
    """Return one endpoint. ``rotating_until`` is when the replaced signing key stops to sign."""
    rotates = one.previous_at(now_ns) is not None
    return {
        "id": one.id,
        "kind": one.kind,
        "url": one.url,
        "options": dict(one.options),
        "state": one.state,
        "disabled_reason": one.disabled_reason,
        "signs": one.kind in CHANNELS and CHANNELS[one.kind].signs,
        "breaker": {
            "state": one.breaker.state(now_ns),
            "failures": one.breaker.failures,
            "open_until": _stamp(one.breaker.open_until_ns),
        },
        "pending": counts.get("pending", 0),
        "dead": counts.get("dead", 0),
        "last_delivered_at": _stamp(one.delivered_ns),
        "last_failed_at": _stamp(one.failed_ns),
        "last_error": one.last_error,
        "rotating_until": _stamp(one.previous_until_ns) if rotates else None,
        "created_at": ns_to_rfc3339(one.created_ns),
        "revision": one.revision,
    }


def channel_to_json(one: Channel) -> dict[str, Any]:
    """Return a kind of endpoint: what it is called and what it takes."""
    return {
        "kind": one.kind,
        "title": one.title,
        "address": one.address,
        "default_url": one.default_url,
        "signs": one.signs,
        "settings": [
            {"name": two.name, "description": two.description, "secret": two.secret, "required": two.required}
            for two in one.settings
        ],
    }


def message_to_json(one: OutboxMessage, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return one message with its own among ``attempts``."""
    return {
        "id": one.id,
        "event": one.event_type,
        "incident_id": one.incident_id,
        "state": one.state,
        "attempts_used": one.attempts,
        "created_at": ns_to_rfc3339(one.created_ns),
        "replayed_at": _stamp(one.replayed_ns),
        "next_attempt_at": ns_to_rfc3339(one.next_attempt_ns) if one.state == "pending" else None,
        "delivered_at": _stamp(one.delivered_ns),
        "last_error": one.last_error,
        "attempts": [
            {
                "n": attempt.n,
                "at": ns_to_rfc3339(attempt.at_ns),
                "outcome": attempt.outcome,
                "status": attempt.status,
                "duration_ms": attempt.duration_ms,
                "detail": attempt.detail,
            }
            for attempt in attempts
            if attempt.outbox_id == one.id
        ],
    }


def trial_to_json(one: Trial) -> dict[str, Any]:
    """Return what a test message came to."""
    return {
        "delivered": one.delivered,
        "status": one.status,
        "detail": one.detail,
        "duration_ms": one.duration_ms,
    }


def _stamp(ns: int | None) -> str | None:
    return None if ns is None else ns_to_rfc3339(ns)
