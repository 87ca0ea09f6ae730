"""The one shape every dialect is read into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
"""``{"role": str, "parts": [{"type": str, …}, …]}``; a text part is ``{"type": "text", "content": str}``.

What arrived cut off is a part of type ``unreadable`` with the text as it came in ``content``.
"""

Document: TypeAlias = dict[str, Any]
"""``{"id": str | None, "content": str | None, "score": float | None}``.

Documents that arrived cut off are one, without id and content, that has the text as it came in ``unreadable``.
"""

UNREADABLE = "unreadable"
"""The type of a part, and the member of a document, that holds text nothing could be read from."""


RESPONSE_BIT, PROMPT_BIT, DOCUMENTS_BIT, UNREADABLE_BIT = 1 << 12, 1 << 11, 1 << 10, 1 << 7
"""What ``NormalSpan.completeness`` tells of a span's text: what can be read of it, and that something cannot."""

TEXT_BITS = RESPONSE_BIT | PROMPT_BIT


@dataclass(slots=True)  # Not frozen: that would double the time of making one.
class NormalSpan:
    """A span as Custodes stores and shows it, whatever vocabulary its client speaks.

    ``operation`` is an OpenTelemetry GenAI operation name or ``span``. ``is_exchange`` marks a leaf
    inference call; only those (and embeddings and retrieval) carry tokens and cost, so that sums over
    spans count each call once although agent spans repeat the figures of their children: the repeated
    figures stay in ``attributes``. ``completeness`` ranks copies of the same span. ``dropped_attributes``
    counts what its client's SDK left out and text may have been in: attributes, also of events, and whole events.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: int
    operation: str
    start_ns: int
    end_ns: int
    complete: bool
    status: int
    status_message: str
    service: str
    environment: str
    deployment: str
    provider: str
    model: str
    session_id: str | None
    user_id: str | None
    input_messages: list[Message]
    output_messages: list[Message]
    retrieved_documents: list[Document]
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    finish_reasons: list[str]
    ttft_ms: float | None
    dialect: str
    dropped_attributes: int
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    is_exchange: bool
    completeness: int
