"""Metrics: every process has its own registry, and every name follows one convention."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from custodes.kernel.metrics import Metrics


class TestMetrics:
    def test_it_renders_what_was_counted(self) -> None:
        metrics = Metrics()
        metrics.spans_stored.inc(3)
        metrics.spans_rejected.labels(reason="too_many_attributes").inc()
        text = metrics.render().decode()
        assert "custodes_spans_stored_total 3.0" in text
        assert 'custodes_spans_rejected_total{reason="too_many_attributes"} 1.0' in text

    def test_it_shares_nothing_between_two_instances(self) -> None:
        one, two = Metrics(), Metrics()
        one.spans_stored.inc()
        assert "custodes_spans_stored_total 0.0" in two.render().decode()

    def test_it_prefixes_and_describes_every_name(self) -> None:
        families = list(text_string_to_metric_families(Metrics().render().decode()))
        assert families
        assert [family.name for family in families if not family.name.startswith("custodes_")] == []
        assert [family.name for family in families if not family.documentation] == []

    def test_it_names_seconds_where_it_measures_time(self) -> None:
        families = text_string_to_metric_families(Metrics().render().decode())
        timed = [family.name for family in families if family.type == "histogram" or "_age" in family.name]
        assert [name for name in timed if not name.endswith("_seconds")] == []
