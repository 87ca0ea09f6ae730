"""OpenLIT: the GenAI conventions, marked on every span with the name of its SDK, and a few names of its own.

``gen_ai.client.token.usage`` on a span is the total of both sides and never read. Time to the first token comes under
the name of a server's metric, in seconds. Vector stores are spans with ``db.*`` names. Source: openlit 1.45.0.
"""

from __future__ import annotations

from collector.dialects.reading import Dialect, Reading, Shape, first_amount, first_text
from collector.otlp.spans import RawSpan

SDK = "telemetry.sdk.name"
TTFT_S = ("gen_ai.server.time_to_first_token", "gen_ai.server.ttft")
STREAMED = ("gen_ai.request.stream", "gen_ai.request.is_stream")
USER = ("gen_ai.request.user",)
ENVIRONMENT = ("deployment.environment", "gen_ai.environment")
OPERATION = "gen_ai.operation.name"
DATABASE_OPERATION = "db.operation.name"
PROVIDER = ("db.system.name",)
_SEARCHES = frozenset({"get", "query", "search", "select"})


def detect(shape: Shape) -> bool:
    """Return whether OpenLIT made the span: it names its SDK there, where others name it on the resource."""
    return SDK in shape.keys or shape.scope == "openlit" or shape.scope.startswith("openlit.")


def read(span: RawSpan) -> Reading:
    """Return what the span says in names of OpenLIT's own."""
    attributes = span.attributes
    searched = str(attributes.get(DATABASE_OPERATION, "")).lower() in _SEARCHES
    # Without a stream the first token is the whole answer, and the figure is the call's duration again.
    streamed = all(attributes.get(name) is not False for name in STREAMED)
    seconds = first_amount(attributes, TTFT_S) if streamed else None
    return Reading(
        operation="retrieval" if searched and attributes.get(OPERATION) == "vectordb" else None,
        provider=first_text(attributes, PROVIDER),
        user_id=first_text(attributes, USER),
        environment=first_text(attributes, ENVIRONMENT),
        ttft_ms=None if seconds is None else seconds * 1000.0,
    )


DIALECT = Dialect("openlit", detect, read)
