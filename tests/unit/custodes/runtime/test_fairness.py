"""The live fairness monitor: what scoring writes, what a look reads, and what an alarm leads to."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from sqlalchemy import func, select, update

from collector.exchanges import StoredExchange
from custodes.db import Database
from custodes.db.segments import Segment, resolve_segments
from custodes.db.tables import (
    audit_intake,
    exchange,
    fairness_alarm,
    fairness_gap,
    fairness_panel,
    fairness_reading,
    fairness_topics,
)
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import FairnessSettings, Settings
from custodes.runtime.fairness import FairnessHook, to_arrivals
from custodes.runtime.fairness_watch import LookReport, WatchFairness
from custodes.runtime.store_fairness import PanelKey, find_panel, list_readings
from custodes.runtime.store_outcomes import Pair
from detectors.fairness.audit import SelfAudit
from detectors.model import DetectorIdentity, Embedding, ExchangeScores, Trait, assessed
from detectors.outcomes.observe import OUTCOMES, Observation
from policies.hooks.channels import CHANNELS, HttpCall, Target, read_event
from policies.hooks.endpoint_store import Endpoint, insert_endpoint
from policies.hooks.payload import incident_body
from policies.hooks.store import list_messages
from policies.incident_store import list_incident_events, list_incidents

NOW_NS = 1_795_000_000 * 10**9
MAKER = DetectorIdentity("toxicity/fake", "1.0.0", "sha256:" + "ab" * 32)
CONSOLE = "http://127.0.0.1:8501"
CALLER = "caller:group"

Fold = Callable[..., None]


def make_pairs(
    seed: int,
    count: int,
    toxic: dict[str, float],
    *,
    segment_id: int,
    batch: int,
    at_ns: int = NOW_NS,
    slow: dict[str, float] | None = None,
) -> list[Pair]:
    """Exchanges of groups that callers name; each group's answers are toxic (and slow) at its own rate."""
    rng = random.Random(seed)
    pairs: list[Pair] = []
    for number in range(count):
        group = rng.choice(list(toxic))
        latency_ns = 20 * 10**9 if rng.random() < (slow or {}).get(group, 0.0) else 10**9
        stored = StoredExchange(
            span_row_id=batch * 100_000 + number, project="default", trace_id=f"{batch:032x}",
            span_id=f"{number + 1:016x}", batch_id=batch, service="support-bot", segment_id=segment_id,
            at_ns=at_ns + number, received_ns=at_ns, rolled_segment_id=None, rolled_minute=None,
            prompt="Where is my order?", response="It is on its way.", contexts=(), incomplete=None,
            answers=("It is on its way.",), asked=b"",
            start_ns=at_ns, end_ns=at_ns + latency_ns, complete=True, ttft_ms=None, cost_usd=None,
            input_tokens=None, output_tokens=None, finish_reasons=("stop",), caller_groups=(group,),
        )  # fmt: skip
        score = assessed("toxicity", 0.9 if rng.random() < toxic[group] else 0.1, MAKER)
        pairs.append((stored, ExchangeScores(stored.span_id, (score,), ())))
    return pairs


@pytest.fixture
def segment_id(database: Database) -> int:
    with database.write() as tx:
        wanted = Segment("support-bot", "prod", "bot-v8", "m")
        return resolve_segments(tx, "default", [wanted])[wanted]


@pytest.fixture
def fold(database: Database) -> Fold:
    """Fold pairs in a transaction of their own, as scoring does."""
    hook = FairnessHook(FairnessSettings(), Metrics())

    def run(pairs: Iterable[Pair], now_ns: int = NOW_NS) -> None:
        with database.write() as tx:
            hook(tx, list(pairs), now_ns)

    return run


def watch_of(
    database: Database, *, audits: dict[str, SelfAudit] | None = None, owner: str = "w1", **fairness: Any
) -> WatchFairness:
    settings = Settings(fairness=FairnessSettings(**fairness))
    return WatchFairness(database, settings, lambda: NOW_NS, Metrics(), owner, lambda: audits or {})


