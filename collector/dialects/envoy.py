"""Envoy AI Gateway: OpenInference or the GenAI conventions, whichever it was told to speak.

Both are read by the dialects for them; the gateway maps request headers to ``session.id`` and ``user.id``. Counting the
tokens of a request has the form of a call of a model, and is none. Source: envoyproxy/ai-gateway, internal/tracing.
"""

from __future__ import annotations

from collector.dialects.reading import Dialect, Reading, Shape
from collector.otlp.spans import RawSpan

_SCOPE = "envoyproxy/ai-gateway"
_NO_CALLS = frozenset({"CountTokens", "Tokenize"})


def detect(shape: Shape) -> bool:
    """Return whether the gateway made the span."""
    return shape.scope == _SCOPE


def read(span: RawSpan) -> Reading:
    """Return that the span is no call of a model where it only counts tokens."""
    return Reading(operation="span" if span.name in _NO_CALLS else None)


DIALECT = Dialect("envoy", detect, read)
