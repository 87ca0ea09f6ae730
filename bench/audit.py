"""How many leaves a second the audit log takes: in memory, one by one, and in groups on SQLite."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.measurement import Measurement, median_seconds
from custodes.db import Database, open_database
from custodes.db.migrate import upgrade
from custodes.kernel.clock import system_clock
from policies.audit.event import AuditEvent
from policies.audit.keys import load_or_create_key
from policies.audit.log import AuditLog, append_intake
from policies.audit.merkle import Frontier, leaf_hash

PURE_LEAVES = 50_000
SINGLE_EVENTS = 150
GROUP_EVENTS = 4_096


def measure() -> list[Measurement]:
    """Return leaves per second of each way, and how much grouping gains."""
    pure = PURE_LEAVES / median_seconds(_append_in_memory, repeats=3)
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'bench.db'}")
        try:
            upgrade(database)
            log = AuditLog(database, load_or_create_key(Path(folder)), system_clock)
            log.verify_state()
            single = _rate_single(database, log)
            grouped = _rate_grouped(database, log)
        finally:
            database.dispose()
    return [
        Measurement("hash and append in memory", pure, "leaves/s"),
        Measurement("one event, one checkpoint (strict)", single, "leaves/s"),
        Measurement(f"{GROUP_EVENTS} waiting events (bulk)", grouped, "leaves/s"),
        Measurement("bulk over strict", grouped / single, "×"),
        Measurement("bulk over memory", grouped / pure, "×"),
    ]


def _append_in_memory() -> None:
    frontier = Frontier()
    for number in range(PURE_LEAVES):
        frontier.append(leaf_hash(number.to_bytes(64, "big")))
    frontier.root()


def _event(number: int) -> AuditEvent:
    data = {"exchanges": 128, "scores_root": "0" * 64}
    return AuditEvent(
        f"event-{number}", system_clock(), "bench", "system", "exchanges.scored", f"batch/{number}", "default", data
    )


def _rate_single(database: Database, log: AuditLog) -> float:
    began = time.perf_counter()
    for number in range(SINGLE_EVENTS):
        with database.write() as tx:
            intake = append_intake(tx, _event(number))
        log.flush_until(intake)
    return SINGLE_EVENTS / (time.perf_counter() - began)


def _rate_grouped(database: Database, log: AuditLog) -> float:
    with database.write() as tx:
        for number in range(GROUP_EVENTS):
            append_intake(tx, _event(number))
    began = time.perf_counter()
    log.flush()
    return GROUP_EVENTS / (time.perf_counter() - began)
