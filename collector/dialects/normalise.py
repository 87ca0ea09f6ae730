"""Raw spans to normal spans: every field from the first dialect that knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from collector.dialects import custodes, generic
from collector.dialects.exchange import holds_unreadable, says_something
from collector.dialects.operations import COUNTED, EXCHANGES
from collector.dialects.reading import Dialect, Reader, Reading, Shape, first_text
from collector.dialects.redact import is_secret_name, may_hold_credentials, redact_attributes
from collector.dialects.registry import DIALECTS
from collector.dialects.span import DOCUMENTS_BIT, PROMPT_BIT, RESPONSE_BIT, UNREADABLE_BIT, NormalSpan
from collector.dialects.tool_results import looks_up, read_tool_documents
from collector.otlp.builder import read_dropped, service_name
from collector.otlp.spans import Attributes, RawSpan

_ENVIRONMENT = ("deployment.environment.name", "deployment.environment", "langfuse.environment")
_VERSION = ("service.version", "langfuse.release")
# Told by the client about itself; the rest of a resource repeats on every span and may name secrets.
_KEPT_RESOURCE = ("service.version", "service.namespace", "telemetry.sdk.language")
_MAX_EVENTS = 128
_MAX_PLANS = 4_096
_NO_EVENTS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What follows from the shape of a span: who reads it, and which attributes become messages or documents."""

    spoken: tuple[Dialect, ...]
    session: tuple[str, ...]
    user: tuple[str, ...]
    readers: tuple[Reader, ...]
    dialect: str
    read_names: tuple[str, ...]
    keeps_secrets: bool
    dropped_events: frozenset[str]
    telling_events: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a resource says of all its spans."""

    service: str
    environment: str
    deployment: str | None
    version: str | None
    session_id: str | None
    user_id: str | None
    kept: dict[str, Any]


class Normaliser:
    """Reads spans into the one stored shape. Thread-safe.

    Which dialects a span speaks follows from its shape, and instrumentations send few shapes, so the answer is
    kept. At 4,096 shapes everything kept is let go: a client that invents names costs time, never memory.

    A dialect that raises has a mistake of ours in it. With ``on_failure`` that is told its name and the error, and the
    span is read without it, so that no client pays for our mistake; without, the error goes on.
    """

    def __init__(
        self, dialects: Sequence[Dialect] = DIALECTS, on_failure: Callable[[str, Exception], None] | None = None
    ) -> None:
        self._dialects = tuple(dialects)
        self._on_failure = on_failure
        self._plans: dict[tuple[str, tuple[str, ...], frozenset[str]], _Plan] = {}

    def normalise(self, raw: RawSpan) -> NormalSpan:
        """Return ``raw`` in the stored shape. Never fails: what cannot be understood stays in ``attributes``."""
        return self._read(raw, _read_origin(raw.resource))

    def normalise_all(self, raws: Iterable[RawSpan]) -> list[NormalSpan]:
        """Return the spans of a request in the stored shape; what they share is read once."""
        origins: dict[int, _Origin] = {}
        spans = []
        for raw in raws:
            # The spans of a resource hold the very same object.
            origin = origins.get(id(raw.resource))
            if origin is None:
                origin = origins[id(raw.resource)] = _read_origin(raw.resource)
            spans.append(self._read(raw, origin))
        return spans

    def _read(self, raw: RawSpan, origin: _Origin) -> NormalSpan:
        plan = self._find_plan(raw)
        try:
            readings = [read(raw) for read in plan.readers]
        except Exception:
            if self._on_failure is None:
                raise
            readings = self._read_what_can_be(raw, plan, self._on_failure)
        return _to_normal(raw, plan, origin, readings)

    @staticmethod
    def _read_what_can_be(raw: RawSpan, plan: _Plan, on_failure: Callable[[str, Exception], None]) -> list[Reading]:
        readings = []
        for dialect, read in zip(plan.spoken, plan.readers, strict=True):
            try:
                readings.append(read(raw))
            except Exception as error:
                on_failure(dialect.name, error)
        return readings

    def _find_plan(self, raw: RawSpan) -> _Plan:
        events = frozenset([event.name for event in raw.events]) if raw.events else _NO_EVENTS
        # In the order of the wire: exporters keep to one, and a tuple of names costs half of what a set of them does.
        key = (raw.scope, tuple(raw.attributes), events)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make_plan(Shape(raw.scope, frozenset(raw.attributes), events))
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _make_plan(self, shape: Shape) -> _Plan:
        spoken = [dialect for dialect in self._dialects if dialect.detect(shape)]
        consumed = frozenset().union(*(dialect.consumed for dialect in spoken))
        prefixes = tuple(prefix for dialect in spoken for prefix in dialect.consumed_prefixes)
        read_names = tuple(sorted(key for key in shape.keys if key in consumed or key.startswith(prefixes)))
        return _Plan(
            spoken=tuple(spoken),
            session=shape.present(generic.SESSION),
            user=shape.present(generic.USER),
            readers=tuple(one.reader_for(shape) if one.reader_for else one.read for one in spoken),
            dialect=_main_dialect(spoken),
            read_names=read_names,
            keeps_secrets=any(is_secret_name(key) for key in shape.keys.difference(read_names)),
            dropped_events=frozenset(
                name
                for name in shape.events
                for dialect in spoken
                if name in dialect.dropped_events or name.startswith(dialect.dropped_event_prefixes)
            ),
            telling_events=shape.events & frozenset().union(*(one.telling_events for one in spoken)),
        )


def normalise(raw: RawSpan, dialects: Sequence[Dialect] = DIALECTS) -> NormalSpan:
    """Return one span in the stored shape; for many, keep a :class:`Normaliser`."""
    return Normaliser(dialects).normalise(raw)


def _read_origin(resource: Attributes) -> _Origin:
    return _Origin(
        service=service_name(resource),
        environment=first_text(resource, _ENVIRONMENT) or "",
        deployment=first_text(resource, (custodes.DEPLOYMENT,)),
        version=first_text(resource, _VERSION),
        session_id=first_text(resource, generic.SESSION),
        user_id=first_text(resource, generic.USER),
        kept=redact_attributes({f"resource.{key}": resource[key] for key in _KEPT_RESOURCE if key in resource}),
    )


def _to_normal(raw: RawSpan, plan: _Plan, origin: _Origin, readings: Sequence[Reading]) -> NormalSpan:
    merged = _merge(readings) if readings else Reading()
    operation = merged.operation or "span"
    counted = operation in COUNTED
    inputs, outputs = merged.input_messages or [], merged.output_messages or []
    documents = merged.retrieved_documents or []
    if operation == "execute_tool" and not documents and looks_up(raw.attributes):
        documents = read_tool_documents(raw.attributes, outputs)
    input_tokens = merged.input_tokens if counted else None
    output_tokens = merged.output_tokens if counted else None
    model = merged.model or ""
    # By place: naming thirty fields would take as long as setting them.
    return NormalSpan(
        raw.trace_id,
        raw.span_id,
        raw.parent_span_id,
        raw.name,
        raw.kind,
        operation,
        raw.start_ns,
        raw.end_ns,
        raw.complete,
        raw.status,
        raw.status_message,
        origin.service,
        merged.environment or origin.environment,
        _deployment(origin, merged.request_model or model),
        merged.provider or "",
        model,
        merged.session_id or first_text(raw.attributes, plan.session) or origin.session_id,
        merged.user_id or first_text(raw.attributes, plan.user) or origin.user_id,
        inputs,
        outputs,
        documents,
        input_tokens,
        output_tokens,
        merged.cost_usd if counted else None,
        merged.finish_reasons or [],
        merged.ttft_ms,
        plan.dialect,
        # Most spans have no events, and lost none.
        _count_dropped(raw, plan, bool(documents if operation == "retrieval" else inputs and outputs))
        if raw.events or raw.dropped_events
        else raw.dropped_attributes,
        _kept_attributes(raw, plan, origin),
        _kept_events(raw, plan.dropped_events) if raw.events else [],
        operation in EXCHANGES,
        _completeness(raw, (outputs, inputs, documents), input_tokens is not None or output_tokens is not None),
    )


def _merge(readings: Sequence[Reading]) -> Reading:
    """Return the first reading with every field it lacks taken from the first of the others that has it.

    Of messages and documents, those in which nothing is unreadable go before the others.
    """
    merged = readings[0]
    for one in readings[1:]:
        if merged.operation is None:
            merged.operation = one.operation
        if merged.provider is None:
            merged.provider = one.provider
        if merged.model is None:
            merged.model = one.model
        if merged.request_model is None:
            merged.request_model = one.request_model
        if merged.environment is None:
            merged.environment = one.environment
        if merged.input_tokens is None:
            merged.input_tokens = one.input_tokens
        if merged.output_tokens is None:
            merged.output_tokens = one.output_tokens
        if merged.cost_usd is None:
            merged.cost_usd = one.cost_usd
        if merged.session_id is None:
            merged.session_id = one.session_id
        if merged.user_id is None:
            merged.user_id = one.user_id
        if merged.finish_reasons is None:
            merged.finish_reasons = one.finish_reasons
        if merged.ttft_ms is None:
            merged.ttft_ms = one.ttft_ms
        merged.input_messages = _spoken(merged.input_messages, one.input_messages)
        merged.output_messages = _spoken(merged.output_messages, one.output_messages)
        merged.retrieved_documents = _readable(merged.retrieved_documents, one.retrieved_documents)
    return merged


def _spoken(first: list[dict[str, Any]] | None, second: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """As :func:`_readable` for messages; those that one client hides are taken from another that does not."""
    if first and second and not says_something(first) and says_something(second) and not holds_unreadable(second):
        return second
    return _readable(first, second)


def _readable(first: list[dict[str, Any]] | None, second: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Return ``first`` unless there is none, or it holds something unreadable where ``second`` does not."""
    if first is None:
        return second
    if second is not None and holds_unreadable(first) and not holds_unreadable(second):
        return second
    return first


