"""What the HTTP server needs from the rest of the house, as one value that the composition root builds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from collector.content import Contents, MasterSecretBox
from collector.limits import IngestLimits
from collector.otlp.body import Encoding
from collector.signals import SignalIntake
from collector.store import StoreOutcome
from custodes.db import Database
from custodes.kernel.clock import Clock
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from policies.audit.checkpoint import Checkpoint
from policies.audit.keys import LogKey
from policies.audit.receipt import Receipt
from policies.hooks.delivery import Sender


class BodyIntake(Protocol):
    """Where trace bodies go."""

    def ingest_body(
        self, project: str, body: bytes, content_type: str | None, content_encoding: str | None = None
    ) -> Future[StoreOutcome]:
        """Take one request; the future resolves after its spans are committed. Raises ``CustodesError`` at once."""
        ...

    def ingest_plain(self, project: str, body: bytes, encoding: Encoding) -> Future[StoreOutcome]:
        """Take one request whose body is decompressed already; otherwise as :meth:`ingest_body`."""
        ...


class StrictLog(Protocol):
    """The audit log's writer, as strict actions use it."""

    @property
    def key(self) -> LogKey:
        """The identity that signs checkpoints."""
        ...

    def flush(self) -> Checkpoint | None:
        """Sign everything committed so far; raise ``AuditError`` when the log cannot be written."""
        ...

    def flush_until(self, intake_id: int) -> Receipt:
        """Return only when the event is under a signed checkpoint; raise ``AuditError`` otherwise."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a request handler may use.

    ``readiness`` returns the reasons why traffic is not accepted and scored; none means it is. ``console_url`` is the
    address people open, without a trailing slash. ``sender`` makes the attempts that somebody asks for; workers send
    what is queued.
    """

    db: Database
    settings: Settings
    clock: Clock
    metrics: Metrics
    intake: BodyIntake
    signals: SignalIntake
    limits: IngestLimits
    contents: Contents
    secret_box: MasterSecretBox
    sender: Sender
    audit: StrictLog
    readiness: Callable[[], list[str]]
    console_url: str
