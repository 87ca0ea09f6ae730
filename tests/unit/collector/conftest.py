"""Spans for the collector's tests, raw and normal, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan

NOW_NS = 1_795_300_000_000_000_000


@pytest.fixture
def now_ns() -> int:
    """The present of these tests: a few hours after the recorded requests."""
    return NOW_NS


@pytest.fixture
def raw_span() -> Callable[..., RawSpan]:
    """Make a raw span; any field can be given."""

    def make(**fields: Any) -> RawSpan:
        start_ns = fields.get("start_ns", NOW_NS - 2_000_000_000)
        defaults: dict[str, Any] = {
            "resource": {"service.name": "bot"},
            "scope": "test",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "b7ad6b7169203331",
            "parent_span_id": None,
            "name": "chat gpt",
            "kind": 3,
            "start_ns": start_ns,
            "end_ns": start_ns + 1_000_000_000,
            "complete": True,
            "status": 0,
            "status_message": "",
            "attributes": {},
            "events": [],
            "dropped_attributes": 0,
        }
        return RawSpan(**{**defaults, **fields})

    return make


@pytest.fixture
def chat_span(raw_span: Callable[..., RawSpan]) -> Callable[..., NormalSpan]:
    """Make a normal span of one chat; ``prompt``, ``response`` and any raw field can be given."""

    def make(prompt: str | None = "Hello?", response: str | None = "Hi.", **fields: Any) -> NormalSpan:
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt",
            **fields.pop("attributes", {}),
        }
        if prompt is not None:
            attributes["gen_ai.input.messages"] = [{"role": "user", "parts": [{"type": "text", "content": prompt}]}]
        if response is not None:
            parts = [{"type": "text", "content": response}]
            attributes["gen_ai.output.messages"] = [{"role": "assistant", "parts": parts}]
        return normalise(raw_span(attributes=attributes, **fields))

    return make


@pytest.fixture
def retrieval_span(raw_span: Callable[..., RawSpan]) -> Callable[..., NormalSpan]:
    """Make a normal retrieval span that found ``texts``."""

    def make(*texts: str, **fields: Any) -> NormalSpan:
        attributes: dict[str, Any] = {"openinference.span.kind": "RETRIEVER"}
        for index, text in enumerate(texts):
            attributes[f"retrieval.documents.{index}.document.content"] = text
        return normalise(raw_span(name="search", attributes=attributes, **{"span_id": "1111111111111111", **fields}))

    return make
