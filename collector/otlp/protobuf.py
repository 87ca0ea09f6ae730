"""OTLP/protobuf to raw spans, through the upb parser of ``protobuf``.

A request is parsed down to its spans, each span then by itself: one that is broken is refused alone.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from collector.otlp.attributes import AttributeReader
from collector.otlp.builder import RequestBuilder, not_otlp_protobuf, read_dropped
from collector.otlp.prescan import check_block_count, count_fields
from collector.otlp.spans import Attributes, DecodedRequest, RawEvent
from collector.otlp.value_limits import Refused
from collector.otlp.wire import WireMessages, wire_messages
from custodes.kernel.settings import IngestSettings

_ATTRIBUTES, _EVENTS, _EVENT_ATTRIBUTES = 9, 11, 3
# Below this, no number of empty fields can take memory worth speaking of.
_COUNTED_BYTES = 64 * 1024


class ProtobufDecoder:
    """Decodes requests under ``settings``. Thread-safe; keep one, since it remembers frequent attributes."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._wire: WireMessages = wire_messages()
        self._attributes = AttributeReader()

    def decode(self, body: bytes, now_ns: int) -> DecodedRequest:
        """Return the spans of an ``ExportTraceServiceRequest``.

        Raises ``MalformedError`` when the bytes are no such message down to where its spans lie, and
        ``TooLargeError`` when it holds more spans than a request may.
        """
        check_block_count(body, self._settings.max_spans)
        try:
            request = self._wire.request.FromString(body)
        except DecodeError as error:
            raise not_otlp_protobuf() from error
        builder = RequestBuilder(self._settings, now_ns)
        for resource_spans in request.resource_spans:
            resource = self._attributes.read_resource(builder, resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                scope = str(scope_spans.scope.name, "utf-8", "replace")
                builder.count_spans(len(scope_spans.spans))
                for span in scope_spans.spans:
                    try:
                        self._add_span(builder, resource, scope, span)
                    except Refused as refusal:
                        builder.refuse(resource, refusal.reason)
        return builder.build()

    def _add_span(self, builder: RequestBuilder, resource: Attributes, scope: str, encoded: bytes) -> None:
        if len(encoded) > _COUNTED_BYTES:
            builder.check_count(count_fields(encoded, _ATTRIBUTES, builder.max_attributes), "too_many_attributes")
            builder.check_count(count_fields(encoded, _EVENTS, builder.max_attributes), "too_many_events")
        try:
            span = self._wire.span.FromString(encoded)
        except DecodeError as error:
            raise Refused("malformed") from error
        status = span.status
        message = status.message
        attributes = self._attributes.read(builder, span.attributes)
        events = self._read_events(builder, span.events) if span.events else []
        builder.add(
            resource,
            scope,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            _read_text(builder, span.name),
            span.kind,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            status.code,
            _read_text(builder, message) if message else "",
            attributes,
            events,
            span.dropped_attributes_count,
            span.dropped_events_count,
        )

    def _read_events(self, builder: RequestBuilder, events: Any) -> list[RawEvent]:
        builder.check_count(len(events), "too_many_events")
        return [self._read_event(builder, encoded) for encoded in events]

    def _read_event(self, builder: RequestBuilder, encoded: bytes) -> RawEvent:
        if len(encoded) > _COUNTED_BYTES:
            count = count_fields(encoded, _EVENT_ATTRIBUTES, builder.max_attributes)
            builder.check_count(count, "too_many_attributes")
        try:
            event = self._wire.event.FromString(encoded)
        except DecodeError as error:
            raise Refused("malformed") from error
        attributes = self._attributes.read(builder, event.attributes)
        dropped = read_dropped(event.dropped_attributes_count)
        return RawEvent(_read_text(builder, event.name), event.time_unix_nano, attributes, dropped)


def decode_protobuf(body: bytes, settings: IngestSettings, now_ns: int) -> DecodedRequest:
    """Return the spans of one body; for many, keep a :class:`ProtobufDecoder`."""
    return ProtobufDecoder(settings).decode(body, now_ns)


def _read_text(builder: RequestBuilder, encoded: bytes) -> str:
    try:
        return str(builder.check_bytes(encoded), "utf-8")
    except UnicodeDecodeError as error:
        raise Refused("malformed") from error
