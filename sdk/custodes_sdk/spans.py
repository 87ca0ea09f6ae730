"""The span processor: stamps what surrounds a call on every span, and sends ended spans in the background.

The SDK's own ``BatchSpanProcessor`` is not used: its flush ignores its timeout, its shutdown holds the host for up to
30 seconds, and what it drops is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind, format_trace_id

from custodes_sdk.inner_calls import note_span
from custodes_sdk.sending.http import HttpWay
from custodes_sdk.sending.outbox import Counts, Outbox
from custodes_sdk.sending.outcome import Outcome, Refused, TooLarge
from custodes_sdk.sending.quiet import QuietLog
from custodes_sdk.surroundings import current_surroundings

CONTENT_TYPE = "application/x-protobuf"
PATH = "/v1/traces"
EXIT_TIMEOUT_S = 2.0
MAX_REQUEST_BYTES = 16 * 1024 * 1024

# Spans that say when they start that they are a transport's: nobody answers from documents there.
_TRANSPORT_MARKS = ("http.", "db.", "rpc.", "messaging.", "net.", "url.")


class SpanWay(Protocol):
    """What carries serialised trace requests to the server: HTTP or gRPC."""

    def export(self, body: bytes) -> Outcome:
        """Send one ``ExportTraceServiceRequest``; may block, raises nothing that a server can cause."""
        ...

    def forget(self) -> None:
        """Drop the connection without closing it."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class HttpSpanWay(HttpWay):
    """OTLP/HTTP in protobuf."""

    def export(self, body: bytes) -> Outcome:
        """Send one ``ExportTraceServiceRequest``."""
        return self.post(PATH, body, CONTENT_TYPE)


class CustodesSpanProcessor(SpanProcessor):
    """Never blocks and never raises into the host; what is lost is counted by :meth:`counts`.

    ``resource`` holds attributes that replace those of the provider's resource in what Custodes gets; the provider's
    own resource stays as it is for other exporters.
    """

    def __init__(self, way: SpanWay, resource: Mapping[str, str], *, log: QuietLog) -> None:
        self._way = way
        self._resource = dict(resource)
        self._log = log
        self.outbox: Outbox[ReadableSpan] = Outbox(
            self._deliver, name="spans", log=log, after_fork=way.forget, at_end=way.close
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp session, user, attributes and documents on a span."""
        try:
            _stamp(span)
            note_span(span)
        except Exception as error:  # A span without a stamp is better than a call that failed.
            self._log.caution("cannot stamp a span: %s", type(error).__name__)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue an ended span that was sampled."""
        try:
            if span.context is not None and span.context.trace_flags.sampled:
                self.outbox.put(span, _rough_size(span))
        except Exception as error:  # As above.
            self._log.caution("cannot queue a span: %s", type(error).__name__)

    def shutdown(self) -> None:
        """Send what waits, for at most two seconds."""
        self.outbox.close(EXIT_TIMEOUT_S)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until everything ended so far is sent or lost; false when that took longer."""
        return self.outbox.flush(timeout_millis / 1000)

    def counts(self) -> Counts:
        """Return what became of every span."""
        return self.outbox.counts()

    def _deliver(self, spans: Sequence[ReadableSpan]) -> Outcome:
        try:
            request = encode_spans(spans)
        except Exception as error:  # One span that cannot be written must not take others with it.
            return TooLarge() if len(spans) > 1 else Refused(f"failed to encode ({type(error).__name__})")
        self._name_resource(request)
        body = request.SerializeToString()
        if len(body) > MAX_REQUEST_BYTES and len(spans) > 1:
            return TooLarge()
        return self._way.export(body)

    def _name_resource(self, request: ExportTraceServiceRequest) -> None:
        for one in request.resource_spans:
            attributes = one.resource.attributes
            kept = [attribute for attribute in attributes if attribute.key not in self._resource]
            del attributes[:]
            attributes.extend(kept)
            named = self._resource.items()
            attributes.extend(KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in named)


def _stamp(span: Span) -> None:
    here = current_surroundings()
    if not here.places:
        return
    if span.context is not None:
        begins = span.parent is None or span.parent.is_remote
        for place in here.places:
            if begins or place.trace_id is None:
                place.trace_id = format_trace_id(span.context.trace_id)
    if not span.is_recording():
        return
    stamps = {f"custodes.attr.{name}": value for name, value in here.attributes.items()}
    if here.session is not None:
        stamps["session.id"] = here.session
    if here.user is not None:
        stamps["user.id"] = here.user
    if here.documents is not None and not _is_transport(span):
        stamps["custodes.documents"] = here.documents
    span.set_attributes(stamps)


def _is_transport(span: Span) -> bool:
    if span.kind in (SpanKind.SERVER, SpanKind.CONSUMER, SpanKind.PRODUCER):
        return True
    return any(name.startswith(_TRANSPORT_MARKS) for name in span.attributes or ())


def _rough_size(span: ReadableSpan) -> int:
    """Return about how much memory a span holds: its texts decide."""
    values = (span.attributes or {}).values()
    return 512 + sum(len(value) if isinstance(value, str) else 32 for value in values)
