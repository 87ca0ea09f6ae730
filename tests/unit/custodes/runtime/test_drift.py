"""The live drift monitors: what scoring writes."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import orjson
import pytest
from sqlalchemy import func, select, update

from custodes.db import Database
from custodes.db.tables import (
    drift_chunk,
    drift_episode,
    drift_fit,
    drift_monitor,
    drift_place,
    drift_point,
    drift_reference,
    exchange,
    incident,
)
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.kernel.settings_drift import DriftSettings
from custodes.runtime.drift import DriftHook, alpha_of
from custodes.runtime.drift_watch import DriftReport, WatchDrift
from custodes.runtime.store_outcomes import Pair
from detectors.drift.packing import pack
from policies.hooks.endpoint_store import Endpoint, insert_endpoint
from policies.hooks.store import list_messages
from policies.incident_store import insert_silence, list_incident_events, list_incidents
from policies.silences import Silence


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


traffic = _load("drift_traffic")
NOW_NS, LEARN = traffic.NOW_NS, traffic.LEARN
make_pairs, settings_of = traffic.make_pairs, traffic.settings_of
Fold = Callable[..., None]


@pytest.fixture
def segment_id(database: Database) -> int:
    return int(traffic.segment_of(database))


@pytest.fixture
def fold(database: Database) -> Fold:
    """Fold pairs in a transaction of their own, as scoring does, by one worker or another."""
    hooks: dict[str, DriftHook] = {}

    def run(
        pairs: Iterable[Pair], *, now_ns: int = NOW_NS, worker: str = "w1", store: bool = True, **changes: Any
    ) -> None:
        given = list(pairs)
        hook = hooks.setdefault(worker, DriftHook(settings_of(**changes), Metrics()))
        if store:
            traffic.store_pairs(database, given)
        with database.write() as tx:
            hook(tx, given, now_ns)

    return run


def watch_of(database: Database, *, owner: str = "watch", **changes: Any) -> WatchDrift:
    settings = Settings(drift=settings_of(**changes))
    return WatchDrift(database, settings, lambda: NOW_NS, Metrics(), owner)


def count(database: Database, table: Any) -> int:
    with database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(table)).scalar_one())


def monitors(database: Database) -> dict[str, Any]:
    """The monitors by name; where a name has two makers, the later one."""
    with database.read() as tx:
        return {row.name: row for row in tx.execute(select(drift_monitor).order_by(drift_monitor.c.id))}


def states(database: Database) -> dict[str, Any]:
    """All that evidence has left, apart from what differs from run to run."""
    columns = drift_monitor.c
    with database.read() as tx:
        rows = tx.execute(select(columns.name, columns.state, columns.seen, columns.learned, columns.body))
        found: dict[str, Any] = {row.name: tuple(row) for row in rows}
        found["numbers"] = tx.execute(select(func.sum(drift_chunk.c.count))).scalar_one()
    return found


@pytest.fixture
def watching(database: Database, fold: Fold, segment_id: int) -> int:
    """A place whose monitors have learned what is usual; gives its segment."""
    fold(make_pairs(1, LEARN + 10, segment_id=segment_id, batch=1))
    assert watch_of(database).run_at(NOW_NS) == DriftReport(fitted=2)
    return segment_id


class TestLearning:
    def test_the_first_exchanges_are_the_reference(self, database: Database, fold: Fold, segment_id: int) -> None:
        fold(make_pairs(1, LEARN - 1, segment_id=segment_id, batch=1))
        found = monitors(database)
        assert set(found) == {"prompt", "response", "toxicity", "latency_ms", "output_tokens"}
        assert {row.state for row in found.values()} == {"learning"}
        assert {row.learned for row in found.values()} == {LEARN - 1}
        assert watch_of(database).run_at(NOW_NS) == DriftReport()
        assert count(database, drift_point) == 0
        fold(make_pairs(2, 5, segment_id=segment_id, batch=2))
        assert watch_of(database).run_at(NOW_NS) == DriftReport(fitted=2)
        assert {row.state for row in monitors(database).values()} == {"watching"}
        with database.read() as tx:
            fits = list(tx.execute(select(drift_fit)))
            (reference,) = tx.execute(select(drift_reference))
        assert [fit.rows for fit in fits] == [LEARN, LEARN]
        assert np.frombuffer(fits[0].spans, dtype="<i8")[0] == 100_000
        assert (reference.version, reference.state) == (1, "active")

    def test_prompts_and_responses_are_watched_apart(self, database: Database, fold: Fold, watching: int) -> None:
        fold(make_pairs(3, 40, segment_id=watching, batch=3, strange=True))
        with database.read() as tx:
            names = list(tx.execute(select(drift_monitor.c.name).join(
                drift_episode, drift_episode.c.monitor_id == drift_monitor.c.id)).scalars())  # fmt: skip
        assert names == ["response"]

    def test_every_deployment_is_watched_by_itself_whatever_its_models(self, database: Database, fold: Fold) -> None:
        for number, (deployment, model) in enumerate([("v1", "a"), ("v1", "b"), ("v2", "a")]):
            segment = traffic.segment_of(database, model=model, deployment=deployment)
            fold(make_pairs(number, 10, segment_id=segment, batch=number + 1))
        with database.read() as tx:
            seen = {row.deployment: row.seen for row in tx.execute(select(drift_place))}
        assert seen == {"v1": 20, "v2": 10}


class TestEvidence:
    def test_a_change_is_found_and_noted_where_the_scores_are_written(
        self, database: Database, fold: Fold, watching: int
    ) -> None:
        fold(make_pairs(2, 60, segment_id=watching, batch=2))
        assert count(database, drift_episode) == 0
        fold(make_pairs(3, 60, segment_id=watching, batch=3, strange=True), now_ns=NOW_NS + MINUTE_NS)
        with database.read() as tx:
            (episode,) = tx.execute(select(drift_episode))
            points = list(tx.execute(
                select(drift_point).where(drift_point.c.monitor_id == episode.monitor_id).order_by(drift_point.c.minute)
            ))  # fmt: skip
        onset = LEARN + 10 + 60
        assert onset - 5 <= episode.onset_number <= episode.at_number < onset + 40
        assert episode.statistic >= episode.threshold == 1 / alpha_of(settings_of(), "response")
        assert [point.seen for point in points] == [60, 60]
        assert points[0].alarms == 0
        assert points[1].alarms == 1 + episode.repeats
        assert points[1].statistic >= points[1].threshold

    def test_a_number_that_goes_up_is_found(self, database: Database, fold: Fold, watching: int) -> None:
        fold(make_pairs(3, 150, segment_id=watching, batch=3, slow=True))
        with database.read() as tx:
            (episode,) = tx.execute(select(drift_episode))
        assert (episode.view, episode.monitor_id) == ("up", monitors(database)["latency_ms"].id)

    def test_usual_traffic_raises_no_alarm(self, database: Database, fold: Fold, watching: int) -> None:
        for batch in range(2, 8):
            fold(make_pairs(batch, 200, segment_id=watching, batch=batch), store=False)
        assert count(database, drift_episode) == 0
        assert {row.seen for row in monitors(database).values()} == {1200, 1200 + LEARN + 10}

    def test_in_pieces_it_is_the_same_as_at_once(self, database: Database, fold: Fold, watching: int) -> None:
        pairs = make_pairs(5, 120, segment_id=watching, batch=2)
        with database.write() as tx:
            before = [dict(row._mapping) for row in tx.execute(select(drift_monitor))]
            place = tx.execute(select(drift_place.c.seen)).scalar_one()
        fold(pairs, store=False)
        together = states(database)
        with database.write() as tx:
            for row in before:
                tx.execute(update(drift_monitor).where(drift_monitor.c.id == row["id"]).values(**row))
            tx.execute(update(drift_place).values(seen=place))
            tx.execute(drift_chunk.delete().where(drift_chunk.c.first_number >= place))
        for start in range(0, 120, 30):
            # A worker that begins afresh each time, as after a crash.
            fold(pairs[start : start + 30], store=False, worker=f"w{start}")
        assert states(database) == together

    def test_a_transaction_that_fails_leaves_nothing(self, database: Database, fold: Fold, watching: int) -> None:
        pairs = make_pairs(6, 50, segment_id=watching, batch=2)
        hook = DriftHook(settings_of(), Metrics())
        before = states(database)
        for _ in range(2):
            with contextlib.suppress(ZeroDivisionError), database.write() as tx:
                hook(tx, pairs, NOW_NS)
                raise ZeroDivisionError
        assert states(database) == before
        with database.write() as tx:
            hook(tx, pairs, NOW_NS)
        once = states(database)
        assert once["prompt"][2] == 50
        assert once["numbers"] == before["numbers"] + 50

    def test_an_exchange_counts_once_whoever_scores_it_again(
        self, database: Database, fold: Fold, watching: int
    ) -> None:
        pairs = make_pairs(6, 50, segment_id=watching, batch=2)
        fold(pairs)
        before = states(database)
        # The other worker sees what the first one has committed: they were rolled up.
        fold(traffic.again(pairs, rolled_minute=1, rolled_segment_id=watching), worker="w2", store=False)
        assert states(database) == before

    def test_a_call_that_a_second_span_tells_counts_once(self, database: Database, fold: Fold, watching: int) -> None:
        pairs = make_pairs(6, 10, segment_id=watching, batch=2)
        fold(pairs)
        before = states(database)
        with database.write() as tx:
            tx.execute(update(exchange).where(exchange.c.batch_id == 2).values(repeated=True, rolled_minute=1))
        fold(traffic.again(pairs, batch_id=3), store=False)
        assert states(database) == before

    def test_two_workers_take_turns_and_see_what_the_other_wrote(
        self, database: Database, fold: Fold, watching: int
    ) -> None:
        for batch in range(2, 6):
            fold(make_pairs(batch, 20, segment_id=watching, batch=batch), worker=f"w{batch % 2}", store=False)
        assert states(database)["prompt"][2] == 80


# What a vector means does not depend on the database.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestBadInput:
    @pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
    def test_vectors_that_mean_nothing_are_counted_and_no_evidence(
        self, database: Database, fold: Fold, watching: int, value: float
    ) -> None:
        nothing = np.full((200, traffic.DIM), value, dtype="<f2")
        before = monitors(database)["response"]
        fold(make_pairs(3, 200, segment_id=watching, batch=3, vectors=nothing), store=False)
        after = monitors(database)["response"]
        assert (after.state, after.seen, after.statistic) == ("watching", before.seen, before.statistic)
        fold(make_pairs(4, 60, segment_id=watching, batch=4, strange=True), store=False)
        with database.read() as tx:
            (episode,) = tx.execute(select(drift_episode))
        assert episode.onset_number >= LEARN + 10 + 200 - 5

    def test_constant_embeddings_never_alarm(self, database: Database, fold: Fold, segment_id: int) -> None:
        same = np.tile(traffic.draw(np.random.default_rng(1), 1), (LEARN, 1))
        for batch in range(1, 9):
            fold(make_pairs(batch, LEARN, segment_id=segment_id, batch=batch, vectors=same), store=batch == 1)
            watch_of(database).run_at(NOW_NS)
        assert {monitors(database)[name].state for name in ("prompt", "response")} == {"watching"}
        assert count(database, drift_episode) == 0

    def test_embeddings_that_make_no_reference_are_left_behind(
        self, database: Database, fold: Fold, segment_id: int
    ) -> None:
        few = traffic.draw(np.random.default_rng(1), LEARN)
        few[40:] = np.nan
        fold(make_pairs(1, LEARN, segment_id=segment_id, batch=1, vectors=few))
        assert monitors(database)["prompt"].learned == 40
        fold(make_pairs(2, LEARN - 40, segment_id=segment_id, batch=2))
        assert watch_of(database).run_at(NOW_NS) == DriftReport(fitted=2)

    @pytest.mark.parametrize("change", [{"encoder": traffic.OTHER_ENCODER}, {"dim": 8}])
    def test_a_changed_encoder_opens_a_new_reference_and_never_mixes(
        self, database: Database, fold: Fold, watching: int, change: dict[str, Any]
    ) -> None:
        before = monitors(database)["prompt"]
        fold(make_pairs(3, LEARN, segment_id=watching, batch=3, **change))
        with database.read() as tx:
            rows = list(tx.execute(select(drift_monitor).where(drift_monitor.c.name == "prompt")))
            versions = list(tx.execute(select(drift_reference.c.version)).scalars())
        old, new = sorted(rows, key=lambda row: row.id)
        assert old._mapping == before._mapping
        assert (new.state, new.learned) == ("learning", LEARN)
        assert sorted(versions) == [1, 2]
        assert count(database, drift_episode) == 0
        assert watch_of(database).run_at(NOW_NS) == DriftReport(fitted=2)
        # Back again, as while two workers are upgraded one after the other: each goes on where it was.
        fold(make_pairs(4, 10, segment_id=watching, batch=4), store=False)
        fold(make_pairs(5, 10, segment_id=watching, batch=5, **change), store=False)
        with database.read() as tx:
            seen = list(tx.execute(select(drift_monitor.c.seen).where(drift_monitor.c.name == "prompt")).scalars())
            assert sorted(seen) == [10, 10]
            assert tx.execute(select(func.count()).select_from(drift_reference)).scalar_one() == 2
        assert count(database, drift_episode) == 0

    def test_clocks_that_go_backwards_and_late_batches_change_nothing(
        self, database: Database, fold: Fold, watching: int
    ) -> None:
        for batch in range(2, 6):
            late = make_pairs(
                batch, 200, segment_id=watching, batch=batch, at_ns=NOW_NS - batch * 10**14, step_ns=-(10**9)
            )
            fold(late, store=False, now_ns=NOW_NS - batch * MINUTE_NS)
        assert count(database, drift_episode) == 0
        assert monitors(database)["prompt"].seen == 800

    def test_something_seen_once_alarms_nobody(self, database: Database, fold: Fold, watching: int) -> None:
        pairs = make_pairs(2, 100, segment_id=watching, batch=2)
        strange = make_pairs(3, 1, segment_id=watching, batch=3, strange=True, slow=True)
        fold([*pairs[:50], *traffic.again(strange, batch_id=2), *pairs[50:]], store=False)
        assert count(database, drift_episode) == 0

    def test_a_damaged_state_stops_neither_scoring_nor_other_monitors(
        self, database: Database, fold: Fold, watching: int
    ) -> None:
        fold(make_pairs(2, 20, segment_id=watching, batch=2))
        with database.write() as tx:
            tx.execute(update(drift_monitor).where(drift_monitor.c.name == "prompt").values(body=b"x", mark=b"y" * 16))
        metrics = Metrics()
        hook = DriftHook(settings_of(), metrics)
        for batch in (3, 4):
            with database.write() as tx:
                hook(tx, make_pairs(batch, 20, segment_id=watching, batch=batch), NOW_NS)
        found = monitors(database)
        assert (found["prompt"].state, found["prompt"].body) == ("damaged", b"x")
        assert found["response"].seen == 60
        assert b"custodes_drift_damaged_states_total 1.0" in metrics.render()

    @pytest.mark.parametrize("kept", ["fit", "body"])
    def test_what_an_earlier_release_stored_is_learned_again(
        self, database: Database, fold: Fold, watching: int, kept: str
    ) -> None:
        fold(make_pairs(2, 20, segment_id=watching, batch=2))
        older = pack("reference" if kept == "fit" else "embedding-monitor", {}, {})
        prompts = update(drift_monitor).where(drift_monitor.c.name == "prompt").values(body=older, mark=b"y" * 16)
        with database.write() as tx:
            tx.execute(update(drift_fit).values(body=older) if kept == "fit" else prompts)
        begun = count(database, drift_reference)
        fold(make_pairs(3, 20, segment_id=watching, batch=3), worker="upgraded")
        found = monitors(database)["prompt"]
        assert (found.state, found.learned, found.seen, found.body) == ("learning", 20, 0, None)
        fold(make_pairs(4, LEARN, segment_id=watching, batch=4), worker="upgraded")
        watch_of(database).run_at(NOW_NS)
        fold(make_pairs(5, 20, segment_id=watching, batch=5), worker="upgraded")
        found = monitors(database)["prompt"]
        assert (found.state, found.seen) == ("watching", 20)
        assert count(database, drift_reference) == begun

    def test_switched_off_it_writes_nothing(self, database: Database, segment_id: int) -> None:
        hook = DriftHook(DriftSettings(enabled=False), Metrics())
        with database.write() as tx:
            hook(tx, make_pairs(6, 50, segment_id=segment_id, batch=1), NOW_NS)
        assert count(database, drift_place) == 0
        assert watch_of(database, enabled=False).run_at(NOW_NS) == DriftReport()


class TestAtOnce:
    def test_workers_that_score_one_place_at_once_neither_lose_nor_repeat_an_exchange(
        self, database: Database, fold: Fold, watching: int
    ) -> None:
        before = monitors(database)["prompt"].seen
        batches = {batch: make_pairs(batch, 10, segment_id=watching, batch=batch) for batch in range(2, 14)}

        def work(mine: list[int]) -> None:
            hook = DriftHook(settings_of(), Metrics())
            for batch in mine:
                with database.write() as tx:
                    hook(tx, batches[batch], NOW_NS)

        workers = [
            threading.Thread(target=work, args=([batch for batch in batches if batch % 3 == n],)) for n in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert monitors(database)["prompt"].seen == before + 120
        with database.read() as tx:
            chunks = list(tx.execute(select(drift_chunk).order_by(drift_chunk.c.first_number)))
            seen = tx.execute(select(drift_place.c.seen)).scalar_one()
        assert [chunk.first_number for chunk in chunks[1:]] == [LEARN + 10 + 10 * n for n in range(12)]
        assert seen == LEARN + 10 + 120
        named = np.concatenate([np.frombuffer(chunk.spans, dtype="<i8") for chunk in chunks])
        assert len(set(named.tolist())) == seen


class TestPromise:
    def test_the_monitors_of_a_deployment_share_alpha(self) -> None:
        settings = settings_of()
        embedded = sum(alpha_of(settings, name) / 2 for name in ("prompt", "response"))
        numbers = sum(alpha_of(settings, name) for name in settings.metrics)
        assert embedded + numbers == pytest.approx(1 / settings.exchanges_per_false_alarm / 2)


class TestAlarms:
    @pytest.fixture
    def drifted(self, database: Database, fold: Fold, watching: int) -> int:
        with database.write() as tx:
            insert_endpoint(tx, Endpoint("default", "oncall", "https://example.org/hook", None, "active", NOW_NS))
        fold(make_pairs(2, 60, segment_id=watching, batch=2))
        fold(make_pairs(3, 60, segment_id=watching, batch=3, strange=True, at_ns=NOW_NS + MINUTE_NS))
        return watching

    def test_an_alarm_opens_an_incident_that_explains_it(self, database: Database, drifted: int) -> None:
        assert watch_of(database).run_at(NOW_NS + MINUTE_NS) == DriftReport(told=1)
        with database.read() as tx:
            (opened,) = list_incidents(tx, "default")
            kinds = [event.kind for event in list_incident_events(tx, opened.id)]
            (episode,) = tx.execute(select(drift_episode))
            (message,) = list_messages(tx, "default")
        assert (opened.policy_id, opened.state, opened.severity) == ("drift-monitor", "new", "medium")
        assert dict(opened.group.labels) == {"service": "bot", "environment": "prod", "deployment": "v1"}
        assert "bot (v1): what is answered has changed, most likely since 2026" in opened.summary
        assert "one looks more like the change than a usual one in" in opened.summary
        assert kinds == ["opened", "drift.alarm"]
        assert episode.incident_id == opened.id

        told = orjson.loads(episode.body)
        assert told["separation"] > 0.9
        # Exchanges are named by their ids; those since the onset are of the third batch.
        third = {stored.trace_id + stored.span_id for stored, _ in make_pairs(3, 60, segment_id=drifted, batch=3)}
        assert set(told["examples"]) <= third
        assert told["clusters"]
        assert len(told["map"]["current"]) == len(told["map"]["current_exchanges"])
        assert abs(episode.onset_ns - (NOW_NS + MINUTE_NS)) < 5 * 10**6
        body = orjson.loads(message.body)
        assert (message.event_type, body["type"], body["data"]["monitor"]) == ("drift.alarm", "drift.alarm", "response")
        assert body["data"]["url"].endswith(f"id%3D{opened.id}")
        assert b"order" not in message.body

    def test_a_silence_keeps_its_message_back_and_the_timeline_says_so(self, database: Database, drifted: int) -> None:
        quiet = Silence("s1", "default", {"service": "bot"}, "moving house", "me", NOW_NS, NOW_NS, NOW_NS + 10**12)
        with database.write() as tx:
            insert_silence(tx, quiet)
        assert watch_of(database).run_at(NOW_NS).told == 1
        with database.read() as tx:
            (opened,) = list_incidents(tx, "default")
            kinds = [event.kind for event in list_incident_events(tx, opened.id)]
            assert list_messages(tx, "default") == []
        assert kinds == ["opened", "drift.alarm", "notification.silenced"]

    def test_the_same_drift_found_again_prolongs_its_episode(
        self, database: Database, fold: Fold, drifted: int
    ) -> None:
        watch = watch_of(database)
        watch.run_at(NOW_NS)
        with database.read() as tx:
            (before,) = tx.execute(select(drift_episode))
        fold(make_pairs(4, 240, segment_id=drifted, batch=4, strange=True))
        assert watch.run_at(NOW_NS).told == 0
        with database.read() as tx:
            (episode,) = tx.execute(select(drift_episode))
        assert episode.repeats > before.repeats
        first, then = (orjson.loads(one.body)["exchanges_since"] for one in (before, episode))
        assert then > 2 * first > 0
        assert count(database, incident) == 1

    def test_another_monitor_of_the_deployment_joins_the_incident(
        self, database: Database, fold: Fold, drifted: int
    ) -> None:
        watch = watch_of(database)
        watch.run_at(NOW_NS)
        fold(make_pairs(4, 150, segment_id=drifted, batch=4, strange=True, slow=True))
        assert watch.run_at(NOW_NS).told == 1
        with database.read() as tx:
            (opened,) = list_incidents(tx, "default")
            told = [event.body for event in list_incident_events(tx, opened.id) if event.kind == "drift.alarm"]
        assert [one["monitor"] for one in told] == ["response", "latency_ms"]
        assert "latency has gone up" in told[1]["summary"]
        assert "Median" in told[1]["summary"]

    def test_what_is_not_found_any_more_is_over(self, database: Database, fold: Fold, drifted: int) -> None:
        watch = watch_of(database)
        watch.run_at(NOW_NS)
        for batch in range(4, 10):
            fold(make_pairs(batch, 200, segment_id=drifted, batch=batch), store=False)
        assert watch.run_at(NOW_NS + 9 * MINUTE_NS) == DriftReport(ended=1)
        with database.read() as tx:
            (closed,) = list_incidents(tx, "default")
            (episode,) = tx.execute(select(drift_episode))
        assert closed.state == "resolved"
        assert "no drift was found in the last" in closed.summary
        assert episode.ended_as == "over"

    def test_another_process_tells_nobody_while_one_leads(self, database: Database, drifted: int) -> None:
        assert watch_of(database).run_at(NOW_NS).told == 1
        assert watch_of(database, owner="other").run_at(NOW_NS) == DriftReport()

    def test_the_names_behind_old_numbers_are_forgotten(self, database: Database, fold: Fold, watching: int) -> None:
        for batch in range(2, 12):
            fold(make_pairs(batch, 1_000, segment_id=watching, batch=batch, fields=()), store=False)
        watch_of(database).run_at(NOW_NS)
        with database.read() as tx:
            known = tx.execute(select(func.sum(drift_chunk.c.count))).scalar_one()
        assert 8_192 <= known < 8_192 + 1_000
