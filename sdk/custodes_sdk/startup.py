"""``init``, ``flush``, ``shutdown`` and ``statistics``: the SDK's one piece of process-wide state.

OpenTelemetry itself is process-wide, and so is whatever sends its spans: there is one set-up per process, kept here.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from opentelemetry import trace
from opentelemetry.sdk.environment_variables import OTEL_ATTRIBUTE_COUNT_LIMIT, OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from custodes_sdk.environment import DEFAULT_ENDPOINT, DEFAULT_GRPC_ENDPOINT, SdkEnvironment, read_environment
from custodes_sdk.instrumentations import activate, allow_capture, find_candidates, installed_entry_points
from custodes_sdk.opinions import OpinionBox
from custodes_sdk.sending.outbox import Counts
from custodes_sdk.sending.quiet import QuietLog
from custodes_sdk.spans import EXIT_TIMEOUT_S, PATH, CustodesSpanProcessor, HttpSpanWay, SpanWay
from custodes_sdk.state import Running, begin, end, running

Protocol = Literal["http", "grpc"]

# The SDK's limit of 128 attributes loses the model's name or the answer of long conversations without a word; the
# server takes 1,024 on a span.
_MAX_ATTRIBUTES = 1000
_LOCK = threading.Lock()


def init(
    endpoint: str | None = None,
    *,
    service: str | None = None,
    deployment: str | None = None,
    environment: str | None = None,
    key: str | None = None,
    capture_text: bool | None = None,
    protocol: Protocol = "http",
    instrument: bool = True,
    feedback_endpoint: str | None = None,
) -> None:
    """Send this process's model calls to Custodes from now on.

    Adds to the TracerProvider there is, or makes one; finds the GenAI instrumentations that are installed and
    switches on one per library (not with ``instrument=False``), with text unless ``capture_text`` is false. What is not
    given is read from ``CUSTODES_SDK_…`` variables; ``endpoint`` is ``http://127.0.0.1:4318`` in the end, and port 4317
    with ``protocol="grpc"``, where feedback goes to ``feedback_endpoint`` or port 4318 of the same host. Opens no
    connection, so a server that is down changes nothing. Calling it again changes nothing either, until
    :func:`shutdown`. Raises ``ValueError`` for an address or a protocol that cannot be one, and nothing else.
    """
    told = read_environment()
    default = DEFAULT_ENDPOINT if protocol == "http" else DEFAULT_GRPC_ENDPOINT
    address = _checked_address(endpoint or told.endpoint or default, protocol)
    with _LOCK:
        if running() is not None:
            return
        log = QuietLog()
        secret = key or told.key
        named = _resource(told, service, deployment, environment)
        processor = CustodesSpanProcessor(_make_way(address, secret, protocol), named, log=log)
        opinions = OpinionBox(_feedback_address(address, protocol, feedback_endpoint), secret, log)
        text = told.capture_text if capture_text is None else capture_text
        provider = _provider(processor, service or told.service)
        begin(Running(provider, processor, opinions, text, _instrument(provider, text, log) if instrument else {}))
        atexit.register(shutdown, EXIT_TIMEOUT_S)


def flush(timeout_s: float = 5.0) -> bool:
    """Wait until everything recorded so far is sent or lost; false when that took longer than ``timeout_s``."""
    now = running()
    if now is None:
        return True
    sent = now.processor.outbox.flush(timeout_s / 2)
    return now.opinions.outbox.flush(timeout_s / 2) and sent


def shutdown(timeout_s: float = EXIT_TIMEOUT_S) -> None:
    """Send what waits, for at most ``timeout_s``, and stop recording; runs by itself when the process ends.

    Instrumentations stay switched on and record nothing, until :func:`init` is called again.
    """
    with _LOCK:
        now = end()
        if now is None:
            return
        atexit.unregister(shutdown)
    now.processor.outbox.close(timeout_s * 0.75)
    now.opinions.outbox.close(timeout_s * 0.25)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What became of spans and of feedback, and which package instruments each library."""

    spans: Counts
    feedback: Counts
    instrumented: Mapping[str, str]


def statistics() -> Statistics:
    """Return the figures since :func:`init`; all zero before it."""
    now = running()
    if now is None:
        return Statistics(Counts(), Counts(), {})
    return Statistics(now.processor.counts(), now.opinions.outbox.counts(), now.instrumented)


def _checked_address(endpoint: str, protocol: str) -> str:
    if protocol not in ("http", "grpc"):
        raise ValueError(f"protocol is {protocol!r}; it is http or grpc")
    address = endpoint if "://" in endpoint or protocol == "http" else f"http://{endpoint}"
    if not address.startswith(("http://", "https://")) or len(address.partition("://")[2]) == 0:
        raise ValueError(f"endpoint is {endpoint!r}; it begins with http:// or https:// and names a host")
    # People paste the address their exporter had.
    return address.rstrip("/").removesuffix(PATH)


def _resource(
    told: SdkEnvironment, service: str | None, deployment: str | None, environment: str | None
) -> dict[str, str]:
    named = {
        "service.name": service or told.service,
        "custodes.deployment": deployment or told.deployment,
        "deployment.environment.name": environment or told.environment,
    }
    return {name: value for name, value in named.items() if value}


def _make_way(address: str, key: str | None, protocol: Protocol) -> SpanWay:
    if protocol == "grpc":
        from custodes_sdk.sending.grpc import GrpcWay  # noqa: PLC0415 # grpcio is an extra of its own.

        return GrpcWay(address, key)
    return HttpSpanWay(address, key)


def _feedback_address(address: str, protocol: Protocol, given: str | None) -> str:
    if given is not None or protocol == "http":
        return given or address
    # The REST API is beside the gRPC port, on its default port unless told otherwise.
    host = address.partition("://")[2].partition("/")[0].rpartition(":")[0] or "127.0.0.1"
    return f"{address.partition('://')[0]}://{host}:4318"


def _provider(processor: CustodesSpanProcessor, service: str | None) -> Any:
    """Return the provider that spans come from: the one there is, with the processor added, or a new one."""
    present: Any = trace.get_tracer_provider()
    if hasattr(present, "add_span_processor"):
        present.add_span_processor(processor)
        return present
    limits = None
    if not (os.environ.get(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT) or os.environ.get(OTEL_ATTRIBUTE_COUNT_LIMIT)):
        limits = SpanLimits(max_span_attributes=_MAX_ATTRIBUTES)
    resource = Resource.create({"service.name": service} if service else {})
    # shutdown_on_exit would wait for other processors; ours is closed by our own handler, within its bound.
    provider = TracerProvider(resource=resource, span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    if isinstance(present, trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
    return provider


def _instrument(provider: Any, capture_text: bool, log: QuietLog) -> dict[str, str]:
    found = find_candidates(installed_entry_points())
    chosen = [candidates[0] for candidates in found.values()]
    allow_capture(chosen, os.environ, capture_text=capture_text)
    return activate(found, provider, log)
