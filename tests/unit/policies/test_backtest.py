"""A back-test equals what live evaluation recorded, whatever came late, was scored again or was never evaluated."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.rollup_versions import enter_scoring
from custodes.db.rollups import RollupKey, add_to_rollups, rebuild_rollups
from custodes.db.tables import exchange, rollup_version, score, segment, span
from custodes.kernel.clock import MINUTE_NS
from policies import backtest as backtest_module
from policies.actors import Actor
from policies.backtest import run_backtest
from policies.backtest_report import compare_with_record, report_backtest
from policies.conduct import Conduct
from policies.evaluate import Evaluator
from policies.groups import make_group
from policies.incident_store import IncidentEvent, insert_incident, insert_incident_event
from policies.incidents import Incident
from policies.lifecycle import activate_policy, submit_policy
from policies.rollup_store import Versions
from policies.rules.compile import CompiledPolicy
from policies.store import require_policy_version

START = 29_000_000
CONDUCT = Conduct("http://console.test")
DEV = Actor("dev", "author", waived=True)
TEMPLATE = """\
apiVersion: custodes/v1
kind: Policy
id: {id}
owner: o
severity: low
signals: {{s: {{metric: toxicity, agg: {agg}, window: {window}}}, n: {{agg: count, window: 7m}}}}
{group_by}
when: "n >= 3.0 && s > {line}"
for: {hold}m
keep_firing_for: {keep}m
no_data: {no_data}
tests: [{{name: t, step: 1m, series: {{s: "0", n: "0"}}, expect: [{{at: 0m, state: ok}}]}}]
"""


def policies() -> list[str]:
    shapes = [
        ("p95", "5m", 0.7, 2, 3, "hold"),
        ("mean", "3m", 0.45, 0, 0, "ok"),
        ("max", "11m", 0.93, 1, 0, "fire"),
        ("rate_above(0.6)", "20m", 0.4, 3, 5, "hold"),
        ("not_assessed_ratio", "4m", 0.3, 0, 2, "hold"),
    ]
    texts = []
    for number, (agg, window, line, hold, keep, no_data) in enumerate(shapes):
        group_by = "group_by: [deployment]" if number % 2 == 0 else "scope: {environment: prod}"
        texts.append(
            TEMPLATE.format(
                id=f"p{number}",
                agg=agg,
                window=window,
                line=line,
                hold=hold,
                keep=keep,
                no_data=no_data,
                group_by=group_by,
            )
        )
    return texts


class Stage:
    """A database with segments, scores that come when a test says so, and policies evaluated when a test says so."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.rng = random.Random(seed)
        self.evaluator = Evaluator(database, CONDUCT)
        self.rows = 0
        with database.write() as tx:
            for number in range(3):
                labels = {"service": "bot", "environment": "prod" if number else "test", "model": "m"}
                tx.execute(segment.insert().values(project_id="default", deployment=f"d{number}", **labels))
            self.segments = list(tx.execute(select(segment.c.id).order_by(segment.c.id)).scalars())

    def activate(self, text: str, now_ns: int) -> tuple[str, str, str]:
        stored = submit_policy(
            self.database, project_id="default", text=text, filename="p", actor=DEV, now_ns=now_ns
        ).version
        activate_policy(
            self.database,
            project_id="default",
            policy_id=stored.policy_id,
            version=stored.version,
            actor=DEV,
            now_ns=now_ns,
            conduct=CONDUCT,
        )
        return stored.key

    def score(self, minute: int, count: int, level: float) -> None:
        """Add scores of a minute, as a scoring transaction does, whenever that is."""
        values: list[tuple[RollupKey, float | None]] = []
        for _ in range(count):
            place = self.rng.choice(self.segments)
            value = None if self.rng.random() < 0.2 else min(1.0, max(0.0, self.rng.gauss(level, 0.2)))
            values.append((RollupKey("default", minute, place, "toxicity"), value))
            values.append((RollupKey("default", minute, place, "latency_ms"), self.rng.uniform(1, 1e4)))
        with self.database.write() as tx:
            enter_scoring(tx, 0)
            add_to_rollups(tx, values)

    def wipe(self, minute: int) -> None:
        """Compute a minute anew from scores, of which there are none: its rows vanish."""
        with self.database.write() as tx:
            enter_scoring(tx, 0)
            rebuild_rollups(tx, [("default", minute, place) for place in self.segments])