def count(database: Database, table: Any) -> int:
    with database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(table)).scalar_one())


def panel_bodies(database: Database) -> dict[str, Any]:
    columns = fairness_panel.c
    with database.read() as tx:
        rows = list(tx.execute(select(columns.project_id, columns.segment_id, columns.family)))
        keys = [PanelKey(row.project_id, row.segment_id, row.family) for row in rows]
        return {key.family: found.body for key in keys if (found := find_panel(tx, key)) is not None}


class TestFairnessHook:
    def test_it_keeps_sums_by_group_and_nothing_of_an_exchange(
        self, database: Database, fold: Fold, segment_id: int
    ) -> None:
        fold(make_pairs(1, 300, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=1))
        body = panel_bodies(database)[CALLER]
        assert body["groups"] == ["group:de", "group:fr"] or body["groups"] == ["group:fr", "group:de"]
        assert body["outcomes"] == list(OUTCOMES)
        assert "order" not in json.dumps(body)
        assert body["monitors"]

    def test_an_exchange_that_was_scored_before_does_not_count_again(
        self, database: Database, fold: Fold, segment_id: int
    ) -> None:
        pairs = make_pairs(2, 200, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=1)
        fold(pairs)
        before = panel_bodies(database)
        fold(
            (replace(stored, rolled_minute=1, rolled_segment_id=segment_id, batch_id=2), result)
            for stored, result in pairs
        )
        assert panel_bodies(database) == before

    def test_a_call_that_a_second_span_tells_counts_once(self, database: Database, fold: Fold, segment_id: int) -> None:
        pairs = make_pairs(2, 100, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=1)
        fold(pairs)
        before = panel_bodies(database)
        with database.write() as tx:
            tx.execute(exchange.insert().values(
                span_id=1, project_id="default", trace_id=bytes.fromhex(pairs[0][0].trace_id), batch_id=2,
                segment_id=segment_id, at_ns=0, received_ns=0, service="", repeated=True, rolled_minute=1,
            ))  # fmt: skip
        fold(
            (replace(stored, batch_id=2, span_id=f"{9_000 + n:016x}"), result)
            for n, (stored, result) in enumerate(pairs)
        )
        assert panel_bodies(database) == before

    def test_the_same_batch_from_two_workers_counts_once(self, database: Database, fold: Fold, segment_id: int) -> None:
        pairs = make_pairs(3, 200, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=1)
        fold(pairs)
        before = panel_bodies(database)
        fold(pairs)
        assert panel_bodies(database) == before

    def test_a_transaction_that_fails_leaves_nothing(self, database: Database, fold: Fold, segment_id: int) -> None:
        hook = FairnessHook(FairnessSettings(), Metrics())
        pairs = make_pairs(4, 50, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=1)
        with contextlib.suppress(ZeroDivisionError), database.write() as tx:
            hook(tx, pairs, NOW_NS)
            raise ZeroDivisionError
        assert count(database, fairness_panel) == 0
        fold(pairs)
        once = panel_bodies(database)
        assert once[CALLER]["batches"] == ["1"]

    def test_in_pieces_it_is_the_same_as_at_once(self, database: Database, fold: Fold, segment_id: int) -> None:
        pairs = make_pairs(5, 400, {"de": 0.2, "fr": 0.1}, segment_id=segment_id, batch=1)
        parts = [
            [(replace(stored, batch_id=part), result) for stored, result in pairs[part * 100 : part * 100 + 100]]
            for part in range(4)
        ]
        for part in parts:
            fold(part)
        apart = panel_bodies(database)[CALLER]
        other = resolve(database, "other")
        fold((replace(stored, segment_id=other), result) for part in parts for stored, result in part)
        with database.read() as tx:
            together = find_panel(tx, PanelKey("default", other, CALLER))
        assert together is not None
        assert together.body == apart

    def test_switched_off_it_writes_nothing(self, database: Database, segment_id: int) -> None:
        hook = FairnessHook(FairnessSettings(enabled=False), Metrics())
        with database.write() as tx:
            hook(tx, make_pairs(6, 50, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=1), NOW_NS)
        assert count(database, fairness_panel) == 0

    def test_a_damaged_state_stops_neither_scoring_nor_other_panels(
        self, database: Database, fold: Fold, segment_id: int
    ) -> None:
        fold(make_pairs(7, 50, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=1))
        with database.write() as tx:
            tx.execute(update(fairness_topics).values(body=b'{"encoder": 1}'))
            broken = find_panel(tx, PanelKey("default", segment_id, CALLER))
            assert broken is not None
            from custodes.runtime.store_fairness import save_panel

            save_panel(tx, broken.key, {**broken.body, "version": 99}, NOW_NS)
        metrics = Metrics()
        hook = FairnessHook(FairnessSettings(), metrics)
        with database.write() as tx:
            hook(tx, make_pairs(8, 50, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=2), NOW_NS)
        assert b"custodes_fairness_damaged_states_total 2.0" in metrics.render()
        assert watch_of(database).run_at(NOW_NS) == LookReport(1, 0)

    def test_language_and_topic_make_the_stratum(self, database: Database, fold: Fold, segment_id: int) -> None:
        (stored, result), *_ = make_pairs(9, 1, {"de": 0.0}, segment_id=segment_id, batch=1)
        vector = np.eye(1, 8, dtype="<f2").tobytes()
        german = Trait("prompt_language", "assessed", None, {"de": 0.9}, MAKER)
        fold([(stored, replace(result, traits=(german,), embeddings=(Embedding("prompt", MAKER, vector, 8),)))])
        monitors = panel_bodies(database)[CALLER]["monitors"]
        assert {name for _, _, monitor in monitors for name in monitor["strata"]} == {"de/1.0"}


