"""What the server answers, as frozen dataclasses."""

from custodes_sdk.models.audit import AuditEntry, AuditStatus, AuditVerification, InclusionProof
from custodes_sdk.models.identity import Health, Key, Me, Project, RotatedKey
from custodes_sdk.models.incidents import (
    Decision,
    Delivery,
    DeliveryAttempt,
    Incident,
    IncidentDetail,
    PolicySource,
    TimelineEntry,
)
from custodes_sdk.models.metrics import Metric, MetricFigures, MetricGroup, MetricPoint, MetricSeries
from custodes_sdk.models.operations import Coverage, Detector, Endpoint, Ledger, LedgerMinute, Price
from custodes_sdk.models.overview import (
    Event,
    MetricSummary,
    Overview,
    Point,
    Series,
    ServiceStatus,
    SparkPoint,
    Timeseries,
    Totals,
)
from custodes_sdk.models.paging import Page
from custodes_sdk.models.policies import Policy, PolicyDetail, PolicyDraft, PolicyGroup, PolicyVersion
from custodes_sdk.models.scores import AuditReceipt, DetectorRef, EvidenceSpan, Exchange, RevealedExchange, Score
from custodes_sdk.models.traces import Feedback, Message, Span, Trace, TraceRow

__all__ = [
    "AuditEntry",
    "AuditReceipt",
    "AuditStatus",
    "AuditVerification",
    "Coverage",
    "Decision",
    "Delivery",
    "DeliveryAttempt",
    "Detector",
    "DetectorRef",
    "Endpoint",
    "Event",
    "EvidenceSpan",
    "Exchange",
    "Feedback",
    "Health",
    "Incident",
    "IncidentDetail",
    "InclusionProof",
    "Key",
    "Ledger",
    "LedgerMinute",
    "Me",
    "Message",
    "Metric",
    "MetricFigures",
    "MetricGroup",
    "MetricPoint",
    "MetricSeries",
    "MetricSummary",
    "Overview",
    "Page",
    "Point",
    "Policy",
    "PolicyDetail",
    "PolicyDraft",
    "PolicyGroup",
    "PolicySource",
    "PolicyVersion",
    "Price",
    "Project",
    "RevealedExchange",
    "RotatedKey",
    "Score",
    "Series",
    "ServiceStatus",
    "Span",
    "SparkPoint",
    "TimelineEntry",
    "Timeseries",
    "Totals",
    "Trace",
    "TraceRow",
]