def _main_dialect(spoken: Sequence[Dialect]) -> str:
    """Return the vocabulary the call itself was written in: ours only adds to another one."""
    return next((one.name for one in spoken if one.name != custodes.DIALECT.name), generic.NAME)


def _deployment(origin: _Origin, requested: str) -> str:
    """Return the deployment's name: the resource's own, else ``model@version``, else the model."""
    if origin.deployment is not None:
        return origin.deployment
    return f"{requested}@{origin.version}" if requested and origin.version else requested


def _completeness(raw: RawSpan, contents: tuple[list[dict[str, Any]], ...], tokens: bool) -> int:
    """Rank a copy of a span: text weighs most, since it is what can be judged, then an end, then figures.

    ``contents`` are response, prompt and documents. Those that hold anything unreadable weigh less than
    readable ones and more than none; hidden and empty text weighs nothing.
    """
    flags = (raw.complete << 9) | (tokens << 8) | min(127, len(raw.attributes))
    outputs, inputs, documents = contents
    for content, bit in ((outputs, RESPONSE_BIT), (inputs, PROMPT_BIT), (documents, DOCUMENTS_BIT)):
        if content:
            if holds_unreadable(content):
                flags |= UNREADABLE_BIT
            elif content is documents or says_something(content):
                flags |= bit
    return flags


