"""What a server would answer about drift, beside the rest of the story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
STATES = ("drift", "damaged", "watching", "learning")
NAMES = ("response", "prompt", "latency_ms", "hallucination")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EXCHANGE = TRACE + "00f067aa0ba902b7"


def ago(**parts: float) -> str:
    return (NOW - timedelta(**parts)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def drift(story: Any) -> dict[str, Any]:
    rules = {"enabled": True, "exchanges_per_false_alarm": 100_000, "reference_exchanges": 2_000}
    return {"rules": rules, "rows": [] if story.empty else [monitor(story, state) for state in STATES]}


def monitor(story: Any, state: str) -> dict[str, Any]:
    number = STATES.index(state)
    return {
        "monitor_id": number + 1,
        "place_id": 7,
        "service": story.name,
        "environment": "prod",
        "deployment": f"{story.name}-v8",
        "monitor": NAMES[number],
        "maker": "" if state == "watching" else f"encoder/{story.name}@1 sha256:ab dim 384",
        "state": state,
        "current": state != "damaged",
        "statistic": 12.5 if state == "watching" else 3.0,
        "threshold": 0.0 if state == "learning" else 400_000.0,
        "learned": 2_000 if state != "learning" else 17,
        "seen": 12_345,
        "reference": {"id": "r1", "version": 1, "source": {"kind": "first", "exchanges": 2_000}},
        "began_at": ago(days=3),
        "updated_at": ago(minutes=1),
        "episode": standing(story) if state == "drift" else None,
    }


def standing(story: Any) -> dict[str, Any]:
    return {"id": "e1", "at": ago(hours=1), "onset": ago(hours=2), "incident_id": story.incident()["id"], "repeats": 3}


def course() -> dict[str, Any]:
    return {
        "points": [
            {"at": ago(hours=hour), "statistic": 10.0 ** (6 - hour), "threshold": 400_000.0, "seen": 50,
             "alarms": int(hour == 0)}
            for hour in range(6, -1, -1)
        ]
    }  # fmt: skip


def episode(story: Any, *, ended: bool = False, full: bool = True) -> dict[str, Any]:
    found = {
        "id": "e2" if ended else "e1",
        "monitor_id": 1,
        "place_id": 7,
        "service": story.name,
        "environment": "prod",
        "deployment": f"{story.name}-v8",
        "monitor": "response",
        "at": ago(hours=1),
        "onset": ago(hours=2),
        "last_at": ago(minutes=5),
        "repeats": 3,
        "statistic": 500_000.0,
        "threshold": 400_000.0,
        "view": "distance",
        "reference_version": 1,
        "incident_id": story.incident()["id"],
        "ended_at": ago(minutes=1) if ended else None,
        "ended_as": "over" if ended else None,
    }
    if not full:
        return found
    report = {"monitor_id": 1, "monitor": "response", "episode_id": "e1", "requested_by": story.name,
              "created_at": ago(minutes=9)}  # fmt: skip
    return {
        **found,
        "explanation": {
            "kind": "embedding", "onset": 3, "exchanges_since": 240, "separation": 0.97, "novel_share": 0.41,
            "clusters": [{"cell": 5, "before": 0.01, "since": 0.31, "examples": [EXCHANGE]},
                         {"cell": 9, "before": 0.2, "since": 0.05, "examples": []}],
            "examples": [EXCHANGE], "through": 300,
            "map": {"reference": [[0.1, 0.2], [0.3, -0.2]], "current": [[2.0, 2.1]], "current_exchanges": [EXCHANGE]},
        },
        "reports": [
            {**report, "id": "p1", "state": "ready", "ready_at": ago(minutes=8), "rows_before": 900, "rows_since": 240},
            {**report, "id": "p2", "state": "requested"},
            {**report, "id": "p3", "state": "failed", "error": f"{story.name} is not installed"},
        ],
    }  # fmt: skip


def episodes(story: Any) -> dict[str, Any]:
    return {"rows": [episode(story, full=False), episode(story, ended=True, full=False)], "next_cursor": None}


def references(story: Any, *, waiting: bool) -> dict[str, Any]:
    first = {"id": "r1", "place_id": 7, "version": 1, "state": "active", "reason": "The first exchanges.",
             "source": {"kind": "first", "exchanges": 2_000}, "requested_by": "drift-monitor",
             "created_at": ago(days=3), "decided_by": "drift-monitor", "decided_at": ago(days=3),
             "revision": 1}  # fmt: skip
    second = {**first, "id": "r2", "version": 2, "state": "proposed", "reason": f"Version 9 of {story.name}.",
              "source": {"kind": "period", "from": ago(days=1), "to": ago(hours=1)}, "requested_by": "key:else",
              "decided_by": None, "decided_at": None}  # fmt: skip
    return {"rows": [second, first] if waiting else [first], "next_cursor": None}