class TestInvariant:
    @pytest.mark.parametrize("seed", [1, 2])
    def test_it_equals_what_live_evaluation_recorded(self, database: Database, seed: int) -> None:
        stage = Stage(database, seed)
        keys = [stage.activate(text, (START - 30) * MINUTE_NS) for text in policies()]
        first_half = START + 40
        for minute in range(START - 30, START + 80):
            level = 0.8 if (minute // 13) % 2 else 0.3
            if stage.rng.random() < 0.9:
                stage.score(minute, stage.rng.randrange(0, 9), level)
            # Late scores of an earlier minute, and a minute that is computed anew.
            if stage.rng.random() < 0.4:
                stage.score(minute - stage.rng.randrange(1, 15), stage.rng.randrange(1, 6), 1.0 - level)
            if stage.rng.random() < 0.1:
                stage.wipe(minute - stage.rng.randrange(1, 12))
            # Sometimes nobody evaluates, and once another process takes over with nothing kept.
            if stage.rng.random() < 0.9:
                stage.evaluator.tick((minute + 1) * MINUTE_NS + stage.rng.randrange(MINUTE_NS))
            if minute == first_half:
                stage.evaluator = Evaluator(database, CONDUCT)
        decisions = 0
        with database.read() as tx:
            assert tx.execute(select(rollup_version).limit(1)).first() is not None
            for key in keys:
                version = require_policy_version(tx, *key)
                for since in (START - 30, START + 11):
                    found = compare_with_record(tx, version, since * MINUTE_NS, (START + 100) * MINUTE_NS)
                    assert found["compared"], found
                    assert found["equal"], found
                decisions += found["decisions"]
        assert decisions > 30

    def test_it_would_notice_a_look_ahead(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        stage = Stage(database, 3)
        key = stage.activate(policies()[1], START * MINUTE_NS)
        for minute in range(START, START + 12):
            stage.score(minute, 6, 0.1)
            stage.evaluator.tick((minute + 1) * MINUTE_NS)
        stage.score(START + 5, 40, 0.95)  # Ten minutes late.
        with database.read() as tx:
            version = require_policy_version(tx, *key)
            window = (START * MINUTE_NS, (START + 20) * MINUTE_NS)
            assert compare_with_record(tx, version, *window)["equal"]
            # Without the former values the back-test would know what nobody knew.
            monkeypatch.setattr(backtest_module, "read_versions", lambda *_, **__: Versions({}))
            found = compare_with_record(tx, version, *window)
        assert not found["equal"]
        assert found["only_backtest"]

    @pytest.mark.parametrize("kept", [3, 24 * 60])
    def test_it_reads_long_windows_a_second_time(
        self, database: Database, compiled: Callable[[str], CompiledPolicy], monkeypatch: pytest.MonkeyPatch, kept: int
    ) -> None:
        stage = Stage(database, 4)
        for minute in range(START, START + 60):
            stage.score(minute, 5, 0.8 if minute > START + 30 else 0.2)
        policy = compiled(policies()[3])
        monkeypatch.setattr(backtest_module, "KEPT_MINUTES", kept)
        with database.read() as tx:
            run = run_backtest(tx, "default", policy, START * MINUTE_NS, (START + 70) * MINUTE_NS)
        (firing,) = run.firings
        assert firing.from_ns == (START + 50) * MINUTE_NS or firing.from_ns > (START + 30) * MINUTE_NS
        assert run.minutes == 70


class TestExchangePolicies:
    TEXT = """\
apiVersion: custodes/v1
kind: ExchangePolicy
id: insult
owner: o
severity: high
group_by: [deployment]
when: score.toxicity > 0.9 && state.toxicity == "assessed" && tokens.output > 5.0
keep_firing_for: 3m
actions: [{kind: review}]
tests: [{name: t, exchange: {score.toxicity: 0.1, state.toxicity: assessed, tokens.output: 9}, expect: ok}]
"""

    def test_they_equal_what_scoring_recorded(self, database: Database) -> None:
        from policies.exchange_rules import ExchangeRules, ScoredExchange

        stage = Stage(database, 5)
        key = stage.activate(self.TEXT, START * MINUTE_NS)
        rules, rng = ExchangeRules(CONDUCT), stage.rng
        numbers = iter(range(1, 10_000))
        now_ns = START * MINUTE_NS
        for minute in range(START, START + 40):
            for _ in range(rng.randrange(4)):
                now_ns = max(now_ns, minute * MINUTE_NS + rng.randrange(MINUTE_NS))
                with database.write() as tx:
                    at_ns = enter_scoring(tx, now_ns)
                    scored = []
                    for _ in range(rng.randrange(1, 4)):
                        number, value = next(numbers), rng.choice([0.1, 0.5, 0.95, None])
                        place = rng.choice(stage.segments)
                        scored.append(_store_exchange(tx, number, place, value, at_ns))
                    rules.apply(tx, scored, at_ns)
            stage.evaluator.tick((minute + 1) * MINUTE_NS)
        assert isinstance(scored[0], ScoredExchange)
        with database.read() as tx:
            version = require_policy_version(tx, *key)
            found = compare_with_record(tx, version, START * MINUTE_NS, (START + 60) * MINUTE_NS)
            report = report_backtest(tx, "default", _compile(version), START * MINUTE_NS, (START + 60) * MINUTE_NS)
        assert found["equal"], found
        assert found["decisions"] > 6
        assert report["no_data"] > 0
        assert {action["kind"] for action in report["actions"]} == {"review"}


def _compile(version: Any) -> CompiledPolicy:
    from policies.evaluate import compile_version

    return compile_version(version)


def _store_exchange(tx: Any, number: int, place: int, value: float | None, at_ns: int) -> Any:
    from policies.exchange_rules import ScoredExchange

    base = {"project_id": "default", "trace_id": number.to_bytes(16, "big")}
    tx.execute(
        span.insert().values(
            id=number, span_id=number.to_bytes(8, "big"), name="chat", kind=3, operation="chat", start_ns=at_ns,
            end_ns=at_ns, status=0, service="bot", environment="prod", deployment="d", provider="", model="m",
            output_tokens=9, dialect="test", complete=True, dropped_attributes=0, completeness=1, **base,
        )
    )  # fmt: skip
    tx.execute(
        exchange.insert().values(
            span_id=number, batch_id=1, segment_id=place, at_ns=at_ns, received_ns=at_ns, service="bot",
            scored_ns=at_ns, **base,
        )
    )  # fmt: skip
    state = "not_assessed" if value is None else "assessed"
    tx.execute(
        score.insert().values(
            span_id=number, metric="toxicity", value=value, state=state, detector_id=1, scored_ns=at_ns,
            reason=None if value is not None else "no_text",
        )
    )  # fmt: skip
    values = {"score.toxicity": value, "state.toxicity": state, "tokens.input": None, "tokens.output": 9.0}
    return ScoredExchange("default", number, f"{number:032x}{number:016x}", place, values)


class TestReport:
    def test_it_tells_the_difference_to_the_active_version(self, database: Database) -> None:
        stage = Stage(database, 6)
        stage.activate(policies()[1], START * MINUTE_NS)
        for minute in range(START, START + 30):
            stage.score(minute, 12, 0.6 if 10 <= minute - START < 16 else 0.2)
        stricter = policies()[1].replace("s > 0.45", "s > 0.35")
        looser = policies()[1].replace("s > 0.45", "s > 0.99")
        window = (START * MINUTE_NS, (START + 30) * MINUTE_NS)
        with database.read() as tx:
            (more, less, same) = (
                report_backtest(tx, "default", _compiled(text), *window) for text in (stricter, looser, policies()[1])
            )
        assert same["firing"] == 1
        assert same["active"] == {"version": same["version"], "same": True}
        assert (less["firing"], len(less["active"]["only_active"])) == (0, 1)
        assert more["active"]["both"] == 1
        assert more["firing_s"] > same["firing_s"]
        assert same["recorded"] == {"compared": True, "equal": True} | {
            key: same["recorded"][key] for key in same["recorded"] if key not in ("compared", "equal")
        }

    def test_it_judges_firings_by_labelled_incidents(self, database: Database) -> None:
        stage = Stage(database, 7)
        for minute in range(START, START + 60):
            toxic = 10 <= minute - START < 16 or 40 <= minute - START < 46
            stage.score(minute, 12, 0.6 if toxic else 0.2)

        def label(name: str, begin: int, end: int, verdict: Any) -> None:
            opened_ns, resolved_ns = (START + begin) * MINUTE_NS, (START + end) * MINUTE_NS
            with database.write() as tx:
                insert_incident(
                    tx,
                    Incident(
                        name, "default", "p1", "sha256:old", make_group({}), "low", "resolved", "t", "s", opened_ns,
                        resolved_ns, resolved_ns, label=verdict, labelled_by="ann", lead_id=name,
                    ),
                )  # fmt: skip
                insert_incident_event(tx, IncidentEvent(name, opened_ns, "opened", "e", {}))
                insert_incident_event(tx, IncidentEvent(name, resolved_ns, "resolved", "e", {}))

        label("right", 12, 17, "true_alarm")
        label("wrong", 42, 47, "false_alarm")
        label("missed", 55, 57, "true_alarm")
        with database.read() as tx:
            report = report_backtest(
                tx, "default", _compiled(policies()[1]), START * MINUTE_NS, (START + 60) * MINUTE_NS
            )
        assert report["labels"] == {
            "true_alarms": 1, "false_alarms": 1, "unlabelled": 0, "incidents": 2, "found": 1, "missed": ["missed"],
            "precision": 0.5, "recall": 0.5,
        }  # fmt: skip
        assert report["recorded"]["compared"] is False

    def test_it_says_nothing_of_precision_without_labels(self, database: Database) -> None:
        Stage(database, 8)
        with database.read() as tx:
            report = report_backtest(
                tx, "default", _compiled(policies()[0]), START * MINUTE_NS, (START + 5) * MINUTE_NS
            )
        assert (report["labels"]["precision"], report["labels"]["recall"]) == (None, None)
        assert (report["firing"], report["evaluations"], report["active"]) == (0, 0, None)

    def test_it_shows_progress(self, database: Database) -> None:
        Stage(database, 9)
        seen: list[tuple[int, int]] = []
        with database.read() as tx:
            run_backtest(
                tx,
                "default",
                _compiled(policies()[0]),
                START * MINUTE_NS,
                (START + 1200) * MINUTE_NS,
                progress=lambda done, total: seen.append((done, total)),
            )
        assert seen == [(0, 1200), (500, 1200), (1000, 1200), (1200, 1200)]


def _compiled(text: str) -> CompiledPolicy:
    from policies.rules.cel import CelEngine
    from policies.rules.compile import compile_policy
    from policies.rules.load import parse_source

    return compile_policy(parse_source(text, "p.yaml"), CelEngine())
