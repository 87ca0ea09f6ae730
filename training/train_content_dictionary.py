"""Trains the dictionary that stored content is compressed with: ``python -m training.train_content_dictionary``.

A dictionary holds raw fragments of what it was trained on, so it is trained on nothing but what we wrote: the phrases
beside this file, and attributes whose names are those of the conventions and whose values are made up here. The speed
benchmark's corpus is not part of it, or it would measure how well it was learnt by heart.

Twice the size compresses text worse, not better (measured: 830 bytes a span rather than 750), because the quick search
that ``collector.content.codecs`` uses takes short matches far away for gains.

Version 1 is shipped and rows depend on it for ever: never train it again. A better one becomes a codec of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import zstandard

_PHRASES = Path(__file__).with_name("content_phrases.txt")
DICTIONARY_ID = 40_001
SIZE_BYTES = 16 * 1024
SAMPLES = 6_000
MADE_UP = 40
_HEX, _NUMBER, _SMALL, _FLAG, _RATIO, _TEXT, _LONG = "hex", "number", "small", "flag", "ratio", "text", "long"

# Attributes that instrumentations set, in groups that occur together: a name, then a kind of value or a fixed value.
_GROUPS: tuple[tuple[tuple[str, Any], ...], ...] = (
    (
        ("gen_ai.operation.name", ["chat", "text_completion", "generate_content"]),
        ("gen_ai.provider.name", ["openai", "anthropic", "aws.bedrock", "gcp.vertex_ai", "azure.ai.openai"]),
        ("gen_ai.system", ["openai", "anthropic", "az.ai.openai"]),
        ("gen_ai.request.model", ["gpt-4o-mini", "gpt-4.1", "claude-sonnet-4", "gemini-2.5-flash"]),
        ("gen_ai.response.model", ["gpt-4o-mini-2024-07-18", "claude-sonnet-4-20250514", "gemini-2.5-flash"]),
        ("gen_ai.response.id", ["chatcmpl-", "msg_", "resp_", "gen-"]),
        ("gen_ai.request.temperature", _RATIO),
        ("gen_ai.request.top_p", _RATIO),
        ("gen_ai.request.max_tokens", _NUMBER),
        ("gen_ai.usage.input_tokens", _NUMBER),
        ("gen_ai.usage.output_tokens", _NUMBER),
        ("gen_ai.usage.cache_read.input_tokens", _NUMBER),
        ("gen_ai.response.finish_reasons", [["stop"], ["length"], ["tool_calls"]]),
        ("gen_ai.conversation.id", _HEX),
        ("gen_ai.output.type", ["text", "json"]),
        ("openai.api.type", ["chat_completions", "responses"]),
        ("openai.response.system_fingerprint", ["fp_"]),
    ),
    (
        ("openinference.span.kind", ["LLM", "CHAIN", "RETRIEVER", "AGENT", "TOOL", "EMBEDDING", "RERANKER"]),
        ("llm.model_name", ["gpt-4o-mini", "claude-sonnet-4"]),
        ("llm.provider", ["openai", "anthropic"]),
        ("llm.system", ["openai", "anthropic"]),
        ("llm.invocation_parameters", ['{"model": "gpt-4o-mini", "temperature": 0.2, "max_tokens": 1024}']),
        ("llm.token_count.prompt", _NUMBER),
        ("llm.token_count.completion", _NUMBER),
        ("llm.token_count.total", _NUMBER),
        ("llm.token_count.prompt_details.cache_read", _NUMBER),
        ("input.mime_type", ["application/json", "text/plain"]),
        ("output.mime_type", ["application/json", "text/plain"]),
        ("input.value", _LONG),
        ("output.value", _LONG),
        ("metadata", ['{"ls_provider": "openai", "ls_model_type": "chat", "ls_temperature": 0.7}']),
    ),
    (
        ("gen_ai.operation.name", ["execute_tool"]),
        ("gen_ai.tool.name", ["search", "lookup", "get_weather", "run_query"]),
        ("gen_ai.tool.type", ["function"]),
        ("gen_ai.tool.call.id", ["call_"]),
        ("gen_ai.tool.description", _TEXT),
        ("gen_ai.tool.call.arguments", ['{"query": "', '{"id": ', '{"location": "']),
        ("gen_ai.tool.call.result", ['{"status": "ok", "results": [']),
        ("tool.name", ["search"]),
        ("tool.parameters", ['{"type": "object", "properties": {"query": {"type": "string", "description": "']),
    ),
    (
        ("gen_ai.operation.name", ["invoke_agent", "create_agent", "invoke_workflow"]),
        ("gen_ai.agent.name", ["assistant", "planner", "researcher"]),
        ("gen_ai.agent.id", _HEX),
        ("gen_ai.agent.description", _TEXT),
        ("gen_ai.workflow.name", ["main"]),
        ("gen_ai.system_instructions", _LONG),
    ),
    (
        ("gen_ai.operation.name", ["retrieval", "embeddings"]),
        ("gen_ai.data_source.id", _HEX),
        ("gen_ai.retrieval.query.text", _TEXT),
        ("gen_ai.retrieval.top_k", _SMALL),
        ("gen_ai.embeddings.dimension.count", [1536, 768, 384]),
        ("db.system.name", ["postgresql", "redis", "elasticsearch", "qdrant"]),
        ("db.collection.name", ["documents", "chunks"]),
        ("db.namespace", ["public"]),
        ("db.operation.name", ["SELECT", "query"]),
        ("db.query.text", ["SELECT * FROM documents WHERE "]),
        ("db.query.summary", ["SELECT documents"]),
    ),
    (
        ("http.request.method", ["GET", "POST", "PUT", "DELETE"]),
        ("http.response.status_code", [200, 201, 204, 400, 404, 429, 500, 503]),
        ("http.route", ["/v1/chat/completions", "/api/chat", "/api/v1/"]),
        ("http.request.body.size", _NUMBER),
        ("http.response.body.size", _NUMBER),
        ("url.full", ["https://api.example.com/v1/chat/completions", "https://"]),
        ("url.path", ["/v1/chat/completions", "/api/"]),
        ("url.scheme", ["https", "http"]),
        ("url.query", [""]),
        ("server.address", ["api.openai.com", "api.anthropic.com", "localhost"]),
        ("server.port", [443, 8080, 5432]),
        ("client.address", ["10.0.0.1", "127.0.0.1"]),
        ("network.protocol.version", ["1.1", "2"]),
        ("network.protocol.name", ["http"]),
        ("network.peer.address", ["10.0.0.1"]),
        ("network.peer.port", _NUMBER),
        ("user_agent.original", ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "python-httpx/0.28.1"]),
        ("http.method", ["GET", "POST"]),
        ("http.status_code", [200]),
        ("http.url", ["https://"]),
        ("net.peer.name", ["api.openai.com"]),
        ("rpc.system", ["grpc"]),
        ("rpc.service", _HEX),
        ("rpc.method", ["Get"]),
    ),
    (
        ("session.id", _HEX),
        ("user.id", _HEX),
        ("thread.id", _NUMBER),
        ("thread.name", ["MainThread", "ThreadPoolExecutor-0_0", "asyncio_0"]),
        ("code.function.name", ["app.main.handle", "__call__", "invoke"]),
        ("code.file.path", ["/app/main.py"]),
        ("code.line.number", _SMALL),
        ("error.type", ["TimeoutError", "RateLimitError", "_OTHER"]),
        ("feature_flag.key", ["new-prompt"]),
        ("tag.tags", [["production", "eval"]]),
    ),
    (
        ("langfuse.observation.type", ["generation", "span", "event"]),
        ("langfuse.observation.model.name", ["gpt-4o-mini"]),
        ("langfuse.observation.model.parameters", ['{"temperature": 0.2, "max_tokens": "Infinity"}']),
        ("langfuse.observation.usage_details", ['{"input": 120, "output": 40, "total": 160}']),
        ("langfuse.observation.metadata.", _TEXT),
        ("langfuse.trace.name", ["chat"]),
        ("langfuse.environment", ["production", "default"]),
        ("langfuse.release", _HEX),
        ("mlflow.spanType", ["CHAT_MODEL", "LLM", "CHAIN", "TOOL", "RETRIEVER"]),
        ("mlflow.traceRequestId", _HEX),
        ("logfire.msg", ["Chat Completion with 'gpt-4o-mini'"]),
        ("logfire.json_schema", ['{"type":"object","properties":{"request_data":{"type":"object"}}}']),
        ("logfire.span_type", ["span"]),
        ("langsmith.span.kind", ["llm", "chain"]),
        ("langsmith.metadata.", _TEXT),
    ),
    (
        ("traceloop.span.kind", ["workflow", "task", "agent", "tool"]),
        ("traceloop.entity.name", ["chain", "answer"]),
        ("traceloop.entity.path", [""]),
        ("traceloop.workflow.name", ["answer"]),
        ("traceloop.entity.input", ['{"args": [], "kwargs": {"question": "']),
        ("traceloop.entity.output", _LONG),
        ("traceloop.association.properties.", _HEX),
        ("llm.request.type", ["chat", "completion"]),
        ("llm.is_streaming", _FLAG),
        ("llm.usage.total_tokens", _NUMBER),
        ("llm.headers", ["None"]),
    ),
    (
        ("ai.operationId", ["ai.generateText", "ai.generateText.doGenerate", "ai.streamText.doStream", "ai.toolCall"]),
        ("operation.name", ["ai.generateText", "ai.streamText.doStream"]),
        ("ai.model.id", ["gpt-4o-mini"]),
        ("ai.model.provider", ["openai.chat", "openai.responses"]),
        ("ai.response.finishReason", ["stop", "tool-calls"]),
        ("ai.response.id", _HEX),
        ("ai.response.timestamp", ["2026-01-01T00:00:00.000Z"]),
        ("ai.response.msToFirstChunk", _RATIO),
        ("ai.response.msToFinish", _RATIO),
        ("ai.settings.maxRetries", _SMALL),
        ("ai.telemetry.functionId", ["chat"]),
        ("ai.usage.promptTokens", _NUMBER),
        ("ai.usage.completionTokens", _NUMBER),
        ("ai.prompt.toolChoice", ['{"type":"auto"}']),
    ),
    (
        ("vllm.request.id", _HEX),
        ("gen_ai.request.id", _HEX),
        ("gen_ai.latency.time_in_queue", _RATIO),
        ("gen_ai.latency.time_to_first_token", _RATIO),
        ("gen_ai.latency.e2e", _RATIO),
        ("gen_ai.usage.prompt_tokens", _NUMBER),
        ("gen_ai.usage.completion_tokens", _NUMBER),
        ("gen_ai.usage.cost", _RATIO),
        ("metadata.user_api_key_hash", _HEX),
        ("litellm.call_id", _HEX),
    ),
)
_SCOPES = (
    "opentelemetry.instrumentation.openai.v1",
    "openinference.instrumentation.openai",
    "ai",
    "langfuse-sdk",
    "app",
)


def make_samples(rng: random.Random, count: int) -> list[bytes]:
    """Return ``count`` stored contents as ``collector.content`` would write them."""
    texts = _read_texts(rng)
    return [orjson.dumps(_content(rng, texts)) for _ in range(count)]


def train(seed: int = 1) -> bytes:
    """Return the dictionary; the same for the same seed, texts and release of zstd."""
    samples = make_samples(random.Random(seed), SAMPLES)
    made = zstandard.train_dictionary(SIZE_BYTES, list[Any](samples), dict_id=DICTIONARY_ID, level=3, k=800, d=6)
    return made.as_bytes()


def _read_texts(rng: random.Random) -> list[str]:
    """Return the phrases, and far more text that looks like them letter by letter and says nothing.

    The dictionary's table of letter frequencies comes from what its fragments don't cover: with the phrases alone, that
    would be numbers and ids, and text would be stored in a code made for those.
    """
    phrases = _PHRASES.read_text(encoding="utf-8").splitlines()
    source = " ".join(phrases)
    followers: dict[str, list[str]] = {}
    for place in range(len(source) - 2):
        followers.setdefault(source[place : place + 2], []).append(source[place + 2])
    made = []
    for _ in range(len(phrases) * MADE_UP):
        text = rng.choice(phrases)[:2]
        while len(text) < 90:
            text += rng.choice(followers.get(text[-2:], [" "]))
        made.append(text)
    return phrases + made


def _content(rng: random.Random, texts: list[str]) -> dict[str, Any]:
    inputs, outputs, documents = [], [], []
    if rng.random() < 0.4:
        if rng.random() < 0.4:
            inputs.append(_message("system", _write(rng, texts, 3)))
        inputs.append(_message("user", _write(rng, texts, rng.randint(1, 6))))
        outputs.append(_message("assistant", _write(rng, texts, rng.randint(1, 8))))
        if rng.random() < 0.2:
            call = {"type": "tool_call", "id": "call_" + rng.randbytes(8).hex(), "name": "search", "arguments": {}}
            outputs[0]["parts"].append(call)
    elif rng.random() < 0.3:
        documents += [
            {"id": f"doc-{rng.randrange(9999)}", "content": _write(rng, texts, 3), "score": rng.random()}
            for _ in range(rng.randint(1, 5))
        ]
    attributes: dict[str, Any] = {}
    for group in rng.sample(_GROUPS, rng.randint(1, 4)):
        for name, kind in group:
            if rng.random() < 0.7:
                attributes[name] = _value(rng, kind, texts)
    if rng.random() < 0.5:
        attributes = dict(sorted(attributes.items()))
    attributes["resource.service.version"] = f"{rng.randrange(9)}.{rng.randrange(20)}.{rng.randrange(9)}"
    attributes["resource.telemetry.sdk.language"] = rng.choice(("python", "nodejs", "go", "java"))
    attributes["scope.name"] = rng.choice(_SCOPES)
    content: dict[str, Any] = {
        "input_messages": inputs,
        "output_messages": outputs,
        "retrieved_documents": documents,
        "attributes": attributes,
        "status_message": "" if rng.random() < 0.95 else "Request timed out.",
    }
    if rng.random() < 0.05:
        details = {"exception.type": "TimeoutError", "exception.message": "", "exception.stacktrace": "Traceback"}
        content["events"] = [{"name": "exception", "time_ns": rng.randrange(10**18), "attributes": details}]
    return content


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _write(rng: random.Random, texts: list[str], sentences: int) -> str:
    return rng.choice((" ", "\n", "\n\n", " ")).join(rng.choices(texts, k=sentences))


def _value(rng: random.Random, kind: Any, texts: list[str]) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        _HEX: lambda: rng.randbytes(rng.choice((4, 8, 16))).hex(),
        _NUMBER: lambda: rng.randrange(10 ** rng.randint(1, 5)),
        _SMALL: lambda: rng.randrange(20),
        _FLAG: lambda: rng.random() < 0.5,
        _RATIO: lambda: round(rng.random(), rng.randint(1, 4)),
        _TEXT: lambda: rng.choice(texts),
        _LONG: lambda: orjson.dumps({"messages": [{"role": "user", "content": _write(rng, texts, 2)}]}).decode(),
    }
    if isinstance(kind, str):
        return makers[kind]()
    value = rng.choice(kind)
    open_ended = isinstance(value, str) and value.endswith(("-", "_", "/", " ", "."))
    return value + rng.randbytes(8).hex() if open_ended else value


def main() -> None:
    """Write the dictionary to the path given, and say what it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="where to write the dictionary")
    path = parser.parse_args().path
    made = train()
    path.write_bytes(made)
    print(f"{path}: {len(made)} bytes, sha256 {hashlib.sha256(made).hexdigest()}")


if __name__ == "__main__":
    main()
