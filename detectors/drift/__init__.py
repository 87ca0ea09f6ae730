"""Drift of embeddings and of numbers, with a false-alarm rate that holds however often one looks."""

from detectors.drift.embeddings import Alarm, EmbeddingMonitor
from detectors.drift.explanation import Explanation, explain
from detectors.drift.reference import Reference, build_reference, reference_from_bytes
from detectors.drift.scalar import ScalarAlarm, ScalarMonitor

__all__ = [
    "Alarm",
    "EmbeddingMonitor",
    "Explanation",
    "Reference",
    "ScalarAlarm",
    "ScalarMonitor",
    "build_reference",
    "explain",
    "reference_from_bytes",
]
