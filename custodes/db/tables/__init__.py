"""Every table, as SQLAlchemy Core objects on one MetaData. Only ``store`` modules use them."""

from custodes.db.tables.access import api_key, idempotency, lease, project
from custodes.db.tables.actions import action, action_event, action_evidence, action_switch
from custodes.db.tables.audit import audit_checkpoint, audit_head, audit_intake, audit_leaf, audit_tile
from custodes.db.tables.base import METADATA
from custodes.db.tables.content import content_key, content_master
from custodes.db.tables.datasets import dataset, dataset_row, review
from custodes.db.tables.drift import (
    drift_chunk,
    drift_episode,
    drift_fit,
    drift_monitor,
    drift_place,
    drift_point,
    drift_reference,
    drift_report,
)
from custodes.db.tables.fairness import (
    fairness_alarm,
    fairness_gap,
    fairness_panel,
    fairness_probe_day,
    fairness_reading,
    fairness_topics,
)
from custodes.db.tables.feedback import feedback
from custodes.db.tables.governance import (
    approval,
    decision,
    exchange_match,
    policy_backtest,
    policy_clock,
    policy_state,
    policy_tally,
    policy_version,
)
from custodes.db.tables.hooks import delivery_attempt, endpoint, outbox
from custodes.db.tables.incidents import incident, incident_clock, incident_event, silence
from custodes.db.tables.prices import price
from custodes.db.tables.scores import detector, embedding, rollup_minute, rollup_version, score, segment
from custodes.db.tables.signals import genai_event, metric_point, metric_series
from custodes.db.tables.traffic import (
    CONTENT_OF_SPAN,
    content_block,
    exchange,
    ingest_batch,
    ledger_minute,
    span,
    trace,
)

__all__ = [
    "CONTENT_OF_SPAN",
    "METADATA",
    "action",
    "action_event",
    "action_evidence",
    "action_switch",
    "api_key",
    "approval",
    "audit_checkpoint",
    "audit_head",
    "audit_intake",
    "audit_leaf",
    "audit_tile",
    "content_block",
    "content_key",
    "content_master",
    "dataset",
    "dataset_row",
    "decision",
    "delivery_attempt",
    "detector",
    "drift_chunk",
    "drift_episode",
    "drift_fit",
    "drift_monitor",
    "drift_place",
    "drift_point",
    "drift_reference",
    "drift_report",
    "embedding",
    "endpoint",
    "exchange",
    "exchange_match",
    "fairness_alarm",
    "fairness_gap",
    "fairness_panel",
    "fairness_probe_day",
    "fairness_reading",
    "fairness_topics",
    "feedback",
    "genai_event",
    "idempotency",
    "incident",
    "incident_clock",
    "incident_event",
    "ingest_batch",
    "lease",
    "ledger_minute",
    "metric_point",
    "metric_series",
    "outbox",
    "policy_backtest",
    "policy_clock",
    "policy_state",
    "policy_tally",
    "policy_version",
    "price",
    "project",
    "review",
    "rollup_minute",
    "rollup_version",
    "score",
    "segment",
    "silence",
    "span",
    "trace",
]
