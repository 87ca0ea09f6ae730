"""Scoring and statistics for prompt/response exchanges. Knows no database and no HTTP."""

from __future__ import annotations
