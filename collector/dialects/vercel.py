"""Vercel AI SDK 7: the GenAI conventions from the scope ``gen_ai``, and reranking.

``invoke_agent`` spans repeat the messages and the usage of their ``chat`` children, and ``agent_step`` spans say
nothing of their own: only ``chat`` counts. Context of the application comes as ``ai.settings.context.*`` where it was
asked for. Source: @ai-sdk/otel 1.0.
"""

from __future__ import annotations

from collector.dialects.otel_genai import OPERATION
from collector.dialects.reading import Dialect, Reading, Shape, first_text
from collector.dialects.vercel_legacy import DOCUMENTS, RANKING, SESSION, USER, VECTORS, read_ranked_documents
from collector.otlp.spans import Attributes, RawSpan

_SCOPE = "gen_ai"


def detect(shape: Shape) -> bool:
    """Return whether version 7 made the span."""
    return shape.scope == _SCOPE


def read(span: RawSpan) -> Reading:
    """Return what the conventions have no name for."""
    attributes = span.attributes
    return Reading(
        operation=_operation(attributes),
        retrieved_documents=read_ranked_documents(attributes) or None,
        session_id=first_text(attributes, SESSION),
        user_id=first_text(attributes, USER),
    )


def _operation(attributes: Attributes) -> str | None:
    """Return that reranking is retrieval; the span around it has all documents and not how they were ranked."""
    if attributes.get(OPERATION) != "rerank":
        return None
    return "span" if DOCUMENTS in attributes and RANKING not in attributes else "retrieval"


DIALECT = Dialect("vercel", detect, read, consumed=frozenset({DOCUMENTS, RANKING, *VECTORS}))
