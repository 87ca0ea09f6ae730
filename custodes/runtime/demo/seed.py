"""Filling an empty data directory with history, through intake, worker and policy engine, at simulated times."""

from __future__ import annotations

import random
from collections.abc import Callable

from sqlalchemy import func, select

from custodes.db.tables import trace
from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS
from custodes.kernel.settings import Settings
from custodes.runtime.app import DEFAULT_PROJECT, App, build
from custodes.runtime.demo.history import QUARTER_NS, history_turns, quarters, turns_to_request
from custodes.runtime.demo.policies import POLICIES
from custodes.runtime.demo.verifier import WebhookVerifier
from custodes.runtime.drift_watch import WatchDrift
from custodes.runtime.fairness_watch import WatchFairness
from custodes.runtime.tasks import make_sender
from policies.actors import Actor
from policies.conduct import conduct_of
from policies.endpoints import put_endpoint
from policies.evaluate import Evaluator
from policies.hooks.delivery import deliver_due
from policies.lifecycle import activate_policy, submit_policy

Progress = Callable[[str], None]
ENDPOINT = "demo-receiver"
QUARTERS_A_LOOK = 4
"""Quarters of an hour between looks at the fairness and the drift monitors."""
REFERENCE_EXCHANGES = 128
"""What counts as usual for drift: few enough for a service with five calls in a quarter of an hour."""
SHORTEST_STORY = 24
"""Quarters of an hour of history that an incident needs to begin, be noticed and end."""
# The demo is a server in --dev, where one person may do everything.
_ACTOR = Actor("demo", "operator", waived=True)


class SteppedClock:
    """A clock that stands where it was set."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        """Return the simulated present."""
        return self.now_ns


def prepare_demo(
    settings: Settings, *, days: int, now_ns: int, receiver_url: str, verifier: WebhookVerifier, progress: Progress
) -> None:
    """Seed history up to ``now_ns`` and activate the demo's policies; give ``verifier`` the signing secret.

    A data directory that already holds traces only gets what is missing since its last one, so that the
    demo can be stopped and started again.
    """
    clock = SteppedClock(now_ns - days * DAY_NS)
    app = build(settings, serve=True, work=True, clock=clock)
    if app.intake is None or app.worker is None:
        raise RuntimeError("the demo needs a process that serves and works")
    try:
        verifier.secret = _activate(app, receiver_url, clock.now_ns)
        verifier.clock = clock
        sender = make_sender(settings.webhook, app.secret_box)
        evaluator = Evaluator(app.database, conduct_of(settings))
        with app.database.read() as tx:
            last_ns = tx.execute(select(func.max(trace.c.start_ns))).scalar()
        start_ns = clock.now_ns if last_ns is None else max(clock.now_ns, last_ns + QUARTER_NS)
        progress("loading the detectors …")
        app.worker.prepare()
        app.intake.start()
        rng = random.Random(20261121)
        todo = list(quarters(start_ns, now_ns - QUARTER_NS))
        incident_ns = _incident_start(todo)
        watch = WatchFairness(app.database, settings, clock, app.metrics, "demo-seed")
        drift = WatchDrift(app.database, settings, clock, app.metrics, "demo-seed")
        unfair_ns = todo[len(todo) // 4] if len(todo) >= SHORTEST_STORY else None
        drifted_ns = todo[len(todo) // 2] if len(todo) >= SHORTEST_STORY else None
        for index, quarter_ns in enumerate(todo):
            clock.now_ns = quarter_ns + QUARTER_NS
            toxic = incident_ns is not None and incident_ns <= quarter_ns < incident_ns + HOUR_NS // 2
            unfair = unfair_ns is None or quarter_ns >= unfair_ns
            drifted = drifted_ns is None or quarter_ns >= drifted_ns
            turns = history_turns(quarter_ns, rng, toxic=toxic, unfair=unfair, drifted=drifted)
            if turns:
                body = turns_to_request(turns, rng)
                app.intake.ingest_body(DEFAULT_PROJECT, body, "application/x-protobuf", None).result(timeout=60)
            while app.worker.step():
                pass
            if index % QUARTERS_A_LOOK == 0 or index + 1 == len(todo):
                watch.run()
                drift.run()
            watched = incident_ns is not None and incident_ns - HOUR_NS <= quarter_ns < incident_ns + 3 * HOUR_NS
            step_ns = MINUTE_NS if watched else QUARTER_NS
            for at_ns in range(quarter_ns + step_ns, quarter_ns + QUARTER_NS + 1, step_ns):
                clock.now_ns = at_ns
                evaluator.tick(at_ns)
                deliver_due(app.database, at_ns, sender)
                app.audit.flush()
            if index % 48 == 47 or index + 1 == len(todo):
                progress(f"seeding history: {index + 1} of {len(todo)} quarters of an hour")
    finally:
        app.stop()


def _incident_start(todo: list[int]) -> int | None:
    """Return when the past incident began: two thirds through the history, if that is long enough for it to end."""
    return todo[len(todo) * 2 // 3] if len(todo) >= SHORTEST_STORY else None


def _activate(app: App, receiver_url: str, now_ns: int) -> str:
    database, settings = app.database, app.settings
    change = put_endpoint(
        database,
        app.secret_box,
        project_id=DEFAULT_PROJECT,
        endpoint_id=ENDPOINT,
        url=receiver_url,
        secret=None,
        actor=_ACTOR,
        now_ns=now_ns,
    )
    for text in POLICIES:
        stored = submit_policy(
            database, project_id=DEFAULT_PROJECT, text=text, filename="demo.yaml", actor=_ACTOR, now_ns=now_ns
        ).version
        activate_policy(
            database,
            project_id=DEFAULT_PROJECT,
            policy_id=stored.policy_id,
            version=stored.version,
            actor=_ACTOR,
            now_ns=now_ns,
            conduct=conduct_of(settings),
        )
    if change.secret is None:
        raise RuntimeError("a webhook endpoint has a signing secret")
    return change.secret
