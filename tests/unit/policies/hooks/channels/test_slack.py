from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from policies.hooks.channels import CHANNELS, Event, HttpCall, Target

URL = "https://hooks.slack.com/services/T0/B0/token"


def told(event: Event) -> dict[str, Any]:
    (call,) = CHANNELS["slack"].format(event, Target(URL))
    assert isinstance(call, HttpCall)
    assert call.url == URL
    assert call.headers == {"content-type": "application/json; charset=utf-8"}
    document: dict[str, Any] = orjson.loads(call.body)
    return document


def texts(document: dict[str, Any]) -> list[str]:
    blocks = document["blocks"]
    return [block["text"]["text"] for block in blocks if "text" in block] + [
        field["text"] for block in blocks for field in block.get("fields", [])
    ]


class TestFormat:
    def test_it_tells_an_incident(self, event: Callable[..., Event]) -> None:
        assert told(event()) == {
            "text": "Incident opened: toxicity-spike: deployment=bot-v7",
            "blocks": [
                {
                    "type": "section",
                    "text": {
                        "type": "mrkdwn",
                        "text": "🟠 *Incident opened*: toxicity-spike: deployment=bot-v7",
                        "verbatim": True,
                    },
                },
                {
                    "type": "section",
                    "text": {
                        "type": "mrkdwn",
                        "text": "toxicity-spike fired for deployment=bot-v7: n is 360 and tox_p95 is 0.953.",
                        "verbatim": True,
                    },
                },
                {
                    "type": "section",
                    "fields": [
                        {"type": "mrkdwn", "text": "*Severity*\nhigh", "verbatim": True},
                        {"type": "mrkdwn", "text": "*Policy*\ntoxicity-spike", "verbatim": True},
                        {"type": "mrkdwn", "text": "*Project*\ndefault", "verbatim": True},
                        {"type": "mrkdwn", "text": "*Deployment*\nbot-v7", "verbatim": True},
                    ],
                },
                {
                    "type": "section",
                    "text": {
                        "type": "mrkdwn",
                        "text": "<https://console.example.org/go?to=%2Fincident%3Fid%3D019aa5c0|Open in Custodes>",
                        "verbatim": True,
                    },
                },
            ],
            "unfurl_links": False,
            "unfurl_media": False,
        }

    def test_it_obeys_nothing_that_names_contain(self, event: Callable[..., Event]) -> None:
        hostile = "<!channel> & <https://evil.example|click>\n*x*"
        document = told(event(title=hostile, summary=hostile, group={"deployment": hostile}, policy_id=hostile))
        shown = [document["text"], *texts(document)[:-5], *texts(document)[-4:]]
        assert all("<" not in one for one in shown if "Open in Custodes" not in one)
        assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; *x*" in document["text"]

    def test_it_keeps_to_the_lengths_slack_takes(self, event: Callable[..., Event]) -> None:
        group = {f"label{n}": "&" * 3000 for n in range(40)}
        document = told(event(title="<" * 5000, summary="&" * 5000, group=group))
        assert len(document["blocks"]) <= 50
        assert len(document["text"]) <= 3000
        for block in document["blocks"]:
            assert len(block.get("text", {}).get("text", "")) <= 3000
            assert len(block.get("fields", [])) <= 10
            assert all(len(one["text"]) <= 2000 for one in block.get("fields", []))
        for one in texts(document):
            assert one.rpartition("&")[2].find(";") >= 0 or "&" not in one, "an entity was cut in two"

    @pytest.mark.parametrize("url", ["javascript:alert(1)", "", "https://a.example/?x=a|b>c"])
    def test_it_links_to_http_only(self, event: Callable[..., Event], url: str) -> None:
        links = [one for one in texts(told(event(url=url))) if one.startswith("<")]
        assert links == (["<https://a.example/?x=a%7Cb&gt;c|Open in Custodes>"] if url.startswith("https") else [])

    @pytest.mark.parametrize("type", ["incident.resolved", "fairness.alarm", "endpoint.test", "audit.checkpoint"])
    def test_it_tells_events_of_any_kind(self, event: Callable[..., Event], type: str) -> None:
        assert told(event(type, group=None, severity=None, summary=None))["text"]
