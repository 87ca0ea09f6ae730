"""Starts real Custodes processes for benchmarks, and reads what they cost from the kernel."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Collector:
    """A running ``custodes serve``: where it listens and which process it is."""

    process: subprocess.Popen[bytes]
    http_port: int
    grpc_port: int

    def cpu_seconds(self) -> float:
        """Return the CPU time the process has used so far, all threads, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_bytes(self) -> int:
        """Return the most memory that was ever resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


@dataclass(frozen=True, slots=True)
class Keys:
    """One key that may send and one that may read."""

    ingester: str
    viewer: str


@contextmanager
def running_collectors(folder: Path, count: int, settings: Mapping[str, str]) -> Iterator[tuple[list[Collector], Keys]]:
    """Start ``count`` collectors on one database, with keys to send and to read; stop them at the end."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("CUSTODES_", "OTEL_"))},
        "CUSTODES_DATA_DIR": str(folder),
        "CUSTODES_LOG__LEVEL": "WARNING",
        **settings,
    }
    _run(environment, "db", "upgrade")
    keys = Keys(*(_create_key(environment, role) for role in ("ingester", "viewer")))
    collectors: list[Collector] = []
    try:
        while len(collectors) < count:
            collectors.append(_start(environment))
        yield collectors, keys
    finally:
        for one in collectors:
            one.process.send_signal(signal.SIGTERM)
        for one in collectors:
            one.process.wait(timeout=120)


def _run(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "custodes", *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def _create_key(environment: Mapping[str, str], role: str) -> str:
    return str(json.loads(_run(environment, "key", "create", "--role", role, "--json"))["key"])


def _start(environment: Mapping[str, str]) -> Collector:
    ports = _free_ports(2)
    process = subprocess.Popen(
        [sys.executable, "-m", "custodes", "serve"],
        env={**environment, "CUSTODES_HTTP__PORT": str(ports[0]), "CUSTODES_GRPC__PORT": str(ports[1])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{ports[0]}/healthz", trust_env=False).status_code == 200:
                return Collector(process, *ports)
        except httpx.HTTPError:
            time.sleep(0.1)
    process.kill()
    raise RuntimeError("custodes serve did not start; see its log above")


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
