"""The demo's history tells its story at any time of day: one toxic incident that opens and resolves."""

from __future__ import annotations

from pathlib import Path

import pytest

from custodes.db import open_database
from custodes.kernel.clock import HOUR_NS, system_clock
from custodes.kernel.settings import load_settings
from custodes.runtime.demo.seed import prepare_demo
from custodes.runtime.demo.verifier import WebhookVerifier
from policies.store import list_incidents

pytestmark = pytest.mark.timeout(300)

MIDNIGHT_NS = 1_794_960_000 * 10**9


class TestHistory:
    @pytest.mark.parametrize("hour", [0, 7, 13, 20])
    def test_it_holds_one_toxic_incident_that_is_over(self, tmp_path: Path, hour: int) -> None:
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
        database.dispose()
        assert [(one.policy_id, one.state) for one in found] == [("toxic-answers", "resolved")]
