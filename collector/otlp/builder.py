"""The one builder behind both encodings: it checks a span's fields and makes the :class:`RawSpan`.

Encodings turn their wire shape into plain values and hand them over here, so protobuf and JSON cannot
disagree about what is acceptable. A span that breaks a rule raises :class:`Refused` and is refused
alone; its neighbours are kept.
"""

from __future__ import annotations

from collections import Counter

from collector.otlp.spans import Attributes, DecodedRequest, RawEvent, RawSpan, Rejection
from collector.otlp.value_limits import Refused, ValueLimits
from custodes.kernel.clock import SECOND_NS
from custodes.kernel.errors import MalformedError, TooLargeError
from custodes.kernel.settings import IngestSettings

ZERO_TRACE_ID = "0" * 32
ZERO_SPAN_ID = "0" * 16
_MAX_UINT31 = (1 << 31) - 1


class RequestBuilder(ValueLimits):
    """Collects the spans of one request under the limits of ``settings`` at the time ``now_ns``."""

    def __init__(self, settings: IngestSettings, now_ns: int) -> None:
        super().__init__(settings)
        self._max_spans = settings.max_spans
        self._latest_ns = now_ns + settings.max_future_s * SECOND_NS
        self._now_ns = now_ns
        self._seen = 0
        self._spans: list[RawSpan] = []
        self._rejected: Counter[Rejection] = Counter()

    def count_spans(self, count: int) -> None:
        """Note that ``count`` more spans arrive; raises ``TooLargeError`` above the limit of spans per request."""
        self._seen += count
        if self._seen > self._max_spans:
            raise too_many_spans(self._max_spans)

    def refuse(self, resource: Attributes, reason: str) -> None:
        """Count one refused span of the service that ``resource`` names."""
        reason = "malformed_span" if reason == "malformed" else reason
        self._rejected[Rejection(service_name(resource), reason)] += 1

    def add(
        self,
        resource: Attributes,
        scope: str,
        trace_id: str,
        span_id: str,
        parent_span_id: str,
        name: str,
        kind: int,
        start_ns: int,
        end_ns: int,
        status: int,
        status_message: str,
        attributes: Attributes,
        events: list[RawEvent],
        dropped_attributes: int,
        dropped_events: int,
    ) -> None:
        """Add one span; raises :class:`Refused` when its ids or times cannot be used.

        A parent id of the wrong length, or all zeros, means no parent: it cannot name one. A missing
        start takes the end's place, and the time of arrival when both are missing.
        """
        if len(trace_id) != 32:
            raise Refused("bad_trace_id")
        if trace_id == ZERO_TRACE_ID:
            raise Refused("zero_trace_id")
        if len(span_id) != 16:
            raise Refused("bad_span_id")
        if span_id == ZERO_SPAN_ID:
            raise Refused("zero_span_id")
        if start_ns > self._latest_ns or end_ns > self._latest_ns:
            raise Refused("clock_in_future")
        if start_ns < 0 or end_ns < 0:
            raise Refused("malformed")
        complete = end_ns != 0 and 0 < start_ns <= end_ns
        if not complete:
            start_ns = start_ns or end_ns or self._now_ns
            end_ns = start_ns
        has_parent = len(parent_span_id) == 16 and parent_span_id not in (ZERO_SPAN_ID, span_id)
        self._spans.append(
            # By place, which takes half the time of doing it by name.
            RawSpan(
                resource,
                scope,
                trace_id,
                span_id,
                parent_span_id if has_parent else None,
                name,
                kind if 0 <= kind <= 5 else 0,
                start_ns,
                end_ns,
                complete,
                status if 0 <= status <= 2 else 0,
                status_message,
                attributes,
                events,
                read_dropped(dropped_attributes) if dropped_attributes else 0,
                read_dropped(dropped_events) if dropped_events else 0,
            )
        )

    def build(self) -> DecodedRequest:
        """Return everything added so far."""
        return DecodedRequest(self._spans, self._rejected)


def read_dropped(count: int) -> int:
    """Return a count of what a client's SDK dropped, as far as a count can be believed: from 0 to 2^31 - 1."""
    return min(max(0, count), _MAX_UINT31)


def service_name(resource: Attributes) -> str:
    """Return the service a resource names; empty when it names none."""
    name = resource.get("service.name")
    return name if isinstance(name, str) else ""


def too_many_spans(limit: int) -> TooLargeError:
    """Return the error of a request with more than ``limit`` spans."""
    return TooLargeError(
        f"the request holds more than {limit} spans; send smaller batches or raise CUSTODES_INGEST__MAX_SPANS",
        limit=limit,
    )


def not_otlp_protobuf() -> MalformedError:
    """Return the error of bytes that are no OTLP trace request in protobuf."""
    return MalformedError(
        "the body is not an OTLP ExportTraceServiceRequest in protobuf; check the exporter's protocol, "
        "and that Content-Type says application/x-protobuf only for protobuf"
    )
