"""For everything else: a signed webhook that asks, and a signed callback that says what became of it.

The message is a Standard Webhook whose ``webhook-id`` is the same at every attempt, so a receiver recognises a
repetition. The callback is signed with the endpoint's own secret. People who do a thing by hand are the same case
without the webhook: somebody signed in says that it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from custodes.kernel.clock import SECOND_NS, ns_to_rfc3339
from custodes.kernel.errors import AuthenticationError, InvalidInputError
from policies.actions.adapters import Order, Plan, Refused, Result, TryLater, Waiting
from policies.actions.github import versions_named
from policies.hooks.channels import CHANNELS
from policies.hooks.endpoint_store import Endpoint
from policies.hooks.signing import verify_headers
from policies.hooks.webhook import Delivered, Outcome, RetryLater

EVENT = "action.dispatched"
FindEndpoint = Callable[[str, str], Endpoint | None]
"""A function from project and name to the endpoint, ``None`` where there is none."""


class Sender(Protocol):
    """Makes one signed delivery attempt."""

    def deliver(self, receiver: Endpoint, message_id: str, body: bytes, now_ns: int) -> Outcome:
        """Return the outcome of one attempt; never raise for what a receiver does."""
        ...


class WebhookAdapter:
    """Asks ``target.endpoint`` to act."""

    def __init__(self, find: FindEndpoint, sender: Sender, clock: Callable[[], int], api_url: str) -> None:
        self._find = find
        self._sender = sender
        self._clock = clock
        self._api_url = api_url.rstrip("/")

    def plan(self, target: Mapping[str, str]) -> Plan | TryLater | Refused:
        """Return what the target says about versions; the receiver knows the rest."""
        return versions_named(target) if target.get("endpoint") else Refused("a webhook target names its endpoint")

    def send(self, order: Order) -> Result:
        """Send the request; repeated, it carries the same id."""
        name = order.target.get("endpoint", "")
        endpoint = self._find(order.project_id, name)
        if endpoint is None or endpoint.state != "active":
            return Refused(f"there is no active endpoint {name[:64]!r}")
        if endpoint.kind not in CHANNELS or not CHANNELS[endpoint.kind].signs:
            return Refused(f"endpoint {name[:64]!r} is of kind {endpoint.kind}, which cannot be asked to act")
        message_id = message_id_of(order.action_id)
        outcome = self._sender.deliver(endpoint, message_id, self._body(order), self._clock())
        if isinstance(outcome, Delivered):
            return Waiting(f"the receiver answered {outcome.status}; waiting for its signed callback", message_id)
        if isinstance(outcome, RetryLater):
            return TryLater(outcome.reason)
        return Refused(getattr(outcome, "reason", "the receiver answered 410 Gone"))

    def look(self, order: Order) -> Result:
        """Wait: only the callback says what became of it."""
        return Waiting("waiting for the receiver's signed callback")

    def _body(self, order: Order) -> bytes:
        data = {
            "action_id": order.action_id,
            "target": dict(order.target),
            "from_version": order.from_version,
            "to_version": order.to_version,
            "callback": f"{self._api_url}/api/v1/actions/{order.action_id}/callback",
            **order.facts,
        }
        return orjson.dumps({"type": EVENT, "timestamp": ns_to_rfc3339(order.sent_ns), "data": data})


class PeopleAdapter:
    """Work that people do by hand, and say so."""

    def plan(self, target: Mapping[str, str]) -> Plan | TryLater | Refused:
        """Return what the target says about versions."""
        return versions_named(target)

    def send(self, order: Order) -> Result:
        """Wait for a person."""
        return Waiting("waiting for a person to say that it is done", "by hand")

    def look(self, order: Order) -> Result:
        """Wait for a person."""
        return Waiting("waiting for a person to say that it is done")


class Callback(BaseModel):
    """What a receiver reports: ``done`` or ``failed``, in at most 500 characters, and its own name for the thing."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)
    action_id: str = Field(min_length=1, max_length=36)
    result: Literal["done", "failed"]
    detail: str = Field("", max_length=500)
    external_id: str | None = Field(None, max_length=256)


def read_callback(
    action_id: str, headers: Mapping[str, str], body: bytes, keys: Sequence[str], now_ns: int
) -> Callback:
    """Return a callback that one of the endpoint's signing ``keys`` has signed within five minutes.

    Raises ``AuthenticationError`` otherwise, the same for an unknown action, and ``InvalidInputError`` for a body that
    says something else than what became of this action.
    """
    secrets = [one for one in keys if one.startswith("whsec_")]
    if not secrets or not verify_headers(secrets, headers, body, now_ns // SECOND_NS):
        raise AuthenticationError(
            "the callback is not signed with the whsec_ secret of the endpoint this action went to, or its time is off"
        )
    try:
        said = Callback.model_validate_json(body)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InvalidInputError(f"a callback is {{action_id, result: done|failed, detail}}: {problems}") from error
    if said.action_id != action_id:
        raise InvalidInputError("the callback names another action than its address")
    return said


def message_id_of(action_id: str) -> str:
    """Return the ``webhook-id`` of an action, the same at every attempt."""
    return f"act_{action_id}"


def plain(text: Any) -> str:
    """Return text from outside without control characters, for reasons that people read."""
    return "".join(c if c.isprintable() else " " for c in str(text))[:500]
