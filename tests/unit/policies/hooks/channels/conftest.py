"""One incident event as it lies in the outbox, to be told to every kind of receiver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from policies.hooks.channels import Event, read_event

DATA: dict[str, Any] = {
    "incident_id": "019aa5c0-6a00-7c3e-9d52-0d6b6f0e2f11",
    "project": "default",
    "policy_id": "toxicity-spike",
    "policy_version": "sha256:06641b",
    "severity": "high",
    "state": "new",
    "title": "toxicity-spike: deployment=bot-v7",
    "summary": "toxicity-spike fired for deployment=bot-v7: n is 360 and tox_p95 is 0.953.",
    "group": {"deployment": "bot-v7"},
    "opened_at": "2026-11-21T10:00:00.000000Z",
    "resolved_at": None,
    "url": "https://console.example.org/go?to=%2Fincident%3Fid%3D019aa5c0",
    "values": {"n": 360.0, "tox_p95": 0.953},
}


@pytest.fixture
def event() -> Callable[..., Event]:
    """Make an event of a type; data can be changed, and taken away by ``None``."""

    def make(type: str = "incident.opened", **changes: Any) -> Event:
        data = {name: value for name, value in {**DATA, **changes}.items() if value is not None}
        body = orjson.dumps({"type": type, "timestamp": "2026-11-21T10:00:05.000000Z", "data": data})
        return read_event("msg_019aa5c0", body)

    return make
