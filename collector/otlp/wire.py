"""The OTLP trace messages as this decoder reads them: what is looked at late stays bytes.

The field numbers are those of opentelemetry-proto, so the bytes on the wire are the same; only the types
differ. Spans, events and attributes are declared ``bytes``: a wrapper object for each of the twenty attributes of
a span is what the generated classes spend most of their time on, and a broken span, or text that is no UTF-8, then
costs that span alone and not its whole request.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_PACKAGE = "custodes.otlp"
_BYTES, _FIXED64 = FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.TYPE_FIXED64
_INT32, _UINT32 = FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_UINT32
_MESSAGE = FieldDescriptorProto.TYPE_MESSAGE

# Message → (field, number, type or message name, repeated).
_FIELDS: dict[str, tuple[tuple[str, int, Any, bool], ...]] = {
    "Resource": (("attributes", 1, _BYTES, True),),
    "Scope": (("name", 1, _BYTES, False),),
    "Status": (("message", 2, _BYTES, False), ("code", 3, _INT32, False)),
    "Event": (
        ("time_unix_nano", 1, _FIXED64, False),
        ("name", 2, _BYTES, False),
        ("attributes", 3, _BYTES, True),
        ("dropped_attributes_count", 4, _UINT32, False),
    ),
    "Span": (
        ("trace_id", 1, _BYTES, False),
        ("span_id", 2, _BYTES, False),
        ("parent_span_id", 4, _BYTES, False),
        ("name", 5, _BYTES, False),
        ("kind", 6, _INT32, False),
        ("start_time_unix_nano", 7, _FIXED64, False),
        ("end_time_unix_nano", 8, _FIXED64, False),
        ("attributes", 9, _BYTES, True),
        ("dropped_attributes_count", 10, _UINT32, False),
        ("events", 11, _BYTES, True),
        ("dropped_events_count", 12, _UINT32, False),
        ("status", 15, "Status", False),
    ),
    "ScopeSpans": (("scope", 1, "Scope", False), ("spans", 2, _BYTES, True)),
    "ResourceSpans": (("resource", 1, "Resource", False), ("scope_spans", 2, "ScopeSpans", True)),
    "Request": (("resource_spans", 1, "ResourceSpans", True),),
}


@dataclass(frozen=True, slots=True)
class WireMessages:
    """The message classes; each has ``FromString`` and the attributes its fields in this module name."""

    request: Any
    span: Any
    event: Any


@cache
def wire_messages() -> WireMessages:
    """Return the classes, made on first use in a descriptor pool of their own."""
    file = FileDescriptorProto(name="custodes/otlp.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
            if isinstance(kind, str):
                message.field.add(
                    name=field, number=number, type=_MESSAGE, type_name=f".{_PACKAGE}.{kind}", label=label
                )
            else:
                message.field.add(name=field, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    def find(name: str) -> Any:
        descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        return message_factory.GetMessageClass(descriptor)

    return WireMessages(find("Request"), find("Span"), find("Event"))
