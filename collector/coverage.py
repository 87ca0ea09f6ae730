"""How much of what could be judged arrives from a service, and what to change, most pressing first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from collector.remedies import (
    AHEAD_REMEDY,
    ANY_TEXT_REMEDY,
    BEHIND_REMEDY,
    DROPPED_REMEDY,
    INCOMPLETE_REMEDY,
    LOGS_ONLY_REMEDY,
    TEXT_REMEDIES,
    UNREADABLE_REMEDY,
    USAGE_REMEDY,
)
from custodes.kernel.clock import MINUTE_NS, SECOND_NS

GOOD_RATIO = 0.9
"""The share of a service's exchanges that must have something for it not to be called missing."""

AHEAD_NS = SECOND_NS
"""How far a clock must be ahead to be called wrong. Nothing arrives before it ended, so any lead is real."""

BEHIND_NS = 5 * MINUTE_NS
"""How late even the quickest exchanges must arrive for the clock or the exporter to be called wrong."""

_MILLISECOND_NS = 1_000_000
_QUICKEST = 0.05
_NAMED_MODELS = 3


@dataclass(slots=True)
class ServiceCoverage:
    """What was seen of one service.

    ``silent`` counts exchanges that arrived without a readable prompt or response, by dialect; ``missing_cost`` those
    without a cost, and ``unpriced`` those among them for which no price is known today either, by model; ``orphans``
    the log events with messages whose span never came. ``lags_ns`` are the times from the end of complete exchanges by
    the service's clock to their arrival by the server's. ``newest_traces`` is how many traces were looked at, the
    newest, where there are more in the range; ``None`` when all were.
    """

    service: str
    dialects: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    unpriced: Counter[str] = field(default_factory=Counter)
    exchanges: int = 0
    with_text: int = 0
    text_from_logs: int = 0
    dropped: int = 0
    unreadable: int = 0
    incomplete: int = 0
    missing_usage: int = 0
    missing_cost: int = 0
    orphans: int = 0
    lags_ns: list[int] = field(default_factory=list)
    newest_traces: int | None = None

    def lag_ns(self) -> int | None:
        """Return how late the quickest exchanges arrive, negative when before they ended; ``None`` without any.

        The 5 % quantile rather than the minimum, so that one call with a wrong end does not accuse the clock.
        """
        if not self.lags_ns:
            return None
        return sorted(self.lags_ns)[int(_QUICKEST * (len(self.lags_ns) - 1))]

    def clock_skew_ms(self) -> int | None:
        """Return by how much the service's clock is ahead, in milliseconds; ``None`` when nothing tells.

        Positive: ahead by at least that much. 0: nothing to notice, since batching explains some delay. Negative: the
        quickest exchanges arrive that late, so the clock is behind by up to that much, or exports wait.
        """
        lag_ns = self.lag_ns()
        if lag_ns is None:
            return None
        return 0 if 0 <= lag_ns < BEHIND_NS else -(lag_ns // _MILLISECOND_NS)

    def hints(self) -> list[str]:
        """Return what to change, most pressing first.

        Lost and cut attributes explain missing text, and text matters more than figures.
        """
        rare = self.exchanges - GOOD_RATIO * self.exchanges
        found: list[str] = []
        if self.dropped:
            found.append(DROPPED_REMEDY)
        if self.unreadable:
            found.append(UNREADABLE_REMEDY)
        if self.silent.total() > rare:
            found += [TEXT_REMEDIES.get(dialect, ANY_TEXT_REMEDY) for dialect, _ in self.silent.most_common(3)]
        if self.orphans:
            found.append(LOGS_ONLY_REMEDY)
        if self.incomplete > rare:
            found.append(INCOMPLETE_REMEDY)
        found += self._clock_hints()
        if self.missing_usage > rare:
            found.append(USAGE_REMEDY)
        elif self.unpriced.total() > rare:
            found.append(self._cost_hint())
        return list(dict.fromkeys(found))

    def _clock_hints(self) -> list[str]:
        lag_ns = self.lag_ns()
        if lag_ns is not None and lag_ns <= -AHEAD_NS:
            return [AHEAD_REMEDY]
        return [BEHIND_REMEDY] if lag_ns is not None and lag_ns >= BEHIND_NS else []

    def _cost_hint(self) -> str:
        models = [model for model, _ in self.unpriced.most_common(_NAMED_MODELS) if model]
        named = f" for {', '.join(models)}" if models else ""
        example = models[0] if models else "MODEL"
        return (
            f"no price is known{named}: custodes price set '{example}' --input USD --output USD per million tokens "
            "(0 and 0 for a model of your own)"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the public form; ``hint`` is the first of ``hints``, ``None`` when there is nothing to change."""
        hints = self.hints()
        return {
            "service": self.service,
            "dialects": dict(sorted(self.dialects.items())),
            "exchanges": self.exchanges,
            "newest_traces": self.newest_traces,
            "with_text_ratio": self.with_text / self.exchanges if self.exchanges else None,
            "text_from_logs": self.text_from_logs,
            "dropped_attributes": self.dropped,
            "unreadable": self.unreadable,
            "incomplete": self.incomplete,
            "missing_usage": self.missing_usage,
            "missing_cost": self.missing_cost,
            "logs_without_span": self.orphans,
            "clock_skew_ms": self.clock_skew_ms(),
            "hint": hints[0] if hints else None,
            "hints": hints,
        }
