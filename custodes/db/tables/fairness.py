"""Fairness: the exact state of every monitor, what was read from it minute by minute, and its alarms.

Nothing here names a person or an exchange: state is sums by group.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, String, Table

from custodes.db.tables.base import METADATA, row_number, time_ns

fairness_panel = Table(
    "fairness_panel",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("segment_id", row_number(), primary_key=True, autoincrement=False),
    # What its groups are: "caller:<axis>", "prompt" or "probe". See custodes.runtime.fairness.
    Column("family", String(160), primary_key=True),
    # zlib of the JSON of detectors.fairness.panel.Panel.
    Column("body", LargeBinary, nullable=False),
    time_ns("began_ns"),
    time_ns("updated_ns"),
    time_ns("looked_ns", nullable=True),
    Index("ix_fairness_panel_updated_ns", "updated_ns"),
)

fairness_topics = Table(
    "fairness_topics",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("segment_id", row_number(), primary_key=True, autoincrement=False),
    # The JSON of detectors.fairness.topics.PromptTopics.
    Column("body", LargeBinary, nullable=False),
)

fairness_reading = Table(
    "fairness_reading",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("segment_id", row_number(), primary_key=True, autoincrement=False),
    Column("family", String(160), primary_key=True),
    Column("group_name", String(160), primary_key=True),
    Column("outcome", String(32), primary_key=True),
    # too_few_data | watching | within_tolerance | gap | withheld
    Column("state", String(20), nullable=False),
    # Intervals, strata, and why a claim is withheld, as JSON.
    Column("body", LargeBinary, nullable=False),
    time_ns("at_ns"),
)

fairness_gap = Table(
    "fairness_gap",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("segment_id", row_number(), primary_key=True, autoincrement=False),
    Column("family", String(160), primary_key=True),
    Column("group_name", String(160), primary_key=True),
    Column("outcome", String(32), primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("pairs", BigInteger, nullable=False),
    Column("gap", Float, nullable=False),
    # Ends of the confidence sequence for this gap alone, and for all gaps of the panel together.
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("family_low", Float, nullable=False),
    Column("family_high", Float, nullable=False),
    # The detector's own error could explain the gap, so policies must not act on it.
    Column("withheld", Boolean, nullable=False),
    Index("ix_fairness_gap_project_id_outcome_minute", "project_id", "outcome", "minute"),
)

fairness_alarm = Table(
    "fairness_alarm",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("segment_id", row_number(), nullable=False),
    Column("family", String(160), nullable=False),
    Column("group_name", String(160), nullable=False),
    Column("outcome", String(32), nullable=False),
    time_ns("at_ns"),
    time_ns("onset_ns", nullable=True),
    Column("incident_id", String(36)),
    # The reading that raised it, as JSON.
    Column("body", LargeBinary, nullable=False),
    # Set when somebody began the comparison anew.
    time_ns("ended_ns", nullable=True),
    Index("ix_fairness_alarm_project_id_at_ns", "project_id", "at_ns"),
)

fairness_probe_day = Table(
    "fairness_probe_day",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    # Days since 1970, UTC.
    Column("day", Integer, primary_key=True, autoincrement=False),
    # Made or set aside.
    Column("calls", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)
