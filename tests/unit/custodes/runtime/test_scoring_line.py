"""Three claims in hand at a time: in order, kept, given back, and none lost whatever goes wrong."""

from __future__ import annotations

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
from collector.otlp.body import Encoding
from collector.otlp.decode import decode_request
from collector.store import store_requests
from custodes.db import Database
from custodes.db.tables import exchange, ingest_batch, lease, score
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.errors import CustodesError, UnavailableError
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings, WorkerSettings
from custodes.runtime.claims import Claims
from custodes.runtime.demo.history import turns_to_request
from custodes.runtime.demo.script import SERVICES, play_turn
from custodes.runtime.scoring import Scorer
from custodes.runtime.scoring_line import ScoringLine
from detectors.model import DetectorIdentity, Exchange, ExchangeScores, Trait, assessed

NOW_NS = 1_795_000_000 * 10**9
IDENTITY = DetectorIdentity("toxicity/fake", "1.0.0", "sha256:" + "ab" * 32)
LANGUAGE = DetectorIdentity("language/fake", "1.0.0", "sha256:" + "cd" * 32)
Store = Callable[[int], None]


class Profile:
    """Scores everything alike; does what it is told before."""

    name = "fake"
    device = "none"

    def __init__(self, before: Callable[[Sequence[Exchange]], None] = lambda exchanges: None) -> None:
        self.before = before
        self.calls: list[int] = []

    def identities(self) -> tuple[DetectorIdentity, ...]:
        return (IDENTITY, LANGUAGE)

    def metrics(self) -> tuple[str, ...]:
        return ("toxicity",)

    def warm_up(self) -> None:
        """Nothing to warm."""

    def close(self) -> None:
        """Nothing to close."""

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
        self.calls.append(len(exchanges))
        self.before(exchanges)
        traits = (Trait("language", "assessed", None, {"en": 0.75}, LANGUAGE),)
        return [ExchangeScores(one.id, (assessed("toxicity", 0.5, IDENTITY),), (), traits) for one in exchanges]


@pytest.fixture
def store(database: Database, contents: Contents) -> Store:
    """Store one ingest batch of that many exchanges."""
    ids = RowIds()
    seeds = iter(range(100))

    def run(count: int) -> None:
        rng = random.Random(next(seeds))
        body = turns_to_request([(NOW_NS - 2 * MINUTE_NS + n, play_turn(SERVICES[0], rng)) for n in range(count)], rng)
        spans = [normalise(raw) for raw in decode_request(body, Encoding.PROTOBUF, IngestSettings(), NOW_NS).spans]
        request = prepare_request("default", spans, Counter(), NOW_NS, contents)
        with database.write() as tx:
            store_requests(tx, [request], ids, contents)

    return run


def make_line(database: Database, contents: Contents, profile: Profile, **settings: int) -> ScoringLine:
    chosen = WorkerSettings.model_validate({"batches": 1, "max_attempts": 2, "poll_s": 0.01, **settings})
    scorer = Scorer(database, contents, profile, lambda: NOW_NS, "w1")
    return ScoringLine(Claims(database, chosen, lambda: NOW_NS, "w1"), scorer, chosen, Metrics())


def count_states(database: Database) -> dict[str, int]:
    with database.read() as tx:
        return dict(Counter(tx.execute(select(ingest_batch.c.state)).scalars()))


class Ending:
    """A stop event that is set once nothing has been left to do for a turn."""

    def __init__(self, database: Database) -> None:
        self.event = threading.Event()
        self._database = database

    def turn(self) -> None:
        if set(count_states(self._database)) <= {"done", "failed"}:
            self.event.set()


