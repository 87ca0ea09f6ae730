"""The demo's model registry: a stand-in that speaks the part of MLflow's REST API that rollbacks use.

``custodes demo --mlflow URL`` uses a real MLflow server in its place; nothing else differs.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from custodes.kernel.errors import UnavailableError

MODEL: Final = "support-bot"
ALIAS: Final = "champion"
GOOD, BAD = "7", "8"
_API = "/api/2.0/mlflow"
_MAX_BODY_BYTES = 10_000


class RegistryClient:
    """What the demo's deployment does with a registry: register versions, move the alias, read it."""

    def __init__(self, url: str) -> None:
        # A real registry that has just been started takes its time over the first answers.
        self._http = httpx.Client(base_url=f"{url.rstrip('/')}{_API}", trust_env=False, timeout=30)

    def prepare(self) -> None:
        """Make sure there are eight versions, the seventh of them known to be good and serving.

        Raises ``UnavailableError`` when nothing that speaks MLflow's API answers.
        """
        try:
            self._http.post("/registered-models/create", json={"name": MODEL})  # It may be there already.
            for _ in range(int(BAD)):
                if self._http.get("/model-versions/get", params={"name": MODEL, "version": BAD}).is_success:
                    break
                source = {"name": MODEL, "source": f"s3://models/{MODEL}"}
                self._http.post("/model-versions/create", json=source).raise_for_status()
            tag = {"name": MODEL, "version": GOOD, "key": "validation_status", "value": "approved"}
            self._http.post("/model-versions/set-tag", json=tag).raise_for_status()
        except httpx.HTTPError as error:
            raise UnavailableError(f"no model registry answers there as MLflow does: {type(error).__name__}") from error
        self.deploy(GOOD)

    def deploy(self, version: str) -> None:
        """Let the alias name a version."""
        body = {"name": MODEL, "alias": ALIAS, "version": version}
        try:
            self._http.post("/registered-models/alias", json=body).raise_for_status()
        except httpx.HTTPError as error:
            raise UnavailableError(f"the alias could not be moved: {type(error).__name__}") from error

    def serving(self) -> str:
        """Return the version the alias names; raise ``UnavailableError`` when the registry does not say."""
        try:
            answer = self._http.get("/registered-models/alias", params={"name": MODEL, "alias": ALIAS})
            return str(answer.raise_for_status().json()["model_version"]["version"])
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise UnavailableError(f"the alias could not be read: {type(error).__name__}") from error


class Registry:
    """The stand-in, on a free loopback port. It forgets everything when it stops."""

    def __init__(self) -> None:
        self._store = _Store()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(self._store))
        self._thread = threading.Thread(target=self._server.serve_forever, name="custodes-demo-registry", daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Begin to listen in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Store:
    """Versions with their tags, and aliases."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tags: dict[str, dict[str, str]] = {}
        self._aliases: dict[str, str] = {}

    def answer(self, method: str, route: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            if (method, route) == ("POST", "/registered-models/create"):
                return 200, {"registered_model": {"name": given.get("name")}}
            if (method, route) == ("POST", "/model-versions/create"):
                self._tags[str(len(self._tags) + 1)] = {}
                return 200, {"model_version": self._version(str(len(self._tags)))}
            if (method, route) == ("GET", "/model-versions/search"):
                return 200, {"model_versions": [self._version(version) for version in reversed(self._tags)]}
            return self._answer_about_version(method, route, given)

    def _answer_about_version(self, method: str, route: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        is_reading = (method, route) == ("GET", "/registered-models/alias")
        version = self._aliases.get(given.get("alias", "")) if is_reading else given.get("version")
        if version not in self._tags:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"version {version} not found"}
        if (method, route) == ("POST", "/registered-models/alias"):
            self._aliases[given["alias"]] = version
            return 200, {}
        if (method, route) == ("POST", "/model-versions/set-tag"):
            self._tags[version][given["key"]] = given["value"]
            return 200, {}
        known = is_reading or (method, route) == ("GET", "/model-versions/get")
        return (200, {"model_version": self._version(version)}) if known else (404, {"message": "no such route"})

    def _version(self, version: str) -> dict[str, Any]:
        tags = [{"key": key, "value": value} for key, value in self._tags[version].items()]
        return {"name": MODEL, "version": version, "status": "READY", "tags": tags}


def _make_handler(store: _Store) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._reply("GET", parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()})

        def do_POST(self) -> None:
            length = min(int(self.headers.get("content-length") or 0), _MAX_BODY_BYTES)
            try:
                given = json.loads(self.rfile.read(length))
            except ValueError:
                given = {}
            self._reply("POST", urlsplit(self.path).path, given)

        def _reply(self, method: str, path: str, given: dict[str, Any]) -> None:
            status, body = store.answer(method, path.removeprefix(_API), given)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the terminal for what matters."""

    return Handler
