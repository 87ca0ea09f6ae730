"""How an event is told to each kind of receiver: pure formatters, one module for each, and the list of them."""

from policies.hooks.channels.channel import Call, Channel, HttpCall, MailCall, Setting, Target
from policies.hooks.channels.event import Event, read_event
from policies.hooks.channels.registry import CHANNELS, KINDS, require_channel
from policies.hooks.channels.webhook import WEBHOOK

__all__ = [
    "CHANNELS",
    "KINDS",
    "WEBHOOK",
    "Call",
    "Channel",
    "Event",
    "HttpCall",
    "MailCall",
    "Setting",
    "Target",
    "read_event",
    "require_channel",
]
