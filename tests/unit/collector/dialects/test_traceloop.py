"""Traceloop: entities around calls, and association properties on every span.

Beside the recordings of traceloop-sdk 0.62.4, bodies here are built after its source.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan

PROPERTIES = "traceloop.association.properties."
Read = Callable[..., NormalSpan]


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span with these attributes."""

    def run(attributes: dict[str, Any], **fields: Any) -> NormalSpan:
        return normalise(raw_span(attributes=attributes, **{"scope": "traceloop.tracer", **fields}))

    return run


class TestEntities:
    @pytest.mark.parametrize(
        ("kind", "operation"),
        [
            ("workflow", "invoke_workflow"),
            ("task", "span"),
            ("agent", "invoke_agent"),
            ("tool", "execute_tool"),
            ("unknown", "span"),
            ("other", "span"),
        ],
    )
    def test_a_kind_is_an_operation_and_never_an_exchange(self, read: Read, kind: str, operation: str) -> None:
        span = read({"traceloop.span.kind": kind, "traceloop.entity.name": "answer"})
        assert (span.operation, span.is_exchange, span.dialect) == (operation, False, "traceloop")

    @pytest.mark.parametrize(
        ("given", "returned", "prompt", "response"),
        [
            ('{"args": ["hello"], "kwargs": {}}', '"hi"', "hello", "hi"),
            ('{"args": [], "kwargs": {"question": "hello"}}', '"{cut"', "hello", "{cut"),
            ('{"inputs": {"question": "hello"}, "tags": []}', '{"outputs": "hi", "kwargs": {}}', "hello", "hi"),
            ('{"args": [], "kwargs": {}}', "null", None, None),
        ],
    )
    def test_input_and_output_are_read_and_not_kept_twice(
        self, read: Read, given: str, returned: str, prompt: str | None, response: str | None
    ) -> None:
        names = {"traceloop.entity.input": given, "traceloop.entity.output": returned}
        span = read({"traceloop.span.kind": "workflow", **names})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == (prompt, response)
        assert not set(names) & set(span.attributes)

    def test_an_input_cut_by_the_sdk_is_unreadable(self, read: Read) -> None:
        span = read({"traceloop.span.kind": "task", "traceloop.entity.input": '{"args": ["hel'})
        assert extract_exchange(span.input_messages, [], []).unreadable == {"prompt"}


class TestRetrieval:
    def test_what_a_retriever_of_langchain_s_found_is_documents(self, read: Read) -> None:
        """As opentelemetry-instrumentation-langchain 0.62.4 sends it."""
        found = {
            "documents": [{"page_content": "Gate four.", "metadata": {}}, {"page_content": "At nine."}],
            "count": 2,
        }
        attributes = {
            "traceloop.span.kind": "task",
            "gen_ai.operation.name": "vector_db_retrieve",
            "gen_ai.provider.name": "langchain",
            **dict.fromkeys(("traceloop.entity.input", "gen_ai.task.input"), '{"query": "When?", "tags": []}'),
            **dict.fromkeys(("traceloop.entity.output", "gen_ai.task.output"), json.dumps(found)),
        }
        span = read(attributes, scope="opentelemetry.instrumentation.langchain")
        assert (span.operation, span.is_exchange) == ("retrieval", False)
        assert [one["content"] for one in span.retrieved_documents] == ["Gate four.", "At nine."]
        assert "Gate four." not in json.dumps([span.attributes, span.output_messages])

    @pytest.mark.parametrize("argument", ["query_bundle", "str_or_query_bundle"])
    def test_what_a_retriever_of_llama_index_s_found_is_documents(self, read: Read, argument: str) -> None:
        """As opentelemetry-instrumentation-llamaindex sends it: nodes that are JSON inside JSON."""
        texts = {"n-1": "Gate four.", "n-2": "At nine."}
        nodes = [{"node": {"id_": name, "text": text}, "score": 0.5} for name, text in texts.items()]
        attributes = {
            "traceloop.span.kind": "task",
            "traceloop.entity.name": "VectorIndexRetriever.task",
            "traceloop.entity.input": json.dumps({argument: {"query_str": "When?", "image_path": None}}),
            "traceloop.entity.output": json.dumps([json.dumps(node) for node in nodes]),
        }
        span = read(attributes, scope="opentelemetry.instrumentation.llamaindex")
        assert span.operation == "retrieval"
        assert [(one["id"], one["content"]) for one in span.retrieved_documents] == [
            ("n-1", "Gate four."),
            ("n-2", "At nine."),
        ]
        assert extract_exchange(span.input_messages, [], []).prompt == "When?"
        assert read(attributes, scope="application").operation == "span"

    def test_the_newer_names_stand_in_for_the_older(self, read: Read) -> None:
        span = read({"traceloop.span.kind": "task", "gen_ai.task.input": '"asked"', "gen_ai.task.output": '"told"'})
        said = [message["parts"][0]["content"] for message in (*span.input_messages, *span.output_messages)]
        assert said == ["asked", "told"]


class TestAssociations:
    @pytest.mark.parametrize(
        "session", ["session_id", "session.id", "sessionId", "conversation_id", "thread_id", "chat_id"]
    )
    @pytest.mark.parametrize("user", ["user_id", "userId", "user"])
    def test_they_reach_the_calls_they_stand_on(self, read: Read, session: str, user: str) -> None:
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": json.dumps([{"role": "user", "content": "hello"}]),
            PROPERTIES + session: "s-1",
            PROPERTIES + user: "u-1",
            PROPERTIES + "tenant": "t-1",
        }
        span = read(attributes, scope="opentelemetry.instrumentation.openai.v1")
        assert (span.session_id, span.user_id, span.is_exchange) == ("s-1", "u-1", True)
        assert span.dialect == "openllmetry"
        assert span.attributes[PROPERTIES + "tenant"] == "t-1"

    def test_a_conversation_of_the_conventions_stands_in(self, read: Read) -> None:
        span = read({"traceloop.span.kind": "agent", "gen_ai.conversation.id": "c-1", "gen_ai.operation.name": "x"})
        assert span.session_id == "c-1"
