"""Whatever arrives as logs or metrics, only our errors come out, and what was stored can be read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.content import Contents
from collector.otlp.body import Encoding
from collector.rest.parameters import TimeRange
from collector.rest.queries.metrics import MetricRequest, list_metrics, load_metric
from collector.signals import SignalIntake
from collector.store_events import read_events
from custodes.db import Database
from custodes.db.tables import genai_event
from custodes.kernel.errors import InvalidInputError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings

FOLDER = Path(__file__).parents[2] / "data" / "otlp"
LOGS = [path.read_bytes() for path in sorted(FOLDER.glob("genai-1.3b0-*-logs.bin"))]
METRICS = [path.read_bytes() for path in sorted(FOLDER.glob("genai-1.3b0-*-metrics.bin"))]
QUICK = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def mutated(draw: st.DrawFn, bodies: list[bytes]) -> bytes:
    """Return a recorded body with bytes changed but no lengths, so that most of it is still read."""
    body = bytearray(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(1, 12))):
        at = draw(st.integers(0, len(body) - 1))
        body[at] = draw(st.one_of(st.integers(0, 255), st.sampled_from([0, 0xFF, 0x7F, 0x80])))
    return bytes(body)


@pytest.fixture
def signals(database: Database, contents: Contents, now_ns: int) -> SignalIntake:
    return SignalIntake(database, contents, IngestSettings(max_depth=8), Metrics(), lambda: now_ns)


class TestMutatedRecordings:
    @given(body=mutated(LOGS))
    @QUICK
    def test_logs_are_stored_and_read_or_refused(
        self, signals: SignalIntake, database: Database, contents: Contents, body: bytes
    ) -> None:
        try:
            signals.ingest_logs("default", body, Encoding.PROTOBUF)
        except InvalidInputError:
            return
        with database.read() as tx:
            keys = [(row.trace_id, row.span_id) for row in tx.execute(genai_event.select())]
            assert set(read_events(tx, contents, "default", keys)) == set(keys)

    @given(body=mutated(METRICS))
    @QUICK
    def test_metrics_are_stored_and_read_or_refused(
        self, signals: SignalIntake, database: Database, now_ns: int, body: bytes
    ) -> None:
        try:
            signals.ingest_metrics("default", body, Encoding.PROTOBUF)
        except InvalidInputError:
            return
        span = TimeRange(now_ns - 300 * 86_400 * 10**9, now_ns)
        with database.read() as tx:
            for row in list_metrics(tx, "default"):
                load_metric(tx, "default", MetricRequest(row["name"], span, None, None, ("service",)))