def resolve(database: Database, service: str) -> int:
    with database.write() as tx:
        wanted = Segment(service, "prod", "v1", "m")
        return resolve_segments(tx, "default", [wanted])[wanted]


class TestToArrivals:
    def test_each_axis_that_callers_name_is_compared_by_itself(self) -> None:
        seen = Observation(("group:de", "plan:free", "plan:new"), "caller", {})
        found = {family: arrival.groups for family, arrival in to_arrivals(seen, "en/1.0", 0)}
        assert found == {"caller:group": {"group:de"}, "caller:plan": {"plan:free", "plan:new"}}

    def test_prompts_that_mention_nobody_stand_among_the_others(self) -> None:
        ((family, arrival),) = to_arrivals(Observation((), "prompt", {"slow": 0.0}), "en/1.0", 7)
        assert (family, arrival.groups, arrival.mark) == ("prompt", frozenset(), 7)

    def test_unknown_groups_are_compared_with_nothing(self) -> None:
        assert list(to_arrivals(Observation((), "unknown", {"slow": 1.0}), "en/1.0", 0)) == []


def labels_told(body: bytes) -> set[frozenset[tuple[str, str]]]:
    """Return the label sets of the alerts that Alertmanager would be told of."""
    calls = CHANNELS["alertmanager"].format(read_event("msg_1", body), Target("https://a.example"))
    found = [alert for call in calls if isinstance(call, HttpCall) for alert in json.loads(call.body)]
    return {frozenset(alert["labels"].items()) for alert in found}


