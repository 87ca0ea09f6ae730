"""How the latest exchanges are dated, by when they arrived."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select, tuple_

from collector.rest.queries.ledger import ServiceKey
from custodes.db import ReadTx
from custodes.db.tables import exchange
from custodes.kernel.clock import DAY_NS

MAX_ARRIVALS = 20_000
"""Most exchanges looked at, the latest to arrive of all projects."""


def count_dated_back(tx: ReadTx, named: Collection[ServiceKey], since_ns: int) -> dict[ServiceKey, int]:
    """Return how many exchanges of these services arrived since then and are dated over a day before their arrival.

    Services without any are left out.
    """
    if not named:
        return {}
    columns = (exchange.c.project_id, exchange.c.service, exchange.c.at_ns, exchange.c.received_ns)
    # Row numbers rise with arrival.
    latest = select(*columns).order_by(exchange.c.span_id.desc()).limit(MAX_ARRIVALS).subquery().c
    place = (latest.project_id, latest.service)
    statement = (
        select(*place, func.count().label("number"))
        .where(
            latest.received_ns >= since_ns,
            latest.at_ns < latest.received_ns - DAY_NS,
            tuple_(*place).in_(sorted(named)),
        )
        .group_by(*place)
    )
    return {(row.project_id, row.service): int(row.number) for row in tx.execute(statement)}
