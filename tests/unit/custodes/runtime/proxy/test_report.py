"""The proxy's own figures."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from custodes.runtime.proxy.report import Traffic, metrics_text
from custodes_sdk.sending.outbox import Counts


class TestMetrics:
    def test_they_are_prometheus_text_with_every_reason_of_loss(self) -> None:
        counts = Counts(taken=9, queued=1, sent=5, lost={"queue_full": 2, "odd": 1})
        text = metrics_text(Traffic(calls=12, open=1, failed=3, left=2), counts, 4)
        found = {
            (sample.name, sample.labels.get("reason")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert found["custodes_proxy_calls_total", None] == 12
        assert found["custodes_proxy_sent_total", None] == 5
        assert found["custodes_proxy_lost_total", "queue_full"] == 2
        assert found["custodes_proxy_lost_total", "unreachable"] == 0
        assert found["custodes_proxy_lost_total", "odd"] == 1
        assert found["custodes_proxy_oversized_total", None] == 4
