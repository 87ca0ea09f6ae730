"""Scoring as a worker does it: stored batches are claimed, read, judged by detectors in a process of their own,
and their scores committed.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sqlalchemy import func, insert, select

from collector.arrivals import prepare_request
from collector.content import Contents, open_contents
from collector.dialects.span import NormalSpan
from collector.store import store_requests
from custodes.db import Database, open_database
from custodes.db.migrate import upgrade
from custodes.db.tables import exchange, project
from custodes.kernel.clock import SECOND_NS, system_clock
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings, WorkerSettings
from custodes.runtime.models import load_configured_profile
from custodes.runtime.worker import Worker
from detectors.model import Exchange

_PROJECT: Final = "default"
# As an exporter sends them.
_REQUEST: Final = 64
_POLL_S: Final = 0.01


class StoredExchanges:
    """The same exchanges stored again and again in a fresh SQLite database, and a worker that scores them."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._exchanges = exchanges
        self._row_ids = RowIds()
        self._turn = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        settings = Settings(data_dir=folder)
        self._database: Database = open_database(f"sqlite:///{folder / 'bench.db'}")
        self._stack.callback(self._database.dispose)
        upgrade(self._database)
        with self._database.write() as tx:
            tx.execute(insert(project).values(id=_PROJECT, created_ns=0))
        self._contents: Contents = open_contents(self._database, settings, Metrics(), system_clock)
        self._worker = Worker(
            self._database,
            self._contents,
            lambda: load_configured_profile(settings),
            WorkerSettings(poll_s=_POLL_S),
            clock=system_clock,
            metrics=Metrics(),
            owner="bench",
        )
        self._worker.start()
        self._stack.callback(self._worker.stop)
        if not self._worker.ready.wait(120):
            raise RuntimeError(f"the worker did not get ready: {self._worker.problem()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def score(self) -> None:
        """Store the exchanges in one transaction and wait until the worker has committed all their scores.

        Storing them counts too; it takes a hundredth of the time. Every text ends in the number of the turn, so that
        none was ever read before.
        """
        self._turn += 1
        now_ns = system_clock()
        requests = []
        for start in range(0, len(self._exchanges), _REQUEST):
            chosen = range(start, min(start + _REQUEST, len(self._exchanges)))
            spans = [_to_span(self._exchanges[place], self._turn, place, now_ns) for place in chosen]
            requests.append(prepare_request(_PROJECT, spans, Counter(), now_ns, self._contents))
        with self._database.write() as tx:
            store_requests(tx, requests, self._row_ids, self._contents)
        waiting = select(func.count()).select_from(exchange).where(exchange.c.scored_ns.is_(None))
        while True:
            with self._database.read() as tx:
                if not tx.execute(waiting).scalar_one():
                    return
            problem = self._worker.problem()
            if problem is not None:
                raise RuntimeError(problem)
            time.sleep(_POLL_S)


def _to_span(one: Exchange, turn: int, place: int, now_ns: int) -> NormalSpan:
    return NormalSpan(
        trace_id=f"{turn:016x}{place + 1:016x}",
        span_id=f"{place + 1:016x}",
        parent_span_id=None,
        name="chat",
        kind=3,
        operation="chat",
        start_ns=now_ns - SECOND_NS,
        end_ns=now_ns,
        complete=True,
        status=0,
        status_message="",
        service="bench",
        environment="",
        deployment="model@1",
        provider="bench",
        model="model",
        session_id=None,
        user_id=None,
        input_messages=[_message("user", f"{one.prompt} {turn}")],
        output_messages=[_message("assistant", f"{one.response} {turn}")],
        retrieved_documents=[{"id": None, "content": text, "score": None} for text in one.contexts],
        input_tokens=None,
        output_tokens=None,
        cost_usd=None,
        finish_reasons=["stop"],
        ttft_ms=None,
        dialect="otel_genai",
        dropped_attributes=0,
        attributes={},
        events=[],
        is_exchange=True,
        completeness=1 << 13,
    )


def _message(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}
