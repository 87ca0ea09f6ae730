"""Tools that look something up give documents; what other tools return is no source to keep to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.normalise import normalise
from collector.dialects.tool_results import looks_up, read_tool_documents
from collector.otlp.spans import RawEvent, RawSpan

Raw = Callable[..., RawSpan]
TOOL: dict[str, Any] = {"gen_ai.operation.name": "execute_tool"}


class TestLooksUp:
    @pytest.mark.parametrize(
        "name",
        [
            "retrieve",
            "search_docs",
            "searchDocs",
            "SearchDocs",
            "query-knowledge-base",
            "kb_lookup",
            "RAG",
            "DocRetriever",
        ],
    )
    def test_names_that_say_so(self, name: str) -> None:
        assert looks_up({"gen_ai.tool.name": name})
        assert looks_up({"tool.name": name})

    @pytest.mark.parametrize("name", ["calculator", "research_plan", "send_mail", "drag", "storage", "", 5, None])
    def test_other_names(self, name: object) -> None:
        assert not looks_up({"gen_ai.tool.name": name, "gen_ai.tool.type": "function"})

    def test_a_data_store_by_any_name(self) -> None:
        assert looks_up({"gen_ai.tool.name": "calculator", "gen_ai.tool.type": "datastore"})


class TestDocuments:
    @pytest.mark.parametrize(
        ("result", "texts"),
        [
            ("The shop opens at nine.", ["The shop opens at nine."]),
            ('["one", {"text": "two"}]', ["one", "two"]),
            ('{"documents": [{"page_content": "one"}]}', ["one"]),
            ("", []),
            ({"results": ["one"]}, ["one"]),
        ],
    )
    def test_a_result_in_any_shape(self, raw_span: Raw, result: object, texts: list[str]) -> None:
        attributes = {**TOOL, "gen_ai.tool.name": "retrieve", "gen_ai.tool.call.result": result}
        assert [one["content"] for one in normalise(raw_span(attributes=attributes)).retrieved_documents] == texts

    def test_strands_puts_it_on_an_event(self, raw_span: Raw) -> None:
        event = RawEvent("gen_ai.choice", 0, {"message": json.dumps([{"text": "one"}, {"text": "two"}]), "id": "c"})
        attributes = {**TOOL, "gen_ai.tool.name": "retrieve", "gen_ai.system": "strands-agents"}
        span = normalise(raw_span(scope="strands.telemetry.tracer", attributes=attributes, events=[event]))
        assert [one["content"] for one in span.retrieved_documents] == ["one", "two"]

    def test_openinference_puts_it_into_the_output(self, raw_span: Raw) -> None:
        attributes = {"openinference.span.kind": "TOOL", "tool.name": "search", "output.value": "fact"}
        assert [one["content"] for one in normalise(raw_span(attributes=attributes)).retrieved_documents] == ["fact"]

    def test_other_tools_give_none(self, raw_span: Raw) -> None:
        attributes = {**TOOL, "gen_ai.tool.name": "add", "gen_ai.tool.call.result": "4"}
        assert normalise(raw_span(attributes=attributes)).retrieved_documents == []

    def test_a_result_cut_off_is_unreadable(self, raw_span: Raw) -> None:
        attributes = {**TOOL, "gen_ai.tool.name": "retrieve", "gen_ai.tool.call.result": '["one", "tw'}
        (document,) = normalise(raw_span(attributes=attributes)).retrieved_documents
        assert (document["content"], document["unreadable"]) == (None, '["one", "tw')

    def test_pictures_and_nonsense_are_none(self) -> None:
        parts = [{"type": "uri", "uri": "x"}, {"type": "tool_call_response", "response": 5}, {"type": "text"}]
        assert read_tool_documents({}, [{"role": "tool", "parts": parts}]) == []

    def test_there_are_at_most_a_thousand(self) -> None:
        parts = [{"type": "text", "content": f"fact {n}"} for n in range(1_500)]
        assert len(read_tool_documents({}, [{"role": "tool", "parts": parts}])) == 1_000
