"""Anthropic's own client, which makes spans itself wherever the process has a tracer provider.

They follow the GenAI conventions, with messages only if ``ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE=content`` asks
for them; why the answer ended is said in a name of its own. Source: anthropic 2.14.0.
"""

from __future__ import annotations

from collector.dialects.reading import Dialect, Reading, Shape, read_finish_reasons
from collector.otlp.spans import RawSpan

SCOPE = "com.anthropic.sdk."
STOP_REASON = "anthropic.message.stop_reason"


def detect(shape: Shape) -> bool:
    """Return whether the client made the span."""
    return shape.scope.startswith(SCOPE)


def read(span: RawSpan) -> Reading:
    """Return why the answer ended."""
    return Reading(finish_reasons=read_finish_reasons(span.attributes.get(STOP_REASON)))


DIALECT = Dialect("anthropic", detect, read)
