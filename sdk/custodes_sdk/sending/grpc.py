"""The way to the server by OTLP/gRPC, for spans only. Needs ``grpcio``: ``pip install 'custodes-sdk[grpc]'``."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from custodes_sdk.sending.outcome import Delivered, Outcome, Refused, TooLarge, TryLater

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_TIMEOUT_S = 10.0
_RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class GrpcWay:
    """Exports trace requests over one channel, made on the thread that sends."""

    def __init__(self, endpoint: str, key: str | None) -> None:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        self._target = parts.netloc
        self._secure = parts.scheme in ("https", "grpcs")
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self._channel: grpc.Channel | None = None

    def forget(self) -> None:
        """Drop the channel without closing it: after a fork it belongs to the parent."""
        self._channel = None

    def close(self) -> None:
        """Close the channel, on the thread that sends."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def export(self, body: bytes) -> Outcome:
        """Send one serialised ``ExportTraceServiceRequest`` and say what became of it."""
        if self._channel is None:
            credentials = grpc.ssl_channel_credentials()
            self._channel = (
                grpc.secure_channel(self._target, credentials) if self._secure else grpc.insecure_channel(self._target)
            )
        call = self._channel.unary_unary(
            _METHOD, request_serializer=bytes, response_deserializer=ExportTraceServiceResponse.FromString
        )
        try:
            answer = call(body, timeout=_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            return _error_to_outcome(error)
        return Delivered(max(0, answer.partial_success.rejected_spans))


def _error_to_outcome(error: Any) -> Outcome:
    """Return what a failed call means. grpc's errors are calls too, which its types do not say."""
    code = error.code()
    if code in _RETRYABLE:
        return TryLater(f"the server cannot be used ({code.name})")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        asks_to_wait = any(one.key == "google.rpc.retryinfo-bin" for one in error.trailing_metadata() or ())
        return TryLater("the server is full") if asks_to_wait else TooLarge()
    return Refused(f"the server answered {code.name}")
