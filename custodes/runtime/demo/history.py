"""Seeded history: past traffic as OTLP bytes, sent through the very code that takes live traffic.

A simulated clock stands at each past quarter of an hour in turn; what happens at that time (intake,
scoring, policy evaluation) is then recorded as if Custodes had been running.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from custodes.kernel.clock import MINUTE_NS, SECOND_NS
from custodes.runtime.demo.script import DRIFTING, SERVICES, Turn, play_turn

Value = str | float | int | list[str]

QUARTER_NS = 15 * MINUTE_NS
TOXIC_CALLS = 75
"""Calls of the toxic service in a quarter of an hour, by day and by night: complaints come in, and people try again."""


def quarters(start_ns: int, end_ns: int) -> Iterator[int]:
    """Yield the start of every quarter of an hour in [start, end)."""
    first = start_ns - start_ns % QUARTER_NS
    yield from range(first, end_ns, QUARTER_NS)


def history_turns(
    quarter_ns: int, rng: random.Random, *, toxic: bool, unfair: bool = False, drifted: bool = False
) -> list[tuple[int, Turn]]:
    """Return the calls of one quarter of an hour as (start in unix ns, turn): busier by day, calm at night.

    ``toxic`` is about the first service, ``unfair`` about the last, ``drifted`` about the one between them.
    """
    hour = datetime.fromtimestamp(quarter_ns / SECOND_NS, tz=UTC).hour
    level = 4.0 + 12.0 * max(0.0, math.sin((hour - 6) / 24 * 2 * math.pi))
    turns: list[tuple[int, Turn]] = []
    for index, service in enumerate(SERVICES):
        bad = toxic and index == 0
        for _ in range(TOXIC_CALLS if bad else int(level + rng.random())):
            start_ns = quarter_ns + int(rng.random() * (QUARTER_NS - MINUTE_NS))
            cut = unfair and service is SERVICES[-1]
            foreign = drifted and service is DRIFTING
            turn = play_turn(service, rng, toxic_share=0.6 if bad else 0.0, upgraded=bad, unfair=cut, drifted=foreign)
            turns.append((start_ns, turn))
    return sorted(turns, key=lambda pair: pair[0])


def turns_to_request(turns: list[tuple[int, Turn]], rng: random.Random) -> bytes:
    """Return an OTLP protobuf export request with a trace of three spans for every turn."""
    request = ExportTraceServiceRequest()
    for start_ns, turn in turns:
        request.resource_spans.append(_trace(start_ns, turn, rng))
    return request.SerializeToString()


def _trace(start_ns: int, turn: Turn, rng: random.Random) -> ResourceSpans:
    resource = ResourceSpans()
    resource.resource.attributes.extend(
        [
            _attribute("service.name", turn.service.name),
            _attribute("deployment.environment.name", "demo"),
            _attribute("custodes.deployment", turn.deployment),
        ]
    )
    scope = resource.scope_spans.add()
    scope.scope.name = "custodes.demo"
    trace_id = rng.randbytes(16)
    root_id, retrieval_id, chat_id = (rng.randbytes(8) for _ in range(3))
    end_ns = start_ns + int(turn.latency_s * SECOND_NS)
    found_ns = start_ns + int(0.15 * (end_ns - start_ns))
    scope.spans.append(
        Span(
            trace_id=trace_id,
            span_id=root_id,
            name=f"{turn.service.name} request",
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=end_ns + 5_000_000,
        )
    )
    scope.spans.append(
        Span(
            trace_id=trace_id,
            span_id=retrieval_id,
            parent_span_id=root_id,
            name="search documents",
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=start_ns + 1_000_000,
            end_time_unix_nano=found_ns,
            attributes=[_attribute(key, value) for key, value in retrieval_attributes(turn).items()],
        )
    )
    scope.spans.append(
        Span(
            trace_id=trace_id,
            span_id=chat_id,
            parent_span_id=root_id,
            name=f"chat {turn.service.model}",
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=found_ns + 1_000_000,
            end_time_unix_nano=end_ns,
            attributes=[_attribute(key, value) for key, value in chat_attributes(turn).items()],
        )
    )
    return resource


def retrieval_attributes(turn: Turn) -> dict[str, Value]:
    """Return the attributes of the retrieval span, in OpenInference's words."""
    attributes: dict[str, Value] = {"openinference.span.kind": "RETRIEVER"}
    if turn.capture_text:
        attributes["input.value"] = turn.question
        for index, document in enumerate(turn.documents):
            attributes[f"retrieval.documents.{index}.document.id"] = f"doc-{index}"
            attributes[f"retrieval.documents.{index}.document.content"] = document
    return attributes


def chat_attributes(turn: Turn) -> dict[str, Value]:
    """Return the attributes of the model call, in OpenTelemetry GenAI's words."""
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": turn.service.model,
        "gen_ai.response.model": turn.service.model,
        "gen_ai.response.finish_reasons": [turn.finish_reason],
        "gen_ai.response.time_to_first_chunk": round(turn.latency_s * 0.3, 3),
        "gen_ai.usage.input_tokens": turn.input_tokens,
        "gen_ai.usage.output_tokens": turn.output_tokens,
        "session.id": turn.session,
        "user.id": turn.user,
        "custodes.attr.group": turn.group,
    }
    if turn.capture_text:
        attributes["gen_ai.input.messages"] = _messages(("system", turn.service.system), ("user", turn.question))
        attributes["gen_ai.output.messages"] = _messages(("assistant", turn.answer))
    return attributes


def _messages(*messages: tuple[str, str]) -> str:
    return orjson.dumps(
        [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in messages]
    ).decode()


def _attribute(key: str, value: Value) -> KeyValue:
    if isinstance(value, str):
        return KeyValue(key=key, value=AnyValue(string_value=value))
    if isinstance(value, list):
        texts = ArrayValue(values=[AnyValue(string_value=one) for one in value])
        return KeyValue(key=key, value=AnyValue(array_value=texts))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    return KeyValue(key=key, value=AnyValue(double_value=value))
