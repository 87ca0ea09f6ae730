"""Strands Agents: the GenAI conventions with a time to the first token in milliseconds.

Messages are on span events, or with ``gen_ai_span_attributes_only`` on the span, and are read by the dialects for
those. Agents and event loop cycles repeat the messages of the ``chat`` spans below them, agents their usage too: only
``chat`` counts. Source: strands-agents 1.62.
"""

from __future__ import annotations

from collector.dialects.reading import Dialect, Reading, Shape, first_amount
from collector.otlp.spans import RawSpan

_SCOPES = ("strands.", "strands-agents")
_TTFT_MS = ("gen_ai.server.time_to_first_token",)


def detect(shape: Shape) -> bool:
    """Return whether Strands made the span."""
    return shape.scope.startswith(_SCOPES)


def read(span: RawSpan) -> Reading:
    """Return the time to the first token."""
    return Reading(ttft_ms=first_amount(span.attributes, _TTFT_MS))


DIALECT = Dialect("strands", detect, read)
