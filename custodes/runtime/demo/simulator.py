"""Live traffic of the three example services, sent by the real OpenTelemetry SDK and its OTLP exporter.

Run as a process of its own: ``python -m custodes.runtime.demo.simulator URL``. Half a minute after the
start, ``support-bot`` is "upgraded" to version 8, which insults its users; some minutes later version 7 is
back. The cycle then repeats.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import time
from types import FrameType

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context

from custodes.runtime.demo.history import chat_attributes, retrieval_attributes
from custodes.runtime.demo.script import SERVICES, Turn, play_turn

CYCLE_S = 15 * 60
TOXIC_FROM_S = 20
TOXIC_UNTIL_S = 4 * 60
CALLS_PER_S = 1.2


def is_toxic(elapsed_s: float) -> bool:
    """Return whether version 8 of the support bot is deployed ``elapsed_s`` seconds after the start."""
    return TOXIC_FROM_S <= elapsed_s % CYCLE_S < TOXIC_UNTIL_S


class Simulator:
    """Plays turns and exports their spans until stopped; what waits for export then is dropped."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._rng = random.Random(seed)
        self._providers: dict[tuple[str, str], TracerProvider] = {}
        self._exporters: list[OTLPSpanExporter] = []

    def run(self, stop: threading.Event) -> None:
        """Send about ``CALLS_PER_S`` calls a second until ``stop`` is set or the parent process is gone."""
        began = time.monotonic()
        parent = os.getppid()
        while not stop.wait(self._rng.expovariate(CALLS_PER_S)) and os.getppid() == parent:
            toxic = is_toxic(time.monotonic() - began)
            index = self._rng.choices(range(len(SERVICES)), weights=(3, 1, 1))[0]
            bad = toxic and index == 0
            unfair = SERVICES[index] is SERVICES[-1]
            turn = play_turn(SERVICES[index], self._rng, toxic_share=0.6 if bad else 0.0, upgraded=bad, unfair=unfair)
            self._send(turn)
        # The server is stopping as well by now: what it no longer takes is not worth a word on the terminal.
        logging.disable(logging.CRITICAL)
        for exporter in self._exporters:
            exporter.shutdown()  # type: ignore[no-untyped-call]  # It has no annotations.
        for provider in self._providers.values():
            provider.shutdown()

    def _provider(self, turn: Turn) -> TracerProvider:
        key = (turn.service.name, turn.deployment)
        if key not in self._providers:
            resource = Resource.create(
                {
                    "service.name": turn.service.name,
                    "deployment.environment.name": "demo",
                    "custodes.deployment": turn.deployment,
                }
            )
            provider = TracerProvider(resource=resource)
            exporter = OTLPSpanExporter(endpoint=f"{self._url}/v1/traces")
            self._exporters.append(exporter)
            provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
            self._providers[key] = provider
        return self._providers[key]

    def _send(self, turn: Turn) -> None:
        """Export one finished trace whose times lie in the immediate past."""
        tracer = self._provider(turn).get_tracer("custodes.demo")
        end_ns = time.time_ns()
        start_ns = end_ns - int(turn.latency_s * 1e9)
        found_ns = start_ns + int(0.15 * (end_ns - start_ns))
        root = tracer.start_span(f"{turn.service.name} request", kind=SpanKind.SERVER, start_time=start_ns)
        parent = set_span_in_context(root)
        search = tracer.start_span(
            "search documents", parent, start_time=start_ns + 1_000_000, attributes=retrieval_attributes(turn)
        )
        search.end(found_ns)
        chat = tracer.start_span(
            f"chat {turn.service.model}",
            parent,
            kind=SpanKind.CLIENT,
            start_time=found_ns + 1_000_000,
            attributes=chat_attributes(turn),
        )
        chat.end(end_ns)
        root.end(end_ns + 5_000_000)


def main() -> None:
    """Send traffic to the address given as first argument until SIGINT or SIGTERM."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    Simulator(sys.argv[1], seed=int(time.time())).run(stop)


if __name__ == "__main__":
    main()
