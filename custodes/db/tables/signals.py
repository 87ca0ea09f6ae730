"""What arrives beside traces: GenAI events of the logs signal, and points of the metrics signal."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from custodes.db.tables.base import METADATA, row_number, time_ns

genai_event = Table(
    "genai_event",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=False),
    Column("project_id", String(64), nullable=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    Column("span_id", LargeBinary(8), nullable=False),
    # Of name, time and content: the same record sent again has the same one.
    Column("digest", LargeBinary(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("service", String(256), nullable=False),
    time_ns("time_ns"),
    time_ns("received_ns"),
    # Which sides of an exchange it has readable messages for: 1 input, 2 output.
    Column("sides", Integer, nullable=False),
    # Whether its span was looked for after this row was committed.
    Column("joined", Boolean, nullable=False),
    # As in content_block.
    Column("codec", Integer, nullable=False),
    Column("key_id", LargeBinary(16)),
    # A JSON object: input_messages, output_messages, finish_reasons, attributes, choice, dropped_attributes.
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("project_id", "trace_id", "span_id", "digest"),
)

metric_series = Table(
    "metric_series",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=False),
    Column("project_id", String(64), nullable=False),
    # Of everything that tells series apart: service, name, unit, kind, temporality, monotonic, attributes.
    Column("digest", LargeBinary(16), nullable=False),
    Column("service", String(256), nullable=False),
    Column("name", String(256), nullable=False),
    Column("unit", String(64), nullable=False),
    # gauge | sum | histogram | exponential_histogram | summary
    Column("kind", String(24), nullable=False),
    # delta | cumulative, empty for gauges
    Column("temporality", String(12), nullable=False),
    Column("monotonic", Boolean, nullable=False),
    # A JSON object of attribute values.
    Column("attributes", Text, nullable=False),
    # The latest time of its points.
    time_ns("last_ns"),
    UniqueConstraint("project_id", "digest"),
    Index("ix_metric_series_project_id_name", "project_id", "name"),
)

metric_point = Table(
    "metric_point",
    METADATA,
    Column("series_id", row_number(), primary_key=True, autoincrement=False),
    Column("time_ns", BigInteger, primary_key=True, autoincrement=False),
    # Which process measured it: processes of one service share series, but each counts for itself.
    Column("stream", BigInteger, primary_key=True, autoincrement=False),
    # 0 when the client did not say since when it counts.
    time_ns("start_ns"),
    Column("count", BigInteger),
    # The sum of a histogram or summary; the value of a gauge or sum.
    Column("total", Float),
    Column("minimum", Float),
    Column("maximum", Float),
    # JSON: explicit or exponential buckets, or the quantiles of a summary.
    Column("detail", LargeBinary),
)
