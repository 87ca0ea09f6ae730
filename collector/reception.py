"""The way of a request from a listener to its answer, the same for HTTP and gRPC.

A listener authenticates, asks :class:`~collector.limits.IngestLimits` for room and receives the body; everything after
that, and what each error means to an exporter, is decided here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from traceback import clear_frames
from typing import TypeVar, TypeVarTuple, Unpack

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException

from collector.auth import Principal
from collector.limits import Reservation
from collector.otlp.body import Encoding, is_compressed, read_body
from collector.otlp.responses import Signal
from collector.otlp.spans import Rejection
from collector.otlp.weight import COUNTED_BYTES, estimate_parsed_bytes
from collector.rest.problems import RETRY_AFTER_S, error_to_kind
from collector.services import Services
from custodes.kernel.errors import CustodesError, OverloadedError, TooLargeError
from custodes.kernel.ids import new_uuid7
from custodes.kernel.logs import fields, get_logger

_THREADS = 8
_log = get_logger("otlp")

T = TypeVar("T")
A = TypeVarTuple("A")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: an HTTP status, a message and, for 503, the whole seconds to wait, at most 5."""

    status: int
    message: str
    retry_after_s: int | None = None


class Reception:
    """Takes bodies in and returns when what they hold is committed."""

    def __init__(self, services: Services) -> None:
        self._intake = services.intake
        self._signals = services.signals
        self._limits = services.limits
        self._settings = services.settings.ingest
        # Threads of its own: where a flood of bodies waits for its turn, the API must still find threads.
        self._threads = CapacityLimiter(_THREADS)

    async def take(
        self,
        signal: Signal,
        caller: Principal,
        reservation: Reservation,
        body: bytes,
        encoding: Encoding,
        content_encoding: str | None,
    ) -> Counter[Rejection]:
        """Return which records were refused, after all others are committed.

        ``reservation`` holds the bytes of ``body`` already. Raises what ``read_body`` and the intake of the signal
        raise, and ``TooLargeError`` when parsing would take more memory than one request may.
        """
        plain = body
        if is_compressed(content_encoding):
            plain = await self._work(read_body, body, content_encoding, self._settings, reservation.grow)
            reservation.shrink(len(body))
        else:
            plain = read_body(body, content_encoding, self._settings)
        del body
        weight = await self._weigh(plain, encoding)
        async with self._limits.parsing.hold(weight):
            if signal is Signal.LOGS:
                return (await self._work(self._signals.ingest_logs, caller.project, plain, encoding)).rejected
            if signal is Signal.METRICS:
                return (await self._work(self._signals.ingest_metrics, caller.project, plain, encoding)).rejected
            stored = await self._work(self._intake.ingest_plain, caller.project, plain, encoding)
        # From here on the spans wait, and the reservation stands for them.
        del plain
        outcome = await asyncio.wrap_future(stored)
        self._limits.keys.charge(caller, outcome.stored + outcome.duplicates + outcome.rejected.total())
        return outcome.rejected

    async def _work(self, function: Callable[[Unpack[A]], T], *arguments: *A) -> T:
        return await run_sync(function, *arguments, limiter=self._threads)

    async def _weigh(self, plain: bytes, encoding: Encoding) -> int:
        estimate, limit = estimate_parsed_bytes, self._settings.max_parsed_bytes
        small = len(plain) <= COUNTED_BYTES
        weight = estimate(plain, encoding) if small else await self._work(estimate, plain, encoding)
        if weight > limit:
            raise TooLargeError(
                f"the body of {len(plain)} bytes holds so many values that reading it takes about {weight} bytes of "
                f"memory, the limit is {limit}; send smaller batches or raise CUSTODES_INGEST__MAX_PARSED_BYTES",
                limit=limit,
                seen=weight,
            )
        return weight


def error_to_refusal(error: Exception, signal: Signal) -> Refusal:
    """Return what to answer for an error. What is not the client's fault is 503, since exporters drop on any other.

    The local variables of the calls that the error passed through are let go: bodies are among them, and an error
    that has become part of a reference cycle would keep them until the collector comes round.
    """
    refusal = _judge(error, signal)
    passed: BaseException | None = error
    while passed is not None:
        clear_frames(passed.__traceback__)
        passed = passed.__cause__ or passed.__context__
    return refusal


def _judge(error: Exception, signal: Signal) -> Refusal:
    if isinstance(error, HTTPException):
        return Refusal(error.status_code, error.detail)
    if not isinstance(error, CustodesError):
        error_id = new_uuid7()
        _log.error("a request failed", extra=fields(signal=signal.value, error_id=error_id), exc_info=error)
        return Refusal(503, f"something went wrong inside Custodes; its log has error_id {error_id}", RETRY_AFTER_S)
    status = error_to_kind(error).status
    if status not in (409, 500, 503):
        return Refusal(status, str(error))
    wait_s = error.retry_after_s if isinstance(error, OverloadedError) else RETRY_AFTER_S
    return Refusal(503, str(error), max(1, ceil(wait_s)))
