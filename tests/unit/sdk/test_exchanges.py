"""``@exchange``: the function behaves as it did, and what it said is recorded."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import custodes_sdk
from custodes_sdk.texts import answer_to_text, chunk_to_text, prompt_to_text


def spans_of(sdk: Any, custodes: Any) -> list[dict[str, Any]]:
    assert sdk.flush(5)
    found: list[dict[str, Any]] = custodes.spans()
    return found


def said(span: dict[str, Any], side: str) -> Any:
    text = span["attributes"].get(f"gen_ai.{side}.messages")
    return None if text is None else json.loads(text)[0]["parts"][0]["content"]


class TestFunctions:
    def test_a_call_is_an_exchange(self, sdk: Any, custodes: Any) -> None:
        @custodes_sdk.exchange
        def answer(prompt: str, documents: list[str]) -> str:
            return f"{prompt} {len(documents)}"

        assert answer("How many?", ["a", "b"]) == "How many? 2"
        (span,) = spans_of(sdk, custodes)
        assert span["attributes"]["gen_ai.operation.name"] == "chat"
        assert (said(span, "input"), said(span, "output")) == ("How many?", "How many? 2")
        assert span["resource"]["service.name"] == "bot"
        assert span["resource"]["custodes.deployment"] == "bot-v1"

    def test_its_documents_go_with_it(self, sdk: Any, custodes: Any) -> None:
        @custodes_sdk.exchange(model="m-1", provider="ours")
        def answer(question: str, *, contexts: list[str]) -> dict[str, str]:
            return {"answer": "yes"}

        answer("Is it?", contexts=["It is."])
        (span,) = spans_of(sdk, custodes)
        assert json.loads(span["attributes"]["custodes.documents"]) == ["It is."]
        assert span["name"] == "chat m-1"
        assert span["attributes"]["gen_ai.request.model"] == "m-1"
        assert span["attributes"]["gen_ai.provider.name"] == "ours"
        assert said(span, "output") == "yes"

    def test_an_error_is_noted_without_its_message_and_raised_unchanged(self, sdk: Any, custodes: Any) -> None:
        error = LookupError("the secret prompt")

        @custodes_sdk.exchange
        def answer(prompt: str) -> str:
            raise error

        with pytest.raises(LookupError) as caught:
            answer("x")
        assert caught.value is error
        (span,) = spans_of(sdk, custodes)
        assert (span["status"], span["attributes"]["error.type"]) == (2, "LookupError")
        assert b"the secret prompt" not in custodes.requests[0][2]

    def test_a_method_and_a_name_of_its_own(self, sdk: Any, custodes: Any) -> None:
        class Bot:
            @custodes_sdk.exchange(prompt="what", response=lambda found: found.text)
            def reply(self, context: list[str], what: str) -> Any:
                return SimpleNamespace(text="t", other=1)

        assert Bot().reply(["d"], "hi").other == 1
        (span,) = spans_of(sdk, custodes)
        assert (said(span, "input"), said(span, "output")) == ("hi", "t")
        assert json.loads(span["attributes"]["custodes.documents"]) == ["d"]

    def test_it_looks_like_what_it_wraps(self) -> None:
        def answer(prompt: str, /, *, model: str = "m") -> str:
            """Say something."""
            return prompt

        wrapped = custodes_sdk.exchange(answer)
        assert inspect.signature(wrapped) == inspect.signature(answer)
        assert (wrapped.__name__, wrapped.__doc__) == ("answer", "Say something.")

    def test_a_parameter_that_is_not_there_is_an_error_at_once(self) -> None:
        with pytest.raises(ValueError, match="nothing"):
            custodes_sdk.exchange(prompt="nothing")(lambda prompt: prompt)

    def test_wrong_arguments_are_the_function_s_own_error(self, sdk: Any) -> None:
        @custodes_sdk.exchange
        def answer(prompt: str) -> str:
            return prompt

        with pytest.raises(TypeError, match="unexpected keyword"):
            answer(nonsense=1)  # type: ignore[call-arg]

    def test_it_works_where_nothing_is_set_up(self) -> None:
        @custodes_sdk.exchange
        def answer(prompt: str) -> str:
            return prompt

        assert answer("x") == "x"


class TestCoroutines:
    def test_they_are_awaited_inside(self, sdk: Any, custodes: Any) -> None:
        @custodes_sdk.exchange
        async def answer(prompt: str) -> str:
            await asyncio.sleep(0)
            assert custodes_sdk.current_trace_id() is not None
            return prompt.upper()

        async def many() -> list[str]:
            return await asyncio.gather(*(answer(f"p{n}") for n in range(5)))

        assert inspect.iscoroutinefunction(answer)
        assert asyncio.run(many()) == [f"P{n}" for n in range(5)]
        spans = spans_of(sdk, custodes)
        assert sorted((said(one, "input"), said(one, "output")) for one in spans) == [
            (f"p{n}", f"P{n}") for n in range(5)
        ]
        assert len({one["trace_id"] for one in spans}) == 5

    def test_a_cancelled_one_is_noted(self, sdk: Any, custodes: Any) -> None:
        @custodes_sdk.exchange
        async def answer(prompt: str) -> str:
            await asyncio.Event().wait()
            return prompt

        async def cancel() -> None:
            task = asyncio.create_task(answer("x"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())
        (span,) = spans_of(sdk, custodes)
        assert span["attributes"]["error.type"] == "CancelledError"


class TestStreams:
    def test_chunks_pass_and_are_joined(self, sdk: Any, custodes: Any) -> None:
        @custodes_sdk.exchange
        def answer(prompt: str) -> Iterator[str]:
            assert custodes_sdk.current_trace_id() is not None
            yield from prompt.split()

        seen = []
        for word in answer("a b c"):
            # Between the steps, the consumer's code is not part of the exchange.
            assert custodes_sdk.current_trace_id() is None
            seen.append(word)
        assert seen == ["a", "b", "c"]
        (span,) = spans_of(sdk, custodes)
        assert said(span, "output") == "abc"

    def test_what_is_sent_thrown_and_returned_passes(self, sdk: Any) -> None:
        @custodes_sdk.exchange
        def answer(prompt: str) -> Generator[str, int, str]:
            try:
                got = yield "first"
                yield f"got {got}"
            except KeyError as error:
                yield f"caught {error}"
            return "end"

        def consume() -> Generator[str, int, None]:
            returned = yield from answer("x")
            assert returned == "end"

        talking = consume()
        assert next(talking) == "first"
        assert talking.send(7) == "got 7"
        assert talking.throw(KeyError("k")) == "caught 'k'"
        assert list(talking) == []

    def test_one_that_is_left_early_is_recorded_as_far_as_it_came(self, sdk: Any, custodes: Any) -> None:
        closed = []

        @custodes_sdk.exchange
        def answer(prompt: str) -> Iterator[str]:
            try:
                yield from ["a", "b", "c"]
            finally:
                closed.append(True)

        stream = answer("x")
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert closed == [True]
        (span,) = spans_of(sdk, custodes)
        assert (said(span, "output"), span["status"]) == ("a", 0)

    def test_an_error_in_the_middle(self, sdk: Any, custodes: Any) -> None:
        @custodes_sdk.exchange
        def answer(prompt: str) -> Iterator[str]:
            yield "a"
            raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            list(answer("x"))
        (span,) = spans_of(sdk, custodes)
        assert (said(span, "output"), span["attributes"]["error.type"]) == ("a", "OSError")

    @pytest.mark.parametrize("returned", [False, True])
    def test_asynchronous_ones_too(self, sdk: Any, custodes: Any, returned: bool) -> None:
        async def words(prompt: str) -> AsyncIterator[Any]:
            for word in prompt.split():
                await asyncio.sleep(0)
                yield {"choices": [{"delta": {"content": word}}]}

        def stream(prompt: str) -> AsyncIterator[Any]:
            return words(prompt)

        answer = custodes_sdk.exchange(stream if returned else words)

        async def consume() -> list[Any]:
            return [one["choices"][0]["delta"]["content"] async for one in answer("a b c")]

        assert asyncio.run(consume()) == ["a", "b", "c"]
        (span,) = spans_of(sdk, custodes)
        assert said(span, "output") == "abc"

    def test_an_asynchronous_one_that_is_left_early(self, sdk: Any, custodes: Any) -> None:
        closed = []

        @custodes_sdk.exchange
        async def answer(prompt: str) -> AsyncGenerator[str, str]:
            try:
                got = yield "a"
                yield got
            finally:
                closed.append(True)

        async def consume() -> None:
            stream = answer("x")
            assert await anext(stream) == "a"
            assert await stream.asend("b") == "b"
            await stream.aclose()

        asyncio.run(consume())
        assert closed == [True]
        (span,) = spans_of(sdk, custodes)
        assert said(span, "output") == "ab"


class TestInnerCalls:
    def test_a_model_call_inside_is_the_exchange_and_counted_once(self, sdk: Any, provider: Any, custodes: Any) -> None:
        tracer = provider.get_tracer("instrumented.client")

        @custodes_sdk.exchange
        def answer(prompt: str, documents: list[str]) -> str:
            with tracer.start_as_current_span("chat m", attributes={"gen_ai.operation.name": "chat"}):
                return "yes"

        answer("Is it?", ["It is."])
        outer, inner = sorted(spans_of(sdk, custodes), key=lambda one: str(one["parent"]))
        assert outer["attributes"]["gen_ai.operation.name"] == "invoke_workflow"
        assert "gen_ai.input.messages" not in outer["attributes"]
        assert inner["parent"] == outer["span_id"]
        assert json.loads(inner["attributes"]["custodes.documents"]) == ["It is."]

    def test_other_work_inside_changes_nothing(self, sdk: Any, provider: Any, custodes: Any) -> None:
        @custodes_sdk.exchange
        def answer(prompt: str) -> str:
            with provider.get_tracer("db").start_as_current_span("SELECT"):
                return "yes"

        answer("Is it?")
        operations = [one["attributes"].get("gen_ai.operation.name") for one in spans_of(sdk, custodes)]
        assert sorted(operations, key=str) == [None, "chat"]


class TestTexts:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("a", "a"),
            (None, None),
            (7, None),
            ({"output": "a"}, "a"),
            (SimpleNamespace(content="a"), "a"),
            ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
            ({"choices": [{"message": {"role": "assistant", "content": "a"}}]}, "a"),
            (SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content="a"))]), "a"),
            (SimpleNamespace(choices=[SimpleNamespace(text="a")]), "a"),
            ({"response": {"message": {"content": "a"}}}, "a"),
        ],
    )
    def test_it_finds_the_answer(self, value: Any, text: str | None) -> None:
        assert answer_to_text(value) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("a", "a"),
            ([{"role": "system", "content": "s"}, {"role": "user", "content": "a"}], "a"),
            ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], "a"),
            (["a", "b"], "a\nb"),
            ({"question": "a"}, "a"),
            (7, None),
        ],
    )
    def test_it_finds_the_prompt(self, value: Any, text: str | None) -> None:
        assert prompt_to_text(value) == text

    @given(
        st.recursive(
            st.none() | st.text() | st.integers() | st.binary(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["choices", "content", "text", "delta", "message"]), inner, max_size=3
                )
            ),
            max_leaves=10,
        )
    )
    def test_no_shape_raises(self, value: Any) -> None:
        for read in (answer_to_text, prompt_to_text, chunk_to_text):
            assert read(value) is None or isinstance(read(value), str)
