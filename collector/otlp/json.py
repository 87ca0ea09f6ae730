"""OTLP/JSON to raw spans, straight into the same builder as protobuf.

``json_format`` is not used: it is fifty times slower and reads ids as base64. What may be written how, says
``collector.otlp.json_values``.
"""

from __future__ import annotations

from typing import Any

from collector.otlp.builder import RequestBuilder, read_dropped
from collector.otlp.json_values import (
    elements,
    list_of,
    object_of,
    objects_of,
    parse_document,
    read_attributes,
    read_enum,
    read_id,
    read_int,
    read_resource,
    read_text,
)
from collector.otlp.spans import Attributes, DecodedRequest, RawEvent
from collector.otlp.value_limits import Refused
from custodes.kernel.settings import IngestSettings

_KINDS = {
    "SPAN_KIND_UNSPECIFIED": 0,
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
}
_STATUSES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


def decode_json(body: bytes, settings: IngestSettings, now_ns: int) -> DecodedRequest:
    """Return the spans of an ``ExportTraceServiceRequest`` in JSON.

    Raises ``MalformedError`` when the bytes are no JSON object of that shape down to the lists of spans,
    and ``TooLargeError`` when there are more spans than a request may hold. A span that is broken inside
    is refused alone.
    """
    builder = RequestBuilder(settings, now_ns)
    for resource_spans in objects_of(parse_document(body), "resourceSpans"):
        resource = read_resource(builder, object_of(resource_spans, "resource"))
        for scope_spans in objects_of(resource_spans, "scopeSpans"):
            name = object_of(scope_spans, "scope").get("name")
            scope = name if isinstance(name, str) else ""
            for span in list_of(scope_spans, "spans"):
                builder.count_spans(1)
                try:
                    _add_span(builder, resource, scope, span)
                except Refused as refusal:
                    builder.refuse(resource, refusal.reason)
    return builder.build()


def _add_span(builder: RequestBuilder, resource: Attributes, scope: str, span: Any) -> None:
    if not isinstance(span, dict):
        raise Refused("malformed")
    status = object_of(span, "status")
    builder.add(
        resource=resource,
        scope=scope,
        trace_id=read_id(span.get("traceId"), 16),
        span_id=read_id(span.get("spanId"), 8),
        parent_span_id=read_id(span.get("parentSpanId"), 8),
        name=read_text(builder, span.get("name")),
        kind=read_enum(span.get("kind"), _KINDS),
        start_ns=read_int(span.get("startTimeUnixNano")),
        end_ns=read_int(span.get("endTimeUnixNano")),
        status=read_enum(status.get("code"), _STATUSES),
        status_message=read_text(builder, status.get("message")),
        attributes=read_attributes(builder, span.get("attributes")),
        events=_read_events(builder, span.get("events")),
        dropped_attributes=read_int(span.get("droppedAttributesCount")),
        dropped_events=read_int(span.get("droppedEventsCount")),
    )


def _read_events(builder: RequestBuilder, events: object) -> list[RawEvent]:
    listed = elements(events)
    builder.check_count(len(listed), "too_many_events")
    return [_read_event(builder, event) for event in listed]


def _read_event(builder: RequestBuilder, event: object) -> RawEvent:
    if not isinstance(event, dict):
        raise Refused("malformed")
    name, time_ns = read_text(builder, event.get("name")), read_int(event.get("timeUnixNano"))
    dropped = read_dropped(read_int(event.get("droppedAttributesCount")))
    return RawEvent(name, time_ns, read_attributes(builder, event.get("attributes")), dropped)
