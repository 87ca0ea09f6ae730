"""The benchmark's traffic is what it says it is."""

from __future__ import annotations

import random
import zlib

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.corpus import (
    PROMPT_CHARACTERS,
    RESPONSE_CHARACTERS,
    SPANS_PER_TRACE,
    Texts,
    make_body,
    make_texts,
    make_trace,
)

START_NS = 1_795_300_000_000_000_000


@pytest.fixture(scope="module")
def texts() -> Texts:
    return make_texts()


class TestTrace:
    def test_it_has_four_spans_of_twenty_attributes_under_one_root(self, texts: Texts) -> None:
        spans = make_trace(random.Random(1), texts, start_ns=START_NS)
        assert len(spans) == SPANS_PER_TRACE
        assert [len(one.attributes) for one in spans] == [20] * 4
        assert len({one.trace_id for one in spans}) == 1
        root = next(one for one in spans if not one.parent_span_id)
        assert {one.parent_span_id for one in spans if one is not root} == {root.span_id}
        assert all(START_NS <= one.start_time_unix_nano <= one.end_time_unix_nano for one in spans)

    def test_prompt_and_response_are_as_long_as_promised(self, texts: Texts) -> None:
        spans = make_trace(random.Random(2), texts, start_ns=START_NS)
        values = {one.key: one.value.string_value for span in spans for one in span.attributes}
        (asked,) = orjson.loads(values["gen_ai.input.messages"])
        (answered,) = orjson.loads(values["gen_ai.output.messages"])
        assert len(asked["parts"][0]["content"]) == PROMPT_CHARACTERS
        assert len(answered["parts"][0]["content"]) == RESPONSE_CHARACTERS

    def test_the_same_seed_makes_the_same_body_and_another_another(self, texts: Texts) -> None:
        one, same, other = (make_body(random.Random(seed), texts, traces=3) for seed in (7, 7, 8))
        assert one == same != other
        spans = ExportTraceServiceRequest.FromString(one).resource_spans[0].scope_spans[0].spans
        assert len(spans) == 12
        assert len({span.span_id for span in spans}) == 12


class TestText:
    def test_it_is_no_easier_to_compress_than_english(self, texts: Texts) -> None:
        rng = random.Random(3)
        pieces = [texts.write(rng, 1_200).encode() for _ in range(100)]
        ratio = sum(map(len, pieces)) / sum(len(zlib.compress(one, 6)) for one in pieces)
        assert 1.6 < ratio < 1.95

    @pytest.mark.parametrize("characters", [1, 57, 1_200])
    def test_it_has_exactly_the_length_asked_for(self, texts: Texts, characters: int) -> None:
        assert len(texts.write(random.Random(4), characters)) == characters
