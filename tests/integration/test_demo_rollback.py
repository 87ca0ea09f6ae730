"""The demo's toxic deployment is rolled back on a real MLflow after one approval, and verified as helped.

The whole chain is then read in the console as a person does, and proven in the audit log. It takes some minutes and a
real MLflow, so it runs with ``make mlflow``. ``tests/unit/policies/actions`` tells the same
story in seconds with a clock of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

from tests.e2e.browser import ARGUMENTS, find_chromium, open_page, settle
from tests.integration.conftest import free_port, wait_until
from tests.real_mlflow import RealMlflow

STEPS = ["proposed", "planned", "approved", "snapshot", "sent", "attempted", "acknowledged", "verifying", "helped"]
pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rollback")


@pytest.fixture(scope="module")
def registry(folder: Path) -> Iterator[RealMlflow]:
    """A real MLflow server with nothing in it."""
    (folder / "mlflow").mkdir()
    server = RealMlflow(os.environ["TEST_MLFLOW_PROGRAM"], folder / "mlflow")
    yield server
    server.stop()


@dataclass(frozen=True)
class Demo:
    """A running demo: the addresses of its API and console, its process, and what it is run with."""

    url: str
    console_url: str
    process: subprocess.Popen[bytes]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def demo(registry: RealMlflow, folder: Path) -> Iterator[Demo]:
    """The demo on that registry, with its console."""
    port, console_port = free_port(), free_port()
    environment = {
        **os.environ,
        "CUSTODES_DATA_DIR": str(folder / "data"),
        "CUSTODES_HTTP__PORT": str(port),
        "CUSTODES_CONSOLE__PORT": str(console_port),
        "CUSTODES_GRPC__ENABLED": "false",
    }
    command = [sys.executable, "-m", "custodes", "demo", "--days", "1", "--mlflow", registry.url]
    with (folder / "demo.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    yield Demo(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{console_port}", process, environment)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, (folder / "demo.log").read_text()[-2000:]


@pytest.fixture(scope="module")
def client(demo: Demo) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{demo.url}/api/v1", trust_env=False, timeout=30) as made:
        yield made


@pytest.fixture(scope="module")
def chain(demo: Demo, client: httpx.Client, registry: RealMlflow) -> dict[str, Any]:
    """The rollback, from the first toxic answer to the verdict, agreed to once."""

    def newest() -> dict[str, Any]:
        assert demo.process.poll() is None, "the demo has ended; see demo.log"
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
    assert 0 < one["traffic_share"] < 1
    assert client.get("/gates/support-bot-v8").json()["verdict"] == "fail"

    approved = client.post(f"/actions/{one['id']}/approve", json={"comment": "it insults people"})
    assert approved.status_code == 200, approved.text
    wait_until(lambda: registry.alias("support-bot", "champion") == "7", 30, "the rollback")
    ended = ("helped", "not_helped", "inconclusive", "failed")
    wait_until(lambda: newest()["state"] in ended, 420, "the verdict")
    path = f"/actions/{one['id']}"
    wait_until(lambda: len(client.get(path).json()["audit_seqs"]) >= 10, 10, "the last leaf")
    return dict(client.get(path).json())


class TestDemo:
    def test_is_rolled_back_after_one_approval_and_verified_as_helped(self, chain: dict[str, Any]) -> None:
        assert chain["state"] == "helped", chain["reason"]
        assert [event["kind"] for event in chain["events"] if event["kind"] != "waiting"] == STEPS
        assert chain["decision"]["values"]["tox_rate"] > 0.15
        assert [given["comment"] for given in chain["approvals"]] == ["it insults people"]
        assert chain["evidence"]["worst_exchanges"]
        assert chain["finding"]["intervals"]["tox_rate"][1] < 0.15

    def test_is_proven_by_the_audit_log(
        self, chain: dict[str, Any], client: httpx.Client, demo: Demo, folder: Path
    ) -> None:
        """Every step is a leaf with a proof that leads to a signed checkpoint, and verifies without the server."""
        leaves = chain["audit_seqs"]
        entries = {one["seq"]: one for one in client.get("/audit/entries", params={"limit": 500}).json()["rows"]}
        told = [entries[seq]["action"] for seq in leaves if seq in entries]
        assert told[-9:] == [f"action.{step}" for step in STEPS]
        for seq in leaves:
            assert client.get(f"/audit/prove/{seq}").status_code == 200
        verified = client.post("/audit/verify")
        assert verified.json()["verdict"] == "intact", verified.text

        def run(*words: str) -> str:
            environment = {**demo.environment, "CUSTODES_DATA_DIR": str(folder / "data" / "demo")}
            command = [sys.executable, "-m", "custodes", "audit", *words]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        head = json.loads(run("checkpoint", "--json"))
        run("export", "--out", str(folder / "bundle"))
        assert "intact" in run("verify", str(folder / "bundle"), "--origin", head["origin"], "--key", head["key"])

    @pytest.mark.browser
    def test_is_read_in_the_console(self, chain: dict[str, Any], demo: Demo) -> None:
        """Score, decision, approval, action and verification stand on one page, which leads to the audit log."""
        with sync_playwright() as playwright:
            path = find_chromium(playwright)
            if path is None:
                pytest.skip("no Chromium found on this machine")
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            page, findings = open_page(browser, demo.console_url)
            page.goto(f"{demo.console_url}/actions")
            settle(page)
            _read(page, ["support-bot@champion"])
            page.goto(f"{demo.console_url}/action?id={chain['id']}")
            settle(page)
            wanted = [
                "Rollback of support-bot@champion from 8 to 7", "Helped", "Policy toxic-answers", "tox_rate",
                "it insults people", "support-bot-v7", *(step.capitalize() for step in STEPS),
                str(chain["evidence_digest"]), *(f"No. {seq}" for seq in chain["audit_seqs"] if seq < 1000),
            ]  # fmt: skip
            _read(page, wanted)
            page.goto(f"{demo.console_url}/audit?seq={chain['audit_seqs'][-1]}")
            settle(page)
            _read(page, ["action.helped"])
            assert findings.is_clean(), findings
            browser.close()


def _read(page: Page, wanted: list[str]) -> None:
    """Hold a page to words it has to show; tables are drawn a moment later than the rest."""
    missing = wanted
    for _ in range(40):
        # Names are shown with joiners that keep them from becoming links.
        shown = (page.get_by_test_id("stMain").text_content() or "").replace("\u2060", "")
        missing = [one for one in wanted if one not in shown]
        if not missing:
            return
        page.wait_for_timeout(250)
    raise AssertionError(f"not on the page: {missing}")
