"""What a decoded OTLP request holds, before any dialect has looked at it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = "str | int | float | bool | bytes | list[Value] | dict[str, Value] | None"
"""An OTLP ``AnyValue`` as plain Python."""

Attributes: TypeAlias = dict[str, Value]


# Not frozen: half the time of making a frozen object goes into setting its fields past the freeze, and these are
# made for every span. Nobody changes them all the same.
@dataclass(slots=True)
class RawEvent:
    """A span event: its name, when it happened, what it carries and how many attributes its SDK dropped."""

    name: str
    time_ns: int
    attributes: Attributes
    dropped_attributes: int = 0


@dataclass(slots=True)
class RawSpan:
    """One span as the client sent it, whatever encoding carried it.

    Ids are lower-case hex (32 and 16 characters) and never all zeros. ``start_ns ≤ end_ns``, both below
    2^63. ``complete`` is false when the client sent no end, or one before the start; ``end_ns`` is then
    ``start_ns``. ``resource`` is shared by the spans of one resource block: read it, never change it. What was dropped,
    the client's SDK had to leave out under limits of its own.
    """

    resource: Attributes
    scope: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: int
    start_ns: int
    end_ns: int
    complete: bool
    status: int
    status_message: str
    attributes: Attributes
    events: list[RawEvent]
    dropped_attributes: int
    dropped_events: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Rejection:
    """Why spans of a service were refused; see ``docs/ingest.md`` for every reason."""

    service: str
    reason: str


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """The spans of one request, and how many were refused alone, by service and reason."""

    spans: list[RawSpan]
    rejected: Counter[Rejection] = field(default_factory=Counter)
