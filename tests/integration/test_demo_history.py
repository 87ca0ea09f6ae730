"""The demo's history tells its story at any time of day: a toxic incident that is over, and a gap that is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from custodes.db import open_database
from custodes.db.tables import fairness_alarm, fairness_reading, segment
from custodes.kernel.clock import HOUR_NS, system_clock
from custodes.kernel.settings import load_settings
from custodes.runtime.demo.script import CUT_OFF_GROUP
from custodes.runtime.demo.seed import prepare_demo
from custodes.runtime.demo.verifier import WebhookVerifier
from policies.incident_store import list_incidents

pytestmark = pytest.mark.timeout(300)

MIDNIGHT_NS = 1_794_960_000 * 10**9


class TestHistory:
    # A history begins a day before: what differs is where in the day's ups and downs it ends.
    @pytest.mark.parametrize(
        "hour", [pytest.param(0, marks=pytest.mark.slow), 7, pytest.param(13, marks=pytest.mark.slow), 20]
    )
    def test_it_holds_a_toxic_incident_that_is_over_and_a_gap_that_stands(self, tmp_path: Path, hour: int) -> None:
        assert MIDNIGHT_NS % (24 * HOUR_NS) == 0
        settings = load_settings(
            data_dir=tmp_path,
            models={"threads": 1},
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
        database.dispose()
        assert sorted((one.policy_id, one.state) for one in found) == [
            ("fairness-monitor", "new"),
            ("toxic-answers", "resolved"),
        ]
        # The regression is found in the service that has it, and the quiet ones stay quiet.
        assert alarms == {("docs-search", "clipped")}
        assert first.group_name == f"group:{CUT_OFF_GROUP}"
        assert compared == {"docs-search", "hr-assistant", "support-bot"}
