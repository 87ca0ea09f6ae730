"""Traces and their spans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from custodes_sdk.models.scores import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """One trace in a list. ``scores`` holds the highest value per metric, ``states`` whether it was assessed."""

    trace_id: str
    start: datetime
    duration_ms: float | None = None
    service: str | None = None
    deployment: str | None = None
    model: str | None = None
    spans: int = 0
    states: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float | None] = field(default_factory=dict)
    incident_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One chat message; a part is ``{"type": "text", "content": …}`` or another OpenTelemetry GenAI part."""

    role: str = ""
    parts: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One operation. Message fields are None when the caller may not see captured text.

    ``cost_usd`` is in US dollars, ``ttft_ms`` the time to the first token; both None when unknown.
    """

    span_id: str
    start: datetime
    end: datetime | None = None
    parent_span_id: str | None = None
    name: str = ""
    operation: str = "span"
    kind: str | None = None
    duration_ms: float | None = None
    status: str | None = None
    status_message: str | None = None
    service: str | None = None
    environment: str | None = None
    provider: str | None = None
    model: str | None = None
    deployment: str | None = None
    input_messages: tuple[Message, ...] | None = None
    output_messages: tuple[Message, ...] | None = None
    retrieved_documents: tuple[Any, ...] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    session_id: str | None = None
    user_id: str | None = None
    finish_reasons: tuple[str, ...] | None = None
    ttft_ms: float | None = None
    dialect: str | None = None
    complete: bool = True
    dropped_attributes: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody said about an answer. ``comment`` is None when there is none or it may not be seen."""

    id: str
    trace_id: str
    at: datetime
    span_id: str | None = None
    label: str | None = None
    value: float | None = None
    comment: str | None = None
    has_comment: bool = False
    user_id: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One trace with spans and exchanges. ``text_visible`` says whether captured text is included.

    ``truncated`` means that the trace has more spans than the server shows.
    """

    trace_id: str
    text_visible: bool = False
    spans: tuple[Span, ...] = ()
    truncated: bool = False
    exchanges: tuple[Exchange, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    incident_ids: tuple[str, ...] = ()
