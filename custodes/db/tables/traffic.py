"""What arrived: ingest batches, traces, spans with their content, exchanges, and the loss ledger."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
)

from custodes.db.tables.base import METADATA, row_number, time_ns

ingest_batch = Table(
    "ingest_batch",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    time_ns("received_ns"),
    Column("spans", Integer, nullable=False),
    Column("exchanges", Integer, nullable=False),
    # ready → leased (lease_until_ns in the future) → done | failed
    Column("state", String(8), nullable=False, server_default="ready"),
    Column("lease_owner", String(64)),
    time_ns("lease_until_ns", nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    time_ns("done_ns", nullable=True),
    Column("error", Text),
    Index("ix_ingest_batch_state_id", "state", "id"),
)

trace = Table(
    "trace",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=False),
    Column("project_id", String(64), nullable=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    time_ns("start_ns"),
    time_ns("end_ns"),
    Column("name", String(256), nullable=False, server_default=""),
    Column("service", String(256), nullable=False, server_default=""),
    Column("environment", String(128), nullable=False, server_default=""),
    Column("deployment", String(256), nullable=False, server_default=""),
    Column("model", String(256), nullable=False, server_default=""),
    Column("session_id", String(256)),
    Column("user_id", String(256)),
    Column("spans", Integer, nullable=False),
    Column("exchanges", Integer, nullable=False),
    # Whether its root span has arrived and named it.
    Column("rooted", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("project_id", "trace_id"),
    Index("ix_trace_project_id_start_ns", "project_id", "start_ns"),
    Index("ix_trace_project_id_service_start_ns", "project_id", "service", "start_ns"),
)

span = Table(
    "span",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=False),
    Column("project_id", String(64), nullable=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    Column("span_id", LargeBinary(8), nullable=False),
    Column("parent_span_id", LargeBinary(8)),
    Column("name", String(256), nullable=False),
    Column("kind", Integer, nullable=False),
    Column("operation", String(64), nullable=False),
    time_ns("start_ns"),
    time_ns("end_ns"),
    Column("status", Integer, nullable=False),
    Column("service", String(256), nullable=False),
    Column("environment", String(128), nullable=False),
    Column("deployment", String(256), nullable=False),
    Column("provider", String(128), nullable=False),
    Column("model", String(256), nullable=False),
    Column("session_id", String(256)),
    Column("user_id", String(256)),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cost_usd", Float),
    Column("ttft_ms", Float),
    Column("finish_reasons", Text),
    Column("dialect", String(32), nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("dropped_attributes", Integer, nullable=False),
    # How much the stored copy knows; a later copy with a higher figure replaces it.
    Column("completeness", Integer, nullable=False),
    # The ``content_block`` that holds its text; NULL in rows of earlier releases: there it has the number of the span.
    Column("content_id", row_number()),
    UniqueConstraint("project_id", "trace_id", "span_id"),
)

content_block = Table(
    "content_block",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=False),
    # How ``body`` is compressed: 0 JSON, 1 zlib, 2 zstd, 3 zstd with the dictionary of version 1; 8 more for a block
    # of several spans.
    Column("codec", Integer, nullable=False),
    # The ``content_key`` that ``body`` is encrypted with; NULL where it isn't.
    Column("key_id", LargeBinary(16)),
    # A JSON object: input_messages, output_messages, retrieved_documents, attributes, status_message; in a block one
    # such object for each span, by its id in hex.
    Column("body", LargeBinary, nullable=False),
)

CONTENT_OF_SPAN = func.coalesce(span.c.content_id, span.c.id)
"""The number of the block that holds the content of a span."""

exchange = Table(
    "exchange",
    METADATA,
    # The row number of its span: an exchange is one leaf inference call.
    Column("span_id", row_number(), primary_key=True, autoincrement=False),
    Column("project_id", String(64), nullable=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    # The batch whose lease scores it; moves to a later batch when the span or its context is completed.
    Column("batch_id", row_number(), nullable=False, index=True),
    Column("segment_id", row_number(), nullable=False),
    # When it happened for roll-ups: the span's end, but never later than its arrival.
    time_ns("at_ns"),
    # When it first arrived and as whose: the minute and service of the loss ledger that count it.
    time_ns("received_ns"),
    Column("service", String(256), nullable=False),
    time_ns("scored_ns", nullable=True),
    # Another span, richer in text, tells the same call: this one is taken back by the next scoring.
    Column("repeated", Boolean, nullable=False, server_default=false()),
    # A JSON object: trait → {"labels": {label: weight}, "reason": … where there are none}. NULL until it was scored.
    Column("traits", LargeBinary),
    # Where its contribution to the roll-ups sits now; NULL until it was first scored.
    Column("rolled_segment_id", row_number()),
    Column("rolled_minute", BigInteger),
    Index("ix_exchange_trace_id", "trace_id"),
    Index("ix_exchange_rolled_segment_id_rolled_minute", "rolled_segment_id", "rolled_minute"),
)

ledger_minute = Table(
    "ledger_minute",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("minute", BigInteger, primary_key=True),
    Column("service", String(256), primary_key=True),
    # received | stored | duplicates | rejected | exchanges | assessed | not_assessed
    Column("kind", String(16), primary_key=True),
    Column("reason", String(64), primary_key=True),
    Column("n", BigInteger, nullable=False),
)
