"""Laminar: bodies built from the source of lmnr 0.8."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan

Read = Callable[..., NormalSpan]


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span with these attributes."""

    def run(attributes: dict[str, Any]) -> NormalSpan:
        return normalise(raw_span(scope="lmnr.tracer", attributes={"lmnr.span.path": ["bot"], **attributes}))

    return run


class TestType:
    @pytest.mark.parametrize(
        ("kind", "operation"),
        [("LLM", "chat"), ("CACHED", "chat"), ("TOOL", "execute_tool"), ("DEFAULT", "span"), ("EVALUATOR", "span")],
    )
    def test_it_decides_the_operation(self, read: Read, kind: str, operation: str) -> None:
        span = read({"lmnr.span.type": kind})
        assert (span.operation, span.dialect) == (operation, "laminar")

    def test_where_another_instrumentation_names_the_operation_that_counts(self, read: Read) -> None:
        assert read({"gen_ai.operation.name": "chat"}).operation == "chat"
        assert read({"gen_ai.operation.name": "chat", "lmnr.span.type": "DEFAULT"}).operation == "chat"


class TestText:
    def test_a_model_s_messages_are_read(self, read: Read) -> None:
        span = read(
            {
                "lmnr.span.type": "LLM",
                "lmnr.span.input": json.dumps([{"role": "user", "content": "hello"}]),
                "lmnr.span.output": json.dumps([{"role": "assistant", "content": "hi"}]),
                "gen_ai.system": "openai",
                "gen_ai.request.model": "gpt",
                "gen_ai.usage.cost": 0.5,
                "gen_ai.usage.input_tokens": 25,
                "lmnr.association.properties.session_id": "s-1",
                "lmnr.association.properties.user_id": "u-1",
            }
        )
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert (span.session_id, span.user_id, span.provider, span.model) == ("s-1", "u-1", "openai", "gpt")
        assert (span.cost_usd, span.input_tokens) == (0.5, 25)
        assert "lmnr.span.input" not in span.attributes

    def test_a_function_s_argument_is_its_input(self, read: Read) -> None:
        span = read(
            {"lmnr.span.type": "DEFAULT", "lmnr.span.input": '{"question": "hello"}', "lmnr.span.output": '"hi"'}
        )
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
