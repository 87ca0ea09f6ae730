"""The loss ledger adds up, whatever mix of new, repeated, completed, refused, late and rescored spans arrives."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from collector.arrivals import prepare_request
from collector.auth import create_project
from collector.content import Contents
from collector.dialects.normalise import normalise
from collector.ledger_figures import LedgerFigures
from collector.otlp.spans import RawSpan, Rejection
from collector.rest.queries.ledger import LedgerTotals, load_ledger, load_ledger_minutes
from collector.store import store_requests
from custodes.db import Database
from custodes.db.tables import exchange, span
from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from custodes.kernel.errors import DatabaseError
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import WorkerSettings
from custodes.runtime.worker import Worker
from detectors.model import DetectorIdentity, Exchange, ExchangeScores, assessed, not_assessed

NOW_NS = 1_795_000_020 * SECOND_NS
IDENTITY = DetectorIdentity("toxicity/fake", "1.0.0", "sha256:" + "ab" * 32)
POISON = "poison"
Sent = tuple[int, int, str, str]
"""Trace, span, shape and service of one span that a client sends."""


class Profile:
    """Assesses what has a response; cannot swallow poison."""

    name = "fake"

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
        if any(one.incomplete is None and one.response == POISON for one in exchanges):
            raise RuntimeError("cannot swallow this")
        return [ExchangeScores(one.id, (self._score(one),), ()) for one in exchanges]

    def _score(self, one: Exchange) -> Any:
        missing = one.incomplete or ("no_response_text" if one.response is None else None)
        return not_assessed("toxicity", missing, IDENTITY) if missing else assessed("toxicity", 0.1, IDENTITY)


SHAPES = ("bare", "prompt", "full", "poison", "unfinished", "documents", "plain", "agent")
spans_sent = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 4), st.sampled_from(SHAPES), st.sampled_from(["bot", "search"])),
    max_size=6,
)
refused = st.dictionaries(
    st.builds(Rejection, st.sampled_from(["bot", ""]), st.sampled_from(["too_deep", "zero_trace_id"])),
    st.integers(1, 3),
    max_size=2,
)
steps = st.lists(
    st.one_of(st.just("score"), st.just("minute"), st.tuples(st.lists(st.tuples(spans_sent, refused), max_size=3))),
    min_size=1,
    max_size=8,
)


class World:
    """A project of its own, a clock, a worker; balanced after every step."""

    numbers = itertools.count()

    def __init__(self, database: Database, contents: Contents) -> None:
        self.project = f"p{next(self.numbers)}"
        self.database = database
        self.contents = contents
        self.now_ns = NOW_NS
        self.rows = RowIds()
        self.sent = 0
        self.refused = 0
        with database.write() as tx:
            create_project(tx, self.project, actor="t", actor_role="", now_ns=NOW_NS)
        options = WorkerSettings(max_attempts=1)
        self.worker = Worker(
            database, contents, Profile, options, clock=lambda: self.now_ns, metrics=Metrics(), owner="w"
        )

    def send(self, requests: Sequence[tuple[list[Sent], dict[Rejection, int]]]) -> None:
        prepared = [
            prepare_request(
                self.project, [normalise(self.raw(*one)) for one in spans], Counter(no), self.now_ns, self.contents
            )
            for spans, no in requests
        ]
        with self.database.write() as tx:
            store_requests(tx, prepared, self.rows, self.contents)
        self.sent += sum(len(spans) + sum(no.values()) for spans, no in requests)
        self.refused += sum(sum(no.values()) for _, no in requests)

    def raw(self, trace: int, number: int, shape: str, service: str) -> RawSpan:
        attributes: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"}
        texts = {"prompt": ("hello", None), "full": ("hello", "hi"), "poison": ("hello", POISON), "agent": ("a", "b")}
        for name, role, text in zip(("input", "output"), ("user", "assistant"), texts.get(shape, ()), strict=False):
            if text is not None:
                parts = [{"type": "text", "content": text}]
                attributes[f"gen_ai.{name}.messages"] = [{"role": role, "parts": parts}]
        if shape == "agent":
            attributes["gen_ai.operation.name"] = "invoke_agent"
        if shape == "documents":
            attributes = {"openinference.span.kind": "RETRIEVER", "retrieval.documents.0.document.content": "fact"}
        if shape == "plain":
            attributes = {"http.route": "/"}
        return RawSpan(
            resource={"service.name": service},
            scope="test",
            trace_id=f"{trace + 1:032x}",
            span_id=f"{number + 1:016x}",
            # Each span may be the child of the one before, so that a call can be told twice.
            parent_span_id=f"{number:016x}" if number else None,
            name="call",
            kind=3,
            start_ns=NOW_NS - MINUTE_NS + number * SECOND_NS,
            end_ns=NOW_NS - MINUTE_NS + (number + 1) * SECOND_NS,
            complete=shape != "unfinished",
            status=0,
            status_message="",
            attributes=attributes,
            events=[],
            dropped_attributes=0,
        )

    def score(self) -> None:
        for _ in range(20):
            if not self.worker.step():
                return
        raise AssertionError("the worker never ran out of work")

    def check(self) -> LedgerTotals:
        """Fail unless every minute of every service balances, and all of it equals what is stored."""
        with self.database.read() as tx:
            total = load_ledger(tx, self.project)
            minutes = load_ledger_minutes(
                tx, self.project, from_ns=0, to_ns=NOW_NS + DAY_NS, service=None, after=None, limit=500
            )
            spans = tx.execute(select(func.count()).where(span.c.project_id == self.project)).scalar_one()
            waiting = select(func.count()).where(exchange.c.project_id == self.project)
            unscored = tx.execute(waiting.where(exchange.c.scored_ns.is_(None))).scalar_one()
            exchanges = tx.execute(waiting).scalar_one()
        for one in [total, *(minute.totals for minute in minutes)]:
            counts = one.counts
            assert counts["received"] == counts["stored"] + counts["duplicates"] + one.rejected.total()
            assert counts["exchanges"] == counts["assessed"] + one.not_assessed.total() + one.pending
            assert min([one.pending, *counts.values(), *one.rejected.values(), *one.not_assessed.values()]) >= 0
        for kind in total.counts:
            assert sum(minute.totals.counts[kind] for minute in minutes) == total.counts[kind]
        assert (total.counts["received"], total.rejected.total()) == (self.sent, self.refused)
        assert (total.counts["stored"], total.counts["exchanges"]) == (spans, exchanges)
        assert total.pending == unscored
        return total


class TestBalance:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps)
    def test_it_holds_after_every_step(self, database: Database, contents: Contents, steps: list[Any]) -> None:
        world = World(database, contents)
        for step in steps:
            if step == "score":
                world.score()
            elif step == "minute":
                world.now_ns += MINUTE_NS
            else:
                world.send(*step)
            world.check()
        world.score()
        assert world.check().pending == 0


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one metric by the values of its labels."""
    metrics.render()
    return {
        tuple(one.labels.values()): one.value
        for family in metrics.registry.collect()
        for one in family.samples
        if one.name == name
    }


