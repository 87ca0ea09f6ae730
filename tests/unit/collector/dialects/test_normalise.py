"""Every field comes from the first vocabulary that knows it; what none understands is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import Normaliser, normalise
from collector.dialects.reading import Dialect, Reading
from collector.dialects.registry import DIALECTS
from collector.otlp.spans import RawEvent, RawSpan

Raw = Callable[..., RawSpan]


class TestDialects:
    def test_a_span_of_no_vocabulary_is_kept_as_it_is(self, raw_span: Raw) -> None:
        span = normalise(raw_span(attributes={"http.route": "/chat", "session.id": 7}))
        assert (span.operation, span.dialect, span.is_exchange) == ("span", "generic", False)
        assert span.attributes == {"http.route": "/chat", "session.id": 7, "scope.name": "test"}
        assert (span.session_id, span.deployment, span.model) == ("7", "", "")

    def test_what_one_vocabulary_hides_is_read_in_another(self, raw_span: Raw) -> None:
        attributes = {
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "__REDACTED__",
            "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]',
        }
        (message,) = normalise(raw_span(attributes=attributes)).input_messages
        assert message["parts"] == [{"type": "text", "content": "hello"}]

    def test_several_vocabularies_complete_each_other(self, raw_span: Raw) -> None:
        attributes = {
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.content": "hello",
            "gen_ai.provider.name": "openai",
            "gen_ai.input.messages": "hello again",
            "gen_ai.usage.input_tokens": 3,
            "custodes.documents": '["fact"]',
        }
        span = normalise(raw_span(attributes=attributes))
        assert (span.dialect, span.provider, span.input_tokens) == ("openinference", "openai", 3)
        assert [one["parts"][0]["content"] for one in span.input_messages] == ["hello"]
        assert [one["content"] for one in span.retrieved_documents] == ["fact"]

    @pytest.mark.parametrize(
        "value",
        ['["a", {"content": "b", "id": "2", "score": 0.5}]', ["a", {"content": "b", "id": "2", "score": 0.5}]],
    )
    def test_our_documents_are_texts_or_objects(self, raw_span: Raw, value: Any) -> None:
        span = normalise(raw_span(attributes={"custodes.documents": value}))
        assert span.retrieved_documents == [
            {"id": None, "content": "a", "score": None},
            {"id": "2", "content": "b", "score": 0.5},
        ]
        assert span.dialect == "generic"
        assert "custodes.documents" not in span.attributes

    @pytest.mark.parametrize("value", ["", "[]", "{}", "[5, null, {}]", 5])
    def test_documents_that_are_none_give_none(self, raw_span: Raw, value: Any) -> None:
        assert normalise(raw_span(attributes={"custodes.documents": value})).retrieved_documents == []

    def test_text_that_is_no_json_is_one_document(self, raw_span: Raw) -> None:
        span = normalise(raw_span(attributes={"custodes.documents": "The sky is blue."}))
        assert [one["content"] for one in span.retrieved_documents] == ["The sky is blue."]

    @pytest.mark.parametrize("name", ["custodes.documents", "gen_ai.retrieval.documents"])
    @pytest.mark.parametrize("value", ['["The sky is bl', '[{"content": "The sky', '{"documents": ["The'])
    def test_documents_cut_off_are_kept_but_are_no_context(self, raw_span: Raw, name: str, value: str) -> None:
        attributes = {"gen_ai.operation.name": "chat", name: value}
        span = normalise(raw_span(attributes=attributes))
        assert span.retrieved_documents == [{"id": None, "content": None, "score": None, "unreadable": value}]
        texts = extract_exchange([], [], span.retrieved_documents)
        assert (texts.contexts, texts.unreadable) == ((), frozenset({"contexts"}))

    def test_documents_encoded_twice_are_unwrapped(self, raw_span: Raw) -> None:
        span = normalise(raw_span(attributes={"custodes.documents": json.dumps(json.dumps(["fact"]))}))
        assert [one["content"] for one in span.retrieved_documents] == ["fact"]

    def test_a_vocabulary_that_can_be_read_is_taken_before_one_that_cannot(self, raw_span: Raw) -> None:
        attributes = {
            "openinference.span.kind": "LLM",
            "output.value": '{"choices": [',
            "output.mime_type": "application/json",
            "gen_ai.output.messages": "hi",
        }
        (message,) = normalise(raw_span(attributes=attributes)).output_messages
        assert message["parts"] == [{"type": "text", "content": "hi"}]


class TestDropped:
    PROMPT = RawEvent("gen_ai.user.message", 0, {"content": "hello"})
    ANSWER = RawEvent("gen_ai.choice", 0, {"message": '{"content": "hi"}'}, 1)
    DOCUMENT = RawEvent("db.query.result", 0, {"db.query.result.document": "fact"}, 2)
    CHUNK = RawEvent("llm.content.completion.chunk", 0, {}, 3)
    CHAT: ClassVar[dict[str, Any]] = {"gen_ai.operation.name": "chat"}
    SPOKEN: ClassVar[dict[str, Any]] = {**CHAT, "gen_ai.input.messages": "hello", "gen_ai.output.messages": "hi"}

    @pytest.mark.parametrize(
        ("attributes", "events", "lost_events", "dropped"),
        [
            (CHAT, [PROMPT, ANSWER], 0, 1 + 1),
            (CHAT, [PROMPT], 4, 1 + 4),
            (CHAT, [], 4, 1 + 4),
            (SPOKEN, [PROMPT], 4, 1 + 4),
            (SPOKEN, [], 4, 1),
            (SPOKEN, [CHUNK], 4, 1),
            (CHAT, [CHUNK], 0, 1),
            (CHAT, [CHUNK], 4, 1 + 4),
            ({"db.system": "chroma"}, [DOCUMENT], 0, 1 + 2),
            ({"db.system": "chroma"}, [DOCUMENT], 4, 1 + 2 + 4),
            ({"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '["fact"]'}, [], 4, 1),
            ({"gen_ai.operation.name": "retrieval"}, [], 4, 1 + 4),
        ],
    )
    def test_what_text_may_have_been_in_is_counted(
        self, raw_span: Raw, attributes: dict[str, Any], events: list[RawEvent], lost_events: int, dropped: int
    ) -> None:
        raw = raw_span(attributes=attributes, events=events, dropped_attributes=1, dropped_events=lost_events)
        assert normalise(raw).dropped_attributes == dropped

    def test_the_count_fits_where_it_is_stored(self, raw_span: Raw) -> None:
        most = 2**31 - 1
        raw = raw_span(attributes=self.CHAT, events=[self.PROMPT], dropped_attributes=most, dropped_events=most)
        assert normalise(raw).dropped_attributes == most


class TestIdentity:
    @pytest.mark.parametrize(
        ("resource", "deployment"),
        [
            ({"custodes.deployment": "bot-v7", "service.version": "1.2"}, "bot-v7"),
            ({"service.version": "1.2"}, "gpt@1.2"),
            ({}, "gpt"),
        ],
    )
    def test_the_deployment_is_named_by_the_best_that_is_known(
        self, raw_span: Raw, resource: dict[str, Any], deployment: str
    ) -> None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"}
        assert normalise(raw_span(resource=resource, attributes=attributes)).deployment == deployment

    @pytest.mark.parametrize("key", ["deployment.environment.name", "deployment.environment"])
    def test_service_and_environment_come_from_the_resource(self, raw_span: Raw, key: str) -> None:
        span = normalise(raw_span(resource={"service.name": "bot", key: "prod"}))
        assert (span.service, span.environment) == ("bot", "prod")

    def test_an_unknown_service_is_the_empty_string(self, raw_span: Raw) -> None:
        assert normalise(raw_span(resource={"service.name": ["odd"]})).service == ""


class TestCompleteness:
    def test_it_ranks_text_above_an_end_above_figures(self, raw_span: Raw) -> None:
        chat = {"gen_ai.operation.name": "chat"}

        def rank(complete: bool = False, **attributes: Any) -> int:
            named = {f"gen_ai.{key.replace('__', '.')}": value for key, value in attributes.items()}
            return normalise(raw_span(complete=complete, attributes={**chat, **named})).completeness

        ranks = [
            rank(),
            rank(usage__total_tokens=1),
            rank(usage__input_tokens=1),
            rank(complete=True),
            rank(complete=True, output__messages='[{"role"'),
            rank(input__messages="hello"),
            rank(output__messages="hi"),
            rank(input__messages="hello", output__messages="hi"),
            rank(input__messages="hello", output__messages="hi", complete=True),
        ]
        assert ranks == sorted(set(ranks))

    def test_however_many_attributes_it_has_they_weigh_least(self, raw_span: Raw) -> None:
        many = {f"a{n}": n for n in range(500)}
        cut = {"gen_ai.output.messages": '[{"role"'}
        ranks = [normalise(raw_span(attributes=one)).completeness for one in (many, cut)]
        assert ranks == sorted(set(ranks))


class TestRedaction:
    @pytest.mark.parametrize(
        "attributes",
        [
            {"llm.headers": "secret-xyz"},
            {"gen_ai.headers": {"x": "secret-xyz"}},
            {"http.request.header.authorization": "secret-xyz"},
            {"http.request.header.x-api-key": ["secret-xyz"]},
            {"db.password": "secret-xyz"},
            {"config": {"api_key": "secret-xyz", "n": 1}},
            {"note": "Bearer secret-xyz"},
            {"note": "Basic secret-xyz"},
            {"note": "sent with bearer secret-xyz-0123456789"},
            {"note": "key sk-secret-xyz-0123456789"},
            {"llm.invocation_parameters": '{"extra_headers": {"Authorization": "secret-xyz"}}'},
        ],
    )
    def test_credentials_are_not_kept(self, raw_span: Raw, attributes: dict[str, Any]) -> None:
        kept = json.dumps(normalise(raw_span(attributes=attributes)).attributes)
        assert "secret-xyz" not in kept
        assert "[redacted]" in kept

    @pytest.mark.parametrize(
        "attributes",
        [
            {"gen_ai.usage.total_tokens": 5},
            {"note": "a basic understanding of the bearer's duty"},
            {"gen_ai.request.max_tokens": 5},
            {"llm.headers": None},
        ],
    )
    def test_other_values_are_left_alone(self, raw_span: Raw, attributes: dict[str, Any]) -> None:
        assert normalise(raw_span(attributes=attributes)).attributes == {**attributes, "scope.name": "test"}

    def test_events_are_cleaned_too_and_bounded(self, raw_span: Raw, now_ns: int) -> None:
        events = [RawEvent("exception", now_ns, {"request.headers": "secret-xyz"})] * 200
        kept = normalise(raw_span(events=events)).events
        assert len(kept) == 128
        assert kept[0] == {"name": "exception", "time_ns": now_ns, "attributes": {"request.headers": "[redacted]"}}


class TestMistakesOfOurs:
    """A dialect that raises must cost nobody a span."""

    @staticmethod
    def broken(_: RawSpan) -> Reading:
        raise KeyError("captured text")

    def dialects(self) -> tuple[Dialect, ...]:
        return (Dialect("broken", lambda _: True, self.broken), *DIALECTS)

    def test_the_others_are_asked_all_the_same(self, raw_span: Raw) -> None:
        told: list[tuple[str, str]] = []
        normaliser = Normaliser(self.dialects(), lambda name, error: told.append((name, type(error).__name__)))
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"}
        (span,) = normaliser.normalise_all([raw_span(attributes=attributes)])
        assert (span.operation, span.model) == ("chat", "gpt")
        assert told == [("broken", "KeyError")]

    def test_where_nobody_is_told_the_error_goes_on(self, raw_span: Raw) -> None:
        with pytest.raises(KeyError):
            Normaliser(self.dialects()).normalise(raw_span())


class TestShapes:
    def test_spans_of_one_shape_are_read_one_by_one(self, raw_span: Raw) -> None:
        normaliser = Normaliser()
        for model in ("a", "b"):
            span = normaliser.normalise(raw_span(attributes={"gen_ai.request.model": model}))
            assert span.model == model

    def test_what_is_kept_of_shapes_is_bounded(self, raw_span: Raw) -> None:
        normaliser = Normaliser()
        for n in range(5_000):
            normaliser.normalise(raw_span(attributes={f"name.{n}": 1}))
        assert len(normaliser._plans) <= 4_096

    def test_what_a_resource_says_is_told_of_its_own_spans_only(self, raw_span: Raw) -> None:
        resources = [{"service.name": name, "session.id": f"s-{name}", "service.version": "1"} for name in ("a", "b")]
        spans = Normaliser().normalise_all([raw_span(resource=resource) for resource in (*resources, resources[0])])
        assert [one.service for one in spans] == ["a", "b", "a"]
        assert [one.session_id for one in spans] == ["s-a", "s-b", "s-a"]
        assert spans[0].attributes is not spans[2].attributes


class TestSaysSomething:
    """Coverage counts as text what can be read, so hidden and empty text must leave no mark."""

    BOTH = (1 << 12) | (1 << 11)

    @pytest.mark.parametrize("text", ["", "__REDACTED__", "[REDACTED]"])
    def test_hidden_and_empty_text_is_none(self, raw_span: Raw, text: str) -> None:
        messages = [{"role": role, "parts": [{"type": "text", "content": text}]} for role in ("user", "assistant")]
        attributes = {"gen_ai.input.messages": messages[:1], "gen_ai.output.messages": messages[1:]}
        assert normalise(raw_span(attributes=attributes)).completeness & self.BOTH == 0

    def test_a_call_and_a_picture_are_something(self, raw_span: Raw) -> None:
        picture = {"type": "uri", "modality": "image", "uri": "https://example.org/cat.png"}
        call = {"type": "tool_call", "id": "1", "name": "look_up", "arguments": {}}
        attributes = {
            "gen_ai.input.messages": [{"role": "user", "parts": [picture]}],
            "gen_ai.output.messages": [{"role": "assistant", "parts": [call]}],
        }
        assert normalise(raw_span(attributes=attributes)).completeness & self.BOTH == self.BOTH


class TestDocumentsOnACall:
    def test_a_call_with_documents_among_its_events_stays_a_call(self, raw_span: Raw) -> None:
        event = RawEvent("db.query.result", 1, {"db.query.result.document": "The shop opens at nine."})
        span = normalise(raw_span(attributes={"gen_ai.operation.name": "chat"}, events=[event]))
        assert (span.operation, span.is_exchange) == ("chat", True)
        assert [one["content"] for one in span.retrieved_documents] == ["The shop opens at nine."]
