"""How much of what could be judged arrives: text, token usage, attributes; per service, with what to change.

Looks at the newest traces of the range only, so the cost has a bound whatever the traffic.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Integer, and_, case, cast, func, select

from custodes.db import ReadTx
from custodes.db.tables import exchange, span, trace

MAX_TRACES = 5_000
"""Most traces looked at, the newest of the range."""

# Where ``span.completeness`` notes what was captured; see collector.dialects.normalise.
UNREADABLE_BIT = 1 << 7
INPUT_BIT = 1 << 11
OUTPUT_BIT = 1 << 12

_GOOD_RATIO = 0.9
_TEXT_HINTS = {
    "otel_genai": "set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only so that spans carry their messages",
    "openinference": "unset OPENINFERENCE_HIDE_INPUTS, OPENINFERENCE_HIDE_OUTPUTS and their kin",
    "openllmetry": "set TRACELOOP_TRACE_CONTENT=true",
}
_ANY_TEXT_HINT = "switch on content capture in its GenAI instrumentation, or wrap the call with custodes_sdk.exchange"


@dataclass(slots=True)
class _Service:
    dialects: Counter[str] = field(default_factory=Counter)
    exchanges: int = 0
    with_text: int = 0
    dropped: int = 0
    unreadable: int = 0
    missing_usage: int = 0


def coverage_rows(tx: ReadTx, project: str, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
    """Return one row per service with exchanges among the newest traces of the range, by name.

    ``with_text_ratio`` is the share of exchanges with both prompt and response to read, in [0, 1]; ``hint`` is
    ``None`` when there is nothing to change.
    """
    services: dict[str, _Service] = {}
    for row in tx.execute(_statement(project, from_ns, to_ns)):
        found = services.setdefault(row.service, _Service())
        found.dialects[row.dialect] += int(row.exchanges)
        found.exchanges += int(row.exchanges)
        found.with_text += int(row.with_text)
        found.dropped += int(row.dropped)
        found.unreadable += int(row.unreadable)
        found.missing_usage += int(row.missing_usage)
    return [_row_to_json(name, found) for name, found in sorted(services.items())]


def _statement(project: str, from_ns: int, to_ns: int) -> Any:
    newest = (
        select(trace.c.trace_id)
        .where(trace.c.project_id == project, trace.c.start_ns >= from_ns, trace.c.start_ns < to_ns)
        .order_by(trace.c.start_ns.desc())
        .limit(MAX_TRACES)
        .subquery()
    )
    both = INPUT_BIT | OUTPUT_BIT
    with_text = case((span.c.completeness.bitwise_and(both) == both, 1), else_=0)
    unreadable = case((span.c.completeness.bitwise_and(UNREADABLE_BIT) != 0, 1), else_=0)
    no_usage = case((and_(span.c.input_tokens.is_(None), span.c.output_tokens.is_(None)), 1), else_=0)
    joined = newest.join(
        exchange, and_(exchange.c.trace_id == newest.c.trace_id, exchange.c.project_id == project)
    ).join(span, span.c.id == exchange.c.span_id)
    return (
        select(
            span.c.service,
            span.c.dialect,
            func.count().label("exchanges"),
            cast(func.sum(with_text), Integer).label("with_text"),
            cast(func.sum(span.c.dropped_attributes), Integer).label("dropped"),
            cast(func.sum(unreadable), Integer).label("unreadable"),
            cast(func.sum(no_usage), Integer).label("missing_usage"),
        )
        .select_from(joined)
        .group_by(span.c.service, span.c.dialect)
    )


def _row_to_json(name: str, found: _Service) -> dict[str, Any]:
    return {
        "service": name,
        "dialects": dict(sorted(found.dialects.items())),
        "exchanges": found.exchanges,
        "with_text_ratio": found.with_text / found.exchanges if found.exchanges else None,
        "dropped_attributes": found.dropped,
        "missing_usage": found.missing_usage,
        "hint": _hint(found),
    }


def _hint(found: _Service) -> str | None:
    """Return what to change first: lost and cut attributes explain missing text, and text matters more than usage."""
    if found.dropped:
        return (
            "its SDK dropped attributes: raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT (and OTEL_ATTRIBUTE_COUNT_LIMIT), "
            "long conversations need more than the default of 128"
        )
    if found.unreadable:
        return (
            "its messages or documents arrive cut off or unreadable, and such exchanges are not assessed: raise "
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT and OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT, or unset them"
        )
    if found.with_text < _GOOD_RATIO * found.exchanges:
        return _TEXT_HINTS.get(found.dialects.most_common(1)[0][0], _ANY_TEXT_HINT)
    if found.missing_usage > (1 - _GOOD_RATIO) * found.exchanges:
        return "calls arrive without token usage; for streamed OpenAI calls set stream_options={'include_usage': true}"
    return None
