"""Live traffic of the three example services, sent by the real OpenTelemetry SDK and its OTLP exporter.

Run as a process of its own: ``python -m custodes.runtime.demo.simulator URL REGISTRY``. Half a minute after the
start, ``support-bot`` is "upgraded": the alias in the model registry is moved to version 8, which insults its users.
The version that the alias names is the one that answers, so a rollback there ends it at once; if nobody rolls back,
the deployer does after some minutes. The cycle then repeats.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context

from custodes.kernel.errors import UnavailableError
from custodes.runtime.demo.history import chat_attributes, retrieval_attributes
from custodes.runtime.demo.registry import BAD, GOOD, RegistryClient
from custodes.runtime.demo.script import DRIFTING, SERVICES, Turn, play_turn

CYCLE_S = 15 * 60
TOXIC_FROM_S = 20
TOXIC_UNTIL_S = 8 * 60
CALLS_PER_S = 1.2


def is_toxic(elapsed_s: float) -> bool:
    """Return whether its deployer wants version 8 of the support bot ``elapsed_s`` seconds after the start."""
    return TOXIC_FROM_S <= elapsed_s % CYCLE_S < TOXIC_UNTIL_S


class Deployment:
    """Which version of the support bot serves: what the alias in the registry names, read at most once a second."""

    def __init__(self, registry: RegistryClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._wanted = GOOD
        self._serving = GOOD
        self._read_s = float("-inf")

    def serves_bad(self, wants_bad: bool) -> bool:
        """Move the alias when the deployer's wish has changed, and return whether version 8 answers now.

        A registry that does not answer leaves everything as it was.
        """
        wanted = BAD if wants_bad else GOOD
        try:
            if wanted != self._wanted:
                self._registry.deploy(wanted)
                self._wanted, self._read_s = wanted, float("-inf")
            if self._clock() - self._read_s >= 1.0:
                self._serving, self._read_s = self._registry.serving(), self._clock()
        except UnavailableError:
            self._read_s = self._clock()
        return self._serving == BAD


class Simulator:
    """Plays turns and exports their spans until stopped; what waits for export then is dropped."""

    def __init__(self, url: str, seed: int, deployment: Deployment) -> None:
        self._url = url
        self._deployment = deployment
        self._rng = random.Random(seed)
        self._providers: dict[tuple[str, str], TracerProvider] = {}
        self._exporters: list[OTLPSpanExporter] = []

    def run(self, stop: threading.Event) -> None:
        """Send about ``CALLS_PER_S`` calls a second until ``stop`` is set or the parent process is gone."""
        began = time.monotonic()
        parent = os.getppid()
        while not stop.wait(self._rng.expovariate(CALLS_PER_S)) and os.getppid() == parent:
            toxic = self._deployment.serves_bad(is_toxic(time.monotonic() - began))
            index = self._rng.choices(range(len(SERVICES)), weights=(3, 1, 1))[0]
            bad = toxic and index == 0
            service = SERVICES[index]
            turn = play_turn(
                service,
                self._rng,
                toxic_share=0.6 if bad else 0.0,
                upgraded=bad,
                unfair=service is SERVICES[-1],
                drifted=service is DRIFTING,
            )
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
    """Send traffic to the first argument as the registry at the second one says, until SIGINT or SIGTERM."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    Simulator(sys.argv[1], int(time.time()), Deployment(RegistryClient(sys.argv[2]))).run(stop)


if __name__ == "__main__":
    main()
