"""The demo's toxic deployment is rolled back on a real MLflow after one approval, and verified as helped.

It takes some minutes and a real MLflow, so it runs with ``make mlflow``. ``tests/unit/policies/actions`` tells the same
story in seconds with a clock of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.conftest import free_port, wait_until
from tests.real_mlflow import RealMlflow

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(900)]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealMlflow]:
    """A real MLflow server with nothing in it."""
    server = RealMlflow(os.environ["TEST_MLFLOW_PROGRAM"], tmp_path)
    yield server
    server.stop()


@dataclass(frozen=True)
class Demo:
    """A running demo: the address of its API, and its process."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def demo(registry: RealMlflow, tmp_path: Path) -> Iterator[Demo]:
    """The demo on that registry."""
    port = free_port()
    environment = {
        **os.environ,
        "CUSTODES_DATA_DIR": str(tmp_path / "data"),
        "CUSTODES_HTTP__PORT": str(port),
        "CUSTODES_GRPC__ENABLED": "false",
    }
    command = [sys.executable, "-m", "custodes", "demo", "--days", "1", "--no-console", "--mlflow", registry.url]
    with (tmp_path / "demo.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    yield Demo(f"http://127.0.0.1:{port}", process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, (tmp_path / "demo.log").read_text()[-2000:]


class TestDemo:
    def test_is_rolled_back_after_one_approval_and_verified_as_helped(self, demo: Demo, registry: RealMlflow) -> None:
        with httpx.Client(base_url=f"{demo.url}/api/v1", trust_env=False, timeout=30) as client:
            self.tell(client, registry, lambda: demo.process.poll() is None)

    def tell(self, client: httpx.Client, registry: RealMlflow, is_running: Callable[[], bool]) -> None:
        def newest() -> dict[str, Any]:
            assert is_running(), "the demo has ended; see demo.log"
            try:
                rows = client.get("/actions").json()["rows"]
            except httpx.HTTPError:
                return {}
            return rows[0] if rows else {}

        def is_planned() -> bool:
            return newest().get("state") == "proposed" and newest().get("planned_at") is not None

        wait_until(is_planned, 480, "the proposal of a rollback")
        one = newest()
        assert (one["from_version"], one["to_version"], one["deployment"]) == ("8", "7", "support-bot-v7")
        assert registry.alias("support-bot", "champion") == "8"
        assert client.get("/gates/support-bot-v8").json()["verdict"] == "fail"

        approved = client.post(f"/actions/{one['id']}/approve", json={"comment": "it insults people"})
        assert approved.status_code == 200, approved.text
        wait_until(lambda: registry.alias("support-bot", "champion") == "7", 30, "the rollback")
        ended = ("helped", "not_helped", "inconclusive", "failed")
        wait_until(lambda: newest()["state"] in ended, 420, "the verdict")

        chain = client.get(f"/actions/{one['id']}").json()
        assert chain["state"] == "helped", chain["reason"]
        assert [event["kind"] for event in chain["events"] if event["kind"] != "waiting"] == [
            "proposed", "planned", "approved", "snapshot", "sent", "attempted", "acknowledged", "verifying", "helped",
        ]  # fmt: skip
        assert chain["decision"]["values"]["tox_rate"] > 0.15
        assert [given["comment"] for given in chain["approvals"]] == ["it insults people"]
        assert chain["evidence"]["worst_exchanges"]
        assert chain["finding"]["intervals"]["tox_rate"][1] < 0.15
        self.prove(client, chain)

    def prove(self, client: httpx.Client, chain: dict[str, Any]) -> None:
        """Every step is a leaf, each with a proof that leads to a signed checkpoint."""
        wait_until(lambda: len(client.get(f"/actions/{chain['id']}").json()["audit_seqs"]) >= 10, 10, "the last leaf")
        leaves = client.get(f"/actions/{chain['id']}").json()["audit_seqs"]
        entries = {one["seq"]: one for one in client.get("/audit/entries", params={"limit": 500}).json()["rows"]}
        told = [entries[seq]["action"] for seq in leaves if seq in entries]
        assert told[-9:] == [
            "action.proposed", "action.planned", "action.approved", "action.snapshot", "action.sent",
            "action.attempted", "action.acknowledged", "action.verifying", "action.helped",
        ]  # fmt: skip
        for seq in leaves:
            proof = client.get(f"/audit/prove/{seq}")
            assert proof.status_code == 200
        verified = client.post("/audit/verify")
        assert verified.json()["verdict"] == "intact", verified.text
