"""A receiver of our own webhooks: the body as it is, signed by Standard Webhooks 1.0.0."""

from __future__ import annotations

from policies.hooks.channels.channel import Channel, HttpCall, Target
from policies.hooks.channels.event import Event


def format_webhook(event: Event, target: Target) -> tuple[HttpCall, ...]:
    """Return the one call; the signature is added when it is sent, because it covers the time of the attempt."""
    return (HttpCall(target.url, {"content-type": "application/json"}, event.body),)


WEBHOOK = Channel("webhook", "Standard Webhooks", format_webhook, signs=True)
