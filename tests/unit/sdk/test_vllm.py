"""The middleware in an application that answers as vLLM does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from custodes_sdk.capture.otlp import Origin
from custodes_sdk.capture.recorder import Recorder
from custodes_sdk.environment import SdkEnvironment
from custodes_sdk.vllm import Capture

ANSWER = "Paris is the capital of France."
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
USAGE = {"prompt_tokens": 13, "total_tokens": 20, "completion_tokens": 7, "prompt_tokens_details": None}
CALL = {"id": "chatcmpl-tool-1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}


def chat_chunks(request: dict[str, Any]) -> list[dict[str, Any]]:
    chunks = [chunk({"role": "assistant", "content": ""})]
    if request.get("tools"):
        function = {"name": "weather", "arguments": ""}
        chunks.append(chunk({"tool_calls": [{"index": 0, "id": CALL["id"], "type": "function", "function": function}]}))
        pieces = ('{"city"', ': "Paris"}')
        chunks += [chunk({"tool_calls": [{"index": 0, "function": {"arguments": one}}]}) for one in pieces]
        chunks.append(chunk({"content": ""}, "tool_calls"))
    else:
        chunks += [chunk({"content": word}) for word in ANSWER.split(" ")]
        chunks.append(chunk({"content": ""}, "stop"))
    if (request.get("stream_options") or {}).get("include_usage"):
        chunks.append({**chunk({}), "choices": [], "usage": USAGE})
    return chunks


def sse(events: list[dict[str, Any]], *, done: bool = True, named: bool = False) -> list[bytes]:
    lines = [(f"event: {one['type']}\n" if named else "") + f"data: {json.dumps(one)}\n\n" for one in events]
    return [line.encode() for line in lines] + ([b"data: [DONE]\n\n"] if done else [])


async def drip(parts: list[bytes]) -> Any:
    for part in parts:
        await asyncio.sleep(0)
        yield part


async def chat(request: Request) -> Response:
    body = await request.json()
    if body["model"] != MODEL:
        error = {"message": f"The model `{body['model']}` does not exist.", "type": "NotFoundError", "code": 404}
        return JSONResponse({"error": error}, 404)
    if body.get("stream"):
        return StreamingResponse(drip(sse(chat_chunks(body))), media_type="text/event-stream")
    message: dict[str, Any] = {"role": "assistant", "content": ANSWER, "reasoning_content": None, "tool_calls": []}
    finish = "stop"
    if body.get("tools"):
        message, finish = {**message, "content": None, "tool_calls": [CALL]}, "tool_calls"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish, "stop_reason": None}
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": USAGE}
    return JSONResponse(answer)


async def completions(request: Request) -> Response:
    body = await request.json()
    choice = {"index": 0, "text": ANSWER, "finish_reason": "length"}
    if body.get("stream"):
        events = [{"model": MODEL, "choices": [{"index": 0, "text": word}]} for word in (" Paris", " is")]
        events.append({"model": MODEL, "choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
        return StreamingResponse(drip(sse(events)), media_type="text/event-stream")
    return JSONResponse({"id": "cmpl-1", "model": MODEL, "choices": [choice], "usage": USAGE})


async def responses(request: Request) -> Response:
    body = await request.json()
    content = [{"type": "output_text", "text": ANSWER, "annotations": []}]
    output = [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}]
    usage = {"input_tokens": 13, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}}
    whole = {
        "id": "resp_1",
        "object": "response",
        "model": MODEL,
        "status": "completed",
        "output": output,
        "usage": usage,
    }
    if body.get("stream"):
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}},
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": ANSWER},
            {"type": "response.completed", "response": whole},
        ]
        return StreamingResponse(drip(sse(events, done=False, named=True)), media_type="text/event-stream")
    return JSONResponse(whole)


async def models(_: Request) -> Response:
    return JSONResponse({"object": "list", "data": [{"id": MODEL}]})


async def breaks(_: Request) -> Response:
    raise RuntimeError("the engine died")


def make_app() -> Starlette:
    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/responses", responses, methods=["POST"]),
            Route("/v1/models", models),
            Route("/broken/v1/completions", breaks, methods=["POST"]),
        ]
    )


Ask = Callable[..., Awaitable[list[dict[str, Any]]]]


async def ask(
    app: Any, path: str, body: Any, headers: dict[str, str] | None = None, leave_after: int | None = None
) -> list[Any]:
    """Call an ASGI application as a server does; return the messages it sent."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    waiting = [
        {"type": "http.request", "body": raw[: len(raw) // 2], "more_body": True},
        {"type": "http.request", "body": raw[len(raw) // 2 :], "more_body": False},
    ]
    sent: list[Any] = []
    gone = asyncio.Event()

    async def receive() -> Any:
        if waiting:
            return waiting.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if leave_after is not None and len(sent) >= leave_after:
            gone.set()
            await asyncio.sleep(0)

    given = {"content-type": "application/json", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    await app(scope, receive, send)
    return sent


def body_of(sent: list[Any]) -> bytes:
    return b"".join(one.get("body", b"") for one in sent)


@pytest.fixture
def capture(custodes: Any) -> Any:
    """A function that makes a captured application and a reader of the spans it gave."""
    made: list[Capture] = []

    def make(**settings: Any) -> Capture:
        told = SdkEnvironment(endpoint=custodes.url, service="llama", deployment="llama-v2", **settings)
        origin = Origin("llama", "llama-v2", "prod", "vllm", is_server=True, capture_text=told.capture_text)
        made.append(Capture(make_app(), settings=told, recorder=Recorder(custodes.url, "k", origin)))
        return made[-1]

    yield make
    for one in made:
        one.recorder.close(1)


MESSAGES = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": [{"type": "text", "text": "What is the capital of France?"}]},
]


def spans_of(app: Capture, custodes: Any) -> list[dict[str, Any]]:
    assert app.recorder.flush(10)
    found: list[dict[str, Any]] = custodes.spans()
    return found


class TestChat:
    def test_it_records_a_plain_answer(self, capture: Any, custodes: Any) -> None:
        app = capture()
        asyncio.run(ask(app, "/v1/chat/completions", {"model": MODEL, "messages": MESSAGES, "temperature": 0.5}))
        (span,) = spans_of(app, custodes)
        told = span["attributes"]
        assert span["name"] == f"chat {MODEL}"
        assert span["kind"] == 2
        assert span["resource"]["service.name"] == "llama"
        assert span["resource"]["custodes.deployment"] == "llama-v2"
        assert told["gen_ai.operation.name"] == "chat"
        assert told["gen_ai.provider.name"] == "vllm"
        assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == MODEL
        assert told["gen_ai.request.temperature"] == 0.5
        assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (13, 7)
        assert told["gen_ai.response.finish_reasons"] == ["stop"]
        assert json.loads(told["gen_ai.input.messages"]) == [
            {"role": "system", "parts": [{"type": "text", "content": "Be short."}]},
            {"role": "user", "parts": [{"type": "text", "content": "What is the capital of France?"}]},
        ]
        assert json.loads(told["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": ANSWER}]
        assert span["end"] >= span["start"]

    @pytest.mark.parametrize("usage", [True, False])
    def test_it_puts_a_streamed_answer_together(self, capture: Any, custodes: Any, usage: bool) -> None:
        app = capture()
        request = {"model": MODEL, "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": usage}}
        asyncio.run(ask(app, "/v1/chat/completions", request))
        (span,) = spans_of(app, custodes)
        told = span["attributes"]
        said = json.loads(told["gen_ai.output.messages"])[0]
        assert said["parts"] == [{"type": "text", "content": ANSWER.replace(" ", "")}]
        assert said["finish_reason"] == "stop"
        assert told.get("gen_ai.usage.output_tokens") == (7 if usage else None)
        assert 0 <= told["gen_ai.response.time_to_first_chunk"] <= (span["end"] - span["start"]) / 1e9
        assert told["gen_ai.request.stream"] is True

    @pytest.mark.parametrize("stream", [True, False])
    def test_it_records_tool_calls(self, capture: Any, custodes: Any, stream: bool) -> None:
        app = capture()
        tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
        asyncio.run(
            ask(app, "/v1/chat/completions", {"model": MODEL, "messages": MESSAGES, "tools": tools, "stream": stream})
        )
        (span,) = spans_of(app, custodes)
        parts = json.loads(span["attributes"]["gen_ai.output.messages"])[0]["parts"]
        assert parts == [{"type": "tool_call", "id": CALL["id"], "name": "weather", "arguments": {"city": "Paris"}}]
        assert span["attributes"]["gen_ai.response.finish_reasons"] == ["tool_calls"]
        assert json.loads(span["attributes"]["gen_ai.tool.definitions"]) == tools

    def test_it_records_an_error_of_the_server(self, capture: Any, custodes: Any) -> None:
        app = capture()
        asyncio.run(ask(app, "/v1/chat/completions", {"model": "nothing", "messages": MESSAGES}))
        (span,) = spans_of(app, custodes)
        assert span["status"] == 2
        assert span["attributes"]["error.type"] == "NotFoundError"
        assert span["attributes"]["http.response.status_code"] == 404
        assert "does not exist" in span["message"]

    def test_it_takes_session_user_trace_and_documents_from_the_request(self, capture: Any, custodes: Any) -> None:
        app = capture()
        request = {"model": MODEL, "messages": MESSAGES, "user": "u-1", "documents": [{"title": "a", "text": "b"}]}
        parent = f"00-{'a' * 32}-{'b' * 16}-01"
        headers = {"traceparent": parent, "X-Session-Id": "s-1", "Authorization": "Bearer secret"}
        asyncio.run(ask(app, "/v1/chat/completions", request, headers))
        (span,) = spans_of(app, custodes)
        assert (span["trace_id"], span["parent"]) == ("a" * 32, "b" * 16)
        assert (span["attributes"]["session.id"], span["attributes"]["user.id"]) == ("s-1", "u-1")
        assert json.loads(span["attributes"]["custodes.documents"]) == request["documents"]
        assert b"secret" not in custodes.requests[0][2]

    @pytest.mark.parametrize("parent", ["", "nonsense", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01"])
    def test_it_begins_a_trace_without_a_usable_parent(self, capture: Any, custodes: Any, parent: str) -> None:
        app = capture()
        asyncio.run(ask(app, "/v1/chat/completions", {"model": MODEL, "messages": MESSAGES}, {"traceparent": parent}))
        (span,) = spans_of(app, custodes)
        assert len(span["trace_id"]) == 32
        assert span["parent"] == ""


class TestOtherCalls:
    @pytest.mark.parametrize("stream", [True, False])
    def test_it_records_completions(self, capture: Any, custodes: Any, stream: bool) -> None:
        app = capture()
        asyncio.run(ask(app, "/v1/completions", {"model": MODEL, "prompt": "The capital is", "stream": stream}))
        (span,) = spans_of(app, custodes)
        told = span["attributes"]
        assert told["gen_ai.operation.name"] == "text_completion"
        assert json.loads(told["gen_ai.input.messages"])[0]["parts"][0]["content"] == "The capital is"
        said = json.loads(told["gen_ai.output.messages"])[0]["parts"][0]["content"]
        assert said == (" Paris is" if stream else ANSWER)
        assert told["gen_ai.response.finish_reasons"] == ["length"]

    @pytest.mark.parametrize("stream", [True, False])
    def test_it_records_responses(self, capture: Any, custodes: Any, stream: bool) -> None:
        app = capture()
        request = {"model": MODEL, "input": "Where?", "instructions": "Be short.", "stream": stream}
        asyncio.run(ask(app, "/v1/responses", request))
        (span,) = spans_of(app, custodes)
        told = span["attributes"]
        assert json.loads(told["gen_ai.input.messages"])[0]["parts"][0]["content"] == "Where?"
        assert json.loads(told["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be short."}]
        assert json.loads(told["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": ANSWER}]
        assert told["gen_ai.usage.reasoning.output_tokens"] == 2
        assert told["gen_ai.response.finish_reasons"] == ["stop"]
        assert ("gen_ai.response.time_to_first_chunk" in told) is stream

    def test_it_leaves_other_addresses_alone(self, capture: Any, custodes: Any) -> None:
        app = capture()
        asyncio.run(ask(app, "/v1/tokenize", {"model": MODEL, "prompt": "x"}))
        assert spans_of(app, custodes) == []


class TestPassingThrough:
    @pytest.mark.parametrize(
        ("path", "request_body"),
        [
            ("/v1/chat/completions", {"model": MODEL, "messages": MESSAGES}),
            ("/v1/chat/completions", {"model": MODEL, "messages": MESSAGES, "stream": True}),
            ("/v1/chat/completions", {"model": "nothing", "messages": MESSAGES}),
            ("/v1/responses", {"model": MODEL, "input": "x", "stream": True}),
            ("/nowhere", {}),
        ],
    )
    def test_every_message_is_the_one_without_it(self, capture: Any, path: str, request_body: Any) -> None:
        plain = asyncio.run(ask(make_app(), path, request_body))
        assert asyncio.run(ask(capture(), path, request_body)) == plain

    def test_an_error_of_the_application_is_raised_on_and_recorded(self, capture: Any, custodes: Any) -> None:
        app = capture()
        with pytest.raises(RuntimeError, match="engine died"):
            asyncio.run(ask(app, "/broken/v1/completions", {"model": MODEL, "prompt": "x"}))
        (span,) = spans_of(app, custodes)
        assert span["status"] == 2

    def test_a_client_that_leaves_is_recorded_with_what_it_got(self, capture: Any, custodes: Any) -> None:
        app = capture()
        request = {"model": MODEL, "messages": MESSAGES, "stream": True}
        asyncio.run(ask(app, "/v1/chat/completions", request, leave_after=4))
        (span,) = spans_of(app, custodes)
        assert span["attributes"]["error.type"] == "client_disconnected"
        assert json.loads(span["attributes"]["gen_ai.output.messages"])[0]["parts"][0]["content"].startswith("Paris")

    def test_what_breaks_inside_does_not_reach_the_request(self, capture: Any) -> None:
        app = capture()

        class Broken:
            def take(self, record: object) -> None:
                raise RuntimeError("no")

        app.recorder.close(1)
        app.recorder = Broken()
        plain = asyncio.run(ask(make_app(), "/v1/responses", {"model": MODEL, "input": "x"}))
        assert asyncio.run(ask(app, "/v1/responses", {"model": MODEL, "input": "x"})) == plain
        app.recorder = Recorder("http://127.0.0.1:1", None, Origin("x"))

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"messages": 7, "model": {}}', b"[" * 5000])
    def test_a_request_that_is_no_call_ends_as_without_it(self, capture: Any, custodes: Any, body: bytes) -> None:
        def outcome(app: Any) -> Any:
            try:
                return asyncio.run(ask(app, "/v1/chat/completions", body))
            except Exception as error:  # The fake trips over some.
                return type(error)

        app = capture()
        assert outcome(app) == outcome(make_app())
        (span,) = spans_of(app, custodes)
        assert span["status"] == 2


class TestLimits:
    def test_a_body_over_the_limit_passes_without_its_text_and_is_marked(self, capture: Any, custodes: Any) -> None:
        app = capture(max_body_bytes=300)
        long = [{"role": "user", "content": "x" * 1000}]
        sent = asyncio.run(ask(app, "/v1/chat/completions", {"model": MODEL, "messages": long}))
        assert ANSWER.encode() in body_of(sent)
        (span,) = spans_of(app, custodes)
        assert span["dropped"] == 2
        assert span["attributes"]["custodes.capture.lost"] == ["request_too_large", "response_too_large"]
        assert "gen_ai.input.messages" not in span["attributes"]
        assert app.recorder.oversized == 1

    def test_no_text_is_recorded_when_none_is_wanted(self, capture: Any, custodes: Any) -> None:
        app = capture(capture_text=False)
        asyncio.run(ask(app, "/v1/chat/completions", {"model": MODEL, "messages": MESSAGES}))
        asyncio.run(ask(app, "/v1/chat/completions", {"model": "secret-nothing", "messages": MESSAGES}))
        spans = spans_of(app, custodes)
        assert [one for one in spans for name in one["attributes"] if "messages" in name] == []
        assert spans[0]["attributes"]["gen_ai.usage.input_tokens"] == 13
        assert spans[1]["message"] == ""

    def test_inline_media_are_described_and_not_copied(self, capture: Any, custodes: Any) -> None:
        app = capture()
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 500}}
        address = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
        messages = [{"role": "user", "content": [{"type": "text", "text": "what?"}, image, address]}]
        asyncio.run(ask(app, "/v1/chat/completions", {"model": MODEL, "messages": messages}))
        (span,) = spans_of(app, custodes)
        _, blob, uri = json.loads(span["attributes"]["gen_ai.input.messages"])[0]["parts"]
        assert blob == {"type": "blob", "modality": "image", "mime_type": "image/png", "encoded_bytes": 522}
        assert uri == {"type": "uri", "modality": "image", "uri": "https://example.org/cat.png"}


class TestShutdown:
    def test_what_waits_is_sent_before_the_server_says_that_it_is_down(self, capture: Any, custodes: Any) -> None:
        app = capture()
        seen: list[int] = []

        async def talk() -> None:
            await ask(app, "/v1/responses", {"model": MODEL, "input": "x"})
            coming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

            async def receive() -> Any:
                return coming.pop(0)

            async def send(message: Any) -> None:
                if message["type"] == "lifespan.shutdown.complete":
                    seen.append(len(custodes.spans()))

            await app({"type": "lifespan"}, receive, send)

        asyncio.run(talk())
        assert seen == [1]


class TestConstruction:
    def test_it_is_made_from_the_environment_as_vllm_makes_it(
        self, custodes: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CUSTODES_SDK_ENDPOINT", custodes.url)
        monkeypatch.setenv("CUSTODES_SDK_SERVICE", "from-env")
        monkeypatch.setenv("CUSTODES_SDK_KEY", "cus_key")
        app = make_app()
        app.add_middleware(Capture)
        asyncio.run(ask(app, "/v1/responses", {"model": MODEL, "input": "x"}))
        custodes.wait_for(1)
        assert custodes.spans()[0]["resource"]["service.name"] == "from-env"
        assert custodes.requests[0][1]["authorization"] == "Bearer cus_key"

    def test_websockets_and_lifespans_pass(self, capture: Any) -> None:
        seen: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["type"])

        wrapped = capture()
        wrapped._app = app
        asyncio.run(wrapped({"type": "lifespan"}, None, None))
        asyncio.run(wrapped({"type": "websocket", "path": "/v1/chat/completions"}, None, None))
        assert seen == ["lifespan", "websocket"]
