"""A small OpenAI-compatible server: one plain and one streamed chat completion, like the real one answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = "The warehouse opens at nine."
MODEL = "gpt-4o-mini-2024-07-18"
USAGE = {"prompt_tokens": 21, "completion_tokens": 7, "total_tokens": 28}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if request.get("stream"):
            self._stream()
            return
        choice: dict[str, object] = {
            "index": 0,
            "message": {"role": "assistant", "content": ANSWER},
            "finish_reason": "stop",
        }
        self._send("application/json", json.dumps(_body("chat.completion", choice, USAGE)).encode())

    def _stream(self) -> None:
        pieces = [{"role": "assistant", "content": ""}] + [{"content": word + " "} for word in ANSWER.split()[:-1]]
        pieces.append({"content": ANSWER.rsplit(maxsplit=1)[-1]})
        chunks: list[dict[str, object]] = [{"index": 0, "delta": piece, "finish_reason": None} for piece in pieces]
        chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        lines = [f"data: {json.dumps(_body('chat.completion.chunk', chunk, None))}\n\n" for chunk in chunks]
        last = {**_body("chat.completion.chunk", None, USAGE), "choices": []}
        lines += [f"data: {json.dumps(last)}\n\n", "data: [DONE]\n\n"]
        self._send("text/event-stream", "".join(lines).encode())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


def _body(kind: str, choice: dict[str, object] | None, usage: dict[str, int] | None) -> dict[str, object]:
    body: dict[str, object] = {"id": "chatcmpl-1", "object": kind, "created": 1_760_000_000, "model": MODEL}
    if choice is not None:
        body["choices"] = [choice]
    if usage is not None:
        body["usage"] = usage
    return body


@contextmanager
def openai_server() -> Iterator[str]:
    """Serve on a free loopback port; yield the base URL for ``OpenAI(base_url=…)``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
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
