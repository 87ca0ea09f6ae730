from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from policies.hooks.channels import CHANNELS, Event, HttpCall, Target

SUMMARY = "toxicity-spike fired for deployment=bot-v7: n is 360 and tox_p95 is 0.953."
URL = "https://prod-1.westeurope.logic.azure.com/workflows/a/triggers/manual/paths/invoke?sig=token"


def told(event: Event) -> dict[str, Any]:
    (call,) = CHANNELS["teams"].format(event, Target(URL))
    assert isinstance(call, HttpCall)
    assert call.url == URL
    assert call.headers == {"content-type": "application/json"}
    document: dict[str, Any] = orjson.loads(call.body)
    return document


def line(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


class TestFormat:
    def test_it_tells_an_incident_by_an_adaptive_card(self, event: Callable[..., Event]) -> None:
        bold = {"weight": "Bolder"}
        assert told(event()) == {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "contentUrl": None,
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "fallbackText": "Incident opened: toxicity-spike: deployment=bot-v7",
                        "msteams": {"width": "Full"},
                        "body": [
                            line({"text": "Incident opened", **bold, "size": "Medium", "color": "Attention"}),
                            line({"text": "toxicity-spike: deployment=bot-v7", **bold}),
                            line({"text": SUMMARY}),
                            line({"text": "Severity: ", **bold}, {"text": "high"}),
                            line({"text": "Policy: ", **bold}, {"text": "toxicity-spike"}),
                            line({"text": "Project: ", **bold}, {"text": "default"}),
                            line({"text": "Deployment: ", **bold}, {"text": "bot-v7"}),
                        ],
                        "actions": [
                            {
                                "type": "Action.OpenUrl",
                                "title": "Open in Custodes",
                                "url": "https://console.example.org/go?to=%2Fincident%3Fid%3D019aa5c0",
                            }
                        ],
                    },
                }
            ],
        }

    def test_it_has_nowhere_that_reads_markdown(self, event: Callable[..., Event]) -> None:
        card = told(event(title="[click](https://evil.example)", group={"model": "**x**"}))["attachments"][0]["content"]
        assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
        assert {run["type"] for block in card["body"] for run in block["inlines"]} == {"TextRun"}

    def test_it_stays_below_the_size_teams_takes(self, event: Callable[..., Event]) -> None:
        group = {f"label{n}": "ü" * 3000 for n in range(40)}
        assert len(orjson.dumps(told(event(title="ü" * 5000, summary="ü" * 5000, group=group)))) < 28_000

    def test_it_leaves_out_a_button_that_leads_nowhere(self, event: Callable[..., Event]) -> None:
        assert "actions" not in told(event(url="javascript:alert(1)"))["attachments"][0]["content"]
