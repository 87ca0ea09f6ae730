"""The real openai client, instrumented by two real instrumentations, into a running Custodes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(300)

HERE = Path(__file__).parent
QUESTION = "When does the warehouse open?"
ANSWER = "The warehouse opens at nine."
CAPTURE = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_only"}


@pytest.fixture
def openai_url() -> Any:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "openai_server.py")], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


def drive(script: str, server_url: str, openai_url: str, **environment: str) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "CUSTODES_"))}
    done = subprocess.run(
        [sys.executable, str(HERE / script), server_url, openai_url],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "rror" not in done.stderr, done.stderr


def exchanges_of(server: Any, service: str, count: int, wait_until: Any) -> list[dict[str, Any]]:
    """Return the scored exchanges of a service with their spans."""
    found: list[dict[str, Any]] = []

    def all_scored() -> bool:
        found.clear()
        for row in server.get("/api/v1/traces", service=service)["rows"]:
            trace = server.get(f"/api/v1/traces/{row['trace_id']}")
            spans = {span["span_id"]: span for span in trace["spans"]}
            found.extend({**one, "span": spans[one["span_id"]]} for one in trace["exchanges"])
        return len(found) == count and all(one["state"] != "pending" for one in found)

    wait_until(all_scored, 60, f"{count} scored exchanges of {service}")
    return found


class TestRealClients:
    @pytest.mark.parametrize(
        ("script", "service", "environment", "session", "user"),
        [
            ("client_genai.py", "genai-client", CAPTURE, None, None),
            ("client_openinference.py", "openinference-client", {}, "s-42", "u-7"),
        ],
    )
    def test_every_exchange_arrives_complete_and_scored(
        self,
        launch: Any,
        wait_for: Any,
        openai_url: str,
        script: str,
        service: str,
        environment: dict[str, str],
        session: str | None,
        user: str | None,
    ) -> None:
        server = launch()
        drive(script, server.url, openai_url, **environment)
        for one in exchanges_of(server, service, 2, wait_for):
            span = one["span"]
            assert one["prompt"] == QUESTION
            assert one["response"] == ANSWER
            assert span["model"] == "gpt-4o-mini-2024-07-18"
            assert (span["input_tokens"], span["output_tokens"]) == (21, 7)
            assert span["finish_reasons"] == ["stop"]
            assert (span["session_id"], span["user_id"]) == (session, user)
            assert span["input_messages"][0]["role"] == "system"
            toxicity = one["scores"]["toxicity"]
            assert toxicity["state"] == "assessed"
            assert 0.0 <= toxicity["value"] < 0.5
            assert toxicity["detector"]["digest"].startswith("sha256:")
            assert one["scores"]["hallucination"] == {
                **one["scores"]["hallucination"],
                "state": "not_assessed",
                "reason": "no_context",
                "value": None,
            }

    def test_a_client_that_captures_no_text_is_not_assessed_and_told_what_to_set(
        self, launch: Any, wait_for: Any, openai_url: str
    ) -> None:
        server = launch()
        drive("client_genai.py", server.url, openai_url)
        for one in exchanges_of(server, "genai-client", 2, wait_for):
            assert one["scores"]["toxicity"]["state"] == "not_assessed"
            assert one["scores"]["toxicity"]["value"] is None
        rows = server.get("/api/v1/coverage")["rows"]
        hint = next(row["hint"] for row in rows if row["service"] == "genai-client")
        assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in hint
