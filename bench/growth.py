"""Does a span cost the same when there are millions of others? Over real HTTP, on SQLite, to five million spans.

Takes a quarter of an hour and seven gigabytes of disk, so it runs only when named: ``python -m bench growth``.
``BENCH_GROWTH_SPANS`` sets another end. Bodies are reused with new trace ids: texts repeat, rows do not.
"""

from __future__ import annotations

import http.client
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.corpus import SPANS_PER_TRACE, make_body, make_texts
from bench.measurement import Measurement
from bench.processes import Collector, running_collectors

ONLY_WHEN_NAMED = True

_TRACES_PER_BODY = 128
_TEMPLATES = 16
_WINDOW_SPANS = 40_960
_MARKS = (10_000, 100_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000)
_ID_TAG = b"\x0a\x10"


def measure() -> list[Measurement]:
    """Return rate and CPU per span in windows of some 40,000 spans at growing numbers of stored spans."""
    end = int(os.environ.get("BENCH_GROWTH_SPANS", "5000000"))
    rng, texts = random.Random(5), make_texts()
    now_ns = time.time_ns() - 60_000_000_000
    templates = [make_body(rng, texts, traces=_TRACES_PER_BODY, start_ns=now_ns) for _ in range(_TEMPLATES)]
    bodies = [(template, _find_ids(template)) for template in templates]
    found: list[Measurement] = []
    with (
        tempfile.TemporaryDirectory(prefix="custodes-bench-") as folder,
        running_collectors(Path(folder), 1, {}) as (collectors, keys),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", collectors[0].http_port, timeout=120)
        stored, turn = 0, 0

        def send(count: int) -> None:
            nonlocal stored, turn
            while count > 0:
                template, offsets = bodies[turn % _TEMPLATES]
                _post(connection, keys.ingester, _renew(template, offsets, rng))
                turn += 1
                sent = _TRACES_PER_BODY * SPANS_PER_TRACE
                stored += sent
                count -= sent

        for mark in (one for one in _MARKS if one <= end):
            send(mark - stored)
            rate, cpu_us = _time_window(collectors[0], lambda: send(_WINDOW_SPANS))
            found.append(Measurement(f"at {mark:,} spans: one sender", rate, "spans/s"))
            found.append(Measurement(f"at {mark:,} spans: server CPU", cpu_us, "µs/span"))
            print(f"  {mark:>9,} spans: {rate:,.0f} spans/s, {cpu_us:.1f} µs of CPU a span", flush=True)
        cpu = [one.value for one in found if one.unit == "µs/span"]
        found.append(Measurement("CPU per span at the end over the beginning", cpu[-1] / cpu[0], "×"))
        size = sum(one.stat().st_size for one in Path(folder).iterdir() if one.is_file())
        found.append(Measurement("disk, write-ahead log included", size / stored, "bytes/span"))
    return found


def _time_window(collector: Collector, work: Callable[[], None]) -> tuple[float, float]:
    cpu_s, began = collector.cpu_seconds(), time.perf_counter()
    work()
    taken = time.perf_counter() - began
    return _WINDOW_SPANS / taken, 1e6 * (collector.cpu_seconds() - cpu_s) / _WINDOW_SPANS


def _find_ids(body: bytes) -> dict[bytes, list[int]]:
    """Return where each trace id stands: every span of the corpus begins with it."""
    offsets: dict[bytes, list[int]] = {}
    at = body.find(_ID_TAG)
    while at >= 0:
        offsets.setdefault(body[at + 2 : at + 18], []).append(at + 2)
        at = body.find(_ID_TAG, at + 18)
    return {key: places for key, places in offsets.items() if len(places) == SPANS_PER_TRACE}


def _renew(template: bytes, offsets: dict[bytes, list[int]], rng: random.Random) -> bytes:
    body = bytearray(template)
    for places in offsets.values():
        fresh = rng.randbytes(16)
        for at in places:
            body[at : at + 16] = fresh
    return bytes(body)


def _post(connection: http.client.HTTPConnection, key: str, body: bytes) -> None:
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {key}"}
    connection.request("POST", "/v1/traces", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200 or content:
        raise RuntimeError(f"answered {answer.status} {content[:200]!r}")
