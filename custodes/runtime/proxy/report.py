"""What the proxy says about itself: figures for a scraper, and for the log when something was lost."""

from __future__ import annotations

from dataclasses import dataclass

from custodes_sdk.sending.outbox import Counts

METRICS_PATH = "/custodes-proxy/metrics"
"""The one address that is not passed on."""


@dataclass(slots=True)
class Traffic:
    """Calls since the start: ended, under way, failed at the upstream, and left by their client."""

    calls: int = 0
    open: int = 0
    failed: int = 0
    left: int = 0


def metrics_text(traffic: Traffic, counts: Counts, oversized: int) -> str:
    """Return the figures in the Prometheus text format, version 0.0.4."""
    figures = [
        ("calls_total", "counter", "Calls passed on, whatever their answer.", {"": traffic.calls}),
        ("calls_open", "gauge", "Calls under way.", {"": traffic.open}),
        ("upstream_failures_total", "counter", "Calls the upstream could not answer.", {"": traffic.failed}),
        ("clients_left_total", "counter", "Calls whose client left before the end.", {"": traffic.left}),
        ("captured_total", "counter", "Calls captured.", {"": counts.taken}),
        ("sent_total", "counter", "Captured calls that Custodes has.", {"": counts.sent}),
        ("queued", "gauge", "Captured calls that wait for Custodes.", {"": counts.queued}),
        ("oversized_total", "counter", "Calls captured without text over the limit.", {"": oversized}),
        ("lost_total", "counter", "Captured calls that were lost, by reason.", _by_reason(counts)),
    ]
    lines = []
    for name, kind, meaning, values in figures:
        full = f"custodes_proxy_{name}"
        lines += [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}"]
        lines += [f"{full}{labels} {value}" for labels, value in values.items()]
    return "\n".join(lines) + "\n"


def _by_reason(counts: Counts) -> dict[str, int]:
    reasons = {"queue_full", "refused", "unreachable", "failed", "closed", *counts.lost}
    return {f'{{reason="{reason}"}}': counts.lost.get(reason, 0) for reason in sorted(reasons)}
