"""The demo's history tells its story at any time of day: a toxic incident that is over, a gap and drift that stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from custodes.db import open_database
from custodes.db.tables import drift_episode, drift_monitor, drift_place, fairness_alarm, fairness_reading, segment
from custodes.kernel.clock import HOUR_NS, system_clock
from custodes.kernel.settings import load_settings
from custodes.runtime.demo.script import CUT_OFF_GROUP, DRIFTING
from custodes.runtime.demo.seed import REFERENCE_EXCHANGES, prepare_demo
from custodes.runtime.demo.verifier import WebhookVerifier
from policies.incident_store import list_incidents

pytestmark = pytest.mark.timeout(300)

MIDNIGHT_NS = 1_794_960_000 * 10**9


class TestHistory:
    # A history begins a day before: what differs is where in the day's ups and downs it ends.
    @pytest.mark.parametrize(
        "hour", [pytest.param(0, marks=pytest.mark.slow), 7, pytest.param(13, marks=pytest.mark.slow), 20]
    )
    def test_it_holds_a_toxic_incident_that_is_over_and_a_gap_and_drift_that_stand(
        self, tmp_path: Path, hour: int
    ) -> None:
        assert MIDNIGHT_NS % (24 * HOUR_NS) == 0
        settings = load_settings(
            data_dir=tmp_path,
            models={"threads": 1},
            drift={"reference_exchanges": REFERENCE_EXCHANGES},
            webhook={"allowed_private_cidrs": ["127.0.0.0/8"], "allow_http": True},
        )
        prepare_demo(
            settings,
            days=1,
            now_ns=MIDNIGHT_NS + hour * HOUR_NS + 7 * 60 * 10**9,
            receiver_url="http://127.0.0.1:9/nobody",
            verifier=WebhookVerifier(system_clock),
            progress=lambda _text: None,
        )
        database = open_database(settings.database_url)
        with database.read() as tx:
            found = list_incidents(tx, "default")
            rows = tx.execute(
                select(segment.c.service, fairness_alarm.c.outcome).join(
                    segment, segment.c.id == fairness_alarm.c.segment_id
                )
            )
            alarms = {(row.service, row.outcome) for row in rows}
            first = tx.execute(select(fairness_alarm).order_by(fairness_alarm.c.at_ns).limit(1)).one()
            compared = set(tx.execute(select(segment.c.service).join(
                fairness_reading, fairness_reading.c.segment_id == segment.c.id)).scalars())  # fmt: skip
            drifts = list(tx.execute(select(drift_place.c.deployment, drift_monitor.c.name, drift_episode).join(
                drift_monitor, drift_monitor.c.id == drift_episode.c.monitor_id).join(
                drift_place, drift_place.c.id == drift_episode.c.place_id)))  # fmt: skip
            watched = {(row.deployment, row.name) for row in tx.execute(select(
                drift_place.c.deployment, drift_monitor.c.name).join(
                drift_place, drift_place.c.id == drift_monitor.c.place_id).where(
                drift_monitor.c.state == "watching"))}  # fmt: skip
        database.dispose()
        states = {(one.policy_id, one.state) for one in found}
        assert states == {("drift-monitor", "new"), ("fairness-monitor", "new"), ("toxic-answers", "resolved")}
        assert sum(one.policy_id == "toxic-answers" for one in found) == 1
        # The regression is found in the service that has it, and the quiet ones stay quiet.
        assert alarms == {("docs-search", "clipped")}
        assert first.group_name == f"group:{CUT_OFF_GROUP}"
        assert compared == {"docs-search", "hr-assistant", "support-bot"}
        # Drift is found in prompts and responses of the service that is asked in another language, and only since then;
        # a service that goes on as before is watched, and quiet.
        drifting = {row.name for row in drifts if row.deployment == DRIFTING.deployment}
        assert {"prompt", "response"} <= drifting
        assert {row.ended_as for row in drifts if row.deployment == DRIFTING.deployment} == {None}
        assert "support-bot-v7" not in {row.deployment for row in drifts}
        assert {("support-bot-v7", name) for name in ("prompt", "response", "toxicity", "latency_ms")} <= watched
        (opened,) = [one for one in found if dict(one.group.labels).get("deployment") == DRIFTING.deployment]
        assert (opened.policy_id, "changed in hr-assistant" in opened.title) == ("drift-monitor", True)
        onset_ns = next(row.onset_ns for row in drifts if (row.deployment, row.name) == (DRIFTING.deployment, "prompt"))
        half_ns = MIDNIGHT_NS + (hour - 12) * HOUR_NS
        assert half_ns - HOUR_NS < onset_ns < half_ns + 2 * HOUR_NS
