"""Cloudflare AI Gateway: bodies built from its documentation."""

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
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span with these bodies and attributes."""

    def run(prompt: Any, completion: Any, **attributes: Any) -> NormalSpan:
        bodies = {"gen_ai.prompt_json": prompt, "gen_ai.completion_json": completion}
        written = {key: value if isinstance(value, str) else json.dumps(value) for key, value in bodies.items()}
        return normalise(raw_span(scope="", attributes={**written, **attributes}))

    return run


class TestBodies:
    @pytest.mark.parametrize("prompt", [MESSAGES, {"model": "gpt", "messages": MESSAGES, "user": "u-1"}])
    @pytest.mark.parametrize("answer", [ANSWER, ANSWER["choices"], {"role": "assistant", "content": "hi"}])
    def test_they_are_messages_or_whole_bodies(self, read: Read, prompt: Any, answer: Any) -> None:
        span = read(prompt, answer)
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert (span.operation, span.is_exchange, span.dialect) == ("chat", True, "cloudflare")
        assert not [key for key in span.attributes if key.endswith("_json")]

    def test_anthropic_s_and_gemini_s_shapes_are_read(self, read: Read) -> None:
        asked = {"system": "Be kind.", "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}
        span = read(
            asked, {"role": "assistant", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}
        )
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response, span.finish_reasons) == ("hello", "hi", ["end_turn"])
        asked = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
        span = read(asked, {"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}}]})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")

    def test_a_body_cut_off_is_unreadable(self, read: Read) -> None:
        span = read('{"messages": [{"role": "user", "con', ANSWER)
        assert extract_exchange(span.input_messages, span.output_messages, []).unreadable == {"prompt"}


class TestOperation:
    def test_embeddings_have_no_answer(self, read: Read) -> None:
        span = read({"input": "sunny"}, {"data": [{"embedding": [0.5], "index": 0}]})
        assert (span.operation, span.is_exchange, span.output_messages) == ("embeddings", False, [])

    def test_a_prompt_alone_is_completed(self, read: Read) -> None:
        span = read({"prompt": "Once"}, {"choices": [{"text": "upon", "finish_reason": "length"}]})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (span.operation, texts.prompt, texts.response) == ("text_completion", "Once", "upon")


class TestFields:
    def test_provider_cost_user_and_finish_reason_are_read(self, read: Read) -> None:
        span = read(
            {"messages": MESSAGES, "user": "u-1"},
            ANSWER,
            **{
                "gen_ai.model.provider": "openai",
                "gen_ai.request.model": "gpt",
                "gen_ai.usage.cost": "0.25",
                "gen_ai.usage.input_tokens": 25,
            },
        )
        assert (span.provider, span.model, span.cost_usd, span.input_tokens) == ("openai", "gpt", 0.25, 25)
        assert (span.user_id, span.finish_reasons) == ("u-1", ["stop"])
