"""Both encodings obey the same rules, because one builder applies them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.otlp.body import Encoding
from collector.otlp.decode import decode_request
from collector.otlp.spans import DecodedRequest, Rejection
from custodes.kernel.errors import TooLargeError
from custodes.kernel.settings import IngestSettings

Fields = Callable[..., dict[str, Any]]
Decode = Callable[..., DecodedRequest]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=20),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)


class TestSpan:
    def test_it_arrives_with_every_field(self, decode: Decode, span_fields: Fields, now_ns: int) -> None:
        fields = span_fields(
            parent_span_id="00f067aa0ba902b7", dropped_attributes=4, dropped_events=5, events=[("e", now_ns, 6)]
        )
        (span,) = decode([fields]).spans
        assert (span.trace_id, span.span_id) == (fields["trace_id"], fields["span_id"])
        assert span.parent_span_id == "00f067aa0ba902b7"
        assert (span.name, span.kind, span.scope) == ("chat", 3, "test")
        assert (span.start_ns, span.end_ns, span.complete) == (fields["start_ns"], fields["end_ns"], True)
        assert (span.dropped_attributes, span.dropped_events) == (4, 5)
        assert [(one.name, one.time_ns, one.dropped_attributes) for one in span.events] == [("e", now_ns, 6)]
        assert span.resource == {"service.name": "bot"}

    @given(attributes=st.dictionaries(TEXT, VALUES, max_size=5))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
    def test_it_keeps_every_attribute_value(
        self, decode: Decode, span_fields: Fields, attributes: dict[str, Any]
    ) -> None:
        (span,) = decode([span_fields(attributes=attributes)]).spans
        assert span.attributes == attributes

    def test_it_keeps_not_a_number_and_infinity(self, decode: Decode, span_fields: Fields) -> None:
        attributes = {"a": math.nan, "b": math.inf, "c": -math.inf}
        (span,) = decode([span_fields(attributes=attributes)]).spans
        assert math.isnan(span.attributes["a"])  # type: ignore[arg-type]
        assert (span.attributes["b"], span.attributes["c"]) == (math.inf, -math.inf)

    @pytest.mark.parametrize("parent", ["", "0000000000000000", "b7ad6b7169203331", "ff"])
    def test_it_has_no_parent_that_cannot_be_one(self, decode: Decode, span_fields: Fields, parent: str) -> None:
        (span,) = decode([span_fields(parent_span_id=parent)]).spans
        assert span.parent_span_id is None


class TestTimes:
    @pytest.mark.parametrize(
        ("start", "end", "kept"),
        [
            (-5, 0, (-5, -5, False)),
            (-5, -9, (-5, -5, False)),
            (0, -9, (-9, -9, False)),
            (0, 0, (0, 0, False)),
            (-9, -9, (-9, -9, True)),
        ],
        ids=["no end", "end before start", "no start", "neither", "no duration"],
    )
    def test_a_broken_interval_is_kept_and_marked(
        self,
        decode: Decode,
        span_fields: Fields,
        now_ns: int,
        start: int,
        end: int,
        kept: tuple[int, int, bool],
    ) -> None:
        fields = span_fields(start_ns=start and now_ns + start, end_ns=end and now_ns + end)
        (span,) = decode([fields]).spans
        assert (span.start_ns - now_ns, span.end_ns - now_ns, span.complete) == kept

    @pytest.mark.parametrize("field", ["start_ns", "end_ns"])
    @pytest.mark.parametrize("beyond_ns", [1, 2**62])
    def test_a_clock_in_the_future_refuses_the_span(
        self, decode: Decode, span_fields: Fields, now_ns: int, field: str, beyond_ns: int
    ) -> None:
        future = now_ns + 60_000_000_000
        result = decode([span_fields(**{field: future + beyond_ns})], max_future_s=60)
        assert result.rejected == {Rejection("bot", "clock_in_future"): 1}
        assert decode([span_fields(end_ns=future)], max_future_s=60).spans


class TestRefusal:
    def nest(self, levels: int) -> Any:
        value: Any = "x"
        for _ in range(levels - 1):
            value = [value]
        return value

    @pytest.mark.parametrize(
        ("broken", "reason"),
        [
            ({"trace_id": "0" * 32}, "zero_trace_id"),
            ({"span_id": "0" * 16}, "zero_span_id"),
            ({"trace_id": "ab"}, "bad_trace_id"),
            ({"trace_id": ""}, "bad_trace_id"),
            ({"span_id": "ab"}, "bad_span_id"),
            ({"span_id": ""}, "bad_span_id"),
            ({"attributes": {str(n): 1 for n in range(11)}}, "too_many_attributes"),
            ({"attributes": {"a": "x" * 1025}}, "attribute_too_long"),
            ({"attributes": {"a": "é" * 513}}, "attribute_too_long"),
            ({"attributes": {"a": b"x" * 1025}}, "attribute_too_long"),
            ({"attributes": {"a": [{"b": "x" * 1025}]}}, "attribute_too_long"),
            ({"attributes": {"a": ["x" * 600, {"b": "x" * 600}]}}, "attribute_too_long"),
            ({"attributes": {"a": [None] * 600}}, "attribute_too_long"),
            ({"attributes": {"a": [[["x"]]]}}, "too_deep"),
            ({"attributes": {"a": {"b": {"c": {"d": 1}}}}}, "too_deep"),
            ({"events": [("e", 1, 0)] * 11}, "too_many_events"),
        ],
    )
    def test_one_bad_span_is_refused_alone(
        self, decode: Decode, span_fields: Fields, broken: dict[str, Any], reason: str
    ) -> None:
        good = span_fields(span_id="00f067aa0ba902b7")
        result = decode([span_fields(**broken), good], max_attributes=10, max_attribute_bytes=1024, max_depth=3)
        assert [span.span_id for span in result.spans] == ["00f067aa0ba902b7"]
        assert result.rejected == {Rejection("bot", reason): 1}

    def test_a_value_at_the_limits_is_kept(self, decode: Decode, span_fields: Fields) -> None:
        lists: dict[str, Any] = {"b": [["x"]], "c": ["x" * 600], "d": ["x" * 600]}
        attributes = {"a": "é" * 512, **lists, **{str(n): 1 for n in range(6)}}
        fields = span_fields(attributes=attributes, events=[("e", 1, 0)] * 10)
        result = decode([fields], max_attributes=10, max_attribute_bytes=1024, max_depth=3)
        assert result.spans[0].attributes == attributes

    def test_an_oversized_resource_value_is_left_out(self, decode: Decode, span_fields: Fields) -> None:
        resource = {"process.command_args": "x" * 2000, "service.name": "bot"}
        (span,) = decode([span_fields()], resource, max_attribute_bytes=1024).spans
        assert span.resource == {"service.name": "bot"}

    def test_a_service_without_a_name_is_the_empty_one(self, decode: Decode, span_fields: Fields) -> None:
        assert decode([span_fields(trace_id="0" * 32)], {}).rejected == {Rejection("", "zero_trace_id"): 1}


class TestRequest:
    def test_an_empty_body_holds_no_spans(self, encoding: Encoding, now_ns: int) -> None:
        assert decode_request(b"", encoding, IngestSettings(), now_ns) == DecodedRequest([])

    def test_too_many_spans_are_refused_as_a_whole(self, decode: Decode, span_fields: Fields) -> None:
        assert len(decode([span_fields()] * 5, max_spans=5).spans) == 5
        with pytest.raises(TooLargeError, match="more than 5 spans") as caught:
            decode([span_fields()] * 6, max_spans=5)
        assert caught.value.limit == 5
