"""How long a back-test over a month takes, and a tick with ten thousand policies.

``python -m bench backtest`` fills a database with 30 days of minute roll-ups of 20 groups (1.7 million rows, about a
gigabyte in a temporary folder), so it runs only when it is named.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.measurement import Measurement
from custodes.db import Database, open_database
from custodes.db.migrate import upgrade
from custodes.db.tables import policy_version, project, rollup_minute, segment
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.histogram import Histogram, metric_scale
from policies.backtest import run_backtest
from policies.conduct import Conduct
from policies.evaluate import Evaluator
from policies.rules.cel import CelEngine
from policies.rules.compile import CompiledPolicy, compile_policy
from policies.rules.load import parse_source

ONLY_WHEN_NAMED = True
DAYS = 30
GROUPS = 20
POLICIES = 10_000
START = 29_000_000
VALUES = 40
"""Values in a roll-up row: 40 exchanges a minute and group are 1.15 million a day."""

_COLUMNS = (
    "project_id", "minute", "segment_id", "metric", "n", "not_assessed", "total", "total_sq", "minimum", "maximum",
    "hist",
)  # fmt: skip
_SPIKE = """\
apiVersion: custodes/v1
kind: Policy
id: {id}
owner: bench@example.org
severity: high
signals:
  tox_p95: {{metric: toxicity, agg: p95, window: 15m}}
  n:       {{metric: toxicity, agg: count, window: 15m}}
group_by: [deployment]
when:  "n >= 50.0 && tox_p95 > {line}"
clear: "tox_p95 < 0.40"
for: 5m
keep_firing_for: 10m
"""
_SLOW_PATH = """\
apiVersion: custodes/v1
kind: Policy
id: several
owner: bench@example.org
severity: high
signals:
  tox:     {metric: toxicity, agg: mean, window: 1h}
  worst:   {metric: toxicity, agg: rate_above(0.7), window: 15m}
  n:       {agg: count, window: 15m}
  p95_ms:  {agg: latency_p95, window: 15m}
group_by: [deployment]
when:  "n >= 50.0 && (worst / (tox + 0.01) > 2.0 || p95_ms > 90000.0)"
for: 5m
"""


def measure() -> list[Measurement]:
    """Return the times of two back-tests over the same month, and of ticks with many policies."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'bench.db'}")
        try:
            upgrade(database)
            _fill(database)
            steps = DAYS * 24 * 60 * GROUPS
            spike_s, spike_cpu_s = _time(lambda: _run(database, _compile(_SPIKE.format(id="spike", line="0.5"))))
            several_s, several_cpu_s = _time(lambda: _run(database, _compile(_SLOW_PATH)))
            first, later = _tick_many(database)
        finally:
            database.dispose()
    return [
        Measurement(f"{DAYS} days x {GROUPS} groups, p95 and count of one metric", spike_s, "s"),
        Measurement("  of that processor time", spike_cpu_s, "s"),
        Measurement("  evaluations", steps / spike_s, "/s"),
        Measurement("four signals of two metrics, and a division (through CEL)", several_s, "s"),
        Measurement("  of that processor time", several_cpu_s, "s"),
        Measurement(f"first tick with {POLICIES:,} policies (compiles them)", first[0], "s"),
        Measurement("  of that processor time", first[1], "s"),
        Measurement(f"later ticks with {POLICIES:,} policies of {GROUPS} groups", later[0], "s"),
        Measurement("  of that processor time", later[1], "s"),
    ]


def _compile(text: str) -> CompiledPolicy:
    return compile_policy(parse_source(text, "bench.yaml"), CelEngine())


def _fill(database: Database) -> None:
    numbers = random.Random(20261128)
    hists = {
        "toxicity": [_histogram("toxicity", lambda: min(1.0, numbers.betavariate(1, 7))) for _ in range(200)],
        "latency_ms": [_histogram("latency_ms", lambda: numbers.lognormvariate(7, 0.8)) for _ in range(200)],
    }
    bad = _histogram("toxicity", lambda: min(1.0, numbers.betavariate(5, 3)))
    with database.write() as tx:
        tx.execute(project.insert().values(id="default", created_ns=0))
        for group in range(GROUPS):
            labels = {"service": "bot", "environment": "prod", "deployment": f"bot-{group}", "model": "m"}
            tx.execute(segment.insert().values(project_id="default", **labels))
    sql = None
    for day in range(DAYS):
        rows = []
        for minute in range(START + day * 1440, START + (day + 1) * 1440):
            for group in range(1, GROUPS + 1):
                # Every group has an hour in eight days in which it is toxic.
                is_bad = (minute // 60 + group * 7) % 192 == 0
                for metric, drawn in hists.items():
                    hist = bad if is_bad and metric == "toxicity" else numbers.choice(drawn)
                    rows.append(("default", minute, group, metric, VALUES, 1, 4.7, 1.0, 0.0, 0.93, hist))
        with database.write() as tx:
            sql = sql or tx.bulk_insert_sql(rollup_minute, _COLUMNS)
            tx.execute_driver(sql, rows)


def _histogram(metric: str, draw: Callable[[], float]) -> bytes:
    return Histogram.of([draw() for _ in range(VALUES)], metric_scale(metric)).to_bytes()


def _run(database: Database, policy: CompiledPolicy) -> None:
    with database.read() as tx:
        run = run_backtest(
            tx, "default", policy, START * MINUTE_NS, (START + DAYS * 1440) * MINUTE_NS, progress=lambda *_: None
        )
    if run.evaluations < DAYS * 1440 * GROUPS * 0.99 or not run.firings:
        raise RuntimeError(f"the month was not evaluated: {run.evaluations} evaluations, {len(run.firings)} firings")


def _time(work: Callable[[], None]) -> tuple[float, float]:
    """Return wall and processor seconds of one run."""
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - began_cpu


def _tick_many(database: Database) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return wall and processor seconds of the first tick with many policies, and the median of three further ones."""
    now_ns = (START + DAYS * 1440 - 10) * MINUTE_NS
    with database.write() as tx:
        tx.execute_many(
            policy_version.insert(),
            [
                {
                    "project_id": "default",
                    "policy_id": f"p{number}",
                    "version": "sha256:bench",
                    "source": _SPIKE.format(id=f"p{number}", line=f"0.{900 + number % 99}"),
                    "state": "active",
                    "author": "bench",
                    "created_ns": 0,
                    "activated_ns": 0,
                }
                for number in range(POLICIES)
            ],
        )
    evaluator = Evaluator(database, Conduct("http://console.bench"))
    taken = [_time(partial(_tick, evaluator, now_ns + minute * MINUTE_NS)) for minute in range(4)]
    return taken[0], sorted(taken[1:])[1]


def _tick(evaluator: Evaluator, now_ns: int) -> None:
    report = evaluator.tick(now_ns)
    if report.policies != POLICIES or report.failures:
        raise RuntimeError(f"{report.policies} of {POLICIES} policies were evaluated: {report.failures[:1]}")
