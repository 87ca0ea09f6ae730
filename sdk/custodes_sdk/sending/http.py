"""The way to the server by HTTP: one client, made on the thread that sends."""

from __future__ import annotations

import gzip
import ipaddress
import json
import ssl
from urllib.parse import urlsplit

import httpx

from custodes_sdk.sending.outcome import Delivered, Outcome, Refused, TooLarge, TryLater

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0
_COMPRESS_ABOVE_BYTES = 1024
_RETRYABLE = frozenset({408, 425, 429, 502, 503, 504})


class HttpWay:
    """Posts bodies to one server. Not safe to share between threads: each outbox has its own."""

    def __init__(self, endpoint: str, key: str | None, *, transport: httpx.BaseTransport | None = None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._headers = {"user-agent": "custodes-sdk"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._transport = transport
        # Compression costs the host processor time, and on one machine it buys nothing.
        self._compress = not _is_loopback(self._endpoint)
        self._client: httpx.Client | None = None

    def forget(self) -> None:
        """Drop the connection without closing it: after a fork it belongs to the parent."""
        self._client = None

    def close(self) -> None:
        """Close the connection, on the thread that sends."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def post(self, path: str, body: bytes, content_type: str) -> Outcome:
        """Send one body and say what became of it. Raises nothing that a network or a server can cause."""
        headers = {"content-type": content_type}
        if self._compress and len(body) > _COMPRESS_ABOVE_BYTES:
            body = gzip.compress(body, 1)
            headers["content-encoding"] = "gzip"
        try:
            response = self._open().post(path, content=body, headers=headers)
        except httpx.TransportError as error:
            # A connection that broke may hide a stored request; the server keeps one copy of what comes twice.
            return TryLater(f"{self._endpoint} cannot be reached ({type(error).__name__})")
        except httpx.HTTPError as error:
            return TryLater(f"{self._endpoint} gave an answer that cannot be read ({type(error).__name__})")
        return response_to_outcome(response, content_type)

    def _open(self) -> httpx.Client:
        if self._client is None:
            secure = self._endpoint.startswith("https:")
            self._client = httpx.Client(
                base_url=self._endpoint,
                headers=self._headers,
                timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                # trust_env=False: a proxy meant for the internet must not see captured text. The context reads
                # SSL_CERT_FILE by itself.
                trust_env=False,
                verify=ssl.create_default_context() if secure else False,
                transport=self._transport,
            )
        return self._client


def response_to_outcome(response: httpx.Response, content_type: str) -> Outcome:
    """Return what an answer means: OTLP's rules, and only answers in the request's encoding count as stored."""
    status = response.status_code
    if status in _RETRYABLE:
        return TryLater(f"the server answered {status}", _retry_after_s(response))
    if status == 413:
        return TooLarge()
    if not response.is_success:
        return Refused(f"the server answered {status}{_hint(status)}")
    if response.headers.get("content-type", "").partition(";")[0].strip() != content_type:
        return Refused("the answer is not one of a Custodes server; is the address right?")
    return Delivered(_refused_spans(response.content, content_type))


def _hint(status: int) -> str:
    return "; check the key" if status in (401, 403) else ""


def _refused_spans(body: bytes, content_type: str) -> int:
    """Return the ``rejected_spans`` of an OTLP answer; 0 when it says nothing."""
    try:
        if content_type == "application/json":
            partial = json.loads(body).get("partialSuccess", {}) if body else {}
            return max(0, int(partial.get("rejectedSpans", 0)))
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
            ExportTraceServiceResponse,
        )

        return max(0, ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    except Exception:  # An answer that cannot be read refuses nothing by name.
        return 0


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
