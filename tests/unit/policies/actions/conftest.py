"""A registry to act on, a policy that asks for it, and a worker to carry it out with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.tables import action, audit_intake
from custodes.kernel.clock import MINUTE_NS, SECOND_NS
from custodes.runtime.verification import measure_signal
from policies.actions.action import Action
from policies.actions.adapters import Adapter
from policies.actions.gates import ActionRules
from policies.actions.http import JsonClient
from policies.actions.mlflow import MlflowAdapter
from policies.actions.store import list_action_events, row_to_action
from policies.actions.webhook import PeopleAdapter
from policies.actions.work import ActionWorker, Tools, WorkReport
from policies.actors import Actor
from policies.conduct import Conduct
from policies.evaluate import evaluate_tick
from policies.hooks.address import AddressRules
from policies.hooks.endpoint_store import Endpoint, find_endpoint, insert_endpoint
from policies.lifecycle import activate_policy, submit_policy
from tests.unit.policies.actions.servers import MlflowServer, running

START = 29_000_000
BEGIN_NS = (START + 7) * MINUTE_NS
LOOPBACK = AddressRules.of(["127.0.0.0/8"], allow_http=True)
AUTHOR = Actor("alice", "author", waived=True)
APPROVER = Actor("bob", "approver")
CONDUCT = Conduct("http://console.example")


class Clock:
    """A clock that tests move."""

    def __init__(self, now_ns: int = BEGIN_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def forward(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND_NS)


@dataclass
class Stage:
    """Everything one story about actions needs."""

    db: Database
    traffic: Callable[..., None]
    clock: Clock
    rules: ActionRules = field(default_factory=ActionRules)
    adapters: dict[str, Adapter] = field(default_factory=lambda: {"people": PeopleAdapter()})
    confirmed: list[int] = field(default_factory=list)
    confirm: Callable[[int], None] | None = None

    def activate(self, text: str) -> str:
        with self.db.write() as tx:
            if find_endpoint(tx, "default", "oncall") is None:
                insert_endpoint(tx, Endpoint("default", "oncall", "https://hooks.example/x", None, "active", 0))
        change = submit_policy(self.db, project_id="default", text=text, filename="p.yaml", actor=AUTHOR, now_ns=0)
        key = change.version.key
        activate_policy(
            self.db, project_id="default", policy_id=key[1], version=key[2], actor=AUTHOR, now_ns=0, conduct=CONDUCT
        )
        return change.version.version

    def fire(self, *, begin: int = 0, deployments: tuple[str, ...] = ("bot-v7",), service: str = "support-bot") -> None:
        """Send seven toxic minutes and evaluate each: the policy fires at the sixth."""
        for minute in range(begin, begin + 7):
            for deployment in deployments:
                self.traffic(START + minute, "toxicity", [0.95] * 60, deployment=deployment, service=service)
                self.traffic(START + minute, "latency_ms", [1.0] * 60, deployment=deployment, service=service)
            self.tick(minute + 1)

    def tick(self, minute: float) -> None:
        evaluate_tick(self.db, int((START + minute) * MINUTE_NS), "default", CONDUCT)

    def tools(self) -> Tools:
        def find(one: Action) -> Adapter | None:
            return self.adapters.get(one.target.get("connection", one.adapter))

        return Tools(find, measure_signal, self.confirm or self.confirmed.append, self.rules, CONDUCT.console_url)

    def worker(self) -> ActionWorker:
        return ActionWorker(self.db, self.tools(), self.clock)

    def work(self, guard: Any = None) -> WorkReport:
        return self.worker().run(guard)

    def actions(self) -> list[Action]:
        with self.db.read() as tx:
            return [row_to_action(row) for row in tx.execute(select(action).order_by(action.c.created_ns, action.c.id))]

    def one(self) -> Action:
        (only,) = self.actions()
        return only

    def story(self, action_id: str) -> list[str]:
        with self.db.read() as tx:
            return [event.kind for event in list_action_events(tx, action_id)]

    def leaves(self, prefix: str = "action.") -> list[dict[str, Any]]:
        with self.db.read() as tx:
            rows = tx.execute(select(audit_intake.c.body).order_by(audit_intake.c.id)).scalars()
            return [event for event in map(orjson.loads, rows) if event["action"].startswith(prefix)]

    def serve(self, values: list[float], *, minutes: int = 1, deployment: str = "support-bot-v2") -> None:
        """Let the restored version answer for some minutes from now on, and move the clock behind them."""
        minute = self.clock.now_ns // MINUTE_NS + 1
        for offset in range(minutes):
            self.traffic(minute + offset, "toxicity", values, deployment=deployment)
            self.traffic(minute + offset, "latency_ms", [1.0] * len(values), deployment=deployment)
        self.clock.now_ns = (minute + minutes) * MINUTE_NS + SECOND_NS


@pytest.fixture
def stage(database: Database, traffic: Callable[..., None]) -> Stage:
    """A stage without any connection but people."""
    return Stage(database, traffic, Clock())


@pytest.fixture
def registry() -> Iterator[MlflowServer]:
    """A registry with three versions of support-bot, the third serving, the first two known to be good."""
    server = MlflowServer()
    server.register("support-bot", 3)
    server.set_alias("support-bot", "champion", "3")
    for version in ("1", "2"):
        server.set_tag("support-bot", version, "validation_status", "approved")
    with running(server):
        yield server


@pytest.fixture
def rollback(stage: Stage, registry: MlflowServer, policy_text: str) -> Stage:
    """A stage on which the example policy has fired and asks for a rollback of the registry's alias."""
    stage.adapters["mlflow"] = MlflowAdapter(JsonClient(registry.url, LOOPBACK))
    stage.activate(policy_text)
    stage.fire()
    return stage
