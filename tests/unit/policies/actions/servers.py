"""Servers that actions talk to, as faithful as the adapters need: answers follow what the real ones were seen to say.

``MlflowServer`` is held to a real MLflow by the same tests (see ``test_mlflow.py``). Faults are switched on by tests.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Reply = tuple[int, Any]


class FakeServer:
    """An HTTP server on loopback. ``calls`` notes every request; ``fault`` may answer in its place."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.fault: Callable[[str, str], Reply | None] = lambda method, path: None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                raw = self.rfile.read(length)
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                body = json.loads(raw) if raw else None
                outer.calls.append((self.command, parts.path, body if body is not None else query))
                outer.headers.append({key.lower(): value for key, value in self.headers.items()})
                status, answer = outer.fault(self.command, parts.path) or outer.answer(
                    self.command, parts.path, query, body
                )
                content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                if status == 204:
                    content = b""
                self.send_response(status)
                self.send_header("content-type", "text/plain" if isinstance(answer, str) else "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815  # The names http.server looks for.

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        raise NotImplementedError

    def writes(self) -> list[tuple[str, str, Any]]:
        """Return the requests that could change something."""
        return [call for call in self.calls if call[0] != "GET"]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextmanager
def running(server: FakeServer) -> Iterator[Any]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _mlflow_error(status: int, code: str, message: str) -> Reply:
    return status, {"error_code": code, "message": message}


class MlflowServer(FakeServer):
    """The model registry's REST API, as MLflow 3.17 answers it."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, dict[str, dict[str, str]]] = {}
        self.aliases: dict[str, dict[str, str]] = {}
        self.moves: list[tuple[str, str, str]] = []

    def register(self, model: str, versions: int) -> None:
        self.versions[model] = {str(n): {} for n in range(1, versions + 1)}
        self.aliases[model] = {}

    def set_alias(self, model: str, alias: str, version: str) -> None:
        self.aliases[model][alias] = version

    def set_tag(self, model: str, version: str, key: str, value: str) -> None:
        self.versions[model][version][key] = value

    def alias(self, model: str, alias: str) -> str | None:
        return self.aliases[model].get(alias)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        route = path.removeprefix("/api/2.0/mlflow")
        if route == "/registered-models/alias":
            return self._get_alias(query) if method == "GET" else self._set_alias(body)
        if route == "/model-versions/search":
            model = query["filter"].removeprefix("name='").removesuffix("'")
            rows = [self._version(model, version) for version in reversed(self.versions.get(model, {}))]
            return 200, ({"model_versions": rows} if rows else {})
        return 404, "Not Found"

    def _get_alias(self, query: dict[str, str]) -> Reply:
        model, alias = query["name"], query["alias"]
        if model not in self.versions:
            return _mlflow_error(404, "RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={model} not found")
        version = self.aliases[model].get(alias)
        if version is None:
            return _mlflow_error(400, "INVALID_PARAMETER_VALUE", f"Registered model alias {alias} not found.")
        return 200, {"model_version": {**self._version(model, version), "aliases": [alias]}}

    def _set_alias(self, body: dict[str, str]) -> Reply:
        model, version = body["name"], body["version"]
        if version not in self.versions.get(model, {}):
            words = f"Model Version (name={model}, version={version}) not found"
            return _mlflow_error(404, "RESOURCE_DOES_NOT_EXIST", words)
        if self.aliases[model].get(body["alias"]) != version:
            self.moves.append((model, body["alias"], version))
        self.aliases[model][body["alias"]] = version
        return 200, {}

    def _version(self, model: str, version: str) -> dict[str, Any]:
        tags = [{"key": key, "value": value} for key, value in self.versions[model][version].items()]
        made = {"name": model, "version": version, "current_stage": "None", "status": "READY"}
        return {**made, **({"tags": tags} if tags else {})}
