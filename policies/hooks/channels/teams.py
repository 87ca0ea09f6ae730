"""Microsoft Teams through a Workflows webhook: one Adaptive Card. The connectors that took MessageCards are retired.

Texts stand in ``TextRun``, which unlike ``TextBlock`` and ``FactSet`` knows no Markdown, so no name can make a link.
The address holds its signature, so it is a secret. A message takes up to 28 kB. Sources: learn.microsoft.com, "Create
incoming webhooks with Workflows"; adaptivecards.io, schema 1.4.
"""

from __future__ import annotations

from typing import Any

import orjson

from policies.hooks.channels.channel import Channel, HttpCall, Target
from policies.hooks.channels.event import Event, shorten

_MOST_TITLE = 300
_MOST_TEXT = 2000
_MOST_FACT = 300
_COLOURS = {"critical": "Attention", "high": "Attention", "medium": "Warning", "low": "Accent"}


def format_teams(event: Event, target: Target) -> tuple[HttpCall, ...]:
    """Return one message with one card: headline, title, summary, facts and a button into the console."""
    colour = "Good" if event.type == "incident.resolved" else _COLOURS.get(event.severity, "Default")
    body = [
        _line(_run(event.headline, weight="Bolder", size="Medium", color=colour)),
        _line(_run(shorten(event.title, _MOST_TITLE), weight="Bolder")),
    ]
    if event.summary:
        body.append(_line(_run(shorten(event.summary, _MOST_TEXT))))
    for name, value in event.facts:
        body.append(_line(_run(f"{name}: ", weight="Bolder"), _run(shorten(value, _MOST_FACT))))
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": shorten(f"{event.headline}: {event.title}", _MOST_TITLE),
        "msteams": {"width": "Full"},
        "body": body,
    }
    if event.url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open in Custodes", "url": event.url}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    message = {"type": "message", "attachments": [attachment]}
    return (HttpCall(target.url, {"content-type": "application/json"}, orjson.dumps(message)),)


def _line(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **style: str) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **style}


TEAMS = Channel("teams", "Microsoft Teams (Workflows)", format_teams, address="secret")
