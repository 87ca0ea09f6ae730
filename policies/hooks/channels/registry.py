"""The kinds of receivers there are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from policies.errors import EndpointError
from policies.hooks.channels.alertmanager import ALERTMANAGER
from policies.hooks.channels.channel import Channel
from policies.hooks.channels.cloudevents import CLOUDEVENTS
from policies.hooks.channels.mail import MAIL
from policies.hooks.channels.pagerduty import PAGERDUTY
from policies.hooks.channels.slack import SLACK
from policies.hooks.channels.teams import TEAMS
from policies.hooks.channels.webhook import WEBHOOK

_ALL = (WEBHOOK, CLOUDEVENTS, SLACK, TEAMS, PAGERDUTY, ALERTMANAGER, MAIL)

CHANNELS: Mapping[str, Channel] = MappingProxyType({one.kind: one for one in _ALL})
"""Every channel by its kind."""

KINDS: tuple[str, ...] = tuple(CHANNELS)


def require_channel(kind: str) -> Channel:
    """Return the channel of a kind; raise ``EndpointError`` when there is none."""
    found = CHANNELS.get(kind)
    if found is None:
        raise EndpointError(f"unknown kind of endpoint {kind[:32]!r}; known are: {', '.join(KINDS)}")
    return found
