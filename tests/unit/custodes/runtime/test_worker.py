"""The worker: what it commits equals the scores, whatever is sent again, taken over or poisoned."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

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
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings, WorkerSettings
from custodes.runtime.batches import claim_batches
from custodes.runtime.demo.history import turns_to_request
from custodes.runtime.demo.script import SERVICES, play_turn
from custodes.runtime.scoring import Scorer
from custodes.runtime.worker import Worker
from detectors.model import DetectorIdentity, Exchange, ExchangeScores, assessed, not_assessed

NOW_NS = 1_795_000_000 * 10**9
IDENTITY = DetectorIdentity("toxicity/fake", "1.0.0", "sha256:" + "ab" * 32)
POISON = "poison"

Store = Callable[[Sequence[NormalSpan]], None]


class FakeProfile:
    """Scores by length of the response; raises when it meets the poison and nothing says the text is incomplete."""

    @property
    def name(self) -> str:
        return "fake"

    def identities(self) -> tuple[DetectorIdentity, ...]:
        return (IDENTITY,)

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
            results.append(ExchangeScores(one.id, (made,), ()))
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
