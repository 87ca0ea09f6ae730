"""Real clients, each a program of its own, into a running Custodes: every exchange arrives once and complete."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.timeout(900)  # The first test of a kind may have to install its client.

HERE = Path(__file__).parent
CLIENTS = HERE.parent / "clients"
SYSTEM = "You are a helpful assistant."
QUESTION = "When does the warehouse open?"
ANSWER = "The warehouse opens at nine."
DOCUMENTS = ["The warehouse opens at nine on weekdays.", "Deliveries go through gate four."]
REQUESTED, BROKEN, MODEL = "gpt-4o-mini", "gpt-broken", "gpt-4o-mini-2024-07-18"
CALL = {"type": "tool_call", "id": "call_1", "name": "look_up_hours", "arguments": {"place": "warehouse"}}
TOOL_RESULT = "Open from nine to five."
SPAN_TEXT = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_only"}
EVENT_TEXT = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "event_only"}
MLFLOW_GENAI = {"MLFLOW_ENABLE_OTEL_GENAI_SEMCONV": "true"}
AGENT = {"chat": 1, "stream": 1, "call": 1, "result": 1}
BASIC = {**AGENT, "failed": 1}


@dataclass(frozen=True)
class Client:
    """How a client is run, and what it sends of what it was made to say.

    ``kinds`` counts its exchanges: ``chat`` plain, ``stream`` with a time to the first token, ``call`` answered by a
    tool call, ``result`` given a tool's result, ``retrieval`` with documents, ``failed`` refused by the model's server.
    """

    script: str
    dialect: str
    runs_in: str = "python"
    environment: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=lambda: BASIC)
    session: str | None = None
    user: str | None = None
    streamed_model: str = MODEL
    stop: tuple[str, ...] = ("stop",)
    called: tuple[str, ...] = ("tool_calls",)


KNOWN: dict[str, Any] = {"session": "s-42", "user": "u-7"}
RETRIEVING = {**BASIC, "retrieval": 1}
HAND_WRITTEN = {**RETRIEVING, "chat": 3}
HIDDEN_DOCUMENTS = {**BASIC, "chat": 2}
UNTIMED = {**RETRIEVING, "chat": 2, "stream": 0}
REAL: dict[str, Client] = {
    "genai": Client("genai_openai_client.py", "otel_genai", "ours", SPAN_TEXT),
    # Text comes in log events, before the spans it belongs to.
    "genai-events": Client("genai_openai_client.py", "otel_genai", "ours", EVENT_TEXT),
    "genai-events-grpc": Client("genai_openai_client.py", "otel_genai", "ours", {**EVENT_TEXT, "OTLP": "grpc"}),
    "genai-grpc": Client("genai_openai_client.py", "otel_genai", "ours", {**SPAN_TEXT, "OTLP": "grpc"}),
    "openinference": Client("openinference_client.py", "openinference", "ours", kinds=RETRIEVING, **KNOWN),
    "openllmetry": Client("openllmetry_client.py", "openllmetry", user="u-7", called=("tool_call",)),
    # Tells no time to the first token, and of a streamed call the model that was asked for.
    "langchain": Client(
        "langchain_client.py", "openinference", kinds={**UNTIMED, "failed": 0}, streamed_model=REQUESTED, **KNOWN
    ),
    # Its wrapper says why a call ended only of streamed ones.
    "langfuse": Client("langfuse_client.py", "langfuse", kinds=HAND_WRITTEN, stop=(), called=(), **KNOWN),
    # What it writes of a streamed call tells no time to the first token, and names the model that was asked for.
    "logfire": Client("logfire_client.py", "logfire", kinds={**UNTIMED, "retrieval": 0}, streamed_model=REQUESTED),
    "pydantic-ai": Client("pydantic_ai_client.py", "pydantic_ai", kinds=AGENT, session="s-42", called=("tool_call",)),
    "mlflow": Client("mlflow_client.py", "mlflow", kinds=RETRIEVING),
    # In this mode of its own a retriever's documents are not sent.
    "mlflow-genai": Client("mlflow_client.py", "mlflow", environment=MLFLOW_GENAI, kinds=HIDDEN_DOCUMENTS),
    # Tells no time to the first token.
    "langsmith": Client("langsmith_client.py", "langsmith", kinds=UNTIMED, **KNOWN),
    "traceloop": Client("traceloop_client.py", "openllmetry", called=("tool_call",), **KNOWN),
    "vercel": Client("vercel_client.mjs", "vercel", "node", kinds=AGENT, called=("tool-calls",), **KNOWN),
    "vercel-legacy": Client(
        "vercel_client.mjs",
        "vercel_legacy",
        "node",
        {"TELEMETRY": "legacy", "OTLP": "protobuf"},
        AGENT,
        called=("tool-calls",),
        **KNOWN,
    ),
}


@pytest.fixture(scope="module")
def grpc_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def server(shared_launch: Any, grpc_port: int) -> Any:
    return shared_launch(CUSTODES_GRPC__PORT=str(grpc_port))


@pytest.fixture(scope="module")
def credentials(server: Any) -> dict[str, str]:
    """One key of the server, in each of the places where a client looks for it."""
    key = json.loads(server.run("key", "create", "--role", "ingester", "--json").stdout)["key"]
    return {
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{key}",
        "LANGFUSE_PUBLIC_KEY": "custodes",
        "LANGFUSE_SECRET_KEY": key,
        "TRACELOOP_API_KEY": key,
    }


@pytest.fixture(scope="module")
def openai_url() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "openai_server.py")], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


@pytest.fixture(scope="session")
def find_environment() -> Callable[[str], tuple[str, str]]:
    """A function from ``python`` or ``node`` to where that environment is, or nothing, and why not; asked once each."""
    asked: dict[str, tuple[str, str]] = {}

    def find(name: str) -> tuple[str, str]:
        if name not in asked:
            command = [sys.executable, str(CLIENTS / "environments.py"), name]
            done = subprocess.run(command, capture_output=True, text=True, timeout=850, check=False)
            asked[name] = (done.stdout.strip(), done.stderr.strip())
        return asked[name]

    return find


@pytest.fixture
def prepare(
    request: pytest.FixtureRequest, find_environment: Callable[[str], tuple[str, str]]
) -> Callable[[str], tuple[str, Path | None]]:
    """A function from where a client runs to its program and ``node_modules``.

    Where the packages cannot be had the test is named as not run; in CI that is a failure.
    """

    def find(runs_in: str) -> tuple[str, Path | None]:
        if runs_in == "ours":
            return sys.executable, None
        found, reason = find_environment(runs_in)
        if not found:
            message = f"not run: {request.node.nodeid}: {reason}"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        return (found, None) if runs_in == "python" else (shutil.which("node") or "node", Path(found))

    return find


def drive(program: str, modules: Path | None, script: str, folder: Path, *urls: str, **environment: str) -> None:
    """Run a copy of the script, so that nothing is found beside it but the scenario and its packages."""
    for file in (*CLIENTS.glob("scenario.*"), CLIENTS / script):
        shutil.copy(file, folder)
    if modules is not None:
        (folder / "node_modules").symlink_to(modules)
    foreign = ("CUSTODES_", "OTEL_", "PYTHON", "LANG", "MLFLOW_", "TRACELOOP_", "LOGFIRE_")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    done = subprocess.run(
        [program, script, *urls],
        cwd=folder,
        env={**clean, "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not re.search("Failed to export|Traceback", done.stderr), done.stderr


def spans_of(server: Any, service: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return every span of a service, and its exchanges with their spans."""
    spans: list[dict[str, Any]] = []
    exchanges: list[dict[str, Any]] = []
    for row in server.get("/api/v1/traces", service=service, limit=100)["rows"]:
        trace = server.get(f"/api/v1/traces/{row['trace_id']}")
        own = {span["span_id"]: span for span in trace["spans"]}
        spans.extend(own.values())
        exchanges.extend({**one, "span": own[one["span_id"]]} for one in trace["exchanges"])
    return spans, exchanges


