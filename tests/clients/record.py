"""Record what a client really sends: run its script against a sink that stores every request as it came.

    python tests/clients/record.py NAME SCRIPT --python PATH --out DIR [--scenarios A,B] [--env KEY=VALUE …]

Each scenario is one run of the script and gives ``NAME-SCENARIO.bin`` per request of traces, numbered from the second
on, and ``NAME-SCENARIO-logs.bin`` with what came as logs.
Resource attributes that would tell of the machine are replaced in protobuf bodies; bodies that came compressed are
stored that way again. What was sent with them is printed as JSON lines: path, headers without secrets.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))

from openai_server import openai_server  # type: ignore[import-not-found]

KEPT_HEADERS = ("content-type", "content-encoding", "transfer-encoding", "user-agent")
MACHINE = ("host.", "process.", "os.", "container.", "k8s.", "service.instance.id")


@dataclass
class Sink:
    """The requests that arrived, in order."""

    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def open_sink() -> Iterator[tuple[str, Sink]]:
    """Accept everything on a free loopback port; yield the base URL and what arrives."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            sink.requests.append((self.path, headers, self._read_body(headers)))
            is_json = headers.get("content-type", "").startswith("application/json")
            body = b"{}" if is_json else ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", headers.get("content-type", "application/x-protobuf"))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            sink.requests.append((f"GET {self.path}", {}, b""))
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()

        def _read_body(self, headers: dict[str, str]) -> bytes:
            if headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(headers.get("content-length", "0")))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", sink
    server.shutdown()
    thread.join()
    server.server_close()


def hide_machine(body: bytes, headers: dict[str, str]) -> bytes:
    """Return the body with what its resources say of the machine replaced by ``scrubbed``, compressed as it came."""
    packed = headers.get("content-encoding") == "gzip"
    plain = gzip.decompress(body) if packed else body
    if headers.get("content-type", "").startswith("application/json"):
        hidden = json.dumps(_hide_in_json(json.loads(plain)), separators=(",", ":")).encode()
    else:
        request = ExportTraceServiceRequest.FromString(plain)
        _hide_in_resources(request.resource_spans)
        hidden = request.SerializeToString()
    return gzip.compress(hidden, mtime=0) if packed else hidden


def join_logs(bodies: Sequence[bytes]) -> bytes:
    """Return uncompressed protobuf bodies of logs as one, with the machine and the places of code hidden."""
    joined = ExportLogsServiceRequest()
    for body in bodies:
        joined.MergeFrom(ExportLogsServiceRequest.FromString(body))
    _hide_in_resources(joined.resource_logs)
    for block in joined.resource_logs:
        for record in (record for scope in block.scope_logs for record in scope.log_records):
            kept = [one for one in record.attributes if not one.key.startswith("code.")]
            del record.attributes[:]
            record.attributes.extend(kept)
    return joined.SerializeToString()


def _hide_in_resources(blocks: Iterable[Any]) -> None:
    for block in blocks:
        for attribute in block.resource.attributes:
            if attribute.key.startswith(MACHINE):
                attribute.value.Clear()
                attribute.value.string_value = "scrubbed"


def _hide_in_json(request: dict[str, Any]) -> dict[str, Any]:
    for block in request["resourceSpans"]:
        for attribute in block.get("resource", {}).get("attributes", []):
            if attribute["key"].startswith(MACHINE):
                attribute["value"] = {"stringValue": "scrubbed"}
    return request


def run_client(
    program: str, script: Path, modules: Path | None, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script elsewhere: some clients send the path of the code, or the repository's state."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (*script.parent.glob("scenario.*"), script):
            shutil.copy(file, folder)
        if modules:
            (Path(folder) / "node_modules").symlink_to(modules.resolve())
        command = [program, script.name, *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )


def main() -> int:
    """Run each scenario once; return 1 when one failed or sent no traces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("script", type=Path)
    parser.add_argument("--scenarios", default="chat", help="names, separated by commas")
    parser.add_argument("--python", default=sys.executable, help="the interpreter, or node, that runs the script")
    parser.add_argument("--modules", type=Path, help="the node_modules of a JavaScript client")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--env", action="append", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CUSTODES_", "OTEL_"))}
    service = {"OTEL_SERVICE_NAME": asked.script.stem.replace("_", "-")}
    environment = {**kept, **service, **dict(pair.split("=", 1) for pair in asked.env)}
    failed = False
    for scenario in asked.scenarios.split(","):
        with openai_server() as openai, open_sink() as (url, sink):
            done = run_client(asked.python, asked.script, asked.modules, environment, url, openai, scenario)
        if done.returncode or done.stderr:
            sys.stderr.write(f"{asked.name} {scenario}: exit {done.returncode}\n{done.stderr[-3000:]}\n")
        traces = [one for one in sink.requests if one[0].endswith("/v1/traces")]
        for number, (path, headers, body) in enumerate(traces, 1):
            file = asked.out / f"{asked.name}-{scenario}{'' if number == 1 else f'-{number}'}.bin"
            file.write_bytes(hide_machine(body, headers))
            shown = {key: headers[key] for key in KEPT_HEADERS if key in headers}
            sys.stdout.write(json.dumps({"file": file.name, "path": path, **shown}) + "\n")
        logs = [body for path, _, body in sink.requests if path.endswith("/v1/logs")]
        if logs:
            (asked.out / f"{asked.name}-{scenario}-logs.bin").write_bytes(join_logs(logs))
        others = sorted({one[0] for one in sink.requests} - {one[0] for one in traces})
        if others:
            sys.stdout.write(json.dumps({"scenario": scenario, "also": others}) + "\n")
        failed = failed or bool(done.returncode) or not traces
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
