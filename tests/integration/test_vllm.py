"""The middleware in a server of its own that answers as vLLM does, driven by the real openai client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

pytestmark = pytest.mark.timeout(300)

FAKE = Path(__file__).parents[1] / "unit" / "sdk" / "test_vllm.py"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
# As vllm.entrypoints.openai.api_server adds what --middleware names.
SERVE = """
import importlib, runpy, socket, sys, uvicorn
app = runpy.run_path(sys.argv[1])["make_app"]()
for name in sys.argv[2:]:
    module, attribute = name.rsplit(".", 1)
    app.add_middleware(getattr(importlib.import_module(module), attribute))
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
"""


def start(endpoint: str, *middleware: str) -> tuple[subprocess.Popen[str], str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CUSTODES_", "OTEL_"))}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(FAKE), *middleware],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**clean, "CUSTODES_SDK_ENDPOINT": endpoint, "CUSTODES_SDK_SERVICE": "llama"},
        text=True,
    )
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{int(process.stdout.readline())}"


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(timeout=20)
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """The same server twice: with the middleware, and without. Custodes is away."""
    started = [start("http://127.0.0.1:1", "custodes_sdk.vllm.Capture"), start("http://127.0.0.1:1")]
    yield started[0][1], started[1][1]
    for process, _ in started:
        stop(process)


class TestBytes:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models"])
    def test_they_are_the_same_with_and_without(self, pair: tuple[str, str], path: str, stream: bool) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "prompt": "x", "input": "x"}
        answers = [
            httpx.request("GET" if path == "/v1/models" else "POST", url + path, json={**body, "stream": stream})
            for url in pair
        ]
        first, second = ((one.status_code, one.content, dict(one.headers) | {"date": ""}) for one in answers)
        assert first == second
        assert first[0] == 200


class TestRealClient:
    def test_every_call_arrives_also_those_of_the_last_moment(self, launch: Any, wait_for: Any) -> None:
        server = launch()
        process, url = start(server.url, "custodes_sdk.vllm.Capture")
        messages: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
            client.chat.completions.create(model=MODEL, messages=messages, user="u-1")
            for _ in client.chat.completions.create(
                model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
            ):
                pass
            client.completions.create(model=MODEL, prompt="What is the capital of France?")
            client.responses.create(model=MODEL, input="What is the capital of France?")
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model="nothing", messages=messages)
        # What waits is sent when the process ends.
        stop(process)
        found: list[dict[str, Any]] = []

        def all_scored() -> bool:
            rows = server.get("/api/v1/traces", service="llama")["rows"]
            found[:] = [server.get(f"/api/v1/traces/{row['trace_id']}") for row in rows]
            return len(found) == 5 and all(one["state"] != "pending" for trace in found for one in trace["exchanges"])

        wait_for(all_scored, 60, "five scored calls")
        prompts = [one["prompt"] for trace in found for one in trace["exchanges"]]
        assert prompts == ["What is the capital of France?"] * 5
        spans = [trace["spans"][0] for trace in found]
        assert {(one["provider"], one["kind"]) for one in spans} == {("vllm", "server")}
        assert sorted(str(one["output_tokens"]) for one in spans) == ["7", "7", "7", "7", "None"]
        assert [one["status"] for one in spans].count("error") == 1
        assert [one["user_id"] for one in spans].count("u-1") == 1
        assert len([one for one in spans if one["ttft_ms"] is not None]) == 1
