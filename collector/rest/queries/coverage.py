"""How much of what could be judged arrives: text, token usage, cost, attributes, times; per service.

Looks at the newest traces of each service and the newest log events of the range only, so the cost has a bound
whatever the traffic, and a busy service hides no quiet one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, Subquery, and_, case, cast, exists, func, or_, select

from collector.coverage import ServiceCoverage
from collector.dialects.span import PROMPT_BIT, RESPONSE_BIT, UNREADABLE_BIT
from collector.price_files import load_default_prices
from collector.prices import PriceBook
from collector.store_prices import list_prices
from custodes.db import ReadTx
from custodes.db.tables import exchange, genai_event, ingest_batch, score, span, trace
from custodes.kernel.clock import DAY_NS, MINUTE_NS

MAX_TRACES = 10_000
"""Most traces looked at in all, shared out evenly between the services that begin them."""

MAX_SERVICE_TRACES = 2_000
"""Most traces looked at that one service begins, the newest of the range."""

MAX_SERVICES = 200
"""Most services whose traces are looked at, by name. Senders choose the names, so their number needs a bound."""

MAX_EVENTS = 5_000
"""Most log events looked at, the newest of the range."""

MAX_LAGS = 5_000
"""Most exchanges whose delay is looked at, among the traces that one service begins."""

FUTURE_NS = DAY_NS
"""How far beyond the present traces are looked at: a clock that is ahead dates its traces there."""

PATIENCE_NS = MINUTE_NS
"""How long the span of a log event may take to arrive before it counts as missing."""

# What ``genai_event.sides`` says an event has messages for.
_INPUT_SIDE = 1
_OUTPUT_SIDE = 2

# Why text that arrived cannot be read any more; see collector.exchanges.
_LOST_TEXT = ("erased", "content_unreadable")


def load_coverage(tx: ReadTx, project: str, from_ns: int, to_ns: int, now_ns: int) -> list[ServiceCoverage]:
    """Return one entry per service with exchanges in the range, or messages without their span, by name.

    A range that ends at ``now_ns`` goes on for :data:`FUTURE_NS`.
    """
    services: dict[str, ServiceCoverage] = {}
    book = PriceBook(list_prices(tx, project), load_default_prices(), now_ns)
    end_ns = to_ns + FUTURE_NS if to_ns == now_ns else to_ns
    roots = list(tx.execute(_services(project, from_ns, end_ns)).scalars())
    most = min(MAX_SERVICE_TRACES, MAX_TRACES // max(len(roots), 1))
    for root in roots:
        in_range = _traces(project, root, from_ns, end_ns)
        newest = in_range.limit(most).subquery()
        more = tx.execute(in_range.offset(most).limit(1)).first() is not None
        for row in tx.execute(_counts(project, newest)):
            found = services.setdefault(row.service, ServiceCoverage(row.service))
            _add(found, row, book)
            if more:
                found.newest_traces = most
        for row in tx.execute(_lags(project, newest)):
            services.setdefault(row.service, ServiceCoverage(row.service)).lags_ns.append(int(row.lag_ns))
    for row in tx.execute(_orphans(project, from_ns, min(to_ns, now_ns - PATIENCE_NS))):
        services.setdefault(row.service, ServiceCoverage(row.service)).orphans += int(row.number)
    return [services[name] for name in sorted(services)]


def _add(found: ServiceCoverage, row: Any, book: PriceBook) -> None:
    number, with_text = int(row.exchanges), int(row.with_text)
    found.dialects[row.dialect] += number
    found.exchanges += number
    found.with_text += with_text
    found.text_from_logs += with_text - int(row.text_on_span)
    found.dropped += int(row.dropped)
    found.unreadable += int(row.unreadable)
    found.incomplete += int(row.incomplete)
    found.missing_usage += int(row.missing_usage)
    found.missing_cost += int(row.missing_cost)
    if row.silent:
        found.silent[row.dialect] += int(row.silent)
    # A price alters no call that is stored, so one that is known by now leaves nothing to change.
    if row.missing_cost and book.find(row.provider, row.model) is None:
        found.unpriced[row.model] += int(row.missing_cost)


def _services(project: str, from_ns: int, to_ns: int) -> Select[Any]:
    """Return the query of the services with traces in the range, by name.

    Steps from name to name along the index: DISTINCT would read every trace there is.
    """
    names = select(func.min(trace.c.service).label("service")).where(trace.c.project_id == project).cte(recursive=True)
    after = (
        select(func.min(trace.c.service))
        .where(trace.c.project_id == project, trace.c.service > names.c.service)
        .correlate(names)
        .scalar_subquery()
    )
    names = names.union_all(select(after).select_from(names).where(names.c.service.is_not(None)))
    in_range = exists(
        select(trace.c.id).where(
            trace.c.project_id == project,
            trace.c.service == names.c.service,
            trace.c.start_ns >= from_ns,
            trace.c.start_ns < to_ns,
        )
    )
    return select(names.c.service).where(names.c.service.is_not(None), in_range).order_by("service").limit(MAX_SERVICES)


def _traces(project: str, service: str, from_ns: int, to_ns: int) -> Select[Any]:
    """Return the query of the traces that a service begins, newest first."""
    columns = trace.c
    return (
        select(columns.trace_id)
        .where(
            columns.project_id == project,
            columns.service == service,
            columns.start_ns >= from_ns,
            columns.start_ns < to_ns,
        )
        .order_by(columns.start_ns.desc())
    )


def _counts(project: str, newest: Subquery) -> Select[Any]:
    on_span = and_(_has(PROMPT_BIT), _has(RESPONSE_BIT))
    anywhere = and_(
        or_(_has(PROMPT_BIT), _logged(_INPUT_SIDE)),
        or_(_has(RESPONSE_BIT), _logged(_OUTPUT_SIDE)),
    )
    arrived, lost = or_(on_span, anywhere), _text_lost()
    return (
        select(
            span.c.service,
            span.c.dialect,
            span.c.provider,
            span.c.model,
            func.count().label("exchanges"),
            _count(and_(on_span, ~lost)).label("text_on_span"),
            _count(and_(arrived, ~lost)).label("with_text"),
            _count(and_(~arrived, ~lost)).label("silent"),
            cast(func.sum(span.c.dropped_attributes), Integer).label("dropped"),
            _count(_has(UNREADABLE_BIT)).label("unreadable"),
            _count(span.c.complete.is_(False)).label("incomplete"),
            _count(and_(span.c.input_tokens.is_(None), span.c.output_tokens.is_(None))).label("missing_usage"),
            _count(span.c.cost_usd.is_(None)).label("missing_cost"),
        )
        .select_from(_exchanges(project, newest))
        .group_by(span.c.service, span.c.dialect, span.c.provider, span.c.model)
    )


def _lags(project: str, newest: Subquery) -> Select[Any]:
    """Return the query of delays. The batch says when the copy with the end came; the exchange, when the first did."""
    return (
        select(span.c.service, (ingest_batch.c.received_ns - span.c.end_ns).label("lag_ns"))
        .select_from(_exchanges(project, newest).join(ingest_batch, ingest_batch.c.id == exchange.c.batch_id))
        .where(span.c.complete.is_(True))
        .order_by(span.c.id.desc())
        .limit(MAX_LAGS)
    )


def _orphans(project: str, from_ns: int, to_ns: int) -> Select[Any]:
    newest = (
        select(genai_event.c.service, genai_event.c.trace_id, genai_event.c.span_id)
        .where(
            genai_event.c.project_id == project,
            genai_event.c.received_ns >= from_ns,
            genai_event.c.received_ns < to_ns,
            genai_event.c.sides != 0,
        )
        .order_by(genai_event.c.id.desc())
        .limit(MAX_EVENTS)
        .subquery()
    )
    here = and_(span.c.project_id == project, span.c.trace_id == newest.c.trace_id, span.c.span_id == newest.c.span_id)
    return (
        select(newest.c.service, func.count().label("number"))
        .where(~exists(select(span.c.id).where(here)))
        .group_by(newest.c.service)
    )


def _exchanges(project: str, newest: Subquery) -> Any:
    return newest.join(exchange, and_(exchange.c.trace_id == newest.c.trace_id, exchange.c.project_id == project)).join(
        span, span.c.id == exchange.c.span_id
    )


def _has(bit: int) -> ColumnElement[bool]:
    return span.c.completeness.bitwise_and(bit) != 0


def _text_lost() -> ColumnElement[bool]:
    """Whether scoring found the key of the text destroyed, or the text damaged."""
    return exists(select(score.c.span_id).where(score.c.span_id == span.c.id, score.c.reason.in_(_LOST_TEXT)))


def _logged(side: int) -> ColumnElement[bool]:
    """Whether a log event has messages for this side of the span's exchange."""
    return exists(
        select(genai_event.c.id).where(
            genai_event.c.project_id == span.c.project_id,
            genai_event.c.trace_id == span.c.trace_id,
            genai_event.c.span_id == span.c.span_id,
            genai_event.c.sides.bitwise_and(side) != 0,
        )
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return cast(func.sum(case((condition, 1), else_=0)), Integer)
