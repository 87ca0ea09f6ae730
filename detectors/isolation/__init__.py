"""Scoring in a process of its own, so that a detector that hangs or dies costs one text and not the server."""

from detectors.isolation.messages import Loader
from detectors.isolation.profile import IsolatedProfile

__all__ = ["IsolatedProfile", "Loader"]
