"""The whole path in one process, on both databases: spans → scores → decision → incident → webhook → leaf."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from custodes.db.tables import exchange, exchange_match, incident, outbox, rollup_minute, score, span
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.settings import load_settings
from custodes.runtime.app import App, build
from custodes.runtime.demo.history import turns_to_request
from custodes.runtime.demo.receiver import Receiver
from custodes.runtime.demo.script import SERVICES, Turn, play_turn
from custodes.runtime.demo.seed import SteppedClock
from custodes.runtime.demo.verifier import WebhookVerifier
from custodes.runtime.tasks import make_sender
from policies.actions.traffic_store import read_share, read_totals
from policies.actors import Actor
from policies.audit.export import export_bundle
from policies.audit.keys import load_or_create_key
from policies.audit.verify import verify_bundle
from policies.backtest_report import compare_with_record
from policies.conduct import Conduct
from policies.decision_store import list_decisions
from policies.endpoints import put_endpoint
from policies.evaluate import evaluate_tick
from policies.hooks.delivery import deliver_due
from policies.incident_store import list_incidents
from policies.lifecycle import activate_policy, submit_policy
from policies.store import list_policy_versions

pytestmark = pytest.mark.timeout(300)

START_NS = 1_795_000_000 * 10**9 // MINUTE_NS * MINUTE_NS
CONDUCT = Conduct("http://console.test")
POLICY = """\
apiVersion: custodes/v1
kind: Policy
id: toxic
owner: risk@example.org
severity: high
signals:
  rate: {metric: toxicity, agg: rate_above(0.5), window: 2m}
  n:    {metric: toxicity, agg: count, window: 2m}
group_by: [deployment]
when:  "n >= 4.0 && rate > 0.3"
clear: "rate < 0.1"
for: 1m
no_data: hold
actions:
  - {kind: webhook, endpoint: receiver}
tests:
  - name: fires
    step: 1m
    series: {rate: "0.0x1 0.9x4", n: "9x5"}
    expect: [{at: 0m, state: ok}, {at: 4m, state: firing}]
"""


GRAVE = """\
apiVersion: custodes/v1
kind: ExchangePolicy
id: grave
owner: risk@example.org
severity: high
group_by: [service]
when: score.toxicity > 0.9
keep_firing_for: 2m
actions:
  - {kind: webhook, endpoint: receiver}
tests:
  - {name: grave, exchange: {score.toxicity: 0.95}, expect: firing}
