"""OTLP/protobuf: broken bytes are refused as a whole, and empty blocks cannot fill the memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.dialects.normalise import normalise
from collector.otlp.attributes import AttributeReader, read_pair
from collector.otlp.builder import RequestBuilder
from collector.otlp.prescan import check_block_count
from collector.otlp.protobuf import decode_protobuf
from collector.otlp.spans import Attributes, Rejection
from collector.otlp.value_limits import Refused
from custodes.kernel.errors import MalformedError, TooLargeError
from custodes.kernel.settings import IngestSettings


def wrap(number: int, content: bytes) -> bytes:
    """Return ``content`` as length-delimited field ``number``."""
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2]) + bytes(length) + bytes([size]) + content


class TestMalformed:
    @pytest.mark.parametrize(
        "body",
        [
            b"{}",
            b"\xff",
            b"\x0a\x05\x12",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0b\x0c",
            b"\x09\x00",
        ],
        ids=["json", "tag", "cut short", "varint", "group", "fixed"],
    )
    def test_it_is_refused_as_a_whole(self, body: bytes, now_ns: int) -> None:
        with pytest.raises(MalformedError, match="ExportTraceServiceRequest"):
            decode_protobuf(body, IngestSettings(), now_ns)


GOOD = Span(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, start_time_unix_nano=1, end_time_unix_nano=2)


class TestBrokenSpan:
    @pytest.mark.parametrize(
        "broken",
        [
            b"\x2a\x01\xff",
            b"\x0a\x7f",
            b"\x4a\x03\x0a\x01\xff",
            b"\x4a\x08\x0a\x01k\x12\x03\x0a\x01\xff",
            b"\x4a\x02\x0a\x7f",
            b"\x5a\x02\x12\x7f",
            b"\x5a\x03\x12\x01\xff",
            b"\x7a\x03\x12\x01\xff",
        ],
        ids=[
            "name",
            "length",
            "attribute name",
            "attribute value",
            "attribute length",
            "event length",
            "event name",
            "status message",
        ],
    )
    def test_it_is_refused_alone(self, broken: bytes, now_ns: int) -> None:
        good = GOOD.SerializeToString()
        body = wrap(1, wrap(2, wrap(2, good) + wrap(2, good + broken)))
        decoded = decode_protobuf(body, IngestSettings(), now_ns)
        assert len(decoded.spans) == 1
        assert decoded.rejected == {Rejection("", "malformed_span"): 1}

    def test_nesting_beyond_the_parser_is_refused_alone(self, now_ns: int) -> None:
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add().scope_spans.add().spans
        spans.extend([GOOD, GOOD])
        value = spans[1].attributes.add(key="a").value
        for _ in range(40):
            value = value.kvlist_value.values.add(key="k").value
        value.int_value = 1
        decoded = decode_protobuf(request.SerializeToString(), IngestSettings(max_depth=100), now_ns)
        assert len(decoded.spans) == 1
        assert decoded.rejected == {Rejection("", "malformed_span"): 1}

    @pytest.mark.parametrize(
        ("field", "reason"),
        [(9, "too_many_attributes"), (11, "too_many_events")],
    )
    def test_a_million_empty_fields_are_counted_before_they_take_memory(
        self, field: int, reason: str, now_ns: int
    ) -> None:
        body = wrap(1, wrap(2, wrap(2, GOOD.SerializeToString() + wrap(field, b"") * 1_000_000)))
        tracemalloc.start()
        decoded = decode_protobuf(body, IngestSettings(), now_ns)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert decoded.rejected == {Rejection("", reason): 1}
        assert peak < 8 * len(body)

    def test_a_million_attributes_of_an_event_are_counted_before_they_take_memory(self, now_ns: int) -> None:
        event = wrap(11, wrap(3, b"") * 1_000_000)
        decoded = decode_protobuf(wrap(1, wrap(2, wrap(2, event))), IngestSettings(), now_ns)
        assert decoded.rejected == {Rejection("", "too_many_attributes"): 1}


class TestAttributes:
    """The fast ways and the generated class must agree on every ``KeyValue``."""

    @given(
        st.text(max_size=200), st.one_of(st.text(max_size=400), st.text(alphabet="ab", min_size=100, max_size=20_000))
    )
    def test_texts_read_the_same_either_way(self, key: str, text: str) -> None:
        encoded = KeyValue(key=key, value=AnyValue(string_value=text)).SerializeToString()
        assert self._read(encoded, encoded) == {key: text} == dict([read_pair(self._builder(), encoded)])

    @given(st.text(max_size=20), st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans()))
    def test_numbers_read_the_same_when_remembered(self, key: str, number: float) -> None:
        value = AnyValue()
        if isinstance(number, bool):
            value.bool_value = number
        elif isinstance(number, int):
            value.int_value = number
        else:
            value.double_value = number
        encoded = KeyValue(key=key, value=value).SerializeToString()
        found = self._read(encoded, encoded)
        assert found == {key: number}
        assert type(found[key]) is type(number)

    @given(st.binary(max_size=60))
    def test_any_bytes_read_as_the_generated_class_reads_them(self, encoded: bytes) -> None:
        assert self._outcome(lambda: self._read(encoded)) == self._outcome(
            lambda: dict([read_pair(self._builder(), encoded)])
        )

    @given(st.data())
    def test_a_changed_byte_reads_as_the_generated_class_reads_it(self, data: st.DataObject) -> None:
        size = data.draw(st.sampled_from([0, 3, 100, 121, 122, 123, 124, 125, 126, 127, 128, 130, 200, 16_370, 16_400]))
        good = KeyValue(key="name", value=AnyValue(string_value="x" * size)).SerializeToString()
        at = data.draw(st.integers(0, min(len(good) - 1, 16)))
        changed = good[:at] + bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :]
        assert self._outcome(lambda: self._read(good, changed)) == self._outcome(
            lambda: dict([read_pair(self._builder(), good), read_pair(self._builder(), changed)])
        )

    def test_what_is_remembered_is_bounded(self) -> None:
        reader = AttributeReader()
        for n in range(20_000):
            pair = KeyValue(key=f"k{n}", value=AnyValue(int_value=n)).SerializeToString()
            assert reader.read(self._builder(), [pair]) == {f"k{n}": n}
        assert len(reader._pairs) <= 8_192

    def test_lists_are_not_shared_between_spans(self) -> None:
        value = AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="a")]))
        encoded = KeyValue(key="k", value=value).SerializeToString()
        reader = AttributeReader()
        first, second = (reader.read(self._builder(), [encoded])["k"] for _ in range(2))
        assert first == second == ["a"]
        assert first is not second

    @staticmethod
    def _builder() -> RequestBuilder:
        return RequestBuilder(IngestSettings(), 0)

    def _read(self, *encoded: bytes) -> Attributes:
        return AttributeReader().read(self._builder(), encoded)

    @staticmethod
    def _outcome(read: Callable[[], Attributes]) -> Attributes | str:
        try:
            return read()
        except Refused as refusal:
            return refusal.reason


class TestPrescan:
    def test_it_lets_pass_what_is_within_the_limit(self) -> None:
        check_block_count(b"", 1)
        check_block_count(wrap(1, wrap(2, wrap(2, b"") * 5)), 5)

    @pytest.mark.parametrize(
        "body",
        [
            wrap(1, wrap(2, wrap(2, b"") * 6)),
            wrap(1, wrap(2, wrap(2, b"") * 3)) * 2,
            wrap(1, wrap(2, wrap(2, b"") * 3) * 2),
            wrap(1, wrap(2, b"") * 6),
            wrap(1, b"") * 6,
        ],
        ids=["one scope", "two resources", "two scopes", "empty scopes", "empty resources"],
    )
    def test_it_counts_blocks_wherever_they_lie(self, body: bytes) -> None:
        with pytest.raises(TooLargeError):
            check_block_count(body, 5)

    def test_it_stops_a_body_of_ten_million_empty_spans_before_it_is_parsed(self, now_ns: int) -> None:
        spans = b"\x12\x00" * 10_000_000
        body = wrap(1, wrap(2, spans))
        with pytest.raises(TooLargeError, match="more than 20000 spans"):
            decode_protobuf(body, IngestSettings(), now_ns)

    def test_it_jumps_over_fields_it_does_not_know(self) -> None:
        unknown = b"\x78\x05" + b"\x79" + b"\0" * 8 + b"\x7d" + b"\0" * 4 + wrap(14, b"abc")
        check_block_count(unknown + wrap(1, unknown + wrap(2, unknown + wrap(2, b""))), 1)


class TestCredentials:
    """Spans in which nothing can be a credential are not searched; whatever can be must be found all the same."""

    @pytest.mark.parametrize(
        "value",
        [
            AnyValue(string_value="Bearer abcdefghijklmnopqrst"),
            AnyValue(string_value="key sk-abcdefghijklmnopqrstuv, please"),
            AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="BEARER abcdefghijklmnopqrst")])),
            AnyValue(
                kvlist_value=KeyValueList(values=[KeyValue(key="password", value=AnyValue(string_value="hunter2"))])
            ),
        ],
        ids=["text", "inside a text", "in a list", "by its name in a value"],
    )
    def test_they_are_redacted_wherever_the_wire_holds_them(self, value: AnyValue, now_ns: int) -> None:
        span = Span(attributes=[KeyValue(key="note", value=value)], events=[Span.Event(name="e")])
        span.events[0].attributes.add(key="note").value.CopyFrom(value)
        span.MergeFrom(GOOD)
        decoded = decode_protobuf(wrap(1, wrap(2, wrap(2, span.SerializeToString()))), IngestSettings(), now_ns)
        normal = normalise(decoded.spans[0])
        for shown in (str(normal.attributes), str(normal.events)):
            assert "[redacted]" in shown
            assert "abcdefghij" not in shown
            assert "hunter2" not in shown

    def test_an_attribute_with_a_secret_name_is_redacted_whatever_it_holds(self, now_ns: int) -> None:
        span = Span(attributes=[KeyValue(key="api_key", value=AnyValue(string_value="hunter2"))])
        span.MergeFrom(GOOD)
        decoded = decode_protobuf(wrap(1, wrap(2, wrap(2, span.SerializeToString()))), IngestSettings(), now_ns)
        assert normalise(decoded.spans[0]).attributes["api_key"] == "[redacted]"
