"""OTLP/protobuf: broken bytes are refused as a whole, and empty blocks cannot fill the memory."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.otlp.prescan import check_block_count
from collector.otlp.protobuf import decode_protobuf
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
            wrap(1, wrap(2, wrap(2, b"\x2a\x01\xff"))),
            wrap(1, wrap(2, wrap(2, b"\x0a\x7f"))),
        ],
        ids=["json", "tag", "cut short", "varint", "group", "fixed", "invalid utf-8", "length in a span"],
    )
    def test_it_is_refused_as_a_whole(self, body: bytes, now_ns: int) -> None:
        with pytest.raises(MalformedError, match="ExportTraceServiceRequest"):
            decode_protobuf(body, IngestSettings(), now_ns)

    def test_nesting_beyond_the_parser_is_refused_as_a_whole(self, now_ns: int) -> None:
        request = ExportTraceServiceRequest()
        value = request.resource_spans.add().scope_spans.add().spans.add().attributes.add(key="a").value
        for _ in range(40):
            value = value.kvlist_value.values.add(key="k").value
        value.int_value = 1
        with pytest.raises(MalformedError):
            decode_protobuf(request.SerializeToString(), IngestSettings(max_depth=100), now_ns)


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
