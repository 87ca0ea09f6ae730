"""A small OpenAI-compatible server that answers like the real one: plain, streamed, with tool calls, or with an error.

It serves chat completions, responses, completions and embeddings. A request with tools is answered by a call of
the first of them, until a message brings the tool's result. ``GET /v1/reported`` says what usage was handed out.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "The warehouse opens at nine."
MODEL = "gpt-4o-mini-2024-07-18"
USAGE = {"prompt_tokens": 21, "completion_tokens": 7, "total_tokens": 28}
TOOL_USAGE = {"prompt_tokens": 33, "completion_tokens": 12, "total_tokens": 45}
EMBEDDING_USAGE = {"prompt_tokens": 5, "total_tokens": 5}
TOOL_ARGUMENTS = {"place": "warehouse"}
BROKEN_MODEL = "gpt-broken"
UNFAIR_MODEL = "gpt-unfair"
"""Cuts its answer off whenever it is about ``UNFAIR_WORD``."""
UNFAIR_WORD = "Turkish"
_PIECES = [word + " " for word in ANSWER.split()[:-1]] + [ANSWER.rsplit(maxsplit=1)[-1]]
_CREATED = 1_760_000_000


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reported: Counter[str] = Counter()
        self.lock = threading.Lock()

    def report(self, usage: dict[str, int]) -> int:
        """Count a call and return its number, which makes the answer's id."""
        with self.lock:
            self.reported.update(calls=1, **usage)
            return self.reported["calls"]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if self.path == "/v1/reported":
            self._send_json(200, dict(self.server.reported))
        else:
            self._send_json(404, {"error": {"message": f"there is no {self.path}", "type": "invalid_request_error"}})

    def do_POST(self) -> None:
        request = json.loads(self._read_body())
        answers = {
            "/v1/chat/completions": self._chat,
            "/v1/responses": self._respond,
            "/v1/completions": self._complete,
            "/v1/embeddings": self._embed,
        }
        if request.get("model") == BROKEN_MODEL:
            error = {"message": "The model is overloaded.", "type": "server_error", "param": None, "code": "overloaded"}
            self._send_json(400, {"error": error})
        elif self.path in answers:
            answers[self.path](request)
        else:
            self._send_json(404, {"error": {"message": f"there is no {self.path}", "type": "invalid_request_error"}})

    def _chat(self, request: dict[str, Any]) -> None:
        calls = _pending_call(request.get("tools"), any(one.get("role") == "tool" for one in request["messages"]))
        usage = TOOL_USAGE if calls else USAGE
        number = self.server.report(usage)
        if request.get("stream"):
            include_usage = (request.get("stream_options") or {}).get("include_usage", False)
            self._stream_lines(_chat_chunks(number, calls, usage if include_usage else None))
            return
        message: dict[str, Any] = {"role": "assistant", "content": None if calls else ANSWER, "refusal": None}
        if calls:
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": one} for one in calls]
        reason = "tool_calls" if calls else "stop"
        if request["model"] == UNFAIR_MODEL and UNFAIR_WORD in str(request["messages"]):
            reason = "length"
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        self._send_json(200, _chat_body(number, "chat.completion", [choice], usage))

    def _respond(self, request: dict[str, Any]) -> None:
        given = request["input"] if isinstance(request["input"], list) else []
        calls = _pending_call(request.get("tools"), any(one.get("type") == "function_call_output" for one in given))
        usage = TOOL_USAGE if calls else USAGE
        number = self.server.report(usage)
        if request.get("stream"):
            self._stream_lines(_response_events(number, calls, usage))
        else:
            self._send_json(200, _response_body(number, _response_output(calls), usage))

    def _complete(self, request: dict[str, Any]) -> None:
        number = self.server.report(USAGE)
        choice = {"index": 0, "text": ANSWER, "logprobs": None, "finish_reason": "stop"}
        self._send_json(200, {**_chat_body(number, "text_completion", [choice], USAGE), "id": f"cmpl-{number}"})

    def _embed(self, request: dict[str, Any]) -> None:
        self.server.report(EMBEDDING_USAGE)
        texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
        rows = [{"object": "embedding", "index": index, "embedding": [0.5, -0.5, 0.25]} for index in range(len(texts))]
        self._send_json(200, {"object": "list", "data": rows, "model": request["model"], "usage": EMBEDDING_USAGE})

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers["content-length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _stream_lines(self, lines: list[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for line in lines:
            self.wfile.write(line.encode())
            self.wfile.flush()

    def _send_json(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


def _pending_call(tools: list[dict[str, Any]] | None, answered: bool) -> list[dict[str, str]]:
    """Return the one call the model makes, none where there is no tool or its result is already there."""
    if not tools or answered:
        return []
    name = tools[0].get("function", tools[0])["name"]
    return [{"name": name, "arguments": json.dumps(TOOL_ARGUMENTS)}]


def _chat_body(number: int, kind: str, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> dict[str, Any]:
    head = {"id": f"chatcmpl-{number}", "object": kind, "created": _CREATED, "model": MODEL, "choices": choices}
    return head if usage is None else {**head, "usage": usage}


def _chat_chunks(number: int, calls: list[dict[str, str]], usage: dict[str, int] | None) -> list[str]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None if calls else ""}]
    if calls:
        deltas.append({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": calls[0]}]})
    else:
        deltas += [{"content": piece} for piece in _PIECES]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"})
    bodies = [_chat_body(number, "chat.completion.chunk", [choice], None) for choice in choices]
    if usage is not None:
        bodies.append(_chat_body(number, "chat.completion.chunk", [], usage))
    return [f"data: {json.dumps(body)}\n\n" for body in bodies] + ["data: [DONE]\n\n"]


def _response_output(calls: list[dict[str, str]]) -> list[dict[str, Any]]:
    if calls:
        return [{"type": "function_call", "id": "fc_1", "call_id": "call_1", "status": "completed", **calls[0]}]
    text = {"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}
    return [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}]


def _response_body(number: int, output: list[dict[str, Any]], usage: dict[str, int] | None) -> dict[str, Any]:
    counts: dict[str, Any] | None = usage and {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": _CREATED,
        "status": "completed" if usage else "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": MODEL,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": counts,
    }


def _response_events(number: int, calls: list[dict[str, str]], usage: dict[str, int]) -> list[str]:
    output = _response_output(calls)
    where = {"item_id": output[0]["id"], "output_index": 0}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": _response_body(number, [], None)}]
    if calls:
        started = {**output[0], "arguments": "", "status": "in_progress"}
        said: list[dict[str, Any]] = [
            {"type": "response.function_call_arguments.delta", **where, "delta": calls[0]["arguments"]},
            {"type": "response.function_call_arguments.done", **where, **calls[0]},
        ]
    else:
        started = {**output[0], "content": [], "status": "in_progress"}
        part = {**where, "content_index": 0}
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        said = [{"type": "response.content_part.added", **part, "part": empty}]
        said += [{"type": "response.output_text.delta", **part, "delta": piece, "logprobs": []} for piece in _PIECES]
        said.append({"type": "response.output_text.done", **part, "text": ANSWER, "logprobs": []})
        said.append({"type": "response.content_part.done", **part, "part": output[0]["content"][0]})
    events.append({"type": "response.output_item.added", "output_index": 0, "item": started})
    events += said
    events.append({"type": "response.output_item.done", "output_index": 0, "item": output[0]})
    events.append({"type": "response.completed", "response": _response_body(number, output, usage)})
    return [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
        for number, event in enumerate(events)
    ]


@contextmanager
def openai_server() -> Iterator[str]:
    """Serve on a free loopback port; yield the base URL for ``OpenAI(base_url=…)``."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


if __name__ == "__main__":
    import sys

    with openai_server() as url:
        sys.stdout.write(url + "\n")
        sys.stdout.flush()
        threading.Event().wait()
