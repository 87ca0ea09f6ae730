"""Drift in plain words: what is watched, how near it is to an alarm, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custodes_sdk.models import DriftEpisode, DriftExplanation, DriftMonitor, DriftRules
from ui.figures import METRIC_NAMES, count_text, plural, share_text
from ui.moments import stamp_text

MONITOR_NAMES = {
    **METRIC_NAMES,
    "prompt": "Prompts",
    "response": "Responses",
    "prompt_chars": "Prompt length",
    "response_chars": "Response length",
    "latency_ms": "Latency",
    "ttft_ms": "Time to first token",
    "cost_usd": "Cost",
    "input_tokens": "Input tokens",
    "output_tokens": "Output tokens",
}
EMBEDDED = ("prompt", "response")
_VIEWS = {
    "up": "it went up",
    "down": "it went down",
    "cells": "known kinds of traffic grew or shrank",
    "distance": "exchanges are unlike the reference",
    "fresh": "a classifier tells new exchanges from usual ones",
    "fresh_later": "a classifier tells new exchanges from usual ones",
    "main": "traffic moved along the reference's strongest direction",
    "block_32": "the last dozens of exchanges differ from usual ones",
    "block_256": "the last hundreds of exchanges differ from usual ones",
    "block_1024": "a slow change over a thousand exchanges and more",
    "block": "a slow change over thousands of exchanges",
}


def monitor_name(monitor: str) -> str:
    """Return what a monitor watches, for people."""
    return MONITOR_NAMES.get(monitor, monitor.replace("_", " ").capitalize())


def place_name(service: str, deployment: str) -> str:
    """Return where it is watched."""
    return f"{service or '(no service)'} {deployment}".strip()


def statistic_text(value: float) -> str:
    """Return a statistic with three digits: ``1,230`` or ``0.04``."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def source_text(source: Mapping[str, Any]) -> str:
    """Return what a reference is made of."""
    kind = source.get("kind")
    if kind == "period":
        return f"the exchanges from {source.get('from')} to {source.get('to')}"
    if kind == "pinned":
        named = f" of data set {source['dataset']}" if source.get("dataset") else ""
        return f"{source.get('exchanges')} pinned exchanges{named}"
    return f"the first {source.get('exchanges')} exchanges"


def tell_monitor(one: DriftMonitor, rules: DriftRules) -> str:
    """Return how a monitor stands in one or two sentences."""
    name = monitor_name(one.monitor)
    usual = f"reference version {one.reference.version}"
    if one.state == "damaged":
        return f"{name}: the stored state cannot be read, so nothing is watched until a new reference begins."
    if one.state == "learning":
        return (
            f"{name}: learning what is usual, {source_text(one.reference.source)}; "
            f"{plural(one.learned, 'value')} so far. Nothing is watched before that."
        )
    promise = (
        f"One false alarm of this deployment is expected in {count_text(rules.exchanges_per_false_alarm)} exchanges, "
        "all its monitors together, however often anybody looks."
    )
    if one.state == "drift" and one.episode is not None:
        return (
            f"{name}: no longer as in {usual}. Found at {stamp_text(one.episode.at)}, most likely since "
            f"{stamp_text(one.episode.onset)}. {promise}"
        )
    return (
        f"{name}: as in {usual}. The statistic is {statistic_text(one.statistic)}; an alarm is raised at "
        f"{statistic_text(one.threshold)}. {promise}"
    )


def tell_change(episode: DriftEpisode) -> str:
    """Return what changed, in numbers."""
    found = episode.explanation
    how = _VIEWS.get(episode.view, episode.view)
    again = f" The same was found {plural(episode.repeats, 'more time')} until {stamp_text(episode.last_at)}."
    tail = again if episode.repeats else ""
    if found is None:
        return f"Found because {how}. It has not been explained yet.{tail}"
    told = _embeddings(found) if found.kind == "embedding" else _number(found)
    return f"Found because {how}. {told}{tail}".strip()


def _embeddings(found: DriftExplanation) -> str:
    if found.exchanges_since is None or found.separation is None:
        return "The exchanges around it are not stored any more."
    return (
        f"In {plural(found.exchanges_since, 'exchange')} since then, one looks more like the change than a usual one "
        f"in {share_text(found.separation)} of comparisons; {share_text(found.novel_share)} are unlike anything in the "
        "reference."
    )


def _number(found: DriftExplanation) -> str:
    if found.before is None or found.since is None:
        return f"That is over {plural(found.exchanges_since or 0, 'exchange')}; its values are not stored."
    return (
        f"The median was {found.before.p50:g} in {plural(found.before.n, 'exchange')} before and is "
        f"{found.since.p50:g} in {plural(found.since.n, 'exchange')} since; nine in ten lay below {found.before.p90:g} "
        f"and lie below {found.since.p90:g}."
    )
