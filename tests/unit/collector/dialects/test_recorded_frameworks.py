"""Frameworks and gateways that were driven through the same scenarios all say the same thing, each in its own words.

``tests/data/otlp/README.md`` describes the scenarios. Ids and exact times are left out, so that a client can be
recorded again.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
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
MODEL, ASKED = "gpt-4o-mini-2024-07-18", "gpt-4o-mini"
BOTH: dict[str, Any] = {"session": "s-42", "user": "u-7"}
STRANDS: dict[str, Any] = {
    **BOTH,
    "dialect": "strands",
    "provider": "strands-agents",
    "model": ASKED,
    "reasons": ["end_turn"],
    "ttft": True,
}
VERCEL: dict[str, Any] = {**BOTH, "dialect": "vercel"}
LEGACY: dict[str, Any] = {**BOTH, "dialect": "vercel_legacy"}
LITELLM: dict[str, Any] = {"dialect": "litellm", "user": "u-7", "cost": 7.35e-06}
LAMINAR: dict[str, Any] = {**BOTH, "dialect": "laminar"}
ADK: dict[str, Any] = {
    "dialect": "google_adk",
    "operation": "generate_content",
    "session": "s-42",
    "provider": "gcp.gemini",
    "model": ASKED,
}
GENKIT: dict[str, Any] = {"dialect": "genkit", "model": ASKED}
VOLTAGENT: dict[str, Any] = {**BOTH, "dialect": "voltagent", "provider": "", "model": ASKED}
# LiveKit names a provider it doesn't know by its address, which changes with every recording.
LIVEKIT: dict[str, Any] = {"dialect": "livekit", "provider": None, "model": ASKED, "ttft": True}
LITELLM_2: dict[str, Any] = {"dialect": "litellm", "session": "s-42", "cost": 7.35e-06}

EXCHANGES: dict[str, dict[str, Any]] = {
    "strands-1.62.0-chat": STRANDS,
    "strands-1.62.0-latest-chat": STRANDS,
    "vercel-7.0.173-chat": VERCEL,
    "vercel-7.0.173-stream": {**VERCEL, "ttft": True},
    "vercel-7.0.173-legacy-chat": LEGACY,
    "vercel-7.0.173-legacy-stream": {**LEGACY, "ttft": True},
    "vercel-6.0.326-chat": LEGACY,
    "vercel-6.0.326-stream": {**LEGACY, "ttft": True},
    "litellm-1.109.1-chat": LITELLM,
    "litellm-1.109.1-stream": {**LITELLM, "model": ASKED},
    "litellm-1.109.1-v2-chat": LITELLM_2,
    "litellm-1.109.1-v2-stream": {**LITELLM_2, "model": ASKED, "ttft": True},
    "laminar-0.8.2-chat": LAMINAR,
    "laminar-0.8.2-stream": {**LAMINAR, "ttft": True},
    "google-adk-2.13.0-chat": ADK,
    "genkit-1.42.0-chat": GENKIT,
    "genkit-1.42.0-retrieval": GENKIT,
    "voltagent-2.10.0-chat": VOLTAGENT,
    "livekit-1.8.9-chat": LIVEKIT,
}
TOOL_CALLS: dict[str, str] = {
    "strands-1.62.0-tools": "tool_use",
    "strands-1.62.0-latest-tools": "tool_use",
    "vercel-7.0.173-tools": "tool-calls",
    "vercel-7.0.173-legacy-tools": "tool-calls",
    "vercel-6.0.326-tools": "tool-calls",
    "litellm-1.109.1-v2-tools": "tool_calls",
    "laminar-0.8.2-tools": "tool_calls",
    "google-adk-2.13.0-tools": "stop",
    "genkit-1.42.0-tools": "stop",
    "livekit-1.8.9-tools": "tool_call",
}
OTHERS: dict[str, set[str]] = {
    "strands-1.62.0-tools": {"invoke_agent", "execute_tool", "span"},
    "vercel-7.0.173-tools": {"invoke_agent", "execute_tool", "span"},
    "vercel-7.0.173-legacy-tools": {"invoke_agent", "execute_tool"},
    "vercel-6.0.326-tools": {"invoke_agent", "execute_tool"},
    "litellm-1.109.1-chat": {"span"},
    "laminar-0.8.2-tools": {"span"},
    "google-adk-2.13.0-tools": {"invoke_agent", "invoke_workflow", "execute_tool"},
    "genkit-1.42.0-tools": {"invoke_workflow", "execute_tool", "span"},
    "genkit-1.42.0-retrieval": {"invoke_workflow", "retrieval", "span"},
    "voltagent-2.10.0-tools": {"execute_tool", "span"},
    "livekit-1.8.9-tools": {"invoke_workflow", "invoke_agent", "create_agent", "execute_tool", "span"},
    "semantic-kernel-1.45.0-tools": {"execute_tool", "span"},
}


@pytest.fixture
def recorded() -> Callable[[str], list[NormalSpan]]:
    """Return the normal spans of one recorded request, in the order in which they began."""

    def read(name: str) -> list[NormalSpan]:
        body = (FOLDER / f"{name}.bin").read_bytes()
        if body[:2] == GZIP:
            body = gzip.decompress(body)
        encoding = parse_content_type("application/json" if body[:1] == b"{" else "application/x-protobuf")
        decoded = decode_request(body, encoding, IngestSettings(), 1 << 62)
        assert not decoded.rejected
        return sorted((normalise(raw) for raw in decoded.spans), key=lambda span: span.start_ns)

    return read


Recorded = Callable[[str], list[NormalSpan]]


@pytest.mark.parametrize("name", sorted(EXCHANGES))
class TestExchange:
    def test_there_is_one_and_it_is_complete(self, recorded: Recorded, name: str) -> None:
        expected = EXCHANGES[name]
        (span,) = [one for one in recorded(name) if one.is_exchange]
        texts = extract_exchange(span.input_messages, span.output_messages, span.retrieved_documents)
        assert (texts.prompt, texts.response, texts.unreadable) == (QUESTION, ANSWER, frozenset())
        assert span.input_messages[0]["role"] == "system"
        assert span.input_messages[0]["parts"][0]["content"].startswith(SYSTEM)
        assert (span.operation, span.dialect) == (expected.get("operation", "chat"), expected["dialect"])
        assert span.model == expected.get("model", MODEL)
        assert expected.get("provider", "openai") in (span.provider, None)
        assert span.deployment.partition("@")[0] == ASKED
        assert (span.input_tokens, span.output_tokens) == (21, 7)
        assert span.cost_usd == (pytest.approx(expected["cost"]) if "cost" in expected else None)
        assert span.finish_reasons == expected.get("reasons", ["stop"])
        assert (span.session_id, span.user_id) == (expected.get("session"), expected.get("user"))
        assert (span.ttft_ms is not None and 0 < span.ttft_ms < 1_000) == expected.get("ttft", False)


@pytest.mark.parametrize("name", sorted({*EXCHANGES, *TOOL_CALLS, *OTHERS}))
class TestEverySpan:
    def test_no_text_stays_in_attributes_or_events(self, recorded: Recorded, name: str) -> None:
        for span in recorded(name):
            rest = json.dumps([span.attributes, span.events])
            assert SYSTEM not in rest
            assert QUESTION not in rest
            assert ANSWER not in rest

    def test_tokens_and_cost_count_once(self, recorded: Recorded, name: str) -> None:
        spans = recorded(name)
        assert all(span.input_tokens is None and span.cost_usd is None for span in spans if not span.is_exchange)


@pytest.mark.parametrize("name", sorted(TOOL_CALLS))
class TestToolCall:
    def test_the_call_and_its_answer_are_parts(self, recorded: Recorded, name: str) -> None:
        first, second = [one for one in recorded(name) if one.is_exchange]
        (call,) = [part for message in first.output_messages for part in message["parts"]]
        assert (call["type"], call["name"]) == ("tool_call", "look_up_hours")
        assert call["id"] in ("call_1", "look_up_hours_0")
        assert call["arguments"] == {"place": "warehouse"}
        assert (first.input_tokens, first.output_tokens) == (33, 12)
        assert first.finish_reasons == [TOOL_CALLS[name]]
        parts = [part for message in second.input_messages for part in message["parts"]]
        (answer,) = [part for part in parts if part["type"] == "tool_call_response"]
        assert answer["id"] == call["id"]
        assert "Open from nine to five." in json.dumps(answer["response"])

    def test_the_prompt_of_both_is_what_the_user_asked(self, recorded: Recorded, name: str) -> None:
        exchanges = [one for one in recorded(name) if one.is_exchange]
        texts = [extract_exchange(one.input_messages, one.output_messages, []) for one in exchanges]
        assert [(one.prompt, one.response) for one in texts] == [(QUESTION, None), (QUESTION, ANSWER)]


@pytest.mark.parametrize("name", sorted(OTHERS))
class TestAroundTheCall:
    def test_other_spans_are_what_they_were_called(self, recorded: Recorded, name: str) -> None:
        assert {span.operation for span in recorded(name) if not span.is_exchange} == OTHERS[name]


class TestSemanticKernel:
    def test_figures_are_on_the_span_and_text_comes_in_logs(self, recorded: Recorded) -> None:
        (span,) = recorded("semantic-kernel-1.45.0-chat")
        assert (span.operation, span.dialect, span.provider, span.model) == ("chat", "semantic_kernel", "openai", ASKED)
        assert (span.input_tokens, span.output_tokens, span.finish_reasons) == (21, 7, ["stop"])
        assert (span.input_messages, span.output_messages) == ([], [])


class TestGoogleAdk:
    def test_the_older_spans_tell_each_call_twice_and_the_outer_one_has_the_text(self, recorded: Recorded) -> None:
        spans = recorded("google-adk-2.13.0-legacy-chat")
        outer, inner = [one for one in spans if one.is_exchange]
        assert (outer.name, inner.parent_span_id) == ("call_llm", outer.span_id)
        for span in (outer, inner):
            assert (span.operation, span.session_id) == ("generate_content", "s-42")
            assert (span.input_tokens, span.output_tokens, span.finish_reasons) == (21, 7, ["stop"])
        texts = extract_exchange(outer.input_messages, outer.output_messages, [])
        assert (texts.prompt, texts.response) == (QUESTION, ANSWER)
        assert (inner.input_messages, inner.output_messages) == ([], [])


class TestGenkit:
    def test_documents_are_with_the_retriever_and_with_the_call_that_used_them(self, recorded: Recorded) -> None:
        spans = recorded("genkit-1.42.0-retrieval")
        found = [one for one in spans if one.operation in ("retrieval", "chat")]
        assert [tuple(one["content"] for one in span.retrieved_documents) for span in found] == [DOCUMENTS] * 2


class TestVoltAgent:
    def test_an_agent_s_usage_is_that_of_all_its_calls(self, recorded: Recorded) -> None:
        (span,) = [one for one in recorded("voltagent-2.10.0-tools") if one.is_exchange]
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == (QUESTION, ANSWER)
        assert (span.input_tokens, span.output_tokens, span.finish_reasons) == (54, 19, ["stop"])


class TestLiteLlm:
    def test_the_first_generation_tells_the_call_of_a_tool_without_its_id(self, recorded: Recorded) -> None:
        span = next(one for one in recorded("litellm-1.109.1-tools") if one.is_exchange)
        (call,) = span.output_messages[0]["parts"]
        assert (call["type"], call["name"], call["arguments"]) == (
            "tool_call",
            "look_up_hours",
            {"place": "warehouse"},
        )
        assert (span.input_tokens, span.finish_reasons) == (33, ["tool_calls"])
