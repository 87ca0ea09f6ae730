"""SIGKILL under load: after a restart every acknowledged span is there, once, and the audit log verifies."""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from custodes.runtime.demo.history import turns_to_request
from custodes.runtime.demo.script import SERVICES, play_turn

pytestmark = pytest.mark.timeout(400)


class Load:
    """Senders that remember exactly which trace ids were acknowledged."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self.acknowledged: dict[str, bytes] = {}
        self.refused = 0
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
        turns = [(now + n, play_turn(rng.choice(SERVICES), rng)) for n in range(5)]
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
                except httpx.HTTPError:
                    self.refused += 1
                    self._stop.wait(0.05)
                    continue
                if answer.status_code == 200:
                    with self._lock:
                        self.acknowledged.update(dict.fromkeys(ids, body))
                else:
                    self.refused += 1


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


class TestKill:
    def test_no_acknowledged_span_is_lost_and_the_log_verifies(
        self, launch: Any, wait_for: Any, tmp_path: Path
    ) -> None:
        data = tmp_path / "data"
        acknowledged: dict[str, bytes] = {}
        for round_number in range(3):
            server = launch(data_dir=data)
            load = Load(server.url, seed=round_number)
            load.start()
            wait_for(lambda load=load: len(load.acknowledged) >= 100, 60, "acknowledged traces")
            server.kill()
            load.stop()
            acknowledged.update(load.acknowledged)

        server = launch(data_dir=data)
        # A client that got no answer sends again; here, everything is sent again, and must be stored once.
        for body in list(set(acknowledged.values()))[:20]:
            headers = {"content-type": "application/x-protobuf"}
            answer = httpx.post(f"{server.url}/v1/traces", content=body, headers=headers, trust_env=False)
            assert answer.status_code == 200
        stored = self._stored_spans(server)
        assert {trace_id: stored.get(trace_id) for trace_id in acknowledged} == dict.fromkeys(acknowledged, 3)
        ledger = server.get("/api/v1/ledger", **{"from": "now-1h"})
        rejected = sum(ledger["rejected"].values())
        assert ledger["received"] == ledger["stored"] + ledger["duplicates"] + rejected
        assert ledger["stored"] >= 3 * len(acknowledged)
        assert ledger["duplicates"] >= 3 * 5

        def all_scored() -> bool:
            seen = server.get("/api/v1/ledger", **{"from": "now-1h"})
            return bool(seen["exchanges"] == seen["assessed"] + sum(seen["not_assessed"].values()))

        wait_for(all_scored, 120, "every exchange being scored once")
        assert server.stop() == 0
        self._verify(server, tmp_path / "bundle")

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
