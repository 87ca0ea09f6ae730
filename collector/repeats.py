"""Finds calls that are told more than once, by a span and by one below it.

A gateway, an inference server and two instrumentations of one program all make spans of the same model call, one
inside the other. Counted each, tokens, cost and text would be doubled. So of an exchange and the exchanges below
it, one side counts: the inner ones, which are the calls themselves, unless the outer one carries readable text that
they lack. A call that a tool or an agent makes inside another call is no repeat of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_DEEPEST = 256
SpanKey = bytes
"""The span id; families are looked at one trace at a time."""


@dataclass(frozen=True, slots=True)
class Member:
    """A span of one trace as far as it matters here.

    ``text_rank`` orders exchanges by the readable text they carry. ``divides`` marks work of its own, a tool or an
    agent: a call made inside it is another call than the one around it.
    """

    span_id: SpanKey
    parent_span_id: SpanKey | None
    is_exchange: bool
    text_rank: int
    divides: bool = False


def find_repeats(members: Iterable[Member]) -> set[SpanKey]:
    """Return the exchanges among the spans of one trace that repeat another one's call.

    What is returned depends on the spans alone, not on their order. Chains through missing spans are not followed,
    nor are loops of parents, which only a broken client makes.
    """
    spans = {one.span_id: one for one in members}
    exchanges = [one for one in spans.values() if one.is_exchange]
    if len(exchanges) < 2:
        return set()
    above = {one.span_id: _exchanges_above(one, spans) for one in exchanges}
    best_below: dict[SpanKey, int] = {}
    for one in exchanges:
        for key in above[one.span_id]:
            best_below[key] = max(best_below.get(key, 0), one.text_rank)
    richer = {key for key, rank in best_below.items() if spans[key].text_rank > rank}
    return {
        one.span_id
        for one in exchanges
        if (one.span_id in best_below and one.span_id not in richer) or not richer.isdisjoint(above[one.span_id])
    }


def _exchanges_above(one: Member, spans: Mapping[SpanKey, Member]) -> list[SpanKey]:
    """Return the exchanges that enclose one, the nearest first; none in a loop of parents."""
    found: list[SpanKey] = []
    seen = {one.span_id}
    key = one.parent_span_id
    while key is not None and key in spans and len(seen) <= _DEEPEST:
        if key in seen:
            return []
        seen.add(key)
        above = spans[key]
        if above.divides:
            break
        if above.is_exchange:
            found.append(key)
        key = above.parent_span_id
    return found
