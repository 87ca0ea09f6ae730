"""What roll-ups said when policies were evaluated on them, though they have changed since.

A score may arrive, or be computed anew, after its minute was evaluated. A back-test that read the roll-ups of today
would then know more than the live engine did. So before such a row changes, its former values are kept once for each
evaluation that saw them. A row *as of* minute T is its earliest version with ``until_minute >= T``, or, without
one, the row as it stands now. Live evaluation and back-tests both read rows as of the minute they evaluate, so
they cannot differ, whatever arrives between the tick and its read.

The order of the two kinds of transaction is fixed by a lock: scoring holds it shared and reads the clock under it, a
tick holds it alone while it moves the clock. What scoring commits after that is therefore versioned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from custodes.db.database import ReadTx, WriteTx
from custodes.db.tables import policy_clock, rollup_version
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.histogram import Histogram

_LOCK = 0x6375_7374_6F64_6573  # "custodes"; any number that no other advisory lock uses.
_NOTHING = Histogram.empty().to_bytes()


@dataclass(frozen=True, slots=True)
class PolicyClock:
    """The first and last minute that policies were evaluated at, and their longest window in minutes."""

    first_minute: int
    minute: int
    reach: int


def read_policy_clock(tx: ReadTx) -> PolicyClock | None:
    """Return how far policies have been evaluated; ``None`` before the first time."""
    row = tx.execute(select(policy_clock)).first()
    return None if row is None else PolicyClock(row.first_minute, row.minute, row.reach)


def enter_scoring(tx: WriteTx, now_ns: int) -> int:
    """Order this unit of work against ticks and return its time, which is not before the last tick.

    Call it first in every unit of work that changes roll-ups.
    """
    if tx.dialect == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock_shared(_LOCK)))
    clock = read_policy_clock(tx)
    return now_ns if clock is None else max(now_ns, clock.minute * MINUTE_NS)


def advance_policy_clock(tx: WriteTx, minute: int, reach: int) -> None:
    """Announce that policies are about to be evaluated at ``minute``; the clock never goes back.

    ``reach`` is the longest window, in minutes, of the policies that are evaluated.
    """
    if tx.dialect == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    known = read_policy_clock(tx)
    if known is None:
        tx.execute(policy_clock.insert().values(id=1, first_minute=minute, minute=minute, reach=reach))
    elif minute > known.minute or reach > known.reach:
        changes = {"minute": max(minute, known.minute), "reach": max(reach, known.reach)}
        tx.execute(policy_clock.update().values(changes))


def keep_versions(tx: WriteTx, rows: Mapping[tuple[str, int, int, str], Any]) -> None:
    """Keep what rows say that are about to change, where policies have been evaluated on them.

    ``rows`` maps (project, minute, segment, metric) to the stored row, ``None`` for one that does not exist yet.
    """
    clock = read_policy_clock(tx) if rows else None
    if clock is None:
        return
    kept = []
    for (project, minute, segment_id, metric), row in sorted(rows.items(), key=lambda pair: pair[0]):
        was_evaluated = minute < clock.minute and minute + clock.reach >= clock.first_minute
        if was_evaluated:
            kept.append(
                {
                    "project_id": project,
                    "minute": minute,
                    "segment_id": segment_id,
                    "metric": metric,
                    "until_minute": clock.minute,
                    "n": 0 if row is None else row.n,
                    "not_assessed": 0 if row is None else row.not_assessed,
                    "total": 0.0 if row is None else row.total,
                    "maximum": None if row is None else row.maximum,
                    "hist": _NOTHING if row is None else row.hist,
                }
            )
    tx.execute_many(tx.insert(rollup_version).on_conflict_do_nothing(), kept)
