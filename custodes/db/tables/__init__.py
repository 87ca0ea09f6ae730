"""Every table, as SQLAlchemy Core objects on one MetaData. Only ``store`` modules use them."""

from custodes.db.tables.access import api_key, lease, project
from custodes.db.tables.audit import audit_checkpoint, audit_head, audit_intake, audit_leaf, audit_tile
from custodes.db.tables.base import METADATA
from custodes.db.tables.content import content_key, content_master
from custodes.db.tables.feedback import feedback
from custodes.db.tables.governance import (
    decision,
    delivery_attempt,
    endpoint,
    incident,
    incident_event,
    outbox,
    policy_state,
    policy_version,
)
from custodes.db.tables.prices import price
from custodes.db.tables.scores import detector, embedding, rollup_minute, score, segment
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
    "api_key",
    "audit_checkpoint",
    "audit_head",
    "audit_intake",
    "audit_leaf",
    "audit_tile",
    "content_block",
    "content_key",
    "content_master",
    "decision",
    "delivery_attempt",
    "detector",
    "embedding",
    "endpoint",
    "exchange",
    "feedback",
    "genai_event",
    "incident",
    "incident_event",
    "ingest_batch",
    "lease",
    "ledger_minute",
    "metric_point",
    "metric_series",
    "outbox",
    "policy_state",
    "policy_version",
    "price",
    "project",
    "rollup_minute",
    "score",
    "segment",
    "span",
    "trace",
]
