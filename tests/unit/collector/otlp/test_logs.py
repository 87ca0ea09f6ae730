"""GenAI events out of log requests, in both encodings; every other record is refused alone and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.dialects.events import read_event
from collector.otlp.body import Encoding
from collector.otlp.logs import DecodedLogs, decode_logs
from collector.otlp.spans import Rejection
from custodes.kernel.errors import InvalidInputError, MalformedError, TooLargeError
from custodes.kernel.settings import IngestSettings

FOLDER = Path(__file__).parents[3] / "data" / "otlp"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
EVENT = {"eventName": "gen_ai.user.message", "traceId": TRACE_ID, "spanId": SPAN_ID}
RECORDED = [path.read_bytes() for path in sorted(FOLDER.glob("genai-1.3b0-*-logs.bin"))]

Write = Callable[..., bytes]


@pytest.fixture
def decode(write_logs: Write, encoding: Encoding, now_ns: int) -> Callable[..., DecodedLogs]:
    """Write records in the encoding under test and decode them again; keyword arguments are settings."""

    def run(*records: dict[str, Any], **limits: Any) -> DecodedLogs:
        return decode_logs(write_logs(list(records), encoding), encoding, IngestSettings(**limits), now_ns)

    return run


Decode = Callable[..., DecodedLogs]


class TestEvent:
    def test_it_has_its_ids_time_body_and_attributes(self, decode: Decode, now_ns: int) -> None:
        body = {"content": "Hello?", "n": 3, "x": 0.5, "ok": True, "raw": b"\x00", "list": ["a", {"b": None}]}
        found = decode({**EVENT, "timeUnixNano": str(now_ns - 5), "body": body, "attributes": {"gen_ai.system": "o"}})
        assert not found.rejected
        (one,) = found.events
        assert (one.name, one.trace_id, one.span_id, one.time_ns) == (EVENT["eventName"], TRACE_ID, SPAN_ID, now_ns - 5)
        assert (one.body, one.attributes, one.scope) == (body, {"gen_ai.system": "o"}, "test")
        assert one.resource["service.name"] == "bot"

    def test_its_name_may_be_an_attribute_and_its_time_the_observers(self, decode: Decode) -> None:
        record = {"traceId": TRACE_ID, "spanId": SPAN_ID, "observedTimeUnixNano": "77"}
        (one,) = decode({**record, "attributes": {"x": 1, "event.name": "gen_ai.choice"}}).events
        assert (one.name, one.time_ns) == ("gen_ai.choice", 77)

    def test_an_empty_body_holds_none(self, encoding: Encoding, now_ns: int) -> None:
        assert decode_logs(b"", encoding, IngestSettings(), now_ns) == DecodedLogs([])

    def test_ids_in_json_are_hex_of_either_case_or_base64_and_unknown_members_ignored(
        self, write_logs: Write, now_ns: int
    ) -> None:
        upper = {**EVENT, "traceId": TRACE_ID.upper(), "spanId": SPAN_ID.upper(), "later": {"x": []}}
        coded = {**EVENT, "traceId": "CvdlGRbNQ92ESOshHIAxnA==", "spanId": "t61rcWkgMzE=", "timeUnixNano": 5}
        body = write_logs([upper, coded])
        found = decode_logs(body, Encoding.JSON, IngestSettings(), now_ns).events
        assert [(one.trace_id, one.span_id) for one in found] == [(TRACE_ID, SPAN_ID)] * 2


class TestRefusal:
    @pytest.mark.parametrize(
        ("record", "reason"),
        [
            ({**EVENT, "eventName": "device.started"}, "not_genai_event"),
            ({"body": "GET / 200", "traceId": TRACE_ID, "spanId": SPAN_ID}, "not_genai_event"),
            ({"attributes": {"event.name": 5}}, "not_genai_event"),
            ({"eventName": "gen_ai.choice"}, "no_span"),
            ({**EVENT, "traceId": "0" * 32}, "no_span"),
            ({**EVENT, "spanId": "0" * 16}, "no_span"),
            ({**EVENT, "spanId": "b7ad"}, "no_span"),
            ({**EVENT, "timeUnixNano": str(1_795_300_000_000_000_000 + 86_401 * 10**9)}, "clock_in_future"),
            ({**EVENT, "attributes": {str(n): n for n in range(11)}}, "too_many_attributes"),
            ({**EVENT, "body": "x" * 2049}, "attribute_too_long"),
            ({**EVENT, "body": ["x" * 1500, "x" * 1500]}, "attribute_too_long"),
            ({**EVENT, "body": [[[[1]]]]}, "too_deep"),
        ],
    )
    def test_it_is_for_one_record_alone_and_says_why(self, decode: Decode, record: dict[str, Any], reason: str) -> None:
        found = decode(EVENT, record, EVENT, max_attributes=10, max_attribute_bytes=2048, max_depth=3)
        assert len(found.events) == 2
        assert found.rejected == {Rejection("bot", reason): 1}

    @pytest.mark.parametrize(
        "record",
        [
            5,
            {**EVENT, "traceId": 5},
            {**EVENT, "timeUnixNano": "soon"},
            {**EVENT, "timeUnixNano": -5},
            {**EVENT, "attributes": {}},
            {**EVENT, "attributes": [5]},
            {**EVENT, "body": "plain"},
            {**EVENT, "body": {"boolValue": "yes"}},
            {**EVENT, "body": {"intValue": str(1 << 63)}},
        ],
    )
    def test_json_of_the_wrong_type_is_malformed(self, record: Any, now_ns: int) -> None:
        document = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, EVENT]}]}]}
        found = decode_logs(orjson.dumps(document), Encoding.JSON, IngestSettings(), now_ns)
        assert (len(found.events), found.rejected) == (1, {Rejection("", "malformed_record"): 1})

    def test_a_record_of_many_long_values_is_not_even_parsed(self, write_logs: Write, now_ns: int) -> None:
        body = write_logs([{**EVENT, "attributes": {str(n): "x" * 1000 for n in range(9)}}], Encoding.PROTOBUF)
        found = decode_logs(body, Encoding.PROTOBUF, IngestSettings(max_attribute_bytes=2048), now_ns)
        assert (found.events, found.rejected) == ([], {Rejection("bot", "record_too_long"): 1})

    def test_text_that_is_no_utf8_spoils_its_record_alone(self, now_ns: int) -> None:
        request = ExportLogsServiceRequest()
        resource = request.resource_logs.add()
        for body in ("good", "spoilt"):
            record = resource.scope_logs.add().log_records.add(event_name="gen_ai.choice")
            record.trace_id, record.span_id = b"\1" * 16, b"\2" * 8
            record.body.string_value = body
        spoilt = request.SerializeToString().replace(b"spoilt", b"sp\xff\xfelt")
        found = decode_logs(spoilt, Encoding.PROTOBUF, IngestSettings(), now_ns)
        assert [one.body for one in found.events] == ["good"]
        assert found.rejected == {Rejection("", "malformed_record"): 1}

    def test_records_scopes_and_resources_have_a_limit(
        self, write_logs: Write, encoding: Encoding, now_ns: int
    ) -> None:
        body = write_logs([EVENT] * 3, encoding)
        assert len(decode_logs(body, encoding, IngestSettings(max_records=3), now_ns).events) == 3
        with pytest.raises(TooLargeError, match="CUSTODES_INGEST__MAX_RECORDS"):
            decode_logs(body, encoding, IngestSettings(max_records=2), now_ns)

    def test_millions_of_empty_blocks_are_not_built(self, now_ns: int) -> None:
        with pytest.raises(TooLargeError):
            decode_logs(b"\x0a\x00" * 1_000_000, Encoding.PROTOBUF, IngestSettings(), now_ns)

    @pytest.mark.parametrize("body", [b"\x0a\x05\x12", b"\xff" * 12, b"\x0b", b"\x09\x00"])
    def test_bytes_that_are_no_protobuf_are_malformed(self, body: bytes, now_ns: int) -> None:
        with pytest.raises(MalformedError, match="not an OTLP export request"):
            decode_logs(body, Encoding.PROTOBUF, IngestSettings(), now_ns)

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"resourceLogs": {}}', b'{"resourceLogs": [5]}', b"[" * 5000])
    def test_json_of_another_shape_is_malformed(self, body: bytes, now_ns: int) -> None:
        with pytest.raises(MalformedError):
            decode_logs(body, Encoding.JSON, IngestSettings(), now_ns)


def run(body: bytes, encoding: Encoding) -> None:
    """Decode and read; only our errors may come out."""
    try:
        decoded = decode_logs(body, encoding, IngestSettings(max_depth=8), 1_795_300_000_000_000_000)
    except InvalidInputError:
        return
    assert isinstance(decoded.rejected, Counter)
    for raw in decoded.events:
        read_event(raw)


class TestHostileBodies:
    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def test_mutated_recordings_are_read_or_refused(self, data: st.DataObject) -> None:
        body = bytearray(data.draw(st.sampled_from(RECORDED)))
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(body) - 1))
            match data.draw(st.sampled_from(["flip", "insert", "cut", "double"])):
                case "flip":
                    body[at] ^= 1 << data.draw(st.integers(0, 7))
                case "insert":
                    body[at:at] = data.draw(st.binary(max_size=16))
                case "cut":
                    del body[at : at + data.draw(st.integers(0, 16))]
                case _:
                    body[at:at] = body[at : at + 24]
            body = body or bytearray(b"\n")
        run(bytes(body), Encoding.PROTOBUF)

    @given(st.binary(max_size=300), st.sampled_from(list(Encoding)))
    def test_random_bytes_are_read_or_refused(self, body: bytes, encoding: Encoding) -> None:
        run(body, encoding)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["attributes", "body", "key", "value", "stringValue", "kvlistValue", "values", "x"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=20,
        )
    )
    @settings(max_examples=300, deadline=None)
    def test_any_json_in_a_record_is_read_or_refused(self, record: Any) -> None:
        whole = {**record, **EVENT} if isinstance(record, dict) else record
        document = {"resourceLogs": [{"scopeLogs": [{"logRecords": [whole]}]}]}
        run(json.dumps(document).encode(), Encoding.JSON)
