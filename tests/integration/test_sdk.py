"""The SDK with the real openai client and its instrumentation, into a running Custodes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(300)

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples" / "sdk"
ANSWER = "The warehouse opens at nine."


@pytest.fixture
def openai_url() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "openai_server.py")], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


def run(script: Path, **variables: str) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "CUSTODES_"))}
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def traces_of(server: Any, service: str, count: int, wait_for: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def scored() -> bool:
        rows = server.get("/api/v1/traces", service=service)["rows"]
        found[:] = [server.get(f"/api/v1/traces/{row['trace_id']}") for row in rows]
        exchanges = [one for trace in found for one in trace["exchanges"]]
        return len(exchanges) == count and all(one["state"] != "pending" for one in exchanges)

    wait_for(scored, 60, f"{count} scored exchanges of {service}")
    return found


class TestExamples:
    def test_an_instrumented_client_arrives_whole_and_is_judged_against_its_documents(
        self, launch: Any, wait_for: Any, openai_url: str
    ) -> None:
        server = launch()
        run(
            EXAMPLES / "rag.py",
            CUSTODES_SDK_ENDPOINT=server.url,
            CUSTODES_SDK_ENVIRONMENT="prod",
            OPENAI_BASE_URL=openai_url,
            OPENAI_API_KEY="k",
        )
        (trace,) = traces_of(server, "warehouse-bot", 1, wait_for)
        (exchange,) = trace["exchanges"]
        (span,) = [one for one in trace["spans"] if one["span_id"] == exchange["span_id"]]
        assert exchange["prompt"] == "When does the warehouse open?"
        assert exchange["response"] == ANSWER
        assert len(exchange["contexts"]) == 2
        assert exchange["scores"]["hallucination"]["state"] == "assessed"
        assert exchange["scores"]["toxicity"]["state"] == "assessed"
        assert (span["session_id"], span["user_id"]) == ("s-1", "u-42")
        assert (span["deployment"], span["environment"]) == ("warehouse-bot-v1", "prod")
        assert (span["input_tokens"], span["output_tokens"]) == (21, 7)
        assert span["attributes"]["custodes.attr.group"] == "en"
        (opinion,) = server.get(f"/api/v1/traces/{trace['trace_id']}")["feedback"]
        assert (opinion["label"], opinion["value"], opinion["user_id"]) == ("helpful", 1.0, "u-42")

    def test_any_function_arrives_whole(self, launch: Any, wait_for: Any) -> None:
        server = launch()
        run(EXAMPLES / "any_model.py", CUSTODES_SDK_ENDPOINT=server.url)
        traces = traces_of(server, "house-bot", 2, wait_for)
        exchanges = {one["response"]: one for trace in traces for one in trace["exchanges"]}
        assert set(exchanges) == {"According to 1 documents: nine o'clock.", "Nine o'clock."}
        assert {one["prompt"] for one in exchanges.values()} == {"When does the warehouse open?"}
        spans = [one for trace in traces for one in trace["spans"]]
        assert {(one["model"], one["session_id"], one["user_id"]) for one in spans} == {
            ("house-model-3", "s-1", "u-42")
        }
