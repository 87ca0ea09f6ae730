"""OTLP logs to GenAI events, from protobuf and JSON alike.

Custodes is no store for logs. Records whose event name isn't one of ``GENAI_EVENTS`` are refused, each counted,
before anything else of them is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.otlp import json_values, values
from collector.otlp.blocks import Block, blocks_of, joined, text_of
from collector.otlp.body import Encoding
from collector.otlp.spans import Attributes, Rejection, Value
from collector.otlp.value_limits import Refused
from collector.otlp.values import RecordLimits
from custodes.kernel.settings import IngestSettings

OPERATION_DETAILS = "gen_ai.client.inference.operation.details"
CHOICE = "gen_ai.choice"
INPUT_EVENTS = frozenset(
    {"gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message"}
)
PROMPT_EVENTS = frozenset({"gen_ai.content.prompt", "gen_ai.prompt"})
COMPLETION = "gen_ai.content.completion"
MESSAGE_EVENTS = INPUT_EVENTS | PROMPT_EVENTS | {OPERATION_DETAILS, CHOICE, COMPLETION}
"""The events that can carry text of an exchange."""

GENAI_EVENTS = MESSAGE_EVENTS | {"gen_ai.evaluation.result", "gen_ai.client.operation.exception"}
"""The events that are kept. Source: the GenAI semantic conventions, current and up to 1.36."""

_EVENT_NAME = "event.name"


@dataclass(frozen=True, slots=True)
class RawLog:
    """One GenAI event as the client sent it.

    Ids are lower-case hex (32 and 16 characters) and never all zeros. ``time_ns`` is when it happened, else when it
    was observed, else 0. ``resource`` is shared by the records of one block: read it, never change it.
    """

    resource: Attributes
    scope: str
    name: str
    trace_id: str
    span_id: str
    time_ns: int
    body: Value
    attributes: Attributes
    dropped_attributes: int


@dataclass(frozen=True, slots=True)
class DecodedLogs:
    """The GenAI events of one request, and how many records were refused, by service and reason."""

    events: list[RawLog]
    rejected: Counter[Rejection] = field(default_factory=Counter)


def decode_logs(body: bytes, encoding: Encoding, settings: IngestSettings, now_ns: int) -> DecodedLogs:
    """Return the GenAI events of a decompressed body; an empty body holds none and is no error.

    Raises ``MalformedError`` when the bytes are not what ``encoding`` says and ``TooLargeError`` when they hold more
    records than a request may. Records that break a rule alone are counted in ``rejected``.
    """
    limits = RecordLimits(settings, now_ns)
    if encoding is Encoding.JSON:
        return DecodedLogs(_decode_json(body, limits), limits.rejected)
    return DecodedLogs(_decode_protobuf(body, limits), limits.rejected)


def _decode_protobuf(body: bytes, limits: RecordLimits) -> list[RawLog]:
    events: list[RawLog] = []
    for resource_logs in blocks_of(memoryview(body), 1):
        limits.count_block()
        resource = values.read_resource(limits, joined(resource_logs, 1))
        for scope_logs in blocks_of(resource_logs, 2):
            limits.count_block()
            scope = _scope_name(scope_logs)
            for encoded in blocks_of(scope_logs, 2):
                limits.count_record()
                try:
                    events.append(_read_protobuf(limits, resource, scope, encoded))
                except Refused as refusal:
                    limits.refuse(resource, refusal.reason)
    return events


def _scope_name(scope_logs: Block) -> str:
    try:
        return text_of(memoryview(joined(scope_logs, 1)), 1)
    except UnicodeDecodeError:
        return ""


def _read_protobuf(limits: RecordLimits, resource: Attributes, scope: str, encoded: Block) -> RawLog:
    limits.check_record(len(encoded))
    try:
        record = LogRecord.FromString(bytes(encoded))
    except DecodeError as error:
        raise Refused("malformed") from error
    name = record.event_name or next(
        (pair.value.string_value for pair in record.attributes if pair.key == _EVENT_NAME), ""
    )
    return RawLog(
        resource=resource,
        scope=scope,
        name=_check_name(name),
        trace_id=_check_id(record.trace_id.hex(), 32),
        span_id=_check_id(record.span_id.hex(), 16),
        time_ns=_check_time(limits, record.time_unix_nano or record.observed_time_unix_nano),
        body=values.read_value(limits, record.body, 1),
        attributes=values.read_attributes(limits, record.attributes),
        dropped_attributes=record.dropped_attributes_count,
    )


def _decode_json(body: bytes, limits: RecordLimits) -> list[RawLog]:
    events: list[RawLog] = []
    for resource_logs in json_values.objects_of(json_values.parse_document(body), "resourceLogs"):
        resource = json_values.read_resource(limits, json_values.object_of(resource_logs, "resource"))
        for scope_logs in json_values.objects_of(resource_logs, "scopeLogs"):
            scope = json_values.object_of(scope_logs, "scope").get("name")
            for record in json_values.list_of(scope_logs, "logRecords"):
                limits.count_record()
                try:
                    events.append(_read_json(limits, resource, scope if isinstance(scope, str) else "", record))
                except Refused as refusal:
                    limits.refuse(resource, refusal.reason)
    return events


def _read_json(limits: RecordLimits, resource: Attributes, scope: str, record: Any) -> RawLog:
    if not isinstance(record, dict):
        raise Refused("malformed")
    time_ns = json_values.read_int(record.get("timeUnixNano")) or json_values.read_int(
        record.get("observedTimeUnixNano")
    )
    return RawLog(
        resource=resource,
        scope=scope,
        name=_check_name(record.get("eventName") or _json_event_name(json_values.elements(record.get("attributes")))),
        trace_id=_check_id(json_values.read_id(record.get("traceId"), 16), 32),
        span_id=_check_id(json_values.read_id(record.get("spanId"), 8), 16),
        time_ns=_check_time(limits, time_ns),
        body=json_values.read_value(limits, record.get("body"), 1),
        attributes=json_values.read_attributes(limits, record.get("attributes")),
        dropped_attributes=max(0, json_values.read_int(record.get("droppedAttributesCount"))),
    )


def _json_event_name(pairs: Sequence[Any]) -> object:
    for pair in pairs:
        if isinstance(pair, dict) and pair.get("key") == _EVENT_NAME and isinstance(pair.get("value"), dict):
            return pair["value"].get("stringValue")
    return None


def _check_name(name: object) -> str:
    if not isinstance(name, str) or name not in GENAI_EVENTS:
        raise Refused("not_genai_event")
    return name


def _check_id(found: str, length: int) -> str:
    """Return an id that can name a span; an event without one can never be joined to anything."""
    if len(found) != length or not found.strip("0"):
        raise Refused("no_span")
    return found


def _check_time(limits: RecordLimits, time_ns: int) -> int:
    limits.check_time(time_ns)
    return time_ns
