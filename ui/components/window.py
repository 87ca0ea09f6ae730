"""The time range picker, kept in the address so that a link shows the same window."""

from __future__ import annotations

import streamlit as st

RANGES = {
    "15m": "15 minutes",
    "1h": "hour",
    "6h": "6 hours",
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
}


# Seconds per bucket in charts: some thirty buckets, each wide enough to hold more than a few exchanges.
_STEPS_S = {"15m": 60, "1h": 120, "6h": 900, "24h": 3_600, "7d": 21_600, "30d": 86_400}


def pick_range(default: str = "6h") -> str:
    """Show the picker and return the chosen range's key, e.g. ``"1h"``."""
    chosen = st.segmented_control(
        "Time range",
        list(RANGES),
        default=default,
        required=True,
        key="range",
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen if chosen in RANGES else default


def is_long(key: str) -> bool:
    """Return whether the range spans days, so that dates matter more than times of day."""
    return key in ("7d", "30d")


def step_s(key: str) -> int:
    """Return how many seconds one bucket of a chart covers."""
    return _STEPS_S[key]


def range_start(key: str) -> str:
    """Return where the range begins in the API's grammar: ``"now-1h"``."""
    return f"now-{key}"
