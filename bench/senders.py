"""Senders: processes that hold ready-made bodies and do nothing but send them and note when each was answered.

Bodies are made before the clock starts. A sender costs a few tenths of a millisecond of CPU per body, so what is
measured on a small machine is the server.
"""

from __future__ import annotations

import gzip
import http.client
import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

import grpc

from bench.corpus import SPANS_PER_TRACE, make_body, make_texts

Transport = Literal["http", "http+gzip", "grpc"]
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True, slots=True)
class Load:
    """What one sender sends: bodies of ``traces`` traces each, made from ``seed``.

    A body goes out every ``pace_s`` seconds, the first after ``offset_s``; a pace of 0 is flat out.
    """

    transport: Transport
    port: int
    key: str
    seed: int
    bodies: int
    traces: int
    pace_s: float = 0.0
    offset_s: float = 0.0

    @property
    def spans(self) -> int:
        """How many spans it sends."""
        return self.bodies * self.traces * SPANS_PER_TRACE


@dataclass(frozen=True, slots=True)
class Sent:
    """When the first body went out and the last answer came, on one clock for all senders, and how long each took."""

    began_s: float
    ended_s: float
    latencies_s: list[float]


def send_all(loads: Sequence[Load], settle: Callable[[], None] | None = None) -> list[Sent]:
    """Run every load in a process of its own, all starting together, and return what they saw.

    ``settle`` is called when all bodies are made, right before the start. Raises ``RuntimeError`` when any request
    was not acknowledged.
    """
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection[object, object]] = []
    processes = []
    for load in loads:
        ours, theirs = context.Pipe()
        process = context.Process(target=_run_sender, args=(load, theirs), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    if settle is not None:
        settle()
    for pipe in pipes:
        pipe.send("go")
    results = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    failures = [one for one in results if not isinstance(one, Sent)]
    if failures:
        raise RuntimeError(f"a sender failed: {failures[0]}")
    return [one for one in results if isinstance(one, Sent)]


def _run_sender(load: Load, pipe: Connection[object, object]) -> None:
    rng, texts = random.Random(load.seed), make_texts()
    now_ns = time.time_ns() - 60_000_000_000
    bodies = [make_body(rng, texts, traces=load.traces, start_ns=now_ns) for _ in range(load.bodies)]
    if load.transport == "http+gzip":
        bodies = [gzip.compress(body, 6) for body in bodies]
    send = _open_grpc(load) if load.transport == "grpc" else _open_http(load)
    pipe.send("ready")
    pipe.recv()
    latencies: list[float] = []
    began_s = time.monotonic()
    try:
        for number, body in enumerate(bodies):
            due_s = began_s + load.offset_s + number * load.pace_s
            if load.pace_s:
                time.sleep(max(0.0, due_s - time.monotonic()))
            sent_s = time.monotonic()
            send(body)
            # Paced, the time a body had to wait for the one before it counts too.
            latencies.append(time.monotonic() - (due_s if load.pace_s else sent_s))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send(Sent(began_s, time.monotonic(), latencies))


def _open_http(load: Load) -> Callable[[bytes], None]:
    connection = http.client.HTTPConnection("127.0.0.1", load.port, timeout=60)
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {load.key}"}
    if load.transport == "http+gzip":
        headers["content-encoding"] = "gzip"

    def send(body: bytes) -> None:
        while True:
            connection.request("POST", "/v1/traces", body, headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status == 503:
                time.sleep(float(answer.headers.get("retry-after", "1")))
                continue
            if answer.status != 200 or content:
                raise RuntimeError(f"answered {answer.status} {content[:200]!r}")
            return

    return send


def _open_grpc(load: Load) -> Callable[[bytes], None]:
    channel = grpc.insecure_channel(f"127.0.0.1:{load.port}")
    export: Callable[..., bytes] = channel.unary_unary(_EXPORT, request_serializer=None, response_deserializer=None)
    metadata = (("authorization", f"Bearer {load.key}"),)

    def send(body: bytes) -> None:
        content = export(body, timeout=60, metadata=metadata)
        if content:
            raise RuntimeError(f"answered {content[:200]!r}")

    return send