class TestWatchFairness:
    def test_a_quiet_service_raises_no_alarm(self, database: Database, fold: Fold, segment_id: int) -> None:
        watch = watch_of(database)
        for batch in range(1, 9):
            fold(
                make_pairs(batch, 500, {"de": 0.1, "fr": 0.1, "it": 0.1}, segment_id=segment_id, batch=batch),
                NOW_NS + batch,
            )
            assert watch.run_at(NOW_NS + batch).alarms == 0
        assert count(database, fairness_alarm) == 0
        with database.read() as tx:
            states = {one.state for one in list_readings(tx, PanelKey("default", segment_id, CALLER)).values()}
        assert states <= {"watching", "within_tolerance", "too_few_data"}

    def test_a_gap_opens_one_incident_that_says_what_happened(
        self, database: Database, fold: Fold, segment_id: int
    ) -> None:
        with database.write() as tx:
            insert_endpoint(tx, Endpoint("default", "oncall", "https://hooks.example.org/x", None, "active", NOW_NS))
            insert_endpoint(tx, Endpoint("default", "off", "https://hooks.example.org/y", None, "disabled", NOW_NS))
        fold(make_pairs(1, 3_000, {"de": 0.4, "fr": 0.1, "it": 0.1}, segment_id=segment_id, batch=1))
        watch = watch_of(database)
        assert watch.run_at(NOW_NS).alarms >= 1
        assert watch.run_at(NOW_NS + 1).alarms == 0
        with database.read() as tx:
            (incident,) = list_incidents(tx, "default")
            events = list_incident_events(tx, incident.id)
            messages = [message for message in list_messages(tx, "default") if message.event_type == "fairness.alarm"]
            alarms = list(tx.execute(select(fairness_alarm)))
        assert incident.policy_id == "fairness-monitor"
        assert incident.severity == "high"
        assert "support-bot" in incident.title
        assert "group:de gets toxic answers more often than everybody else" in incident.summary
        assert "has not been audited" in incident.summary
        assert events[0].kind == "opened"
        assert {alarm.incident_id for alarm in alarms} == {incident.id}
        assert {message.endpoint_id for message in messages} == {"oncall"}
        data = json.loads(messages[0].body)["data"]
        assert {"group", "outcome", "gap", "gap_low", "gap_high", "pairs", "statistic", "url"} <= data.keys()
        assert data["url"].startswith(f"{CONSOLE}/go?to=")
        assert len(messages[0].body) < 20_000
        over = incident_body("incident.resolved", incident, {}, console_url=CONSOLE, at_ns=NOW_NS)
        begun, ended = (labels_told(body) for body in (messages[0].body, over))
        assert begun <= ended, "the alert that an alarm begins would never end"

    def test_it_is_on_record(self, database: Database, fold: Fold, segment_id: int) -> None:
        fold(make_pairs(1, 3_000, {"de": 0.5, "fr": 0.1}, segment_id=segment_id, batch=1))
        watch_of(database).run_at(NOW_NS)
        with database.read() as tx:
            events = [orjson.loads(body) for body in tx.execute(select(audit_intake.c.body)).scalars()]
        assert {"fairness.alarm"} == {event["action"] for event in events}

    def test_the_other_outcomes_of_the_same_calls_stay_quiet(
        self, database: Database, fold: Fold, segment_id: int
    ) -> None:
        fold(make_pairs(1, 3_000, {"de": 0.0, "fr": 0.0}, segment_id=segment_id, batch=1, slow={"de": 0.5, "fr": 0.1}))
        watch_of(database).run_at(NOW_NS)
        with database.read() as tx:
            assert set(tx.execute(select(fairness_alarm.c.outcome)).scalars()) == {"slow"}

    def test_a_claim_that_the_detector_could_explain_is_withheld_and_says_so(
        self, database: Database, fold: Fold, segment_id: int
    ) -> None:
        fold(make_pairs(1, 6_000, {"de": 0.4, "fr": 0.1}, segment_id=segment_id, batch=1))
        watch = watch_of(database, audits={"toxicity": SelfAudit(0.5, 0.5)})
        assert watch.run_at(NOW_NS).alarms == 0
        with database.read() as tx:
            reading = list_readings(tx, PanelKey("default", segment_id, CALLER))["group:de", "toxic"]
            withheld = tx.execute(select(fairness_gap.c.withheld).where(fairness_gap.c.outcome == "toxic")).scalars()
            assert set(withheld) == {True}
        assert reading.state == "withheld"
        assert reading.body["audited"] is True
        assert reading.body["own_gap"] == 0.5
        assert count(database, fairness_alarm) == 0

    def test_a_gap_beyond_the_detectors_own_is_claimed(self, database: Database, fold: Fold, segment_id: int) -> None:
        fold(make_pairs(1, 3_000, {"de": 0.4, "fr": 0.1}, segment_id=segment_id, batch=1))
        watch = watch_of(database, audits={"toxicity": SelfAudit(0.05, 0.1)})
        assert watch.run_at(NOW_NS).alarms >= 1
        with database.read() as tx:
            (incident,) = list_incidents(tx, "default")
        assert "audited" not in incident.summary

    def test_one_process_looks_and_another_takes_over(self, database: Database, fold: Fold, segment_id: int) -> None:
        fold(make_pairs(1, 300, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=1))
        first, second = watch_of(database), watch_of(database, owner="w2")
        assert first.run_at(NOW_NS).panels == 1
        assert second.run_at(NOW_NS + 1).panels == 0
        assert second.run_at(NOW_NS + 3_600 * 10**9).panels == 1

    def test_unchanged_panels_are_not_looked_at_again(self, database: Database, fold: Fold, segment_id: int) -> None:
        fold(make_pairs(1, 300, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=1))
        watch = watch_of(database)
        assert watch.run_at(NOW_NS).panels == 1
        assert watch.run_at(NOW_NS + 1).panels == 0

    def test_gaps_are_kept_by_the_minute_and_thinned(self, database: Database, fold: Fold, segment_id: int) -> None:
        watch = watch_of(database)
        for batch in range(1, 6):
            now_ns = NOW_NS + batch * MINUTE_NS
            fold(
                make_pairs(batch, 200, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=batch, at_ns=now_ns), now_ns
            )
            watch.run_at(now_ns)
        with database.read() as tx:
            rows = list(tx.execute(select(fairness_gap).where(
                fairness_gap.c.group_name == "group:de", fairness_gap.c.outcome == "toxic"
            ).order_by(fairness_gap.c.minute)))  # fmt: skip
        assert len(rows) == 5
        assert [row.pairs for row in rows] == sorted(row.pairs for row in rows)
        assert all(row.family_low <= row.low <= row.gap <= row.high <= row.family_high for row in rows)
        fold(make_pairs(9, 2, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=9), NOW_NS + 6 * MINUTE_NS)
        watch.run_at(NOW_NS + 6 * MINUTE_NS)
        assert count(database, fairness_gap) % 5 == 0

    def test_a_clock_that_goes_backwards_neither_alarms_nor_fails(
        self, database: Database, fold: Fold, segment_id: int
    ) -> None:
        watch = watch_of(database)
        for batch, now_ns in enumerate((NOW_NS, NOW_NS - 3_600 * 10**9, NOW_NS + 1), start=1):
            fold(
                make_pairs(batch, 300, {"de": 0.1, "fr": 0.1}, segment_id=segment_id, batch=batch, at_ns=now_ns), now_ns
            )
            assert watch.run_at(now_ns) == LookReport(1, 0)

    def test_the_state_is_read_back_exactly(self, database: Database, fold: Fold, segment_id: int) -> None:
        fold(make_pairs(1, 500, {"de": 0.2, "fr": 0.1}, segment_id=segment_id, batch=1))
        assert watch_of(database).run_at(NOW_NS).panels == 1
        before = panel_bodies(database)
        watch_of(database, owner="w1").run_at(NOW_NS + 10)
        assert panel_bodies(database) == before
        assert count(database, fairness_reading) == 2 * len(OUTCOMES)
