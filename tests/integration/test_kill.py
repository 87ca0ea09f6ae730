"""SIGKILL under load: after a restart every acknowledged span is there, once, and the audit log verifies."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from custodes.db import open_database
from custodes.db.database import ReadTx
from custodes.db.tables import exchange, span
from custodes.runtime.demo.history import turns_to_request
from custodes.runtime.demo.script import SERVICES, play_turn

pytestmark = pytest.mark.timeout(400)

TRACES, SPANS = 5, 3
"""How many traces a request holds, and how many spans each."""


class Load:
    """Senders that remember exactly which trace ids were acknowledged, and of which requests nothing was heard."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self.acknowledged: dict[str, bytes] = {}
        self.unanswered = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(3)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=20)

    def _body(self) -> tuple[bytes, list[str]]:
        with self._lock:
            seed = self._rng.getrandbits(64)
        rng = random.Random(seed)
        now = time.time_ns() - 20 * 10**9
        turns = [(now + n, play_turn(rng.choice(SERVICES), rng)) for n in range(TRACES)]
        ids: list[str] = []
        body = turns_to_request(turns, _Recording(seed, ids))
        return body, ids

    def _send(self) -> None:
        with httpx.Client(timeout=10, trust_env=False) as client:
            while not self._stop.is_set():
                body, ids = self._body()
                try:
                    answer = client.post(
                        f"{self._url}/v1/traces", content=body, headers={"content-type": "application/x-protobuf"}
                    )
                except httpx.ConnectError:
                    self._stop.wait(0.05)
                    continue
                except httpx.HTTPError:
                    with self._lock:
                        self.unanswered += len(ids)
                    continue
                if answer.status_code == 200:
                    with self._lock:
                        self.acknowledged.update(dict.fromkeys(ids, body))


class _Recording(random.Random):
    """A generator that notes the 16-byte draws: the trace ids of the request."""

    def __init__(self, seed: int, ids: list[str]) -> None:
        super().__init__(seed)
        self._ids = ids

    def randbytes(self, n: int) -> bytes:
        drawn = super().randbytes(n)
        if n == 16:
            self._ids.append(drawn.hex())
        return drawn


@contextmanager
def _reading(database_url: str) -> Iterator[ReadTx]:
    database = open_database(database_url)
    with database.read() as tx:
        yield tx
    database.dispose()


class TestKill:
    def test_no_acknowledged_span_is_lost_and_the_log_verifies(
        self, database_url: str, launch: Any, wait_for: Any, tmp_path: Path
    ) -> None:
        settings = {"data_dir": tmp_path / "data", "CUSTODES_DATABASE__URL": database_url}
        acknowledged: dict[str, bytes] = {}
        unanswered = 0
        for round_number in range(3):
            server = launch(**settings)
            load = Load(server.url, seed=round_number)
            load.start()
            wait_for(lambda load=load: len(load.acknowledged) >= 100, 60, "acknowledged traces")
            server.kill()
            load.stop()
            acknowledged.update(load.acknowledged)
            unanswered += load.unanswered

        server = launch(**settings)
        ledger = self._check_ledger(server, database_url)
        # No client sent anything twice so far. What got no answer may have been stored, or not.
        assert ledger["duplicates"] == ledger["rejected"] == 0
        assert 0 <= ledger["stored"] - SPANS * len(acknowledged) <= SPANS * unanswered
        stored = self._stored_spans(server)
        assert {trace_id: stored.get(trace_id) for trace_id in acknowledged} == dict.fromkeys(acknowledged, SPANS)
        assert sum(stored.values()) == ledger["stored"]

        # A client that got no answer sends again; here, what was acknowledged is, and must be stored once.
        again = list(set(acknowledged.values()))[:20]
        for body in again:
            headers = {"content-type": "application/x-protobuf"}
            answer = httpx.post(f"{server.url}/v1/traces", content=body, headers=headers, trust_env=False)
            assert answer.status_code == 200
        repeated = SPANS * TRACES * len(again)
        assert self._check_ledger(server, database_url) == {
            **ledger, "received": ledger["received"] + repeated, "duplicates": repeated
        }  # fmt: skip

        def all_scored() -> bool:
            seen = server.get("/api/v1/ledger", **{"from": "now-1h"})
            return bool(seen["exchanges"] == seen["assessed"] + sum(seen["not_assessed"].values()))

        wait_for(all_scored, 120, "every exchange being scored once")
        with _reading(database_url) as tx:
            scored = tx.execute(select(func.count()).where(exchange.c.scored_ns.is_not(None))).scalar_one()
        assert server.get("/api/v1/ledger", **{"from": "now-1h"})["exchanges"] == scored == sum(stored.values()) / SPANS
        assert server.stop() == 0
        self._verify(server, tmp_path / "bundle")

    @staticmethod
    def _check_ledger(server: Any, database_url: str) -> dict[str, int]:
        """Return the ledger's sums, which must be what lies in the database."""
        told = server.get("/api/v1/ledger", **{"from": "now-1h"})
        sums = {name: told[name] for name in ("received", "stored", "duplicates")}
        sums["rejected"] = sum(told["rejected"].values())
        assert sums["received"] == sums["stored"] + sums["duplicates"] + sums["rejected"]
        with _reading(database_url) as tx:
            assert tx.execute(select(func.count()).select_from(span)).scalar_one() == sums["stored"]
        return sums

    @staticmethod
    def _stored_spans(server: Any) -> dict[str, int]:
        """Return how many spans every stored trace has, read page by page."""
        found: dict[str, int] = {}
        cursor: str | None = None
        while True:
            page = server.get("/api/v1/traces", limit=500, **({"cursor": cursor} if cursor else {}))
            found.update({row["trace_id"]: row["spans"] for row in page["rows"]})
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    @staticmethod
    def _verify(server: Any, bundle: Path) -> None:
        head = json.loads(server.run("audit", "checkpoint", "--json").stdout)
        assert head["size"] > 0
        exported = server.run("audit", "export", "--out", str(bundle))
        assert exported.returncode == 0, exported.stderr
        arguments = ("audit", "verify", str(bundle), "--origin", head["origin"], "--key", head["key"])
        assert server.run(*arguments).returncode == 0
        victim = next(path for path in sorted(bundle.rglob("*")) if path.is_file() and "entries" in str(path))
        changed = bytearray(victim.read_bytes())
        changed[len(changed) // 2] ^= 1
        victim.write_bytes(changed)
        assert server.run(*arguments).returncode == 2
