"""GenAI events to messages: both generations, whichever order and however incomplete."""

from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.events import (
    INPUT_SIDE,
    OUTPUT_SIDE,
    GenAiEvent,
    choose_messages,
    combine_events,
    join_content,
    lacks_text,
    read_event,
)
from collector.otlp.logs import RawLog
from collector.otlp.spans import Value

DETAILS = "gen_ai.client.inference.operation.details"


def event(name: str, body: Value = None, **attributes: Value) -> GenAiEvent:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return read_event(RawLog({}, "test", name, "1" * 32, "2" * 16, 5, body, named, 0))


def message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


OWN, TOLD = [message("user", "own")], [message("user", "told")]
HIDDEN = [{"role": "user", "parts": [{"type": "redacted"}]}]
CUT_OFF = [{"role": "user", "parts": [{"type": "unreadable", "content": '[{"ro'}]}]


class TestDetails:
    @pytest.mark.parametrize(
        "told",
        [
            [{"role": "user", "parts": [{"type": "text", "content": "Hello?"}], "name": None}],
            '[{"role": "user", "parts": [{"type": "text", "content": "Hello?"}]}]',
        ],
    )
    def test_messages_are_structured_or_json_text(self, told: Value) -> None:
        found = event(
            DETAILS, gen_ai__input__messages=told, gen_ai__output__messages='[{"role":"assistant","content":"Hi."}]'
        )
        assert found.input_messages == [message("user", "Hello?")]
        assert found.output_messages == [message("assistant", "Hi.")]
        assert found.sides == INPUT_SIDE | OUTPUT_SIDE

    def test_instructions_are_the_first_message(self) -> None:
        found = event(
            DETAILS,
            gen_ai__input__messages=[{"role": "user", "content": "Hello?"}],
            gen_ai__system_instructions=[{"type": "text", "content": "Be kind."}],
        )
        assert [one["role"] for one in found.input_messages] == ["system", "user"]

    def test_without_captured_content_it_has_no_side_but_keeps_its_attributes(self) -> None:
        found = event(DETAILS, gen_ai__request__model="gpt", gen_ai__response__finish_reasons=["stop"])
        assert (found.sides, found.input_messages, found.output_messages) == (0, [], [])
        assert found.finish_reasons == ["stop"]
        assert found.attributes["gen_ai.request.model"] == "gpt"

    def test_text_is_kept_once_and_credentials_not_at_all(self) -> None:
        found = event(DETAILS, gen_ai__input__messages="Hello?", api_key="s3cret")
        assert found.attributes == {"api_key": "[redacted]"}

    def test_cut_off_messages_are_no_side(self) -> None:
        found = event(DETAILS, gen_ai__input__messages='[{"role": "user", "par')
        assert (found.sides, found.input_messages[0]["parts"][0]["type"]) == (0, "unreadable")

    def test_it_knows_whose_text_it_is_where_it_says_so(self) -> None:
        assert event(DETAILS, user__id="u-1").user_id == "u-1"


