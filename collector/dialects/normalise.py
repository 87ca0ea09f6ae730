"""Raw spans to normal spans: every field from the first dialect that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from collector.dialects import custodes, generic, openinference, otel_genai
from collector.dialects.exchange import holds_unreadable
from collector.dialects.operations import COUNTED, EXCHANGES
from collector.dialects.reading import Dialect, Reading, first_text
from collector.dialects.redact import redact_attributes
from collector.dialects.span import NormalSpan
from collector.otlp.builder import service_name
from collector.otlp.spans import RawEvent, RawSpan

DIALECTS: tuple[Dialect, ...] = (
    custodes.DIALECT,
    openinference.DIALECT,
    otel_genai.DIALECT,
    generic.DIALECT,
)
"""In the order in which they are asked."""

_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
_VERSION = ("service.version",)
# Told by the client about itself; the rest of a resource repeats on every span and may name secrets.
_KEPT_RESOURCE = ("service.version", "service.namespace", "telemetry.sdk.language")
_MAX_EVENTS = 128

T = TypeVar("T")


def normalise(raw: RawSpan, dialects: Sequence[Dialect] = DIALECTS) -> NormalSpan:
    """Return ``raw`` in the one stored shape. Never fails: what cannot be understood stays in ``attributes``."""
    spoken = [dialect for dialect in dialects if dialect.detect(raw)]
    readings = [dialect.read(raw) for dialect in spoken]
    operation = _first([one.operation for one in readings]) or "span"
    counted = operation in COUNTED
    is_exchange = operation in EXCHANGES
    inputs = _first_readable([one.input_messages for one in readings])
    outputs = _first_readable([one.output_messages for one in readings])
    documents = _first_readable([one.retrieved_documents for one in readings])
    input_tokens = _first([one.input_tokens for one in readings]) if counted else None
    output_tokens = _first([one.output_tokens for one in readings]) if counted else None
    model = _first([one.model for one in readings]) or ""
    attributes = redact_attributes(_kept_attributes(raw, readings))
    has_tokens = input_tokens is not None or output_tokens is not None
    return NormalSpan(
        trace_id=raw.trace_id,
        span_id=raw.span_id,
        parent_span_id=raw.parent_span_id,
        name=raw.name,
        kind=raw.kind,
        operation=operation,
        start_ns=raw.start_ns,
        end_ns=raw.end_ns,
        complete=raw.complete,
        status=raw.status,
        status_message=raw.status_message,
        service=service_name(raw.resource),
        environment=first_text(raw.resource, _ENVIRONMENT) or "",
        deployment=_deployment(raw, readings, model),
        provider=_first([one.provider for one in readings]) or "",
        model=model,
        session_id=_first([one.session_id for one in readings]),
        user_id=_first([one.user_id for one in readings]),
        input_messages=inputs,
        output_messages=outputs,
        retrieved_documents=documents,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=_first([one.cost_usd for one in readings]) if counted else None,
        finish_reasons=_first([one.finish_reasons for one in readings]) or [],
        ttft_ms=_first([one.ttft_ms for one in readings]),
        dialect=_main_dialect(spoken),
        dropped_attributes=raw.dropped_attributes,
        attributes=attributes,
        events=_kept_events(raw),
        is_exchange=is_exchange,
        completeness=_completeness(raw, (outputs, inputs, documents), has_tokens),
    )


def _first(values: Sequence[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)


def _first_readable(values: Sequence[list[dict[str, Any]] | None]) -> list[dict[str, Any]]:
    """Return the first messages or documents without an unreadable one among them, else the first there are."""
    given = [value for value in values if value is not None]
    return next((value for value in given if not holds_unreadable(value)), given[0] if given else [])


def _main_dialect(spoken: Sequence[Dialect]) -> str:
    """Return the vocabulary the call itself was written in: ours only adds to another one."""
    names = [dialect.name for dialect in spoken]
    return next((name for name in names if name != custodes.DIALECT.name), names[0] if names else "")


def _deployment(raw: RawSpan, readings: Sequence[Reading], model: str) -> str:
    """Return the deployment's name: the resource's own, else ``model@version``, else the model."""
    named = first_text(raw.resource, (custodes.DEPLOYMENT,))
    if named is not None:
        return named
    requested = _first([one.request_model for one in readings]) or model
    version = first_text(raw.resource, _VERSION)
    return f"{requested}@{version}" if requested and version else requested


def _completeness(raw: RawSpan, contents: Sequence[list[dict[str, Any]]], tokens: bool) -> int:
    """Rank a copy of a span: text weighs most, since it is what can be judged, then an end, then figures.

    ``contents`` are response, prompt and documents. Those that hold anything unreadable weigh less than
    readable ones and more than none.
    """
    unreadable = [holds_unreadable(content) for content in contents]
    outputs, inputs, documents = (bool(one) and not bad for one, bad in zip(contents, unreadable, strict=True))
    flags = (outputs << 12) | (inputs << 11) | (documents << 10) | (raw.complete << 9) | (tokens << 8)
    return flags | (any(unreadable) << 7) | min(127, len(raw.attributes))


def _kept_attributes(raw: RawSpan, readings: Sequence[Reading]) -> dict[str, Any]:
    """Return the attributes whose content isn't in messages or documents already."""
    consumed = frozenset().union(*(one.consumed for one in readings))
    prefixes = tuple(prefix for one in readings for prefix in one.consumed_prefixes)
    kept: dict[str, Any] = {
        key: value for key, value in raw.attributes.items() if key not in consumed and not key.startswith(prefixes)
    }
    for key in _KEPT_RESOURCE:
        if key in raw.resource:
            kept[f"resource.{key}"] = raw.resource[key]
    if raw.scope:
        kept["scope.name"] = raw.scope
    return kept


def _kept_events(raw: RawSpan) -> list[dict[str, Any]]:
    """Return events as JSON objects, without the one-per-chunk marks of streamed answers."""
    events: list[RawEvent] = [event for event in raw.events if event.name not in otel_genai.CHUNK_EVENTS]
    return [
        {"name": event.name, "time_ns": event.time_ns, "attributes": redact_attributes(event.attributes)}
        for event in events[:_MAX_EVENTS]
    ]
