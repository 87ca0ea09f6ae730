"""OTLP/JSON as clients write it, which is wider than the specification."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from collector.otlp.json import decode_json
from collector.otlp.spans import DecodedRequest, RawSpan, Rejection
from custodes.kernel.errors import MalformedError
from custodes.kernel.settings import IngestSettings

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"


@pytest.fixture
def decode_one(now_ns: int) -> Callable[..., DecodedRequest]:
    """Decode a request of one span whose JSON members can be given."""

    def run(**members: Any) -> DecodedRequest:
        span = {"traceId": TRACE_ID, "spanId": SPAN_ID, "startTimeUnixNano": str(now_ns), **members}
        body = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
        return decode_json(body, IngestSettings(), now_ns)

    return run


Decode = Callable[..., DecodedRequest]


def only(result: DecodedRequest) -> RawSpan:
    assert not result.rejected
    (span,) = result.spans
    return span


class TestIds:
    @pytest.mark.parametrize(
        "trace_id", [TRACE_ID, TRACE_ID.upper(), base64.b64encode(bytes.fromhex(TRACE_ID)).decode()]
    )
    @pytest.mark.parametrize("span_id", [SPAN_ID, SPAN_ID.upper(), base64.b64encode(bytes.fromhex(SPAN_ID)).decode()])
    def test_they_may_be_hex_of_either_case_or_base64(self, decode_one: Decode, trace_id: str, span_id: str) -> None:
        span = only(decode_one(traceId=trace_id, spanId=span_id))
        assert (span.trace_id, span.span_id) == (TRACE_ID, SPAN_ID)

    @pytest.mark.parametrize(
        ("members", "reason"),
        [
            ({"traceId": None}, "bad_trace_id"),
            ({"traceId": "xyz"}, "bad_trace_id"),
            ({"traceId": TRACE_ID[:-1] + "é"}, "bad_trace_id"),
            ({"spanId": SPAN_ID + "00"}, "bad_span_id"),
            ({"traceId": 5}, "malformed_span"),
        ],
    )
    def test_others_refuse_the_span(self, decode_one: Decode, members: dict[str, Any], reason: str) -> None:
        assert decode_one(**members).rejected == {Rejection("", reason): 1}


class TestNumbers:
    @pytest.mark.parametrize("value", ["42", 42, 42.0])
    def test_an_integer_may_be_text_or_number(self, decode_one: Decode, value: Any) -> None:
        span = only(decode_one(attributes=[{"key": "n", "value": {"intValue": value}}]))
        assert span.attributes == {"n": 42}
        assert isinstance(span.attributes["n"], int)

    @pytest.mark.parametrize("value", ["4.2", "", "1_0x", True, [], "9" * 21, 2**63, "9223372036854775808", 1e300])
    def test_what_is_no_64_bit_integer_refuses_the_span(self, decode_one: Decode, value: Any) -> None:
        result = decode_one(attributes=[{"key": "n", "value": {"intValue": value}}])
        assert result.rejected == {Rejection("", "malformed_span"): 1}

    @pytest.mark.parametrize(("value", "expected"), [("1.5", 1.5), (1.5, 1.5), (2, 2.0), ("Infinity", float("inf"))])
    def test_a_double_may_be_text_or_number(self, decode_one: Decode, value: Any, expected: float) -> None:
        assert only(decode_one(attributes=[{"key": "n", "value": {"doubleValue": value}}])).attributes == {
            "n": expected
        }

    @pytest.mark.parametrize(("kind", "expected"), [("SPAN_KIND_CLIENT", 3), (3, 3), ("3", 3), (99, 0), (None, 0)])
    def test_an_enumeration_may_be_name_or_number(self, decode_one: Decode, kind: Any, expected: int) -> None:
        assert only(decode_one(kind=kind)).kind == expected

    def test_a_status_may_be_named(self, decode_one: Decode) -> None:
        span = only(decode_one(status={"code": "STATUS_CODE_ERROR", "message": "broke"}))
        assert (span.status, span.status_message) == (2, "broke")


class TestTolerance:
    def test_unknown_members_are_ignored(self, decode_one: Decode) -> None:
        attributes = [
            {"key": "a", "value": {"stringValue": "x", "later": 1}, "more": []},
            {"key": "b", "value": {"new": 1}},
        ]
        span = only(decode_one(attributes=attributes, flags=257, somethingElse={"deep": [1]}))
        assert span.attributes == {"a": "x", "b": None}

    def test_null_means_absent(self, decode_one: Decode) -> None:
        span = only(decode_one(parentSpanId=None, name=None, kind=None, attributes=None, events=None, status=None))
        assert (span.parent_span_id, span.name, span.attributes, span.events) == (None, "", {}, [])

    def test_half_a_surrogate_pair_becomes_a_replacement_character(self, now_ns: int) -> None:
        span = f'{{"traceId":"{TRACE_ID}","spanId":"{SPAN_ID}","name":"cut \\ud83d","startTimeUnixNano":{now_ns}}}'
        body = f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'.encode()
        assert only(decode_json(body, IngestSettings(), now_ns)).name == "cut \ufffd"

    def test_a_bare_nan_is_read(self, now_ns: int) -> None:
        attribute = '{"key":"x","value":{"doubleValue":NaN}}'
        span = (
            f'{{"traceId":"{TRACE_ID}","spanId":"{SPAN_ID}","attributes":[{attribute}],"startTimeUnixNano":{now_ns}}}'
        )
        body = f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'.encode()
        value = only(decode_json(body, IngestSettings(), now_ns)).attributes["x"]
        assert isinstance(value, float)
        assert math.isnan(value)


class TestMalformed:
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"\xff",
            b"[]",
            b"1",
            b'"NaN',
            b"NaN",
            b'{"resourceSpans":{}}',
            b'{"resourceSpans":[1]}',
            b'{"resourceSpans":[{"scopeSpans":[[]]}]}',
            b'{"resourceSpans":[{"scopeSpans":[{"spans":5}]}]}',
            b"[" * 100_000,
            b'{"a":NaN,"b":' + b"[" * 100_000,
            b'{"a":NaN,"b":' + b"9" * 5000 + b"}x",
        ],
    )
    def test_it_is_refused_as_a_whole(self, body: bytes, now_ns: int) -> None:
        with pytest.raises(MalformedError):
            decode_json(body, IngestSettings(), now_ns)

    @pytest.mark.parametrize(
        "members",
        [
            {"name": 5},
            {"attributes": {}},
            {"attributes": [5]},
            {"attributes": [{"key": 1}]},
            {"attributes": [{"key": "a", "value": 5}]},
            {"attributes": [{"key": "a", "value": {"stringValue": 5}}]},
            {"attributes": [{"key": "a", "value": {"boolValue": "true"}}]},
            {"attributes": [{"key": "a", "value": {"bytesValue": "!"}}]},
            {"attributes": [{"key": "a", "value": {"arrayValue": []}}]},
            {"attributes": [{"key": "a", "value": {"arrayValue": {"values": {}}}}]},
            {"attributes": [{"key": "a", "value": {"kvlistValue": {"values": 1}}}]},
            {"attributes": [{"key": "a", "value": {"doubleValue": "x"}}]},
            {"attributes": [{"key": "a", "value": {"doubleValue": []}}]},
            {"events": {"a": 1}},
            {"events": [5]},
            {"startTimeUnixNano": "soon"},
            {"startTimeUnixNano": -1},
            {"kind": "SPAN_KIND_MADE_UP"},
            {"kind": []},
        ],
    )
    def test_a_span_broken_inside_is_refused_alone(self, decode_one: Decode, members: dict[str, Any]) -> None:
        assert decode_one(**members).rejected == {Rejection("", "malformed_span"): 1}

    def test_a_span_that_is_no_object_is_refused_alone(self, now_ns: int) -> None:
        body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[5]}]}]}'
        assert decode_json(body, IngestSettings(), now_ns).rejected == {Rejection("", "malformed_span"): 1}

    @pytest.mark.parametrize("nan", ["", "NaN,"])
    def test_nesting_beyond_the_parser_is_called_that(self, now_ns: int, nan: str) -> None:
        body = f'{{"resourceSpans":[{nan}{"[" * 1500}{"]" * 1500}]}}'.encode()
        with pytest.raises(MalformedError, match="nests lists and objects deeper"):
            decode_json(body, IngestSettings(), now_ns)

    def test_other_breaks_are_not(self, now_ns: int) -> None:
        with pytest.raises(MalformedError, match="is not valid JSON"):
            decode_json(b'{"resourceSpans":[', IngestSettings(), now_ns)
