"""Recorded bodies of real clients, replayed over HTTP into a running Custodes: what the API says of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.timeout(300)

DATA = Path(__file__).parent.parent / "data" / "otlp"
GOLDEN: dict[str, Any] = json.loads((DATA / "golden.json").read_text())
FIELDS = ("operation", "provider", "model", "deployment", "session_id", "user_id", "input_tokens", "output_tokens")


class TestCaptures:
    def test_every_recorded_call_reads_as_the_client_meant_it(self, launch: Any, wait_for: Any) -> None:
        server = launch()
        with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
            for name, golden in GOLDEN.items():
                body = (DATA / f"{name}.bin").read_bytes()
                headers = {"content-type": golden["content_type"]}
                assert client.post("/v1/traces", content=body, headers=headers).status_code == 200
                # The same once more, compressed: stored once.
                packed = {**headers, "content-encoding": "gzip"}
                assert client.post("/v1/traces", content=gzip.compress(body), headers=packed).status_code == 200

        expected = {span["span_id"]: span for golden in GOLDEN.values() for span in golden["spans"]}
        span_ids: list[str] = []
        exchanges: dict[str, dict[str, Any]] = {}

        def all_scored() -> bool:
            span_ids.clear()
            rows = server.get("/api/v1/traces", limit=500, **{"from": "2020-01-01T00:00:00Z"})["rows"]
            for row in rows:
                trace = server.get(f"/api/v1/traces/{row['trace_id']}")
                for span in trace["spans"]:
                    span_ids.append(span["span_id"])
                    wanted = expected[span["span_id"]]
                    assert {field: span[field] for field in FIELDS} == {field: wanted[field] for field in FIELDS}
                    assert span["finish_reasons"] == wanted["finish_reasons"]
                exchanges.update({one["span_id"]: one for one in trace["exchanges"]})
            return all(one["state"] != "pending" for one in exchanges.values())

        wait_for(all_scored, 60, "every recorded exchange being scored")
        assert sorted(span_ids) == sorted(expected)
        assert set(exchanges) == {span_id for span_id, span in expected.items() if span["is_exchange"]}
        for span_id, one in exchanges.items():
            assert one["prompt"] == expected[span_id]["prompt"]
            assert one["response"] == expected[span_id]["response"]
