"""SIGTERM stops everything in order: what was accepted is committed, ports are free, the exit code is 0."""

from __future__ import annotations

import random
import time
from typing import Any

import httpx
import pytest

from custodes.runtime.demo.history import turns_to_request
from custodes.runtime.demo.script import SERVICES, play_turn
from custodes.runtime.ports import check_port_free

pytestmark = pytest.mark.timeout(300)


def send(url: str, seed: int, count: int = 4) -> int:
    rng = random.Random(seed)
    turns = [(time.time_ns() - 10**10 + n, play_turn(rng.choice(SERVICES), rng)) for n in range(count)]
    headers = {"content-type": "application/x-protobuf"}
    return httpx.post(
        f"{url}/v1/traces", content=turns_to_request(turns, rng), headers=headers, timeout=20, trust_env=False
    ).status_code


class TestStop:
    def test_it_stops_with_code_0_and_frees_its_port(self, launch: Any) -> None:
        server = launch()
        assert send(server.url, 1) == 200
        assert server.stop() == 0
        check_port_free("127.0.0.1", int(server.url.rsplit(":", 1)[1]), "CUSTODES_HTTP__PORT")
        assert "Traceback" not in server.log.read_text()


class TestSeparateRoles:
    def test_serve_and_work_share_the_load(self, launch: Any, wait_for: Any) -> None:
        server = launch("serve", "--dev", ready=False)
        wait_for(lambda: _answers(server.url), 60, "the API answering")
        assert send(server.url, 2) == 200
        ready = httpx.get(f"{server.url}/readyz", timeout=5, trust_env=False)
        # Traffic is taken but nobody scores it: not ready, and it says what to start.
        assert ready.status_code == 503
        assert "custodes work" in ready.text
        worker = launch("work", ready=False)
        wait_for(
            lambda: httpx.get(f"{server.url}/readyz", timeout=5, trust_env=False).status_code == 200, 90, "readiness"
        )

        def all_scored() -> bool:
            ledger = server.get("/api/v1/ledger")
            return bool(ledger["exchanges"] == 4 == ledger["assessed"] + sum(ledger["not_assessed"].values()))

        wait_for(all_scored, 60, "every exchange being scored by the worker")
        assert worker.stop() == 0
        assert server.stop() == 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
