"""What the detectors said: detectors, scores, embeddings, segments and minute roll-ups."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from custodes.db.tables.base import METADATA, row_number, time_ns

detector = Table(
    "detector",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=True),
    Column("name", String(128), nullable=False),
    Column("version", String(32), nullable=False),
    Column("digest", String(80), nullable=False),
    time_ns("first_seen_ns"),
    UniqueConstraint("name", "version", "digest"),
)

score = Table(
    "score",
    METADATA,
    Column("span_id", row_number(), primary_key=True, autoincrement=False),
    Column("metric", String(32), primary_key=True),
    Column("value", Float),
    # assessed | not_assessed; then value is NULL and reason says why.
    Column("state", String(16), nullable=False),
    Column("reason", String(64)),
    Column("detector_id", row_number(), nullable=False),
    # A JSON object with "labels" (name → value) and "spans" (start, end, value).
    Column("evidence", LargeBinary),
    time_ns("scored_ns"),
    Index("ix_score_metric_value", "metric", "value"),
)

embedding = Table(
    "embedding",
    METADATA,
    Column("span_id", row_number(), primary_key=True, autoincrement=False),
    Column("field", String(16), primary_key=True),
    Column("detector_id", row_number(), nullable=False),
    Column("dim", Integer, nullable=False),
    # ``dim`` little-endian float16.
    Column("vector", LargeBinary, nullable=False),
)

segment = Table(
    "segment",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=True),
    Column("project_id", String(64), nullable=False),
    Column("service", String(256), nullable=False),
    Column("environment", String(128), nullable=False),
    Column("deployment", String(256), nullable=False),
    Column("model", String(256), nullable=False),
    UniqueConstraint("project_id", "service", "environment", "deployment", "model"),
)

rollup_minute = Table(
    "rollup_minute",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("minute", BigInteger, primary_key=True),
    Column("segment_id", row_number(), primary_key=True, autoincrement=False),
    Column("metric", String(32), primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("not_assessed", BigInteger, nullable=False),
    Column("total", Float, nullable=False),
    Column("total_sq", Float, nullable=False),
    Column("minimum", Float),
    Column("maximum", Float),
    # 128 little-endian uint32 counts, see custodes.kernel.histogram.
    Column("hist", LargeBinary, nullable=False),
    Index("ix_rollup_minute_project_id_metric_minute", "project_id", "metric", "minute"),
)

rollup_version = Table(
    "rollup_version",
    METADATA,
    # What a row of ``rollup_minute`` said up to and including the evaluation of ``until_minute``, when it was
    # changed after policies had already been evaluated on it. The columns mean what they mean there.
    Column("project_id", String(64), primary_key=True),
    Column("minute", BigInteger, primary_key=True),
    Column("segment_id", row_number(), primary_key=True, autoincrement=False),
    Column("metric", String(32), primary_key=True),
    Column("until_minute", BigInteger, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("not_assessed", BigInteger, nullable=False),
    Column("total", Float, nullable=False),
    Column("maximum", Float),
    Column("hist", LargeBinary, nullable=False),
    Index("ix_rollup_version_project_id_metric_until_minute", "project_id", "metric", "until_minute"),
)
