"""``ingest.degraded``: spans are refused, or exchanges wait too long to be scored.

Policies judge what was scored. What never arrives in a usable form, or is not judged yet, they cannot see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from custodes.db import Database, WriteTx
from custodes.db.leases import acquire_lease, check_lease
from custodes.kernel.clock import MINUTE_NS, SECOND_NS, Clock, ns_to_minute, ns_to_rfc3339
from custodes.kernel.settings import IngestSettings, Settings
from custodes.runtime.store_ingest_health import Intake, find_oldest_waiting, sum_intake
from policies.hooks.endpoint_store import list_endpoints
from policies.hooks.payload import console_link
from policies.hooks.store import OutboxMessage, has_message, insert_message

EVENT: Final = "ingest.degraded"
LEASE = "ingest-health"
CHECK_EVERY_S: Final = 60.0
WINDOW_MINUTES: Final = 5
"""Refusals are judged over so many minutes that have passed."""

FEWEST_SPANS: Final = 100
"""With fewer spans in the window, a share says little."""

_TTL_NS: Final = 120 * SECOND_NS
_TOLD_AGAIN_NS: Final = 60 * MINUTE_NS
_MOST_REASONS: Final = 10


@dataclass(frozen=True, slots=True)
class Trouble:
    """One way in which intake is degraded. ``figures`` are what shows it; ``page`` is where the console says more."""

    cause: str
    summary: str
    page: str
    figures: dict[str, Any]


class WatchIngest:
    """Tells a project's endpoints when its intake is degraded, once an hour for each cause as long as it lasts."""

    def __init__(self, database: Database, settings: Settings, clock: Clock, owner: str) -> None:
        self._database = database
        self._settings = settings.ingest
        self._console_url = settings.console_url
        self._clock = clock
        self._owner = owner

    def run(self) -> None:
        """Look once, or do nothing while another process leads."""
        now_ns = self._clock()
        with self._database.write() as tx:
            held = acquire_lease(tx, LEASE, self._owner, now_ns=now_ns, ttl_ns=_TTL_NS)
        if held is None:
            return
        minute = ns_to_minute(now_ns)
        with self._database.read() as tx:
            intake = sum_intake(tx, minute - WINDOW_MINUTES, minute)
            waiting = find_oldest_waiting(tx)
        troubles = [
            (project, trouble)
            for project in sorted({*intake, *waiting})
            for trouble in find_troubles(intake.get(project), waiting.get(project), self._settings, now_ns)
        ]
        if not troubles:
            return
        with self._database.write() as tx:
            check_lease(tx, held)
            for project, trouble in troubles:
                self._tell(tx, project, trouble, now_ns)

    def _tell(self, tx: WriteTx, project: str, trouble: Trouble, now_ns: int) -> None:
        body = degraded_body(project, trouble, self._console_url, now_ns)
        wanted = self._settings.degraded_endpoints
        for endpoint in list_endpoints(tx, project):
            if endpoint.state != "active" or (wanted and endpoint.id not in wanted):
                continue
            message_id = _message_id(project, endpoint.id, trouble.cause, now_ns)
            if not has_message(tx, message_id):
                insert_message(
                    tx, OutboxMessage(message_id, project, endpoint.id, EVENT, None, body, "pending", 0, now_ns, now_ns)
                )


def find_troubles(
    intake: Intake | None, oldest_ns: int | None, settings: IngestSettings, now_ns: int
) -> Iterator[Trouble]:
    """Yield what is wrong with a project's intake: what its last minutes brought, and what waits longest."""
    if intake is not None and settings.degraded_share and intake.received >= FEWEST_SPANS:
        share = intake.rejected_share
        if share >= settings.degraded_share:
            reasons = dict(intake.rejected.most_common(_MOST_REASONS))
            figures = {
                "received": intake.received,
                "rejected": intake.rejected.total(),
                "rejected_share": round(share, 4),
                "reasons": reasons,
            }
            summary = (
                f"{share:.0%} of {intake.received:,} spans of the last {WINDOW_MINUTES} minutes were refused: "
                f"{', '.join(f'{n:,} {reason}' for reason, n in reasons.items())}."
            )
            yield Trouble("rejected", summary, "/coverage", figures)
    lag_s = 0.0 if oldest_ns is None else max(0, now_ns - oldest_ns) / SECOND_NS
    if settings.degraded_lag_s and lag_s >= settings.degraded_lag_s:
        summary = f"Exchanges have waited {lag_s / 60:,.0f} minutes to be scored; policies see none of them until then."
        yield Trouble("lag", summary, "/overview", {"lag_s": round(lag_s, 1)})


def degraded_body(project: str, trouble: Trouble, console_url: str, now_ns: int) -> bytes:
    """Return ``{type, timestamp, data}`` as JSON, far below 20 kB; reasons are our own words."""
    data = {
        "project": project,
        "cause": trouble.cause,
        "severity": "high",
        "title": f"Intake of {project} is degraded",
        "summary": trouble.summary,
        **trouble.figures,
        "url": console_link(console_url, trouble.page),
    }
    return orjson.dumps({"type": EVENT, "timestamp": ns_to_rfc3339(now_ns), "data": data})


def _message_id(project: str, endpoint: str, cause: str, now_ns: int) -> str:
    """Return the same id for the same trouble within an hour, so that it is told once whoever leads."""
    named = f"{project}\0{endpoint}\0{cause}\0{now_ns // _TOLD_AGAIN_NS}".encode()
    return f"msg_degraded_{hashlib.blake2b(named, digest_size=16).hexdigest()}"
