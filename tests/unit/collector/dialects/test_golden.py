"""Requests recorded from real clients give the right prompt, response, model, tokens, session and user."""

from __future__ import annotations

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
GOLDEN: dict[str, Any] = json.loads((FOLDER / "golden.json").read_text())


def describe(span: NormalSpan) -> dict[str, Any]:
    texts = extract_exchange(span.input_messages, span.output_messages, span.retrieved_documents)
    systems = [one for one in span.input_messages if one["role"] == "system"]
    return {
        "span_id": span.span_id,
        "operation": span.operation,
        "is_exchange": span.is_exchange,
        "provider": span.provider,
        "model": span.model,
        "deployment": span.deployment,
        "finish_reasons": span.finish_reasons,
        "session_id": span.session_id,
        "user_id": span.user_id,
        "dialect": span.dialect,
        "service": span.service,
        "system": systems[0]["parts"][0]["content"] if systems else None,
        "ttft_ms": None if span.ttft_ms is None else round(span.ttft_ms, 6),
        "prompt": texts.prompt,
        "response": texts.response,
        "input_tokens": span.input_tokens,
        "output_tokens": span.output_tokens,
    }


@pytest.mark.parametrize("name", sorted(GOLDEN))
class TestRecordedRequest:
    def read(self, name: str, now_ns: int) -> list[NormalSpan]:
        encoding = parse_content_type(GOLDEN[name]["content_type"])
        body = (FOLDER / f"{name}.bin").read_bytes()
        decoded = decode_request(body, encoding, IngestSettings(), now_ns)
        assert not decoded.rejected
        return [normalise(raw) for raw in decoded.spans]

    def test_it_says_what_the_client_meant(self, name: str, now_ns: int) -> None:
        assert [describe(span) for span in self.read(name, now_ns)] == GOLDEN[name]["spans"]

    def test_it_is_complete_and_keeps_no_text_twice(self, name: str, now_ns: int) -> None:
        for span in self.read(name, now_ns):
            assert span.complete
            assert span.dropped_attributes == 0
            assert "Say this is a test" not in json.dumps(span.attributes)
            assert "mock server." not in json.dumps(span.attributes)
            assert "mock streamed" not in json.dumps(span.attributes)

    def test_it_counts_each_call_once(self, name: str, now_ns: int) -> None:
        spans = self.read(name, now_ns)
        expected = sum(one["input_tokens"] or 0 for one in GOLDEN[name]["spans"] if one["operation"] != "invoke_agent")
        assert sum(span.input_tokens or 0 for span in spans) == expected


class TestToolCall:
    def test_it_keeps_the_call_and_the_answer_as_parts(self, now_ns: int) -> None:
        body = (FOLDER / "genai-1.3b0-tools.bin").read_bytes()
        encoding = parse_content_type("application/x-protobuf")
        first, second = (normalise(raw) for raw in decode_request(body, encoding, IngestSettings(), now_ns).spans)
        (call,) = first.output_messages[0]["parts"]
        assert (call["type"], call["name"], call["arguments"]) == (
            "tool_call",
            "get_current_weather",
            {"location": "Seattle"},
        )
        (answer,) = second.input_messages[-1]["parts"]
        assert (answer["type"], answer["response"]) == ("tool_call_response", "70 degrees and sunny in Seattle")
