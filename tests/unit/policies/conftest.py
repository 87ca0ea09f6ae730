"""A policy to vary, its compiler, and a way to put traffic into the roll-ups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.rollups import RollupKey, add_to_rollups
from custodes.db.tables import segment
from policies.rules.cel import CelEngine
from policies.rules.compile import CompiledPolicy, compile_policy
from policies.rules.load import parse_source

POLICY = """\
apiVersion: custodes/v1
kind: Policy
id: toxicity-spike
owner: risk@example.org
severity: high
scope: {environment: prod, service: support-bot}
signals:
  tox_p95: {metric: toxicity, agg: p95, window: 15m}
  n:       {metric: toxicity, agg: count, window: 15m}
group_by: [deployment]
when:  "n >= 50.0 && tox_p95 > 0.80"
clear: "tox_p95 < 0.60"
for: 5m
keep_firing_for: 10m
no_data: hold
actions:
  - {kind: webhook, endpoint: oncall}
  - kind: rollback
    target: {adapter: mlflow, model: support-bot, alias: champion}
    mode: propose
    limits: {cooldown: 1h, per_hour: 2}
    verify: {expr: "tox_p95 < 0.60", after: 10m, min_n: 50, within: 1h}
tests:
  - name: fires after five minutes above the line
    step: 1m
    series: {tox_p95: "0.2x4 0.9x10", n: "80x14"}
    expect: [{at: 8m, state: pending}, {at: 10m, state: firing}]
"""


@pytest.fixture
def policy_text() -> str:
    """The example of the documented policy format, to the letter."""
    return POLICY


@pytest.fixture
def change() -> Callable[..., str]:
    """Return a function that gives the example with some passages replaced; each must occur."""

    def replace(*pairs: tuple[str, str]) -> str:
        text = POLICY
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        return text

    return replace


@pytest.fixture
def compiled() -> Callable[[str], CompiledPolicy]:
    """Return a function that compiles a policy text."""
    return lambda text: compile_policy(parse_source(text, "policy.yaml"), CelEngine())


Traffic = Callable[..., None]


@pytest.fixture
def traffic(database: Database) -> Traffic:
    """Return a function that adds values of one metric and segment to one minute of the roll-ups."""
    return partial(add_traffic, database)


def add_traffic(
    database: Database,
    minute: int,
    metric: str,
    values: Sequence[float | None],
    *,
    service: str = "support-bot",
    environment: str = "prod",
    deployment: str = "bot-v7",
    model: str = "m-1",
    project: str = "default",
) -> None:
    """Add values of one metric and segment to one minute of the roll-ups."""
    labels = {"service": service, "environment": environment, "deployment": deployment, "model": model}
    with database.write() as tx:
        tx.execute(tx.insert(segment).values(project_id=project, **labels).on_conflict_do_nothing())
        where = [segment.c.project_id == project, *(segment.c[name] == label for name, label in labels.items())]
        segment_id = tx.execute(select(segment.c.id).where(*where)).scalar_one()
        add_to_rollups(tx, [(RollupKey(project, minute, segment_id, metric), value) for value in values])