class TestRunning:
    def test_it_takes_every_batch_through(self, database: Database, contents: Contents, store: Store) -> None:
        for count in (3, 1, 4, 2):
            store(count)
        ending = Ending(database)
        profile = Profile()
        make_line(database, contents, profile).run(ending.event, ending.turn)
        assert profile.calls == [3, 1, 4, 2]
        with database.read() as tx:
            assert tx.execute(select(func.count()).select_from(score)).scalar_one() == 10
            assert set(tx.execute(select(ingest_batch.c.attempts)).scalars()) == {1}
            assert tx.execute(select(func.count()).select_from(lease)).scalar_one() <= 1

    def test_it_reads_the_next_claim_while_one_is_judged(
        self, database: Database, contents: Contents, store: Store
    ) -> None:
        for _ in range(2):
            store(1)
        ending = Ending(database)
        leased: list[int] = []

        def wait_for_the_next_claim(_: Sequence[Exchange]) -> None:
            if not leased:
                while count_states(database).get("leased", 0) < 2:
                    threading.Event().wait(0.005)
                leased.append(2)

        make_line(database, contents, Profile(wait_for_the_next_claim)).run(ending.event, ending.turn)
        assert leased == [2]
        assert count_states(database) == {"done": 2}

    def test_it_gives_back_what_it_has_not_begun_when_stopped(
        self, database: Database, contents: Contents, store: Store
    ) -> None:
        for _ in range(3):
            store(1)
        stop = threading.Event()
        profile = Profile(lambda _: stop.set())
        make_line(database, contents, profile).run(stop, lambda: None)
        # The one in hand is finished; one that was read ahead is judged too or goes back, none stays leased.
        states = count_states(database)
        assert "leased" not in states
        assert states["done"] == len(profile.calls)
        assert states["done"] + states.get("ready", 0) == 3

    def test_it_stores_traits_with_the_exchange(self, database: Database, contents: Contents, store: Store) -> None:
        store(2)
        make_line(database, contents, Profile()).step()
        with database.read() as tx:
            found = tx.execute(select(exchange.c.traits)).scalars().all()
        assert [orjson.loads(one) for one in found] == [{"language": {"labels": {"en": 0.75}}}] * 2

    def test_it_marks_exchanges_alike_whether_told_alike_or_not(
        self, database: Database, contents: Contents, store: Store
    ) -> None:
        class Telling(Profile):
            def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
                answers = super().score(exchanges)
                traits = [
                    (Trait("language", "assessed", None, {one.id[:4]: 0.5}, LANGUAGE),)
                    if number % 2
                    else (Trait("language", "not_assessed", "no_text", {}, LANGUAGE),)
                    for number, one in enumerate(answers)
                ]
                return [replace(one, traits=told) for one, told in zip(answers, traits, strict=True)]

        store(9)
        make_line(database, contents, Telling()).step()
        with database.read() as tx:
            rows = tx.execute(select(exchange)).all()
        told = [orjson.loads(row.traits)["language"] for row in rows]
        assert sum("reason" in one for one in told) == 5
        assert len({str(one) for one in told}) == 5
        assert {row.scored_ns for row in rows} == {NOW_NS}
        assert {row.rolled_minute for row in rows} == {row.at_ns // MINUTE_NS for row in rows}
        assert all(row.rolled_segment_id == row.segment_id for row in rows)


class TestFailures:
    def test_it_sets_aside_a_claim_that_always_fails_and_scores_the_others(
        self, database: Database, contents: Contents, store: Store
    ) -> None:
        for count in (1, 2, 1):
            store(count)

        def fail(exchanges: Sequence[Exchange]) -> None:
            if len(exchanges) == 2 and exchanges[0].incomplete is None:
                raise CustodesError("scoring failed as a whole")

        ending = Ending(database)
        make_line(database, contents, Profile(fail)).run(ending.event, ending.turn)
        assert count_states(database) == {"done": 2, "failed": 1}
        with database.read() as tx:
            errors = set(tx.execute(select(ingest_batch.c.error)).scalars())
        assert errors == {None, "CustodesError: scoring failed as a whole"}

    def test_it_burns_no_attempt_when_the_detectors_cannot_be_reached(
        self, database: Database, contents: Contents, store: Store
    ) -> None:
        store(1)
        store(1)

        def fail(_: Sequence[Exchange]) -> None:
            raise UnavailableError("the scoring process cannot be started")

        with pytest.raises(UnavailableError):
            make_line(database, contents, Profile(fail)).run(threading.Event(), lambda: None)
        states = count_states(database)
        assert sum(states.values()) == states.get("leased", 0) + states.get("ready", 0) == 2
        with database.read() as tx:
            assert (
                tx.execute(
                    select(func.count()).select_from(exchange).where(exchange.c.scored_ns.is_not(None))
                ).scalar_one()
                == 0
            )

    def test_it_raises_what_went_wrong_behind_its_back(
        self, database: Database, contents: Contents, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store(1)

        def fail(*_: object) -> None:
            raise UnavailableError("the disk is full")

        monkeypatch.setattr(Scorer, "commit", fail)
        with pytest.raises(UnavailableError, match="the disk is full"):
            make_line(database, contents, Profile()).run(threading.Event(), lambda: None)
