"""A webhook receiver on loopback that checks every signature and prints what arrived."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Verify = Callable[[dict[str, str], bytes], bool]
Report = Callable[[str], None]
MAX_BODY_BYTES = 20_000


class Receiver:
    """Accepts Standard Webhooks on a free loopback port; answers 204 when the signature is right, else 401."""

    def __init__(self, verify: Verify, report: Report, port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _make_handler(verify, report))
        self._thread = threading.Thread(target=self._server.serve_forever, name="custodes-demo-receiver", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address to register as an endpoint."""
        return f"http://127.0.0.1:{self.port}/webhook"

    def start(self) -> None:
        """Begin to listen in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _make_handler(verify: Verify, report: Report) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(min(length, MAX_BODY_BYTES))
            good = length <= MAX_BODY_BYTES and verify({k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(204 if good else 401)
            self.end_headers()
            if good:
                event = json.loads(body)
                report(f"webhook {event['type']} (signature verified): {event['data'].get('url', '')}")
            else:
                report("a webhook with a wrong signature was refused")

        def log_message(self, format: str, *args: object) -> None:
            """Keep the terminal for what matters."""

    return Handler
