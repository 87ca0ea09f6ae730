"""LangSmith over OpenTelemetry: run types, LangChain's serialised messages, and what its attributes mislead about.

Beside the recordings of langsmith 0.14.17, inputs and outputs here are built after what langchain-core serialises.
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

Read = Callable[..., NormalSpan]


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a run of this type with its inputs and outputs and any further attributes."""

    def run(kind: str, given: Any = None, returned: Any = None, **further: Any) -> NormalSpan:
        attributes = {"langsmith.span.kind": kind, **{name.replace("__", "."): one for name, one in further.items()}}
        if given is not None:
            attributes["gen_ai.prompt"] = json.dumps(given)
        if returned is not None:
            attributes["gen_ai.completion"] = json.dumps(returned)
        return normalise(raw_span(scope="langsmith", attributes=attributes))

    return run


def lc(name: str, content: str) -> dict[str, Any]:
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": content, "type": name}}


class TestTypes:
    @pytest.mark.parametrize(
        ("kind", "named", "operation"),
        [
            ("llm", "chat", "chat"),
            ("retriever", "embeddings", "retrieval"),
            ("embedding", "embeddings", "embeddings"),
            ("tool", "execute_tool", "execute_tool"),
            ("prompt", "chat", "span"),
            ("chain", "chain", "span"),
            ("parser", "parser", "span"),
        ],
    )
    def test_the_run_type_wins_over_the_operation_name(self, read: Read, kind: str, named: str, operation: str) -> None:
        span = read(kind, gen_ai__operation__name=named, gen_ai__usage__input_tokens=3)
        assert (span.operation, span.is_exchange, span.dialect) == (operation, operation == "chat", "langsmith")

    def test_the_framework_is_no_provider(self, read: Read) -> None:
        assert read("chain", gen_ai__system="langchain").provider == ""
        assert read("llm", gen_ai__system="openai").provider == "openai"
        assert read("llm", gen_ai__system="openai", langsmith__metadata__ls_provider="azure").provider == "azure"


class TestText:
    def test_serialised_messages_and_generations_are_read(self, read: Read) -> None:
        given = {"messages": [[lc("SystemMessage", "Be kind."), lc("HumanMessage", "hello")]]}
        generation = {"text": "hi", "generation_info": {"finish_reason": "stop"}, "message": lc("AIMessage", "hi")}
        span = read("llm", given, {"generations": [[generation]], "llm_output": None, "type": "LLMResult"})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response, span.finish_reasons) == ("hello", "hi", ["stop"])
        assert not {"gen_ai.prompt", "gen_ai.completion"} & set(span.attributes)

    def test_a_traced_function_gives_its_argument_and_result(self, read: Read) -> None:
        span = read("llm", {"question": "hello"}, {"output": "hi"})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")

    @pytest.mark.parametrize(
        "returned",
        [
            {"output": [{"page_content": "It opens at nine.", "type": "Document", "metadata": {}}]},
            {"documents": [{"page_content": "It opens at nine."}]},
            {"documents": [{"lc": 1, "type": "constructor", "kwargs": {"page_content": "It opens at nine."}}]},
        ],
    )
    def test_a_retriever_has_documents(self, read: Read, returned: Any) -> None:
        span = read("retriever", {"query": "When?"}, returned)
        assert [one["content"] for one in span.retrieved_documents] == ["It opens at nine."]
        assert extract_exchange(span.input_messages, [], []).prompt == "When?"


class TestFields:
    @pytest.mark.parametrize("name", ["session_id", "thread_id", "conversation_id"])
    def test_the_session_is_metadata_and_never_the_project(self, read: Read, name: str) -> None:
        span = read("llm", **{f"langsmith.metadata.{name}": "s-1", "langsmith.trace.session_id": "project"})
        assert span.session_id == "s-1"
        assert read("llm", **{"langsmith.trace.session_id": "project"}).session_id is None

    def test_finish_reasons_may_be_one_text(self, read: Read) -> None:
        assert read("llm", gen_ai__response__finish_reasons="stop, length").finish_reasons == ["stop", "length"]

    def test_usage_comes_from_metadata_where_the_attributes_lack_it(self, read: Read) -> None:
        usage = {"langsmith.metadata.usage_metadata": '{"input_tokens": 21, "output_tokens": 7}'}
        span = read("llm", **usage)
        assert (span.input_tokens, span.output_tokens) == (21, 7)

    def test_the_model_may_stand_in_metadata_alone(self, read: Read) -> None:
        span = read("llm", langsmith__metadata__ls_model_name="gpt")
        assert (span.model, span.deployment) == ("gpt", "gpt")
