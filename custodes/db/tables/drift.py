"""Drift: the monitors of every deployment with their exact state, references, alarms, and the course of the statistics.

States are sums. What names exchanges are numbers of rows, in ``drift_chunk`` (the newest) and of a reference's members.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from custodes.db.tables.base import METADATA, row_number, time_ns

drift_place = Table(
    "drift_place",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=True),
    Column("project_id", String(64), nullable=False),
    Column("service", String(256), nullable=False),
    Column("environment", String(128), nullable=False),
    Column("deployment", String(256), nullable=False),
    # Exchanges taken in so far: the next one gets this number.
    Column("seen", BigInteger, nullable=False),
    time_ns("updated_ns"),
    UniqueConstraint("project_id", "service", "environment", "deployment"),
)

drift_chunk = Table(
    "drift_chunk",
    METADATA,
    Column("place_id", row_number(), primary_key=True, autoincrement=False),
    # The exchanges first_number, first_number + 1, … of the place: their span rows as little-endian int64.
    Column("first_number", BigInteger, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("spans", LargeBinary, nullable=False),
    time_ns("at_ns"),
)

drift_reference = Table(
    "drift_reference",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("place_id", row_number(), nullable=False),
    Column("version", Integer, nullable=False),
    # proposed → active → superseded, or proposed → rejected
    Column("state", String(16), nullable=False),
    # What is usual, as JSON: {"kind": "first" | "period" | "pinned", …}
    Column("source", LargeBinary, nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("requested_by", String(128), nullable=False),
    time_ns("created_ns"),
    Column("decided_by", String(128)),
    time_ns("decided_ns", nullable=True),
    # Rises with every change; what If-Match compares.
    Column("revision", Integer, nullable=False, server_default="1"),
    UniqueConstraint("place_id", "version"),
    Index("ix_drift_reference_project_id_state", "project_id", "state"),
)

drift_fit = Table(
    "drift_fit",
    METADATA,
    Column("reference_id", String(36), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("maker", String(320), primary_key=True),
    # detectors.drift.reference.Reference as bytes, its digest, and how many exchanges it was made of.
    Column("body", LargeBinary, nullable=False),
    Column("digest", String(80), nullable=False),
    Column("rows", Integer, nullable=False),
    # Their span rows as little-endian int64.
    Column("spans", LargeBinary, nullable=False),
    time_ns("at_ns"),
)

drift_monitor = Table(
    "drift_monitor",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=True),
    Column("project_id", String(64), nullable=False),
    Column("place_id", row_number(), nullable=False),
    # prompt and response are their embeddings; everything else is a number of an exchange.
    Column("name", String(32), nullable=False),
    # Who made the values: an encoder with its dimension, a detector, or nobody. Those of two makers never mix.
    Column("maker", String(320), nullable=False),
    Column("reference_id", String(36), nullable=False),
    # learning | watching | damaged
    Column("state", String(12), nullable=False),
    # The number of the place's exchange that is this monitor's first.
    Column("first_number", BigInteger, nullable=False),
    # Usable values that the reference has so far, and those taken in altogether.
    Column("learned", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    # The statistic now, and the line at which an alarm is raised.
    Column("statistic", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    # What detectors.drift's monitors give as bytes; NULL before the first watched exchange.
    Column("body", LargeBinary),
    # A random mark of this body, by which a worker knows whether it still holds it in memory.
    Column("mark", LargeBinary(16), nullable=False),
    time_ns("began_ns"),
    time_ns("updated_ns"),
    UniqueConstraint("place_id", "name", "maker"),
    Index("ix_drift_monitor_project_id", "project_id"),
)

drift_point = Table(
    "drift_point",
    METADATA,
    Column("monitor_id", row_number(), primary_key=True, autoincrement=False),
    # That of the scoring transaction.
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("project_id", String(64), nullable=False),
    Column("seen", BigInteger, nullable=False),
    # The largest in this minute, and the line at which an alarm is raised.
    Column("statistic", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("alarms", Integer, nullable=False),
    Index("ix_drift_point_project_id_minute", "project_id", "minute"),
)

drift_episode = Table(
    "drift_episode",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("place_id", row_number(), nullable=False),
    Column("monitor_id", row_number(), nullable=False),
    Column("reference_id", String(36), nullable=False),
    # Numbers of the place's exchanges.
    Column("at_number", BigInteger, nullable=False),
    Column("onset_number", BigInteger, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    time_ns("at_ns"),
    time_ns("last_ns"),
    Column("repeats", Integer, nullable=False),
    Column("statistic", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    # Which bets found it, or for a number whether it went up or down.
    Column("view", String(16), nullable=False),
    # The explanation as JSON, when it was told, and the incident; NULL until then.
    Column("body", LargeBinary),
    time_ns("onset_ns", nullable=True),
    time_ns("told_ns", nullable=True),
    Column("incident_id", String(36)),
    time_ns("ended_ns", nullable=True),
    # over | expected
    Column("ended_as", String(12)),
    Index("ix_drift_episode_project_id_at_ns", "project_id", "at_ns"),
    Index("ix_drift_episode_monitor_id_ended_ns", "monitor_id", "ended_ns"),
)

drift_report = Table(
    "drift_report",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("monitor_id", row_number(), nullable=False),
    # The episode it was asked for; NULL for one that was made on schedule.
    Column("episode_id", String(36)),
    # requested | ready | failed
    Column("state", String(12), nullable=False),
    Column("requested_by", String(128), nullable=False),
    time_ns("created_ns"),
    time_ns("ready_ns", nullable=True),
    Column("rows_before", Integer),
    Column("rows_since", Integer),
    # zlib of what Evidently made.
    Column("html", LargeBinary),
    Column("body", LargeBinary),
    Column("error", String(500)),
    CheckConstraint("state <> 'ready' OR html IS NOT NULL", name="ready"),
    Index("ix_drift_report_project_id_created_ns", "project_id", "created_ns"),
    Index("ix_drift_report_state", "state"),
)
