"""Blocks hold the contents of a trace's spans together, and give each span its own back."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from collector.content.blocks import MAX_BLOCK_BYTES, SpanBody, gather_blocks

T, U = b"t" * 16, b"u" * 16


def body(text: str) -> bytes:
    return orjson.dumps({"text": text})


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


class TestGather:
    def test_it_puts_the_spans_of_a_person_and_trace_into_one_block(self) -> None:
        blocks = gather_blocks([("ann", T, span_id(1), body("a")), ("ann", T, span_id(2), body("b"))])
        assert blocks.places == [0, 0]
        ((subject, trace_id, joined),) = blocks.bodies
        assert (subject, trace_id) == ("ann", T)
        assert orjson.loads(joined) == {span_id(1).hex(): {"text": "a"}, span_id(2).hex(): {"text": "b"}}

    def test_it_keeps_people_and_traces_apart(self) -> None:
        spans = [
            ("ann", T, span_id(1), body("a")),
            ("bob", T, span_id(2), body("b")),
            ("ann", U, span_id(1), body("c")),
        ]
        blocks = gather_blocks([*spans, (None, T, span_id(3), body("d"))])
        assert blocks.places == [0, 1, 2, 3]
        assert [one[:2] for one in blocks.bodies] == [("ann", T), ("bob", T), ("ann", U), (None, T)]

    def test_copies_of_a_span_lie_in_different_blocks(self) -> None:
        blocks = gather_blocks([(None, T, span_id(1), body("poor")), (None, T, span_id(1), body("rich"))])
        assert blocks.places == [0, 1]

    def test_a_block_is_closed_before_it_grows_too_large(self) -> None:
        large = body("x" * (MAX_BLOCK_BYTES // 2))
        blocks = gather_blocks([(None, T, span_id(n), large) for n in range(5)])
        assert blocks.places == [0, 1, 2, 3, 4]
        assert gather_blocks([(None, T, span_id(n), body("x" * 2 * MAX_BLOCK_BYTES)) for n in range(2)]).places == [
            0,
            1,
        ]

    def test_nothing_gives_no_blocks(self) -> None:
        assert gather_blocks([]).bodies == []

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([None, "a", "b"]), st.sampled_from([T, U]), st.integers(0, 5).map(span_id), st.text()
            )
        )
    )
    def test_every_content_is_found_under_its_span_in_the_block_it_was_put_into(
        self, given_spans: list[tuple[str | None, bytes, bytes, str]]
    ) -> None:
        spans: list[SpanBody] = [(subject, trace, span, body(text)) for subject, trace, span, text in given_spans]
        blocks = gather_blocks(spans)
        for (subject, trace_id, one, content), place in zip(spans, blocks.places, strict=True):
            assert blocks.bodies[place][:2] == (subject, trace_id)
            assert orjson.loads(blocks.bodies[place][2])[one.hex()] == orjson.loads(content)
