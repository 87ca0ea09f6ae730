"""The worker: what it commits equals the scores, whatever is sent again, taken over or poisoned."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import orjson
import pytest
from sqlalchemy import func, select

from collector.arrivals import prepare_request
from collector.content import Contents
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.body import Encoding
from collector.otlp.decode import decode_request
from collector.store import store_requests
from custodes.db import Database
from custodes.db.tables import audit_intake, exchange, ingest_batch, ledger_minute, rollup_minute, score, span
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.errors import ConfigurationError, UnavailableError
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings, WorkerSettings
from custodes.runtime import worker as worker_module
from custodes.runtime.batches import claim_batches
from custodes.runtime.demo.history import turns_to_request
from custodes.runtime.demo.script import SERVICES, play_turn
from custodes.runtime.scoring import Scorer
from custodes.runtime.worker import Worker
from detectors.model import DetectorIdentity, Exchange, ExchangeScores, Trait, assessed, not_assessed

NOW_NS = 1_795_000_000 * 10**9
IDENTITY = DetectorIdentity("toxicity/fake", "1.0.0", "sha256:" + "ab" * 32)
POISON = "poison"

Store = Callable[[Sequence[NormalSpan]], None]


class FakeProfile:
    """Scores by length of the response; raises when it meets the poison and nothing says the text is incomplete."""

    @property
    def name(self) -> str:
        return "fake"

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
        results = []
        for one in exchanges:
            if one.incomplete is None and one.response is not None and POISON in one.response:
                raise RuntimeError("cannot swallow this")
            missing = one.incomplete or ("no_response_text" if one.response is None else None)
            made = (
                not_assessed("toxicity", missing, IDENTITY)
                if missing
                else assessed("toxicity", min(1.0, len(one.response or "") / 200), IDENTITY)
            )
            spoken = Trait("language", "assessed", None, {"en": 0.9}, IDENTITY)
            unknown = Trait("prompt_language", "not_assessed", "text_too_short", {}, IDENTITY)
            results.append(ExchangeScores(one.id, (made,), (), (spoken, unknown)))
        return results


@pytest.fixture
def worker(database: Database, contents: Contents) -> Worker:
    settings = WorkerSettings(max_attempts=2)
    return Worker(database, contents, FakeProfile, settings, clock=lambda: NOW_NS, metrics=Metrics(), owner="w1")


def make_spans(seed: int, count: int, *, answer: str | None = None) -> list[NormalSpan]:
    rng = random.Random(seed)
    turns = [(NOW_NS - 2 * MINUTE_NS + n, play_turn(SERVICES[0], rng)) for n in range(count)]
    if answer is not None:
        turns = [(start, replace(turn, answer=answer)) for start, turn in turns]
    body = turns_to_request(turns, rng)
    return [normalise(raw) for raw in decode_request(body, Encoding.PROTOBUF, IngestSettings(), NOW_NS).spans]


@pytest.fixture
def store(database: Database, contents: Contents) -> Store:
    """Store spans of the project ``default``."""

    def run(spans: Sequence[NormalSpan]) -> None:
        request = prepare_request("default", spans, Counter(), NOW_NS, contents)
        with database.write() as tx:
            store_requests(tx, [request], RowIds(), contents)

    return run


def drain(worker: Worker) -> None:
    for _ in range(20):
        if not worker.step():
            return
    raise AssertionError("the worker never ran out of work")


def assert_rollups_equal_scores(database: Database) -> None:
    with database.read() as tx:
        rolled = tx.execute(
            select(
                func.sum(rollup_minute.c.n).label("n"),
                func.sum(rollup_minute.c.not_assessed).label("missing"),
                func.sum(rollup_minute.c.total).label("total"),
            ).where(rollup_minute.c.metric == "toxicity")
        ).one()
        scored = tx.execute(
            select(
                func.count(score.c.value).label("n"), func.count().label("all"), func.sum(score.c.value).label("total")
            )
        ).one()
    assert rolled.n == scored.n
    assert rolled.n + rolled.missing == scored.all
    assert rolled.total == pytest.approx(scored.total)


class TestWorker:
    def test_it_scores_every_exchange_once(self, database: Database, worker: Worker, store: Store) -> None:
        store(make_spans(1, 7))
        store(make_spans(2, 5))
        drain(worker)
        with database.read() as tx:
            assert tx.execute(select(func.count()).select_from(score)).scalar_one() == 12
            assert set(tx.execute(select(ingest_batch.c.state)).scalars()) == {"done"}
            assert tx.execute(select(func.count()).select_from(audit_intake)).scalar_one() == 2
            kept = {bytes(row) for row in tx.execute(select(exchange.c.traits)).scalars()}
            assert [orjson.loads(one) for one in kept] == [
                {"language": {"labels": {"en": 0.9}}, "prompt_language": {"labels": {}, "reason": "text_too_short"}}
            ]
        assert_rollups_equal_scores(database)

    def test_it_scores_a_more_complete_copy_again_and_the_rollups_follow(
        self, database: Database, worker: Worker, store: Store
    ) -> None:
        full = make_spans(3, 4)
        bare = [
            replace(one, output_messages=[], deployment="unknown", service="early", completeness=one.completeness - 1)
            if one.is_exchange
            else one
            for one in full
        ]
        store(bare)
        drain(worker)
        with database.read() as tx:
            assert set(tx.execute(select(score.c.reason)).scalars()) == {"no_response_text"}
        store(full)
        drain(worker)
        with database.read() as tx:
            assert set(tx.execute(select(score.c.state)).scalars()) == {"assessed"}
            missing = tx.execute(
                select(func.sum(rollup_minute.c.not_assessed)).where(rollup_minute.c.metric == "toxicity")
            )
            assert missing.scalar_one() == 0
            services = tx.execute(
                select(ledger_minute.c.service, func.sum(ledger_minute.c.n).label("n"))
                .where(ledger_minute.c.kind == "assessed")
                .group_by(ledger_minute.c.service)
            )
            # Counted where it first arrived: no service's ledger may ever show a negative number.
            assert [(row.service, row.n) for row in services] == [("early", 4)]
            rows = tx.execute(
                select(ledger_minute.c.kind, func.sum(ledger_minute.c.n).label("n")).group_by(ledger_minute.c.kind)
            )
            ledger = {row.kind: row.n for row in rows}
        assert (ledger["exchanges"], ledger["assessed"], ledger["not_assessed"]) == (4, 4, 0)
        assert_rollups_equal_scores(database)

    @pytest.mark.parametrize("scored_between", [True, False])
    def test_it_takes_back_an_exchange_whose_call_another_span_tells(
        self, database: Database, worker: Worker, store: Store, scored_between: bool
    ) -> None:
        turns = make_spans(9, 3)
        outer = [one for one in turns if one.is_exchange]
        inner = [replace(one, span_id=f"{n:016x}", parent_span_id=one.span_id) for n, one in enumerate(outer, 1)]
        store(turns)
        if scored_between:
            drain(worker)
        store(inner)
        drain(worker)
        with database.read() as tx:
            kept = tx.execute(select(span.c.span_id).join(exchange, exchange.c.span_id == span.c.id)).scalars()
            assert sorted(one.hex() for one in kept) == sorted(one.span_id for one in inner)
            assert tx.execute(select(func.count()).select_from(score)).scalar_one() == 3
            assert set(tx.execute(select(ingest_batch.c.state)).scalars()) == {"done"}
            summed = func.sum(ledger_minute.c.n).label("total")
            rows = tx.execute(select(ledger_minute.c.kind, summed).group_by(ledger_minute.c.kind))
            counts = {row.kind: int(row.total) for row in rows}
            tokens = tx.execute(
                select(func.sum(rollup_minute.c.n)).where(rollup_minute.c.metric == "input_tokens")
            ).scalar_one()
        assert (counts["exchanges"], counts["assessed"]) == (3, 3)
        assert tokens == sum(one.input_tokens is not None for one in inner)
        assert_rollups_equal_scores(database)

    def test_it_sets_a_poisoned_batch_aside_and_scores_its_neighbours(
        self, database: Database, worker: Worker, store: Store
    ) -> None:
        store(make_spans(4, 3))
        store(make_spans(5, 2, answer=f"this is {POISON}"))
        store(make_spans(6, 3))
        drain(worker)
        with database.read() as tx:
            states = Counter(tx.execute(select(ingest_batch.c.state)).scalars())
            reasons = Counter(tx.execute(select(score.c.reason)).scalars())
        assert states == {"done": 2, "failed": 1}
        assert reasons == {None: 6, "scoring_failed": 2}
        assert_rollups_equal_scores(database)

    def test_it_writes_nothing_under_a_lost_lease(
        self, database: Database, contents: Contents, worker: Worker, store: Store
    ) -> None:
        store(make_spans(7, 3))
        slow = Scorer(database, contents, FakeProfile(), lambda: NOW_NS, "slow")
        with database.write() as tx:
            claimed = claim_batches(tx, "slow", now_ns=NOW_NS - MINUTE_NS, lease_ns=1, limit=5)
        drain(worker)  # The lease of "slow" has run out by now, and this worker takes over.
        report = slow.score(claimed)
        assert (report.exchanges, report.batches) == (0, 0)
        with database.read() as tx:
            assert tx.execute(select(func.count()).select_from(score)).scalar_one() == 3
            assert tx.execute(select(func.sum(exchange.c.scored_ns / exchange.c.scored_ns))).scalar_one() == 3
        assert_rollups_equal_scores(database)


class TestLoading:
    def test_it_ends_with_one_clear_error_when_waiting_mends_nothing(
        self, database: Database, contents: Contents, caplog: pytest.LogCaptureFixture
    ) -> None:
        def load() -> FakeProfile:
            raise ConfigurationError("scoring needs torch")

        worker = Worker(
            database, contents, load, WorkerSettings(poll_s=0.01), clock=lambda: NOW_NS, metrics=Metrics(), owner="w1"
        )
        with caplog.at_level(logging.ERROR):
            worker.start()
            assert worker.broken.wait(30)
            worker.stop()
        assert worker.problem() == "the worker cannot score: scoring needs torch"
        assert [one.getMessage() for one in caplog.records] == ["the worker cannot score"]

    def test_it_tries_again_and_says_once_what_may_mend_itself(
        self, database: Database, contents: Contents, caplog: pytest.LogCaptureFixture
    ) -> None:
        attempts: list[int] = []

        def load() -> FakeProfile:
            attempts.append(1)
            if len(attempts) < 4:
                raise UnavailableError("the scoring process ended while it loaded the detectors")
            return FakeProfile()

        worker = Worker(
            database, contents, load, WorkerSettings(poll_s=0.01), clock=lambda: NOW_NS, metrics=Metrics(), owner="w1"
        )
        with caplog.at_level(logging.ERROR):
            worker.start()
            assert worker.ready.wait(30)
        while worker.problem() is not None:
            worker.broken.wait(0.01)
        worker.stop()
        assert len(attempts) == 4
        assert [one.getMessage() for one in caplog.records] == ["the worker cannot score"]


class TestStopping:
    def test_it_closes_what_it_loaded(self, database: Database, contents: Contents) -> None:
        closed: list[int] = []

        class Closing(FakeProfile):
            def close(self) -> None:
                closed.append(1)

        worker = Worker(
            database, contents, Closing, WorkerSettings(), clock=lambda: NOW_NS, metrics=Metrics(), owner="w1"
        )
        worker.prepare()
        worker.stop()
        assert closed == [1]

    def test_it_ends_detectors_that_keep_it_waiting(
        self, database: Database, contents: Contents, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker_module, "_STOP_S", 0.05)
        begun, closed = threading.Event(), threading.Event()

        class Hanging(FakeProfile):
            def close(self) -> None:
                closed.set()

            def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
                begun.set()
                assert closed.wait(30)
                raise UnavailableError("the scoring process was ended")

        store(make_spans(8, 2))
        worker = Worker(
            database, contents, Hanging, WorkerSettings(), clock=lambda: NOW_NS, metrics=Metrics(), owner="w1"
        )
        worker.start()
        assert begun.wait(30)
        worker.stop()
        with database.read() as tx:
            assert set(tx.execute(select(ingest_batch.c.state)).scalars()) <= {"leased", "ready"}
