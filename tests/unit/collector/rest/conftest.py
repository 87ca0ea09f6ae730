"""A whole HTTP server on an empty database, and the moves that tests make on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from starlette.testclient import TestClient

from collector.app import Services, build_app
from collector.arrivals import prepare_request
from collector.auth import Role, create_key
from collector.content import Contents, MasterSecretBox, open_contents
from collector.dialects.span import NormalSpan
from collector.intake import Intake
from collector.limits import IngestLimits
from collector.signals import SignalIntake
from collector.store import store_requests
from collector.store_ledger import add_to_ledger
from custodes.db import Database, open_database
from custodes.db.rollups import RollupKey, add_to_rollups, span_quantities
from custodes.db.tables import detector, exchange, incident, ingest_batch, policy_version, project, score, span
from custodes.kernel.clock import SECOND_NS, ns_to_minute
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from policies.audit.keys import load_or_create_key
from policies.audit.log import AuditLog
from policies.hooks.address import AddressRules
from policies.hooks.mail import MailSender
from policies.hooks.sender import ChannelSender
from policies.hooks.webhook import WebhookSender

Scores = Mapping[str, float | None]


@dataclass
class Server:
    """The application and everything below it; ``now_ns`` is its clock and moves only when a test moves it."""

    database: Database
    settings: Settings
    now_ns: int
    metrics: Metrics = field(default_factory=Metrics)
    reasons: list[str] = field(default_factory=list)
    app: FastAPI = field(init=False)
    audit: AuditLog = field(init=False)
    contents: Contents = field(init=False)
    secret_box: MasterSecretBox = field(init=False)
    intake: Intake = field(init=False)
    rows: RowIds = field(default_factory=RowIds)

    def __post_init__(self) -> None:
        self.audit = AuditLog(self.database, load_or_create_key(self.settings.data_dir), self.clock)
        self.contents = open_contents(self.database, self.settings, self.metrics, self.clock)
        self.secret_box = MasterSecretBox(self.database, self.settings, self.clock)
        self.intake = Intake(self.database, self.contents, self.settings.ingest, self.metrics, self.clock)
        self.app = build_app(self.services())

    def services(self, **changes: Any) -> Services:
        """Return the services of this server, some of them replaced."""
        rules = AddressRules.of(["127.0.0.0/8"], allow_http=True)
        parts: dict[str, Any] = {
            "db": self.database,
            "settings": self.settings,
            "clock": self.clock,
            "metrics": self.metrics,
            "intake": self.intake,
            "signals": SignalIntake(self.database, self.contents, self.settings.ingest, self.metrics, self.clock),
            "limits": IngestLimits(changes.get("settings", self.settings).ingest, self.metrics),
            "contents": self.contents,
            "secret_box": self.secret_box,
            "sender": ChannelSender(WebhookSender(rules), MailSender(rules), self.secret_box),
            "audit": self.audit,
            "readiness": lambda: self.reasons,
            "console_url": "http://console.test",
        }
        return Services(**{**parts, **changes})

    def clock(self) -> int:
        """The present, as this server sees it."""
        return self.now_ns

    def key(self, role: Role, project: str = "default", **more: Any) -> str:
        """Create a key and return its text."""
        with self.database.write() as tx:
            made = create_key(
                tx, project_id=project, role=role, actor="test", actor_role="", now_ns=self.now_ns, **more
            )
        return made.text

    def client(self, role: Role | None = None, project: str = "default", app: FastAPI | None = None) -> TestClient:
        """Return a client from another machine, with a fresh key of ``role`` or without any."""
        headers = {} if role is None else {"authorization": f"Bearer {self.key(role, project)}"}
        return TestClient(app or self.app, headers=headers, client=("203.0.113.9", 40000))

    def dev_client(self) -> TestClient:
        """Return the keyless loopback client of this server in ``--dev``."""
        app = build_app(self.services(settings=self.settings.model_copy(update={"dev": True})))
        return TestClient(app, base_url="http://127.0.0.1:4318", client=("127.0.0.1", 40000))

    def store(self, *spans: NormalSpan, project: str = "default") -> None:
        """Store spans as the intake does."""
        request = prepare_request(project, spans, Counter(), self.now_ns, self.contents)
        with self.database.write() as tx:
            store_requests(tx, [request], self.rows, self.contents)

    def score(self, values: Scores | Callable[[str], Scores]) -> None:
        """Score every waiting exchange as a worker does: ``None`` is not assessed, for the reason ``no_text``."""
        columns = (span.c.span_id.label("key"), span.c.service, span.c.start_ns, span.c.end_ns, span.c.complete)
        more = (span.c.ttft_ms, span.c.cost_usd, span.c.input_tokens, span.c.output_tokens)
        statement = select(exchange, *columns, *more).join(span, span.c.id == exchange.c.span_id)
        with self.database.write() as tx:
            number = self._detector(tx)
            for row in tx.execute(statement.where(exchange.c.scored_ns.is_(None))).all():
                given = values(row.key.hex()) if callable(values) else values
                minute = ns_to_minute(row.at_ns)
                for metric, value in given.items():
                    tx.execute(score.insert().values(**self._score(row.span_id, metric, value, number)))
                place = {"scored_ns": self.now_ns, "rolled_segment_id": row.segment_id, "rolled_minute": minute}
                tx.execute(update(exchange).where(exchange.c.span_id == row.span_id).values(**place))
                everything = {**given, **span_quantities(dict(row._mapping))}
                keys = {name: RollupKey(row.project_id, minute, row.segment_id, name) for name in everything}
                add_to_rollups(tx, [(keys[name], value) for name, value in everything.items()])
                assessed = any(value is not None for value in given.values())
                kind, reason = ("assessed", "") if assessed else ("not_assessed", "no_text")
                add_to_ledger(tx, {(row.project_id, minute, row.service, kind, reason): 1})
            tx.execute(update(ingest_batch).values(state="done"))

    def open_incident(self, incident_id: str, *, group: Mapping[str, str], **changes: Any) -> None:
        """Store an incident of the policy ``tox``, open since now unless told otherwise."""
        fields: dict[str, Any] = {
            "id": incident_id,
            "project_id": "default",
            "policy_id": "tox",
            "version": "sha256:1",
            "group_key": orjson.dumps(dict(group), option=orjson.OPT_SORT_KEYS).decode(),
            "severity": "high",
            "state": "new",
            "title": "tox: something",
            "summary": "tox fired.",
            "opened_ns": self.now_ns,
            "updated_ns": self.now_ns,
            "resolved_ns": None,
        }
        with self.database.write() as tx:
            tx.execute(incident.insert().values(**{**fields, **changes}))

    def add_policy(self, source: str, *, policy_id: str = "tox", version: str = "sha256:1", **changes: Any) -> None:
        """Store a policy version, active since now unless told otherwise."""
        fields: dict[str, Any] = {
            "project_id": "default",
            "policy_id": policy_id,
            "version": version,
            "source": source,
            "state": "active",
            "author": "test",
            "created_ns": self.now_ns,
            "activated_ns": self.now_ns,
        }
        with self.database.write() as tx:
            tx.execute(policy_version.insert().values(**{**fields, **changes}))

    def _detector(self, tx: Any) -> int:
        names = {"name": "toxicity/builtin", "version": "1.0.0", "digest": "sha256:" + "0" * 64}
        statement = tx.insert(detector).values(**names, first_seen_ns=self.now_ns).on_conflict_do_nothing()
        tx.execute(statement)
        return int(tx.execute(select(detector.c.id)).scalar_one())

    def _score(self, row_number: int, metric: str, value: float | None, number: int) -> dict[str, Any]:
        return {
            "span_id": row_number,
            "metric": metric,
            "value": value,
            "state": "not_assessed" if value is None else "assessed",
            "reason": "no_text" if value is None else None,
            "detector_id": number,
            "evidence": orjson.dumps({"labels": {"insult": value}, "spans": []}) if value is not None else None,
            "scored_ns": self.now_ns,
        }


@pytest.fixture
def server(database: Database, tmp_path: Path, now_ns: int) -> Iterator[Server]:
    """A server with an empty project ``default``, once per supported database. Its clock stands at a whole minute."""
    yield from _serve(database, tmp_path, now_ns)


@pytest.fixture
def local_server(sqlite_url: str, tmp_path: Path, now_ns: int) -> Iterator[Server]:
    """The same on SQLite alone, for what does not depend on the database."""
    opened = open_database(sqlite_url)
    with opened.write() as tx:
        tx.execute(project.insert().values(id="default", created_ns=0))
    yield from _serve(opened, tmp_path, now_ns)
    opened.dispose()


def _serve(database: Database, data_dir: Path, now_ns: int) -> Iterator[Server]:
    made = Server(database, Settings(data_dir=data_dir), now_ns - now_ns % (60 * SECOND_NS))
    made.intake.start()
    yield made
    made.intake.stop()


@pytest.fixture
def chat(chat_span: Callable[..., NormalSpan], now_ns: int) -> Callable[..., NormalSpan]:
    """Make one chat span by number, which gives its ids: one second long, begun ``age_s`` before the present."""
    present_ns = now_ns - now_ns % (60 * SECOND_NS)

    def make(number: int, *, age_s: float = 60.0, service: str = "bot", **more: Any) -> NormalSpan:
        start_ns = present_ns - int(age_s * SECOND_NS)
        more.setdefault("trace_id", f"{number + 1:032x}")
        more.setdefault("span_id", f"{number + 1:016x}")
        resource = {"service.name": service, "deployment.environment.name": "prod", **more.pop("resource", {})}
        return chat_span(resource=resource, start_ns=start_ns, end_ns=start_ns + SECOND_NS, **more)

    return make
