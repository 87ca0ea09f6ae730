"""A bounded number of mutated requests through the whole way in; ``make fuzz`` sends a million.

``TEST_FUZZ_CASES`` says how many go over the listeners of a server.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fuzz.listeners import Listeners, send_all
from tests.fuzz.mutations import Mutator
from tests.fuzz.run import RECORDED, peak_mib

pytestmark = pytest.mark.timeout(float(os.environ.get("TEST_FUZZ_TIMEOUT_S", "300")))

ROOT = Path(__file__).resolve().parents[2]
CASES = int(os.environ.get("TEST_FUZZ_CASES", "1000"))
MAX_GROWTH_MIB = 300


class TestFuzz:
    def test_every_mutated_request_is_stored_or_refused_with_an_error_of_ours(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.run", "--cases", "5000", "--seed", "1"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert "requests stored" in done.stdout
        assert "spans refused: malformed_span" in done.stdout

    def test_the_listeners_answer_every_one_as_the_protocol_says(self, launch: Any, tmp_path: Path) -> None:
        server = launch(CUSTODES_INGEST__MAX_SPANS="500")
        listeners = Listeners(server.url, server.grpc_address, seed=2)
        mutator = Mutator(RECORDED, seed=2)
        send_all(mutator, listeners, CASES // 4, seed=2)
        before = peak_mib(server.process.pid)
        send_all(mutator, listeners, CASES - CASES // 4, seed=2)
        listeners.close()
        assert {"HTTP 200", "HTTP 400", "HTTP 415", "gRPC OK", "gRPC INVALID_ARGUMENT"} <= listeners.outcomes.keys()
        reached = peak_mib(server.process.pid)
        sys.stdout.write(f"{sorted(listeners.outcomes.items())}, peak {before:,.0f}, then {reached:,.0f} MiB\n")
        assert reached - before < MAX_GROWTH_MIB
        metrics = httpx.get(f"{server.url}/metrics", trust_env=False).text
        assert "custodes_dialect_failures_total{" not in metrics, metrics
        ledger = server.get("/api/v1/ledger", **{"from": "now-2d"})
        refused = sum(ledger["rejected"].values())
        assert ledger["received"] == ledger["stored"] + ledger["duplicates"] + refused
        assert min(ledger["stored"], ledger["duplicates"], refused) > 0
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()
        with closing(sqlite3.connect(tmp_path / "data" / "custodes.db")) as database:
            assert database.execute("SELECT count(*) FROM span").fetchone() == (ledger["stored"],)
