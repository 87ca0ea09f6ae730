"""Spans are answered for after the commit, never before, and one bad request fails alone."""

from __future__ import annotations

import gzip
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from collector.content import Contents
from collector.dialects.span import NormalSpan
from collector.intake import Intake
from collector.otlp.spans import DecodedRequest, RawSpan, Rejection
from collector.store import StoreOutcome
from custodes.db import Database, WriteTx
from custodes.db.tables import ingest_batch, span
from custodes.kernel.errors import (
    ConflictError,
    DatabaseError,
    MalformedError,
    OverloadedError,
    TooLargeError,
    UnsupportedError,
)
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings

Chat = Callable[..., NormalSpan]
FOLDER = Path(__file__).parents[2] / "data" / "otlp"
WAIT_S = 30


class GatedDatabase:
    """A database whose next writes wait at a gate, and fail as told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.failures: list[Exception] = []
        self.writes = 0

    @contextmanager
    def write(self) -> Iterator[WriteTx]:
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        self.writes += 1
        with self.database.write() as tx:
            yield tx
            if self.failures:
                raise self.failures.pop(0)


@pytest.fixture
def gated(database: Database) -> GatedDatabase:
    """The database behind a gate that is open."""
    return GatedDatabase(database)


@pytest.fixture
def metrics() -> Metrics:
    """Fresh metrics."""
    return Metrics()


@pytest.fixture
def intake(gated: GatedDatabase, contents: Contents, metrics: Metrics, now_ns: int) -> Iterator[Intake]:
    """A started intake with a queue of ten spans."""
    settings = IngestSettings(queue_spans=10)
    one = Intake(gated, contents, settings, metrics, lambda: now_ns)  # type: ignore[arg-type]
    one.start()
    yield one
    gated.gate.set()
    one.stop()


def block(intake: Intake, gated: GatedDatabase, chat_span: Chat) -> Future[StoreOutcome]:
    """Close the gate and send one request that waits at it, so that later ones queue up behind."""
    gated.gate.clear()
    gated.entered.clear()
    future = intake.submit_spans("default", [chat_span(span_id="f" * 16)])
    assert gated.entered.wait(WAIT_S)
    return future


def stored_ids(database: Database) -> set[str]:
    with database.read() as tx:
        return {row.hex() for row in tx.execute(select(span.c.span_id)).scalars()}


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


class TestAcknowledgement:
    def test_the_future_resolves_only_after_the_commit(
        self, intake: Intake, gated: GatedDatabase, chat_span: Chat
    ) -> None:
        future = block(intake, gated, chat_span)
        assert not future.done()
        assert stored_ids(gated.database) == set()
        gated.gate.set()
        assert future.result(WAIT_S).stored == 1
        assert stored_ids(gated.database) == {"f" * 16}

    def test_raw_spans_are_normalised_on_the_way(
        self, intake: Intake, database: Database, raw_span: Callable[..., RawSpan]
    ) -> None:
        decoded = DecodedRequest([raw_span()], Counter({Rejection("bot", "too_deep"): 2}))
        outcome = intake.submit("default", decoded).result(WAIT_S)
        assert (outcome.stored, outcome.rejected.total()) == (1, 2)

    def test_requests_that_wait_share_one_commit_and_keep_their_own_batch(
        self, intake: Intake, gated: GatedDatabase, chat_span: Chat
    ) -> None:
        first = block(intake, gated, chat_span)
        futures = [intake.submit_spans("default", [chat_span(span_id=f"{n:016x}")]) for n in range(1, 9)]
        gated.gate.set()
        outcomes = [future.result(WAIT_S) for future in [first, *futures]]
        assert gated.writes == 2
        assert len({one.batch_id for one in outcomes}) == 9
        with gated.database.read() as tx:
            assert len(tx.execute(select(ingest_batch)).all()) == 9

    def test_an_empty_request_is_a_success(self, intake: Intake) -> None:
        assert intake.submit_spans("default", []).result(WAIT_S) == StoreOutcome(None, 0, 0)


class TestFailure:
    def test_a_poisonous_request_fails_alone(self, intake: Intake, gated: GatedDatabase, chat_span: Chat) -> None:
        first = block(intake, gated, chat_span)
        good = intake.submit_spans("default", [chat_span(span_id="1" * 16)])
        bad = intake.submit_spans("nowhere", [chat_span(span_id="2" * 16)])
        also_good = intake.submit_spans("default", [chat_span(span_id="3" * 16)])
        gated.gate.set()
        assert [future.result(WAIT_S).stored for future in (first, good, also_good)] == [1, 1, 1]
        with pytest.raises(ConflictError):
            bad.result(WAIT_S)
        assert stored_ids(gated.database) == {"f" * 16, "1" * 16, "3" * 16}

    @pytest.mark.parametrize("error", [ConflictError("taken"), DatabaseError("deadlock")])
    def test_a_passing_failure_is_tried_again(
        self, intake: Intake, gated: GatedDatabase, chat_span: Chat, error: Exception
    ) -> None:
        gated.failures = [error, error]
        assert intake.submit_spans("default", [chat_span()]).result(WAIT_S).stored == 1

    def test_a_lasting_failure_reaches_the_caller_and_nothing_is_kept(
        self, intake: Intake, gated: GatedDatabase, chat_span: Chat, metrics: Metrics
    ) -> None:
        gated.failures = [DatabaseError("gone")] * 3
        with pytest.raises(DatabaseError, match="gone"):
            intake.submit_spans("default", [chat_span()]).result(WAIT_S)
        assert stored_ids(gated.database) == set()
        assert sample(metrics, "custodes_spans_received_total") == 0

    def test_the_writer_survives_what_nobody_foresaw(
        self, intake: Intake, gated: GatedDatabase, chat_span: Chat
    ) -> None:
        gated.failures = [RuntimeError("bug")]
        with pytest.raises(RuntimeError):
            intake.submit_spans("default", [chat_span()]).result(WAIT_S)
        assert intake.submit_spans("default", [chat_span()]).result(WAIT_S).stored == 1

    def test_a_caller_that_gave_up_is_skipped(self, intake: Intake, gated: GatedDatabase, chat_span: Chat) -> None:
        block(intake, gated, chat_span)
        waiting = intake.submit_spans("default", [chat_span(span_id="1" * 16)])
        assert waiting.cancel()
        gated.gate.set()
        assert intake.submit_spans("default", [chat_span(span_id="2" * 16)]).result(WAIT_S).stored == 1
        assert stored_ids(gated.database) == {"f" * 16, "2" * 16}


class TestOverload:
    def test_a_full_queue_refuses_at_once_and_loses_nothing_it_took(
        self, intake: Intake, gated: GatedDatabase, chat_span: Chat, metrics: Metrics
    ) -> None:
        first = block(intake, gated, chat_span)
        taken = [intake.submit_spans("default", [chat_span(span_id=f"{n:016x}")]) for n in range(1, 11)]
        assert sample(metrics, "custodes_ingest_queue_spans") == 10
        with pytest.raises(OverloadedError, match="CUSTODES_INGEST__QUEUE_SPANS") as caught:
            intake.submit_spans("default", [chat_span(span_id="a" * 16)])
        assert 0 < caught.value.retry_after_s <= 5
        assert sample(metrics, "custodes_ingest_overloads_total") == 1
        gated.gate.set()
        assert all(future.result(WAIT_S).stored == 1 for future in [first, *taken])
        assert "a" * 16 not in stored_ids(gated.database)
        assert sample(metrics, "custodes_ingest_queue_spans") == 0

    def test_a_request_larger_than_the_queue_is_taken_when_nothing_waits(self, intake: Intake, chat_span: Chat) -> None:
        spans = [chat_span(span_id=f"{n:016x}") for n in range(1, 31)]
        assert intake.submit_spans("default", spans).result(WAIT_S).stored == 30

    def test_refused_spans_take_room_too(self, intake: Intake, gated: GatedDatabase, chat_span: Chat) -> None:
        block(intake, gated, chat_span)
        intake.submit_spans("default", [], Counter({Rejection("bot", "too_deep"): 10}))
        with pytest.raises(OverloadedError):
            intake.submit_spans("default", [chat_span()])


class TestStop:
    def test_it_answers_everything_it_took_and_then_refuses(
        self, intake: Intake, gated: GatedDatabase, chat_span: Chat
    ) -> None:
        first = block(intake, gated, chat_span)
        taken = [intake.submit_spans("default", [chat_span(span_id=f"{n:016x}")]) for n in range(1, 6)]
        stopper = threading.Thread(target=intake.stop)
        stopper.start()
        gated.gate.set()
        stopper.join(WAIT_S)
        assert all(future.done() and future.result().stored == 1 for future in [first, *taken])
        with pytest.raises(OverloadedError, match="stopping"):
            intake.submit_spans("default", [chat_span()])

    def test_before_start_nothing_is_taken(
        self, database: Database, contents: Contents, metrics: Metrics, chat_span: Chat
    ) -> None:
        with pytest.raises(OverloadedError):
            Intake(database, contents, IngestSettings(), metrics).submit_spans("default", [chat_span()])

    def test_stopping_what_never_started_returns(
        self, database: Database, contents: Contents, metrics: Metrics
    ) -> None:
        Intake(database, contents, IngestSettings(), metrics).stop()


class TestBody:
    def test_a_recorded_request_is_stored(self, intake: Intake, database: Database) -> None:
        body = (FOLDER / "openinference-0.1.66.bin").read_bytes()
        outcome = intake.ingest_body("default", gzip.compress(body), "application/x-protobuf", "gzip").result(WAIT_S)
        assert (outcome.stored, outcome.exchanges) == (2, 2)
        again = intake.ingest_body("default", body, "application/x-protobuf").result(WAIT_S)
        assert (again.stored, again.duplicates) == (0, 2)
        assert stored_ids(database) == {"2918bccf3bcf6235", "fe60dbe0749405cd"}

    @pytest.mark.parametrize(
        ("body", "content_type", "encoding", "error"),
        [
            (b"x", "text/plain", None, UnsupportedError),
            (b"x", "application/json", "br", UnsupportedError),
            (b"x", "application/json", "gzip", MalformedError),
            (b"x", "application/json", None, MalformedError),
            (b"x" * (21 * 1024 * 1024), "application/json", None, TooLargeError),
        ],
    )
    def test_a_bad_body_is_refused_before_the_queue(
        self, intake: Intake, body: bytes, content_type: str, encoding: str | None, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            intake.ingest_body("default", body, content_type, encoding)


class TestMetrics:
    def test_they_add_up(self, intake: Intake, metrics: Metrics, chat_span: Chat) -> None:
        rejected = Counter({Rejection("bot", "too_deep"): 2})
        intake.submit_spans("default", [chat_span(), chat_span()], rejected).result(WAIT_S)
        counted: dict[str, Any] = {
            name: sample(metrics, f"custodes_spans_{name}_total") for name in ("received", "stored", "duplicate")
        }
        assert counted == {"received": 4.0, "stored": 1.0, "duplicate": 1.0}
        assert sample(metrics, "custodes_spans_rejected_total", reason="too_deep") == 2
        assert sample(metrics, "custodes_ingest_commit_seconds_count") == 1

    def test_the_age_of_the_oldest_waiting_request_is_shown(
        self, database: Database, contents: Contents, metrics: Metrics, chat_span: Chat
    ) -> None:
        gated, time_ns = GatedDatabase(database), [0]
        intake = Intake(gated, contents, IngestSettings(), metrics, lambda: time_ns[0])  # type: ignore[arg-type]
        intake.start()
        block(intake, gated, chat_span)
        waiting = intake.submit_spans("default", [chat_span()])
        time_ns[0] = 3_000_000_000
        assert sample(metrics, "custodes_ingest_queue_age_seconds") == 3.0
        gated.gate.set()
        waiting.result(WAIT_S)
        assert sample(metrics, "custodes_ingest_queue_age_seconds") == 0.0
        intake.stop()
