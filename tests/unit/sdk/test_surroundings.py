"""``context``: what it carries, how far, and how it meets spans."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind

from custodes_sdk.surroundings import MAX_DOCUMENTS_CHARACTERS, context, current_surroundings, documents_to_json

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class TestNesting:
    def test_inner_contexts_add_and_override(self) -> None:
        with context(session="s", attributes={"group": "de", "plan": "free"}):
            with context(user="u", attributes={"plan": "paid"}, documents=["a"]):
                here = current_surroundings()
                assert (here.session, here.user, here.documents) == ("s", "u", '["a"]')
                assert here.attributes == {"group": "de", "plan": "paid"}
            assert current_surroundings().user is None
            assert current_surroundings().attributes["plan"] == "free"
        assert current_surroundings().session is None

    def test_it_ends_with_an_exception(self) -> None:
        with pytest.raises(ValueError, match="x"), context(session="s"):
            raise ValueError("x")
        assert current_surroundings().session is None

    def test_tasks_have_their_own(self) -> None:
        async def one(name: str) -> str | None:
            with context(session=name):
                await asyncio.sleep(0)
                return current_surroundings().session

        async def both() -> list[str | None]:
            with context(session="outer", user="u"):
                return [*await asyncio.gather(one("a"), one("b")), current_surroundings().session]

        assert asyncio.run(both()) == ["a", "b", "outer"]

    def test_a_thread_gets_it_by_a_copy_and_only_so(self) -> None:
        seen: list[str | None] = []

        def look() -> None:
            seen.append(current_surroundings().session)

        with context(session="s"):
            copied = contextvars.copy_context()
            for target in (look, lambda: copied.run(look)):
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
            asyncio.run(asyncio.to_thread(look))
        assert seen == [None, "s", "s"]


class TestDocuments:
    def test_they_are_texts_or_objects(self) -> None:
        class Retrieved:
            page_content = "from a library"

        given = ["a", {"id": "1", "content": "b", "score": 0.5}, Retrieved(), 7]
        assert json.loads(documents_to_json(given) or "") == ["a", given[1], "from a library"]

    def test_one_alone_is_a_list_of_one(self) -> None:
        assert documents_to_json("a") == '["a"]'
        assert documents_to_json({"content": "a"}) == '[{"content": "a"}]'

    def test_they_are_bounded_and_stay_json(self) -> None:
        text = documents_to_json(["x" * 300_000] * 10)
        assert text is not None
        assert len(text) <= MAX_DOCUMENTS_CHARACTERS
        assert json.loads(text) == ["x" * 300_000] * 3

    def test_an_empty_list_takes_outer_ones_away_and_nonsense_does_not(self) -> None:
        with context(documents=["a"]):
            with context(documents=[]):
                assert current_surroundings().documents is None
            with context(documents=object()):  # type: ignore[arg-type]
                assert current_surroundings().documents == '["a"]'

    @given(ANYTHING, ANYTHING)
    def test_nothing_that_is_given_raises(self, documents: Any, attributes: Any) -> None:
        with context(session=documents, user=attributes, documents=documents, attributes=attributes):
            text = current_surroundings().documents
            assert text is None or isinstance(json.loads(text), list)


class TestSpans:
    def test_they_carry_it_whatever_made_them(self, sdk: Any, provider: Any, custodes: Any) -> None:
        tracer = provider.get_tracer("some.instrumentation")
        with sdk.context(session="s", user="u", documents=["d"], attributes={"group": "de", "n": 3}) as place:
            outer = tracer.start_as_current_span("outer")
            with outer as span, tracer.start_as_current_span("inner"):
                assert place.trace_id == f"{span.get_span_context().trace_id:032x}" == sdk.current_trace_id()
        with tracer.start_as_current_span("outside"):
            pass
        assert sdk.flush(5)
        spans = {span["name"]: span for span in custodes.spans()}
        for name in ("outer", "inner"):
            assert spans[name]["attributes"] == {
                "session.id": "s",
                "user.id": "u",
                "custodes.documents": '["d"]',
                "custodes.attr.group": "de",
                "custodes.attr.n": 3,
            }
        assert spans["outside"]["attributes"] == {}
        assert sdk.current_trace_id() is None

    def test_a_place_knows_the_trace_around_it_too(self, sdk: Any, provider: Any) -> None:
        tracer = provider.get_tracer("x")
        with tracer.start_as_current_span("request"), sdk.context(session="s") as place:
            assert place.trace_id is None
            with tracer.start_as_current_span("call"):
                pass
            assert place.trace_id == sdk.current_trace_id()

    @pytest.mark.parametrize(
        ("kind", "attributes"), [(SpanKind.SERVER, {}), (SpanKind.CLIENT, {"http.request.method": "POST"})]
    )
    def test_a_transport_does_not_carry_documents(
        self, sdk: Any, provider: Any, custodes: Any, kind: SpanKind, attributes: dict[str, str]
    ) -> None:
        with sdk.context(session="s", documents=["d"]):
            provider.get_tracer("x").start_span("POST", kind=kind, attributes=attributes).end()
        assert sdk.flush(5)
        (span,) = custodes.spans()
        assert span["attributes"]["session.id"] == "s"
        assert "custodes.documents" not in span["attributes"]