def reported(openai_url: str) -> Counter[str]:
    return Counter(httpx.get(f"{openai_url}/reported", trust_env=False, timeout=10).json())


def parts_of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [part for message in messages for part in message["parts"] if part["type"] == kind]


def kind_of(exchange: Mapping[str, Any]) -> str:
    span = exchange["span"]
    if span["status"] == "error":
        return "failed"
    if parts_of(span["output_messages"], "tool_call"):
        return "call"
    if parts_of(span["input_messages"], "tool_call_response"):
        return "result"
    if exchange["contexts"]:
        return "retrieval"
    return "chat" if span["ttft_ms"] is None else "stream"


class TestRealClients:
    @pytest.mark.parametrize("name", list(REAL))
    def test_every_exchange_arrives_once_complete_and_scored(
        self,
        server: Any,
        wait_for: Any,
        openai_url: str,
        credentials: dict[str, str],
        grpc_port: int,
        prepare: Callable[[str], tuple[str, Path | None]],
        tmp_path: Path,
        name: str,
    ) -> None:
        client = REAL[name]
        before = reported(openai_url)
        target = f"http://127.0.0.1:{grpc_port}" if client.environment.get("OTLP") == "grpc" else server.url
        program, modules = prepare(client.runs_in)
        environment = {"OTEL_SERVICE_NAME": name, **credentials, **client.environment}
        drive(program, modules, client.script, tmp_path, target, openai_url, **environment)
        told = reported(openai_url) - before

        expected = sum(client.kinds.values())
        spans: list[dict[str, Any]] = []
        exchanges: list[dict[str, Any]] = []

        def all_scored() -> bool:
            spans[:], exchanges[:] = spans_of(server, name)
            return len(exchanges) >= expected and all(one["state"] != "pending" for one in exchanges)

        wait_for(all_scored, 60, f"{expected} scored exchanges of {name}")
        assert Counter(kind_of(one) for one in exchanges) == +Counter(client.kinds)
        assert sum(span["input_tokens"] or 0 for span in spans) == told["prompt_tokens"]
        assert sum(span["output_tokens"] or 0 for span in spans) == told["completion_tokens"]
        for one in exchanges:
            check_question(client, one)
            if kind_of(one) == "failed":
                check_failure(one)
            else:
                check_answer(client, one)

    def test_a_client_that_captures_no_text_is_not_assessed_and_told_what_to_set(
        self, server: Any, wait_for: Any, openai_url: str, tmp_path: Path
    ) -> None:
        urls = (server.url, openai_url, "chat")
        drive(sys.executable, None, "genai_openai_client.py", tmp_path, *urls, OTEL_SERVICE_NAME="genai-silent")
        exchanges: list[dict[str, Any]] = []

        def scored() -> bool:
            exchanges[:] = spans_of(server, "genai-silent")[1]
            return len(exchanges) == 1 and exchanges[0]["state"] != "pending"

        wait_for(scored, 60, "one exchange without text")
        assert exchanges[0]["scores"]["toxicity"]["state"] == "not_assessed"
        assert exchanges[0]["scores"]["toxicity"]["value"] is None
        rows = server.get("/api/v1/coverage")["rows"]
        hint = next(row["hint"] for row in rows if row["service"] == "genai-silent")
        assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in hint


