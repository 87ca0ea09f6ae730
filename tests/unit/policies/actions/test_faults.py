"""A process that is killed at any place, or held up there while another one takes over: no action happens twice, none
is lost, and every one says what became of it."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from custodes.db import open_database
from custodes.db.leases import acquire_lease, check_lease
from policies.actions.handling import approve_action
from policies.actions.http import JsonClient
from policies.actions.mlflow import MlflowAdapter
from policies.actions.work import ActionWorker
from policies.hooks.store import list_messages
from tests.unit.policies.actions.conftest import APPROVER, LOOPBACK, Clock, Stage
from tests.unit.policies.actions.faults import FaultyClient, FaultyDatabase, Nth
from tests.unit.policies.actions.servers import MlflowServer
from tests.unit.policies.conftest import add_traffic

WHOLE_STORY = ["proposed", "planned", "approved", "snapshot", "sent", "acknowledged", "verifying", "helped"]
OUTSIDE = frozenset({"begin", "committed", "call", "called"})
MOST_PLACES = 60


def use(stage: Stage, registry: MlflowServer, happen: Any) -> Any:
    """Route the stage's registry through a client that tells, and return a database that tells."""
    client: Any = FaultyClient(JsonClient(registry.url, LOOPBACK), happen)
    stage.adapters["mlflow"] = MlflowAdapter(client)
    return FaultyDatabase(stage.db, happen)


