"""Slack incoming webhooks: Block Kit with a plain fallback.

``&``, ``<`` and ``>`` are escaped everywhere, because Slack reads ``<!channel>``, ``<@U…>`` and ``<url|text>`` as
commands; ``verbatim`` keeps it from making links out of the rest. The address holds the token, so it is a secret.
Source: docs.slack.dev, "Sending messages using incoming webhooks" and "Formatting message text".
"""

from __future__ import annotations

from typing import Any

import orjson

from policies.hooks.channels.channel import Channel, HttpCall, Target
from policies.hooks.channels.event import Event, shorten

_MOST_SECTION = 3000
_MOST_FIELD = 2000
_MARKS = {"critical": "🔴", "high": "🟠", "medium": "🟡", "low": "🔵"}


def format_slack(event: Event, target: Target) -> tuple[HttpCall, ...]:
    """Return one message: headline and title, summary, facts and a link into the console."""
    mark = "✅" if event.type == "incident.resolved" else _MARKS.get(event.severity, "ℹ️")
    heading = f"{mark} *{escape(event.headline)}*: {escape(event.title)}"
    blocks = [_section(heading)]
    if event.summary:
        blocks.append(_section(escape(event.summary)))
    if event.facts:
        fields = [_text(f"*{escape(name)}*\n{escape(value)}", _MOST_FIELD) for name, value in event.facts]
        blocks.append({"type": "section", "fields": fields})
    if event.url:
        # A link and not a button: Slack warns about buttons of applications that handle no interaction.
        blocks.append(_section(f"<{escape(event.url).replace('|', '%7C')}|Open in Custodes>"))
    fallback = _cut(escape(f"{event.headline}: {event.title}"), _MOST_SECTION)
    body = {"text": fallback, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}
    return (HttpCall(target.url, {"content-type": "application/json; charset=utf-8"}, orjson.dumps(body)),)


def escape(text: str) -> str:
    """Return ``text`` so that Slack shows it and obeys none of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text, _MOST_SECTION)}


def _text(text: str, most: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": _cut(text, most), "verbatim": True}


def _cut(escaped: str, most: int) -> str:
    """Return escaped text in at most ``most`` characters, never ending inside an entity."""
    cut = shorten(escaped, most)
    begun = cut.rfind("&")
    return cut if cut is escaped or begun <= cut.rfind(";") else cut[:begun] + "…"


SLACK = Channel("slack", "Slack", format_slack, address="secret")
