"""The names a policy may use: metrics, aggregations, segment dimensions, exchange variables."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

SCORE_METRICS = (
    "toxicity",
    "prompt_toxicity",
    "hallucination",
    "identity_attack",
    "refusal",
    "negative_tone",
    "pii",
    "prompt_pii",
    "secrets",
    "prompt_secrets",
    "prompt_injection",
    "context_injection",
)
JUDGED_METRICS = SCORE_METRICS[:4]
"""Those for which a model has to understand the text. Rules that look for patterns answer for almost any text, so
coverage and the worst traces are told by these."""

OPTIONAL_METRICS = ("inconsistency",)
"""Scores that only some detector profiles give, or only for some traffic."""
QUANTITY_METRICS = ("latency_ms", "ttft_ms", "cost_usd", "input_tokens", "output_tokens")
EXCHANGES_METRIC = "exchanges"
EMBEDDING_METRIC = "embedding"
METRICS = (*SCORE_METRICS, *OPTIONAL_METRICS, *QUANTITY_METRICS, EXCHANGES_METRIC, EMBEDDING_METRIC)

DIMENSIONS = ("service", "environment", "deployment", "model")
TOXICITY_LABELS = (
    "toxicity",
    "severe_toxicity",
    "obscene",
    "threat",
    "insult",
    "identity_attack",
    "sexual_explicit",
)

CLAIM_LABELS = ("claim_unsupported", "claims_unsupported_share", "disagreement")

IMPLIED_METRICS = {
    "count": EXCHANGES_METRIC,
    "cost_sum": "cost_usd",
    "latency_p95": "latency_ms",
    "drift_alarm": EMBEDDING_METRIC,
}
"""Aggregations whose metric may be left out, and the one they then read."""

_FIXED_METRIC = frozenset({"cost_sum", "latency_p95"})
_PLAIN = (
    "count",
    "mean",
    "p50",
    "p90",
    "p95",
    "p99",
    "max",
    "not_assessed_ratio",
    "drift_alarm",
    "fairness_gap_low",
    "fairness_gap_high",
    "cost_sum",
    "latency_p95",
)
AGGREGATION_NAMES = (*_PLAIN, "rate_above(x)")
DRIFT_ALARM = "drift_alarm"
"""The aggregation that reads the drift monitors instead of roll-ups."""
DRIFT_METRICS = (
    EMBEDDING_METRIC,
    *SCORE_METRICS,
    *OPTIONAL_METRICS,
    "prompt_chars",
    "response_chars",
    *QUANTITY_METRICS,
)
"""What drift monitors watch: embeddings of prompts and responses, and numbers of an exchange."""
FAIRNESS_AGGREGATIONS = frozenset({"fairness_gap_low", "fairness_gap_high"})
"""Aggregations that read the fairness monitors instead of roll-ups."""
FAIRNESS_OUTCOMES = {
    "toxicity": "toxic",
    "hallucination": "ungrounded",
    "refusal": "refused",
    "negative_tone": "negative",
    "latency_ms": "slow",
    "output_tokens": "clipped",
}
"""The outcome whose gap a fairness aggregation of a metric reads."""

FROM_ROLLUPS = frozenset({*_PLAIN, "rate_above"}) - FAIRNESS_AGGREGATIONS - {DRIFT_ALARM}
"""Aggregations of roll-ups; the others read what monitors have written, see ``policies.signals.FURTHER_SOURCES``."""

_RATE_ABOVE = re.compile(r"rate_above\(\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*\)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How a window of roll-ups becomes one number; ``threshold`` is set for ``rate_above`` only."""

    name: str
    threshold: float | None = None


def parse_aggregation(written: str) -> Aggregation:
    """Return the aggregation named by ``p95``, ``rate_above(0.8)``, …; raise ``ValueError`` otherwise."""
    if written in _PLAIN:
        return Aggregation(written)
    match = _RATE_ABOVE.fullmatch(written)
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError(f"unknown aggregation {written!r}; known are {', '.join(AGGREGATION_NAMES)}")
    return Aggregation("rate_above", float(match[1]))


def resolve_metric(aggregation: Aggregation, written: str | None) -> str:
    """Return the metric a signal reads; raise ``ValueError`` if none is named, it is unknown or does not fit."""
    implied = IMPLIED_METRICS.get(aggregation.name)
    if written is None:
        if implied is None:
            known = FAIRNESS_OUTCOMES if aggregation.name in FAIRNESS_AGGREGATIONS else METRICS
            raise ValueError(f"{aggregation.name} needs a metric; known are {', '.join(known)}")
        return implied
    if aggregation.name in FAIRNESS_AGGREGATIONS:
        if written not in FAIRNESS_OUTCOMES:
            raise ValueError(f"no gap of {written!r} is watched; watched are {', '.join(FAIRNESS_OUTCOMES)}")
        return written
    if aggregation.name == DRIFT_ALARM:
        if written not in DRIFT_METRICS:
            raise ValueError(f"drift of {written!r} is not watched; watched are {', '.join(DRIFT_METRICS)}")
        return written
    if written not in METRICS:
        raise ValueError(f"unknown metric {written!r}; known are {', '.join(METRICS)}")
    if aggregation.name in _FIXED_METRIC and written != implied:
        raise ValueError(f"{aggregation.name} always reads {implied}, not {written!r}; leave metric out")
    if written == EXCHANGES_METRIC and aggregation.name != "count":
        raise ValueError(f"{EXCHANGES_METRIC} has no values to aggregate; use agg: count")
    if written == EMBEDDING_METRIC:
        raise ValueError(f"{EMBEDDING_METRIC} goes with agg: drift_alarm and with nothing else")
    return written