def check_question(client: Client, exchange: Mapping[str, Any]) -> None:
    """Hold what every exchange of a client has against what it was made to say."""
    span = exchange["span"]
    assert span["dialect"] == client.dialect
    assert exchange["prompt"] == QUESTION
    assert (span["session_id"], span["user_id"]) == (client.session, client.user)
    assert span["input_messages"][0] == {**span["input_messages"][0], "role": "system"}
    assert parts_of(span["input_messages"][:1], "text")[0]["content"] == SYSTEM
    assert span["complete"]
    assert span["dropped_attributes"] == 0
    kept = json.dumps(span["attributes"])
    assert QUESTION not in kept, "text is kept twice"
    assert ANSWER not in kept, "text is kept twice"


def check_failure(exchange: Mapping[str, Any]) -> None:
    """Hold an exchange that was refused against the model that was asked; there is nothing to judge."""
    span, toxicity = exchange["span"], exchange["scores"]["toxicity"]
    assert exchange["response"] is None
    assert span["model"] == BROKEN
    assert (span["input_tokens"] or 0, span["output_tokens"] or 0) == (0, 0)
    assert (toxicity["state"], toxicity["value"]) == ("not_assessed", None)


def check_answer(client: Client, exchange: Mapping[str, Any]) -> None:
    """Hold an answered exchange against what the model server said."""
    span, kind = exchange["span"], kind_of(exchange)
    assert exchange["response"] == (None if kind == "call" else ANSWER)
    assert span["model"] in (MODEL, client.streamed_model)
    assert (span["input_tokens"], span["output_tokens"]) == ((33, 12) if kind == "call" else (21, 7))
    ended = client.called if kind == "call" else client.stop
    # A streamed call of Langfuse tells what its plain ones do not.
    assert tuple(span["finish_reasons"]) in {ended, ("stop",) if kind == "stream" else ended}
    if kind == "stream":
        assert 0 < span["ttft_ms"] <= span["duration_ms"]
    if kind == "call":
        (call,) = parts_of(span["output_messages"], "tool_call")
        assert {key: call[key] for key in CALL} == CALL
    if kind == "result":
        (result,) = parts_of(span["input_messages"], "tool_call_response")
        assert (result["id"], result["response"]) == ("call_1", TOOL_RESULT)
    check_scores(exchange, kind)


def check_scores(exchange: Mapping[str, Any], kind: str) -> None:
    """Hold an exchange's scores against what there was to judge."""
    if kind == "call":
        return
    toxicity, hallucination = exchange["scores"]["toxicity"], exchange["scores"]["hallucination"]
    assert toxicity["state"] == "assessed"
    assert 0.0 <= toxicity["value"] < 0.5
    assert toxicity["detector"]["digest"].startswith("sha256:")
    if kind == "retrieval":
        assert exchange["contexts"] == DOCUMENTS
        assert hallucination["state"] == "assessed"
    else:
        assert (hallucination["state"], hallucination["reason"], hallucination["value"]) == (
            "not_assessed",
            "no_context",
            None,
        )
