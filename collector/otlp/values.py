"""Attribute values of log records and data points under limits, read from protobuf.

The limits are those of spans: what a span may not carry, a record may not carry either. A record that breaks one
raises :class:`Refused` and is refused alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collector.otlp.spans import Attributes, Rejection, Value
from collector.otlp.value_limits import Refused, ValueLimits
from custodes.kernel.clock import SECOND_NS
from custodes.kernel.errors import TooLargeError
from custodes.kernel.settings import IngestSettings

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

# How many values of the largest size one record may hold.
_RECORD_VALUES = 4
_SCALARS = frozenset({"int_value", "double_value", "bool_value"})


class RecordLimits(ValueLimits):
    """Counts the records of one request and checks their values against ``settings`` at the time ``now_ns``."""

    def __init__(self, settings: IngestSettings, now_ns: int) -> None:
        super().__init__(settings)
        self.now_ns = now_ns
        self.max_buckets = settings.max_buckets
        self.rejected: Counter[Rejection] = Counter()
        self._max_records = settings.max_records
        self._latest_ns = now_ns + settings.max_future_s * SECOND_NS
        self._seen = 0
        self._blocks = 0

    def count_record(self) -> None:
        """Note that one more record arrives; raises ``TooLargeError`` above the limit of records per request."""
        self._seen += 1
        if self._seen > self._max_records:
            raise too_many_records(self._max_records)

    def count_block(self) -> None:
        """Note one more block around records; raises ``TooLargeError`` above the same limit: walking costs time too."""
        self._blocks += 1
        if self._blocks > self._max_records:
            raise too_many_records(self._max_records)

    def refuse(self, resource: Attributes, reason: str) -> None:
        """Count one refused record of the service that ``resource`` names."""
        reason = "malformed_record" if reason == "malformed" else reason
        self.rejected[Rejection(service_of(resource), reason)] += 1

    def check_record(self, size: int) -> None:
        """Refuse a record of so many bytes that parsing it could take too much memory."""
        if size > _RECORD_VALUES * self.max_attribute_bytes:
            raise Refused("record_too_long")

    def check_time(self, time_ns: int) -> None:
        """Refuse a record of the far future, or one whose time has no meaning."""
        if time_ns > self._latest_ns:
            raise Refused("clock_in_future")
        if time_ns < 0:
            raise Refused("malformed")


def service_of(resource: Attributes) -> str:
    """Return the service a resource names; empty when it names none."""
    name = resource.get("service.name")
    return name if isinstance(name, str) else ""


def too_many_records(limit: int) -> TooLargeError:
    """Return the error of a request with more than ``limit`` records."""
    return TooLargeError(
        f"the request holds more than {limit} records, or blocks around them; send smaller batches or raise "
        "CUSTODES_INGEST__MAX_RECORDS",
        limit=limit,
    )


def read_resource(limits: RecordLimits, encoded: bytes) -> Attributes:
    """Return what can be read of a resource: a value over a limit is left out, its records are not at fault.

    A resource that cannot be parsed at all names nothing.
    """
    resource: Attributes = {}
    try:
        limits.check_record(len(encoded))
        pairs = Resource.FromString(encoded).attributes
    except (DecodeError, Refused):
        return resource
    for pair in pairs[: limits.max_attributes]:
        try:
            resource[pair.key] = read_value(limits, pair.value, 1)
        except Refused:
            continue
    return resource


def read_attributes(limits: RecordLimits, pairs: Sequence[KeyValue]) -> Attributes:
    """Return the attributes of one record; raises :class:`Refused`."""
    limits.check_attributes(len(pairs))
    return {pair.key: read_value(limits, pair.value, 1) for pair in pairs}


def read_value(limits: ValueLimits, value: AnyValue, depth: int) -> Value:
    """Return one value, ``depth`` levels below what carries it; raises :class:`Refused`."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return limits.check_text(value.string_value)
    if kind in _SCALARS:
        scalar: Value = getattr(value, kind)
        return scalar
    if kind == "bytes_value":
        return limits.check_bytes(value.bytes_value)
    if kind == "array_value":
        values = value.array_value.values
        limits.open_nested(depth, len(values))
        return [_read_inner(limits, one, depth + 1) for one in values]
    if kind == "kvlist_value":
        pairs = value.kvlist_value.values
        limits.open_nested(depth, len(pairs))
        return {pair.key: _read_inner(limits, pair.value, depth + 1) for pair in pairs}
    # No value at all, or a kind that came into the protocol later and that this release cannot read.
    return None


def _read_inner(limits: ValueLimits, value: AnyValue, depth: int) -> Value:
    """Return a value inside another one, counted towards the length of the whole."""
    inner = read_value(limits, value, depth)
    if isinstance(inner, str | bytes):
        limits.add_nested(len(inner))
    return inner
