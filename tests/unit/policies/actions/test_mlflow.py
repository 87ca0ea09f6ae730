"""The MLflow adapter, by the same tests against the registry in memory and against a real MLflow.

The real one takes a server of its own, so it runs with ``make mlflow``, which installs MLflow into a folder of its own.
What it answered (3.17.2: all passed) is what the one in memory answers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

import pytest

from policies.actions.adapters import Done, Order, Plan, Refused, TryLater
from policies.actions.http import JsonClient
from policies.actions.mlflow import MlflowAdapter
from tests.real_mlflow import RealMlflow
from tests.unit.policies.actions.conftest import BEGIN_NS, LOOPBACK
from tests.unit.policies.actions.servers import MlflowServer, running

TARGET = {"adapter": "mlflow", "model": "support-bot", "alias": "champion"}


class Registry(Protocol):
    """What a test does to a registry."""

    url: str

    def register(self, model: str, versions: int) -> None: ...
    def set_alias(self, model: str, alias: str, version: str) -> None: ...
    def set_tag(self, model: str, version: str, key: str, value: str) -> None: ...
    def alias(self, model: str, alias: str) -> str | None: ...


@pytest.fixture(scope="module")
def real_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMlflow]:
    """The real one, started once."""
    server = RealMlflow(os.environ["TEST_MLFLOW_PROGRAM"], tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()


@pytest.fixture(params=["memory", pytest.param("real", marks=[pytest.mark.mlflow, pytest.mark.timeout(300)])])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry, of either kind."""
    if request.param == "real":
        yield request.getfixturevalue("real_registry")
        return
    with running(MlflowServer()) as server:
        yield server


@pytest.fixture
def model(registry: Registry, request: pytest.FixtureRequest) -> str:
    """A model with four versions of its own, the fourth serving, the first two known to be good."""
    name = f"bot-{abs(hash(request.node.name)) % 10**9}"
    registry.register(name, 4)
    registry.set_alias(name, "champion", "4")
    for version in ("1", "2"):
        registry.set_tag(name, version, "validation_status", "approved")
    return name


@pytest.fixture
def adapter(registry: Registry) -> MlflowAdapter:
    """The adapter under test."""
    return MlflowAdapter(JsonClient(registry.url, LOOPBACK))


def order(model: str, to: str | None = "2", before: str | None = "4") -> Order:
    return Order("a-1", "default", TARGET | {"model": model}, before, to, BEGIN_NS, False, {})


class TestPlan:
    def test_takes_the_newest_good_version_below_the_present_one(self, adapter: MlflowAdapter, model: str) -> None:
        plan = adapter.plan(TARGET | {"model": model})
        assert plan == Plan("4", ("2", "1"), {"2": f"{model}-v2", "1": f"{model}-v1"}, has_versions=True)

    def test_takes_the_versions_and_deployments_the_policy_names(self, adapter: MlflowAdapter, model: str) -> None:
        plan = adapter.plan(TARGET | {"model": model, "to": "3, 1", "deployment": "prod-{version}"})
        assert plan == Plan("4", ("3", "1"), {"3": "prod-3", "1": "prod-1"}, has_versions=True)

    def test_takes_what_an_alias_marks(self, adapter: MlflowAdapter, registry: Registry, model: str) -> None:
        registry.set_alias(model, "fallback", "3")
        plan = adapter.plan(TARGET | {"model": model, "to_alias": "fallback"})
        assert isinstance(plan, Plan)
        assert plan.candidates == ("3",)

    def test_says_what_is_not_there(self, adapter: MlflowAdapter, model: str) -> None:
        for target, words in (
            ({"model": "nobody"}, "Registered Model with name=nobody not found"),
            ({"model": model, "alias": "nope"}, "Registered model alias nope not found"),
            ({"model": "a'b"}, "holds a quote"),
        ):
            plan = adapter.plan(TARGET | target)
            assert isinstance(plan, Refused)
            assert words in plan.reason


class TestSend:
    def test_moves_the_alias_and_reads_it_back(self, adapter: MlflowAdapter, registry: Registry, model: str) -> None:
        assert adapter.send(order(model)) == Done(f"{model}@champion went from version 4 to 2, and reads so")
        assert registry.alias(model, "champion") == "2"
        assert adapter.send(order(model)) == Done(f"{model}@champion is version 2 already")

    def test_compares_before_it_sets(self, adapter: MlflowAdapter, registry: Registry, model: str) -> None:
        registry.set_alias(model, "champion", "3")
        result = adapter.send(order(model))
        assert isinstance(result, Refused)
        assert "is version 3, not 4 as when this was decided" in result.reason
        assert registry.alias(model, "champion") == "3"

    def test_says_that_a_version_does_not_exist(self, adapter: MlflowAdapter, registry: Registry, model: str) -> None:
        result = adapter.send(order(model, to="99"))
        assert isinstance(result, Refused)
        assert "version=99) not found" in result.reason
        assert registry.alias(model, "champion") == "4"


class TestFaults:
    """What only a registry in memory does on demand."""

    @pytest.fixture
    def server(self) -> Iterator[MlflowServer]:
        server = MlflowServer()
        server.register("bot", 4)
        server.set_alias("bot", "champion", "4")
        with running(server):
            yield server

    @pytest.mark.parametrize(("status", "kind"), [(500, TryLater), (503, TryLater), (429, TryLater), (403, Refused)])
    def test_tries_again_only_what_may_pass(self, server: MlflowServer, status: int, kind: type) -> None:
        server.fault = lambda method, path: (status, {"message": "no"})
        assert isinstance(MlflowAdapter(JsonClient(server.url, LOOPBACK)).send(order("bot")), kind)

    def test_notices_that_setting_had_no_effect(self, server: MlflowServer) -> None:
        server.fault = lambda method, path: (200, {}) if method == "POST" else None
        result = MlflowAdapter(JsonClient(server.url, LOOPBACK)).send(order("bot"))
        assert isinstance(result, Refused)
        assert "was set to version 2 and reads 4" in result.reason
