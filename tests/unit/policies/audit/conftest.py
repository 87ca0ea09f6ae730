"""Fixtures of the audit log tests: a fixed key, a clock that stands still, and events to log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custodes.db import Database
from policies.audit.event import AuditEvent
from policies.audit.export import export_bundle
from policies.audit.keys import LogKey
from policies.audit.log import AuditLog, append_intake

START_NS = 1_795_860_000_000_000_000


@dataclass
class LogBench:
    """A log on a database, with the few moves that tests make on it."""

    database: Database
    key: LogKey
    log: AuditLog = field(init=False)
    now_ns: int = START_NS

    def __post_init__(self) -> None:
        self.log = self.open_log()

    def open_log(self, chunk: int = 256) -> AuditLog:
        """Return another log object on the same database and key, as a restarted process would have."""
        return AuditLog(self.database, self.key, lambda: self.now_ns, chunk=chunk)

    def event(self, number: int) -> AuditEvent:
        """Return event ``number``; each is one second after the one before."""
        return AuditEvent(
            id=f"01941f29-7c00-7000-8000-{number:012d}",
            at_ns=START_NS + number * 1_000_000_000,
            actor=f"user/u-{number % 3}",
            role="operator",
            action=("incident.opened", "policy.activated")[number % 2],
            object=f"policy/p-{number % 5}",
            project="default",
            data={"n": number, "text": "é\n\u2028"},
        )

    def add(self, first: int, end: int) -> list[int]:
        """Commit events ``[first, end)`` to the intake; return their intake numbers."""
        with self.database.write() as tx:
            return [append_intake(tx, self.event(number)) for number in range(first, end)]

    def fill(self, count: int) -> None:
        """Start the log and bring it to ``count`` leaves under one checkpoint."""
        self.log.verify_state()
        self.add(0, count)
        self.log.flush()

    def export(self, folder: Path, from_ns: int | None = None, to_ns: int | None = None) -> Path:
        """Export to ``folder`` and return it."""
        with self.database.read() as tx:
            export_bundle(tx, folder, self.key, now_ns=self.now_ns, from_ns=from_ns, to_ns=to_ns)
        return folder


@pytest.fixture
def log_key() -> LogKey:
    """A key that is the same in every run."""
    return LogKey("custodes/0123456789abcdef", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@pytest.fixture
def other_key() -> LogKey:
    """Another private key under the same origin: what an impostor would use."""
    return LogKey("custodes/0123456789abcdef", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))


@pytest.fixture
def bench(database: Database, log_key: LogKey) -> LogBench:
    """A log on each supported database."""
    return LogBench(database, log_key)


@pytest.fixture
def make_bench(log_key: LogKey) -> Callable[[Database], LogBench]:
    """A function that puts a log on a given database."""
    return lambda database: LogBench(database, log_key)