def run_in_child(stage: Stage, registry: MlflowServer, url: str, kill_at: int) -> bool:
    """Run the worker once in a child that kills itself at a place; return whether it lived through the round."""
    child = os.fork()
    if child == 0:
        try:
            stage.db = open_database(url)
            happen = Nth(kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
            database = use(stage, registry, happen)
            ActionWorker(database, stage.tools(), stage.clock).run()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return not os.WIFSIGNALED(status)


@pytest.fixture
def approved(stage: Stage, registry: MlflowServer, policy_text: str) -> Stage:
    """A stage on which a planned rollback was agreed to and not begun."""
    use(stage, registry, lambda name: None)
    stage.activate(policy_text)
    stage.fire()
    stage.work()
    approve_action(stage.db, "default", stage.one().id, "agreed", APPROVER, stage.clock(), stage.rules)
    return stage


class Copies:
    """Copies of an approved stage on SQLite, each as if nothing had happened yet."""

    def __init__(self, stage: Stage, registry: MlflowServer, folder: Path) -> None:
        self._stage = stage
        self._registry = registry
        self._folder = folder
        self._made: list[Stage] = []

    def make(self) -> tuple[Stage, str]:
        path = self._folder / f"copy-{len(self._made)}.db"
        with closing(sqlite3.connect(str(self._stage.db.engine.url.database))) as source:
            source.execute("VACUUM INTO ?", (str(path),))
        self._registry.set_alias("support-bot", "champion", "3")
        self._registry.moves.clear()
        url = f"sqlite:///{path}"
        database = open_database(url)
        copy = replace(
            self._stage,
            db=database,
            traffic=partial(add_traffic, database),
            clock=Clock(self._stage.clock.now_ns),
            adapters=dict(self._stage.adapters),
        )
        self._made.append(copy)
        return copy, url

    def close(self) -> None:
        for one in self._made:
            one.db.dispose()


@pytest.fixture
def copies(approved: Stage, registry: MlflowServer, tmp_path: Path) -> Iterator[Copies]:
    made = Copies(approved, registry, tmp_path)
    yield made
    made.close()


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class TestKill:
    @on_sqlite
    def test_survives_sigkill_at_every_place(self, copies: Copies, registry: MlflowServer) -> None:
        for place in range(MOST_PLACES):
            stage, url = copies.make()
            lived = run_in_child(stage, registry, url, place)
            stage.clock.forward(120)
            self.carry_on(stage, registry)
            if lived:
                break
        assert place >= 15  # Six units of work with three places each, and the calls between them.

    @on_sqlite
    def test_survives_sigkill_at_every_place_of_planning(
        self, stage: Stage, registry: MlflowServer, policy_text: str, tmp_path: Path
    ) -> None:
        use(stage, registry, lambda name: None)
        stage.activate(policy_text)
        stage.fire()
        places = self.kill_everywhere(stage, registry, tmp_path, self.check_plan)
        assert places >= 5  # The calls that ask the registry, and the unit of work.

    @on_sqlite
    def test_survives_sigkill_at_every_place_of_verification(
        self, approved: Stage, registry: MlflowServer, tmp_path: Path
    ) -> None:
        approved.work()
        approved.clock.forward(10 * 60)
        approved.serve([0.05] * 60, minutes=5)
        places = self.kill_everywhere(approved, registry, tmp_path, self.check_end)
        assert places >= 3

    def kill_everywhere(
        self, stage: Stage, registry: MlflowServer, folder: Path, check: Callable[[Stage], None]
    ) -> int:
        """Kill one round at each of its places, let another process go on, and check; return how many there were."""
        copies = Copies(stage, registry, folder)
        try:
            for place in range(MOST_PLACES):
                copy, url = copies.make()
                lived = run_in_child(copy, registry, url, place)
                copy.clock.forward(120)
                use(copy, registry, lambda name: None)
                copy.work()
                check(copy)
                assert registry.moves == []
                if lived:
                    return place
        finally:
            copies.close()
        raise AssertionError("the round has more places than were tried")

    def check_plan(self, stage: Stage) -> None:
        check_story(stage, until="proposed", last="planned")
        assert told(stage, "action.proposed") == 1
        assert stage.one().to_version == "2"

    def check_end(self, stage: Stage) -> None:
        check_story(stage)
        assert told(stage, "action.verified") == 1

    @on_postgresql
    def test_survives_one_sigkill_after_the_other(
        self, approved: Stage, registry: MlflowServer, database_url: str
    ) -> None:
        places = iter((1, 1, 2, 3, 4, 5, 6, 99))
        deaths = 0
        while approved.one().state != "verifying":
            deaths += not run_in_child(approved, registry, database_url, next(places))
            approved.clock.forward(120)
        assert deaths >= 5
        self.carry_on(approved, registry)

    def carry_on(self, stage: Stage, registry: MlflowServer) -> None:
        """Let another process take over, and check that everything happened once and is told."""
        use(stage, registry, lambda name: None)
        stage.work()
        assert registry.moves == [("support-bot", "champion", "2")]
        stage.clock.forward(10 * 60)
        stage.serve([0.05] * 60, minutes=5)
        stage.work()
        check_story(stage)


class TestTwoLeaders:
    @on_sqlite
    def test_act_once_wherever_the_first_is_held_up(self, copies: Copies, registry: MlflowServer) -> None:
        for place in range(MOST_PLACES):
            stage, _ = copies.make()
            if not self.race(stage, registry, place):
                break
        assert place >= 12

    @on_postgresql
    @pytest.mark.parametrize("place", [3, 5, 6, 8])
    def test_act_once_on_postgresql(self, approved: Stage, registry: MlflowServer, place: int) -> None:
        assert self.race(approved, registry, place)

    def race(self, stage: Stage, registry: MlflowServer, place: int) -> bool:
        """Hold the first leader up at a place until the second has done everything; return whether it came there."""

        def take_over() -> None:
            stage.clock.forward(600)
            self.lead(stage, stage.db, "second")

        happen = Nth(place, take_over, OUTSIDE)
        self.lead(stage, use(stage, registry, happen), "first")
        stage.clock.forward(600)
        self.lead(stage, stage.db, "third")
        assert stage.one().state == "verifying"
        assert registry.moves == [("support-bot", "champion", "2")]
        check_story(stage, until="verifying")
        return happen.done

    def lead(self, stage: Stage, database: Any, name: str) -> None:
        with stage.db.write() as tx:
            held = acquire_lease(tx, "actions", name, now_ns=stage.clock(), ttl_ns=90 * 10**9)
        assert held is not None
        ActionWorker(database, stage.tools(), stage.clock).run(lambda tx: check_lease(tx, held))


def told(stage: Stage, event: str) -> int:
    """Return how many messages of an event were queued."""
    with stage.db.read() as tx:
        return sum(message.event_type == event for message in list_messages(tx, "default"))


def check_story(stage: Stage, until: str = "helped", last: str | None = None) -> None:
    """Every step once and in order, whatever was attempted; and the audit log says what the action says."""
    one = stage.one()
    story = stage.story(one.id)
    assert one.state == until
    steps = [kind for kind in story if kind not in ("attempted", "waiting")]
    assert steps == WHOLE_STORY[: WHOLE_STORY.index(last or until) + 1]
    assert ("attempted" in story) is ("sent" in steps)
    assert [leaf["action"] for leaf in stage.leaves()] == [f"action.{kind}" for kind in story]