class TestFigures:
    """The same sums at ``/metrics``."""

    @pytest.fixture
    def world(self, database: Database, contents: Contents) -> World:
        return World(database, contents)

    @pytest.fixture
    def metrics(self, world: World) -> Metrics:
        metrics = Metrics()
        metrics.refresh_with(LedgerFigures(world.database, metrics, lambda: world.now_ns).refresh)
        return metrics

    def sums(self, metrics: Metrics) -> dict[str, float]:
        """Return the sums by kind or state over everything else."""
        found: Counter[str] = Counter()
        for name in ("custodes_ledger_spans_total", "custodes_ledger_exchanges"):
            for labels, value in samples(metrics, name).items():
                found[labels[2]] += int(value)
        return dict(found)

    def test_they_equal_the_ledger_by_project_service_kind_and_reason(self, world: World, metrics: Metrics) -> None:
        world.send([([(0, 0, "full", "bot"), (1, 0, "bare", "search")], {Rejection("bot", "too_deep"): 2})])
        world.send([([(0, 0, "full", "bot")], {})])
        spans = samples(metrics, "custodes_ledger_spans_total")
        assert spans == {
            (world.project, "bot", "received", ""): 4,
            (world.project, "bot", "stored", ""): 1,
            (world.project, "bot", "duplicates", ""): 1,
            (world.project, "bot", "rejected", "too_deep"): 2,
            (world.project, "search", "received", ""): 1,
            (world.project, "search", "stored", ""): 1,
        }
        assert samples(metrics, "custodes_ledger_exchanges")[world.project, "bot", "pending", ""] == 1
        world.score()
        world.now_ns += MINUTE_NS
        found = samples(metrics, "custodes_ledger_exchanges")
        assert found[world.project, "bot", "assessed", ""] == found[world.project, "bot", "seen", ""] == 1
        assert found[world.project, "bot", "pending", ""] == 0
        assert found[world.project, "search", "not_assessed", "no_response_text"] == 1

    def test_they_outlive_a_restart_and_days(self, world: World, metrics: Metrics) -> None:
        expected = {"received": 0, "stored": 0, "seen": 0, "pending": 0}
        for day in range(4):
            world.send([([(day, 0, "full", "bot")], {})])
            expected = {name: n + 1 for name, n in expected.items()}
            world.now_ns += DAY_NS - HOUR_NS
            fresh = Metrics()
            fresh.refresh_with(LedgerFigures(world.database, fresh, lambda: world.now_ns).refresh)
            assert self.sums(metrics) == self.sums(fresh) == expected

    def test_a_state_that_nothing_is_in_any_more_shows_zero(self, world: World, metrics: Metrics) -> None:
        world.send([([(0, 0, "prompt", "bot")], {})])
        world.score()
        assert self.sums(metrics)["not_assessed"] == 1
        world.send([([(0, 0, "full", "bot")], {})])
        world.score()
        world.now_ns += MINUTE_NS
        found = self.sums(metrics)
        assert (found["not_assessed"], found["assessed"], found["seen"]) == (0, 1, 1)

    def test_clients_cannot_make_time_series_without_end(
        self, world: World, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("collector.ledger_figures.MAX_SERVICES", 3)
        before: dict[tuple[str, ...], float] = {}
        for number in range(9):
            world.send([([(number, 0, "full", f"service-{number}")], {Rejection(f"evil-{number}", "too_deep"): 1})])
            world.now_ns += 6 * HOUR_NS
            now = samples(metrics, "custodes_ledger_spans_total")
            assert all(now[labels] >= value for labels, value in before.items()), "no counter ever falls"
            assert len({labels[1] for labels in now} - {"other"}) <= 3
            found = self.sums(metrics)
            assert found["received"] == found["stored"] + found["rejected"] == 2 * (number + 1)
            before = now
        assert before[world.project, "other", "received", ""] > 0

    def test_they_are_read_at_most_every_five_seconds_and_stay_when_the_database_is_away(
        self, world: World, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.send([([(0, 0, "full", "bot")], {})])
        assert self.sums(metrics)["received"] == 1
        world.send([([(0, 1, "full", "bot")], {})])
        world.now_ns += 5 * SECOND_NS - 1
        assert self.sums(metrics)["received"] == 1
        world.now_ns += 1
        with monkeypatch.context() as patch:
            patch.setattr("collector.ledger_figures.sum_ledger", broken)
            assert self.sums(metrics)["received"] == 1
        assert self.sums(metrics)["received"] == 2


def broken(*_: object, **__: object) -> NoReturn:
    raise DatabaseError("gone")
