"""Answers carry what exporters read, in the encoding of the request."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.otlp.body import Encoding
from collector.otlp.responses import RpcCode, error_body, success_body
from collector.otlp.spans import Rejection

REJECTED = Counter({Rejection("a", "too_deep"): 1, Rejection("a", "zero_trace_id"): 2, Rejection("b", "too_deep"): 4})
MESSAGE = "refused: 5 too_deep, 2 zero_trace_id; docs/ingest.md explains each reason"


class TestSuccess:
    def test_full_success_leaves_partial_success_unset(self) -> None:
        body = success_body(Encoding.PROTOBUF, Counter())
        assert not ExportTraceServiceResponse.FromString(body).HasField("partial_success")
        assert success_body(Encoding.JSON, Counter()) == b"{}"

    def test_refused_spans_are_counted_with_their_reasons(self) -> None:
        partial = ExportTraceServiceResponse.FromString(success_body(Encoding.PROTOBUF, REJECTED)).partial_success
        assert (partial.rejected_spans, partial.error_message) == (7, MESSAGE)
        body = orjson.loads(success_body(Encoding.JSON, REJECTED))
        assert body == {"partialSuccess": {"rejectedSpans": "7", "errorMessage": MESSAGE}}


class TestError:
    @pytest.mark.parametrize("code", list(RpcCode))
    def test_it_is_a_status_message_in_either_encoding(self, code: RpcCode) -> None:
        found = Status.FromString(error_body(Encoding.PROTOBUF, code, "say it"))
        assert (found.code, found.message) == (code.value, "say it")
        assert orjson.loads(error_body(Encoding.JSON, code, "say it")) == {"code": code.value, "message": "say it"}
