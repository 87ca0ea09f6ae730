"""The step from fresh scores to rules about single exchanges, inside the scoring transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from custodes.db import WriteTx
from custodes.kernel.settings import Settings
from custodes.runtime.store_outcomes import Pair
from detectors.model import Score
from policies.conduct import conduct_of
from policies.exchange_rules import ExchangeRules, ScoredExchange

_ANSWER_METRIC = "toxicity"


class ExchangeHook:
    """Applies the ExchangePolicies to what was just scored. Use from one thread."""

    def __init__(self, settings: Settings) -> None:
        self._rules = ExchangeRules(conduct_of(settings))

    def __call__(self, tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> None:
        """Judge the exchanges of ``pairs`` as of ``now_ns``; what matches lead to commits with their scores."""
        self._rules.apply(tx, [pair_to_scored(pair) for pair in pairs], now_ns)


def pair_to_scored(pair: Pair) -> ScoredExchange:
    """Return what a rule may know of an exchange: scores, states, labels and token counts."""
    stored, result = pair
    values: dict[str, float | str | None] = {
        "tokens.input": _number(stored.input_tokens),
        "tokens.output": _number(stored.output_tokens),
    }
    for one in result.scores:
        values[f"score.{one.metric}"] = one.value
        values[f"state.{one.metric}"] = one.state
    values.update(_labels(result.scores))
    exchange_id = stored.trace_id + stored.span_id
    return ScoredExchange(stored.project, stored.span_row_id, exchange_id, stored.segment_id, values)


def _labels(scores: Iterable[Score]) -> dict[str, float]:
    """Return the labels by name; where prompt and answer share one, it means the answer's."""
    ordered = sorted(scores, key=lambda one: one.metric == _ANSWER_METRIC)
    return {f"label.{name}": value for one in ordered for name, value in one.labels.items()}


def _number(count: int | None) -> float | None:
    return None if count is None else float(count)
