"""The walk over the outer blocks of a protobuf body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs

from collector.otlp.blocks import blocks_of, joined, read_fields, text_of
from custodes.kernel.errors import MalformedError


def view(message: bytes) -> memoryview:
    return memoryview(message)


class TestFields:
    @given(st.lists(st.text(max_size=4), max_size=5), st.text(max_size=300))
    def test_it_finds_what_the_parser_finds(self, names: list[str], schema: str) -> None:
        scope = ScopeLogs(log_records=[LogRecord(event_name=name, time_unix_nano=7) for name in names])
        scope.schema_url = schema
        body = view(scope.SerializeToString())
        assert [LogRecord.FromString(bytes(one)).event_name for one in blocks_of(body, 2)] == names
        assert text_of(body, 3) == schema

    def test_it_gives_integers_and_skips_fixed_sizes(self) -> None:
        record = LogRecord(time_unix_nano=1, severity_number=9, flags=3, event_name="e")  # type: ignore[arg-type]
        assert dict(read_fields(view(record.SerializeToString()))) == {2: 9, 12: view(b"e")}

    def test_pieces_of_one_message_are_joined(self) -> None:
        scope = InstrumentationScope(name="a", version="1")
        pieces = [InstrumentationScope(name="a"), InstrumentationScope(version="1")]
        body = b"".join(ScopeLogs(scope=piece).SerializeToString() for piece in pieces)
        assert InstrumentationScope.FromString(joined(view(body), 1)) == scope

    @pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x05ab", b"\x09\x00", b"\x0b", b"\x80" * 11, b"\x08"])
    def test_what_breaks_the_format_is_malformed(self, body: bytes) -> None:
        with pytest.raises(MalformedError):
            list(read_fields(view(body)))

    @given(st.binary(max_size=100))
    def test_any_bytes_are_walked_or_malformed(self, body: bytes) -> None:
        try:
            for _, value in read_fields(view(body)):
                assert isinstance(value, int | memoryview)
        except MalformedError:
            return
