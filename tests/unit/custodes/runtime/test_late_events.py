"""An exchange whose text comes as log events is scored with it, also when the events come after the first score."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import pytest
from sqlalchemy import select

from collector.arrivals import prepare_request
from collector.content import Contents
from collector.dialects.normalise import normalise
from collector.otlp.body import Encoding
from collector.otlp.spans import RawSpan
from collector.signals import SignalIntake
from collector.store import store_requests
from custodes.db import Database
from custodes.db.tables import ledger_minute, score
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings, WorkerSettings
from custodes.runtime.worker import Worker
from detectors.model import DetectorIdentity, Exchange, ExchangeScores, assessed, not_assessed

NOW_NS = 1_795_000_000 * 10**9
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
IDENTITY = DetectorIdentity("toxicity/fake", "1.0.0", "sha256:" + "ab" * 32)


class LengthProfile:
    """Scores by the length of the response."""

    @property
    def name(self) -> str:
        return "length"

    def metrics(self) -> tuple[str, ...]:
        return ("toxicity",)

    def identities(self) -> tuple[DetectorIdentity, ...]:
        return (IDENTITY,)

    @property
    def device(self) -> str:
        return "none"

    def close(self) -> None:
        """Nothing to close."""

    def warm_up(self) -> None:
        """Nothing to warm."""

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
        return [
            ExchangeScores(
                one.id,
                (
                    not_assessed("toxicity", "no_response_text", IDENTITY)
                    if one.response is None
                    else assessed("toxicity", len(one.response) / 100, IDENTITY),
                ),
                (),
            )
            for one in exchanges
        ]


@pytest.fixture
def worker(database: Database, contents: Contents) -> Worker:
    return Worker(
        database,
        contents,
        LengthProfile,
        WorkerSettings(),
        clock=lambda: NOW_NS,
        metrics=Metrics(),
        owner="w1",
    )


def store_span(database: Database, contents: Contents) -> None:
    """Store one call without text."""
    raw = RawSpan(
        resource={"service.name": "bot"},
        scope="test",
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        parent_span_id=None,
        name="chat gpt",
        kind=3,
        start_ns=NOW_NS - 2 * 10**9,
        end_ns=NOW_NS - 10**9,
        complete=True,
        status=0,
        status_message="",
        attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"},
        events=[],
        dropped_attributes=0,
    )
    request = prepare_request("default", [normalise(raw)], Counter(), NOW_NS, contents)
    with database.write() as tx:
        store_requests(tx, [request], RowIds(), contents)


def ingest_event(database: Database, contents: Contents) -> None:
    """Take the answer of that call as a log event."""
    record = {
        "eventName": "gen_ai.choice",
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "body": {"stringValue": json.dumps({"message": {"content": "x" * 40}, "finish_reason": "stop"})},
    }
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    signals = SignalIntake(database, contents, IngestSettings(), Metrics(), lambda: NOW_NS)
    assert signals.ingest_logs("default", body, Encoding.JSON).accepted == 1


def scores(database: Database) -> list[tuple[str, float | None]]:
    with database.read() as tx:
        return [(row.state, row.value) for row in tx.execute(select(score.c.state, score.c.value))]


class TestWorker:
    def test_it_scores_text_of_events_that_came_before(
        self, database: Database, contents: Contents, worker: Worker
    ) -> None:
        ingest_event(database, contents)
        store_span(database, contents)
        assert worker.step() == 1
        assert scores(database) == [("assessed", 0.4)]
        assert worker.step() == 0

    def test_it_scores_again_with_those_that_came_after(
        self, database: Database, contents: Contents, worker: Worker
    ) -> None:
        store_span(database, contents)
        worker.step()
        assert scores(database) == [("not_assessed", None)]
        ingest_event(database, contents)
        assert worker.step() == 1
        assert scores(database) == [("assessed", 0.4)]
        with database.read() as tx:
            rows = tx.execute(select(ledger_minute.c.kind, ledger_minute.c.n).where(ledger_minute.c.n != 0))
            counted = {row.kind: row.n for row in rows}
        assert counted == {"received": 1, "stored": 1, "exchanges": 1, "assessed": 1}