"""


class SteppedPath:
    """The parts of a running process, stepped by hand."""

    def __init__(self, app: App, clock: SteppedClock, receiver: Receiver) -> None:
        self.app = app
        self.clock = clock
        self.receiver = receiver
        self.rng = random.Random(5)

    def minute(self, toxic: bool, calls: int = 6) -> None:
        """Let one minute pass with ``calls`` calls, then score and evaluate as the jobs would."""
        turns: list[tuple[int, Turn]] = [
            (
                self.clock.now_ns + n * 10**9,
                play_turn(SERVICES[0], self.rng, toxic_share=1.0 if toxic else 0.0, upgraded=True),
            )
            for n in range(calls)
        ]
        self.clock.now_ns += MINUTE_NS
        assert self.app.intake is not None
        assert self.app.worker is not None
        body = turns_to_request(turns, self.rng)
        for _ in range(2):  # Sent twice: stored once, counted once.
            self.app.intake.ingest_body("default", body, "application/x-protobuf", None).result(timeout=30)
        while self.app.worker.step():
            pass
        report = evaluate_tick(self.app.database, self.clock.now_ns, None, CONDUCT)
        assert report.failures == []
        deliver_due(self.app.database, self.clock.now_ns, make_sender(self.app.settings.webhook, self.app.secret_box))
        self.app.audit.flush()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def path(database_url: str, tmp_path: Path, lines: list[str]) -> Iterator[SteppedPath]:
    clock = SteppedClock(START_NS)
    verifier = WebhookVerifier(clock)
    receiver = Receiver(verifier.verify, lines.append)
    settings = load_settings(
        data_dir=tmp_path,
        database={"url": database_url},
        models={"threads": 1},
        webhook={"allowed_private_cidrs": ["127.0.0.0/8"], "allow_http": True, "allowed_ports": [receiver.port]},
    )
    receiver.start()
    app = build(settings, serve=True, work=True, clock=clock)
    assert app.intake is not None
    app.intake.start()
    actor = Actor("tester", "operator", waived=True)
    made = put_endpoint(
        app.database,
        app.secret_box,
        project_id="default",
        endpoint_id="receiver",
        url=receiver.url,
        secret=None,
        actor=actor,
        now_ns=START_NS,
    )
    verifier.secret = made.secret
    draft = submit_policy(
        app.database, project_id="default", text=POLICY, filename="p.yaml", actor=actor, now_ns=START_NS
    ).version
    activate_policy(
        app.database,
        project_id="default",
        policy_id=draft.policy_id,
        version=draft.version,
        actor=actor,
        now_ns=START_NS,
        conduct=CONDUCT,
    )
    yield SteppedPath(app, clock, receiver)
    app.stop()
    receiver.stop()


class TestPath:
    def test_toxic_traffic_opens_an_incident_that_resolves_when_it_ends(
        self, path: SteppedPath, lines: list[str], tmp_path: Path
    ) -> None:
        path.minute(toxic=False)
        path.minute(toxic=True)
        assert lines == []
        path.minute(toxic=True)
        assert [line.split(":")[0] for line in lines] == ["webhook incident.opened (signature verified)"]
        assert "http://console.test/go?to=" in lines[0]
        for _ in range(4):
            path.minute(toxic=False)
        assert [line.split(" ")[1] for line in lines] == ["incident.opened", "incident.resolved"]

        with path.app.database.read() as tx:
            assert tx.execute(select(func.count()).select_from(span)).scalar_one() == 7 * 6 * 3
            assert tx.execute(select(func.count()).select_from(exchange)).scalar_one() == 7 * 6
            assert list(tx.execute(select(incident.c.state)).scalars()) == ["resolved"]
            assert set(tx.execute(select(outbox.c.state)).scalars()) == {"delivered"}
            transitions = [(one.from_state, one.to_state) for one in list_decisions(tx, "default")]
            assert sorted(transitions) == sorted([("ok", "pending"), ("pending", "firing"), ("firing", "ok")])
            # What actions read of real traffic: every exchange counts in its share, and in counts that verify reads.
            minutes = (START_NS // MINUTE_NS, path.clock.now_ns // MINUTE_NS)
            assert read_share(tx, "default", {"service": SERVICES[0].name}, *minutes) == 1.0
            assert read_share(tx, "default", {"service": "another"}, *minutes) == 0.0
            totals = read_totals(tx, "default", {}, "exchanges", *minutes)
            assert totals.n + totals.not_assessed == 7 * 6
        self._scores_and_rollups_agree(path)
        self._log_verifies(path, tmp_path / "bundle")

    def test_a_grave_answer_opens_its_incident_with_its_scores_and_a_backtest_agrees(self, path: SteppedPath) -> None:
        database, actor = path.app.database, Actor("tester", "operator", waived=True)
        made = submit_policy(
            database, project_id="default", text=GRAVE, filename="p.yaml", actor=actor, now_ns=START_NS
        ).version
        named = {"policy_id": made.policy_id, "version": made.version, "actor": actor, "now_ns": START_NS}
        activate_policy(database, project_id="default", conduct=CONDUCT, **named)  # type: ignore[arg-type]
        path.minute(toxic=False)
        path.minute(toxic=True)
        with database.read() as tx:
            (grave,) = [one for one in list_incidents(tx, "default") if one.policy_id == "grave"]
            matched = tx.execute(select(func.count()).select_from(exchange_match)).scalar_one()
            assert (grave.state, grave.origin) == ("new", "exchange")
            assert 1 <= matched <= 6
            assert grave.opened_ns == path.clock.now_ns
        for _ in range(5):
            path.minute(toxic=False)
        with database.read() as tx:
            (grave,) = [one for one in list_incidents(tx, "default") if one.policy_id == "grave"]
            assert grave.state == "resolved"
            for version in list_policy_versions(tx, "default"):
                found = compare_with_record(tx, version, START_NS, path.clock.now_ns + MINUTE_NS)
                assert found["equal"], found
                assert found["decisions"] >= 2

    @staticmethod
    def _scores_and_rollups_agree(path: SteppedPath) -> None:
        with path.app.database.read() as tx:
            for metric in ("toxicity", "hallucination", "prompt_toxicity"):
                rolled = tx.execute(
                    select(
                        func.sum(rollup_minute.c.n).label("n"),
                        func.sum(rollup_minute.c.not_assessed).label("missing"),
                        func.sum(rollup_minute.c.total).label("total"),
                    ).where(rollup_minute.c.metric == metric)
                ).one()
                counted = tx.execute(
                    select(
                        func.count(score.c.value).label("n"),
                        func.count().label("rows"),
                        func.sum(score.c.value).label("total"),
                    ).where(score.c.metric == metric)
                ).one()
                assert rolled.n == counted.n
                assert rolled.n + rolled.missing == counted.rows == 42
                assert rolled.total == pytest.approx(counted.total)
            latency = tx.execute(
                select(func.sum(rollup_minute.c.n)).where(rollup_minute.c.metric == "latency_ms")
            ).scalar_one()
            assert latency == 42

    @staticmethod
    def _log_verifies(path: SteppedPath, bundle: Path) -> None:
        key = load_or_create_key(path.app.settings.audit_key_dir)
        with path.app.database.read() as tx:
            export_bundle(tx, bundle, key, now_ns=path.clock.now_ns)
        verdict = verify_bundle(bundle, key.origin, key.verifier.to_text())
        assert int(verdict.code) == 0, verdict.message
        entries = b"".join(one.read_bytes() for one in bundle.rglob("*") if one.is_file() and "entries" in str(one))
        for action in (b"exchanges.scored", b"policy.activated", b"endpoint.created"):
            assert action in entries
        # Leaves never hold what people wrote.
        assert b"warehouse" not in entries
        assert b"idiot" not in entries
