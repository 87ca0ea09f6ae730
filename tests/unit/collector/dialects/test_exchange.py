"""The texts detectors read are the last user turn, what the model wrote, and the documents."""

from __future__ import annotations

from typing import Any

from collector.dialects.exchange import ExchangeText, extract_exchange


def message(role: str, *texts: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text} for text in texts]}


def prompt_of(*messages: dict[str, Any]) -> str | None:
    return extract_exchange(messages, [], []).prompt


class TestPrompt:
    def test_it_is_the_last_turn_of_the_user(self) -> None:
        first, answer, second = message("user", "one"), message("assistant", "yes"), message("user", "two")
        assert prompt_of(message("system", "be kind"), first, answer, second) == "two"

    def test_it_joins_user_messages_that_follow_each_other(self) -> None:
        assert prompt_of(message("user", "a", "b"), message("user", "c")) == "a\nb\nc"

    def test_it_looks_past_tools_to_the_question_they_serve(self) -> None:
        call = {"role": "assistant", "parts": [{"type": "tool_call", "name": "find"}]}
        answer = {"role": "tool", "parts": [{"type": "tool_call_response", "response": "42"}]}
        assert prompt_of(message("user", "why?"), call, answer) == "why?"

    def test_it_looks_past_a_picture_beside_the_question(self) -> None:
        picture = {"role": "user", "parts": [{"type": "uri", "uri": "x"}]}
        assert prompt_of(message("user", "what"), picture, message("user", "is this?"), picture) == "what\nis this?"

    def test_it_is_never_the_application_s_own_text(self) -> None:
        assert prompt_of(message("system", "be kind")) is None
        assert prompt_of(message("assistant", "hello")) is None

    def test_unknown_roles_stand_for_a_user_who_is_not_there(self) -> None:
        assert prompt_of(message("customer", "hello"), message("customer", "there")) == "hello\nthere"
        assert prompt_of(message("customer", "hello"), {"role": "user", "parts": [{"type": "uri"}]}) is None

    def test_blank_text_is_no_text(self) -> None:
        assert prompt_of(message("user", " \n")) is None
        assert prompt_of() is None


class TestResponse:
    def test_it_is_all_text_the_model_wrote(self) -> None:
        outputs = [message("assistant", "one"), message("bot", "two"), message("tool", "no"), message("user", "no")]
        assert extract_exchange([], outputs, []).response == "one\ntwo"

    def test_reasoning_and_calls_are_no_response_and_refusals_are(self) -> None:
        parts = [{"type": "reasoning", "content": "hm"}, {"type": "tool_call"}, {"type": "refusal", "content": "No."}]
        assert extract_exchange([], [{"role": "assistant", "parts": parts}], []).response == "No."

    def test_none_is_none(self) -> None:
        assert extract_exchange([], [{"role": "assistant", "parts": [{"type": "redacted"}]}], []).response is None


class TestContexts:
    def test_each_text_comes_once_in_order(self) -> None:
        documents: list[dict[str, Any]] = [
            {"content": "b"},
            {"content": "a"},
            {"content": "b"},
            {"content": None},
            {"id": "x"},
            {"content": " "},
        ]
        assert extract_exchange([], [], documents).contexts == ("b", "a")

    def test_damaged_messages_give_nothing(self) -> None:
        broken: list[dict[str, Any]] = [
            {"role": "user"},
            {"role": "user", "parts": "x"},
            {"role": "user", "parts": [None, {"type": "text"}]},
        ]
        assert extract_exchange(broken, broken, []) == ExchangeText(None, None, ())
