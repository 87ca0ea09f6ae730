"""The job that carries actions out: one process leads, by what the settings and the file of connections say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.content import MasterSecretBox
from custodes.db import Database
from custodes.db.leases import acquire_lease
from custodes.kernel.errors import ConfigurationError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.runtime.acting import LEASE, AdapterTable, CarryOutActions
from policies.actions.connections import read_connections
from policies.actions.handling import approve_action
from policies.actions.mlflow import MlflowAdapter
from policies.actions.webhook import PeopleAdapter, WebhookAdapter
from policies.audit.errors import LogStateError
from policies.audit.keys import load_or_create_key
from policies.audit.log import AuditLog
from tests.unit.policies.actions.conftest import APPROVER, Clock, Stage
from tests.unit.policies.actions.servers import MlflowServer, running
from tests.unit.policies.actions.test_gates import make_action
from tests.unit.policies.conftest import POLICY, add_traffic

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def settings_for(folder: Path, connections: str) -> Settings:
    path = folder / "connections.yaml"
    path.write_text(connections)
    loopback = {"allowed_private_cidrs": ("127.0.0.0/8",), "allow_http": True}
    return Settings(data_dir=folder, action={**loopback, "connections_file": path})


class TestConnections:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("connections: {a: {adapter: mlflow}}", "connections.a.url"),
            ("connections: {a: {adapter: jenkins, url: 'https://x'}}", "connections.a.adapter"),
            ("connections: {a: {adapter: mlflow, url: 'https://x', password: y}}", "connections.a.password"),
            ("connections: [", "is not YAML"),
        ],
    )
    def test_say_what_is_wrong_with_the_file(self, tmp_path: Path, text: str, words: str) -> None:
        path = tmp_path / "c.yaml"
        path.write_text(text)
        with pytest.raises(ConfigurationError, match="CUSTODES_ACTION__CONNECTIONS_FILE") as caught:
            read_connections(path)
        assert words in str(caught.value)

    def test_say_that_the_file_or_a_token_is_missing(
        self, tmp_path: Path, database: Database, secret_box: MasterSecretBox
    ) -> None:
        with pytest.raises(ConfigurationError, match="No such file"):
            read_connections(tmp_path / "none.yaml")
        text = f"connections: {{mlflow: {{adapter: mlflow, url: 'https://x', token_file: {tmp_path}/none}}}}"
        with pytest.raises(ConfigurationError, match=r"the token file .* cannot be read"):
            AdapterTable(database, settings_for(tmp_path, text), secret_box, Clock())


@on_sqlite
class TestAdapterTable:
    TEXT = """
connections:
  mlflow: {adapter: mlflow, url: "http://127.0.0.1:1", projects: [default]}
  other: {adapter: gitlab, url: "http://127.0.0.1:1"}
"""

    def test_finds_what_a_project_may_use(
        self, database: Database, tmp_path: Path, secret_box: MasterSecretBox
    ) -> None:
        table = AdapterTable(database, settings_for(tmp_path, self.TEXT), secret_box, Clock())
        assert isinstance(table.find(make_action()), MlflowAdapter)
        assert table.find(make_action(project_id="other")) is None
        assert table.find(make_action(target={"adapter": "mlflow", "connection": "other"})) is None
        assert isinstance(table.find(make_action(adapter="webhook")), WebhookAdapter)
        assert isinstance(table.find(make_action(adapter="people")), PeopleAdapter)


@on_sqlite
class TestCarryOutActions:
    @pytest.fixture
    def registry(self) -> Iterator[MlflowServer]:
        server = MlflowServer()
        server.register("support-bot", 3)
        server.set_alias("support-bot", "champion", "3")
        server.set_tag("support-bot", "2", "validation_status", "approved")
        with running(server):
            yield server

    @pytest.fixture
    def stage(self, database: Database, registry: MlflowServer) -> Stage:
        stage = Stage(database, lambda *given, **more: add_traffic(database, *given, **more), Clock())
        stage.activate(POLICY)
        stage.fire()
        return stage

    def make(self, stage: Stage, registry: MlflowServer, folder: Path, audit: Any = None) -> Callable[[str], None]:
        settings = settings_for(folder, f"connections: {{mlflow: {{adapter: mlflow, url: '{registry.url}'}}}}")
        log = audit or AuditLog(stage.db, load_or_create_key(folder), stage.clock)
        metrics, box = Metrics(), MasterSecretBox(stage.db, settings, stage.clock)
        return lambda owner: CarryOutActions(stage.db, settings, box, log, stage.clock, metrics, owner).run()

    def approve(self, stage: Stage) -> None:
        approve_action(stage.db, "default", stage.one().id, "", APPROVER, stage.clock(), stage.rules)

    def test_rolls_back_with_every_attempt_under_a_signed_checkpoint(
        self, stage: Stage, registry: MlflowServer, tmp_path: Path
    ) -> None:
        run = self.make(stage, registry, tmp_path)
        run("one")
        self.approve(stage)
        run("one")
        assert (stage.one().state, registry.alias("support-bot", "champion")) == ("verifying", "2")

    def test_does_nothing_while_another_process_leads(
        self, stage: Stage, registry: MlflowServer, tmp_path: Path
    ) -> None:
        with stage.db.write() as tx:
            assert acquire_lease(tx, LEASE, "other", now_ns=stage.clock(), ttl_ns=60 * 10**9)
        self.make(stage, registry, tmp_path)("one")
        assert stage.one().planned_ns is None

    def test_sends_nothing_while_the_log_cannot_be_written(
        self, stage: Stage, registry: MlflowServer, tmp_path: Path
    ) -> None:
        class Broken:
            def flush_until(self, intake_id: int) -> None:
                raise LogStateError("the disk is full")

        run = self.make(stage, registry, tmp_path, Broken())
        run("one")
        self.approve(stage)
        for _ in range(3):
            run("one")
            stage.clock.forward(200)
        assert stage.one().state == "sent"
        assert registry.moves == []
        self.make(stage, registry, tmp_path)("one")
        assert (stage.one().state, registry.alias("support-bot", "champion")) == ("verifying", "2")
