"""The detectors that have scored traffic."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from custodes.db import ReadTx
from custodes.db.tables import detector
from custodes.kernel.clock import ns_to_rfc3339


def list_detectors(tx: ReadTx) -> list[dict[str, Any]]:
    """Return every detector, the latest seen first; detectors belong to the server, not to a project."""
    statement = select(detector).order_by(detector.c.first_seen_ns.desc(), detector.c.id.desc())
    return [
        {
            "name": row.name,
            "version": row.version,
            "digest": row.digest,
            "first_seen": ns_to_rfc3339(row.first_seen_ns),
        }
        for row in tx.execute(statement)
    ]