class TestSingleMessages:
    @pytest.mark.parametrize(
        ("name", "body", "expected"),
        [
            ("gen_ai.system.message", {"content": "Be kind."}, message("system", "Be kind.")),
            ("gen_ai.user.message", {"content": "Hello?"}, message("user", "Hello?")),
            ("gen_ai.user.message", {"content": "Hello?", "role": "user"}, message("user", "Hello?")),
            ("gen_ai.user.message", '{"content": "Hello?"}', message("user", "Hello?")),
            ("gen_ai.user.message", "Hello?", message("user", "Hello?")),
            ("gen_ai.assistant.message", {"content": "Hi."}, message("assistant", "Hi.")),
            (
                "gen_ai.tool.message",
                {"content": "70 degrees", "id": "call_1"},
                {
                    "role": "tool",
                    "parts": [{"type": "tool_call_response", "id": "call_1", "response": "70 degrees"}],
                },
            ),
        ],
    )
    def test_each_is_one_input(self, name: str, body: Value, expected: dict[str, Any]) -> None:
        found = event(name, body)
        assert (found.input_messages, found.output_messages) == ([expected], [])

    def test_the_oldest_clients_put_the_body_into_an_attribute(self) -> None:
        found = event("gen_ai.user.message", None, gen_ai__event__content='{"content": "Hello?"}')
        assert found.input_messages == [message("user", "Hello?")]

    @pytest.mark.parametrize("name", ["gen_ai.prompt", "gen_ai.content.prompt"])
    def test_or_send_one_event_for_the_prompt_and_one_for_the_completion(self, name: str) -> None:
        prompt = event(name, "Hello?")
        completion = event(
            "gen_ai.content.completion", None, gen_ai__completion='[{"role": "assistant", "content": "Hi."}]'
        )
        told = combine_events([prompt, completion])
        assert told.input_messages == [message("user", "Hello?")]
        assert told.output_messages == [message("assistant", "Hi.")]
        assert (prompt.sides, completion.sides, completion.attributes) == (INPUT_SIDE, OUTPUT_SIDE, {})

    def test_tool_calls_of_an_earlier_turn_are_parts(self) -> None:
        calls: Value = [
            {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Kyiv"}'}}
        ]
        (found,) = event("gen_ai.assistant.message", {"tool_calls": calls}).input_messages
        assert found["parts"] == [{"type": "tool_call", "id": "c", "name": "weather", "arguments": {"city": "Kyiv"}}]

    @pytest.mark.parametrize("body", [None, {}, {"role": "user"}, {"content": None}, {"content": ""}])
    def test_one_without_captured_text_is_no_message(self, body: Value) -> None:
        found = event("gen_ai.user.message", body)
        assert (found.input_messages, found.sides) == ([], 0)

    def test_the_application_s_own_text_alone_is_no_side(self) -> None:
        assert event("gen_ai.system.message", {"content": "Be kind."}).sides == 0

    def test_a_choice_is_an_answer_with_its_finish_reason(self) -> None:
        body: Value = {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}
        found = event("gen_ai.choice", body)
        assert (found.output_messages, found.finish_reasons) == ([message("assistant", "Hi.")], ["stop"])
        assert (found.choice, found.sides) == (1, OUTPUT_SIDE)

    def test_a_choice_without_text_still_says_why_it_ended(self) -> None:
        found = event("gen_ai.choice", {"index": 0, "finish_reason": "length", "message": {"role": "assistant"}})
        assert (found.output_messages, found.finish_reasons, found.sides) == ([], ["length"], 0)

    @pytest.mark.parametrize("body", [5, [5], {"message": 5}, {"message": {"content": {"x": 1}}}, {"index": "one"}])
    def test_nothing_fails_on_another_shape(self, body: Value) -> None:
        for name in ("gen_ai.choice", "gen_ai.user.message", DETAILS, "gen_ai.evaluation.result"):
            event(name, body)


class TestOthers:
    def test_an_evaluation_keeps_its_attributes(self) -> None:
        found = event("gen_ai.evaluation.result", gen_ai__evaluation__name="relevance")
        assert (found.attributes, found.sides) == ({"gen_ai.evaluation.name": "relevance"}, 0)


class TestCombination:
    def test_single_messages_build_the_list_in_order(self) -> None:
        told = combine_events(
            [
                event("gen_ai.system.message", {"content": "Be kind."}),
                event("gen_ai.user.message", {"content": "Hello?"}),
                event("gen_ai.choice", {"index": 1, "finish_reason": "length", "message": {"content": "B"}}),
                event("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "A"}}),
            ]
        )
        assert told.input_messages == [message("system", "Be kind."), message("user", "Hello?")]
        assert told.output_messages == [message("assistant", "A"), message("assistant", "B")]
        assert told.finish_reasons == ["stop", "length"]

    def test_the_current_generation_comes_before_the_old_one(self) -> None:
        details = event(DETAILS, gen_ai__input__messages=[{"role": "user", "content": "new"}])
        told = combine_events([details, event("gen_ai.user.message", {"content": "old"})])
        assert told.input_messages == [message("user", "new")]

    def test_the_latest_readable_one_stands(self) -> None:
        first, second = (event(DETAILS, gen_ai__input__messages=[{"role": "user", "content": one}]) for one in "ab")
        cut = event(DETAILS, gen_ai__input__messages='[{"role"')
        assert combine_events([first, second, cut]).input_messages == [message("user", "b")]

    def test_nothing_gives_nothing(self) -> None:
        told = combine_events([])
        assert (told.input_messages, told.output_messages, told.finish_reasons) == ([], [], [])


class TestChoice:
    @pytest.mark.parametrize(
        ("own", "told", "expected"),
        [
            (OWN, TOLD, OWN),
            ([], TOLD, TOLD),
            (OWN, [], OWN),
            (CUT_OFF, TOLD, TOLD),
            (HIDDEN, TOLD, TOLD),
            (OWN, CUT_OFF, OWN),
            (HIDDEN, CUT_OFF, HIDDEN),
            (CUT_OFF, [], CUT_OFF),
            ([], [], []),
        ],
    )
    def test_the_span_s_own_text_comes_first(
        self, own: list[dict[str, Any]], told: list[dict[str, Any]], expected: list[dict[str, Any]]
    ) -> None:
        assert choose_messages(own, told) == expected

    def test_joined_content_keeps_the_rest(self) -> None:
        content = {"input_messages": [], "attributes": {"a": 1}}
        assert lacks_text(content)
        joined = join_content(
            content,
            combine_events(
                [
                    event("gen_ai.user.message", {"content": "Hello?"}),
                    event("gen_ai.choice", {"message": {"content": "Hi."}}),
                ]
            ),
        )
        assert (joined["attributes"], joined["input_messages"]) == ({"a": 1}, [message("user", "Hello?")])
        assert not lacks_text(joined)
