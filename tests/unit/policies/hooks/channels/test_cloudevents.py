from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from policies.errors import EndpointError
from policies.hooks.channels import CHANNELS, Event, HttpCall, Target

CLOUDEVENTS = CHANNELS["cloudevents"]


class TestFormat:
    def test_it_puts_the_event_into_the_envelope(self, event: Callable[..., Event]) -> None:
        given = event()
        (call,) = CLOUDEVENTS.format(given, Target("https://broker.example.org/events"))
        assert isinstance(call, HttpCall)
        assert call.headers == {"content-type": "application/cloudevents+json; charset=utf-8"}
        assert orjson.loads(call.body) == {
            "specversion": "1.0",
            "id": "msg_019aa5c0",
            "source": "/custodes/projects/default",
            "type": "custodes.incident.opened",
            "time": "2026-11-21T10:00:05.000000Z",
            "subject": "incident/019aa5c0-6a00-7c3e-9d52-0d6b6f0e2f11",
            "datacontenttype": "application/json",
            "data": given.data,
        }

    def test_its_source_can_be_chosen(self, event: Callable[..., Event]) -> None:
        options = {"source": "https://custodes.example.org"}
        CLOUDEVENTS.check_settings(options, {})
        (call,) = CLOUDEVENTS.format(event(incident_id=None), Target("https://a.example", options))
        assert isinstance(call, HttpCall)
        document = orjson.loads(call.body)
        assert document["source"] == "https://custodes.example.org"
        assert "subject" not in document

    def test_a_source_that_is_no_reference_is_refused(self) -> None:
        with pytest.raises(EndpointError, match="URI reference"):
            CLOUDEVENTS.check_settings({"source": "not one"}, {})
