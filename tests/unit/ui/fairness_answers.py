"""What a server would answer about gaps between groups, beside the rest of the story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
GAP_STATES = ("gap", "withheld", "watching", "within_tolerance", "too_few_data")


def ago(**parts: float) -> str:
    return (NOW - timedelta(**parts)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def fairness(story: Any) -> dict[str, Any]:
    rules = {"enabled": True, "epsilon": 0.02, "alpha": 0.01, "min_pairs": 50}
    rows = [] if story.empty else [gap(story, state) for state in GAP_STATES]
    return {"rules": rules, "rows": rows}


def gap(story: Any, state: str) -> dict[str, Any]:
    """Return one gap in each state; a hostile name is put wherever a caller chooses names."""
    number = GAP_STATES.index(state)
    named = "group:de" if number == 0 else f"group:{story.name}"
    pairs = 0 if state == "too_few_data" else 1234
    value = None if pairs == 0 else 0.12
    low, high = (-1.0, 1.0) if pairs == 0 else (0.081, 0.162)
    interval = {"pairs": pairs, "gap": value, "gap_low": low, "gap_high": high}
    since = None if pairs == 0 else ago(hours=9)
    return {
        "segment_id": 7,
        "service": story.name,
        "environment": "prod",
        "deployment": f"{story.name}-v8",
        "model": "m",
        "family": "caller:group" if number != 2 else "prompt",
        "group": named,
        "outcome": "refused" if number != 1 else "toxic",
        "state": state,
        "at": ago(minutes=1),
        "n_group": 1300,
        "n_others": 5200,
        "unplaced": 0,
        **interval,
        "since": since,
        "recent": {**interval, "since": since},
        "statistic": 123456.0,
        "direction": "higher",
        "metric": "toxicity" if number == 1 else None if number == 2 else "refusal",
        "audited": number == 1,
        "own_gap": 0.2 if number == 1 else None,
        "strata": [
            {"stratum": "en/1.0", "n_group": 900, "n_others": 4000, "pairs": pairs, "mean_group": 0.2,
             "mean_others": 0.08, "gap": value},
            {"stratum": "und/none", "n_group": 1, "n_others": 0, "pairs": 0, "mean_group": None,
             "mean_others": None, "gap": None},
        ],
        "alarm": {"id": "a1", "at": ago(hours=1), "onset": ago(hours=3), "incident_id": story.incident()["id"]}
        if state == "gap"
        else None,
    }  # fmt: skip


def fairness_course() -> dict[str, Any]:
    points = [
        {"at": ago(hours=hour), "pairs": 1300 - 100 * hour, "gap": 0.12, "gap_low": 0.12 - 0.01 * hour,
         "gap_high": 0.12 + 0.01 * hour, "withheld": False}
        for hour in range(9, 0, -1)
    ]  # fmt: skip
    return {"points": points}
