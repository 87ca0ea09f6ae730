"""Sends mutated requests through the whole way in, as the server does it, and counts what comes of them.

``python -m tests.fuzz.run --cases 1000000`` (``make fuzz``). Every case must be stored or refused with one of our own
errors for bad input; anything else ends the run, prints the seed and the case's number, and exits with 1. What was
stored is read back now and then as the API and the worker read it. Peak memory is printed and bounded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sqlalchemy import select

from collector.content import MasterSecretBox, open_contents
from collector.exchanges import read_batch_exchanges
from collector.intake import Intake
from collector.otlp.body import parse_content_type, read_body
from collector.prices import PriceBooks
from collector.rest.queries.trace_detail import load_trace
from collector.signals import SignalIntake
from custodes.db import Database, open_database
from custodes.db.migrate import upgrade
from custodes.db.tables import ingest_batch, trace
from custodes.kernel.clock import system_clock
from custodes.kernel.errors import InvalidInputError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.runtime.schema import prepare_schema
from tests.fuzz.mutations import Case, Mutator

RECORDED = Path(__file__).resolve().parent.parent / "data" / "otlp"
_READ_EVERY = 2_000
_IN_FLIGHT = 64
_MAX_PEAK_MIB = 600


class Target:
    """An intake on a database of its own, and what was made of the cases so far."""

    def __init__(self, folder: Path) -> None:
        settings, metrics = Settings(data_dir=folder), Metrics()
        self._metrics = metrics
        self.database: Database = open_database(settings.database_url)
        upgrade(self.database)
        box = MasterSecretBox(self.database, settings, system_clock)
        prepare_schema(self.database, "default", box, now_ns=system_clock(), embedded=True)
        self.contents = open_contents(self.database, settings, metrics, system_clock)
        self._settings = settings.ingest
        prices = PriceBooks(self.database, system_clock)
        self.intake = Intake(self.database, self.contents, settings.ingest, metrics, system_clock, prices)
        self._signals = SignalIntake(self.database, self.contents, settings.ingest, metrics, system_clock)
        self._waiting: deque[Future[Any]] = deque()
        self.outcomes: Counter[str] = Counter()
        self.intake.start()

    def send(self, case: Case) -> None:
        """Take one case; raise whatever is no answer to bad input."""
        try:
            encoding = parse_content_type(case.content_type)
            body = read_body(case.body, case.content_encoding, self._settings)
            if case.path == "/v1/traces":
                self._waiting.append(self.intake.ingest_plain("default", body, encoding))
            elif case.path == "/v1/logs":
                self._signals.ingest_logs("default", body, encoding)
            else:
                self._signals.ingest_metrics("default", body, encoding)
        except InvalidInputError as error:
            self.outcomes[type(error).__name__] += 1
            return
        if case.path != "/v1/traces":
            self.outcomes["signals taken"] += 1
        while len(self._waiting) > _IN_FLIGHT:
            self._settle()

    def failed_dialects(self) -> list[str]:
        """Return the dialects that raised: the server would have read on without them, here it is a finding."""
        (found,) = self._metrics.dialect_failures.collect()
        return [
            f"{one.labels['dialect']} ({one.value:.0f} spans)" for one in found.samples if one.name.endswith("_total")
        ]

    def settle_all(self) -> None:
        """Wait until everything sent is committed."""
        while self._waiting:
            self._settle()

    def _settle(self) -> None:
        outcome = self._waiting.popleft().result(60)
        self.outcomes["requests stored"] += 1
        self.outcomes["spans stored"] += outcome.stored
        self.outcomes["spans known"] += outcome.duplicates
        for rejection, n in outcome.rejected.items():
            self.outcomes[f"spans refused: {rejection.reason}"] += n

    def read_back(self) -> None:
        """Read the newest batches as a worker does, and the newest traces as the API does."""
        self.settle_all()
        with self.database.read() as tx:
            batches = tx.execute(select(ingest_batch.c.id).order_by(ingest_batch.c.id.desc()).limit(20)).scalars()
            for batch in list(batches):
                read_batch_exchanges(tx, self.contents, batch)
            traces = tx.execute(select(trace.c.trace_id).order_by(trace.c.id.desc()).limit(20)).scalars()
            for trace_id in list(traces):
                load_trace(tx, self.contents, "default", trace_id, text_visible=True)
        self.outcomes["times read back"] += 1


def peak_mib(process: int | str = "self") -> float:
    """Return a process's peak memory; what ``getrusage`` says counts that of the process which started it."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def main() -> int:
    """Run; return 0 when every case was answered as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000, help="how many requests to send")
    parser.add_argument("--seed", type=int, default=20_261_121, help="what every mutation follows from")
    arguments = parser.parse_args()
    began = time.monotonic()
    mutator = Mutator(RECORDED, arguments.seed)
    number = 0
    with tempfile.TemporaryDirectory(prefix="custodes-fuzz-") as folder:
        target = Target(Path(folder))
        try:
            for number in range(1, arguments.cases + 1):
                target.send(mutator.next_case())
                if number % _READ_EVERY == 0:
                    target.read_back()
                if number % 50_000 == 0:
                    print(f"{number:,} cases in {time.monotonic() - began:,.0f} s", flush=True)
            target.read_back()
        except Exception:
            print(f"failed within {_IN_FLIGHT} cases before case {number} of seed {arguments.seed}", file=sys.stderr)
            raise
        finally:
            target.intake.stop()
            target.database.dispose()
    peak = peak_mib()
    for name, n in sorted(target.outcomes.items()):
        print(f"{n:>12,} {name}")
    if failed := target.failed_dialects():
        print(f"dialects failed, seed {arguments.seed}: {', '.join(failed)}; the log says where", file=sys.stderr)
        return 1
    print(f"{arguments.cases:,} cases in {time.monotonic() - began:,.0f} s, peak memory {peak:,.0f} MiB")
    if peak > _MAX_PEAK_MIB:
        print(f"more than {_MAX_PEAK_MIB} MiB of memory were used", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