def _count_dropped(raw: RawSpan, plan: _Plan, has_text: bool) -> int:
    """Return how much was left out that text may have been in.

    Events that tell nothing here, such as one mark per streamed chunk, may be missing as long as text came otherwise.
    """
    dropped = raw.dropped_attributes
    if plan.telling_events:
        dropped += sum(event.dropped_attributes for event in raw.events if event.name in plan.telling_events)
    if raw.dropped_events and (plan.telling_events or not has_text):
        dropped += raw.dropped_events
    return read_dropped(dropped)


def _kept_attributes(raw: RawSpan, plan: _Plan, origin: _Origin) -> dict[str, Any]:
    """Return the attributes whose content isn't in messages or documents already."""
    attributes: dict[str, Any] = dict(raw.attributes)
    for name in plan.read_names:
        del attributes[name]
    if plan.keeps_secrets or may_hold_credentials(attributes.values()):
        attributes = redact_attributes(attributes)
    if origin.kept:
        attributes.update(origin.kept)
    if raw.scope:
        attributes["scope.name"] = raw.scope
    return attributes


def _kept_events(raw: RawSpan, dropped: frozenset[str]) -> list[dict[str, Any]]:
    """Return events as JSON objects, without the one-per-chunk marks of streamed answers."""
    kept = [event for event in raw.events if event.name not in dropped]
    return [
        {"name": event.name, "time_ns": event.time_ns, "attributes": redact_attributes(event.attributes)}
        for event in kept[:_MAX_EVENTS]
    ]
