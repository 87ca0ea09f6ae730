"""The clients that were driven through the same scenarios all say the same thing, each in its own vocabulary.

``tests/data/otlp/README.md`` describes the scenarios. Expectations name what differs; ids and exact times are left
out, so a client can be recorded again.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.body import parse_content_type
from collector.otlp.decode import decode_request
from custodes.kernel.settings import IngestSettings

FOLDER = Path(__file__).parents[3] / "data" / "otlp"
GZIP = b"\x1f\x8b"
SYSTEM = "You are a helpful assistant."
QUESTION = "When does the warehouse open?"
ANSWER = "The warehouse opens at nine."
DOCUMENTS = ("The warehouse opens at nine on weekdays.", "Deliveries go through gate four.")
CALL = {"type": "tool_call", "id": "call_1", "name": "look_up_hours", "arguments": {"place": "warehouse"}}
MODEL, ASKED = "gpt-4o-mini-2024-07-18", "gpt-4o-mini"

OPENLLMETRY: dict[str, Any] = {"dialect": "openllmetry", "provider": "openai", "user": "u-7"}
TRACELOOP: dict[str, Any] = {**OPENLLMETRY, "session": "s-42"}
LANGFUSE: dict[str, Any] = {"dialect": "langfuse", "session": "s-42", "user": "u-7", "reasons": []}
LANGSMITH: dict[str, Any] = {"dialect": "langsmith", "provider": "openai", "session": "s-42", "user": "u-7"}
MLFLOW: dict[str, Any] = {"dialect": "mlflow"}
LOGFIRE: dict[str, Any] = {"dialect": "logfire", "provider": "openai"}
PYDANTIC_AI: dict[str, Any] = {"dialect": "pydantic_ai", "provider": "openai", "session": "s-42", "cost": 7.35e-06}
LANGCHAIN: dict[str, Any] = {"dialect": "openinference", "provider": "openai", "session": "s-42", "user": "u-7"}
OPENLIT: dict[str, Any] = {"dialect": "openlit", "provider": "openai", "user": "u-7"}
GENAI: dict[str, Any] = {"dialect": "otel_genai", "provider": "openai"}
LLAMA_INDEX: dict[str, Any] = {**LANGCHAIN, "model": ASKED}
AGENTS: dict[str, Any] = {
    "dialect": "openinference",
    "provider": "openai",
    "model": ASKED,
    "reasons": [],
    "session": "s-42",
    "user": "u-7",
}
OPENLLMETRY_LANGCHAIN: dict[str, Any] = {
    "dialect": "openllmetry",
    "provider": "openai",
    "session": "s-42",
    "user": "u-7",
}

EXCHANGES: dict[str, dict[str, Any]] = {
    "openllmetry-0.54.0-chat": OPENLLMETRY,
    "openllmetry-0.54.0-stream": {**OPENLLMETRY, "streamed": True},
    "openllmetry-0.62.4-chat": OPENLLMETRY,
    "openllmetry-0.62.4-stream": {**OPENLLMETRY, "streamed": True},
    "traceloop-0.62.4-chat": TRACELOOP,
    "traceloop-0.62.4-stream": {**TRACELOOP, "streamed": True},
    "langfuse-5.0.4-chat": LANGFUSE,
    "langfuse-5.0.4-observe": LANGFUSE,
    "langfuse-5.0.4-retrieval": LANGFUSE,
    "langfuse-5.0.4-stream": {**LANGFUSE, "reasons": ["stop"], "streamed": True},
    "langsmith-0.14.17-chat": LANGSMITH,
    "langsmith-0.14.17-stream": LANGSMITH,
    "langsmith-0.14.17-retrieval": LANGSMITH,
    "mlflow-3.17.2-chat": MLFLOW,
    "mlflow-3.17.2-stream": {**MLFLOW, "streamed": True},
    "mlflow-3.17.2-retrieval": MLFLOW,
    "mlflow-3.17.2-genai-chat": MLFLOW,
    "mlflow-3.17.2-genai-stream": {**MLFLOW, "streamed": True},
    "mlflow-3.17.2-genai-retrieval": MLFLOW,
    "logfire-5.2.0-chat": LOGFIRE,
    "logfire-5.2.0-stream": {**LOGFIRE, "model": ASKED},
    "pydantic-ai-2.68.0-chat": PYDANTIC_AI,
    "pydantic-ai-2.68.0-stream": {**PYDANTIC_AI, "streamed": True},
    "openinference-langchain-0.1.80-chat": LANGCHAIN,
    "openinference-langchain-0.1.80-retrieval": LANGCHAIN,
    "openinference-langchain-0.1.80-stream": {**LANGCHAIN, "model": ASKED},
    "openinference-llama-index-4.6.1-chat": LLAMA_INDEX,
    "openinference-0.1.66-retrieval": LANGCHAIN,
    "openlit-1.45.0-chat": OPENLIT,
    "openlit-1.45.0-stream": {**OPENLIT, "streamed": True},
    "genai-langchain-1.3b0-chat": GENAI,
    "genai-langchain-1.3b0-stream": {**GENAI, "streamed": True},
    "genai-langchain-1.3b0-retrieval": GENAI,
    "openllmetry-0.62.4-chroma-retrieval": {**OPENLLMETRY, "user": None},
    "openinference-agents-2.6.0-chat": AGENTS,
    "logfire-agents-5.4.0-chat": {**AGENTS, "dialect": "logfire", "session": None, "user": None},
    "openllmetry-langchain-0.62.4-chat": OPENLLMETRY_LANGCHAIN,
    "openllmetry-langchain-0.62.4-stream": {**OPENLLMETRY_LANGCHAIN, "model": ASKED},
    "openllmetry-langchain-0.62.4-retrieval": OPENLLMETRY_LANGCHAIN,
    "openinference-llama-index-4.6.1-stream": {**LLAMA_INDEX, "streamed": True, "tokens": (None, None)},
}
TOOL_CALLS: dict[str, tuple[str, str | None]] = {
    "openllmetry-0.54.0-tools": ("tool_calls", "u-7"),
    "openllmetry-0.62.4-tools": ("tool_call", "u-7"),
    "traceloop-0.62.4-tools": ("tool_call", "u-7"),
    "langfuse-5.0.4-tools": ("", "u-7"),
    "langsmith-0.14.17-tools": ("tool_calls", "u-7"),
    "mlflow-3.17.2-tools": ("tool_calls", None),
    "mlflow-3.17.2-genai-tools": ("tool_calls", None),
    "logfire-5.2.0-tools": ("tool_calls", None),
    "pydantic-ai-2.68.0-tools": ("tool_call", None),
    "openinference-0.1.66-tools": ("tool_calls", "u-7"),
    "openlit-1.45.0-tools": ("tool_calls", "u-7"),
    "openinference-langchain-0.1.80-tools": ("tool_calls", "u-7"),
    "openinference-agents-2.6.0-tools": ("", "u-7"),
    "logfire-agents-5.4.0-tools": ("", None),
}
RETRIEVALS = {
    "langfuse-5.0.4-retrieval": "langfuse",
    "langsmith-0.14.17-retrieval": "langsmith",
    "mlflow-3.17.2-retrieval": "mlflow",
    "openinference-langchain-0.1.80-retrieval": "openinference",
    "openinference-llama-index-4.6.1-retrieval": "openinference",
    "openinference-0.1.66-retrieval": "openinference",
    "openllmetry-0.62.4-chroma-retrieval": "openllmetry",
    "openllmetry-langchain-0.62.4-retrieval": "openllmetry",
}
OTHERS = {
    "traceloop-0.62.4-chat": {"invoke_workflow", "span", "execute_tool"},
    "langfuse-5.0.4-retrieval": {"retrieval", "span"},
    "langsmith-0.14.17-retrieval": {"retrieval", "span"},
    "logfire-5.2.0-stream": {"span"},
    "mlflow-3.17.2-retrieval": {"retrieval", "span"},
    "pydantic-ai-2.68.0-tools": {"invoke_agent", "execute_tool"},
    "openinference-llama-index-4.6.1-chat": {"span"},
    "openinference-llama-index-4.6.1-retrieval": {"retrieval", "span"},
    "genai-langchain-1.3b0-retrieval": {"retrieval", "invoke_workflow"},
    "openllmetry-langchain-0.62.4-retrieval": {"retrieval", "span", "invoke_workflow"},
    "openinference-agents-2.6.0-tools": {"invoke_agent", "execute_tool", "span"},
    "logfire-agents-5.4.0-tools": {"invoke_workflow", "invoke_agent", "execute_tool", "span"},
}


@pytest.fixture
def recorded() -> Any:
    """Return the normal spans of one recorded request, in the order in which they began."""

    def read_body(path: Path) -> list[NormalSpan]:
        body = path.read_bytes()
        if body[:2] == GZIP:
            body = gzip.decompress(body)
        encoding = parse_content_type("application/json" if body[:1] == b"{" else "application/x-protobuf")
        decoded = decode_request(body, encoding, IngestSettings(), 1 << 62)
        assert not decoded.rejected
        return [normalise(raw) for raw in decoded.spans]

    def read(name: str) -> list[NormalSpan]:
        # A client that exports in two goes has a second body.
        paths = [path for path in (FOLDER / f"{name}.bin", FOLDER / f"{name}-2.bin") if path.exists()]
        return sorted((span for path in paths for span in read_body(path)), key=lambda span: span.start_ns)

    return read


def exchanges_of(spans: list[NormalSpan]) -> list[NormalSpan]:
    return [span for span in spans if span.is_exchange]


@pytest.mark.parametrize("name", sorted(EXCHANGES))
class TestExchange:
    def test_there_is_one_and_it_is_complete(self, recorded: Any, name: str) -> None:
        expected = EXCHANGES[name]
        (span,) = exchanges_of(recorded(name))
        texts = extract_exchange(span.input_messages, span.output_messages, span.retrieved_documents)
        assert (texts.prompt, texts.response, texts.unreadable) == (QUESTION, ANSWER, frozenset())
        assert span.input_messages[0] == {"role": "system", "parts": [{"type": "text", "content": SYSTEM}]}
        assert span.operation == "chat"
        assert span.dialect == expected["dialect"]
        assert span.model == expected.get("model", MODEL)
        assert span.provider == expected.get("provider", "")
        assert (span.input_tokens, span.output_tokens) == expected.get("tokens", (21, 7))
        assert span.finish_reasons == expected.get("reasons", ["stop"])
        assert (span.session_id, span.user_id) == (expected.get("session"), expected.get("user"))
        assert span.cost_usd == expected.get("cost")

    def test_time_to_first_token_is_known_where_the_client_tells(self, recorded: Any, name: str) -> None:
        (span,) = exchanges_of(recorded(name))
        if EXCHANGES[name].get("streamed"):
            assert span.ttft_ms is not None
            # LlamaIndex ends its span before the stream does, so no bound but this.
            assert 0 < span.ttft_ms < 1_000
        else:
            assert span.ttft_ms is None


@pytest.mark.parametrize(
    "name", sorted({*EXCHANGES, *TOOL_CALLS, *RETRIEVALS} - {"openinference-llama-index-4.6.1-retrieval"})
)
class TestEverySpan:
    def test_no_text_stays_in_attributes_or_events(self, recorded: Any, name: str) -> None:
        for span in recorded(name):
            rest = json.dumps([span.attributes, span.events])
            assert SYSTEM not in rest
            assert QUESTION not in rest
            assert ANSWER not in rest
            assert DOCUMENTS[1] not in rest

    def test_tokens_and_cost_count_once(self, recorded: Any, name: str) -> None:
        spans = recorded(name)
        assert all(span.input_tokens is None and span.cost_usd is None for span in spans if not span.is_exchange)


@pytest.mark.parametrize("name", sorted(TOOL_CALLS))
class TestToolCall:
    def test_the_call_and_its_answer_are_parts(self, recorded: Any, name: str) -> None:
        reason, user = TOOL_CALLS[name]
        first, second = exchanges_of(recorded(name))
        calls = [part for message in first.output_messages for part in message["parts"]]
        assert calls == [CALL]
        assert first.finish_reasons == ([reason] if reason else [])
        assert (first.input_tokens, first.output_tokens, first.user_id) == (33, 12, user)
        answers = [part for message in second.input_messages for part in message["parts"]]
        (answer,) = [part for part in answers if part["type"] == "tool_call_response"]
        assert (answer["id"], answer["response"]) == ("call_1", "Open from nine to five.")

    def test_the_prompt_of_both_is_what_the_user_asked(self, recorded: Any, name: str) -> None:
        first, second = exchanges_of(recorded(name))
        texts = [extract_exchange(one.input_messages, one.output_messages, []) for one in (first, second)]
        assert [(one.prompt, one.response) for one in texts] == [(QUESTION, None), (QUESTION, ANSWER)]


@pytest.mark.parametrize("name", sorted(RETRIEVALS))
class TestRetrieval:
    def test_its_documents_are_found(self, recorded: Any, name: str) -> None:
        found = [one for one in recorded(name) if one.operation == "retrieval" and one.retrieved_documents]
        (span,) = found
        texts = extract_exchange(span.input_messages, span.output_messages, span.retrieved_documents)
        assert texts.contexts == DOCUMENTS
        assert texts.prompt == (None if name == "openllmetry-0.62.4-chroma-retrieval" else QUESTION)
        assert span.dialect == RETRIEVALS[name]


@pytest.mark.parametrize("name", sorted(OTHERS))
class TestAroundTheCall:
    def test_other_spans_are_what_they_were_called(self, recorded: Any, name: str) -> None:
        spans = recorded(name)
        assert {span.operation for span in spans if not span.is_exchange} == OTHERS[name]
        assert len(exchanges_of(spans)) == (2 if name in TOOL_CALLS else 1)
